"""What Meta sends to a webhook: payloads of every media kind, in Meta's bytes, signed, delivered, sent again.

Shapes: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/image
and its siblings. Delivery:
https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, get_args

import requests

Kind = Literal["text", "image", "video", "audio", "voice", "sticker", "animated_sticker", "document"]
KINDS: tuple[str, ...] = get_args(Kind)

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

ATTEMPTS = 4
"""Meta sends again for 7 days, ever more slowly; here four attempts, close together, stand for that."""
PAUSE = 0.2
"""Seconds before the second attempt; doubled before each further one."""
TIMEOUT = 20.0
"""Seconds to wait for the webhook. Meta publishes no such limit."""


@dataclass(frozen=True, slots=True)
class Number:
    """A business phone number and the WhatsApp Business Account that it belongs to."""

    phone_number_id: str
    waba_id: str
    display_phone_number: str


@dataclass(frozen=True, slots=True)
class Contact:
    """Who writes. Since usernames exist, `wa_id` may be absent; `user_id` is the business-scoped id."""

    name: str = "Ana Silva"
    wa_id: str | None = "5511987654321"
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """Media as a webhook describes it: `sha256` in base64; everything but the id and type may be missing."""

    media_id: str
    mime_type: str
    sha256: str | None = None
    url: str | None = None
    caption: str | None = None
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """How the webhook answered in the end: HTTP status (None: not reached), attempts made, and its text."""

    status: int | None
    attempts: int
    answer: str

    @property
    def accepted(self) -> bool:
        """Only 200 counts as success for Meta."""
        return self.status == HTTPStatus.OK


def new_wamid(sender: str | None = None) -> str:
    """Make a message id of Meta's form: base64 around the sender's number."""
    number = (sender or secrets.token_hex(8)).encode()
    head = b"\x1c\x18" + bytes([len(number)]) + number
    tail = b"\x15\x02\x00\x12\x18\x20" + secrets.token_hex(16).upper().encode() + b"\x00"
    return "wamid." + base64.b64encode(head + tail).decode("ascii")


def media_content(kind: str, media: Attachment) -> dict[str, Any]:
    """Give the part of a message that carries media: `{"type": …, <type>: {…}}`. KeyError for other kinds."""
    type_, extra = _SHAPES[kind]
    fields: dict[str, Any] = {
        "caption": media.caption if type_ in _CAPTIONED else None,
        "filename": media.filename if type_ == "document" else None,
        "mime_type": media.mime_type,
        "sha256": media.sha256,
        "id": media.media_id,
        "url": media.url,
        **extra,
    }
    return {"type": type_, type_: {name: value for name, value in fields.items() if value is not None}}


def text_content(body: str) -> dict[str, Any]:
    """Give the part of a message that carries text."""
    return {"type": "text", "text": {"body": body}}


def message(content: dict[str, Any], contact: Contact, wamid: str, timestamp: float) -> dict[str, Any]:
    """Give one element of `messages[]`; `timestamp` in Unix seconds becomes the string that Meta sends."""
    head = {
        "from": contact.wa_id,
        "from_user_id": contact.user_id,
        "id": wamid,
        "timestamp": str(int(timestamp)),
    }
    return {name: value for name, value in head.items() if value is not None} | content


def notification(number: Number, contact: Contact, *messages: dict[str, Any]) -> dict[str, Any]:
    """Wrap messages of one contact in the envelope of a webhook."""
    who = {"profile": {"name": contact.name}, "wa_id": contact.wa_id, "user_id": contact.user_id}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {
            "display_phone_number": number.display_phone_number,
            "phone_number_id": number.phone_number_id,
        },
        "contacts": [{name: value for name, value in who.items() if value is not None}],
        "messages": list(messages),
    }
    changes = [{"value": value, "field": "messages"}]
    return {"object": "whatsapp_business_account", "entry": [{"id": number.waba_id, "changes": changes}]}


def encode(payload: Any) -> bytes:
    r"""Write JSON as Meta does: compact, `ü` as `\u00fc`, and `/` as `\/`."""
    return json.dumps(payload, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def signature(body: bytes, app_secret: str) -> str:
    """Give the value of X-Hub-Signature-256 for these exact bytes."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def deliver(url: str, body: bytes, app_secret: str, attempts: int = ATTEMPTS) -> Delivery:
    """POST the signed body to the webhook, and again until it answers 200 or the attempts are used up."""
    result = Delivery(None, 0, "")
    for attempt in range(attempts):
        time.sleep(PAUSE * 2 ** (attempt - 1) if attempt else 0)
        status, answer = _post(url, body, signature(body, app_secret))
        result = Delivery(status, attempt + 1, answer)
        if result.accepted:
            break
    return result


def _post(url: str, body: bytes, signed: str) -> tuple[int | None, str]:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "facebookexternalua",
        "X-Hub-Signature-256": signed,
    }
    try:
        response = requests.post(url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        return None, type(error).__name__
    return response.status_code, response.text
