"""What protects a deployed stack: encryption, limits, own domains, and that checkov's silence has reasons."""

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest

from local.template import Template, functions, load, routes
from tests.contract.test_template import FORWARD, PHYSICAL, RESOURCES, ROOT
from tests.permissions import role_of

KEY = "arn:aws:kms:eu-west-1:123456789012:key/own"
POLICY_OF_KEY = "arn:aws:iam::123456789012:policy/key"
API, EDGE = "api.example.com", "media.example.com"
OWN_DOMAINS = {
    "ApiDomain": API,
    "ApiCertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/a",
    "EdgeDomain": EDGE,
    "EdgeCertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/e",
}
OPTIONAL = {"ForwardUrl": FORWARD, "Events": "on"}
PLAIN = load(OPTIONAL, {**PHYSICAL, "HttpApi.ApiEndpoint": "https://a1.execute-api.eu-west-1.amazonaws.com"})
WITH_KEY = load({"KmsKeyArn": KEY, **OPTIONAL}, {**PHYSICAL, "KeyPolicy": POLICY_OF_KEY})
WITH_DOMAINS = load(OWN_DOMAINS, {**PHYSICAL, "ApiDomainName.RegionalDomainName": "d-1.execute-api"})


def values(template: Template, kind: str, path: str) -> dict[str, Any]:
    """Give what all resources of a type have at a place ("A.B"), by logical id; None where it is left out."""
    first, *rest = path.split(".")
    found = {}
    for name, properties in template.of_type(kind).items():
        value = template.resolve({first: properties.get(first)}).get(first)
        for part in rest:
            value = value.get(part)
        found[name] = value
    return found


# --- encryption ---

ENCRYPTED = [
    ("AWS::Logs::LogGroup", "KmsKeyId"),
    ("AWS::SecretsManager::Secret", "KmsKeyId"),
    ("AWS::SQS::Queue", "KmsMasterKeyId"),
    ("AWS::DynamoDB::Table", "SSESpecification.KMSMasterKeyId"),
]


@pytest.mark.parametrize(("kind", "path"), ENCRYPTED, ids=[kind for kind, _ in ENCRYPTED])
def test_all_that_is_stored_is_encrypted_with_the_customers_key_when_there_is_one(kind: str, path: str) -> None:
    assert values(WITH_KEY, kind, path)
    assert set(values(WITH_KEY, kind, path).values()) == {KEY}
    assert set(values(PLAIN, kind, path).values()) == {None}


def test_the_bucket_is_encrypted_with_the_customers_key_too() -> None:
    def rule(template: Template) -> Any:
        declared = template.of_type("AWS::S3::Bucket")["Bucket"]["BucketEncryption"]
        return template.resolve(declared)["ServerSideEncryptionConfiguration"]

    encryption = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    assert rule(WITH_KEY) == [{"BucketKeyEnabled": True, "ServerSideEncryptionByDefault": encryption}]
    assert rule(PLAIN) == [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]


def test_without_a_key_of_ones_own_queues_and_table_are_encrypted_all_the_same() -> None:
    assert set(values(PLAIN, "AWS::SQS::Queue", "SqsManagedSseEnabled").values()) == {True}
    assert set(values(WITH_KEY, "AWS::SQS::Queue", "SqsManagedSseEnabled").values()) == {None}


def test_environments_of_functions_are_encrypted_with_the_key() -> None:
    declared = WITH_KEY.document["Globals"]["Function"]

    assert WITH_KEY.resolve(declared["KmsKeyArn"]) == KEY
    assert "KmsKeyArn" not in PLAIN.resolve({"KmsKeyArn": declared["KmsKeyArn"]})


@pytest.mark.parametrize("name", sorted(functions(PLAIN)))
def test_a_function_may_use_the_key_for_its_own_calls_and_nothing_else(name: str) -> None:
    role = RESOURCES[role_of(WITH_KEY, name)]["Properties"]
    (statement,) = WITH_KEY.resolve(RESOURCES["KeyPolicy"]["Properties"]["PolicyDocument"])["Statement"]

    assert POLICY_OF_KEY in WITH_KEY.resolve(role["ManagedPolicyArns"])
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Resource"] == KEY
    assert statement["Condition"] == {
        "StringEquals": {
            "kms:ViaService": [
                f"{service}.eu-west-1.amazonaws.com" for service in ("dynamodb", "s3", "secretsmanager", "sqs")
            ]
        }
    }
    assert "KeyPolicy" not in PLAIN.of_type("AWS::IAM::ManagedPolicy")


