"""Columns of an old CRM's message table → the fields of one row. Pure: a row of any shape gives a `Row`.

Tables name their columns differently; the usual names are known, the others are mapped by hand.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from inbound.media import MEDIA_TYPES, kind_of
from webhook.payload import EARLIEST, LATEST

# field → names of columns that may hold it, the best first, in lower case and without anything but letters and digits.
KNOWN_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "uuid", "pk", "legacyid", "oldid", "rowid"),
    "wamid": (
        "wamid",
        "whatsappmessageid",
        "whatsappid",
        "wamessageid",
        "providermessageid",
        "externalmessageid",
        "messageid",
        "externalid",
    ),
    "phone_number_id": ("phonenumberid", "businessphonenumberid", "waphonenumberid", "whatsappphonenumberid"),
    "contact": (
        "contact",
        "contactphone",
        "contactnumber",
        "customerphone",
        "customer",
        "waid",
        "phone",
        "phonenumber",
    ),
    "sender": ("from", "sender", "fromnumber"),
    "recipient": ("to", "recipient", "tonumber"),
    "name": ("profilename", "contactname", "customername", "pushname"),
    "type": ("type", "messagetype", "msgtype", "mediatype", "kind"),
    "provider_media_id": ("providermediaid", "mediaid", "whatsappmediaid", "wamediaid"),
    "media_url": ("mediaurl", "url", "attachmenturl", "fileurl"),
    "mime_type": ("mimetype", "mediamimetype", "contenttype"),
    "sha256": ("sha256", "mediasha256"),
    "filename": ("filename", "mediafilename", "originalfilename"),
    "caption": ("caption", "mediacaption"),
    "text": ("text", "body", "textbody", "messagetext", "messagebody", "content"),
    "raw": ("rawpayload", "raw", "rawmessage", "rawjson", "rawdata", "webhookpayload"),
    "payload": ("payload", "messagepayload"),
    "timestamp": (
        "timestamp",
        "messagetimestamp",
        "sentat",
        "receivedat",
        "createdat",
        "created",
        "date",
        "time",
    ),
    "direction": ("direction", "fromme", "isoutbound", "outgoing"),
}
FIELDS = tuple(KNOWN_NAMES)

# What exports write where there is nothing.
NOTHING = frozenset({"", "\\N", "NULL", "null", "None"})
KINDS: Mapping[str, str] = {
    "voice": "audio",
    "ptt": "audio",
    "photo": "image",
    "picture": "image",
    "gif": "video",
    "file": "document",
    "chat": "text",
}
OUTBOUND = frozenset({"outbound", "outgoing", "out", "sent", "business", "agent", "true", "1", "t", "yes"})
# Wrappers of https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
WRAPPERS = ("$oid", "$date", "$numberLong", "$numberInt", "$uuid")

_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{4,}")
_DIGITS = re.compile(r"-?[0-9]{1,25}(\.[0-9]*)?")
_ISO_TAIL = re.compile(r"\s*(UTC|GMT)$")
_ISO_HOURS = re.compile(r"([+-][0-9]{2})$")


class UnknownColumn(Exception):
    """A mapping that names no field or no column; the message says what there is."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a row says, each field as text (None where it says nothing); raw and payload as they came.

    `timestamp` is in Unix seconds, 0 when there is none that makes sense.
    """

    id: str | None = None
    wamid: str | None = None
    phone_number_id: str | None = None
    contact: str | None = None
    name: str | None = None
    type: str | None = None
    provider_media_id: str | None = None
    media_url: str | None = None
    mime_type: str | None = None
    sha256: str | None = None
    filename: str | None = None
    caption: str | None = None
    text: str | None = None
    raw: object = None
    payload: object = None
    timestamp: int = 0
    outbound: bool | None = None


class Columns:
    """Which column holds which field: what is mapped by hand, and the usual names for the rest."""

    def __init__(self, mapped: Mapping[str, str] | None = None) -> None:
        """Take a column for each field that is mapped by hand; an empty one switches the field off.

        A column of JSON may be a path: `media.url`. Raises `UnknownColumn` for a field that does not exist.
        """
        self._mapped = dict(mapped or {})
        if unknown := sorted(self._mapped.keys() - KNOWN_NAMES.keys()):
            raise UnknownColumn(f"There is no field {unknown[0]}; the fields are {', '.join(FIELDS)}.")
        self._of = lru_cache(64)(self._found)  # rows of JSON may differ in their keys, but not much

    def check(self, header: Iterable[str]) -> None:
        """Raise `UnknownColumn` when a table with these columns lacks one that is mapped, or all that are known."""
        names = tuple(header)
        for column in self._mapped.values():
            if column and column not in names:
                raise UnknownColumn(f"There is no column {column}; the file has {', '.join(names[:50])}.")
        if not any(self._of(names)[field] for field in ("id", "wamid", "raw", "payload")):
            raise UnknownColumn(f"No column says which message a row is; the file has {', '.join(names[:50])}.")

    def absent(self, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Give the columns that are mapped by hand and that none of these rows has."""
        wanted = {column for column in self._mapped.values() if column}
        for values in rows:
            wanted -= {column for column in wanted if _at(values, column) is not None or column in values}
        return sorted(wanted)

    def row(self, values: Mapping[str, Any]) -> Row:
        """Read one row of the table."""
        found = self._of(tuple(values))
        return _row({field: _first(values, columns) for field, columns in found.items()})

    def _found(self, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        plain: dict[str, list[str]] = {}
        for name in names:
            plain.setdefault("".join(char for char in name.lower() if char.isalnum()), []).append(name)
        usual = {f: tuple(name for known in k for name in plain.get(known, ())) for f, k in KNOWN_NAMES.items()}
        return usual | {field: (column,) if column else () for field, column in self._mapped.items()}


def _row(fields: Mapping[str, Any]) -> Row:
    outbound = _outbound(fields["direction"])
    other_side = fields["recipient"] if outbound else fields["sender"]
    texts = ("id", "wamid", "phone_number_id", "name", "mime_type", "sha256", "filename", "caption", "text")
    return Row(
        **{name: _text(fields[name]) for name in (*texts, "provider_media_id", "media_url")},
        contact=_contact(_text(fields["contact"]) or _text(other_side)),
        type=_kind(_text(fields["type"])),
        raw=fields["raw"],
        payload=fields["payload"],
        timestamp=unix_seconds(fields["timestamp"]),
        outbound=outbound,
    )


def _first(values: Mapping[str, Any], columns: Iterable[str]) -> object:
    """Give the first value that says something."""
    for column in columns:
        value = _unwrapped(_at(values, column))
        if value is not None and not (isinstance(value, str) and value.strip() in NOTHING):
            return value
    return None


def _at(values: Mapping[str, Any], path: str) -> object:
    """Give the value of a column, or at a path of them."""
    if path in values or "." not in path:
        return values.get(path)
    inside: object = values
    for name in path.split("."):
        inside = inside.get(name) if isinstance(inside, dict) else None
    return inside


def _unwrapped(value: object) -> object:
    if isinstance(value, dict) and len(value) == 1:
        (name, inside), *_ = value.items()
        return _unwrapped_once(inside) if name in WRAPPERS else value
    return value


def _unwrapped_once(value: object) -> object:
    """A date may hold a wrapped number; nothing is wrapped deeper."""
    return next(iter(value.values())) if isinstance(value, dict) and len(value) == 1 else value


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return _storable(value.strip()) or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value)


