"""What a message says besides its text: Meta's JSON in, the parts that a page shows out. Pure and total.

Nothing is handed on that is not named here, and nothing that has another type than it should.
https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from inbound.media import message_id
from inbox.shapes import (
    Answer,
    Button,
    Context,
    Fault,
    Interactive,
    Kind,
    Location,
    Order,
    OrderItem,
    Reaction,
    Referral,
    SharedContact,
)

Json = Mapping[str, Any]

LARGEST_NUMBER = 10**15  # no price, code or count is larger; and JavaScript reads it exactly


def part_of(kind: str, raw: object, phone_number_id: str) -> dict[str, Any]:
    """Give what a message of this type has of its own, under the type's name; nothing for a type that is not known."""
    fields = _mapping(raw)
    if kind == "reaction":
        return {kind: _reaction(fields, phone_number_id)}
    return {kind: _READERS[kind](fields)} if kind in _READERS else {}


def parsed(text: str | None) -> Any:
    """Read JSON that was stored as text; None when there is none that can be read."""
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None


def context(raw: object, phone_number_id: str) -> Context | None:
    """Give what a message refers to, by our own ids."""
    fields = _mapping(raw)
    answered, product = _text(fields.get("id")), _mapping(fields.get("referred_product"))
    found: Context = {}
    if answered is not None:
        found["message_id"] = message_id(phone_number_id, answered)
    if fields.get("forwarded") is True:
        found["forwarded"] = True
    if fields.get("frequently_forwarded") is True:
        found["frequently_forwarded"] = True
    if product:
        found["product"] = _texts(product, catalog_id="catalog_id", product_id="product_retailer_id")
    return found or None


def referral(raw: object) -> Referral | None:
    """Give where the person came from."""
    fields = _mapping(raw)
    names = ("source_type", "source_url", "headline", "body")
    return cast("Referral", _texts(fields, **{name: name for name in names})) if fields else None


def faults(errors: object) -> list[Fault] | None:
    """Give what WhatsApp says went wrong; None when it says nothing."""
    found = [_fault(one) for one in _mappings(errors)]
    return found or None


def _fault(error: Json) -> Fault:
    data = _mapping(error.get("error_data"))
    code = _number(error.get("code"))
    details = _text(data.get("details")) or _text(error.get("details")) or _text(error.get("message"))
    known = {} if code is None else {"code": int(code)}
    words = {"title": error.get("title"), "details": details}
    return cast("Fault", {**known, **_texts(words, title="title", details="details")})


def _reaction(raw: Json, phone_number_id: str) -> Reaction | None:
    """Taken back, a reaction has no emoji, or an empty one."""
    fields = _mapping(raw.get("reaction"))
    about = _text(fields.get("message_id"))
    if about is None:
        return None
    return {"message_id": message_id(phone_number_id, about), "emoji": _text(fields.get("emoji"))}


def _location(raw: Json) -> Location | None:
    fields = _mapping(raw.get("location"))
    latitude, longitude = _number(fields.get("latitude")), _number(fields.get("longitude"))
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    words = _texts(fields, name="name", address="address", url="url")
    return cast("Location", {"latitude": latitude, "longitude": longitude, **words})


def _contacts(raw: Json) -> list[SharedContact] | None:
    return [_contact(one) for one in _mappings(raw.get("contacts"))] or None


def _contact(fields: Json) -> SharedContact:
    name, organization = _mapping(fields.get("name")), _mapping(fields.get("org"))
    phones = [_texts(one, phone="phone", type="type") for one in _having("phone", fields.get("phones"))]
    emails = [_texts(one, email="email", type="type") for one in _having("email", fields.get("emails"))]
    words = {"name": name.get("formatted_name"), "organization": organization.get("company")}
    shown = _texts(words, name="name", organization="organization")
    return cast("SharedContact", {"phones": phones, "emails": emails, **shown})


def _interactive(raw: Json) -> Interactive | None:
    fields = _mapping(raw.get("interactive"))
    kind = _text(fields.get("type"))
    if kind is None:
        return None
    reply = _mapping(fields.get(kind))
    words = _texts(reply, id="id", title="title", description="description", body="body")
    answers = list(_answers(reply.get("response_json")))
    return cast("Interactive", {"type": kind, **words, **({"answers": answers} if answers else {})})


def _answers(response: object) -> Iterator[Answer]:
    """Give the fields of a flow, but for its token, which is a secret of who sent it, and for files."""
    fields = _mapping(parsed(response) if isinstance(response, str) else response)
    for name, value in fields.items():
        if name != "flow_token":
            values = [word for one in (value if isinstance(value, list) else [value]) if (word := _word(one))]
            if values:
                yield {"name": name, "values": values}


def _word(value: object) -> str | None:
    """Write a plain value; what is nested is a file, or unknown."""
    if isinstance(value, bool):
        return "true" if value else "false"
    number = _number(value)
    return _text(value) if number is None else str(number)


def _button(raw: Json) -> Button | None:
    fields = _mapping(raw.get("button"))
    return cast("Button", _texts(fields, text="text", payload="payload")) if fields else None


def _order(raw: Json) -> Order | None:
    fields = _mapping(raw.get("order"))
    if not fields:
        return None
    items = [_order_item(one) for one in _mappings(fields.get("product_items"))]
    return cast("Order", {"items": items, **_texts(fields, catalog_id="catalog_id", text="text")})


def _order_item(fields: Json) -> OrderItem:
    numbers = {"quantity": _number(fields.get("quantity")), "price": _number(fields.get("item_price"))}
    known = {name: number for name, number in numbers.items() if number is not None}
    return cast("OrderItem", {**known, **_texts(fields, product_id="product_retailer_id", currency="currency")})


def _kind(name: str) -> Callable[[Json], Kind]:
    return lambda raw: cast("Kind", _texts(_mapping(raw.get(name)), type="type"))


_READERS: Mapping[str, Callable[[Json], Any]] = {
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "system": _kind("system"),
    "unsupported": _kind("unsupported"),
}


# --- reading values of any shape -------------------------------------------------------------------------------


def _texts(fields: Json, **names: str) -> Any:
    """Read texts under their names here, from the names that they have there; those that are there."""
    return {name: text for name, there in names.items() if (text := _text(fields.get(there))) is not None}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    """Read a number that JSON can carry: JSON as Python reads it knows NaN and infinity, too."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST_NUMBER:
        return None
    return value


def _mapping(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _having(name: str, value: object) -> list[Json]:
    return [one for one in _mappings(value) if _text(one.get(name)) is not None]
