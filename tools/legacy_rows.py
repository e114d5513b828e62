"""A row of an old CRM's message table → what the webhook would have stored. Pure: any row gives a message or a reason.

Where the row holds Meta's message, the product's own parser reads it, and the columns fill what it lacks; where it
does not, a message is made of the columns, and read by the same parser.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from inbound.errors import MediaError
from inbound.media import MEDIA_TYPES, is_media_id, kind_of, media_id_of
from inbound.messages import Message
from media_proxy import sources
from media_proxy.sources import Source
from tools.legacy_columns import Row
from webhook import payload
from webhook.payload import Delivery, Record

Json = dict[str, Any]

APP = "backfill"  # stands for the app that signed, in what is kept of refused items
ENCODINGS = 3  # times that a column may be JSON inside JSON
# Types that hold their media elsewhere than in message[type]: the parser knows where.
NESTED = frozenset({"interactive", "edit"})
INDEX_OF_UNSETTLED = ("gsi2pk", "gsi2sk")


class BadRow(Exception):
    """A row that no message can be made of; the message says why, without anything that the row holds."""


@dataclass(frozen=True, slots=True)
class Legacy:
    """One message of the old table.

    `records` are to be written; the first is the message. `source` says where its media id was found, None where it
    has none; `column` whether the old table's own media id column was filled. `is_media` tells a message that means
    media.
    """

    records: tuple[Record, ...]
    old_id: str | None
    source: str | None
    is_media: bool
    column: bool

    @property
    def message_id(self) -> str:
        """The id under which the message is stored."""
        return str(self.records[0].attributes["message_id"])

    @property
    def timestamp(self) -> int:
        """When it was sent, in Unix seconds; 0 when nobody knows."""
        return int(self.records[0].attributes["timestamp"])

    @property
    def ttl(self) -> int | None:
        """When it is to be forgotten, in Unix seconds."""
        return self.records[0].attributes.get("ttl")


class _Raw(NamedTuple):
    """Meta's message as the row holds it, and what stood around it."""

    message: Json
    wrapping: "_Wrapping | None" = None


class _Wrapping(NamedTuple):
    """The change that delivered a message: its entry's id, its field and value, whether it is an echo, its thread."""

    entry_id: object
    field: str
    value: Json
    is_echo: bool = False
    thread: object = None


def legacy(row: Row, number: str | None, retention_days: int) -> Legacy:
    """Make the message of a row; `number` is the phone number id for rows that do not say.

    Raises `BadRow` when the row does not say which message it is, or which number received it.
    """
    for raw in (*_raw_messages(row), None):
        made = _made(row, raw, number, retention_days)
        if made is not None:
            return made
    raise BadRow("no message can be made of it")


def _made(row: Row, raw: _Raw | None, number: str | None, retention_days: int) -> Legacy | None:
    """Make the message, with Meta's own one where there is one; None when that is not usable."""
    number = _number(raw) or row.phone_number_id or number
    if number is None:
        raise BadRow("no phone number id; give one with --phone-number-id")
    found = _found(row, raw)
    message = _completed(row, raw, found)
    parsed = _parsed(_envelope(message, raw, number, row), retention_days)
    if not parsed:
        return None
    own = _own_attributes(parsed[0], row, raw, message)
    stored = own.get("provider_media_id")
    return Legacy(
        records=tuple(map(_careful, (replace(parsed[0], attributes=own), *parsed[1:]))),
        old_id=row.id,
        source=_source(stored, found),
        is_media=stored is not None or "media_unavailable" in own,
        column=stored is not None and _is_column_filled(row),
    )


def _parsed(envelope: Json, retention_days: int) -> list[Record]:
    """Let the webhook's parser read an envelope of one message; nothing where it finds no message in it."""
    try:
        body = json.dumps(envelope).encode("ascii")
    except RecursionError:
        return []
    records = [one for one in payload.parse(Delivery(body, APP, 0, retention_days)) if one.model != "Event"]
    return records if records and records[0].model == "Message" else []


def _source(stored: str | None, found: Source | None) -> str | None:
    """Name the place of the media id that is stored; what the priorities did not find, the parser has from raw."""
    if not is_media_id(stored):
        return None
    return found.name if found and found.media_id == stored else "raw"


def settled(records: tuple[Record, ...]) -> tuple[Record, ...]:
    """Give the records of a message whose media Meta no longer has: not in the index of what is to be fetched."""
    return tuple(_settled(record) if record.model == "Message" else record for record in records)


def _settled(record: Record) -> Record:
    attributes = {name: value for name, value in record.attributes.items() if name not in INDEX_OF_UNSETTLED}
    return replace(record, attributes=attributes)


# --- Meta's message in the row ---------------------------------------------------------------------------------


