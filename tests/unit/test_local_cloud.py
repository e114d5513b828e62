"""Resources of template.yaml in moto's server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local import template as templates
from local.cloud import Access, CloudError, Moto, provision
from local.template import Template

SECRETS = {"AppsSecret": "{}", "GraphSecret": '{"tokens":{}}', "SigningKeySecret": "[]"}


@pytest.fixture(name="template", scope="module")
def _template() -> Template:
    return templates.load({"AllowedOrigins": "http://a"})


@pytest.fixture(name="access", scope="module")
def _access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    moto = Moto(tmp_path_factory.mktemp("moto"))
    moto.wait()
    yield Access({"AWS_ENDPOINT_URL": moto.url})
    assert moto.alive
    moto.close()
    assert not moto.alive


@pytest.fixture(name="physical", scope="module")
def _physical(access: Access, template: Template) -> dict[str, str]:
    return provision(access, template, SECRETS)


def test_the_table_is_made_as_the_template_says(access: Access, physical: dict[str, str]) -> None:
    client = access.client("dynamodb")

    table = client.describe_table(TableName=physical["Table"])["Table"]
    expiry = client.describe_time_to_live(TableName=physical["Table"])["TimeToLiveDescription"]
    assert [part["AttributeName"] for part in table["KeySchema"]] == ["pk", "sk"]
    assert {index["IndexName"] for index in table["GlobalSecondaryIndexes"]} == {"GSI1", "GSI2"}
    assert table["TableArn"] == physical["Table.Arn"]
    assert (expiry["TimeToLiveStatus"], expiry["AttributeName"]) == ("ENABLED", "ttl")


def test_jobs_that_fail_go_to_the_dead_letter_queue(access: Access, physical: dict[str, str]) -> None:
    answer = access.client("sqs").get_queue_attributes(QueueUrl=physical["FetchQueue"], AttributeNames=["All"])

    policy = json.loads(answer["Attributes"]["RedrivePolicy"])
    assert policy["deadLetterTargetArn"] == physical["FetchDeadLetterQueue.Arn"]
    assert answer["Attributes"]["QueueArn"] == physical["FetchQueue.Arn"]


def test_the_table_has_a_stream_and_the_events_a_bus(access: Access, template: Template) -> None:
    wanted = templates.load({"Events": "on"})

    physical = provision(access, wanted, SECRETS)

    stream = access.client("dynamodbstreams").describe_stream(StreamArn=physical["Table.StreamArn"])
    assert stream["StreamDescription"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert access.client("events").describe_event_bus(Name=physical["EventBus"])["Arn"] == physical["EventBus.Arn"]
    assert provision(access, wanted, SECRETS)["EventBus.Arn"] == physical["EventBus.Arn"]
    assert "EventBus" not in provision(access, template, SECRETS)


def test_a_table_that_had_no_stream_gets_one(access: Access) -> None:
    properties = {
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    without = Template({"Resources": {"Older": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}})
    streamed = {**properties, "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"}}
    later = Template({"Resources": {"Older": {"Type": "AWS::DynamoDB::Table", "Properties": streamed}}})

    assert "Older.StreamArn" not in provision(access, without, {})

    assert "/stream/" in provision(access, later, {})["Older.StreamArn"]


def test_the_bucket_takes_objects(access: Access, physical: dict[str, str]) -> None:
    client = access.client("s3")
    client.put_object(Bucket=physical["Bucket"], Key="a/b", Body=b"x")

    assert client.get_object(Bucket=physical["Bucket"], Key="a/b")["Body"].read() == b"x"


def test_every_variable_of_every_function_can_be_resolved(template: Template, physical: dict[str, str]) -> None:
    known = template.with_physical({**physical, "Distribution.DomainName": "edge"})

    functions = templates.functions(known)
    assert functions["WebhookFunction"].environment["QUEUE_URL"] == physical["FetchQueue"]
    assert functions["MediaProxyFunction"].environment["TABLE_NAME"] == physical["Table"]
    assert functions["PrefetchFunction"].environment["BUCKET_NAME"] == physical["Bucket"]


def test_what_exists_is_taken_over_and_secrets_are_renewed(
    access: Access, template: Template, physical: dict[str, str]
) -> None:
    access.client("s3").put_object(Bucket=physical["Bucket"], Key="kept", Body=b"kept")

    again = provision(access, template, {**SECRETS, "AppsSecret": '{"new":1}'})

    secret = access.client("secretsmanager").get_secret_value(SecretId=again["AppsSecret"])
    assert again == physical
    assert secret["SecretString"] == '{"new":1}'
    assert access.client("s3").get_object(Bucket=again["Bucket"], Key="kept")["Body"].read() == b"kept"


def test_a_table_with_other_keys_is_not_taken_over(access: Access, physical: dict[str, str]) -> None:
    key = {"AttributeName": "id", "AttributeType": "S"}
    properties = {
        "AttributeDefinitions": [key],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    other = Template({"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}})

    with pytest.raises(CloudError, match=physical["Table"]):
        provision(access, other, {})


def test_other_regions_work_too(access: Access, template: Template) -> None:
    abroad = Access(access.endpoints, "eu-central-1")
    bucket = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}, "Queue": {"Type": "AWS::SQS::Queue"}}}

    physical = provision(abroad, Template(bucket), {})

    assert physical["Bucket.RegionalDomainName"].endswith(".s3.eu-central-1.amazonaws.com")
    assert ":eu-central-1:" in physical["Queue.Arn"]


def test_a_secret_without_a_value_is_refused(access: Access, template: Template) -> None:
    with pytest.raises(CloudError, match="SigningKeySecret"):
        provision(access, template, {"AppsSecret": "{}", "GraphSecret": "{}"})


def test_what_the_emulator_refuses_is_not_swallowed(access: Access) -> None:
    undefined = [{"AttributeName": "undefined", "KeyType": "HASH"}]
    properties = {"AttributeDefinitions": [], "KeySchema": undefined, "BillingMode": "PAY_PER_REQUEST"}
    broken = Template({"Resources": {"Broken": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}})

    with pytest.raises(ClientError):
        provision(access, broken, {})


def test_of_many_conditional_writes_at_once_one_wins(access: Access, physical: dict[str, str]) -> None:
    client = access.client("dynamodb")
    key = {"pk": {"S": "race"}, "sk": {"S": "race"}}
    client.put_item(TableName=physical["Table"], Item={**key, "fence": {"N": "0"}})

    def take(_: int) -> bool:
        try:
            client.update_item(
                TableName=physical["Table"],
                Key=key,
                UpdateExpression="SET fence = :next",
                ConditionExpression="fence = :now",
                ExpressionAttributeValues={":now": {"N": "0"}, ":next": {"N": "1"}},
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(take, range(64))) == 1


def test_a_server_that_does_not_start_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    moto = Moto(tmp_path)

    with pytest.raises(CloudError, match="did not start"):
        moto.wait()
    moto.close()


def test_a_transaction_sent_again_under_its_token_is_answered_as_before(
    access: Access, physical: dict[str, str]
) -> None:
    client = access.client("dynamodb")
    put = {
        "TableName": physical["Table"],
        "Item": {"pk": {"S": "transaction"}, "sk": {"S": "once"}},
        "ConditionExpression": "attribute_not_exists(pk)",
    }

    for _ in range(2):
        client.transact_write_items(TransactItems=[{"Put": put}], ClientRequestToken="one")

    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        client.transact_write_items(TransactItems=[{"Put": put}], ClientRequestToken="another")


def test_a_transaction_that_fails_changes_nothing(access: Access, physical: dict[str, str]) -> None:
    client, table = access.client("dynamodb"), physical["Table"]
    key = {"pk": {"S": "undone"}, "sk": {"S": "1"}}
    other = {"pk": {"S": "undone"}, "sk": {"S": "2"}}
    client.put_item(TableName=table, Item={**key, "n": {"N": "1"}})
    add = {
        "TableName": table,
        "Key": key,
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    new = {"TableName": table, "Item": other}
    never = {
        "TableName": table,
        "Key": {"pk": {"S": "no"}, "sk": {"S": "no"}},
        "ConditionExpression": "attribute_exists(pk)",
    }

    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        client.transact_write_items(TransactItems=[{"Update": add}, {"Put": new}, {"ConditionCheck": never}])

    items = client.query(
        TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": {"S": "undone"}}
    )["Items"]
    assert items == [{**key, "n": {"N": "1"}}]
    client.transact_write_items(TransactItems=[{"Update": add}, {"Put": new}])
    assert client.get_item(TableName=table, Key=key)["Item"]["n"] == {"N": "2"}
