"""Meta's envelope → records for the table. Pure, total, and a function of Meta's bytes alone.

Every entry, change, message, status, echo and history item is walked. What is not understood becomes an event
record that holds it raw; nothing that Meta sent makes this module raise.

Shapes: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from inbound.errors import MediaUnavailable
from inbound.event_names import MESSAGE_STORED
from inbound.media import MEDIA_TYPES, MediaObject, contact_id, digest, key_part, media_objects, message_id
from webhook import nesting

Json = Mapping[str, Any]
Model = Literal["Message", "Status", "Change", "Conversation", "ContactAlias", "Event"]

# How a record may be written: over whatever is there, only where nothing is, only where no media id is.
Write = Literal["put", "if_new", "if_no_media_id"]

# field → the lists in its value that hold messages; all other fields are kept raw.
MESSAGE_LISTS: Mapping[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "standby": ("messages", "message_echoes"),
    "history": ("messages",),
    "smb_message_echoes": ("message_echoes",),
    "message_echoes": ("message_echoes",),
}
ECHOES = "message_echoes"
COUNTED_TYPES = MEDIA_TYPES | {"text"}
# Meta gives no media id with these: they stand for media that will come later, or never.
STAND_INS = frozenset({"media_placeholder", "unsupported"})
OUTSIDE_LISTING = frozenset({"edit", "revoke"})
ERASED = "ERASED"  # the sort key of a tombstone

EARLIEST, LATEST = 1_230_768_000, 4_102_444_800  # 2009, before WhatsApp; 2100
DAY = 24 * 3600
PREVIEW_LENGTH = 120
SANE_DIGITS = 1000
LONG = 2000
# What an item cannot be without is cut where the rest is left out.
REQUIRED = frozenset({"phone_number_id", "type", "status"})


@dataclass(frozen=True, slots=True)
class Record:
    """One item to write: its model, its attributes, how to write it, and the number whose app may write it."""

    model: Model
    attributes: dict[str, Any]
    number: str | None = None
    write: Write = "put"

    @property
    def key(self) -> tuple[str, str]:
        """The item's primary key."""
        return self.attributes["pk"], self.attributes["sk"]

    @property
    def partition(self) -> str:
        """The item's partition key: all that is known of one message stands under one."""
        return str(self.attributes["pk"])

    @property
    def has_media_id(self) -> bool:
        """Tell whether this is a message whose media can be named."""
        return self.attributes.get("provider_media_id") is not None

    @property
    def is_unsettled(self) -> bool:
        """Tell whether this is a message whose media is to be fetched."""
        return "gsi2pk" in self.attributes


@dataclass(frozen=True, slots=True)
class Delivery:
    """The POST as a whole: its bytes, the app that signed it, when it came (Unix ms), days to keep things."""

    body: bytes
    app_id: str
    received: int
    retention_days: int


@dataclass(frozen=True, slots=True)
class _Change:
    """What a change says about each of its messages."""

    delivery: Delivery
    number: str
    waba_id: str | None
    field: str
    display_number: str | None
    contacts: tuple[Json, ...]
    outbound: bool = False
    thread: str | None = None
    past: bool = False


def parse(delivery: Delivery) -> list[Record]:
    """Turn the bytes of a POST into records; equal bytes give equal records (events: but for the time)."""
    text = delivery.body.decode("utf-8-sig", "replace")
    try:
        # One byte that is not UTF-8 must not cost the other messages: read what can be read, and keep the bytes.
        return _text_records(text, delivery, flaw=None if _is_utf8(delivery.body) else "not_utf8")
    except RecursionError:
        # Nor may one message that is nested too deep to be read, or to be written out again.
        return _text_records(nesting.flattened(text), delivery, flaw="too_deep")


def merged(records: Iterable[Record]) -> list[Record]:
    """Keep one record for each key: one with a media id wins, then a complete one, then the later one."""
    kept: dict[tuple[str, str], Record] = {}
    for record in records:
        other = kept.get(record.key)
        if other is None or _weight(record) >= _weight(other):
            kept[record.key] = record
    return list(kept.values())


