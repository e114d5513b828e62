"""What must hold in template.yaml, whatever else changes there."""

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inbound.config import (
    FetchSettings,
    ForwardSettings,
    GraphSettings,
    InboxSettings,
    MediaSettings,
    ProxySettings,
    Settings,
    SigningKeySettings,
    SweepSettings,
    WebhookSettings,
)
from local.template import api_cors, edge_behaviours, functions, load, queue_attributes, routes
from signing_key import app
from signing_key.ceremony import Wish
from tests import permissions
from webhook.parcel import PREFIX

ROOT = Path(__file__).parents[2]
FORWARD = "https://crm.example.com/webhook"
ORIGINS = "https://crm.example.com,http://localhost:3000"
PHYSICAL = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "media",
    "AppsSecret": "arn:apps",
    "Bucket": "bucket",
    "Bucket.Arn": "arn:aws:s3:::bucket",
    "Distribution": "E1",
    "Distribution.DomainName": "d1.cloudfront.net",
    "Dashboard": "media-eu-west-1",
    "EventBus": "media",
    "EventBus.Arn": "arn:bus",
    "EventDeadLetterQueue": "https://sqs/dead-events",
    "EventDeadLetterQueue.Arn": "arn:dead-events",
    "EventDeadLetterQueue.QueueName": "dead-events",
    "EventPipeRole.Arn": "arn:role:pipe",
    "ExpiryFunction": "media-ExpiryFunction-1",
    "ExpiryLog.Arn": "arn:log:expiry",
    "FetchDeadLetterQueue": "https://sqs/dead",
    "FetchDeadLetterQueue.QueueName": "dead",
    "FetchDeadLetterQueue.Arn": "arn:dead",
    "FetchPolicy": "arn:fetch",
    "FetchQueue": "https://sqs/fetch",
    "FetchQueue.Arn": "arn:queue",
    "FetchQueue.QueueName": "media-fetch",
    "ForwardDeadLetterQueue": "https://sqs/not-taken",
    "ForwardDeadLetterQueue.Arn": "arn:not-taken",
    "ForwardLog.Arn": "arn:log:forward",
    "ForwardQueue": "https://sqs/forward",
    "ForwardQueue.Arn": "arn:forward",
    "ForwardingPolicy": "arn:forwarding",
    "GraphSecret": "arn:graph",
    "HttpApi": "api",
    "HttpApi.ApiEndpoint": "https://api.execute-api.eu-west-1.amazonaws.com",
    "HttpApiLog.Arn": "arn:log:api",
    "MediaProxyFunction": "media-MediaProxyFunction-1",
    "InboxFunction": "media-InboxFunction-1",
    "InboxLog.Arn": "arn:log:inbox",
    "MediaProxyLog.Arn": "arn:log:media",
    "PrefetchFunction": "media-PrefetchFunction-1",
    "PrefetchLog.Arn": "arn:log:prefetch",
    "SigningKeyFunction": "media-SigningKeyFunction-1",
    "SigningKeyFunction.Arn": "arn:function:signing-key",
    "SigningKeyLog.Arn": "arn:log:signing-key",
    "SigningKeySecret": "arn:key",
    "SigningKeys.KeyIds": "K2,K1",
    "SweepFunction": "media-SweepFunction-1",
    "SweepLog.Arn": "arn:log:sweep",
    "Table": "table",
    "Table.Arn": "arn:table",
    "Table.StreamArn": "arn:stream",
    "WebhookFunction": "media-WebhookFunction-1",
    "WebhookLog.Arn": "arn:log:webhook",
}
TEMPLATE = load({"AllowedOrigins": ORIGINS, "ForwardUrl": FORWARD}, PHYSICAL)
RESOURCES: dict[str, dict[str, Any]] = TEMPLATE.document["Resources"]
SETTINGS: dict[str, type[Settings]] = {
    "WebhookFunction": WebhookSettings,
    "ForwardFunction": ForwardSettings,
    "PrefetchFunction": FetchSettings,
    "MediaProxyFunction": ProxySettings,
    "SweepFunction": SweepSettings,
    "ExpiryFunction": GraphSettings,
    "InboxFunction": InboxSettings,
    "SigningKeyFunction": SigningKeySettings,
}
WORKERS = pytest.mark.parametrize(
    ("function", "queue", "dead"),
    [
        ("PrefetchFunction", "FetchQueue", "FetchDeadLetterQueue"),
        ("ForwardFunction", "ForwardQueue", "ForwardDeadLetterQueue"),
    ],
)
EVERY_FUNCTION = pytest.mark.parametrize("name", sorted(functions(TEMPLATE)))


