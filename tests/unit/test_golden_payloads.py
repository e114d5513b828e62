"""Every webhook body in tests/payloads, and what it must become: the expectations are written by hand."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from inbound.media import contact_id, message_id
from tests.builders import PAYLOADS, golden, wire
from webhook.payload import Delivery, Record, parse

NUMBER, SECOND, THIRD = "100000000000001", "100000000000002", "100000000000003"
ADA, ADA_PHONE = "US.90000000000000000101", "15550100101"
BO, BO_PHONE = "GB.90000000000000000102", "447700900102"
CY = "DE.90000000000000000103"
GROUP = "GROUP-900000000000000000000000000000001"
NOBODY = ""


@dataclass(frozen=True)
class Seen:
    """A message: `contact` is the key of the other side, `unavailable` why it has no media id."""

    type: str
    media_id: str | None = None
    contact: str = ADA
    number: str = NUMBER
    direction: str = "inbound"
    unavailable: str | None = None
    write: str = "put"
    listed: bool = True


@dataclass(frozen=True)
class Expected:
    """All records of a body; `aliases` counts numbers that now point to a user id, which points back."""

    messages: tuple[Seen, ...] = ()
    aliases: int = 0
    statuses: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


def media(last_digits: int) -> str:
    return f"4100000000000{last_digits:02}"


def one(kind: str, last_digits: int | None = None, *, aliases: int = 1, **fields: Any) -> Expected:
    """Expect one message; as a rule its sender shows a user id and a phone number, which makes an alias."""
    return Expected((Seen(kind, media(last_digits) if last_digits else None, **fields),), aliases=aliases)


def lacking(kind: str, why: str, **fields: Any) -> Expected:
    """Expect one message that stands for media and has none: it must never overwrite one that has."""
    return one(kind, unavailable=why, write="if_new", **fields)


def sent(kind: str, last_digits: int | None = None, *, aliases: int = 0, **fields: Any) -> Expected:
    return one(kind, last_digits, direction="outbound", aliases=aliases, **fields)


def changed(expected: Expected, *changes: str) -> Expected:
    """Expect a message outside the listing that is noted at another."""
    return replace(expected, messages=tuple(replace(seen, listed=False) for seen in expected.messages), changes=changes)


def status(name: str, *, aliases: int = 0) -> Expected:
    return Expected(statuses=(name,), aliases=aliases)


def kept(reason: str) -> Expected:
    return Expected(events=(reason,))


UNKNOWN_TYPE = "131051 Message type unknown"
TOO_LARGE = "131052 Media download error"
LEGACY = "131051 Unsupported message type"

EXPECTED: Mapping[str, Expected] = {
    # text, and who sent it
    "text": one("text"),
    "text-phone-only": one("text", contact=ADA_PHONE, aliases=0),
    "text-user-id-only": one("text", aliases=0),
    "text-parent-user-id": one("text"),
    "text-from-nobody": one("text", contact=NOBODY, aliases=0),
    "text-from-differs-from-wa-id": one("text", contact=ADA_PHONE, aliases=0),
    "text-reply": one("text"),
    "text-about-product": one("text"),
    "text-group": one("text", contact=GROUP),
    "text-referral": one("text"),
    # media
    "image": one("image", 1),
    "image-caption": one("image", 2),
    "image-url": one("image", 3),
    "image-forwarded": one("image", 4),
    "image-frequently-forwarded": one("image", 5),
    "image-reply": one("image", 6),
    "image-referral": one("image", 7),
    "image-group": one("image", 8, contact=GROUP),
    "image-user-id-only": one("image", 9, aliases=0),
    "image-without-id": lacking("image", "no media id"),
    "image-without-object": lacking("image", "no media id"),
    "image-id-padded": one("image", 10),
    "image-id-number": one("image", 11),
    "image-id-elsewhere": lacking("image", "no media id"),
    "image-heic": one("image", 13),
    "video": one("video", 14),
    "video-caption-url": one("video", 15, contact=BO),
    "audio": one("audio", 16),
    "voice": one("audio", 17),
    "voicemail": one("audio", 18, contact=ADA_PHONE, aliases=0),
    "document": one("document", 19),
    "document-caption-url": one("document", 20),
    "document-without-filename": one("document", 21),
    "document-html": one("document", 22),
    "document-without-id": lacking("document", "no media id"),
    "sticker": one("sticker", 23),
    "sticker-animated": one("sticker", 24, contact=CY),
    # edits and deletions
    "edit-image": changed(one("edit", 25), "EDIT"),
    "edit-text": changed(one("edit"), "EDIT"),
    "edit-image-without-id": changed(lacking("edit", "no media id"), "EDIT"),
    "revoke": changed(one("revoke"), "REVOKE"),
    # the history that a business brings along
    "history-threads": Expected(
        (
            Seen("text", contact=ADA_PHONE, write="if_new"),
            Seen("text", contact=ADA_PHONE, write="if_new", direction="outbound"),
            Seen("media_placeholder", contact=ADA_PHONE, write="if_new", unavailable="media_placeholder"),
            Seen(
                "media_placeholder",
                contact=BO_PHONE,
                write="if_new",
                unavailable="media_placeholder",
                direction="outbound",
            ),
        ),
        events=("history",),
    ),
    "history-media": one("image", 26, contact=ADA_PHONE, aliases=0, write="if_no_media_id"),
    "history-media-sent": sent("document", 27, contact=BO_PHONE, write="if_no_media_id"),
    "history-declined": kept("history"),
    # what the business sent from elsewhere
    "echo-text": sent("text", contact=ADA_PHONE),
    "echo-image": sent("image", 28, aliases=1),
    "echo-image-user-id-only": sent("image", 29),
    "echo-revoke": changed(sent("revoke", contact=ADA_PHONE), "REVOKE"),
    "message-echoes": sent("video", 30, aliases=1),
    "standby": one("image", 31),
    "standby-echo": lacking("image", "no media id", contact=ADA_PHONE, direction="outbound", aliases=0),
    "messaging-handovers": kept("unknown_field"),
    # answers to what the business offered
    "flow-reply-media": Expected(
        (
            Seen("interactive", media(32)),
            Seen("image", media(33), listed=False),
            Seen("document", media(34), listed=False),
        ),
        aliases=1,
    ),
    "flow-reply-plain": one("interactive"),
    "flow-reply-unreadable": one("interactive"),
    "button-reply": one("interactive"),
    "list-reply": one("interactive"),
    "call-permission-reply": one("interactive"),
    "interactive-without-object": one("interactive"),
    "button": one("button"),
    # other types without media
    "location": one("location"),
    "location-bare": one("location"),
    "contacts": one("contacts"),
    "reaction": one("reaction"),
    "reaction-removed": one("reaction"),
    "reaction-removed-empty": one("reaction"),
    "order": one("order"),
    "system-user-changed-number": one("system", contact=ADA_PHONE, aliases=0),
    "system-user-changed-user-id": one("system", aliases=0),
    "system-customer-identity-changed": one("system", contact=ADA_PHONE, aliases=0),
    "request-welcome": one("request_welcome"),
    "future-type": one("hologram"),
    "type-missing": one("unknown"),
    # what Meta could not hand over
    "unsupported-button": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-edit": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-gif": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-group-invite": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-hsm": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-image": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-interactive": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-keep-in-chat": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-link-preview": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-list": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-location": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-media-placeholder": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-order": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-pin": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-poll-creation": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-poll-update": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-product": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-reaction": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-without-object": lacking("unsupported", UNKNOWN_TYPE),
    "unsupported-details-beside-code": lacking("unsupported", LEGACY),
    "unsupported-without-errors": lacking("unsupported", "unsupported"),
    "unsupported-unavailable": lacking("unsupported", "131060 This message is currently unavailable."),
    "unsupported-group": lacking("unsupported", "130501 Message type is not currently supported", contact=GROUP),
    "too-large-unsupported": lacking("unsupported", TOO_LARGE),
    "too-large-video": lacking("video", TOO_LARGE),
    "unknown": one("unknown"),
    "message-without-id": Expected(aliases=1, events=("no_message_id",)),
    # statuses
    "status-sent": status("sent", aliases=1),
    "status-delivered": status("delivered", aliases=1),
    "status-delivered-without-contacts": status("delivered"),
    "status-read-user-id-only": status("read"),
    "status-played": status("played", aliases=1),
    "status-failed": status("failed"),
    "status-failed-without-recipient": status("failed"),
    "status-group": Expected(statuses=("delivered", "delivered", "delivered")),
    "status-future": status("savoured", aliases=1),
    # errors of a number or account
    "errors-throttled": kept("unknown_keys"),
    "errors-no-storage": kept("unknown_keys"),
    "errors-code-zero": kept("unknown_keys"),
    # other fields, and what is new
    "account-settings-update": kept("unknown_field"),
    "account-update": kept("unknown_field"),
    "calls-connect": kept("unknown_field"),
    "calls-terminate": kept("unknown_field"),
    "status-call": kept("unknown_field"),
    "future-field": kept("unknown_field"),
    "group-participants-update": kept("unknown_field"),
    "phone-number-quality-update": kept("unknown_field"),
    "security": kept("unknown_field"),
    "smb-app-state-sync": kept("unknown_field"),
    "template-status-update": kept("unknown_field"),
    "user-id-update": kept("unknown_field"),
    "user-preferences": kept("unknown_field"),
    "future-keys": Expected((Seen("text"),), aliases=1, events=("unknown_keys", "unknown_keys", "unknown_keys")),
    # many at once
    "batch": Expected(
        (
            Seen("image", media(36)),
            Seen("image", media(37), contact=BO),
            Seen("text"),
            Seen("document", media(38), number=SECOND),
            Seen("sticker", media(39), contact=CY, number=THIRD),
        ),
        aliases=4,
        statuses=("delivered",),
        events=("unknown_keys", "unknown_field"),
    ),
    "batch-repeated": Expected(
        (
            Seen("image", media(40)),
            Seen("unsupported", unavailable=UNKNOWN_TYPE, write="if_new"),
            Seen("image", media(40)),
        ),
        aliases=1,
    ),
}

FILES = sorted(path.stem for path in PAYLOADS.glob("*.json"))


def delivery(body: bytes) -> Delivery:
    return Delivery(body=body, app_id="app-1", received=1_790_800_005_000, retention_days=365)


def records_of(name: str) -> list[Record]:
    return parse(delivery(wire(golden(name))))


def of(records: list[Record], model: str) -> list[dict[str, Any]]:
    return [record.attributes for record in records if record.model == model]


def seen(record: Record) -> tuple[Any, ...]:
    found = record.attributes
    return (
        found["type"],
        found.get("provider_media_id"),
        found["contact_id"],
        found["phone_number_id"],
        found["direction"],
        found.get("media_unavailable"),
        record.write,
        "gsi1pk" in found,
        "gsi2pk" in found,
    )


def as_record(expected: Seen) -> tuple[Any, ...]:
    return (
        expected.type,
        expected.media_id,
        contact_id(expected.number, expected.contact),
        expected.number,
        expected.direction,
        expected.unavailable,
        expected.write,
        expected.listed,
        expected.media_id is not None,
    )


def test_each_file_has_an_expectation_and_each_expectation_a_file() -> None:
    assert sorted(EXPECTED) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_body_becomes_the_messages_that_it_should(name: str) -> None:
    messages = [seen(record) for record in records_of(name) if record.model == "Message"]

    assert messages == [as_record(message) for message in EXPECTED[name].messages]


@pytest.mark.parametrize("name", FILES)
def test_a_body_becomes_the_other_records_that_it_should(name: str) -> None:
    records, expected = records_of(name), EXPECTED[name]

    aliases = {(alias["pk"], alias["sk"]) for alias in of(records, "ContactAlias")}
    assert Counter(pk.partition("#")[0] for pk, _ in aliases) == Counter(
        CONV=expected.aliases, ALIASES=expected.aliases
    )
    assert tuple(status["status"] for status in of(records, "Status")) == expected.statuses
    assert tuple(change["sk"].split("#")[0] for change in of(records, "Change")) == expected.changes
    assert Counter(event["reason"] for event in of(records, "Event")) == Counter(expected.events)


@pytest.mark.parametrize("name", FILES)
def test_nothing_that_was_sent_is_lost(name: str) -> None:
    stored = {leaf for record in records_of(name) for leaf in leaves(opened(record.attributes))}

    assert set(content(golden(name))) <= stored


def content(body: dict[str, Any]) -> Iterator[str]:
    """Give all that a body says, but for its constant parts and the business's own account and number."""
    yield from leaves(without(body, "object", "entry"))
    for entry in body["entry"]:
        yield from leaves(without(entry, "id", "changes"))
        for change in entry["changes"]:
            yield from leaves(without(change["value"], "messaging_product", "metadata", *unkept(change["value"])))


