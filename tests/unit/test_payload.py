"""What holds for every body that Meta, or anybody with the app secret, may send."""

import base64
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inbound import messages as table
from inbound.media import (
    MEDIA_TYPES,
    contact_id,
    is_media_id,
    key_part,
    kind_of,
    media_objects,
    message_id,
    object_key,
    sha256_hex,
)
from tests.builders import (
    MIB,
    PAYLOADS,
    Json,
    any_user_id,
    any_wamid,
    batch,
    envelope,
    golden,
    image_message,
    message,
    notification,
    status,
    text_message,
    wire,
)
from webhook.payload import Delivery, Record, advanced, heads, merged, order, parse, slimmed

NUMBER = "100000000000001"
RECEIVED = 1_790_800_005_000
TIME = 1_790_800_000
DAY = 24 * 3600

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
fast = settings(calm, max_examples=30)


def delivery(body: bytes) -> Delivery:
    return Delivery(body=body, app_id="app-1", received=RECEIVED, retention_days=365)


def parsed(body: object) -> list[Record]:
    # Through ASCII escapes, so that half a surrogate pair can travel as it does in JSON.
    return parse(delivery(json.dumps(body).encode("ascii")))


def messages(records: Sequence[Record]) -> list[Json]:
    return [record.attributes for record in records if record.model == "Message"]


def events(records: Sequence[Record]) -> list[Json]:
    return [record.attributes for record in records if record.model == "Event"]


def only(body: object) -> Json:
    (found,) = messages(parsed(body))
    return found


# --- what may come ------------------------------------------------------------------------------------------

META_KEYS = [
    "object",
    "entry",
    "id",
    "time",
    "changes",
    "field",
    "value",
    "metadata",
    "phone_number_id",
    "contacts",
    "display_phone_number",
    "messaging_product",
    "profile",
    "name",
    "wa_id",
    "user_id",
    "messages",
    "statuses",
    "message_echoes",
    "history",
    "threads",
    "from",
    "from_user_id",
    "to",
    "to_user_id",
    "group_id",
    "timestamp",
    "type",
    "text",
    "body",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "mime_type",
    "sha256",
    "caption",
    "filename",
    "voice",
    "animated",
    "context",
    "referral",
    "errors",
    "code",
    "title",
    "interactive",
    "nfm_reply",
    "response_json",
    "edit",
    "message",
    "revoke",
    "original_message_id",
    "status",
    "recipient_id",
    "standby",
    "media_placeholder",
    "unsupported",
    "smb_message_echoes",
]
characters = st.characters(categories=["L", "N", "P", "Z", "S", "Cc", "Cs", "Co"])
texts = st.text(characters, max_size=12) | st.sampled_from(META_KEYS)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
keys = st.sampled_from(META_KEYS) | st.text(characters, max_size=5)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=25,
)
kinds = st.sampled_from(
    [
        *sorted(MEDIA_TYPES),
        "text",
        "edit",
        "revoke",
        "interactive",
        "unsupported",
        "media_placeholder",
        "unknown",
    ]
)


