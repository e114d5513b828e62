"""What the webhook would have stored, made from the rows of an old CRM's table."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inbound.media import contact_id, message_id
from tests import builders
from tests.builders import Json, any_media_id, any_phone_number_id, any_wamid, golden, image_message, notification
from tools.legacy_columns import KNOWN_NAMES, Columns, UnknownColumn, unix_seconds
from tools.legacy_rows import BadRow, Legacy, legacy, settled
from webhook.payload import Delivery, Record, parse

NUMBER = "100000000000001"
TIME = 1_790_800_000
DAYS = 365

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def made(values: Json, number: str | None = NUMBER, **mapped: str) -> Legacy:
    return legacy(Columns(mapped).row(values), number, DAYS)


def attributes(values: Json, number: str | None = NUMBER, **mapped: str) -> Json:
    return made(values, number, **mapped).records[0].attributes


def stored_by_the_webhook(envelope: Json) -> list[Record]:
    body = json.dumps(envelope).encode("ascii")
    return [one for one in parse(Delivery(body, "app", 0, DAYS)) if one.model == "Message"]


# --- which column is which -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "field", "value"),
    [
        ({"wamid": "wamid.1"}, "wamid", "wamid.1"),
        ({"messageId": "wamid.1"}, "wamid", "wamid.1"),
        ({"whatsappMessageId": "wamid.1"}, "wamid", "wamid.1"),
        ({"WHATSAPP_MESSAGE_ID": "wamid.1"}, "wamid", "wamid.1"),
        ({"wamid": "", "messageId": "wamid.1"}, "wamid", "wamid.1"),
        ({"id": 17}, "id", "17"),
        ({"_id": {"$oid": "65f0"}}, "id", "65f0"),
        ({"phoneNumberId": 100}, "phone_number_id", "100"),
        ({"phone_number_id": " 100 "}, "phone_number_id", "100"),
        ({"contact": "+1 (555) 010-0101"}, "contact", "15550100101"),
        ({"from": "15550100101@s.whatsapp.net"}, "contact", "15550100101"),
        ({"waId": "15550100101"}, "contact", "15550100101"),
        ({"from": "1000000", "to": "2000000", "direction": "OUTBOUND"}, "contact", "2000000"),
        ({"from": "1000000", "to": "2000000", "fromMe": True}, "contact", "2000000"),
        ({"contact": "US.123"}, "contact", "US.123"),
        ({"type": "Voice"}, "type", "audio"),
        ({"messageType": "image/png"}, "type", "image"),
        ({"mediaUrl": "41"}, "media_url", "41"),
        ({"provider_media_id": 41}, "provider_media_id", "41"),
        ({"providerMediaId": 41.0}, "provider_media_id", "41"),
        ({"mime-type": "image/png"}, "mime_type", "image/png"),
        ({"fileName": "a.pdf"}, "filename", "a.pdf"),
        ({"caption": "NULL"}, "caption", None),
        ({"caption": "\\N"}, "caption", None),
        ({"caption": {"not": "text"}}, "caption", None),
        ({"caption": "half \ud83d"}, "caption", "half \ufffd"),
        ({"rawPayload": "{}"}, "raw", "{}"),
        ({"raw_payload": {}}, "raw", {}),
        ({"payload": [1]}, "payload", [1]),
        ({"direction": "inbound"}, "outbound", False),
        ({}, "outbound", None),
    ],
)
def test_the_usual_names_of_columns_are_known(columns: Json, field: str, value: object) -> None:
    assert getattr(Columns().row(columns), field) == value


def test_a_column_is_mapped_by_hand_before_any_that_is_known_by_name() -> None:
    row = Columns({"wamid": "external", "caption": "", "media_url": "media.url"}).row(
        {"wamid": "wamid.1", "external": "wamid.2", "caption": "Hello", "media": {"url": "41"}}
    )

    assert (row.wamid, row.caption, row.media_url) == ("wamid.2", None, "41")


def test_a_field_or_a_column_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownColumn, match="no field wamids"):
        Columns({"wamids": "x"})
    with pytest.raises(UnknownColumn, match="no column external; the file has id, body"):
        Columns({"wamid": "external"}).check(["id", "body"])
    with pytest.raises(UnknownColumn, match="No column says"):
        Columns().check(["name", "body"])


@pytest.mark.parametrize(
    "value",
    [
        TIME,
        str(TIME),
        f" {TIME} ",
        TIME * 1000,
        f"{TIME}123",
        f"{TIME}123456",
        f"{TIME}.75",
        float(TIME),
        "2026-09-30T20:26:40Z",
        "2026-09-30T20:26:40.000Z",
        "2026-09-30T22:26:40+02:00",
        "2026-09-30 20:26:40",
        "2026-09-30 20:26:40+00",
        "2026-09-30 20:26:40 UTC",
        {"$date": "2026-09-30T20:26:40Z"},
        {"$date": {"$numberLong": f"{TIME}000"}},
    ],
    ids=repr,
)
def test_a_time_is_read_in_every_form_that_exports_have(value: object) -> None:
    assert Columns().row({"createdAt": value}).timestamp == TIME


@pytest.mark.parametrize(
    "value", [None, "", "yesterday", -5, 0, 12, "1e9", True, float("nan"), 10**40, [TIME], {}], ids=repr
)
def test_a_time_that_makes_no_sense_is_none(value: object) -> None:
    assert Columns().row({"timestamp": value}).timestamp == 0


# --- Meta's message in the row -------------------------------------------------------------------------------

RAW_FORMS: dict[str, Callable[[Json], Any]] = {
    "envelope": lambda body: body,
    "envelope as text": json.dumps,
    "envelope encoded twice": lambda body: json.dumps(json.dumps(body)),
    "entry": lambda body: body["entry"][0],
    "change": lambda body: body["entry"][0]["changes"][0],
    "value": lambda body: body["entry"][0]["changes"][0]["value"],
    "message": lambda body: body["entry"][0]["changes"][0]["value"]["messages"][0],
    "message as text": lambda body: json.dumps(body["entry"][0]["changes"][0]["value"]["messages"][0]),
    "list of messages": lambda body: body["entry"][0]["changes"][0]["value"]["messages"],
}


@pytest.mark.parametrize("form", RAW_FORMS)
@pytest.mark.parametrize("column", ["rawPayload", "payload"])
def test_a_raw_message_gives_what_the_webhook_would_have_stored(form: str, column: str) -> None:
    media_id = any_media_id()
    message = image_message(media_id, media={"caption": "Grüße"}, timestamp=str(TIME))
    body = notification(message, phone_number_id=NUMBER)

    found = made({"id": 1, column: RAW_FORMS[form](body)})

    (live,) = stored_by_the_webhook(body)
    around = {"waba_id", "profile_name", "contact"}  # what stands beside the message in the envelope
    expected = but_no_news(live.attributes)
    known = {name: value for name, value in expected.items() if name not in around}
    assert {n: v for n, v in found.records[0].attributes.items() if n not in around} == known
    assert (found.source, found.is_media, found.old_id) == ("raw", True, "1")
    if form.startswith("envelope"):
        assert found.records[0].attributes == expected


@pytest.mark.parametrize(
    "name",
    ["image-caption", "document", "voice", "sticker", "text", "flow-reply-media", "edit-image", "message-echoes",
     "history-media", "image-group", "echo-image", "image-user-id-only", "location", "unsupported-gif"],
)  # fmt: skip
def test_every_kind_of_webhook_in_the_raw_column_is_stored_as_it_would_have_been_live(name: str) -> None:
    body = golden(name)
    live = stored_by_the_webhook(body)

    found = made({"id": 1, "raw": json.dumps(body), "wamid": live[0].attributes["wamid"]}, number=None)

    stored = [one.attributes for one in found.records if one.model == "Message"]
    own = [one.attributes for one in live if one.attributes["wamid"] == live[0].attributes["wamid"]]
    assert stored == list(map(but_no_news, own))


def but_no_news(attributes: Json) -> Json:
    """Give what a message from an export is stored with: no event tells of what the CRM has itself."""
    return {name: value for name, value in attributes.items() if name != "event"}


def test_of_an_envelope_with_several_messages_the_rows_own_is_taken() -> None:
    wanted, other = image_message(), image_message()
    body = builders.envelope([builders.change_of(other, phone_number_id="1")], [builders.change_of(wanted)])
    number = body["entry"][1]["changes"][0]["value"]["metadata"]["phone_number_id"]

    found = attributes({"id": 1, "wamid": wanted["id"], "raw": body}, number=None)

    assert found["message_id"] == message_id(number, wanted["id"])
    assert found["provider_media_id"] == wanted["image"]["id"]
    assert other["id"] not in json.dumps(found)


def test_an_envelope_of_which_no_message_is_the_rows_is_not_used() -> None:
    body = notification(image_message(), image_message(), phone_number_id="1")

    found = attributes({"id": 1, "wamid": "wamid.mine", "type": "image", "raw": body})

    assert found["message_id"] == message_id(NUMBER, "wamid.mine")
    assert "raw" not in found
    assert found["media_unavailable"] == "no media id"


def test_columns_fill_what_the_raw_message_lacks_and_leave_its_words_alone() -> None:
    raw = {"type": "document", "document": {"id": "41"}}

    found = attributes(
        {
            "wamid": "wamid.1",
            "contact": "+15550100101",
            "timestamp": TIME,
            "fileName": "Übersicht.pdf",
            "mimeType": "application/pdf",
            "profileName": "Ada",
            "raw": raw,
        }
    )

    assert found["message_id"] == message_id(NUMBER, "wamid.1")
    assert found["contact_id"] == contact_id(NUMBER, "15550100101")
    assert (found["timestamp"], found["ttl"]) == (TIME, TIME + DAYS * 24 * 3600)
    assert (found["filename"], found["mime_type"]) == ("Übersicht.pdf", "application/pdf")
    assert found["profile_name"] == "Ada"
    assert json.loads(found["raw"]) == raw


def test_the_raw_message_wins_where_both_say_something() -> None:
    raw = image_message("41", media={"caption": "theirs"}, timestamp=str(TIME))

    found = attributes({"wamid": raw["id"], "caption": "ours", "contact": "1", "timestamp": TIME - 9, "raw": raw})

    assert (found["caption"], found["timestamp"], found["contact_phone"]) == ("theirs", TIME, raw["from"])


@pytest.mark.parametrize(
    "raw",
    ["", "{", "[" * 200_000, '"' * 9, "17", 17, [], {}, {"entry": [7]}, {"id": 5, "type": "image", "url": "x"},
     {"text": "of the CRM itself"}, {"entry": [{"changes": [{"value": {"statuses": [{"id": "wamid.1"}]}}]}]}],
    ids=lambda raw: repr(raw)[:60],
)  # fmt: skip
def test_what_is_no_message_of_metas_is_not_used(raw: object) -> None:
    found = attributes({"wamid": "wamid.1", "type": "image", "providerMediaId": "41", "raw": raw})

    assert found["message_id"] == message_id(NUMBER, "wamid.1")
    assert found["provider_media_id"] == "41"
    assert "raw" not in found


# --- from the columns alone ----------------------------------------------------------------------------------


def test_a_row_without_a_raw_message_is_stored_from_its_columns() -> None:
    found = made(
        {
            "id": "m-1",
            "wamid": "wamid.1",
            "phoneNumberId": "200",
            "contact": "15550100101",
            "type": "document",
            "providerMediaId": " 41 ",
            "mimeType": "application/pdf",
            "fileName": "a.pdf",
            "caption": "Here",
            "createdAt": "2026-09-30T20:26:40Z",
        }
    )

    stored = found.records[0].attributes
    own_id = message_id("200", "wamid.1")
    contact = contact_id("200", "15550100101")
    assert stored == {
        "pk": f"MSG#{own_id}",
        "sk": "MESSAGE",
        "message_id": own_id,
        "wamid": "wamid.1",
        "phone_number_id": "200",
        "direction": "inbound",
        "type": "document",
        "timestamp": TIME,
        "ttl": TIME + DAYS * 24 * 3600,
        "contact_id": contact,
        "contact_phone": "15550100101",
        "provider_media_id": "41",
        "media_url": "41",
        "media_kind": "document",
        "mime_type": "application/pdf",
        "filename": "a.pdf",
        "caption": "Here",
        "gsi1pk": f"CONV#200#{contact}",
        "gsi1sk": f"{TIME}#{own_id}",
        "gsi2pk": f"UNSETTLED#{own_id[0]}",
        "gsi2sk": str(TIME),
    }
    assert (found.source, found.column, found.old_id) == ("provider_media_id", True, "m-1")


def test_without_a_wamid_the_old_id_makes_the_message_id() -> None:
    found = attributes({"id": 17, "type": "text", "body": "Hello"})

    assert found["message_id"] == message_id(NUMBER, "legacy:17")
    assert "wamid" not in found
    assert found["text"] == "Hello"


def test_what_the_business_sent_is_outbound_and_its_contact_is_who_got_it() -> None:
    found = attributes({"id": 1, "type": "text", "body": "Hi", "direction": "outbound", "to": "15550100101"})

    assert found["direction"] == "outbound"
    assert found["contact_id"] == contact_id(NUMBER, "15550100101")


def test_the_text_of_a_picture_without_a_raw_message_is_its_caption() -> None:
    assert attributes({"id": 1, "type": "image", "mediaUrl": "41", "body": "Look"})["caption"] == "Look"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"type": "image", "providerMediaId": "41"}, "neither an id nor a wamid"),
        ({}, "neither an id nor a wamid"),
        ({"raw": {"type": "image", "image": {"id": "41"}}}, "neither an id nor a wamid"),
    ],
)
def test_a_row_that_does_not_say_which_message_it_is_is_bad(row: Json, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        made(row)


def test_a_row_without_a_number_is_bad_and_an_envelope_or_an_option_gives_it() -> None:
    body = notification(image_message(), phone_number_id="300")

    with pytest.raises(BadRow, match="no phone number id"):
        made({"id": 1}, number=None)
    assert attributes({"id": 1, "raw": body}, number=None)["phone_number_id"] == "300"
    assert attributes({"id": 1, "phone_number_id": "200"})["phone_number_id"] == "200"
    assert attributes({"id": 1})["phone_number_id"] == NUMBER


# --- the media id --------------------------------------------------------------------------------------------

A, B, C = "4100000000000001", "4100000000000002", "4100000000000003"
RAW = image_message(C)


@pytest.mark.parametrize(
    ("row", "media_id", "source"),
    [
        ({"providerMediaId": A, "mediaUrl": B, "raw": RAW}, A, "provider_media_id"),
        ({"providerMediaId": "", "mediaUrl": B, "raw": RAW}, B, "media_url"),
        ({"providerMediaId": "a/b", "mediaUrl": B}, B, "media_url"),
        ({"mediaUrl": "https://lookaside.fbsbx.com/x?mid=1", "raw": RAW}, C, "raw"),
        ({"raw": RAW}, C, "raw"),
        ({"mediaUrl": "https://example.com/x"}, None, None),
        ({}, None, None),
        ({"type": "", "providerMediaId": A, "mimeType": "video/mp4"}, A, "provider_media_id"),
        ({"type": "", "mediaUrl": B}, B, "media_url"),
        ({"type": "text", "mediaUrl": B}, None, None),
        ({"providerMediaId": A, "raw": {"id": "wamid.x", "type": "unsupported"}}, A, "provider_media_id"),
    ],
)
def test_the_first_of_three_places_gives_the_media_id(row: Json, media_id: str | None, source: str | None) -> None:
    found = made({"id": 1, "type": "image", **row})

    assert found.records[0].attributes.get("provider_media_id") == media_id
    assert found.source == source
    assert ("gsi2pk" in found.records[0].attributes) is (media_id is not None)


def test_a_media_id_that_no_url_may_hold_counts_as_missing() -> None:
    found = made({"id": 1, "raw": {"id": "wamid.1", "type": "image", "image": {"id": "a/b"}}})

    assert (found.is_media, found.source) == (True, None)


def test_a_message_never_overwrites_a_live_one() -> None:
    writes = [
        made(row).records[0].write
        for row in ({"id": 1, "raw": RAW}, {"id": 1, "type": "image"}, {"id": 1, "type": "text", "body": "x"})
    ]

    assert writes == ["if_no_media_id", "if_new", "if_new"]


def test_a_message_whose_media_is_gone_is_kept_out_of_the_index_and_the_queue() -> None:
    found = made({"id": 1, "raw": RAW})

    (record,) = settled(found.records)[:1]

    assert {"gsi2pk", "gsi2sk"}.isdisjoint(record.attributes)
    assert record.attributes["provider_media_id"] == C
    assert (record.is_unsettled, found.records[0].is_unsettled) == (False, True)
    assert (record.key, record.write) == (found.records[0].key, found.records[0].write)


# --- any row -------------------------------------------------------------------------------------------------

META = ["entry", "changes", "value", "field", "messages", "metadata", "phone_number_id", "history", "threads", "id",
        "type", "image", "text", "body", "from", "timestamp", "contacts", "interactive", "edit"]  # fmt: skip
words = st.sampled_from([*META, "wamid.1", "messages", "history", "image", "41", "", "\ud800", "1790800000"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), words)
anything = st.recursive(
    scalars,
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(words, inside, max_size=5)),
    max_leaves=20,
)
names = st.sampled_from([name for known in KNOWN_NAMES.values() for name in known[:3]] + ["other", ""])


@settings(calm, max_examples=300)
@given(st.dictionaries(names, st.one_of(anything, anything.map(json.dumps)), max_size=12))
def test_no_row_raises_anything_but_that_it_is_bad(values: Json) -> None:
    try:
        found = made(values)
    except BadRow:
        return

    stored = found.records[0].attributes
    assert stored["pk"] == f"MSG#{found.message_id}"
    assert found.records[0].write != "put"
    json.dumps(stored, ensure_ascii=False).encode()


@settings(calm, max_examples=100)
@given(anything)
def test_no_value_is_too_odd_for_a_time(value: object) -> None:
    assert unix_seconds(value) == 0 or 1_230_768_000 <= unix_seconds(value) < 4_102_444_800


def test_a_message_nested_deeper_than_the_interpreter_reads_costs_its_raw_form_only() -> None:
    depth = random.choice([900, 5_000, 100_000])
    raw = '{"id":"wamid.1","type":"image","image":{"id":"41"},"x":' + "[" * depth + "]" * depth + "}"

    found = attributes({"wamid": "wamid.1", "type": "image", "mediaUrl": "42", "raw": raw})

    assert found["message_id"] == message_id(NUMBER, "wamid.1")
    assert found["provider_media_id"] == "42"


def test_wamids_and_numbers_of_the_builders_are_taken_as_they_are() -> None:
    number, wamid = any_phone_number_id(), any_wamid()

    assert attributes({"wamid": wamid, "phoneNumberId": number})["message_id"] == message_id(number, wamid)


def test_a_column_that_was_named_and_that_no_row_has_is_noticed() -> None:
    columns = Columns({"wamid": "external", "media_url": "media.url", "caption": ""})

    assert columns.absent([{"id": 1}, {"media": {"url": "x"}}]) == ["external"]
    assert columns.absent([{"external": None}, {"media": {}}]) == ["media.url"]
    assert columns.absent([{"external": "w", "media.url": "x"}]) == []