def unkept(value: dict[str, Any]) -> list[str]:
    """A profile is kept with its messages; a status alone says by itself who it is for."""
    return ["contacts"] if any(part in value for part in ("statuses", "messages")) and not has_message(value) else []


def has_message(value: dict[str, Any]) -> bool:
    return any("id" in message for message in value.get("messages", []))


def without(mapping: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}


def leaves(value: object) -> Iterator[str]:
    """Give the texts, numbers and flags in a structure."""
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield str(value)


def opened(attributes: dict[str, Any]) -> list[Any]:
    """Give an item's attributes, those that hold Meta's JSON read back."""
    return [
        json.loads(value) if isinstance(value, str) and value.startswith(("{", "[")) else value
        for value in attributes.values()
    ]


@pytest.mark.parametrize("name", FILES)
def test_the_same_bytes_give_the_same_records(name: str) -> None:
    assert records_of(name) == records_of(name)


# --- details of single shapes -------------------------------------------------------------------------------


def message_in(name: str) -> dict[str, Any]:
    return of(records_of(name), "Message")[0]


def test_a_message_is_stored_under_the_hash_of_its_number_and_its_id() -> None:
    wamid = golden("image")["entry"][0]["changes"][0]["value"]["messages"][0]["id"]

    image = message_in("image")

    assert image["message_id"] == message_id(NUMBER, wamid)
    assert (image["pk"], image["sk"]) == (f"MSG#{image['message_id']}", "MESSAGE")
    assert image["wamid"] == wamid


