"""A message that somebody wants to send: what can be said about it, and what Meta makes of it. Pure."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from inbound.media import media_objects, message_id
from local import contents, notifications
from local.contents import MEDIA_KINDS, Attachment, Card, Content, Kind, Place, Product, Unsupported
from local.notifications import Contact, Number, Status, new_wamid

TARGETED = frozenset({"reaction", "edit", "revoke", "status"})
"""What is about another message."""
TAPPED = frozenset({"button_reply", "list_reply", "flow_reply", "button"})
"""What always answers a message of the business."""
BY_BUSINESS = frozenset({*MEDIA_KINDS, "text", "location", "contacts", "reaction", "edit", "revoke"})
"""What the business can send from its phone."""
WITH_FILE = frozenset({*MEDIA_KINDS, "flow_reply"})

DEFAULT_TYPES: Mapping[str, str] = {
    "image": "image/jpeg",
    "video": "video/mp4",
    "audio": "audio/mpeg",
    "voice": "audio/ogg; codecs=opus",
    "sticker": "image/webp",
    "animated_sticker": "image/webp",
    "document": "application/pdf",
    "flow_reply": "image/jpeg",
}
"""What each kind usually is, for media that only another Graph knows."""

Wamid = Annotated[str, Field(min_length=1, max_length=512)]
Words = Annotated[str, Field(max_length=65_536)]
GroupId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@:-]{1,128}$")]

_PREVIEW = 80


class Outgoing(BaseModel):
    """A message to send. Type and hash of media that this simulator has need not be said.

    `text` is what the kind has for words: the body, an emoji, what stands on the button, the note of an order.
    `target` is the wamid of the message that a reaction, edit, deletion or status is about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    text: Words = ""
    media_id: Annotated[str, Field(max_length=256)] | None = None
    mime_type: Annotated[str, Field(max_length=256)] | None = None
    sha256: Annotated[str, Field(max_length=256)] | None = None
    caption: Words | None = None
    filename: Annotated[str, Field(max_length=1024)] | None = None
    contact: Contact = Contact()
    wamid: Wamid | None = None
    timestamp: Annotated[float, Field(ge=0, lt=1e11, allow_inf_nan=False)] | None = None
    with_url: bool = False
    echo: bool = False
    group_id: GroupId | None = None
    reply_to: Wamid | None = None
    forwarded: Literal["forwarded", "frequently_forwarded"] | None = None
    target: Wamid | None = None
    description: Annotated[str, Field(max_length=1024)] = ""
    place: Place = Place()
    card: Card = Card()
    product: Product = Product()
    answers: dict[str, JsonValue] = {}
    unsupported: Unsupported = "poll_creation"
    status: Status = "delivered"

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.kind in MEDIA_KINDS and not self.media_id:
            raise ValueError("a message of this kind needs a media_id")
        if self.kind in TARGETED and not self.target:
            raise ValueError("a message of this kind needs a target: the wamid of another message")
        if self.echo and self.kind not in BY_BUSINESS:
            raise ValueError("the business does not send messages of this kind")
        return self


@dataclass(frozen=True, slots=True)
class Told:
    """What the simulator remembers of a message that it has sent.

    `message_id` is the id that it is stored under (None for a status), `about` that of the message that it changes.
    `chat` is the key of the conversation: group, user id, or number.
    """

    wamid: str
    message_id: str | None
    about: str | None
    kind: str
    name: str
    chat: str
    echo: bool
    words: str
    media_ids: tuple[str, ...]
    content: Content


@dataclass(frozen=True, slots=True)
class Written:
    """An element as it stands in a webhook, and what is remembered of it; None where it is about no message."""

    element: dict[str, Any]
    told: Told | None


def written(
    outgoing: Outgoing, number: Number, attachment: Attachment | None, known: Mapping[str, Told], now: float
) -> Written:
    """Write a message as Meta would. `known` holds the earlier messages that it refers to, by wamid."""
    timestamp = now if outgoing.timestamp is None else outgoing.timestamp
    if outgoing.kind == "other_field":
        return Written({"timestamp": timestamp}, None)
    content = _content(outgoing, attachment, known)
    if outgoing.kind == "status":
        wamid = str(outgoing.target)
        group_id = outgoing.group_id
        element = notifications.status(outgoing.status, wamid, outgoing.contact, timestamp, group_id=group_id)
    else:
        wamid = outgoing.wamid or new_wamid(outgoing.contact.wa_id)
        element = _element(outgoing, number, content, wamid, timestamp, _context(outgoing, number, known))
    return Written(element, _told(outgoing, number, wamid, content))