def tombstones(records: Iterable[Record]) -> list[tuple[str, str]]:
    """Give the keys where a tombstone would stand for what these records are about."""
    return [(record.partition, ERASED) for record in records if record.partition.startswith("MSG#")]


def not_erased(records: Iterable[Record], stored: Collection[tuple[str, str]]) -> list[Record]:
    """Leave out what is about an erased message; `stored` holds the keys that were found."""
    return [record for record in records if (record.partition, ERASED) not in stored]


def heads(records: Iterable[Record]) -> list[Record]:
    """Give the conversation heads that these messages would move: the newest message of each contact."""
    newest: dict[tuple[str, str], Record] = {}
    for record in records:
        if record.model == "Message" and "gsi1pk" in record.attributes:
            head = _head(record.attributes)
            other = newest.get(head.key)
            if other is None or order(head.attributes) > order(other.attributes):
                newest[head.key] = _keeping_name(head, other)
            else:
                newest[head.key] = _keeping_name(other, head)
    return list(newest.values())


def advanced(head: Record, stored: Json | None) -> Record | None:
    """Give the head to write over the stored one (its attributes), or None when there is nothing new in it."""
    if stored is None:
        return head
    if order(head.attributes) > order(stored):
        name = head.attributes.get("name") or stored.get("name")
        return replace(head, attributes={**head.attributes, **({"name": name} if name else {})})
    if "name" in head.attributes and not stored.get("name"):
        return replace(head, attributes={**stored, "name": head.attributes["name"]})
    return None


def order(head: Json) -> tuple[int, str]:
    """Order heads of a conversation: by time, then by message, so that any order of arrival ends the same."""
    return int(head["timestamp"]), str(head["message_id"])


def slimmed(record: Record) -> Iterator[tuple[dict[str, Any], tuple[str, str | bytes] | None]]:
    """Give ever smaller attributes of a record too large for the table, each with what was taken out to be kept apart.

    First the raw JSON goes, then the text; then all long attributes, because the raw JSON repeats them.
    """
    attributes = dict(record.attributes)
    for names in (("raw", "raw_bytes"), ("text", "caption")):
        for name in names:
            if name in attributes:
                yield attributes, (name, attributes.pop(name))
    long = {name for name, value in attributes.items() if len(str(value)) > LONG}
    if "provider_media_id" in long:
        long |= {"gsi2pk", "gsi2sk"}
        attributes |= _unavailable("media id too long")
    attributes |= {name: attributes[name][:LONG] for name in long & REQUIRED}
    yield {name: value for name, value in attributes.items() if name not in long - REQUIRED}, None


def refused(record: Record, delivery: Delivery) -> Record:
    """Keep a record that the table refuses as the event that it was refused."""
    readable = {name: v.hex() if isinstance(v, bytes) else v for name, v in record.attributes.items()}
    return event(readable, "refused", delivery)


def counted_type(record: Record) -> str:
    """Give the type under which a message is counted: what Meta may invent makes no metric of its own."""
    kind = record.attributes["type"]
    return kind if kind in COUNTED_TYPES else "other"


def lacks_media_id(record: Record) -> bool:
    """Tell whether this is a message of a media type that came without a media id."""
    attributes = record.attributes
    return record.model == "Message" and attributes["type"] in MEDIA_TYPES and "media_unavailable" in attributes


def media_keys(message: Json) -> list[str]:
    """Give the names of the keys of a message's media object, for the log: they show what Meta sent instead."""
    try:
        fields = _mapping(json.loads(message["raw"]).get(message["type"]))
    except RecursionError:  # it was read and written at another depth of the stack
        return []
    return sorted(str(key)[:40] for key in fields)[:20]


def event(content: object, reason: str, delivery: Delivery, field: str | None = None) -> Record:
    """Keep something that is not a message or status, as the JSON that it was."""
    return _event(reason, delivery, raw=_dump(content), field=field)


# --- walking ---------------------------------------------------------------------------------------------------


