import json
from typing import Any

import pytest

from local.template import load
from tests.contract.test_template import PHYSICAL
from tests.permissions import Call, Permission, covers, granted, lacking, needed, superfluous, used_by_aws

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/t"
TEMPLATE = load({}, PHYSICAL)


def call(service: str, operation: str, asked: Any = None, *, path: str = "/", status: int = 200) -> Call:
    body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
    return Call(service, operation, "eu-west-1", "123456789012", path, body, status)


@pytest.mark.parametrize(
    ("operation", "asked", "needs"),
    [
        ("Query", {"TableName": "t"}, {("dynamodb:Query", TABLE)}),
        ("Query", {"TableName": "t", "IndexName": "GSI2"}, {("dynamodb:Query", f"{TABLE}/index/GSI2")}),
        ("BatchGetItem", {"RequestItems": {"t": {"Keys": []}}}, {("dynamodb:BatchGetItem", TABLE)}),
        ("BatchWriteItem", {"RequestItems": {"t": []}}, {("dynamodb:BatchWriteItem", TABLE)}),
        (
            "TransactWriteItems",
            {"TransactItems": [{"ConditionCheck": {"TableName": "t"}}, {"Update": {"TableName": "t"}}]},
            {("dynamodb:ConditionCheckItem", TABLE), ("dynamodb:UpdateItem", TABLE)},
        ),
        ("DescribeTable", {"TableName": "t"}, {("dynamodb:DescribeTable", TABLE)}),
    ],
)
def test_a_call_of_the_table_needs_its_parts(operation: str, asked: Any, needs: set[tuple[str, str]]) -> None:
    assert needed(call("dynamodb", operation, asked)) == needs


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("PutObject", "PutObject"),
        ("CreateMultipartUpload", "PutObject"),
        ("UploadPart", "PutObject"),
        ("CompleteMultipartUpload", "PutObject"),
        ("AbortMultipartUpload", "AbortMultipartUpload"),
        ("HeadObject", "GetObject"),
        ("GetObject", "GetObject"),
        ("DeleteObject", "DeleteObject"),
        ("PUT /bucket", "PUT /bucket"),  # unknown here: nobody is granted that
    ],
)
def test_a_call_of_the_bucket_needs_an_action_on_its_object(operation: str, action: str) -> None:
    found = needed(call("s3", operation, path="/bucket/inline/a b/1"))

    assert found == {(f"s3:{action}", "arn:aws:s3:::bucket/inline/a b/1")}


def test_many_objects_are_deleted_with_a_permission_for_each() -> None:
    body = b"<Delete><Object><Key>inline/1</Key></Object><Object><Key>pdf/a&amp;b</Key></Object></Delete>"

    assert needed(call("s3", "DeleteObjects", body, path="/bucket")) == {
        ("s3:DeleteObject", "arn:aws:s3:::bucket/inline/1"),
        ("s3:DeleteObject", "arn:aws:s3:::bucket/pdf/a&b"),
    }


def test_to_be_told_that_an_object_is_not_there_takes_the_right_to_list() -> None:
    found = needed(call("s3", "HeadObject", path="/bucket/key", status=404))

    assert found == {("s3:GetObject", "arn:aws:s3:::bucket/key"), ("s3:ListBucket", "arn:aws:s3:::bucket")}


def test_queue_and_secret_are_named_by_url_and_arn() -> None:
    queue = {"QueueUrl": "http://127.0.0.1:1/123456789012/fetch"}
    sent = {("sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:fetch")}

    assert needed(call("sqs", "SendMessage", queue)) == needed(call("sqs", "SendMessageBatch", queue)) == sent
    assert needed(call("secretsmanager", "GetSecretValue", {"SecretId": "arn:s"})) == {
        ("secretsmanager:GetSecretValue", "arn:s")
    }


def test_a_service_that_is_unknown_here_needs_what_nobody_has() -> None:
    assert needed(call("sns", "Publish")) == {("sns:Publish", "*")}


@pytest.mark.parametrize(
    ("pattern", "resource", "covered"),
    [
        ("arn:b/inline/*", "arn:b/inline/1/2", True),
        ("arn:b/inline/*", "arn:b/inline", False),
        ("arn:b/inline/*", "arn:b/inline/\n", True),
        ("arn:b/?", "arn:b/x", True),
        ("arn:b/?", "arn:b/xy", False),
        ("arn:b/[a-z]", "arn:b/x", False),
        ("arn:b", "arn:bc", False),
        ("*", "arn:b", True),
    ],
)
def test_a_resource_is_matched_as_iam_matches(pattern: str, resource: str, covered: bool) -> None:
    assert covers(Permission("s3:GetObject", pattern), Permission("s3:GetObject", resource)) is covered


@pytest.mark.parametrize(
    ("action", "covered"),
    [("s3:GetObject", True), ("S3:getobject", True), ("s3:Get*", True), ("s3:*", True), ("s3:PutObject", False)],
)
def test_an_action_is_matched_as_iam_matches(action: str, covered: bool) -> None:
    assert covers(Permission(action, "arn:b"), Permission("s3:GetObject", "arn:b")) is covered


def test_what_lacks_and_what_is_too_much_is_found() -> None:
    read, write, scan = (Permission(f"dynamodb:{name}", TABLE) for name in ("Query", "PutItem", "Scan"))

    assert lacking({read}, {read, write}) == {write}
    assert superfluous({read, write, scan}, {read, write}) == {scan}
    # A second statement that grants the same, only wider, is one too many as well.
    assert Permission("dynamodb:*", TABLE) in superfluous({read, write, Permission("dynamodb:*", TABLE)}, {read, write})


def test_a_role_grants_what_its_own_and_its_managed_policies_say() -> None:
    worker, sweeper = granted(TEMPLATE, "PrefetchFunction"), granted(TEMPLATE, "SweepFunction")

    assert {("sqs:ReceiveMessage", "arn:queue"), ("dynamodb:Query", "arn:table")} <= worker
    assert ("dynamodb:Query", "arn:table/index/GSI2") in sweeper
    assert ("dynamodb:Query", "arn:table") not in sweeper


def test_what_aws_does_in_a_functions_name_is_about_its_own_log_and_its_own_queue() -> None:
    assert set(used_by_aws(TEMPLATE, "SweepFunction")) == {
        ("logs:CreateLogStream", "arn:log:sweep"),
        ("logs:PutLogEvents", "arn:log:sweep"),
    }
    polled = {permission for permission in used_by_aws(TEMPLATE, "PrefetchFunction") if "sqs:" in permission.action}
    assert {resource for _, resource in polled} == {"arn:queue"}
    assert all("https://docs.aws.amazon.com/" in why for why in used_by_aws(TEMPLATE, "PrefetchFunction").values())