def _raw_messages(row: Row) -> Iterator[_Raw]:
    """Give the message that each of the raw columns holds for this row, if any."""
    for column in (row.raw, row.payload):
        found = _decoded(column)
        if isinstance(found, list):
            found = {"messages": found}
        if isinstance(found, dict):
            chosen = _chosen([one for one in _walked(found) if _is_metas(one.message, row)], row.wamid)
            if chosen is not None:
                yield chosen


def _decoded(value: object) -> object:
    """Undo JSON inside JSON."""
    for _ in range(ENCODINGS):
        if not isinstance(value, str):
            return value
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def _chosen(messages: list[_Raw], wamid: str | None) -> _Raw | None:
    """Choose the row's own message: the one with its wamid, else the only one."""
    own = [one for one in messages if wamid is not None and one.message.get("id") == wamid]
    if own:
        return own[0]
    return messages[0] if len(messages) == 1 else None


def _walked(found: Json) -> Iterator[_Raw]:
    """Give all messages of an envelope, an entry, a change or its value; anything else may be a message itself."""
    if isinstance(found.get("entry"), list):
        for entry in _objects(found["entry"]):
            yield from _walked_entry(entry)
    elif isinstance(found.get("changes"), list):
        yield from _walked_entry(found)
    elif isinstance(found.get("value"), dict):
        yield from _walked_change(found, None)
    elif any(isinstance(found.get(name), list) for name in ("messages", "message_echoes", "statuses")):
        yield from _walked_change({"value": found}, None)
    else:
        yield _Raw(found)


def _walked_entry(entry: Json) -> Iterator[_Raw]:
    for change in _objects(entry.get("changes")):
        yield from _walked_change(change, entry.get("id"))


def _walked_change(change: Json, entry_id: object) -> Iterator[_Raw]:
    field, value = change.get("field"), change.get("value")
    if not isinstance(value, dict):
        return
    echoes = payload.ECHOES
    if not isinstance(field, str) or field not in payload.MESSAGE_LISTS:
        field = echoes if echoes in value and "messages" not in value else "messages"
    around = _Wrapping(entry_id, field, value)
    for name in payload.MESSAGE_LISTS[field]:
        yield from (_Raw(m, around._replace(is_echo=name == echoes)) for m in _objects(value.get(name)))
    for chunk in _objects(value.get("history")) if field == "history" else ():
        for thread in _objects(chunk.get("threads")):
            yield from (_Raw(m, around._replace(thread=thread.get("id"))) for m in _objects(thread.get("messages")))


