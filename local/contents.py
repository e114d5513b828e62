"""What a message says: the members of one element of `messages[]` that depend on its type. Pure.

Shapes: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/image
and its siblings.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from inbound.media import MEDIA_TYPES

Content = dict[str, Any]
"""`{"type": …, <type>: …}`, and `errors` where Meta has none to give."""

MediaKind = Literal["image", "video", "audio", "voice", "sticker", "animated_sticker", "document"]
Kind = (
    MediaKind
    | Literal[
        "text",
        "location",
        "contacts",
        "reaction",
        "button_reply",
        "list_reply",
        "flow_reply",
        "button",
        "order",
        "unsupported",
        "too_large",
        "edit",
        "revoke",
        "status",
        "other_field",
    ]
)
MEDIA_KINDS: tuple[str, ...] = get_args(MediaKind)
KINDS: tuple[str, ...] = tuple(name for literal in get_args(Kind) for name in get_args(literal))

# https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/unsupported
Unsupported = Literal["poll_creation", "gif", "image", "list", "group_invite", "link_preview", "pin", "errors"]
UNSUPPORTED: tuple[str, ...] = get_args(Unsupported)

# kind → (the message's type, what its object says besides id, MIME type and hash)
_SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("image", {}),
    "video": ("video", {}),
    "audio": ("audio", {"voice": False}),
    "voice": ("audio", {"voice": True}),
    "sticker": ("sticker", {"animated": False}),
    "animated_sticker": ("sticker", {"animated": True}),
    "document": ("document", {}),
}
_CAPTIONED = frozenset({"image", "video", "document"})


@dataclass(frozen=True, slots=True)
class Attachment:
    """Media as a webhook describes it; everything but the id and type may be missing."""

    media_id: str
    mime_type: str
    sha256: str | None = None
    url: str | None = None
    caption: str | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the map, in degrees."""

    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] = 38.7077
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)] = -9.1365
    name: Annotated[str, Field(max_length=1000)] | None = None
    address: Annotated[str, Field(max_length=1000)] | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """Somebody whose contact data are passed on; the phone number in digits."""

    name: Annotated[str, Field(max_length=500)] = "Bo Example"
    phone: Annotated[str, Field(pattern=r"^[0-9]{1,15}$")] = "447700900102"


@dataclass(frozen=True, slots=True)
class Product:
    """What is ordered from a catalogue."""

    retailer_id: Annotated[str, Field(max_length=100)] = "life-jacket-m"
    quantity: Annotated[int, Field(ge=1, le=99_999)] = 2
    price: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 49.95
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"


def text(body: str) -> Content:
    """Give plain text."""
    return _of("text", {"body": body})


def media(kind: str, attachment: Attachment) -> Content:
    """Give media of one of MEDIA_KINDS; KeyError for other kinds."""
    type_, extra = _SHAPES[kind]
    fields = {
        "caption": attachment.caption if type_ in _CAPTIONED else None,
        "filename": attachment.filename if type_ == "document" else None,
        "mime_type": attachment.mime_type,
        "sha256": attachment.sha256,
        "id": attachment.media_id,
        "url": attachment.url,
        **extra,
    }
    return _of(type_, present(fields))


def too_large() -> Content:
    """Give a video over 100 MB: Meta does not take it, so there is no id."""
    details = "File size too big. Max file size we currently support: 100 MB."
    return {**_of("video", {"mime_type": "video/mp4"}), "errors": [meta_error(131052, "Media download error", details)]}


def location(place: Place) -> Content:
    """Give a place."""
    fields = {"latitude": place.latitude, "longitude": place.longitude, "name": place.name, "address": place.address}
    return _of("location", present(fields))


def contacts(card: Card) -> Content:
    """Give the contact data of one person."""
    first, _, last = card.name.partition(" ")
    name = present({"formatted_name": card.name, "first_name": first, "last_name": last or None})
    phone = {"phone": f"+{card.phone}", "type": "CELL", "wa_id": card.phone}
    return _of("contacts", [{"name": name, "phones": [phone]}])


def reaction(target: str, emoji: str) -> Content:
    """Give a reaction to a message; without an emoji, it is taken back."""
    return _of("reaction", present({"message_id": target, "emoji": emoji or None}))


def button_reply(title: str) -> Content:
    """Give a tap on a button of an interactive message."""
    return _interactive("button_reply", {"id": "button-1", "title": title})


def list_reply(title: str, description: str) -> Content:
    """Give a choice from a list."""
    return _interactive("list_reply", present({"id": "row-1", "title": title, "description": description or None}))


def flow_reply(answers: Mapping[str, Any], photos: Sequence[Attachment]) -> Content:
    """Give what was filled in in a flow: its author's answers, and photos from a photo picker."""
    picked = [
        present({"id": a.media_id, "mime_type": a.mime_type, "sha256": a.sha256, "file_name": a.filename})
        for a in photos
    ]
    filled = {"flow_token": "flow-1", **answers, **({"photos": picked} if picked else {})}
    reply = {"name": "flow", "body": "Sent", "response_json": json.dumps(filled)}
    return _interactive("nfm_reply", reply)


def button(title: str) -> Content:
    """Give a tap on a quick reply of a template."""
    return _of("button", {"payload": "button-1", "text": title})


def order(note: str, product: Product) -> Content:
    """Give an order from a catalogue."""
    item = {
        "product_retailer_id": product.retailer_id,
        "quantity": product.quantity,
        "item_price": product.price,
        "currency": product.currency,
    }
    return _of("order", present({"catalog_id": "500000000000001", "text": note or None, "product_items": [item]}))


def unsupported(what: str) -> Content:
    """Give what the API does not pass on; `errors` stands for a message that cannot be had just now."""
    problem = (
        meta_error(131060, "This message is currently unavailable.", "See it in the WhatsApp Business app.")
        if what == "errors"
        else meta_error(131051, "Message type unknown", "Message type is currently not supported.")
    )
    return {**_of("unsupported", {"type": what}), "errors": [problem]}


def edit(target: str, original: Content | None, words: str) -> Content:
    """Give an edit: of the caption where the original has media, else of the text."""
    type_ = str(original["type"]) if original else "text"
    captioned = original is not None and type_ in MEDIA_TYPES
    edited = _of(type_, {**original[type_], "caption": words}) if original and captioned else text(words)
    return _of("edit", {"original_message_id": target, "message": {"context": {"id": target}, **edited}})


def revoke(target: str) -> Content:
    """Give the deletion of a message."""
    return _of("revoke", {"original_message_id": target})


def meta_error(code: int, title: str, details: str) -> dict[str, Any]:
    """Give an element of `errors[]`."""
    return {"code": code, "title": title, "message": title, "error_data": {"details": details}}


def _interactive(type_: str, reply: Mapping[str, Any]) -> Content:
    return _of("interactive", {"type": type_, type_: dict(reply)})


def _of(type_: str, content: Any) -> Content:
    return {"type": type_, type_: content}


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not there: Meta sends no nulls."""
    return {name: value for name, value in fields.items() if value is not None}