def payload(number: Number, outgoing: Outgoing, elements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Wrap elements that were written from messages like this one: same kind, contact and direction."""
    if outgoing.kind == "other_field":
        return notifications.quality_update(number, elements[-1]["timestamp"], len(elements))
    if outgoing.kind == "status":
        return notifications.statuses(number, outgoing.contact, *elements)
    if outgoing.echo:
        return notifications.echoes(number, *elements)
    return notifications.notification(number, outgoing.contact, *elements)


def hash_as_sent(sha256: str, *, echo: bool) -> str:
    """Write a SHA-256 (hex) as Meta does: in hex with echoes, else in base64."""
    return sha256 if echo else base64.b64encode(bytes.fromhex(sha256)).decode("ascii")


def _element(
    outgoing: Outgoing, number: Number, content: Content, wamid: str, timestamp: float, context: Mapping[str, Any]
) -> dict[str, Any]:
    contact, group_id = outgoing.contact, outgoing.group_id
    if outgoing.echo:
        return notifications.echo(content, number, contact, wamid, timestamp, group_id=group_id, context=context)
    return notifications.message(content, contact, wamid, timestamp, group_id=group_id, context=context)


def _content(outgoing: Outgoing, attachment: Attachment | None, known: Mapping[str, Told]) -> Content:
    if attachment and outgoing.kind in MEDIA_KINDS:
        return contents.media(outgoing.kind, attachment)
    if outgoing.kind == "flow_reply":
        return contents.flow_reply(outgoing.answers, [attachment] if attachment else [])
    if outgoing.kind == "edit":
        original = known.get(str(outgoing.target))
        return contents.edit(str(outgoing.target), original.content if original else None, outgoing.text)
    return _SIMPLE[outgoing.kind](outgoing)


_SIMPLE: dict[str, Callable[[Outgoing], Content]] = {
    "text": lambda wanted: contents.text(wanted.text),
    "location": lambda wanted: contents.location(wanted.place),
    "contacts": lambda wanted: contents.contacts(wanted.card),
    "reaction": lambda wanted: contents.reaction(str(wanted.target), wanted.text),
    "button_reply": lambda wanted: contents.button_reply(wanted.text),
    "list_reply": lambda wanted: contents.list_reply(wanted.text, wanted.description),
    "button": lambda wanted: contents.button(wanted.text),
    "order": lambda wanted: contents.order(wanted.text, wanted.product),
    "unsupported": lambda wanted: contents.unsupported(wanted.unsupported),
    "too_large": lambda _: contents.too_large(),
    "revoke": lambda wanted: contents.revoke(str(wanted.target)),
    "status": lambda _: {},
}


def _context(outgoing: Outgoing, number: Number, known: Mapping[str, Told]) -> dict[str, Any]:
    """Say what a message answers, and whether it was forwarded.

    https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/image
    """
    quoted = outgoing.reply_to or (new_wamid(number.display_phone_number) if outgoing.kind in TAPPED else None)
    context: dict[str, Any] = {outgoing.forwarded: True} if outgoing.forwarded else {}
    if quoted is None:
        return context
    theirs = quoted in known and not known[quoted].echo
    author = outgoing.contact.wa_id if theirs else number.display_phone_number
    return contents.present({"from": author, "id": quoted, **context})


def _told(outgoing: Outgoing, number: Number, wamid: str, content: Content) -> Told:
    is_status = outgoing.kind == "status"
    contact = outgoing.contact
    return Told(
        wamid=wamid,
        message_id=None if is_status else message_id(number.phone_number_id, wamid),
        about=message_id(number.phone_number_id, outgoing.target) if outgoing.target else None,
        kind=outgoing.kind,
        name=contact.name,
        chat=outgoing.group_id or contact.user_id or contact.wa_id or "",
        echo=outgoing.echo,
        words=(outgoing.status if is_status else outgoing.text or outgoing.caption or outgoing.filename or "")[
            :_PREVIEW
        ],
        media_ids=tuple(found.media_id for found in media_objects(content) if found.media_id),
        content=content,
    )