def properties(name: str) -> dict[str, Any]:
    """A resource's properties, resolved."""
    resolved: dict[str, Any] = TEMPLATE.resolve(RESOURCES[name]["Properties"])
    return resolved


def granted(function: str) -> dict[str, set[str]]:
    """What a function may do: actions by resource."""
    grants: dict[str, set[str]] = {}
    for action, resource in permissions.granted(TEMPLATE, function):
        grants.setdefault(resource, set()).add(action)
    return grants


def test_every_function_is_known_to_these_tests() -> None:
    assert functions(TEMPLATE).keys() == SETTINGS.keys()


@EVERY_FUNCTION
def test_every_handler_has_its_module_and_its_build_rule(name: str) -> None:
    module, _, attribute = functions(TEMPLATE)[name].handler.rpartition(".")

    assert attribute == "handler"
    assert (ROOT / "functions" / f"{module.replace('.', '/')}.py").is_file()
    rule = rf"^package-of-{name} *:= {module.partition('.')[0]}$"
    assert re.search(rule, (ROOT / "functions/Makefile").read_text("utf-8"), re.MULTILINE)


def test_a_deployed_function_asks_aws_although_sam_local_may_send_it_elsewhere() -> None:
    shared = TEMPLATE.document["Globals"]["Function"]["Environment"]["Variables"]

    assert shared["AWS_ENDPOINT_URL"] == {"Ref": "AWS::NoValue"}
    assert [name for name, own in functions(TEMPLATE).items() if "AWS_ENDPOINT_URL" in own.environment] == []


@EVERY_FUNCTION
def test_a_function_is_given_exactly_the_variables_that_its_settings_read(name: str) -> None:
    environment = functions(TEMPLATE)[name].environment
    own = {key for key in environment if not key.startswith("POWERTOOLS_")}

    assert own == {field.upper() for field in SETTINGS[name].model_fields}
    assert environment.keys() - own == {
        "POWERTOOLS_SERVICE_NAME",
        "POWERTOOLS_METRICS_NAMESPACE",
        "POWERTOOLS_LOG_LEVEL",
    }


@EVERY_FUNCTION
def test_the_default_parameters_make_valid_settings(name: str) -> None:
    environment = functions(TEMPLATE)[name].environment
    given = {field: environment[field.upper()] for field in SETTINGS[name].model_fields}

    found = SETTINGS[name].model_validate(given)
    assert not isinstance(found, MediaSettings) or found.table_name == "table"
    assert environment.get("RETENTION_DAYS", "365") == "365"


@pytest.mark.parametrize("name", [key for key, own in TEMPLATE.document["Parameters"].items() if "Default" in own])
def test_a_parameters_default_passes_its_own_pattern_and_limits(name: str) -> None:
    declared = TEMPLATE.document["Parameters"][name]
    default = declared["Default"]

    assert re.fullmatch(declared.get("AllowedPattern", ".*"), str(default))
    assert declared.get("MinValue", default) <= default <= declared.get("MaxValue", default)