def test_the_media_attributes_are_as_meta_wrote_them() -> None:
    voice, document, sticker = message_in("voice"), message_in("document"), message_in("sticker-animated")

    assert voice["mime_type"] == "audio/ogg; codecs=opus"
    assert voice["voice"] is True
    assert document["filename"] == "Harbour tours (2026) ünïcode.pdf"
    assert sticker["animated"] is True
    assert (
        message_in("history-media")["sha256"]
        == (golden("history-media")["entry"][0]["changes"][0]["value"]["messages"][0]["image"]["sha256"])
    )


def test_a_short_lived_address_is_kept_in_the_raw_message_only() -> None:
    image = message_in("image-url")

    assert image["media_url"] == image["provider_media_id"]
    assert [name for name, value in image.items() if "lookaside" in str(value)] == ["raw"]


def test_the_text_of_a_message_is_what_a_person_reads() -> None:
    texts = {
        "text": "Is the 13:00 tour still free? Grüße ⚓ me@example.com",
        "button": "Book now",
        "button-reply": "13:00",
        "list-reply": "Old Whale",
        "flow-reply-plain": "Sent",
        "reaction": "👍🏽",
        "order": "Gift wrapped, please",
        "system-user-changed-user-id": "Ada Example changed the number",
        "edit-text": "Is the 16:30 tour still free?",
    }

    assert {name: message_in(name)["text"] for name in texts} == texts
    assert message_in("edit-image")["caption"] == "Now with the right caption"


