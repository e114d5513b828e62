"""What the read API answers, as types. docs/openapi.json is made of them: what stands here is what callers read there.

A key that has nothing to say is left out. Times are Unix seconds, Meta's own. All text is what strangers wrote.
"""

from typing import Literal, NotRequired

from pydantic import ConfigDict, with_config

# Pydantic reads these, and before Python 3.12 it takes no TypedDict of the standard library.
from typing_extensions import TypedDict

_described = with_config(ConfigDict(use_attribute_docstrings=True))


@_described
class Person(TypedDict):
    """Who wrote a message."""

    contact_id: NotRequired[str]
    """Who it is: in a group this tells the participants apart."""
    name: NotRequired[str]
    """The name that they gave themselves in WhatsApp."""
    phone: NotRequired[str]
    """Their phone number, digits only, unless WhatsApp keeps it to itself."""


# `from` is a word of Python's own.
_From = TypedDict("_From", {"from": NotRequired[Person]})


@_described
class MediaFault(TypedDict):
    """Why media is not there."""

    code: str
    """One of the codes of docs/errors.md."""
    title: str
    """The same for people, in English."""
    retryable: bool
    """Whether asking again may help."""


@_described
class Media(TypedDict):
    """What is known of a file, whether or not its bytes are there."""

    type: Literal["image", "sticker", "audio", "video", "document"]
    filename: str
    """The sender's, made harmless; or one made of kind and time."""
    state: Literal["ready", "pending", "failed"]
    """`pending` may still come, by itself; `failed` will not."""
    mime_type: NotRequired[str]
    """As the sender declared it, parameters included."""
    size: NotRequired[int]
    """Bytes; known once the file is here."""
    caption: NotRequired[str]
    sha256: NotRequired[str]
    """In hex."""
    voice: NotRequired[Literal[True]]
    """A voice note."""
    animated: NotRequired[Literal[True]]
    """A sticker that moves."""
    error: NotRequired[MediaFault]
    """Why it failed; while pending, how the last attempt ended."""
    retry_at: NotRequired[int]
    """When the next attempt is made."""


@_described
class FurtherMedia(TypedDict):
    """A further file of the same message: the answer to a flow may hold several."""

    message_id: str
    media_src: str
    media: Media


@_described
class Product(TypedDict):
    """A product of a catalogue."""

    catalog_id: NotRequired[str]
    product_id: NotRequired[str]


@_described
class Quoted(_From):
    """The message that another one answers, in short."""

    message_id: str
    direction: Literal["inbound", "outbound"]
    type: str
    text: NotRequired[str]
    caption: NotRequired[str]
    media: NotRequired[Media]


@_described
class Context(TypedDict):
    """What a message refers to."""

    message_id: NotRequired[str]
    """The message that it answers."""
    quoted: NotRequired[Quoted]
    """That message, where it belongs to the same conversation and is still there."""
    forwarded: NotRequired[Literal[True]]
    frequently_forwarded: NotRequired[Literal[True]]
    product: NotRequired[Product]


@_described
class Reaction(TypedDict):
    """A reaction to another message; the newest of each sender counts."""

    message_id: str
    emoji: str | None
    """`null` takes it back."""


@_described
class Location(TypedDict):
    """A place on the map."""

    latitude: float
    longitude: float
    name: NotRequired[str]
    address: NotRequired[str]
    url: NotRequired[str]
    """As it came; nobody has looked at it."""


@_described
class Phone(TypedDict):
    """A phone number of a shared contact, as it was written."""

    phone: str
    type: NotRequired[str]


@_described
class Email(TypedDict):
    """An e-mail address of a shared contact."""

    email: str
    type: NotRequired[str]


@_described
class SharedContact(TypedDict):
    """An entry of an address book that was shared."""

    phones: list[Phone]
    emails: list[Email]
    name: NotRequired[str]
    organization: NotRequired[str]


@_described
class Answer(TypedDict):
    """One field of a flow that was filled in; files are further media."""

    name: str
    values: list[str]


@_described
class Interactive(TypedDict):
    """The answer to buttons, a list or a flow."""

    type: str
    """`button_reply`, `list_reply`, `nfm_reply` (a flow), or whatever WhatsApp adds."""
    id: NotRequired[str]
    title: NotRequired[str]
    description: NotRequired[str]
    body: NotRequired[str]
    answers: NotRequired[list[Answer]]