def _text_records(text: str, delivery: Delivery, flaw: str | None) -> list[Record]:
    """Walk the text of a body; the bytes are kept beside it when it has a flaw, or alone when it makes no sense."""
    try:
        envelope = json.loads(text, parse_int=_integer)
    except ValueError:
        return [_body_event("unreadable", delivery)]
    if not isinstance(envelope, dict) or not isinstance(envelope.get("entry"), list):
        return [_body_event("unexpected_shape", delivery)]
    kept = [_body_event(flaw, delivery)] if flaw else []
    return [*kept, *_envelope_records(envelope, delivery)]


def _envelope_records(envelope: Json, delivery: Delivery) -> Iterator[Record]:
    for entry in envelope["entry"]:
        yield from _entry_records(entry, delivery)
    if rest := _without(envelope, {"object", "entry"}):
        yield event(rest, "unknown_keys", delivery)


def _entry_records(entry: object, delivery: Delivery) -> Iterator[Record]:
    if not isinstance(entry, dict) or not isinstance(entry.get("changes"), list):
        yield event(entry, "unexpected_shape", delivery)
        return
    if rest := _without(entry, {"id", "time", "changes"}):
        yield event({"id": entry.get("id"), **rest}, "unknown_keys", delivery)
    for change in entry["changes"]:
        yield from _change_records(change, entry, delivery)


def _change_records(change: object, entry: Json, delivery: Delivery) -> Iterator[Record]:
    field = _text(change.get("field")) if isinstance(change, dict) else None
    value = change.get("value") if isinstance(change, dict) else None
    number = _text(_mapping(_mapping(value).get("metadata")).get("phone_number_id"))
    if field is None or field not in MESSAGE_LISTS or not isinstance(value, dict) or number is None:
        whole = {**_without(entry, {"changes"}), "change": change}
        yield replace(event(whole, "unknown_field", delivery, field=field), number=number)
        return
    about = _Change(
        delivery=delivery,
        number=number,
        waba_id=_text(entry.get("id")),
        field=field,
        past=field == "history",
        display_number=_digits(_mapping(value["metadata"]).get("display_phone_number")),
        contacts=tuple(contact for contact in _list(value.get("contacts")) if isinstance(contact, dict)),
    )
    yield from _value_records(value, about)


def _value_records(value: Json, about: _Change) -> Iterator[Record]:
    walked = {"messaging_product", "metadata", "contacts"}
    for name in MESSAGE_LISTS[about.field]:
        if isinstance(value.get(name), list):
            walked.add(name)
            inside = replace(about, outbound=name == ECHOES)
            for message in value[name]:
                yield from _message_records(message, inside)
    if isinstance(value.get("statuses"), list):
        walked.add("statuses")
        for status in value["statuses"]:
            yield from _status_records(status, about)
    if about.field == "history" and isinstance(value.get("history"), list):
        walked.add("history")
        for chunk in value["history"]:
            yield from _history_records(chunk, about)
    for contact in about.contacts:
        yield from _contact_aliases(_text(contact.get("user_id")), _text(contact.get("wa_id")), about)
    if rest := _without(value, walked) | _not_understood(value, walked):
        yield _kept(rest, "unknown_keys", about)


def _not_understood(value: Json, walked: set[str]) -> dict[str, Any]:
    """Give what stands beside the messages and goes into none: unknown metadata, and contacts that are no one's."""
    contacts = value.get("contacts")
    told = walked - {"messaging_product", "metadata", "contacts"}
    understood = told and isinstance(contacts, list) and all(isinstance(contact, dict) for contact in contacts)
    parts = {
        "metadata": _without(value["metadata"], {"phone_number_id", "display_phone_number"}),
        "contacts": None if understood else contacts,
    }
    return {name: part for name, part in parts.items() if part}


