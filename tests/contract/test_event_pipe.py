"""What the template and the docs promise of events."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from inbound import event_names
from inbound.media import MEDIA_TYPES
from inbound.problems import TABLE
from local.pipes import passes
from local.template import load, pipes
from media_proxy.media_items import IDENTIFYING
from media_proxy.retries import SETTLED
from tests import events
from tests.contract.test_template import PHYSICAL, ROOT
from tests.permissions import granted_to

TEMPLATE = load({"Events": "on"}, PHYSICAL)
(PIPE,) = pipes(TEMPLATE)
OTHER_BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/crm"
STORED = {
    "id": "1",
    "detail-type": "message.stored",
    "source": "whatsapp-media",
    "time": "2026-10-01T12:00:00Z",
    "detail": {
        "message_id": "a" * 26,
        "phone_number_id": "1",
        "contact_id": "b" * 26,
        "direction": "inbound",
        "timestamp": "1790000000",
        "media_type": "",
        "error_code": "",
    },
}


def test_the_pipe_may_read_its_stream_put_events_on_its_bus_and_nothing_else() -> None:
    read = {f"dynamodb:{name}" for name in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")}
    own = {*((action, "arn:stream") for action in read), ("sqs:SendMessage", "arn:dead-events")}
    theirs = load({"Events": "on", "EventBusName": "crm"}, PHYSICAL)

    assert granted_to(TEMPLATE, "EventPipeRole") == {*own, ("events:PutEvents", "arn:bus")}
    assert granted_to(theirs, "EventPipeRole") == {*own, ("events:PutEvents", OTHER_BUS)}


def test_the_pipe_may_read_a_stream_that_is_encrypted_with_the_customers_key() -> None:
    with_key = load({"Events": "on", "KmsKeyArn": "arn:key"}, {**PHYSICAL, "KeyPolicy": "arn:policy"})

    attached = with_key.properties("EventPipeRole", "AWS::IAM::Role")["ManagedPolicyArns"]
    assert with_key.resolve(attached) == ["arn:policy"]
    assert TEMPLATE.resolve(attached) == []


def test_only_a_pipe_of_this_account_gets_the_role() -> None:
    role = TEMPLATE.resolve(TEMPLATE.properties("EventPipeRole", "AWS::IAM::Role")["AssumeRolePolicyDocument"])

    (statement,) = role["Statement"]
    assert statement["Principal"] == {"Service": "pipes.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_who_wants_no_events_has_nothing_of_them() -> None:
    off = load({}, PHYSICAL)

    on = {name for name, own in off.document["Resources"].items() if own.get("Condition") in ("HasEvents", "HasOwnBus")}
    assert {"EventBus", "EventPipe", "EventPipeRole", "EventDeadLetterQueue", "EventDeadLetterAlarm"} <= on
    kinds = {own["Type"] for name, own in off.document["Resources"].items() if name in on}
    assert not [name for kind in kinds for name in off.of_type(kind) if name in on]


def test_who_has_a_bus_gets_the_events_there_and_no_second_one() -> None:
    template = load({"Events": "on", "EventBusName": "crm"}, PHYSICAL)

    (pipe,) = pipes(template)
    assert pipe.bus == OTHER_BUS
    assert template.of_type("AWS::Events::EventBus") == {}


def test_one_record_that_cannot_be_delivered_does_not_hold_back_the_others() -> None:
    source = TEMPLATE.properties("EventPipe", "AWS::Pipes::Pipe")["SourceParameters"]["DynamoDBStreamParameters"]

    assert source["StartingPosition"] == "TRIM_HORIZON"
    assert source["OnPartialBatchItemFailure"] == "AUTOMATIC_BISECT"
    assert 0 < source["MaximumRetryAttempts"] < 10_000  # -1 is for ever
    assert TEMPLATE.resolve(source["DeadLetterConfig"]) == {"Arn": "arn:dead-events"}


def record(name: str, sk: str, new: dict[str, str] | None, old: dict[str, str] | None) -> dict[str, Any]:
    """Make a record of the stream: what happened to an item, and its texts before and after."""
    images = {"NewImage": new, "OldImage": old}
    typed = {n: {key: {"S": text} for key, text in image.items()} for n, image in images.items() if image is not None}
    return {"eventName": name, "dynamodb": {"Keys": {"pk": {"S": "MSG#x"}, "sk": {"S": sk}}, **typed}}


NEWS, READY, FAILED = {"event": "message.stored"}, {"event": "media.ready"}, {"event": "media.failed"}
STAND_IN = {**NEWS, "media_unavailable": "media_placeholder"}


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        pytest.param(record("INSERT", "MESSAGE", NEWS, None), True, id="a new message"),
        pytest.param(record("INSERT", "MESSAGE", STAND_IN, None), True, id="a new stand-in"),
        pytest.param(record("INSERT", "MESSAGE", {}, None), False, id="an edit, a further medium, an import"),
        pytest.param(record("MODIFY", "MESSAGE", {**NEWS, "gsi2pk": "U"}, NEWS), False, id="a redelivery"),
        pytest.param(record("MODIFY", "MESSAGE", NEWS, {**NEWS, "gsi2pk": "U"}), False, id="settled"),
        pytest.param(record("MODIFY", "MESSAGE", NEWS, STAND_IN), True, id="a stand-in becomes the message"),
        pytest.param(record("MODIFY", "MESSAGE", {**STAND_IN, "x": "y"}, STAND_IN), False, id="it changes only"),
        pytest.param(record("MODIFY", "MESSAGE", {}, STAND_IN), False, id="it becomes what nobody hears of"),
        pytest.param(record("REMOVE", "MESSAGE", None, STAND_IN), False, id="an expired or erased message"),
        pytest.param(record("INSERT", "MEDIA", {"status": "fetching"}, None), False, id="an attempt begins"),
        pytest.param(record("MODIFY", "MEDIA", {"error_code": "rate_limited"}, {}), False, id="an attempt fails"),
        pytest.param(record("MODIFY", "MEDIA", READY, {}), True, id="ready"),
        pytest.param(record("MODIFY", "MEDIA", FAILED, {}), True, id="given up"),
        pytest.param(record("MODIFY", "MEDIA", {**READY, "x": "y"}, READY), False, id="ready as before"),
        pytest.param(record("MODIFY", "MEDIA", {}, READY), False, id="to be fetched anew"),
        pytest.param(record("REMOVE", "MEDIA", None, READY), False, id="expired or erased media"),
        pytest.param(record("INSERT", "STATUS#read#x", {"status": "read"}, None), False, id="a status"),
        pytest.param(record("INSERT", "EDIT#1#x", {"message_id": "x"}, None), False, id="an edit's mark"),
        pytest.param(record("INSERT", "ALIAS", {"message_id": "x"}, None), False, id="an old id"),
        pytest.param(record("INSERT", "ERASED", {}, None), False, id="a tombstone"),
        pytest.param(record("INSERT", "OTHER", NEWS, None), False, id="another item with news of a message"),
        pytest.param(record("INSERT", "OTHER", READY, None), False, id="another item with news of media"),
        pytest.param(record("MODIFY", "OTHER", NEWS, STAND_IN), False, id="another item that becomes something"),
    ],
)
def test_the_filter_lets_pass_what_is_news(happened: dict[str, Any], told: bool) -> None:
    assert passes(PIPE, happened) is told


def test_the_stream_holds_what_the_filters_compare_and_cannot_be_switched_off() -> None:
    table = TEMPLATE.properties("Table", "AWS::DynamoDB::Table")

    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_an_event_is_made_of_ids_and_words_of_our_own() -> None:
    used = set(re.findall(r"NewImage\.(\w+)\.", PIPE.input_template))

    assert used == {*IDENTIFYING, "error_code"}
    assert "<$.dynamodb.OldImage" not in PIPE.input_template
    assert PIPE.detail_type == "$.dynamodb.NewImage.event.S"


def test_every_event_that_the_code_names_passes_and_is_documented() -> None:
    named = {value for name, value in vars(event_names).items() if name.isupper()}

    passing = {name for pattern in PIPE.patterns for name in pattern["dynamodb"]["NewImage"]["event"]["S"]}
    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    assert named == passing == set(events.NAMES)
    assert all(f"| `{name}` |" in page for name in named)
    assert {path.name.removesuffix(".schema.json") for path in events.FOLDER.iterdir()} == named


@pytest.mark.parametrize("name", events.NAMES)
def test_a_schema_says_what_the_template_and_the_code_can_give(name: str) -> None:
    schema = events.SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    detail = schema["properties"]["detail"]

    keys = set(re.findall(r'"(\w+)":', PIPE.input_template))
    assert set(detail["properties"]) == set(detail["required"]) == keys
    assert schema["properties"]["source"] == {"const": PIPE.source}
    assert schema["properties"]["detail-type"] == {"const": name}
    assert set(detail["properties"]["media_type"]["enum"]) - {""} == MEDIA_TYPES


def test_media_fails_for_the_reasons_that_settle_it() -> None:
    expired = next(error for error in TABLE if error.code == "media_expired")

    codes = events.SCHEMAS["media.failed"]["properties"]["detail"]["properties"]["error_code"]["enum"]
    assert codes == sorted(error.code for error in (*SETTLED, expired))


def test_a_good_event_is_valid() -> None:
    events.check(STORED)


@pytest.mark.parametrize(
    "change",
    [
        {"message_id": "wamid.HBgLMTU1NTAxMDAxMDE="},
        {"contact_id": "15550100101"},
        {"direction": ""},
        {"timestamp": 1790000000},
        {"media_type": "text"},
        {"error_code": "media_expired"},
        {"phone_number_id": ""},
        {"text": "Hello"},
    ],
)
def test_a_schema_lets_nothing_else_through(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        events.check({**STORED, "detail": {**STORED["detail"], **change}})  # type: ignore[dict-item]  # it is a mapping


def test_the_example_of_the_page_is_valid() -> None:
    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)

    events.check(events.read(text))