def strange_messages(ids: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Messages of known and unknown types in which every other part may be anything."""
    parts = dict.fromkeys(("from", "from_user_id", "to", "group_id", "timestamp", "context", "errors"), anything)
    typed = st.tuples(kinds | texts, anything).map(lambda pair: {"type": pair[0], pair[0]: pair[1]})
    return st.tuples(st.fixed_dictionaries({}, optional=parts), typed, ids).map(
        lambda drawn: {**drawn[0], **drawn[1], "id": drawn[2]}
    )


some_ids = st.text(characters, min_size=1, max_size=30)
LISTS = [
    ("messages", "messages"),
    ("standby", "messages"),
    ("standby", "message_echoes"),
    ("history", "messages"),
    ("smb_message_echoes", "message_echoes"),
    ("message_echoes", "message_echoes"),
]


def value_with(**lists: Any) -> Json:
    metadata = {"display_phone_number": "15550100001", "phone_number_id": NUMBER}
    return {"messaging_product": "whatsapp", "metadata": metadata, **lists}


def keys_of(record: Record) -> list[str]:
    names = ("pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk")
    return [record.attributes[name] for name in names if name in record.attributes]


def assert_storable(record: Record) -> None:
    """Hold what DynamoDB and the table's contract demand of a record."""
    for key in keys_of(record):
        assert len(key.encode()) <= 1024
        assert all(len(part.encode()) <= 128 for part in key.split("#"))
        assert all(part for part in key.split("#")), key
    assert record.attributes["pk"]
    assert record.attributes["sk"]
    for name, value in record.attributes.items():
        assert isinstance(value, str | bytes | bool | int | list), name
        str(value).encode()  # raises for what is not Unicode
        assert isinstance(value, str | bytes | list) or abs(value) < 10**15


# --- nothing raises, everything can be stored ---------------------------------------------------------------


@fast
@given(anything)
def test_any_json_becomes_records_that_can_be_stored(body: Any) -> None:
    records = parsed(body)

    assert records or body["entry"] == [] or all(entry["changes"] == [] for entry in body["entry"])
    for record in records:
        assert_storable(record)


@fast
@given(st.binary(max_size=200))
def test_any_bytes_become_records_that_can_be_stored(body: bytes) -> None:
    for record in parse(delivery(body)):
        assert_storable(record)


@fast
@given(st.sampled_from(["messages", "standby", "history", "message_echoes", "calls"]) | texts, anything)
def test_any_value_of_any_field_becomes_records_that_can_be_stored(field: str, value: Any) -> None:
    for whole in (value, value_with(**value) if isinstance(value, dict) else value):
        for record in parsed(envelope([{"field": field, "value": whole}])):
            assert_storable(record)


@fast
@given(
    st.lists(strange_messages(anything), max_size=3),
    st.lists(anything, max_size=3),
    st.lists(anything, max_size=3),
)
def test_strange_messages_contacts_and_statuses_become_records_that_can_be_stored(
    strange: list[Json], contacts: list[Any], statuses: list[Any]
) -> None:
    value = value_with(messages=strange, contacts=contacts, statuses=statuses)

    records = parsed(envelope([{"field": "messages", "value": value}]))

    assert len(records) >= len(strange) + len(statuses)
    for record in [*records, *merged(records), *heads(records)]:
        assert_storable(record)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00",
        b'{"entry": [',
        b"[" * 200_000,
        b'{"entry":' * 5_000,
        b"[]",
        b"{}",
        b"null",
        b'"entry"',
        b'{"entry": {"id": 1}}',
    ],
    ids=lambda body: str(body[:12]),
)
def test_a_body_that_cannot_be_understood_is_kept_to_the_byte(body: bytes) -> None:
    (kept,) = events(parse(delivery(body)))

    raw = kept.get("raw", "").encode() or kept.get("raw_bytes", b"")
    assert raw == body


def test_a_message_that_is_nested_too_deep_is_kept_and_its_siblings_are_stored() -> None:
    hole = b'{"a":' * 700 + b"1" + b"}" * 700
    deep = wire(notification(text_message(), message("text", "HOLE"), text_message())).replace(b'"HOLE"', hole)

    records = parse(delivery(deep))

    assert len(messages(records)) + len(events(records)) == 3
    assert len(messages(records)) >= 2


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "9" * 5000, "-" + "9" * 999, "1E-400"])
def test_a_number_that_no_table_can_hold_hurts_nobody(number: str) -> None:
    strange = message("location", {"latitude": "HOLE", "longitude": 1})
    body = wire(notification(image_message(), strange, text_message())).replace(b'"HOLE"', number.encode())

    records = parse(delivery(body))

    assert [found["type"] for found in messages(records)] == ["image", "location", "text"]
    for record in records:
        assert_storable(record)


# --- every message exactly once -----------------------------------------------------------------------------