# --- limits ---


def test_each_family_of_routes_has_a_limit_of_its_own() -> None:
    template = load({"WebhookRateLimit": "70", "MediaRateLimit": "30"}, PHYSICAL)
    declared = RESOURCES["HttpApi"]["Properties"]
    webhook = {route.key for route in routes(template) if route.function == "WebhookFunction"}

    def limits(settings: Any) -> dict[str, str]:
        found: dict[str, Any] = template.resolve(settings)
        assert found.pop("DetailedMetricsEnabled") is True
        return found

    assert limits(declared["DefaultRouteSettings"]) == {"ThrottlingRateLimit": "30", "ThrottlingBurstLimit": "30"}
    assert {key: limits(own) for key, own in declared["RouteSettings"].items()} == {
        key: {"ThrottlingRateLimit": "70", "ThrottlingBurstLimit": "70"} for key in webhook
    }


@pytest.mark.parametrize(
    ("parameter", "function"),
    [
        ("WebhookConcurrency", "WebhookFunction"),
        ("MediaConcurrency", "MediaProxyFunction"),
        ("InboxConcurrency", "InboxFunction"),
    ],
)
def test_concurrency_is_reserved_only_on_demand(parameter: str, function: str) -> None:
    reserved = {"key": RESOURCES[function]["Properties"]["ReservedConcurrentExecutions"]}

    assert PLAIN.resolve(reserved) == {}
    assert load({parameter: "40"}, PHYSICAL).resolve(reserved) == {"key": "40"}


# --- front doors ---


def distribution(template: Template) -> Mapping[str, Any]:
    declared = RESOURCES["Distribution"]["Properties"]["DistributionConfig"]
    wanted = ("Aliases", "ViewerCertificate", "WebACLId")
    found: Mapping[str, Any] = template.resolve({key: declared[key] for key in wanted})
    return found


def test_a_web_acl_is_put_before_the_edge() -> None:
    acl = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/own/1"

    assert distribution(load({"WebAclArn": acl}, PHYSICAL))["WebACLId"] == acl
    assert "WebACLId" not in distribution(PLAIN)