@pytest.mark.parametrize("name", sorted(TEMPLATE.document["Parameters"]))
def test_every_parameter_is_described_and_shown_in_a_group(name: str) -> None:
    groups = TEMPLATE.document["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]

    assert TEMPLATE.document["Parameters"][name]["Description"]
    assert sum(name in group["Parameters"] for group in groups) == 1


@pytest.mark.parametrize("bad", ["*", "https://*.example.com", "https://a.example/", "a.example", "https://a,*"])
def test_allowed_origins_take_no_wildcard_and_no_path(bad: str) -> None:
    pattern = TEMPLATE.document["Parameters"]["AllowedOrigins"]["AllowedPattern"]

    assert re.fullmatch(pattern, ORIGINS)
    assert not re.fullmatch(pattern, bad)


def test_the_api_answers_these_routes_and_no_others() -> None:
    media = {f"{m} {p}/{{message_id}}" for m in ("GET", "HEAD") for p in ("/media/messages", "/api/media/messages")}

    found = {route.key: route.function for route in routes(TEMPLATE)}

    assert found == {
        "GET /webhook": "WebhookFunction",
        "POST /webhook": "WebhookFunction",
        **dict.fromkeys(media, "MediaProxyFunction"),
        "GET /conversations": "InboxFunction",
        "GET /conversations/{contact_id}/messages": "InboxFunction",
        "GET /messages/{message_id}": "InboxFunction",
    }


def test_the_api_lets_the_configured_origins_call_with_credentials() -> None:
    cors = api_cors(TEMPLATE)

    assert cors is not None
    assert cors.origins == tuple(ORIGINS.split(","))
    assert cors.credentials
    assert cors.headers == ("authorization",)
    assert cors.expose == ("retry-after",)


def test_the_apis_log_holds_no_path_no_query_and_nobodys_address() -> None:
    wanted = {"requestTime", "requestId", "routeKey", "status", "responseLatency", "responseLength"}
    wanted |= {"integrationStatus", "integrationLatency", "error.responseType"}

    line = properties("HttpApi")["AccessLogSettings"]["Format"]

    assert set(re.findall(r"\$context\.([\w.]+)", line)) == wanted
    assert json.loads(line).keys() >= {"requestId", "routeKey", "status"}


@pytest.mark.parametrize("name", ["Table", "Bucket"])
def test_deleting_or_replacing_the_stack_keeps_the_data(name: str) -> None:
    assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_the_table_is_backed_up_encrypted_and_forgets_by_ttl() -> None:
    table = properties("Table")

    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert {index["Projection"]["ProjectionType"] for index in table["GlobalSecondaryIndexes"]} == {"KEYS_ONLY"}


def test_the_bucket_is_private_encrypted_and_forgets() -> None:
    bucket = properties("Bucket")

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert bucket["BucketEncryption"]
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert rules["retention"]["ExpirationInDays"] in (365, "365")
    assert rules["leftovers"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_only_our_distribution_reads_the_bucket_and_only_media() -> None:
    statements = properties("BucketPolicy")["PolicyDocument"]["Statement"]
    allowed = [statement for statement in statements if statement["Effect"] == "Allow"]

    assert [statement["Action"] for statement in allowed] == ["s3:GetObject"]
    assert allowed[0]["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert allowed[0]["Resource"] == [f"arn:aws:s3:::bucket/{prefix}/*" for prefix in ("inline", "pdf", "file")]
    assert allowed[0]["Condition"]["StringEquals"] == {
        "aws:SourceArn": "arn:aws:cloudfront::123456789012:distribution/E1",
        "aws:SourceAccount": "123456789012",
    }


def test_nobody_comes_without_tls() -> None:
    template = load({"ForwardUrl": FORWARD, "Events": "on"}, PHYSICAL)
    queues: list[str] = []
    for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"):
        for own in template.resolve(list(template.of_type(kind).values())):
            (denied,) = [one for one in own["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
            assert (denied["Principal"], denied["Condition"]) == ("*", {"Bool": {"aws:SecureTransport": "false"}})
            everything = (
                ("s3:*", ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]) if "Bucket" in own else ("sqs:*", "*")
            )
            assert (denied["Action"], denied["Resource"]) == everything
            queues += own.get("Queues", [])

    assert sorted(queues) == sorted(template.resolve({"Ref": name}) for name in template.of_type("AWS::SQS::Queue"))


@EVERY_FUNCTION
def test_a_function_may_do_what_aws_does_in_its_name(name: str) -> None:
    assert permissions.used_by_aws(TEMPLATE, name).keys() <= permissions.granted(TEMPLATE, name)


@WORKERS
def test_a_job_in_progress_is_not_handed_out_twice(function: str, queue: str, dead: str) -> None:
    worker = functions(TEMPLATE)[function]

    assert int(queue_attributes(TEMPLATE, queue)["VisibilityTimeout"]) >= 6 * worker.timeout
    assert dead in RESOURCES


@WORKERS
def test_failed_jobs_reach_the_dead_letter_queue_and_only_they_do(function: str, queue: str, dead: str) -> None:
    declared, letters = RESOURCES[queue]["Properties"], properties(dead)

    assert RESOURCES[function]
    assert declared["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": f"{dead}.Arn"}
    assert letters["RedriveAllowPolicy"]["redrivePermission"] == "byQueue"
    name = TEMPLATE.resolve(declared["QueueName"])
    assert letters["RedriveAllowPolicy"]["sourceQueueArns"] == [f"arn:aws:sqs:eu-west-1:123456789012:{name}"]


@WORKERS
def test_one_bad_job_does_not_fail_its_batch(function: str, queue: str, dead: str) -> None:
    (mapping,) = (own["Properties"] for own in RESOURCES[function]["Properties"]["Events"].values())

    assert mapping["Queue"] == {"Fn::GetAtt": f"{queue}.Arn"}
    assert dead in RESOURCES
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] <= 5


def test_a_batch_of_notifications_that_nobody_answers_fits_into_the_timeout() -> None:
    mapping = RESOURCES["ForwardFunction"]["Properties"]["Events"]["Notifications"]["Properties"]

    assert mapping["BatchSize"] * sum(forward_timeouts()) < functions(TEMPLATE)["ForwardFunction"].timeout


def forward_timeouts() -> tuple[float, float]:
    """Read them from the source: the module itself wants an environment."""
    source = (ROOT / "functions/webhook/forward.py").read_text("utf-8")
    connect, read = re.search(r"^TIMEOUTS = \(([\d.]+), ([\d.]+)\)", source, re.MULTILINE).groups()  # type: ignore[union-attr]
    return float(connect), float(read)


def test_a_body_in_the_bucket_outlives_what_points_to_it() -> None:
    rules = {rule["Id"]: rule for rule in properties("Bucket")["LifecycleConfiguration"]["Rules"]}
    queues = ("ForwardQueue", "ForwardDeadLetterQueue")
    kept = [int(queue_attributes(TEMPLATE, name)["MessageRetentionPeriod"]) for name in queues]

    assert rules["forwarded"]["Prefix"] == PREFIX
    assert rules["forwarded"]["ExpirationInDays"] * 24 * 3600 > max(kept)


def test_without_an_address_there_is_nothing_of_forwarding() -> None:
    template = load({}, PHYSICAL)
    kinds = {own["Type"] for own in RESOURCES.values()}
    without, with_address = ({name for kind in kinds for name in own.of_type(kind)} for own in (template, TEMPLATE))

    assert with_address - without == {
        "ForwardDeadLetterAlarm",
        "ForwardDeadLetterQueue",
        "ForwardDelayAlarm",
        "ForwardErrorAlarm",
        "ForwardFunction",
        "ForwardLog",
        "ForwardQueue",
        "ForwardQueuePolicy",
        "ForwardRole",
        "ForwardingPolicy",
    }
    assert functions(template)["WebhookFunction"].environment["FORWARD_QUEUE_URL"] == ""
    assert not [need for need in permissions.granted(template, "WebhookFunction") if "forward" in need.resource]


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("", True),
        (FORWARD, True),
        ("https://crm.example.com:8443/hooks/whatsapp?key=1", True),
        ("https://crm.example.com", True),
        ("http://crm.example.com/", False),
        ("https://user:word@crm.example.com/", False),
        ("https://crm.example.com/#x", False),
        ("https://crm example.com/", False),
        ("crm.example.com", False),
    ],
)
def test_the_template_takes_an_address_when_the_function_does(url: str, taken: bool) -> None:
    pattern = TEMPLATE.document["Parameters"]["ForwardUrl"]["AllowedPattern"]
    settings = {"bucket_name": "b", "forward_queue_url": "q", "forward_url": url}

    assert bool(re.fullmatch(pattern, url)) == taken
    if url.startswith("https"):
        with nullcontext() if taken else pytest.raises(ValidationError):
            ForwardSettings.model_validate(settings)


def test_the_forwarder_takes_what_is_queued_and_reads_no_media() -> None:
    assert granted("ForwardFunction") == {
        "arn:forward": {f"sqs:{verb}" for verb in POLLED} | {"sqs:ChangeMessageVisibility"},
        "arn:aws:s3:::bucket/forward/*": {"s3:GetObject"},
        "arn:log:forward": {"logs:CreateLogStream", "logs:PutLogEvents"},
    }


POLLED = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")


def test_the_media_proxy_answers_before_the_api_gives_up() -> None:
    timeouts = {route.function: functions(TEMPLATE)[route.function].timeout for route in routes(TEMPLATE)}

    assert max(timeouts.values()) < 30


@EVERY_FUNCTION
def test_no_function_holds_a_wildcard_right(name: str) -> None:
    grants = granted(name)

    # IAM knows no resource for CloudFront's public keys.
    assert grants.get("*", set()) == (PUBLIC_KEY_RIGHTS if name == "SigningKeyFunction" else set())
    assert not [action for actions in grants.values() for action in actions if "*" in action]


PUBLIC_KEY_RIGHTS = {f"cloudfront:{verb}PublicKey" for verb in ("Create", "Delete", "Get")} | {
    "cloudfront:ListPublicKeys"
}


def holders(right: str) -> dict[str, set[str]]:
    """The functions that have a right, by secret."""
    return {
        secret: {name for name in SETTINGS if right in granted(name).get(secret, set())}
        for secret in ("arn:apps", "arn:graph", "arn:key")
    }


def test_a_secret_is_read_by_those_who_need_it() -> None:
    assert holders("secretsmanager:GetSecretValue") == {
        "arn:apps": {"WebhookFunction"},
        "arn:graph": {"PrefetchFunction", "MediaProxyFunction", "InboxFunction", "ExpiryFunction"},
        "arn:key": {"MediaProxyFunction", "SigningKeyFunction"},
    }


def test_only_the_signing_keys_are_written_by_a_function_and_only_by_theirs() -> None:
    assert holders("secretsmanager:PutSecretValue") == {
        "arn:apps": set(),
        "arn:graph": set(),
        "arn:key": {"SigningKeyFunction"},
    }


def test_the_function_of_the_signing_keys_may_do_nothing_else() -> None:
    assert granted("SigningKeyFunction") == {
        "*": PUBLIC_KEY_RIGHTS,
        "arn:key": {"secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"},
        "arn:log:signing-key": {"logs:CreateLogStream", "logs:PutLogEvents"},
    }


def test_the_key_group_holds_the_keys_that_the_custom_resource_names() -> None:
    assert properties("SigningKeyGroup")["KeyGroupConfig"]["Items"] == ["K2", "K1"]
    assert properties("SigningKeys")["ServiceToken"] == "arn:function:signing-key"


def test_the_properties_of_the_signing_keys_are_those_that_the_function_reads() -> None:
    given = {key: value for key, value in properties("SigningKeys").items() if not key.startswith("Service")}

    wish = Wish.model_validate(given)
    assert (wish.version, wish.keep_old) == ("1", True)
    assert given.keys() == {field.alias for field in Wish.model_fields.values()}


@pytest.mark.parametrize("version", ["1", "2026-11", "a" * 20])
def test_a_key_version_that_the_template_takes_is_one_that_the_function_takes(version: str) -> None:
    assert re.fullmatch(TEMPLATE.document["Parameters"]["KeyVersion"]["AllowedPattern"], version)
    assert Wish.model_validate({"KeyVersion": version, "KeepOldSigningKeys": "false"}).version == version


@pytest.mark.parametrize("version", ["", "a" * 21, "a_b", "a b"])
def test_a_key_version_that_would_make_no_name_is_refused_by_both(version: str) -> None:
    assert not re.fullmatch(TEMPLATE.document["Parameters"]["KeyVersion"]["AllowedPattern"], version)
    with pytest.raises(ValidationError):
        Wish.model_validate({"KeyVersion": version, "KeepOldSigningKeys": "false"})


def test_the_answer_of_the_signing_keys_comes_before_anybody_stops_waiting() -> None:
    function = functions(TEMPLATE)["SigningKeyFunction"]
    declared = RESOURCES["SigningKeyFunction"]["Properties"]["EventInvokeConfig"]
    repeats = app.TRIES.total
    assert isinstance(repeats, int)
    pauses = sum(app.TRIES.backoff_factor * 2**number for number in range(1, repeats))

    assert (repeats + 1) * app.ONE_TRY + pauses < app.RESERVE < function.timeout / 2
    assert declared["MaximumEventAgeInSeconds"] + function.timeout < properties("SigningKeys")["ServiceTimeout"]
    assert declared["MaximumRetryAttempts"] == 0


def test_the_secret_is_there_before_the_keys_are_made_and_after_they_are_removed() -> None:
    # CloudFormation orders by reference: group → keys → function → secret, and deletes the other way round.
    assert RESOURCES["SigningKeys"]["Properties"]["ServiceToken"] == {"Fn::GetAtt": "SigningKeyFunction.Arn"}
    variables = RESOURCES["SigningKeyFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["SIGNING_KEY_SECRET_ID"] == {"Ref": "SigningKeySecret"}


def test_the_webhook_writes_what_meta_said_and_reads_no_media() -> None:
    rights = {resource: actions for resource, actions in granted("WebhookFunction").items() if ":s3:" in resource}

    assert rights == {f"arn:aws:s3:::bucket/{prefix}/*": {"s3:PutObject"} for prefix in ("raw", "forward")}


def test_a_new_stack_lets_nobody_in() -> None:
    texts = {name: RESOURCES[name]["Properties"]["SecretString"] for name in RESOURCES if name.endswith("Secret")}

    # To the letter: a text that changes is put in place of what operators and SigningKeys have put there.
    assert texts == {
        "AppsSecret": "{}",
        "GraphSecret": '{"tokens":{},"media_token_secrets":[]}',
        "SigningKeySecret": "[]",
    }


def test_the_edge_serves_signed_addresses_over_https_only() -> None:
    distribution = RESOURCES["Distribution"]["Properties"]["DistributionConfig"]
    declared = [distribution["DefaultCacheBehavior"], *distribution["CacheBehaviors"]]

    assert all(own["TrustedKeyGroups"] == [{"Ref": "SigningKeyGroup"}] for own in declared)
    assert {own["ViewerProtocolPolicy"] for own in declared} == {"https-only"}
    assert {tuple(own["AllowedMethods"]) for own in declared} == {("GET", "HEAD")}
    assert {own.path_pattern for own in edge_behaviours(TEMPLATE)} == {"inline/*", "pdf/*", "file/*", "*"}


@pytest.mark.parametrize("behaviour", edge_behaviours(TEMPLATE), ids=lambda own: own.path_pattern)
def test_media_from_strangers_is_served_with_every_precaution(behaviour: Any) -> None:
    headers = dict(behaviour.headers)
    policy = headers.pop("Content-Security-Policy").split("; ")

    assert headers == {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Cache-Control": "private, max-age=86400, immutable",
    }
    assert policy[0] == "default-src 'none'"
    if behaviour.path_pattern == "pdf/*":
        assert {"form-action 'none'", "base-uri 'none'"} <= set(policy)
    else:
        assert policy[-1] == "sandbox allow-same-origin"  # and no allow-scripts, which would undo all of it
    assert behaviour.default_headers == {}
    assert behaviour.query_strings == ("response-content-disposition",)


@pytest.mark.parametrize("behaviour", edge_behaviours(TEMPLATE), ids=lambda own: own.path_pattern)
def test_scripts_of_the_configured_origins_read_ranges_without_credentials(behaviour: Any) -> None:
    assert behaviour.cors.origins == tuple(ORIGINS.split(","))
    assert not behaviour.cors.credentials
    assert behaviour.cors.methods == ("GET", "HEAD")
    assert behaviour.cors.headers == ("Range",)
    assert behaviour.cors.expose == ("Content-Length", "Content-Range", "Accept-Ranges", "ETag")


def test_without_origins_no_script_reads_anything() -> None:
    template = load({"AllowedOrigins": ""}, PHYSICAL)

    assert "CorsConfiguration" not in template.resolve(RESOURCES["HttpApi"]["Properties"])
    assert [behaviour.cors for behaviour in edge_behaviours(template)] == [None] * 4


def test_two_stacks_fit_into_one_account() -> None:
    names = {
        resource: value
        for resource, own in RESOURCES.items()
        for key, value in pairs(own["Properties"])
        if key in PHYSICAL_NAMES and own["Type"] != "AWS::CloudWatch::Alarm"
    }

    assert names  # CloudFront asks for some
    assert [resource for resource, value in names.items() if "AWS::StackName" not in json.dumps(value)] == []


PHYSICAL_NAMES = {
    "BucketName",
    "CallerReference",
    "DashboardName",
    "FunctionName",
    "LayerName",
    "LogGroupName",
    "ManagedPolicyName",
}
PHYSICAL_NAMES |= {"Name", "QueueName", "RoleName", "TableName"}


def pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, however deep."""
    if isinstance(value, dict):
        yield from value.items()
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from pairs(inner)
