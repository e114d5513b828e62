"""What the local run takes from template.yaml, and from templates that it must not misread."""

from typing import Any

import pytest

from local import template as templates
from local.intrinsics import TemplateError, UnknownReference
from local.template import Cors, Pipe, QueueSource, Route, Schedule, Template

PARAMETERS = {"AllowedOrigins": "http://127.0.0.1:1,http://localhost:1"}


@pytest.fixture(name="ours", scope="module")
def _ours() -> Template:
    return templates.load(PARAMETERS)


def with_resources(**resources: Any) -> Template:
    return Template({"Resources": resources})


def function(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Serverless::Function", "Properties": {"Handler": "a.b", **properties}}


def distribution(**behaviour: Any) -> dict[str, Any]:
    config = {"DefaultCacheBehavior": behaviour}
    return {"Type": "AWS::CloudFront::Distribution", "Properties": {"DistributionConfig": config}}


def headers_policy(**config: Any) -> dict[str, Any]:
    properties = {"ResponseHeadersPolicyConfig": {"Name": "x", **config}}
    return {"Type": "AWS::CloudFront::ResponseHeadersPolicy", "Properties": properties}


def test_the_table_has_its_keys_indexes_and_expiry(ours: Template) -> None:
    table = templates.tables(ours)["Table"]

    keys = [part["AttributeName"] for part in table.definition["KeySchema"]]
    indexes = {index["IndexName"]: index["Projection"] for index in table.definition["GlobalSecondaryIndexes"]}
    assert keys == ["pk", "sk"]
    assert indexes == {"GSI1": {"ProjectionType": "KEYS_ONLY"}, "GSI2": {"ProjectionType": "KEYS_ONLY"}}
    assert table.ttl_attribute == "ttl"


def test_a_stream_becomes_what_create_table_wants() -> None:
    stream = {"StreamSpecification": {"StreamViewType": "NEW_IMAGE"}, "KeySchema": []}
    template = with_resources(T={"Type": "AWS::DynamoDB::Table", "Properties": stream})

    wanted = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    assert templates.tables(template)["T"].definition["StreamSpecification"] == wanted
    assert templates.tables(template)["T"].ttl_attribute is None


def test_a_dead_letter_queue_comes_before_the_queue_that_needs_it(ours: Template) -> None:
    names = templates.queues(ours)

    attributes = templates.queue_attributes(ours.with_physical({"FetchDeadLetterQueue.Arn": "arn:dead"}), "FetchQueue")
    assert names == ("FetchDeadLetterQueue", "FetchQueue")
    assert '"deadLetterTargetArn": "arn:dead"' in attributes["RedrivePolicy"]
    assert attributes["SqsManagedSseEnabled"] == "true"
    assert all(isinstance(value, str) for value in attributes.values())


def test_every_route_of_the_contract_is_found(ours: Template) -> None:
    assert {(route.key, route.function) for route in templates.routes(ours)} == {
        ("GET /webhook", "WebhookFunction"),
        ("POST /webhook", "WebhookFunction"),
        ("GET /media/messages/{message_id}", "MediaProxyFunction"),
        ("HEAD /media/messages/{message_id}", "MediaProxyFunction"),
        ("GET /api/media/messages/{message_id}", "MediaProxyFunction"),
        ("HEAD /api/media/messages/{message_id}", "MediaProxyFunction"),
        ("GET /conversations", "InboxFunction"),
        ("GET /conversations/{contact_id}/messages", "InboxFunction"),
        ("GET /messages/{message_id}", "InboxFunction"),
    }


def test_functions_have_global_and_own_variables_all_of_them_text() -> None:
    document = {
        "Globals": {"Function": {"Timeout": 7, "Environment": {"Variables": {"A": "1", "B": "1"}}}},
        "Resources": {"F": function(Environment={"Variables": {"B": 2, "C": True}}, MemorySize=512)},
    }

    (own,) = templates.functions(Template(document)).values()

    assert own.environment == {"A": "1", "B": "2", "C": "true"}
    assert (own.handler, own.memory, own.timeout) == ("a.b", 512, 7.0)


def test_a_variable_that_is_a_list_is_refused() -> None:
    template = with_resources(F=function(Environment={"Variables": {"A": ["x"]}}))

    with pytest.raises(TemplateError, match="variable A"):
        templates.functions(template)


def test_a_function_whose_queue_has_no_name_yet_cannot_be_resolved(ours: Template) -> None:
    with pytest.raises(UnknownReference):
        templates.functions(ours)


def test_an_event_may_shorten_the_patience_of_the_api() -> None:
    event = {"Type": "HttpApi", "Properties": {"Path": "/x", "Method": "get", "TimeoutInMillis": 5000}}
    template = with_resources(F=function(Events={"E": event, "Q": {"Type": "SQS", "Properties": {}}}))

    assert templates.routes(template) == (Route("GET", "/x", "F", 5.0),)


@pytest.mark.parametrize(
    "properties",
    [{"Path": "$default", "Method": "any"}, {"Path": "/x", "Method": "get", "PayloadFormatVersion": "1.0"}],
)
def test_routes_that_would_run_differently_here_are_refused(properties: dict[str, str]) -> None:
    template = with_resources(F=function(Events={"E": {"Type": "HttpApi", "Properties": properties}}))

    with pytest.raises(TemplateError):
        templates.routes(template)


def test_routes_in_an_openapi_document_are_refused() -> None:
    api = {"Type": "AWS::Serverless::HttpApi", "Properties": {"DefinitionBody": {}}}

    with pytest.raises(TemplateError, match="OpenAPI"):
        templates.routes(with_resources(Api=api))


def test_a_resource_whose_condition_does_not_hold_is_not_there() -> None:
    document = {
        "Conditions": {"Never": {"Fn::Equals": ["a", "b"]}},
        "Resources": {"B": {"Type": "AWS::S3::Bucket", "Condition": "Never"}, "C": {"Type": "AWS::S3::Bucket"}},
    }

    assert templates.buckets(Template(document)) == ("C",)


def test_the_api_lets_the_given_origins_call_with_credentials(ours: Template) -> None:
    cors = templates.api_cors(ours)

    assert cors is not None
    assert cors.origins == ("http://127.0.0.1:1", "http://localhost:1")
    assert cors.credentials
    assert "authorization" in [name.lower() for name in cors.headers]
    assert "retry-after" in [name.lower() for name in cors.expose]


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (("http://a",), "http://a", True),
        (("http://a",), "http://a.evil.example", False),
        (("http://a",), "", False),
        (("*",), "http://anything", True),
        (("https://*",), "https://a", True),
        (("https://*",), "http://a", False),
    ],
)
def test_origins_match_whole_or_by_their_scheme(origins: tuple[str, ...], origin: str, allowed: bool) -> None:
    assert Cors(origins).allows(origin) is allowed