def _objects(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_metas(message: Json, row: Row) -> bool:
    """Tell Meta's message from anything else that a CRM keeps as JSON: its type names an object, or its id is ours."""
    kind, own_id = message.get("type") or row.type, message.get("id")
    holds_its_type = isinstance(kind, str) and isinstance(message.get(kind), dict)
    return holds_its_type or (isinstance(own_id, str) and (own_id.startswith("wamid.") or own_id == row.wamid))


def _number(raw: _Raw | None) -> str | None:
    """Give the number that an envelope was for."""
    metadata = raw.wrapping.value.get("metadata") if raw and raw.wrapping else None
    number = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
    return str(number) if isinstance(number, str | int) and not isinstance(number, bool) and number != "" else None


# --- the media id ----------------------------------------------------------------------------------------------


def _found(row: Row, raw: _Raw | None) -> Source | None:
    """Find the media id by the three priorities of the media proxy."""
    kind = _type(row, raw)
    is_media = kind in MEDIA_TYPES
    message = Message(
        type=kind,
        provider_media_id=row.provider_media_id if is_media else None,
        media_url=row.media_url if is_media else None,
        raw=None if raw is None or not is_media else _media_part(raw.message, kind),
    )
    try:
        return sources.resolve(message)
    except MediaError:
        return None


def _media_part(message: Json, kind: str) -> str:
    """Give the part of a message that can hold its media id, as JSON; the rest need not be written and read again."""
    fields = message.get(kind)
    return json.dumps({"type": kind, kind: {"id": media_id_of(fields)} if isinstance(fields, dict) else None})


def _type(row: Row, raw: _Raw | None) -> str:
    """Give the message's type: Meta's word for it, else the column's, else what the other columns tell."""
    said = raw.message.get("type") if raw else None
    if isinstance(said, str) and said and (said in MEDIA_TYPES or said in NESTED or not _is_column_filled(row)):
        return said
    if _is_column_filled(row) and row.type not in MEDIA_TYPES:
        return kind_of(row.mime_type)
    if row.type is not None:
        return row.type
    if is_media_id(row.media_url):
        return kind_of(row.mime_type)
    return "text" if row.text is not None else "unknown"


def _is_column_filled(row: Row) -> bool:
    return is_media_id(row.provider_media_id)


# --- the message for the parser --------------------------------------------------------------------------------


def _completed(row: Row, raw: _Raw | None, found: Source | None) -> Json:
    """Give Meta's message, filled from the columns where it lacks something; it wins where both say something."""
    kind = _type(row, raw)
    outbound = _is_outbound(row, raw)
    columns: Json = {
        "id": row.wamid or (f"legacy:{row.id}" if row.id is not None else None),
        **_contact_fields(row, raw, outbound=outbound),
    }
    message = _filled(raw.message if raw else {}, columns)
    message["type"] = kind
    if row.timestamp and not _is_time(message.get("timestamp")):
        message["timestamp"] = str(row.timestamp)
    if not isinstance(message.get("id"), str | int):
        message["id"] = columns["id"]
    if message["id"] is None:
        raise BadRow("neither an id nor a wamid")
    if kind in MEDIA_TYPES:
        message[kind] = _media_object(row, raw, message.get(kind), found)
    elif raw is None and kind == "text" and row.text is not None:
        message["text"] = {"body": row.text}
    return message


def _filled(message: Json, columns: Mapping[str, Any]) -> Json:
    lacking = {name: value for name, value in columns.items() if value is not None and message.get(name) in (None, "")}
    return {**message, **lacking}


def _media_object(row: Row, raw: _Raw | None, fields: object, found: Source | None) -> Json:
    """Complete Meta's object of a medium; the id that the priorities found goes before its own."""
    columns = {
        "mime_type": row.mime_type,
        "sha256": row.sha256,
        "filename": row.filename,
        # Where there is no message of Meta's, the text of a picture is its caption.
        "caption": row.caption or (None if raw else row.text),
    }
    known = _filled(fields if isinstance(fields, dict) else {}, columns)
    if found is not None and found.media_id != media_id_of(known):
        known["id"] = found.media_id
    return known


def _contact_fields(row: Row, raw: _Raw | None, *, outbound: bool) -> Json:
    """Say who the other side is, unless Meta's message does."""
    side = "to" if outbound else "from"
    names = ("group_id", f"{side}_user_id", side)
    if row.contact is None or (raw is not None and any(raw.message.get(name) for name in names)):
        return {}
    # A business-scoped user id: a country, a dot, a number.
    return {f"{side}_user_id" if row.contact[2:3] == "." else side: row.contact}


def _is_outbound(row: Row, raw: _Raw | None) -> bool:
    if raw is not None and raw.wrapping is not None:
        return raw.wrapping.is_echo
    if row.outbound is None and raw is not None:
        return "to" in raw.message and "from" not in raw.message
    return bool(row.outbound)


def _is_time(value: object) -> bool:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text.isascii() and text.isdigit() and len(text) <= 12 and payload.EARLIEST <= int(text) < payload.LATEST


def _envelope(message: Json, raw: _Raw | None, number: str, row: Row) -> Json:
    """Put one message into an envelope: its own, without its siblings, or one made for it."""
    around = raw.wrapping if raw else None
    if around is None:
        echo = _is_outbound(row, raw)
        around = _Wrapping(None, payload.ECHOES if echo else "messages", {}, is_echo=echo)
    metadata = around.value.get("metadata")
    value: Json = {
        "messaging_product": "whatsapp",
        "metadata": {**(metadata if isinstance(metadata, dict) else {}), "phone_number_id": number},
        "contacts": around.value.get("contacts") or _contacts(row),
    }
    if around.thread is not None:
        value["history"] = [{"threads": [{"id": around.thread, "messages": [message]}]}]
    else:
        value[payload.ECHOES if around.is_echo else "messages"] = [message]
    return {"entry": [{"id": around.entry_id, "changes": [{"field": around.field, "value": value}]}]}


def _contacts(row: Row) -> list[Json]:
    """Name the customer as Meta would; in what the business sent there is nobody to name."""
    if row.name is None or row.outbound:
        return []
    return [{"profile": {"name": row.name}, **({"wa_id": row.contact} if row.contact else {})}]


# --- what the parser made --------------------------------------------------------------------------------------


def _own_attributes(record: Record, row: Row, raw: _Raw | None, message: Json) -> Json:
    """Correct what the parser could not know: which part is Meta's own words, and that `legacy:` is no wamid.

    And it is no news: the CRM had the message before we did.
    """
    attributes = {name: value for name, value in record.attributes.items() if name != "event"}
    if raw is None:
        del attributes["raw"]
        if row.text is not None and "caption" not in attributes:
            attributes["text"] = row.text
    elif message != raw.message:
        attributes["raw"] = json.dumps(raw.message, separators=(",", ":"))
    if row.wamid is None and attributes["wamid"] == f"legacy:{row.id}":
        del attributes["wamid"]
    return attributes


def _careful(record: Record) -> Record:
    """Never write a message over a live one: only where none is, or none with a media id."""
    if record.model != "Message":
        return record
    return replace(record, write="if_no_media_id" if record.has_media_id else "if_new")