@_described
class Button(TypedDict):
    """The answer to a template's quick-reply button."""

    text: NotRequired[str]
    payload: NotRequired[str]


@_described
class OrderItem(TypedDict):
    """One position of an order."""

    product_id: NotRequired[str]
    quantity: NotRequired[float]
    price: NotRequired[float]
    currency: NotRequired[str]


@_described
class Order(TypedDict):
    """An order from a catalogue."""

    items: list[OrderItem]
    catalog_id: NotRequired[str]
    text: NotRequired[str]


@_described
class Kind(TypedDict):
    """Which kind of system message it is, or what a message would have been that WhatsApp does not hand over."""

    type: NotRequired[str]


@_described
class Referral(TypedDict):
    """The advertisement or post that brought the person here."""

    source_type: NotRequired[str]
    source_url: NotRequired[str]
    headline: NotRequired[str]
    body: NotRequired[str]


@_described
class Fault(TypedDict):
    """What WhatsApp says went wrong."""

    code: NotRequired[int]
    title: NotRequired[str]
    details: NotRequired[str]


@_described
class Edited(TypedDict):
    """The newest edit of a message."""

    message_id: str
    """The edit's own id."""
    timestamp: int
    text: NotRequired[str]
    caption: NotRequired[str]
    media_src: NotRequired[str]
    media: NotRequired[Media]


@_described
class Revoked(TypedDict):
    """The message was deleted for everyone."""

    timestamp: int


@_described
class Status(TypedDict):
    """How far an outbound message came."""

    status: str
    timestamp: int
    contact_id: NotRequired[str]
    """Whose, in a group."""
    errors: NotRequired[list[Fault]]


@_described
class Message(_From):
    """A message. `type` is WhatsApp's word, and may be one that is not known yet."""

    message_id: str
    phone_number_id: str
    contact_id: str
    """Under which contact it is stored: one of the ids of its conversation."""
    direction: Literal["inbound", "outbound"]
    type: str
    timestamp: int
    wamid: NotRequired[str]
    """WhatsApp's own id, for answering it through WhatsApp."""
    text: NotRequired[str]
    """What a person reads in a message without media."""
    caption: NotRequired[str]
    media_src: NotRequired[str]
    """The path of its media, at the API's own address."""
    media: NotRequired[Media]
    further_media: NotRequired[list[FurtherMedia]]
    context: NotRequired[Context]
    reaction: NotRequired[Reaction]
    location: NotRequired[Location]
    contacts: NotRequired[list[SharedContact]]
    interactive: NotRequired[Interactive]
    button: NotRequired[Button]
    order: NotRequired[Order]
    system: NotRequired[Kind]
    unsupported: NotRequired[Kind]
    referral: NotRequired[Referral]
    errors: NotRequired[list[Fault]]
    edited: NotRequired[Edited]
    """`text` and `caption` of the message itself stay what they were at first."""
    revoked: NotRequired[Revoked]
    """The content is still there: whether to show it is the page's to decide."""
    status: NotRequired[str]
    """The furthest of `statuses`: sent, delivered, read, played, or failed."""
    statuses: NotRequired[list[Status]]
    """Of an outbound message, by time."""
    history: NotRequired[Literal[True]]
    """Imported with the chat history."""
    truncated: NotRequired[Literal[True]]
    """The message was too large for the table, and part of it is not shown here."""


@_described
class Conversation(TypedDict):
    """A person or a group, and the newest message. Who is known by two ids is here once, under the user id's."""

    contact_id: str
    phone_number_id: str
    kind: Literal["person", "group"]
    timestamp: int
    """Of the newest message."""
    preview: str
    """The newest message in up to 120 characters."""
    name: NotRequired[str]
    phone: NotRequired[str]
    last_message: NotRequired[Message]
    """As in the thread, but without what was changed of it since, its quoted message and further media."""


@_described
class _Page(TypedDict):
    cursor: str | None
    """For the entries before these; `null` when there are none."""
    since: str
    """For the next poll: what is new after this answer."""
    more: bool
    """Whether a poll left something over: ask again at once, with the new `since`."""


@_described
class Conversations(_Page):
    """Newest first; in a poll, oldest first."""

    conversations: list[Conversation]


@_described
class Thread(_Page):
    """Messages of a conversation, newest first; in a poll, oldest first, with older ones that were changed."""

    contact_id: str
    """The conversation's own id."""
    contact_ids: list[str]
    """All ids under which it may be asked for."""
    messages: list[Message]