def _storable(text: str) -> str:
    """Replace half a surrogate pair, which JSON can carry and the table cannot."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _contact(text: str | None) -> str | None:
    """Give a phone number as Meta writes it, digits only; anything else, such as a user id, as it is."""
    plain = text.partition("@")[0] if text is not None else ""
    if text is not None and _PHONE.fullmatch(plain):
        return "".join(char for char in plain if char.isdigit())
    return text


def _kind(text: str | None) -> str | None:
    """Give Meta's name for a type of message; a MIME type stands for the kind that suits it."""
    if text is None:
        return None
    lower = text.lower()
    if "/" in lower:
        return kind_of(lower)
    return lower if lower in MEDIA_TYPES else KINDS.get(lower, lower)


def _outbound(value: object) -> bool | None:
    if value is None:
        return None
    return value if isinstance(value, bool) else (_text(value) or "").lower() in OUTBOUND


def unix_seconds(value: object) -> int:
    """Read ISO 8601 (without a zone: UTC), or Unix time in seconds, milli-, micro- or nanoseconds; else 0."""
    text = _text(value)
    if text is None:
        return 0
    try:
        seconds = _scaled(float(text)) if _DIGITS.fullmatch(text) else _iso_seconds(text)
    except (ValueError, OverflowError):
        return 0
    return int(seconds) if EARLIEST <= seconds < LATEST else 0


def _scaled(number: float) -> float:
    """Bring a Unix time to seconds: each finer unit is a thousand times larger, so they cannot be mistaken."""
    while math.isfinite(number) and number >= LATEST:
        number /= 1000
    return number


def _iso_seconds(text: str) -> float:
    text = _ISO_HOURS.sub(r"\1:00", _ISO_TAIL.sub("Z", text)) if len(text) > 10 else text
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