@fast
@given(st.sampled_from(LISTS), st.lists(strange_messages(some_ids), min_size=1, max_size=4))
def test_a_message_with_an_id_is_stored_once_whatever_list_it_is_in(
    place: tuple[str, str], strange: list[Json]
) -> None:
    field, name = place

    stored = messages(parsed(envelope([{"field": field, "value": value_with(**{name: strange})}])))

    parents = Counter(found["message_id"] for found in stored if "parent_id" not in found)
    assert parents == Counter(message_id(NUMBER, one["id"]) for one in strange)


@fast
@given(st.lists(strange_messages(some_ids), min_size=1, max_size=4), anything)
def test_a_message_of_the_history_is_stored_once(strange: list[Json], thread: Any) -> None:
    threads = [{"id": thread, "messages": strange}]

    stored = messages(parsed(envelope([{"field": "history", "value": value_with(history=[{"threads": threads}])}])))

    parents = Counter(found["message_id"] for found in stored if "parent_id" not in found)
    assert parents == Counter(message_id(NUMBER, one["id"]) for one in strange)


def test_every_message_of_a_large_batch_is_stored_once() -> None:
    stored = messages(parsed(batch(1000)))

    assert len({found["pk"] for found in stored}) == 1000
    assert len({found["provider_media_id"] for found in stored}) == 1000
    assert len({(found["phone_number_id"], found["contact_id"]) for found in stored}) == 60


def test_every_status_of_a_body_is_stored() -> None:
    made = [status(name) for name in ("sent", "delivered", "read", "played", "failed")]

    stored = [record for record in parsed(notification(statuses=made)) if record.model == "Status"]

    assert [record.attributes["status"] for record in stored] == [one["status"] for one in made]
    assert len({record.key for record in stored}) == 5


def test_what_is_no_message_is_kept_and_its_siblings_are_stored() -> None:
    good = [text_message(), image_message()]
    strange: list[Any] = [
        None,
        7,
        "text",
        [],
        {},
        {"id": ""},
        {"id": None, "type": "image"},
        {"id": {"$": 1}},
    ]

    records = parsed(notification(good[0], *strange, good[1], contacts=[]))

    assert [found["wamid"] for found in messages(records)] == [one["id"] for one in good]
    assert [json.loads(kept["raw"])["content"] for kept in events(records)] == strange


@pytest.mark.parametrize("strange", [None, 7, "x", [], {}, {"changes": 3}, {"changes": {}}, {"id": "1"}], ids=repr)
def test_a_strange_entry_is_kept_and_its_siblings_are_stored(strange: Any) -> None:
    body = notification(text_message())
    body["entry"] += [strange, *notification(image_message())["entry"]]

    records = parsed(body)

    assert [found["type"] for found in messages(records)] == ["text", "image"]
    assert [json.loads(kept["raw"]) for kept in events(records)] == [strange]


@pytest.mark.parametrize(
    "strange",
    [
        None,
        "x",
        {"field": "messages"},
        {"field": "messages", "value": []},
        {"field": "messages", "value": {"messages": [{"id": "wamid.x", "type": "text"}]}},
        {
            "field": "messages",
            "value": {"metadata": {"phone_number_id": ""}, "messages": [{"id": "wamid.x"}]},
        },
        {"field": None, "value": {"metadata": {"phone_number_id": "1"}, "messages": [{"id": "wamid.x"}]}},
    ],
    ids=repr,
)
def test_a_change_of_unknown_shape_or_without_a_number_is_kept_whole(strange: Any) -> None:
    body = envelope([strange, *notification(text_message())["entry"][0]["changes"]])

    records = parsed(body)

    assert [json.loads(kept["raw"])["change"] for kept in events(records)] == [strange]
    assert len(messages(records)) == 1


ODDITIES: list[Any] = [None, 7, [], {"id": []}]
# The unsupported types are alike, so one of them stands for all.
SHAPES = [path.stem for path in PAYLOADS.glob("*.json") if not path.stem.startswith("unsupported-")] + [
    "unsupported-gif"
]


