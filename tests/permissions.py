"""IAM as a template and calls on the wire show it: what the roles grant, what the calls need."""

import html
import json
import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple

from local.intrinsics import PSEUDO_PARAMETERS
from local.template import Template

LOG_GROUP, POLICY = "AWS::Logs::LogGroup", "AWS::IAM::ManagedPolicy"


class Permission(NamedTuple):
    """An action on a resource (an ARN). In what is granted both may hold `*` and `?`."""

    action: str
    resource: str


@dataclass(frozen=True)
class Call:
    """A call as it went over the wire.

    `region` and `account` are where it went, `path` is S3's `/bucket/key`, decoded, and `status` what was answered.
    """

    service: str
    operation: str
    region: str
    account: str
    path: str
    body: bytes
    status: int

    def arn(self, resource: str) -> str:
        return f"arn:aws:{self.service}:{self.region}:{self.account}:{resource}"


# --- what calls need -----------------------------------------------------------------------------------------

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
TRANSACTED = {
    "ConditionCheck": "ConditionCheckItem",
    "Delete": "DeleteItem",
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
}
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
S3 = {
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "HeadObject": "GetObject",
    "UploadPart": "PutObject",
}
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
SQS = {
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "DeleteMessageBatch": "DeleteMessage",
    "SendMessageBatch": "SendMessage",
}


def needed(call: Call) -> set[Permission]:
    """Give what the caller must be granted. An operation that needs no other action needs its own name's."""
    match call.service:
        case "dynamodb":
            return _by_dynamodb(call)
        case "s3":
            return _by_s3(call)
        case "sqs":
            name = json.loads(call.body)["QueueUrl"].rpartition("/")[2]
            return {Permission(f"sqs:{SQS.get(call.operation, call.operation)}", call.arn(name))}
        case "secretsmanager":
            return {Permission(f"secretsmanager:{call.operation}", json.loads(call.body)["SecretId"])}
        case _:
            return {Permission(f"{call.service}:{call.operation}", "*")}


def _by_dynamodb(call: Call) -> set[Permission]:
    asked = json.loads(call.body)
    if "TransactItems" in asked:
        parts = {
            (TRANSACTED[kind], part["TableName"]) for item in asked["TransactItems"] for kind, part in item.items()
        }
    elif "RequestItems" in asked:
        parts = {(call.operation, table) for table in asked["RequestItems"]}
    else:
        index = f"/index/{asked['IndexName']}" if "IndexName" in asked else ""
        parts = {(call.operation, asked["TableName"] + index)}
    return {Permission(f"dynamodb:{action}", call.arn(f"table/{table}")) for action, table in parts}


def _by_s3(call: Call) -> set[Permission]:
    bucket, _, key = call.path.removeprefix("/").partition("/")
    keys = _keys_in(call.body) if call.operation == "DeleteObjects" else [key]
    action = f"s3:{S3.get(call.operation, call.operation)}"
    found = {Permission(action, f"arn:aws:s3:::{bucket}/{key}") for key in keys}
    # Who may not list is told 403 of an object that is not there.
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    if action == "s3:GetObject" and call.status == 404:
        found.add(Permission("s3:ListBucket", f"arn:aws:s3:::{bucket}"))
    return found


def _keys_in(body: bytes) -> list[str]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html."""
    return [html.unescape(key) for key in re.findall("<Key>([^<]*)</Key>", body.decode())]


# --- what roles grant ----------------------------------------------------------------------------------------


def with_names(template: Template) -> Template:
    """Give a template that knows names for what roles refer to and a local run does not make."""
    account = ":".join(PSEUDO_PARAMETERS[name] for name in ("AWS::Region", "AWS::AccountId"))
    logs = {f"{name}.Arn": f"arn:aws:logs:{account}:log-group:{name}:*" for name in template.of_type(LOG_GROUP)}
    policies = {name: f"arn:aws:iam::policy/{name}" for name in template.of_type(POLICY)}
    return template.with_physical({**logs, **policies})


def granted(template: Template, function: str) -> set[Permission]:
    """Give what a function's role allows; the physical values must hold what its statements name."""
    return granted_to(template, role_of(template, function))


def granted_to(template: Template, role_id: str) -> set[Permission]:
    """Give what a role allows, by its logical id."""
    role = template.of_type("AWS::IAM::Role")[role_id]
    managed = {template.resolve({"Ref": name}): own["PolicyDocument"] for name, own in template.of_type(POLICY).items()}
    attached = [managed[arn] for arn in template.resolve(role.get("ManagedPolicyArns", []))]
    return _allowed(template.resolve([own["PolicyDocument"] for own in role.get("Policies", [])] + attached))


def role_of(template: Template, function: str) -> str:
    """Give the logical id of a function's role, which no other function may have."""
    roles: dict[str, str] = {
        name: own["Role"]["Fn::GetAtt"].partition(".")[0]
        for name, own in template.of_type("AWS::Serverless::Function").items()
    }
    assert list(roles.values()).count(roles[function]) == 1, f"{function} shares its role"
    return roles[function]


def _allowed(documents: Iterable[dict[str, Any]]) -> set[Permission]:
    found = set()
    for statement in (own for document in documents for own in document["Statement"]):
        assert statement["Effect"] == "Allow"
        assert statement.keys() <= {"Sid", "Effect", "Action", "Resource"}, "conditions are not understood here"
        for resource in _listed(statement["Resource"]):
            found |= {Permission(action, resource) for action in _listed(statement["Action"])}
    return found


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def covers(grant: Permission, need: Permission) -> bool:
    """Tell whether what is granted allows what is needed.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    """
    return _matches(grant.action.lower(), need.action.lower()) and _matches(grant.resource, need.resource)


def _matches(pattern: str, text: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.DOTALL) is not None


def lacking(grants: Iterable[Permission], needs: Iterable[Permission]) -> set[Permission]:
    """Give what is needed and not granted."""
    known = list(grants)
    return {need for need in needs if not any(covers(grant, need) for grant in known)}


def superfluous(grants: AbstractSet[Permission], needs: AbstractSet[Permission]) -> set[Permission]:
    """Give what could be taken away, one at a time, without anything needed being lacking."""
    return {grant for grant in grants if not lacking(grants - {grant}, needs)}


# --- what AWS itself does in a function's name ----------------------------------------------------------------

POLLING = frozenset({"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"})
LOGGING = frozenset({"logs:CreateLogStream", "logs:PutLogEvents"})


def used_by_aws(template: Template, function: str) -> dict[Permission, str]:
    """Give what no call of a function shows, because AWS makes the call with the function's role; and why."""
    properties = template.of_type("AWS::Serverless::Function")[function]
    log = {"Fn::GetAtt": f"{properties['LoggingConfig']['LogGroup']['Ref']}.Arn"}
    found = {
        Permission(action, template.resolve(log)): "Lambda's runtime writes what the function prints to its log group:"
        " https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html"
        for action in LOGGING
    }
    for event in properties.get("Events", {}).values():
        if event["Type"] == "SQS":
            queue = template.resolve(event["Properties"]["Queue"])
            why = "Lambda polls the queue: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"
            found |= {Permission(action, queue): why for action in POLLING}
    return found