def test_the_edge_serves_each_class_with_its_own_headers(ours: Template) -> None:
    behaviours = {own.path_pattern: own for own in templates.edge_behaviours(ours)}

    assert list(behaviours) == ["inline/*", "pdf/*", "file/*", "*"]
    assert all(own.signed for own in behaviours.values())
    assert all(own.query_strings == ("response-content-disposition",) for own in behaviours.values())
    assert "sandbox" in behaviours["inline/*"].headers["Content-Security-Policy"]
    assert "sandbox" not in behaviours["pdf/*"].headers["Content-Security-Policy"]
    assert behaviours["file/*"].headers["X-Content-Type-Options"] == "nosniff"
    assert behaviours["file/*"].headers["Cache-Control"] == "private, max-age=86400, immutable"
    cors = behaviours["inline/*"].cors
    assert cors is not None
    assert cors.origins == ("http://127.0.0.1:1", "http://localhost:1")


def test_a_header_that_does_not_override_is_kept_apart() -> None:
    policy = headers_policy(
        SecurityHeadersConfig={
            "FrameOptions": {"Override": False, "FrameOption": "DENY"},
            "StrictTransportSecurity": {
                "Override": True,
                "AccessControlMaxAgeSec": 60,
                "IncludeSubdomains": True,
                "Preload": True,
            },
        }
    )
    template = with_resources(Distribution=distribution(ResponseHeadersPolicyId={"Ref": "P"}), P=policy)

    (behaviour,) = templates.edge_behaviours(template)

    assert behaviour.default_headers == {"X-Frame-Options": "DENY"}
    assert behaviour.headers == {"Strict-Transport-Security": "max-age=60; includeSubDomains; preload"}
    assert behaviour.cors is None
    assert not behaviour.signed


@pytest.mark.parametrize(
    ("behaviour", "policy"),
    [
        ({"ResponseHeadersPolicyId": "67f7725c-6f97-4210-82d7-5512b31e9d03"}, {}),
        ({"ResponseHeadersPolicyId": {"Ref": "Missing"}}, {}),
        ({"OriginRequestPolicyId": "216adef6-5c7f-47e4-b989-5492eafa07d3"}, {}),
        ({"LambdaFunctionAssociations": []}, {}),
        ({"ForwardedValues": {"QueryString": True}}, {}),
        ({"ResponseHeadersPolicyId": {"Ref": "P"}}, {"RemoveHeadersConfig": {"Items": []}}),
        ({"ResponseHeadersPolicyId": {"Ref": "P"}}, {"SecurityHeadersConfig": {"New": {"Override": True}}}),
    ],
)
def test_an_edge_that_would_serve_other_headers_is_refused(behaviour: Any, policy: Any) -> None:
    template = with_resources(Distribution=distribution(**behaviour), P=headers_policy(**policy))

    with pytest.raises(TemplateError):
        templates.edge_behaviours(template)


