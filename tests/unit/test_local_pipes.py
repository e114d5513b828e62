"""The local pipe: patterns and input templates against AWS's rules, and a real stream and bus of moto around it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as some
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import StreamShard
from moto.dynamodbstreams.models import DynamoDBStreamsBackend
from moto.events.models import EventPattern

from local import cloud, pipes
from local.cloud import ENDPOINT, Access, Moto, provision
from local.intrinsics import TemplateError
from local.pipes import Relay
from local.template import Pipe, Template

PATTERN = {"dynamodb": {"NewImage": {"event": {"S": ["a", "b"]}}, "OldImage": {"event": {"S": [{"exists": False}]}}}}
DETAIL = '{"id": "<$.dynamodb.Keys.pk.S>", "at": "<$.dynamodb.NewImage.at.N>", "why": "<$.dynamodb.NewImage.why.S>"}'


def a_pipe(**changes: Any) -> Pipe:
    settings = {
        "stream_arn": "arn:stream",
        "position": "TRIM_HORIZON",
        "batch_size": 10,
        "patterns": (PATTERN,),
        "bus": "default",
        "source": "tests",
        "detail_type": "$.dynamodb.NewImage.event.S",
        "input_template": DETAIL,
        **changes,
    }
    return Pipe(**settings)


def by_moto(pattern: dict[str, Any], event: Any) -> bool:
    return EventPattern.load(json.dumps(pattern)).matches_event(event)


def a_record(new: dict[str, Any] | None, old: dict[str, Any] | None = None) -> dict[str, Any]:
    images = {"NewImage": new, "OldImage": old}
    known = {name: image for name, image in images.items() if image is not None}
    return {"eventName": "MODIFY", "dynamodb": {"Keys": {"pk": {"S": "MSG#1"}}, **known}}


# --- patterns ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("new", "old", "passes"),
    [
        ({"event": {"S": "a"}}, {}, True),
        ({"event": {"S": "b"}}, None, True),
        ({"event": {"S": "c"}}, {}, False),
        ({"event": {"N": "a"}}, {}, False),
        ({}, {}, False),
        (None, {"event": {"S": "a"}}, False),
        ({"event": {"S": "a"}}, {"event": {"S": "a"}}, False),
        ({"event": {"S": "a"}}, {"event": {"N": "1"}}, True),
    ],
)
def test_a_record_passes_when_every_leaf_has_a_rule_that_fits(
    new: dict[str, Any] | None, old: dict[str, Any] | None, passes: bool
) -> None:
    record = a_record(new, old)

    assert pipes.passes(a_pipe(), record) is passes
    assert by_moto(PATTERN, record) is passes


def test_one_pattern_of_several_is_enough() -> None:
    other = {"eventName": ["MODIFY"]}

    assert pipes.passes(a_pipe(patterns=(PATTERN, other)), a_record({}))
    assert not pipes.passes(a_pipe(patterns=(PATTERN, {"eventName": ["INSERT"]})), a_record({}))


LEAVES = some.one_of(some.sampled_from(["a", "b", ""]), some.just(1))
NAMES = some.sampled_from(["x", "y"])
VALUES = some.recursive(LEAVES, lambda inner: some.dictionaries(NAMES, inner, min_size=1, max_size=2), max_leaves=5)
RULES = some.lists(some.one_of(some.sampled_from(["a", "b"]), some.builds(lambda on: {"exists": on}, some.booleans())))
PATTERNS = some.recursive(
    RULES.filter(bool), lambda inner: some.dictionaries(NAMES, inner, min_size=1, max_size=2), max_leaves=5
)


@given(some.dictionaries(NAMES, PATTERNS), some.dictionaries(NAMES, VALUES))
def test_patterns_fit_as_another_implementation_says(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    # On an object where a leaf is expected the two differ, and AWS says nothing.
    if not leaf_meets_object(pattern, event):
        assert pipes.fits(pattern, event) == by_moto(pattern, event)


def leaf_meets_object(pattern: Any, value: Any) -> bool:
    if isinstance(pattern, list):
        return isinstance(value, dict)
    inner = value if isinstance(value, dict) else {}
    return any(leaf_meets_object(part, inner.get(name)) for name, part in pattern.items())


@pytest.mark.parametrize("rule", [{"prefix": "a"}, {"anything-but": "a"}, 1, None, True, {"exists": "yes"}])
def test_a_rule_that_is_not_known_is_refused(rule: object) -> None:
    with pytest.raises(TemplateError):
        pipes.fits({"x": [rule]}, {"x": "b"})


# --- events --------------------------------------------------------------------------------------------------------


def test_texts_take_the_place_of_paths_and_what_is_missing_is_empty() -> None:
    entry = pipes.entry(a_pipe(), a_record({"event": {"S": "a"}, "at": {"N": "12"}}))

    assert entry == {
        "EventBusName": "default",
        "Source": "tests",
        "DetailType": "a",
        "Detail": '{"id": "MSG#1", "at": "12", "why": ""}',
    }


def test_a_detail_type_may_be_a_plain_text() -> None:
    assert pipes.entry(a_pipe(detail_type="Changed"), a_record({}))["DetailType"] == "Changed"


def test_nothing_is_escaped_as_in_a_pipe() -> None:
    entry = pipes.entry(a_pipe(), a_record({"event": {"S": "a"}, "why": {"S": 'so "so"'}}))

    with pytest.raises(ValueError, match="delimiter"):
        json.loads(entry["Detail"])


# --- from a stream to a bus ----------------------------------------------------------------------------------------


@pytest.fixture(name="access", scope="module")
def _access(moto: Moto) -> Access:
    return Access({ENDPOINT: moto.url})


def key_of(pk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": "X"}}


class Table:
    """A table of moto with a stream, and a bus of its own."""

    def __init__(self, access: Access, name: str) -> None:
        table = {
            "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamViewType": "NEW_AND_OLD_IMAGES"},
        }
        resources = {
            name: {"Type": "AWS::DynamoDB::Table", "Properties": table},
            f"{name}Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": name}},
        }
        physical = provision(access, Template({"Resources": resources}), {})
        self.access = access
        self.name = physical[name]
        self.stream = physical[f"{name}.StreamArn"]
        self.bus = physical[f"{name}Bus.Arn"]
        self.client = access.client("dynamodb")

    def pipe(self, **changes: Any) -> Pipe:
        return a_pipe(stream_arn=self.stream, bus=self.bus, **changes)

    def put(self, pk: str, **texts: str) -> None:
        item = {**key_of(pk), **{name: {"S": text} for name, text in texts.items()}}
        self.client.put_item(TableName=self.name, Item=item)

    def records(self) -> list[tuple[str, str]]:
        """Give what the stream holds: eventName and key."""
        client = self.access.client("dynamodbstreams")
        (shard,) = client.describe_stream(StreamArn=self.stream)["StreamDescription"]["Shards"]
        place = client.get_shard_iterator(
            StreamArn=self.stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )
        records = client.get_records(ShardIterator=place["ShardIterator"])["Records"]
        return [(record["eventName"], record["dynamodb"]["Keys"]["pk"]["S"]) for record in records]


@pytest.fixture(name="table")
def _table(access: Access, request: pytest.FixtureRequest) -> Table:
    return Table(access, f"T{abs(hash(request.node.name))}")


@contextmanager
def flowing(relay: Relay) -> Iterator[None]:
    stopping = threading.Event()
    thread = threading.Thread(target=relay.run, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def heard(relay: Relay) -> list[tuple[str, str]]:
    return [(event["detail-type"], event["detail"]["id"]) for event in list(relay.heard)]


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_passes_reaches_the_bus_in_its_order(table: Table) -> None:
    for number in range(25):
        table.put(str(number), event="a" if number % 2 else "no")
    relay = Relay(table.pipe(), table.access)

    with flowing(relay):
        wait_for(lambda: len(relay.heard) == 12)

    assert heard(relay) == [("a", str(number)) for number in range(1, 25, 2)]
    event = relay.heard[0]
    assert event.keys() >= {"version", "id", "detail-type", "source", "account", "time", "region", "resources"}
    assert event["source"] == "tests"


def test_a_pipe_goes_on_where_it_was_stopped(table: Table) -> None:
    relay = Relay(table.pipe(), table.access)
    table.put("1", event="a")
    with flowing(relay):
        wait_for(lambda: heard(relay) == [("a", "1")])
    table.put("2", event="a")

    with flowing(relay):
        wait_for(lambda: len(relay.heard) > 1)

    assert heard(relay) == [("a", "1"), ("a", "2")]


def test_a_pipe_may_begin_at_the_end(table: Table) -> None:
    table.put("1", event="a")
    relay = Relay(table.pipe(position="LATEST"), table.access)

    with flowing(relay):
        wait_for(lambda: relay._stream._places)
        table.put("2", event="a")
        wait_for(lambda: relay.heard)

    assert heard(relay) == [("a", "2")]


def test_what_the_bus_does_not_take_comes_again_until_it_does(
    table: Table, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pipes, "PAUSE", 0.05)
    relay = Relay(table.pipe(), table.access)
    put, down = relay._bus.put_events, threading.Event()
    refusals = [ClientError({"Error": {"Code": "InternalFailure"}}, "PutEvents")]

    def put_events(**wanted: Any) -> Any:
        if refusals:
            down.set()
            raise refusals.pop()
        answer = put(**wanted)
        if not answered:
            answered.append(answer)
            # One of two was throttled.
            answer["Entries"][0] = {"ErrorCode": "ThrottlingException"}
        return answer

    answered: list[Any] = []
    monkeypatch.setattr(relay._bus, "put_events", put_events)
    table.put("1", event="a")
    table.put("2", event="b")

    with flowing(relay):
        wait_for(lambda: len(relay.heard) == 2)

    assert down.is_set()
    assert sorted(heard(relay)) == [("a", "1"), ("b", "2")]
    assert [record.message for record in caplog.records] == [
        "The pipe to the event bus does not work (ClientError): tried again until it does",
        "The pipe to the event bus works again",
    ]


def test_what_the_bus_has_not_taken_when_the_pipe_is_stopped_goes_there_when_it_flows_again(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = Relay(table.pipe(batch_size=1), table.access)
    put, refused = relay._bus.put_events, threading.Event()

    def refuse(**_: Any) -> Any:
        refused.set()
        return {"Entries": [{"ErrorCode": "ThrottlingException"}]}

    table.put("1", event="a")
    monkeypatch.setattr(relay._bus, "put_events", refuse)
    with flowing(relay):
        assert refused.wait(10)
    monkeypatch.setattr(relay._bus, "put_events", put)

    with flowing(relay):
        wait_for(lambda: relay.heard)

    assert heard(relay) == [("a", "1")]


def test_an_event_that_is_no_json_is_given_up_and_costs_no_other(
    table: Table, caplog: pytest.LogCaptureFixture
) -> None:
    table.put("1", event="a", why='"')
    table.put("2", event="a")
    relay = Relay(table.pipe(), table.access)

    with flowing(relay):
        wait_for(lambda: relay.heard)

    assert heard(relay) == [("a", "2")]
    assert [record.message for record in caplog.records] == ["An event was given up: its detail is no JSON object"]


def test_a_stream_whose_place_is_lost_is_read_anew(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "PAUSE", 0.05)
    relay = Relay(table.pipe(), table.access)
    table.put("1", event="a")
    with flowing(relay):
        wait_for(lambda: relay.heard)
    client, asked = relay._stream._client, relay._stream._client.get_records
    lost = [ClientError({"Error": {"Code": "ExpiredIteratorException"}}, "GetRecords")]

    def get_records(**wanted: Any) -> Any:
        if lost:
            raise lost.pop()
        return asked(**wanted)

    monkeypatch.setattr(client, "get_records", get_records)
    with flowing(relay):
        wait_for(lambda: len(relay.heard) > 1)

    assert heard(relay) == [("a", "1")] * 2  # at least once


def test_a_shard_that_ends_is_followed_by_the_next(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipes, "PAUSE", 0.05)
    relay = Relay(table.pipe(position="LATEST"), table.access)
    stream = relay._stream
    described = [{"Shards": [{"ShardId": "1"}]}, {"Shards": [{"ShardId": "1"}, {"ShardId": "2"}]}]
    records = {"1": [a_record({"event": {"S": "a"}})], "2": [a_record({"event": {"S": "b"}})]}
    asked: list[tuple[str, str]] = []

    def get_shard_iterator(ShardId: str, ShardIteratorType: str, **_: Any) -> Any:  # noqa: N803  (boto3's names)
        asked.append((ShardId, ShardIteratorType))
        return {"ShardIterator": ShardId}

    monkeypatch.setattr(
        stream._client,
        "describe_stream",
        lambda **_: {"StreamDescription": described.pop(0) if described else {"Shards": []}},
    )
    monkeypatch.setattr(stream._client, "get_shard_iterator", get_shard_iterator)
    monkeypatch.setattr(stream._client, "get_records", lambda **asked: {"Records": records[asked["ShardIterator"]]})
    with flowing(relay):
        wait_for(lambda: len(relay.heard) > 1)

    assert asked == [("1", "LATEST"), ("2", "TRIM_HORIZON")]
    assert heard(relay) == [("a", "MSG#1"), ("b", "MSG#1")]


# --- moto's streams, made to keep DynamoDB's word ------------------------------------------------------------------


def test_a_write_that_changes_nothing_makes_no_record(table: Table) -> None:
    table.put("1", text="x")
    table.put("1", text="x")
    change = {"TableName": table.name, "Key": key_of("1"), "UpdateExpression": "SET #t = :t"}
    names = {"ExpressionAttributeNames": {"#t": "text"}}
    table.client.update_item(**change, **names, ExpressionAttributeValues={":t": {"S": "x"}})
    assert table.records() == [("INSERT", "1")]

    table.client.update_item(**change, **names, ExpressionAttributeValues={":t": {"S": "y"}})
    table.client.delete_item(TableName=table.name, Key=key_of("1"))

    assert table.records() == [("INSERT", "1"), ("MODIFY", "1"), ("REMOVE", "1")]


def test_a_transaction_that_fails_makes_no_record(table: Table) -> None:
    put = {"Put": {"TableName": table.name, "Item": key_of("1")}}
    check = {"TableName": table.name, "Key": key_of("2"), "ConditionExpression": "attribute_exists(pk)"}

    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        table.client.transact_write_items(TransactItems=[put, {"ConditionCheck": check}])

    assert table.records() == []


def to_be_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's moto be as it was when the test is over."""
    for kind, name in ((StreamShard, "add"), (StreamShard, "get"), (DynamoDBStreamsBackend, "get_records")):
        monkeypatch.setattr(kind, name, getattr(kind, name))