def _history_records(chunk: object, about: _Change) -> Iterator[Record]:
    """Walk a piece of the chat history that a business shares when it comes to the Cloud API.

    https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/history
    """
    threads = chunk.get("threads") if isinstance(chunk, dict) else None
    rest = _without(chunk, {"threads"}) if isinstance(chunk, dict) and isinstance(threads, list) else chunk
    if rest or not isinstance(chunk, dict):
        yield _kept(rest, "history", about)
    for thread in _list(threads):
        messages = thread.get("messages") if isinstance(thread, dict) else None
        if not isinstance(thread, dict) or not isinstance(messages, list):
            yield _kept(thread, "unexpected_shape", about)
            continue
        inside = replace(about, thread=_text(thread.get("id")))
        for message in messages:
            yield from _message_records(message, inside)
        if rest := _without(thread, {"id", "messages"}):
            yield _kept(rest, "unknown_keys", about)


# --- messages --------------------------------------------------------------------------------------------------


def _message_records(message: object, about: _Change) -> Iterator[Record]:
    wamid = _text(message.get("id")) if isinstance(message, dict) else None
    if not isinstance(message, dict) or wamid is None:
        yield _kept(message, "no_message_id", about)
        return
    about = _with_direction(message, about)
    media = media_objects(message)
    attributes = _message_attributes(message, wamid, media, about)
    children = [_child(attributes, wamid, found, about) for found in media[1:]]
    if children:
        attributes["further_media"] = [child.attributes["message_id"] for child in children]
    yield Record("Message", attributes, about.number, _how_to_write(attributes, about))
    yield from children
    group, user, phone = _identity(message, about)
    if group is None:
        yield from _contact_aliases(user, phone, about)
    yield from _change_mark(message, attributes, about)


def _message_attributes(message: Json, wamid: str, media: list[MediaObject], about: _Change) -> dict[str, Any]:
    kind = _text(message.get("type")) or "unknown"
    own_id = message_id(about.number, wamid)
    timestamp = _timestamp(message.get("timestamp"))
    attributes: dict[str, Any] = {
        "pk": f"MSG#{own_id}",
        "sk": "MESSAGE",
        "event": None if kind in OUTSIDE_LISTING else MESSAGE_STORED,
        "message_id": own_id,
        "wamid": _clean(wamid),
        "phone_number_id": _clean(about.number),
        "waba_id": _clean(about.waba_id),
        "direction": "outbound" if about.outbound else "inbound",
        "type": _clean(kind),
        "timestamp": timestamp,
        "ttl": _ttl(timestamp, about.delivery),
        "text": _clean(_body_text(message, kind)),
        "context": _json(message.get("context"), dict),
        "referral": _json(message.get("referral"), dict),
        "errors": _json(message.get("errors"), list),
        "raw": _dump(message),
        "history": about.past or None,
    }
    attributes |= _contact_attributes(message, about)
    attributes |= _media_attributes(media[0].kind, media[0].fields) if media else {}
    attributes |= _unavailable(_why_unavailable(message, kind, media))
    attributes |= _index_keys(attributes)
    return {name: value for name, value in attributes.items() if value is not None}


def _media_attributes(kind: str, fields: Json) -> dict[str, Any]:
    """Give the attributes of Meta's media object. `media_url` repeats the id, for readers of the old column."""
    found = _clean(MediaObject(kind, fields).media_id)
    return {
        "provider_media_id": found,
        "media_url": found,
        "media_kind": kind,
        "mime_type": _clean(_text(fields.get("mime_type"))),
        "sha256": _clean(_text(fields.get("sha256"))),
        "filename": _clean(_text(fields.get("filename"))),
        "caption": _clean(_text(fields.get("caption"))),
        "voice": _flag(fields.get("voice")),
        "animated": _flag(fields.get("animated")),
    }


def _why_unavailable(message: Json, kind: str, media: list[MediaObject]) -> str | None:
    """Say why a message that stands for media has no media id; None when it has one, or never had media."""
    if media and media[0].media_id is not None:
        return None
    if not media and kind not in STAND_INS:
        return None
    for error in _list(message.get("errors")):
        if isinstance(error, dict) and error.get("code") is not None:
            return _clean(f"{error['code']} {_text(error.get('title')) or ''}".strip()[:PREVIEW_LENGTH])
    return kind if kind in STAND_INS else "no media id"