def test_a_cache_policy_that_passes_all_query_strings_is_refused() -> None:
    config = {"ParametersInCacheKeyAndForwardedToOrigin": {"QueryStringsConfig": {"QueryStringBehavior": "all"}}}
    policy = {"Type": "AWS::CloudFront::CachePolicy", "Properties": {"CachePolicyConfig": config}}

    with pytest.raises(TemplateError, match="all"):
        templates.edge_behaviours(with_resources(Distribution=distribution(CachePolicyId={"Ref": "P"}), P=policy))


# --- queues and schedules that call functions -----------------------------------------------------------------

QUEUE = {"Queue.Arn": "arn:queue", "Queue": "http://queue"}


def with_event(kind: str, queue: Any = None, **properties: Any) -> Template:
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": queue or {}},
        "F": function(Events={"E": {"Type": kind, "Properties": properties}}),
    }
    return Template({"Resources": resources}, None, QUEUE)


def fed(queue: Any = None, **properties: Any) -> Template:
    return with_event("SQS", queue, **{"Queue": {"Fn::GetAtt": "Queue.Arn"}, **properties})


def test_our_worker_reads_the_fetch_queue_as_the_template_says(ours: Template) -> None:
    physical = {"FetchQueue": "http://fetch", "FetchQueue.Arn": "arn:fetch"}

    (source,) = templates.queue_sources(ours.with_physical(physical))

    assert source == QueueSource("PrefetchFunction", "http://fetch", "arn:fetch", 2, 0, 10, reports_failures=True)


def test_a_queue_that_says_nothing_else_is_read_as_lambda_would() -> None:
    (source,) = templates.queue_sources(fed())

    assert source == QueueSource("F", "http://queue", "arn:queue", 10, 0, 5, reports_failures=False)


def test_large_batches_have_a_window() -> None:
    (source,) = templates.queue_sources(fed(BatchSize=1000, MaximumBatchingWindowInSeconds="5"))

    assert (source.batch_size, source.window) == (1000, 5)


@pytest.mark.parametrize("off", [False, "false"])
def test_a_queue_that_is_switched_off_is_not_read(off: object) -> None:
    assert templates.queue_sources(fed(Enabled=off)) == ()


@pytest.mark.parametrize(
    "properties",
    [
        {"Queue": "arn:aws:sqs:us-east-1:1:other"},
        {"Queue": {"Ref": "Queue"}},
        {"Queue": {"Fn::GetAtt": "Queue.QueueName"}},
        {"Queue": {"Fn::GetAtt": "Missing.Arn"}},
        {"BatchSize": 0},
        {"BatchSize": 11},
        {"BatchSize": "many"},
        {"BatchSize": True},
        {"MaximumBatchingWindowInSeconds": 301},
        {"ScalingConfig": {"MaximumConcurrency": 1}},
        {"ScalingConfig": {"MinimumConcurrency": 1}},
        {"FunctionResponseTypes": ["Other"]},
        {"Enabled": "perhaps"},
        {"FilterCriteria": {}},
    ],
)
def test_a_queue_that_lambda_would_read_otherwise_is_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(TemplateError):
        templates.queue_sources(fed(**properties))


def test_a_fifo_queue_is_refused() -> None:
    with pytest.raises(TemplateError, match="FIFO"):
        templates.queue_sources(fed({"FifoQueue": True}))


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [("1 minute", 60.0), ("5 minutes", 300.0), ("1 hour", 3600.0), ("12 hours", 43200.0), ("10 days", 864000.0)],
)
def test_a_rule_calls_a_function_at_its_rate(rate: str, seconds: float) -> None:
    template = with_event("Schedule", Schedule=f"rate({rate})")

    assert templates.schedules(template) == (Schedule("F", "FE", "events", seconds, None),)


def test_a_schedule_of_the_scheduler_may_have_an_input() -> None:
    template = with_event("ScheduleV2", ScheduleExpression="rate(1 day)", Input='{"dry": true}', Name="daily")

    assert templates.schedules(template) == (Schedule("F", "FE", "scheduler", 86400.0, {"dry": True}),)


