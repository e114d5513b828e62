"""An event, given to the parser again, is what the body it came from would be."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inbound.credentials import App
from inbound.media import contact_id
from tests.builders import PAYLOADS, Json, golden, image_message, notification, status, text_message, wire
from tools.replayed_events import DERIVED, NOT_UNDERSTOOD, Judged, StoredEvent, is_head, judged, proofs, signers
from webhook import payload
from webhook.payload import Delivery, Record, parse

NUMBER, OTHER = "100000000000001", "100000000000002"
RECEIVED = 1_790_800_005_000
RETENTION_DAYS = 365
NAMES = sorted(path.stem for path in PAYLOADS.glob("*.json"))
ANY = App(secrets=("a" * 32,), verify_token="v", phone_number_ids="*")
APPS = {"app": ANY}

calm = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def delivery(body: bytes) -> Delivery:
    return Delivery(body, "app", RECEIVED, RETENTION_DAYS)


def parsed(body: Json) -> list[Record]:
    return parse(delivery(wire(body)))


def stored(event: Record) -> StoredEvent:
    """Give an event as it comes back from the table."""
    attributes = event.attributes
    raw = attributes["raw"].encode() if "raw" in attributes else attributes["raw_bytes"]
    return StoredEvent(event.key, attributes["app_id"], attributes["received"], attributes["reason"], raw)


def again(event: Record, apps: dict[str, App] | None = None) -> Judged:
    return judged(stored(event), apps or APPS, RETENTION_DAYS)


def by_key(records: list[Record]) -> dict[tuple[str, str], Json]:
    return {record.key: record.attributes for record in payload.merged(records)}


def changes(body: Json) -> Iterator[tuple[Json, Json]]:
    for entry in body["entry"]:
        for change in entry["changes"]:
            yield entry, change


def sent(records: list[Record]) -> list[Record]:
    return [record for record in records if record.model != "Event"]


# --- the same records as from the body itself --------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["number_not_bound", "refused"])
@pytest.mark.parametrize("name", NAMES)
def test_a_record_that_could_not_be_stored_comes_back_as_it_was(name: str, reason: str) -> None:
    for record in sent(parsed(golden(name))):
        outcome = again(payload.event(record.attributes, reason, delivery(b"")))

        assert outcome.settled
        assert by_key(outcome.records)[record.key] == record.attributes


@pytest.mark.parametrize("name", NAMES)
def test_a_body_that_could_not_be_read_gives_all_that_is_in_it(name: str) -> None:
    body = golden(name)
    records = parsed(body)

    outcome = again(payload._body_event("unreadable", delivery(wire(body))))

    assert outcome.records == (records if any(one.model in {"Message", "Status"} for one in records) else [])


@pytest.mark.parametrize("name", NAMES)
def test_a_change_whose_field_was_unknown_gives_all_that_is_in_it(name: str) -> None:
    for entry, change in changes(golden(name)):
        # The entry's further keys have an event of their own.
        known = {name: entry[name] for name in ("id", "time") if name in entry}
        records = parsed({"entry": [{**known, "changes": [change]}]})
        whole = {**entry, "change": change}
        del whole["changes"]

        outcome = again(payload.event(whole, "unknown_field", delivery(b""), change["field"]))

        assert outcome.records == (records if any(one.model in {"Message", "Status"} for one in records) else [])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_understood_today_stays_as_it_is(name: str) -> None:
    for record in parsed(golden(name)):
        if record.model == "Event":
            assert again(record) == NOT_UNDERSTOOD


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**15) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
places = st.lists(st.integers(0, 30), min_size=1, max_size=9)


def bent(body: Any, place: list[int], value: object) -> None:
    """Replace one value somewhere in a body, or leave it out (`...`)."""
    step, *rest = place
    keys: Any = list(body) if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ()
    if not keys:
        return
    key = keys[step % len(keys)]
    if rest and isinstance(body[key], dict | list) and body[key]:
        bent(body[key], rest, value)
    elif value is ...:
        del body[key]
    else:
        body[key] = value


@calm
@given(st.sampled_from(NAMES), places, st.just(...) | JSON)
def test_whatever_meta_changes_in_a_body_its_records_come_back_as_they_were(
    name: str, place: list[int], value: object
) -> None:
    body = copy.deepcopy(golden(name))
    bent(body, place, value)

    for record in parsed(body):
        if record.model == "Event":
            outcome = again(record)
            assert record.key not in by_key(outcome.records)
            assert outcome.settled == bool(outcome.records)
        else:
            outcome = again(payload.event(record.attributes, "number_not_bound", delivery(b"")))
            assert outcome.settled
            assert by_key(outcome.records)[record.key] == record.attributes


# --- parts of a body ---------------------------------------------------------------------------------------------


def fragment(content: object, reason: str, field: str = "messages") -> Record:
    whole = {"id": "200000000000001", "field": field, "phone_number_id": NUMBER, "content": content}
    return payload.event(whole, reason, delivery(b""), field)


@pytest.mark.parametrize(
    ("content", "reason", "field"),
    [
        (text_message(), "no_message_id", "messages"),
        (text_message(), "no_message_id", "standby"),
        (text_message(), "no_message_id", "history"),
        (text_message(), "no_message_id", "smb_message_echoes"),
        (status(), "status_without_id", "messages"),
        ({"messages": [image_message()]}, "unknown_keys", "messages"),
        ({"statuses": [status()]}, "unknown_keys", "messages"),
        ({"threads": [{"id": "1", "messages": [text_message()]}]}, "history", "history"),
        ({"id": "1", "messages": [text_message()]}, "unexpected_shape", "history"),
    ],
)
def test_a_part_of_a_change_is_put_back_where_it_was(content: Json, reason: str, field: str) -> None:
    outcome = again(fragment(content, reason, field))

    (record,) = [one for one in outcome.records if one.model in {"Message", "Status"}]
    assert outcome.settled
    assert record.number == NUMBER
    assert record.attributes.get("waba_id", "200000000000001") == "200000000000001"
    if record.model == "Message":
        assert record.attributes["direction"] == ("outbound" if field == "smb_message_echoes" else "inbound")
        assert record.attributes.get("history", False) == (field == "history")


@pytest.mark.parametrize("key", ["metadata", "contacts", "messaging_product"])
def test_a_part_that_would_replace_what_is_known_of_its_change_is_not_understood(key: str) -> None:
    part = {"messages": [text_message()], key: {"phone_number_id": OTHER}}

    assert again(fragment(part, "unknown_keys")) == NOT_UNDERSTOOD


def test_an_entry_of_an_unexpected_shape_is_read_as_an_entry() -> None:
    (entry,) = notification(text_message(), phone_number_id=NUMBER)["entry"]

    assert again(payload.event(entry, "unexpected_shape", delivery(b""))).settled


@pytest.mark.parametrize("about", ["entry", "envelope"])
def test_further_keys_of_an_entry_or_envelope_are_read_in_their_place(about: str) -> None:
    (entry,) = notification(text_message(), phone_number_id=NUMBER)["entry"]
    part = entry if about == "entry" else {"entry": [entry]}

    assert again(payload.event(part, "unknown_keys", delivery(b""))).settled


def test_what_is_left_of_an_understood_event_is_kept_as_events_of_its_own() -> None:
    body = notification(text_message(), phone_number_id=NUMBER)
    body["entry"][0]["changes"][0]["value"]["new"] = "thing"

    outcome = again(payload._body_event("unreadable", delivery(wire(body))))

    (left,) = [one for one in outcome.records if one.model == "Event"]
    assert (left.attributes["reason"], left.attributes["received"]) == ("unknown_keys", RECEIVED)


def test_bytes_that_are_no_utf_8_stay_because_they_are_kept_for_themselves() -> None:
    body = wire(notification(text_message("x"), phone_number_id=NUMBER)).replace(b'"x"', b'"\xff"')
    (kept,) = [one for one in parse(delivery(body)) if one.model == "Event"]

    assert again(kept) == NOT_UNDERSTOOD


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"null", b'{"pk": 1}', b'{"change": []}'])
@pytest.mark.parametrize(
    "reason", ["unreadable", "unknown_field", "unknown_keys", "refused", "number_not_bound", "new"]
)
def test_any_content_is_judged(reason: str, content: bytes) -> None:
    event = StoredEvent(("EVENT#1", "EVENT"), "app", RECEIVED, reason, content)

    assert judged(event, APPS, RETENTION_DAYS).records == []


def test_an_event_that_was_refused_itself_is_read_as_the_event_that_it_was() -> None:
    message = text_message()
    inner = fragment({"messages": [message]}, "unknown_keys")
    raw_bytes = payload._body_event("not_utf8", delivery(b"\xff"))

    outcome = again(payload.refused(inner, delivery(b"")))

    (record,) = outcome.records
    assert json.loads(record.attributes["raw"]) == message
    assert again(payload.refused(raw_bytes, delivery(b""))) == NOT_UNDERSTOOD


def test_a_refused_conversation_head_is_left_to_the_next_message() -> None:
    (head,) = payload.heads(parsed(golden("text")))
    event = payload.refused(head, delivery(b""))

    assert is_head(stored(event))
    assert again(event) == DERIVED


def test_a_message_whose_contact_only_its_thread_told_keeps_the_contact() -> None:
    ours = text_message(sender="15550100001")
    change: Json = {"metadata": {"phone_number_id": NUMBER, "display_phone_number": "15550100001"}}
    change["history"] = [{"threads": [{"id": "15550100101", "messages": [ours]}]}]
    (record,) = parsed({"entry": [{"changes": [{"field": "history", "value": change}]}]})

    outcome = again(payload.event(record.attributes, "number_not_bound", delivery(b"")))

    assert record.attributes["contact_id"] == contact_id(NUMBER, "15550100101")
    assert outcome.records == [record]


def test_what_is_stored_as_it_was_never_overwrites() -> None:
    records = parsed(golden("flow-reply-media"))
    derived = [one for one in records if one.model == "ContactAlias" or "parent_id" in one.attributes]

    for record in derived:
        (kept,) = again(payload.refused(record, delivery(b""))).records
        assert kept == replace(record, write="if_new")
    assert len(derived) > 1


# --- who may write -----------------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_apps_as_they_are_bound_now() -> None:
    event = fragment({"messages": [text_message()]}, "unknown_keys")
    mine = {"app": bound(NUMBER), "other": bound(OTHER, secret="b" * 32)}
    others = {"app": bound(OTHER), "other": bound(NUMBER, secret="b" * 32)}
    nobodys = {"app": bound(OTHER)}

    assert again(event, mine).settled
    assert again(event, others) == NOT_UNDERSTOOD
    assert again(event, nobodys) == NOT_UNDERSTOOD


def bound(*numbers: str, secret: str = "a" * 32) -> App:
    return App(secrets=(secret,), verify_token="v", phone_number_ids=frozenset(numbers))


def test_apps_that_share_a_secret_sign_for_each_other() -> None:
    apps = {"one": bound(), "two": bound(), "three": bound(secret="b" * 32)}

    assert signers("one", apps) == {"one", "two"}


# --- when an event may go ----------------------------------------------------------------------------------------


def test_an_event_may_go_when_its_record_is_there_or_erased_or_refused_as_another_event() -> None:
    (record,) = [one for one in parsed(golden("text-phone-only")) if one.model == "Message"]
    event = stored(fragment({"messages": []}, "unknown_keys"))
    again_refused = payload.refused(record, delivery(b""))

    assert proofs(record, event, delivery(b"")) == {
        record.key,
        (record.partition, "ERASED"),
        again_refused.key,
    }
    assert again_refused.key not in proofs(record, stored(again_refused), delivery(b""))