def _unavailable(why: str | None) -> dict[str, str]:
    """Mark a message whose media nobody can fetch: with the reason, and with the code that views get."""
    return {} if why is None else {"media_unavailable": why, "error_code": MediaUnavailable.code}


def _how_to_write(attributes: Json, about: _Change) -> Write:
    """Let what is less than a complete live message never overwrite a media id."""
    if "media_unavailable" in attributes:
        return "if_new"
    if about.past:
        return "if_no_media_id" if "provider_media_id" in attributes else "if_new"
    return "put"


def _index_keys(attributes: Json) -> dict[str, str]:
    """Give the index keys of a message: its conversation's listing, and the media that is not settled yet."""
    number, own_id, moment = (
        attributes["phone_number_id"],
        attributes["message_id"],
        _sortable(attributes["timestamp"]),
    )
    keys: dict[str, str] = {}
    if attributes["type"] not in OUTSIDE_LISTING:
        keys["gsi1pk"] = f"CONV#{key_part(number)}#{attributes['contact_id']}"
        keys["gsi1sk"] = f"{moment}#{own_id}"
    if attributes.get("provider_media_id") is not None:
        keys["gsi2pk"] = f"UNSETTLED#{own_id[0]}"
        keys["gsi2sk"] = moment
    return keys


def _child(parent: Json, wamid: str, media: MediaObject, about: _Change) -> Record:
    """Make the message item of a further medium of a flow reply; it is named in the parent and not listed."""
    own_id = digest(about.number, wamid, media.media_id or "")
    shared = ("wamid", "phone_number_id", "waba_id", "direction", "contact_id", "timestamp", "ttl")
    attributes: dict[str, Any] = {name: parent[name] for name in shared if name in parent}
    attributes |= {
        "pk": f"MSG#{own_id}",
        "sk": "MESSAGE",
        "message_id": own_id,
        "parent_id": parent["message_id"],
        "type": media.kind,
        "raw": _dump(media.fields),
        "gsi2pk": f"UNSETTLED#{own_id[0]}",
        "gsi2sk": _sortable(parent["timestamp"]),
    }
    attributes |= {name: value for name, value in _media_attributes(*media).items() if value is not None}
    return Record("Message", attributes, about.number, "if_no_media_id" if about.past else "put")


def _change_mark(message: Json, attributes: Json, about: _Change) -> Iterator[Record]:
    """Note an edit or a deletion at the message that it changes."""
    kind = attributes["type"]
    original = _text(_mapping(message.get(kind)).get("original_message_id")) if kind in OUTSIDE_LISTING else None
    if original is None:
        return
    shared = ("phone_number_id", "message_id", "timestamp", "ttl")
    mark = {name: attributes[name] for name in shared if name in attributes}
    mark["pk"] = f"MSG#{message_id(about.number, original)}"
    moment = f"{_sortable(attributes['timestamp'])}#{attributes['message_id']}"
    mark["sk"] = f"{kind.upper()}#{moment}"
    # Listed with the conversation that it is a part of: a page of messages finds its changes with one query.
    mark["gsi1pk"] = f"CHANGES#{key_part(attributes['phone_number_id'])}#{attributes['contact_id']}"
    mark["gsi1sk"] = moment
    yield Record("Change", mark, about.number)


def _body_text(message: Json, kind: str) -> str | None:
    """Give the text that a person reads in a message without media."""
    inner = _mapping(message.get(kind))
    if kind == "interactive":
        reply = _mapping(inner.get(_text(inner.get("type")) or ""))
        return _text(reply.get("title")) or _text(reply.get("body"))
    if kind == "edit":
        edited = _mapping(inner.get("message"))
        edited_kind = _text(edited.get("type")) or ""
        return _body_text(edited, edited_kind) if edited_kind not in {"edit", ""} else None
    place = {"text": "body", "button": "text", "system": "body", "order": "text", "reaction": "emoji"}
    return _text(inner.get(place.get(kind, "")))