@pytest.mark.parametrize("off", [{"Enabled": False}, {"State": "DISABLED"}])
def test_a_schedule_that_is_switched_off_does_not_run(off: dict[str, Any]) -> None:
    assert templates.schedules(with_event("Schedule", Schedule="rate(1 hour)", **off)) == ()


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"Schedule": "cron(0 * * * ? *)"},
        {"Schedule": "rate(0 minutes)"},
        {"Schedule": "rate(1 minutes)"},
        {"Schedule": "rate(2 minute)"},
        {"Schedule": "rate(1 minute) "},
        {"Schedule": "rate(٢ minutes)"},
        {"Schedule": "rate(1 hour)", "Input": "{"},
        {"Schedule": "rate(1 hour)", "Input": {"a": 1}},
        {"Schedule": "rate(1 hour)", "Input": '{"at": "<aws.scheduler.scheduled-time>"}'},
        {"Schedule": "rate(1 hour)", "State": "SOMETIMES"},
        {"Schedule": "rate(1 hour)", "Timezone": "Europe/Lisbon"},
    ],
)
def test_a_schedule_that_would_run_otherwise_here_is_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(TemplateError):
        templates.schedules(with_event("Schedule", **properties))


def with_pipe(**changes: Any) -> Template:
    """Give a template with a small pipe; a change of None leaves a property out."""
    properties = {
        "RoleArn": {"Fn::GetAtt": "Role.Arn"},
        "Source": {"Fn::GetAtt": "Table.StreamArn"},
        "SourceParameters": {"DynamoDBStreamParameters": {"StartingPosition": "LATEST"}},
        "Target": {"Fn::GetAtt": "Bus.Arn"},
        "TargetParameters": {
            "EventBridgeEventBusParameters": {"Source": "us", "DetailType": "Changed"},
            "InputTemplate": '{"id": "<$.dynamodb.Keys.pk.S>"}',
        },
        **changes,
    }
    pipe = {"Type": "AWS::Pipes::Pipe", "Properties": {n: v for n, v in properties.items() if v is not None}}
    return Template({"Resources": {"Pipe": pipe}}, None, {"Table.StreamArn": "arn:stream", "Bus.Arn": "arn:bus"})


def test_a_pipe_leads_from_a_stream_to_a_bus() -> None:
    (pipe,) = templates.pipes(with_pipe())

    assert pipe == Pipe(
        "arn:stream", "LATEST", 1, ({},), "arn:bus", "us", "Changed", '{"id": "<$.dynamodb.Keys.pk.S>"}'
    )


def test_our_pipe_is_understood_and_is_not_there_unless_it_is_wanted(ours: Template) -> None:
    known = {"Table.StreamArn": "arn:stream", "EventBus.Arn": "arn:bus"}

    (pipe,) = templates.pipes(templates.load({**PARAMETERS, "Events": "on"}, known))

    assert (pipe.stream_arn, pipe.bus, pipe.source, pipe.batch_size) == ("arn:stream", "arn:bus", "whatsapp-media", 10)
    assert len(pipe.patterns) == 3
    assert templates.pipes(ours) == ()
    assert templates.buses(ours) == ()


STREAM = {"StartingPosition": "LATEST"}
BUS = {"Source": "us", "DetailType": "Changed"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"Enrichment": "arn:function"}, id="enrichment"),
        pytest.param({"SourceParameters": {"SqsQueueParameters": {}}}, id="queue"),
        pytest.param(
            {"SourceParameters": {"DynamoDBStreamParameters": {**STREAM, "ParallelizationFactor": 2}}}, id="way"
        ),
        pytest.param({"SourceParameters": {"DynamoDBStreamParameters": {**STREAM, "BatchSize": 11}}}, id="batch"),
        pytest.param(
            {
                "SourceParameters": {
                    "DynamoDBStreamParameters": STREAM,
                    "FilterCriteria": {"Filters": [{"Pattern": "[]"}]},
                }
            },
            id="pattern",
        ),
        pytest.param({"TargetParameters": {"SqsQueueParameters": {}, "InputTemplate": "{}"}}, id="target"),
        pytest.param({"TargetParameters": {"EventBridgeEventBusParameters": BUS}}, id="no input template"),
        *(
            pytest.param({"TargetParameters": {"EventBridgeEventBusParameters": BUS, "InputTemplate": text}}, id=text)
            for text in (
                '{"id": <$.dynamodb.Keys.pk.S>}',
                '{"id": "no <$.dynamodb.Keys.pk.S>"}',
                '{"at": "<aws.pipes.event.ingestion-time>"}',
                '{"id": "<$.dynamodb.Keys[0].S>"}',
                '"<$.dynamodb.Keys.pk.S>"',
                '{"id": "<$.dynamodb.Keys.pk.S>"',
            )
        ),
    ],
)
def test_a_pipe_that_would_give_other_events_here_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TemplateError):
        templates.pipes(with_pipe(**changes))