def test_a_stream_keeps_its_last_records_and_who_comes_late_goes_on_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    to_be_put_back(monkeypatch)
    monkeypatch.setattr(cloud, "STREAM_RECORDS", 3)
    cloud.stream_what_changes()
    table = SimpleNamespace(
        stream_specification={"StreamViewType": "KEYS_ONLY"}, hash_key_attr="pk", range_key_attr=None
    )
    shard: Any = StreamShard("123456789012", table)  # type: ignore[arg-type]  # all that a shard looks at
    first = shard.starting_sequence_number

    for number in range(7):
        shard.add(None, Item(DynamoType({"S": str(number)}), None, {"pk": {"S": str(number)}}))

    def keys(start: int) -> list[str]:
        return [record["dynamodb"]["Keys"]["pk"]["S"] for record in shard.get(start, 10)]

    assert keys(first) == keys(first + 3) == ["3", "4", "5", "6"]
    assert keys(first + 5) == ["5", "6"]
    assert [record["dynamodb"]["SequenceNumber"] for record in shard.get(first + 6, 1)] == [str(first + 6)]


def test_only_the_newest_places_in_streams_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    to_be_put_back(monkeypatch)
    monkeypatch.setattr(DynamoDBStreamsBackend, "get_records", lambda *_: "records")
    monkeypatch.setattr(cloud, "ITERATORS", 2)
    cloud.stream_what_changes()
    backend: Any = SimpleNamespace(shard_iterators={"old": 1, "newer": 2, "newest": 3})

    assert DynamoDBStreamsBackend.get_records(backend, "newest", 1) == "records"  # type: ignore[comparison-overlap]

    assert list(backend.shard_iterators) == ["newer", "newest"]