# --- contacts --------------------------------------------------------------------------------------------------


def _with_direction(message: Json, about: _Change) -> _Change:
    """In the history, what the business's own number sent is outbound; elsewhere the list tells the direction."""
    ours = about.display_number is not None and _digits(message.get("from")) == about.display_number
    return replace(about, outbound=True) if about.field == "history" and ours else about


def _contact_attributes(message: Json, about: _Change) -> dict[str, Any]:
    """Say who the other side is: group, else business-scoped user id, else phone number, else nobody known.

    https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids
    """
    group, user, phone = _identity(message, about)
    contact = _contact_of(user, phone, about)
    profile = _mapping(contact.get("profile"))
    return {
        "contact_id": contact_id(about.number, group or user or phone or about.thread or ""),
        "group_id": _clean(group),
        "contact_user_id": _clean(user),
        "contact_phone": _clean(phone),
        "profile_name": _clean(_text(profile.get("name"))),
        "contact": _json(contact, dict),
    }


def _identity(message: Json, about: _Change) -> tuple[str | None, str | None, str | None]:
    side = "to" if about.outbound else "from"
    return (
        _text(message.get("group_id")),
        _text(message.get(f"{side}_user_id")),
        _text(message.get(side)),
    )


def _contact_of(user: str | None, phone: str | None, about: _Change) -> Json:
    """Find the sender among the change's contacts; a single one is the sender even when its numbers differ."""
    for contact in about.contacts:
        if (user and contact.get("user_id") == user) or (phone and contact.get("wa_id") == phone):
            return contact
    return about.contacts[0] if len(about.contacts) == 1 and not about.outbound else {}


def _contact_aliases(user: str | None, phone: str | None, about: _Change) -> Iterator[Record]:
    """Where a user id and a phone number are seen together, let each one's contact be found by the other's."""
    if user is None or phone is None or user == phone:
        return
    number, of_user, of_phone = _clean(about.number), contact_id(about.number, user), contact_id(about.number, phone)
    places = (("CONV", f"ALIAS#{of_phone}", of_user), ("ALIASES", of_user, of_phone))
    for listing, sk, other in places:
        attributes = {"pk": f"{listing}#{key_part(number or '')}", "sk": sk, "contact_id": other}
        yield Record("ContactAlias", {**attributes, "phone_number_id": number}, about.number)


def _head(message: Json) -> Record:
    number, contact = message["phone_number_id"], message["contact_id"]
    attributes = {
        "pk": f"CONV#{key_part(number)}",
        "sk": contact,
        "phone_number_id": number,
        "contact_id": contact,
        "timestamp": message["timestamp"],
        "message_id": message["message_id"],
        "preview": _preview(message),
        "gsi1pk": f"HEADS#{key_part(number)}",
        "gsi1sk": f"{_sortable(message['timestamp'])}#{contact}",
        "ttl": message.get("ttl"),
        # In a group the profile is one participant's.
        "name": None if "group_id" in message else message.get("profile_name"),
    }
    present = {name: value for name, value in attributes.items() if value is not None}
    return Record("Conversation", present, number)


def _keeping_name(head: Record, other: Record | None) -> Record:
    if other is None or "name" in head.attributes or "name" not in other.attributes:
        return head
    return replace(head, attributes={**head.attributes, "name": other.attributes["name"]})


def _preview(message: Json) -> str:
    words = message.get("text") or message.get("caption") or message.get("filename") or f"[{message['type']}]"
    return str(words)[:PREVIEW_LENGTH]


# --- statuses --------------------------------------------------------------------------------------------------