def test_no_body_of_meta_with_one_part_replaced_raises_or_vanishes() -> None:
    for name in SHAPES:
        body = golden(name)
        for place, oddity in itertools.product(paths(body), ODDITIES):
            records = parsed(with_change(body, place, oddity))

            assert records or oddity == []
            for record in records:
                assert_storable(record)


# --- siblings -----------------------------------------------------------------------------------------------

SIBLINGS = [
    *(golden("image-caption")["entry"][0]["changes"][0]["value"]["messages"]),
    *(golden("flow-reply-media")["entry"][0]["changes"][0]["value"]["messages"]),
    *(golden("edit-image")["entry"][0]["changes"][0]["value"]["messages"]),
    *(golden("too-large-video")["entry"][0]["changes"][0]["value"]["messages"]),
    *(golden("text-reply")["entry"][0]["changes"][0]["value"]["messages"]),
]
CONTACTS = golden("image")["entry"][0]["changes"][0]["value"]["contacts"]
DROPPED = object()


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Give the places of a structure, the outermost first."""
    if isinstance(value, dict):
        inner = [paths(part, (*path, key)) for key, part in value.items()]
    elif isinstance(value, list):
        inner = [paths(part, (*path, place)) for place, part in enumerate(value)]
    else:
        inner = []
    return [path, *itertools.chain.from_iterable(inner)]


def with_change(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """Copy a structure with one place changed, or dropped."""
    if not path:
        return None if new is DROPPED else new
    head, *rest = path
    copy = value.copy()
    if not rest and new is DROPPED:
        del copy[head]
    else:
        copy[head] = with_change(value[head], tuple(rest), new)
    return copy


CHANGEABLE = [(place, path) for place, one in enumerate(SIBLINGS) for path in paths(one)]


@settings(calm, max_examples=100)
@given(st.sampled_from(CHANGEABLE), st.just(DROPPED) | anything)
def test_changing_one_message_never_changes_what_is_stored_of_its_siblings(
    where: tuple[int, tuple[str | int, ...]], new: Any
) -> None:
    place, path = where
    changed = [with_change(one, path, new) if here == place else one for here, one in enumerate(SIBLINGS)]

    records = parsed(notification(*changed, phone_number_id=NUMBER, contacts=CONTACTS))

    for here, one in enumerate(SIBLINGS):
        if here != place:
            alone = parsed(notification(one, phone_number_id=NUMBER, contacts=CONTACTS))
            assert all(record in records for record in alone)


@fast
@given(st.sampled_from(paths(CONTACTS)[1:]), st.just(DROPPED) | anything)
def test_changing_the_contacts_never_loses_a_message(path: tuple[str | int, ...], new: Any) -> None:
    contacts = with_change(CONTACTS, path, new)

    records = parsed(notification(*SIBLINGS, phone_number_id=NUMBER, contacts=contacts))

    stored = {found["message_id"]: found.get("provider_media_id") for found in messages(records)}
    untouched = messages(parsed(notification(*SIBLINGS, phone_number_id=NUMBER, contacts=CONTACTS)))
    assert stored == {found["message_id"]: found.get("provider_media_id") for found in untouched}


# --- the media id: one rule ---------------------------------------------------------------------------------


@fast
@given(st.sampled_from(sorted(MEDIA_TYPES)), st.text(min_size=1).filter(str.strip), strange_messages(some_ids))
def test_the_media_id_is_the_trimmed_id_of_the_object_named_by_the_type(
    kind: str, media_id: str, strange: Json
) -> None:
    (found,) = media_objects({**strange, "type": kind, kind: {"id": f" {media_id}\n", "media_id": "other"}})

    assert (found.kind, found.media_id) == (kind, media_id.strip())


@fast
@given(
    st.sampled_from(sorted(MEDIA_TYPES)),
    st.dictionaries(keys.filter(lambda key: key != "id"), anything),
    strange_messages(some_ids),
)
def test_no_other_key_is_searched_for_a_media_id(kind: str, fields: Json, strange: Json) -> None:
    elsewhere = {other: {"id": "4100000"} for other in MEDIA_TYPES} | {
        "media_id": "4100000",
        "attachment_id": "4",
    }

    (found,) = media_objects({**strange, **elsewhere, "type": kind, kind: fields})

    assert found.media_id is None


@fast
@given(strange_messages(some_ids), texts.filter(lambda kind: kind not in {*MEDIA_TYPES, "edit", "interactive"}))
def test_a_type_without_media_has_none_whatever_it_holds(strange: Json, kind: str) -> None:
    held = {other: {"id": "4100000", "mime_type": "image/jpeg"} for other in MEDIA_TYPES}

    assert media_objects({**strange, **held, "type": kind}) == []


@pytest.mark.parametrize("given_id", [None, "", "  ", [], {}, 1.5, True, ["410"], {"id": "410"}], ids=repr)
def test_what_is_no_media_id_makes_the_media_unavailable(given_id: Any) -> None:
    found = only(notification(message("image", {"id": given_id, "mime_type": "image/jpeg"})))

    assert "provider_media_id" not in found
    assert found["media_unavailable"] == "no media id"
    assert "gsi2pk" not in found


def test_a_media_id_that_is_a_number_becomes_its_digits() -> None:
    assert only(notification(image_message(media={"id": 4100000000000017})))["provider_media_id"] == "4100000000000017"


def test_a_message_of_a_media_type_has_an_id_or_a_reason_never_both() -> None:
    contents: list[Any] = [{"id": "410"}, {}, None, "410", []]
    for kind, content in itertools.product(sorted(MEDIA_TYPES), contents):
        found = only(notification(message(kind, content)))

        assert ("provider_media_id" in found) != ("media_unavailable" in found)


def test_an_edit_of_an_edit_holds_no_media() -> None:
    inner = {"type": "edit", "edit": {"message": {"type": "image", "image": {"id": "410"}}}}

    assert media_objects({"type": "edit", "edit": {"message": inner}}) == []


def test_the_same_medium_twice_in_a_flow_reply_is_one_medium() -> None:
    photo = {"id": 410, "mime_type": "image/jpeg", "file_name": "deck.jpg"}
    reply = {
        "photos": [photo, photo],
        "again": photo,
        "flow_token": "t",
        "none": {"id": 1},
        "no_id": {"mime_type": "x"},
    }
    interactive = {"type": "nfm_reply", "nfm_reply": {"response_json": json.dumps(reply)}}

    stored = messages(parsed(notification(message("interactive", interactive))))

    assert [(found["provider_media_id"], found["filename"]) for found in stored] == [("410", "deck.jpg")]


# --- ids and keys -------------------------------------------------------------------------------------------


def base32_of(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()).decode().lower()[:26]


@fast
@given(st.text(characters), st.text(characters))
def test_a_message_id_is_the_documented_hash(number: str, wamid: str) -> None:
    assert message_id(number, wamid) == base32_of(f"{number}\n{wamid}")
    assert contact_id(number, wamid) == base32_of(f"{number}\n{wamid}")


def test_a_message_id_never_changes_from_one_release_to_the_next() -> None:
    assert message_id("100000000000001", "wamid.HBgLMTU1NTAxMDAxMDE=") == "6cbznzakyaiyy2e3rcfuzddbsk"


@fast
@given(st.from_regex(r"[1-9][0-9]{9,14}", fullmatch=True), st.sampled_from(["from", "group_id", "from_user_id"]))
def test_no_key_holds_what_identifies_a_person(person: str, name: str) -> None:
    fields: Json = {
        "sender": f"99{person}",
        name: f"99{person}",
        "id": f"wamid.99{person}",
        "timestamp": str(TIME),
    }
    one = image_message(**fields)
    sent = status("read", f"wamid.99{person}", recipient_id=f"99{person}", recipient_participant_id=f"99{person}")
    contacts = [{"wa_id": f"99{person}", "user_id": f"US.99{person}", "profile": {"name": f"99{person}"}}]

    records = parsed(notification(one, statuses=[sent], contacts=contacts, phone_number_id=NUMBER))

    assert len(records) >= 2
    for record in [*records, *heads(records)]:
        assert not any(f"99{person}" in key for key in keys_of(record))


@pytest.mark.parametrize("name", ["from", "from_user_id", "group_id", "id", "type", "timestamp"])
@pytest.mark.parametrize(
    "strange", ["x" * 70_000, "\ud83d", "é" * 100, "a/b#c%2F\0\n"], ids=["long", "half", "wide", "signs"]
)
def test_a_strange_id_is_hashed_into_keys_and_stored(name: str, strange: str) -> None:
    records = parsed(notification({**text_message(), name: strange}, contacts=[]))

    assert len(messages(records)) == 1
    for record in records:
        assert_storable(record)


@pytest.mark.parametrize("number", ["x" * 70_000, "\ud83d", "é" * 100])
def test_a_strange_number_is_hashed_into_keys_and_stored(number: str) -> None:
    records = parsed(
        notification(image_message(from_user_id=any_user_id()), statuses=[status()], phone_number_id=number)
    )

    assert {record.model for record in records} == {"Message", "Status", "ContactAlias"}
    for record in [*records, *heads(records)]:
        assert_storable(record)


def test_the_same_id_at_two_numbers_is_two_messages() -> None:
    one = text_message()

    first, second = (only(notification(one, phone_number_id=number)) for number in ("1", "2"))

    assert first["pk"] != second["pk"]
    assert first["contact_id"] != second["contact_id"]


@fast
@given(st.text(characters), st.text(characters))
def test_a_key_part_is_short_and_different_for_different_texts(one: str, other: str) -> None:
    assert len(key_part(one).encode()) <= 128
    assert (key_part(one) == key_part(other)) == (one == other)


@pytest.mark.parametrize("number", ["100000000000001", "../../x", "a/b", "", "é", "\ud83d", "x" * 2000])
def test_an_object_key_has_four_plain_parts(number: str) -> None:
    parts = object_key("inline", number, "m" * 26, "1").split("/")

    assert len(parts) == 4
    assert all(part.isascii() and part.replace("-", "").replace("_", "").isalnum() for part in parts)


# --- contacts -----------------------------------------------------------------------------------------------

BSUID, PHONE, GROUP = "US.90000000000000000101", "15550100101", "GROUP-1"


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"group_id": GROUP, "from_user_id": BSUID, "from": PHONE}, GROUP),
        ({"from_user_id": BSUID, "from": PHONE}, BSUID),
        ({"from": PHONE}, PHONE),
        ({"from_user_id": BSUID}, BSUID),
        ({"from": PHONE, "from_user_id": None}, PHONE),
        ({"from": int(PHONE)}, PHONE),
        ({}, ""),
    ],
)
def test_a_contact_is_the_group_else_the_user_id_else_the_phone(fields: Json, key: str) -> None:
    one = {"id": any_wamid(), "type": "text", "text": {"body": "Hello"}, "timestamp": str(TIME), **fields}

    assert only(notification(one, phone_number_id=NUMBER, contacts=[]))["contact_id"] == contact_id(NUMBER, key)


def test_an_echo_belongs_to_whom_it_was_sent_to_and_not_to_the_business() -> None:
    echo = {**image_message(), "from": "15550100001", "to": PHONE, "to_user_id": BSUID}

    found = only(notification(echo, field="smb_message_echoes", phone_number_id=NUMBER))

    assert (found["direction"], found["contact_id"]) == ("outbound", contact_id(NUMBER, BSUID))


def test_a_message_of_the_business_itself_in_the_history_belongs_to_its_thread() -> None:
    one = {**text_message(), "from": "+1 555-0100001"}
    value = value_with(history=[{"threads": [{"id": PHONE, "messages": [one]}]}])

    found = only(envelope([{"field": "history", "value": value}]))

    assert (found["direction"], found["contact_id"]) == ("outbound", contact_id(NUMBER, PHONE))


# --- times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timestamp",
    [
        None,
        "",
        "soon",
        "-1",
        "0",
        "1",
        "9" * 20,
        "9" * 5_000,
        "9" * 70_000,
        "1790800000.5",
        "".join(chr(0xFF10 + int(digit)) for digit in str(TIME)),
        True,
        [],
        10**30,
        -5,
    ],
    ids=lambda value: f"{ascii(value)[:20]}-{len(str(value))}",
)
def test_a_message_without_a_possible_time_is_stored_first_and_kept(timestamp: Any) -> None:
    found = only(notification({**image_message(), "timestamp": timestamp}))

    assert found["timestamp"] == 0
    assert "ttl" not in found
    assert found["gsi1sk"] == f"0000000000#{found['message_id']}"


@pytest.mark.parametrize("timestamp", [TIME, str(TIME)], ids=["number", "text"])
def test_times_and_the_time_to_live_come_from_meta(timestamp: Any) -> None:
    found = only(notification(image_message(timestamp=timestamp)))

    assert (found["timestamp"], found["ttl"]) == (TIME, TIME + 365 * DAY)
    assert found["gsi1sk"].startswith(f"{TIME}#")
    assert found["gsi2sk"] == str(TIME)


def test_what_is_written_of_a_message_does_not_depend_on_when_it_came() -> None:
    body = wire(notification(image_message(), statuses=[status()]))
    later = replace(delivery(body), received=RECEIVED + 1000 * DAY)

    assert parse(delivery(body)) == parse(later)


# --- merging and heads --------------------------------------------------------------------------------------


def test_of_one_message_twice_the_one_with_a_media_id_is_kept_in_any_order() -> None:
    whole = image_message()
    hollow = {**whole, "type": "unsupported", "image": None}
    text = {**text_message(), "id": whole["id"]}

    for given_order in itertools.permutations([whole, hollow, text]):
        records = merged(parsed(notification(*given_order, phone_number_id=NUMBER, contacts=[])))

        assert [found["provider_media_id"] for found in messages(records)] == [whole["image"]["id"]]


def test_merging_keeps_one_record_for_each_key_and_loses_none() -> None:
    records = parsed(golden("batch-repeated")) + parsed(golden("batch"))

    assert Counter(record.key for record in merged(records)) == Counter({record.key for record in records})


@fast
@given(st.permutations(range(5)), st.integers(0, 4), st.integers(0, 5))
def test_a_head_is_the_newest_message_in_any_order_of_arrival(arrival: list[int], named: int, cut: int) -> None:
    stream = [
        text_message(f"No. {place}", sender=PHONE, timestamp=str(TIME + place // 2), id=f"wamid.{place}")
        for place in range(5)
    ]
    stored: Json | None = None

    for part in (arrival[:cut], arrival[cut:]):
        contacts = [{"wa_id": PHONE, "profile": {"name": "Ada Example"}}] if named in part else []
        for head in heads(
            parsed(notification(*(stream[place] for place in part), phone_number_id=NUMBER, contacts=contacts))
        ):
            moved = advanced(head, stored)
            stored = moved.attributes if moved else stored

    newest = max((TIME + place // 2, message_id(NUMBER, f"wamid.{place}")) for place in range(5))
    assert stored is not None
    assert order(stored) == newest
    assert stored["name"] == "Ada Example"
    assert stored["sk"] == contact_id(NUMBER, PHONE)


def test_a_head_that_brings_nothing_new_is_not_written() -> None:
    (head,) = heads(parsed(notification(text_message())))

    assert advanced(head, None) is head
    assert advanced(head, head.attributes) is None


def test_what_stands_outside_the_listing_moves_no_head() -> None:
    for name in ("edit-image", "revoke", "status-sent", "template-status-update"):
        assert heads(parsed(golden(name))) == []


def test_a_group_is_not_named_after_one_of_its_members() -> None:
    (head,) = heads(parsed(golden("text-group")))

    assert "name" not in head.attributes


# --- too large for the table --------------------------------------------------------------------------------


def test_a_record_too_large_is_made_smaller_step_by_step_and_nothing_is_lost() -> None:
    one = image_message(media={"caption": "c" * MIB, "filename": "f" * 10_000})
    (record,) = (found for found in parsed(notification(one)) if found.model == "Message")

    taken: Json = {}
    for smaller, apart in slimmed(record):
        assert (smaller["pk"], smaller["sk"]) == record.key
        taken |= dict([apart]) if apart else {}

    assert taken == {name: record.attributes[name] for name in ("raw", "caption")}
    assert len(str(smaller)) < 5_000
    assert smaller["provider_media_id"] == one["image"]["id"]


@pytest.mark.parametrize("name", ["id", "type", "from", "from_user_id", "group_id", "timestamp", "name", "number"])
def test_a_record_with_one_endless_part_can_be_made_an_item(name: str) -> None:
    endless = "x" * 400_000
    one = {**image_message(), name: endless} if name not in {"name", "number"} else image_message()
    contacts = [{"wa_id": one["from"], "profile": {"name": endless if name == "name" else "Ada"}}]
    number = endless if name == "number" else NUMBER

    records = parsed(notification(one, phone_number_id=number, contacts=contacts, statuses=[status()]))

    for record in [*records, *heads(records)]:
        *_, (smallest, _) = slimmed(record)
        item = getattr(table, record.model)(**smallest).serialize()
        assert table.size_of(item) < 50_000


def test_a_media_id_too_long_for_an_item_makes_the_media_unavailable() -> None:
    (record,) = (found for found in parsed(notification(image_message("4" * 400_000))) if found.model == "Message")

    *_, (smallest, _) = slimmed(record)

    assert not {"provider_media_id", "gsi2pk", "gsi2sk"} & set(smallest)
    assert smallest["media_unavailable"]


# --- what media objects say ---------------------------------------------------------------------------------


@fast
@given(st.binary())
def test_a_hash_is_read_in_each_form_that_meta_writes(content: bytes) -> None:
    hashed = hashlib.sha256(content)
    forms: list[Callable[[], str]] = [
        hashed.hexdigest,
        lambda: hashed.hexdigest().upper(),
        lambda: base64.b64encode(hashed.digest()).decode(),
        lambda: base64.urlsafe_b64encode(hashed.digest()).decode().rstrip("="),
        lambda: f" {base64.b64encode(hashed.digest()).decode()}\n",
    ]

    assert {sha256_hex(form()) for form in forms} == {hashed.hexdigest()}


@fast
@given(anything | st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_what_is_no_hash_is_none(value: Any) -> None:
    read = sha256_hex(value)

    assert read is None or (len(read) == 64 and set(read) <= set("0123456789abcdef"))


@pytest.mark.parametrize("good", ["410000000000001", "a.b", "A_b-C=", "1:2", "x" * 256])
def test_what_cannot_change_a_path_may_be_a_media_id(good: str) -> None:
    assert is_media_id(good)


@pytest.mark.parametrize(
    "bad",
    [None, "", ".", "..", "../me", "a/b", "a%2Fb", "a?b", "a#b", "a b", "4\n", "é", "x" * 257, "x" * 10_000],
)
def test_what_could_change_a_path_is_no_media_id(bad: str | None) -> None:
    assert not is_media_id(bad)


@pytest.mark.parametrize(
    ("mime_type", "kind"),
    [
        ("image/jpeg", "image"),
        (" Audio/OGG; codecs=opus", "audio"),
        ("video/mp4", "video"),
        ("application/pdf", "document"),
        ("sticker/x", "document"),
        ("image", "image"),
        ("", "document"),
        (None, "document"),
    ],
)
def test_a_kind_suits_its_mime_type(mime_type: str | None, kind: str) -> None:
    assert kind_of(mime_type) == kind
