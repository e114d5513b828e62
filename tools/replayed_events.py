"""Events that the webhook kept raw → the records that they are to today's parser. Pure.

An event holds a whole body, a part of one, or the attributes of a record that could not be stored. From each of them
an envelope is built again as Meta would have sent it, so that there is one parser.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from inbound.credentials import App
from inbound.media import contact_id
from webhook import binding, payload
from webhook.payload import ERASED, MESSAGE_LISTS, Delivery, Model, Record

Json = Mapping[str, Any]
Key = tuple[str, str]

BODIES = frozenset({"unreadable", "unexpected_shape", "not_utf8", "too_deep"})
RECORDS = frozenset({"refused", "number_not_bound"})
FRAGMENT = frozenset({"id", "field", "phone_number_id", "content"})
# What the parser takes from a value without walking it: a fragment may not bring its own.
ABOUT_VALUE = frozenset({"messaging_product", "metadata", "contacts"})


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the table: who sent it, when it came (Unix ms), why it was kept, and the bytes that were kept."""

    key: Key
    app_id: str
    received: int
    reason: str
    content: bytes

    def delivery(self, body: bytes, retention_days: int) -> Delivery:
        """Give a POST of this body, as if it had come when the event came."""
        return Delivery(body, self.app_id, self.received, retention_days)


@dataclass(frozen=True, slots=True)
class Judged:
    """What an event is today: `records` to store; `settled` when nothing is left of it once they are stored."""

    records: list[Record]
    settled: bool


NOT_UNDERSTOOD = Judged([], settled=False)
DERIVED = Judged([], settled=True)


def judged(event: StoredEvent, apps: Mapping[str, App], retention_days: int) -> Judged:
    """Read an event with today's parser, for the apps as they are bound today (`event.app_id` is one of them).

    It is understood when that gives a message or status, or what was refused before. What is understood may still
    leave events of its parts; an event that would come out as itself again is not understood.
    """
    if is_head(event):
        return DERIVED
    delivery = event.delivery(event.content, retention_days)
    signed_by = signers(event.app_id, apps)
    for records, wanted in _readings(event, delivery):
        kept = binding.permitted(records, signed_by, apps, delivery).kept
        if any(record.model in wanted for record in kept) and event.key not in {record.key for record in kept}:
            return Judged(kept, settled=True)
    return NOT_UNDERSTOOD


def signers(app_id: str, apps: Mapping[str, App]) -> frozenset[str]:
    """Give the apps that a signature of this app is a signature of: those that share a secret with it."""
    secrets = set(apps[app_id].secrets)
    return frozenset(other for other, app in apps.items() if secrets & set(app.secrets))


def proofs(record: Record, event: StoredEvent, delivery: Delivery) -> set[Key]:
    """Give the keys any of which shows that a record is in good hands.

    The item itself; a tombstone, when it was erased; or the event that it was refused again, unless that is the event
    which is being replayed.
    """
    return {record.key, (record.partition, ERASED), payload.refused(record, delivery).key} - {event.key}


def is_head(event: StoredEvent) -> bool:
    """Tell whether this is a refused conversation head: the next message of the conversation makes it again."""
    attributes = _mapping(_json(event.content)) if event.reason == "refused" else {}
    return str(attributes.get("pk")).startswith("CONV#") and not str(attributes.get("sk")).startswith("ALIAS#")


# --- readings ----------------------------------------------------------------------------------------------------

Reading = tuple[list[Record], frozenset[Model]]
SENT: frozenset[Model] = frozenset({"Message", "Status"})


def _readings(event: StoredEvent, delivery: Delivery) -> Iterator[Reading]:
    """Give what an event may be, each with the models of which one shows that it was understood."""
    content = _json(event.content)
    if event.reason in RECORDS:
        yield from _record_readings(_mapping(content), event, delivery)
        return
    if event.reason in BODIES:
        yield payload.parse(delivery), SENT
    for envelope in _envelopes(content, event.reason):
        yield _parsed(envelope, delivery), SENT


def _parsed(envelope: Json, delivery: Delivery) -> list[Record]:
    # Through ASCII escapes, in which half a surrogate pair can travel.
    return payload.parse(replace(delivery, body=json.dumps(envelope).encode("ascii")))


def _envelopes(content: object, reason: str) -> Iterator[Json]:
    """Build the envelopes that a part of a body may come from."""
    part = _mapping(content)
    if part.keys() == FRAGMENT:
        yield from _fragment_envelopes(part, reason)
    if "change" in part:
        entry = {name: part[name] for name in ("id", "time") if name in part}  # other keys have events of their own
        yield {"entry": [{**entry, "changes": [part["change"]]}]}
    if reason == "unexpected_shape":
        yield {"entry": [content]}
    if reason == "unknown_keys":
        yield {"entry": [{"changes": [], **part}]}
        yield {"entry": [], **part}