def test_an_edit_is_noted_at_the_message_that_it_changes() -> None:
    (mark,) = of(records_of("edit-image"), "Change")

    assert mark["pk"] == message_in("image-caption")["pk"]
    assert mark["sk"] == f"EDIT#1790800000#{message_in('edit-image')['message_id']}"


def test_a_placeholder_and_its_media_are_the_same_message() -> None:
    placeholder = of(records_of("history-threads"), "Message")[2]

    assert placeholder["pk"] == message_in("history-media")["pk"]


def test_the_further_media_of_a_flow_reply_are_named_in_the_parent() -> None:
    parent, *children = of(records_of("flow-reply-media"), "Message")

    assert parent["further_media"] == [child["message_id"] for child in children]
    assert [child["parent_id"] for child in children] == [parent["message_id"]] * 2
    assert [child["filename"] for child in children] == ["ticket.png", "licence.pdf"]
    assert len({parent["pk"], *(child["pk"] for child in children)}) == 3


def test_a_number_points_to_the_user_id_that_it_was_seen_with() -> None:
    alias, back, *_ = of(records_of("text"), "ContactAlias")

    assert alias["pk"] == f"CONV#{NUMBER}"
    assert alias["sk"] == f"ALIAS#{contact_id(NUMBER, ADA_PHONE)}"
    assert alias["contact_id"] == contact_id(NUMBER, ADA)
    assert (back["pk"], back["sk"]) == (f"ALIASES#{NUMBER}", contact_id(NUMBER, ADA))
    assert back["contact_id"] == contact_id(NUMBER, ADA_PHONE)


@pytest.mark.parametrize("name", ["edit-text", "revoke"])
def test_a_change_is_listed_with_its_conversation_apart_from_the_messages(name: str) -> None:
    records = records_of(name)
    (change,), (message,) = of(records, "Change"), of(records, "Message")

    assert change["gsi1pk"] == f"CHANGES#{NUMBER}#{message['contact_id']}"
    assert change["gsi1sk"] == f"{change['timestamp']:010d}#{message['message_id']}"


def test_the_same_news_at_another_time_is_another_event() -> None:
    first, later = golden("phone-number-quality-update"), golden("phone-number-quality-update")
    later["entry"][0]["time"] += 86_400

    one, other = (of(parse(delivery(wire(body))), "Event")[0] for body in (first, later))

    assert one["pk"] != other["pk"]


def test_each_participant_of_a_group_has_a_status_of_its_own() -> None:
    statuses = of(records_of("status-group"), "Status")

    assert len({(status["pk"], status["sk"]) for status in statuses}) == 3
    assert len({status["pk"] for status in statuses}) == 1


def test_the_profile_of_the_sender_is_found_although_the_numbers_differ() -> None:
    assert message_in("text-from-differs-from-wa-id")["profile_name"] == "Ada Example"