@pytest.mark.parametrize("template", [PLAIN, WITH_DOMAINS], ids=["CloudFront's", "own"])
def test_the_edge_speaks_nothing_older_than_tls_1_2(template: Template) -> None:
    assert distribution(template)["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"


def test_with_domains_of_ones_own_all_addresses_are_there() -> None:
    edge = distribution(WITH_DOMAINS)
    outputs = WITH_DOMAINS.document["Outputs"]
    (name,) = WITH_DOMAINS.of_type("AWS::ApiGatewayV2::DomainName").values()
    (configured,) = WITH_DOMAINS.resolve(name["DomainNameConfigurations"])

    assert edge["Aliases"] == [EDGE]
    assert edge["ViewerCertificate"]["AcmCertificateArn"] == OWN_DOMAINS["EdgeCertificateArn"]
    assert functions(WITH_DOMAINS)["MediaProxyFunction"].environment["EDGE_URL"] == f"https://{EDGE}"
    assert (configured["CertificateArn"], configured["SecurityPolicy"]) == (OWN_DOMAINS["ApiCertificateArn"], "TLS_1_2")
    found = {key: WITH_DOMAINS.resolve(own["Value"]) for key, own in outputs.items() if "Domain" in key or "Url" in key}
    assert (
        found.items()
        >= {
            "WebhookUrl": f"https://{API}/webhook",
            "MediaUrl": f"https://{API}/media/messages",
            "EdgeDomain": EDGE,
            "ApiDomainTarget": "d-1.execute-api",
            "EdgeDomainTarget": "d1.cloudfront.net",
        }.items()
    )


def test_with_a_domain_of_its_own_the_api_has_no_other_address() -> None:
    declared = RESOURCES["HttpApi"]["Properties"]

    assert WITH_DOMAINS.resolve(declared["DisableExecuteApiEndpoint"]) is True
    assert PLAIN.resolve(declared["DisableExecuteApiEndpoint"]) is False
    # The two together make every deployment fail.
    assert "FailOnWarnings" not in declared


def test_without_domains_of_ones_own_the_addresses_are_those_of_aws() -> None:
    outputs = {key: own for key, own in PLAIN.document["Outputs"].items() if "Condition" not in own}

    assert PLAIN.resolve(outputs["WebhookUrl"]["Value"]).endswith(".amazonaws.com/webhook")
    assert PLAIN.resolve(outputs["EdgeDomain"]["Value"]) == "d1.cloudfront.net"
    assert functions(PLAIN)["MediaProxyFunction"].environment["EDGE_URL"] == "https://d1.cloudfront.net"
    assert PLAIN.of_type("AWS::ApiGatewayV2::DomainName") == PLAIN.of_type("AWS::ApiGatewayV2::ApiMapping") == {}


def broken_rules(**parameters: str) -> list[str]:
    """Give what CloudFormation would say to these parameters before it makes anything."""
    template = load(parameters, PHYSICAL)
    assertions = [one for rule in template.document["Rules"].values() for one in rule["Assertions"]]
    return [one["AssertDescription"] for one in assertions if not template.resolve(one["Assert"])]


@pytest.mark.parametrize(
    ("domain", "certificate"), [("ApiDomain", "ApiCertificateArn"), ("EdgeDomain", "EdgeCertificateArn")]
)
def test_a_domain_and_its_certificate_go_together(domain: str, certificate: str) -> None:
    both = {name: OWN_DOMAINS[name] for name in (domain, certificate)}
    message = f"{domain} and {certificate} go together. Give both, or neither"

    assert broken_rules() == broken_rules(**both) == []
    for name, value in both.items():
        assert broken_rules(**{name: value}) == [message]


def test_accesses_to_the_bucket_are_logged_where_a_bucket_for_that_is_named() -> None:
    declared = {"key": RESOURCES["Bucket"]["Properties"]["LoggingConfiguration"]}

    assert PLAIN.resolve(declared) == {}
    assert load({"AccessLogBucket": "logs"}, PHYSICAL).resolve(declared) == {
        "key": {"DestinationBucketName": "logs", "LogFilePrefix": "media/"}
    }


# --- what is not in the template, and what checkov is not to say ---


def test_the_deployment_settings_hold_no_parameter_but_one_and_so_no_secret() -> None:
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
    commands = [own for stage in settings.values() if isinstance(stage, dict) for own in stage.values()]

    assert commands
    given = [own["parameters"]["parameter_overrides"] for own in commands if "parameter_overrides" in own["parameters"]]
    assert [one for one in given if not re.fullmatch(r"Rollout=\w+", one)] == []


def skips() -> list[tuple[str, str, str]]:
    """Give what checkov is told to leave out: resource, check, reason."""
    return [
        (name, one["id"], one.get("comment", ""))
        for name, resource in RESOURCES.items()
        for one in resource.get("Metadata", {}).get("checkov", {}).get("skip", ())
    ]


def test_whatever_checkov_is_told_to_skip_has_a_reason_of_its_own() -> None:
    assert skips()
    for name, check, reason in skips():
        assert re.fullmatch(r"CKV2?_AWS_\d+", check), name
        assert len(reason.split()) >= 8, f"{name} skips {check} without a reason"


def test_checkov_is_told_to_skip_in_the_template_only() -> None:
    (command,) = [line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if "/bin/checkov " in line]

    assert set(re.findall(r"--[a-z-]+", command)) == {
        "--framework",
        "--file",
        "--skip-download",
        "--compact",
        "--quiet",
    }
    assert "checkov:skip" not in (ROOT / "template.yaml").read_text("utf-8")
    assert [path for name in (".checkov.yaml", ".checkov.yml") if (path := ROOT / name).exists()] == []


# --- what the page for operators says ---


@pytest.mark.parametrize("name", sorted(PLAIN.document["Parameters"]))
def test_every_parameter_is_explained(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs/deploy.md").read_text("utf-8")


def test_the_keys_policy_lets_logs_and_edge_use_it_for_this_account_alone() -> None:
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    logs, edge = json.loads("[" + re.search(r"(?ms)^    \{\n      \"Sid\".*?^    \}$(?!,)", page)[0] + "]")  # type: ignore[index]

    assert logs["Principal"] == {"Service": "logs.eu-west-1.amazonaws.com"}
    assert logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"].split(":")[4] == "123456789012"
    assert edge["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert edge["Action"] == "kms:Decrypt"
    assert edge["Condition"]["ArnLike"]["aws:SourceArn"].split(":")[4] == "123456789012"