def _fragment_envelopes(fragment: Json, reason: str) -> Iterator[Json]:
    """Put a part of a change's value back where it was."""
    content, field = fragment["content"], str(fragment["field"])
    places: dict[str, Json] = {
        "no_message_id": {MESSAGE_LISTS.get(field, ("messages",))[0]: [content]},
        "status_without_id": {"statuses": [content]},
        "history": {"history": [content]},
        "unexpected_shape": {"history": [{"threads": [content]}]},
        "unknown_keys": _mapping(content),
    }
    value = places.get(reason, {})
    if not value.keys() & ABOUT_VALUE:
        yield _envelope(value, fragment["phone_number_id"], fragment["id"], field)


def _envelope(value: Json, number: object, waba_id: object, field: str, ours: object = None) -> Json:
    """Build an envelope around a change's value; `ours` is the number that the business shows, where it matters."""
    metadata = {"phone_number_id": number, "display_phone_number": ours}
    change = {"field": field, "value": {"metadata": metadata, **value}}
    return {"entry": [{"id": waba_id, "changes": [change]}]}


# --- records that could not be stored ----------------------------------------------------------------------------


def _record_readings(attributes: Json, event: StoredEvent, delivery: Delivery) -> Iterator[Reading]:
    """Read a record again from the raw message or status in it; else take it as it was."""
    if str(attributes.get("pk")).startswith("EVENT#"):
        yield from _inner_readings(attributes, event, delivery)
        return
    raw = _json(str(attributes.get("raw", "")).encode("utf-8", "surrogatepass"))
    if isinstance(raw, dict) and "parent_id" not in attributes:
        records = _parsed(_record_envelope(attributes, raw), delivery)
        yield _with_known_contact(records, attributes), SENT
    if (model := _model_of(attributes)) is not None:
        number = str(attributes.get("phone_number_id", ""))
        yield [Record(model, dict(attributes), number, "if_new")], frozenset({model})


def _inner_readings(attributes: Json, event: StoredEvent, delivery: Delivery) -> Iterator[Reading]:
    """Read an event that was itself refused; when it comes out as itself it is not understood."""
    raw, raw_bytes = attributes.get("raw"), attributes.get("raw_bytes")
    content = bytes.fromhex(str(raw_bytes)) if raw_bytes is not None else str(raw).encode("utf-8", "surrogatepass")
    reason = str(attributes.get("reason"))
    inner = replace(event, content=content, reason=reason if reason not in RECORDS else "")
    own_key = (attributes["pk"], attributes.get("sk"))
    for records, wanted in _readings(inner, replace(delivery, body=content)):
        if own_key not in {record.key for record in records}:
            yield records, wanted


def _record_envelope(attributes: Json, raw: Json) -> Json:
    number, waba_id = attributes.get("phone_number_id"), attributes.get("waba_id")
    if str(attributes.get("sk")).startswith("STATUS#"):
        return _envelope({"statuses": [raw]}, number, waba_id, "messages")
    outbound = attributes.get("direction") == "outbound"
    contact = _json(str(attributes.get("contact", "")).encode("utf-8", "surrogatepass"))
    contacts = {"contacts": [contact]} if contact else {}
    if attributes.get("history"):
        ours = raw.get("from") if outbound else None  # in the history, that tells the direction
        return _envelope({"messages": [raw], **contacts}, number, waba_id, "history", ours)
    field = "message_echoes" if outbound else "messages"
    return _envelope({field: [raw], **contacts}, number, waba_id, field)


def _with_known_contact(records: Iterable[Record], attributes: Json) -> list[Record]:
    """Keep the contact of a message that only its thread told, and whose raw form names nobody."""
    nobody = contact_id(str(attributes.get("phone_number_id")), "")
    known = {"contact_id": attributes.get("contact_id")} if attributes.get("contact_id") else {}
    listing = {name: attributes[name] for name in ("gsi1pk",) if name in attributes}
    return [
        replace(record, attributes={**record.attributes, **known, **(listing if "gsi1pk" in record.attributes else {})})
        if record.attributes.get("contact_id") == nobody
        else record
        for record in records
    ]


def _model_of(attributes: Json) -> Model | None:
    """Tell what a record that is taken as it was is; None for what must be read again."""
    pk, sk = str(attributes.get("pk")), str(attributes.get("sk"))
    if pk.startswith("ALIASES#"):
        return "ContactAlias"
    if pk.startswith("CONV#"):
        return "ContactAlias" if sk.startswith("ALIAS#") else None
    if sk.startswith(("EDIT#", "REVOKE#")):
        return "Change"
    return "Message" if sk == "MESSAGE" and "parent_id" in attributes else None


# --- reading values of any shape ---------------------------------------------------------------------------------


def _mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