def _status_records(status: object, about: _Change) -> Iterator[Record]:
    """https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/status."""
    fields = _mapping(status)
    wamid, name = _text(fields.get("id")), _text(fields.get("status"))
    if wamid is None or name is None:
        yield _kept(status, "status_without_id", about)
        return
    if fields.get("recipient_type") != "group":  # there recipient_id is the group, and the user one of many
        yield from _contact_aliases(_text(fields.get("recipient_user_id")), _text(fields.get("recipient_id")), about)
    recipient_keys = ("recipient_participant_id", "recipient_user_id", "recipient_id")
    recipient = next((found for key in recipient_keys if (found := _text(fields.get(key)))), "")
    timestamp = _timestamp(fields.get("timestamp"))
    own_id = message_id(about.number, wamid)
    attributes = {
        "pk": f"MSG#{own_id}",
        "sk": f"STATUS#{key_part(name)}#{contact_id(about.number, recipient)}",
        "message_id": own_id,
        "phone_number_id": _clean(about.number),
        "status": _clean(name),
        "timestamp": timestamp,
        "ttl": _ttl(timestamp, about.delivery),
        "errors": _json(fields.get("errors"), list),
        "raw": _dump(status),
    }
    present = {name: value for name, value in attributes.items() if value is not None}
    yield Record("Status", present, about.number)


# --- what is kept raw ------------------------------------------------------------------------------------------


def _kept(content: object, reason: str, about: _Change) -> Record:
    """Keep part of a change raw, with what is needed to understand it later."""
    whole = {"id": about.waba_id, "field": about.field, "phone_number_id": about.number, "content": content}
    return replace(event(whole, reason, about.delivery, field=about.field), number=about.number)


def _body_event(reason: str, delivery: Delivery) -> Record:
    try:
        return _event(reason, delivery, raw=delivery.body.decode())
    except UnicodeDecodeError:
        return _event(reason, delivery, raw_bytes=delivery.body)


def _event(reason: str, delivery: Delivery, *, field: str | None = None, **raw: str | bytes) -> Record:
    (content,) = raw.values()
    own_id = digest(delivery.app_id, content if isinstance(content, str) else content.hex())
    attributes = {
        "pk": f"EVENT#{own_id}",
        "sk": "EVENT",
        "app_id": delivery.app_id,
        "received": delivery.received,
        "reason": reason,
        "field": _clean(field),
        "gsi1pk": f"EVENTS#{key_part(delivery.app_id)}",
        "gsi1sk": f"{delivery.received:013d}",
        "ttl": delivery.received // 1000 + delivery.retention_days * DAY,
        **raw,
    }
    return Record("Event", {name: value for name, value in attributes.items() if value is not None})


# --- reading values of any shape -------------------------------------------------------------------------------


def _weight(record: Record) -> tuple[bool, bool]:
    return record.has_media_id, record.write == "put"


def _without(mapping: Json, known: set[str]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in known}


def _mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _json(value: object, shape: type) -> str | None:
    """Write an object or a list as JSON; None when it is empty or something else."""
    return _dump(value) if isinstance(value, shape) and value else None


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _integer(digits: str) -> int | str:
    """Read a JSON integer; one with thousands of digits stays text (Python refuses it, and its siblings must live)."""
    return int(digits) if len(digits) <= SANE_DIGITS else digits


def _text(value: object) -> str | None:
    """Read a text; Meta writes some ids and times as numbers."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _digits(value: object) -> str | None:
    text = _text(value)
    return ("".join(char for char in text if char.isdecimal()) or None) if text else None


def _clean(text: str | None) -> str | None:
    """Make a text storable: half a surrogate pair, which JSON can carry and UTF-8 cannot, becomes U+FFFD."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _dump(content: object) -> str:
    """Write JSON back: readable where UTF-8 can say it, escaped where it cannot."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, separators=(",", ":"))
    return text


def _timestamp(value: object) -> int:
    """Read Unix seconds, a string in messages and a number elsewhere; 0 for what cannot be one."""
    text = _text(value)
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 12:
        return 0
    seconds = int(text)
    return seconds if EARLIEST <= seconds < LATEST else 0


def _sortable(timestamp: int) -> str:
    return f"{timestamp:010d}"


def _ttl(timestamp: int, delivery: Delivery) -> int | None:
    """Give the time to live from Meta's time; what has no valid time is kept."""
    return timestamp + delivery.retention_days * DAY if timestamp else None
