"""What Meta sends to a webhook: messages, echoes and statuses in their envelope, in Meta's bytes, signed, delivered.

Envelope: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview
Delivery: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal, get_args

import requests
from pydantic import Field

from local.contents import meta_error, present

Status = Literal["sent", "delivered", "read", "played", "failed"]
STATUSES: tuple[str, ...] = get_args(Status)

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
    """Who writes. Since usernames exist, `wa_id` may be absent; `user_id` is the business-scoped id (BSUID)."""

    name: Annotated[str, Field(max_length=500)] = "Ana Silva"
    wa_id: Annotated[str | None, Field(pattern=r"^[0-9]{1,15}$")] = "5511987654321"
    user_id: Annotated[str | None, Field(pattern=r"^[A-Z]{2}\.[A-Za-z0-9.]{1,133}$")] = None
    username: Annotated[str | None, Field(max_length=100)] = None


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


def message(
    content: Mapping[str, Any],
    contact: Contact,
    wamid: str,
    timestamp: float,
    *,
    group_id: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give one element of `messages[]`; `timestamp` in Unix seconds becomes the string that Meta sends."""
    who = {"from": contact.wa_id, "from_user_id": contact.user_id, "group_id": group_id}
    return _element(who, wamid, timestamp, {"context": context or None, **content})


def echo(
    content: Mapping[str, Any],
    number: Number,
    contact: Contact,
    wamid: str,
    timestamp: float,
    *,
    group_id: str | None = None,
    context: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give one element of `message_echoes[]`: what the business wrote in the app on its phone.

    https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/smb_message_echoes
    """
    to = {"to": contact.wa_id, "to_user_id": contact.user_id, "group_id": group_id}
    who = {"from": number.display_phone_number, **to}
    return _element(who, wamid, timestamp, {"context": context or None, **content})


def status(name: str, wamid: str, contact: Contact, timestamp: float, *, group_id: str | None = None) -> dict[str, Any]:
    """Give one element of `statuses[]`: how far a message of the business has come.

    https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/status
    """
    recipient: dict[str, Any] = {"recipient_id": contact.wa_id, "recipient_user_id": contact.user_id}
    if group_id:
        participant = contact.wa_id or contact.user_id
        recipient = {"recipient_id": group_id, "recipient_type": "group", "recipient_participant_id": participant}
    problem = meta_error(131026, "Message undeliverable", "Message undeliverable.")
    rest = {"status": name, **recipient, "errors": [problem] if name == "failed" else None}
    return _element({}, wamid, timestamp, rest)


def notification(number: Number, contact: Contact, *messages: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap messages of one contact in the envelope of a webhook."""
    return _envelope(number, "messages", contacts=[_profile(contact)], messages=list(messages))


def echoes(number: Number, *messages: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap echoes; they come without contacts."""
    return _envelope(number, "smb_message_echoes", message_echoes=list(messages))


def statuses(number: Number, contact: Contact, *found: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap statuses; those of a failure come without contacts."""
    failed = any(status["status"] == "failed" for status in found)
    return _envelope(number, "messages", contacts=None if failed else [_profile(contact)], statuses=list(found))


def quality_update(number: Number, timestamp: float, times: int = 1) -> dict[str, Any]:
    """Give what is about the number and no message, `times` in one body."""
    value = {"display_phone_number": number.display_phone_number, "event": "UPGRADE", "current_limit": "TIER_10K"}
    changes = [{"value": value, "field": "phone_number_quality_update"}] * times
    entry = {"id": number.waba_id, "time": int(timestamp), "changes": changes}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def _element(who: Mapping[str, Any], wamid: str, timestamp: float, rest: Mapping[str, Any]) -> dict[str, Any]:
    return present({**who, "id": wamid, "timestamp": str(int(timestamp)), **rest})


def _envelope(number: Number, field: str, **lists: list[Any] | None) -> dict[str, Any]:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {
            "display_phone_number": number.display_phone_number,
            "phone_number_id": number.phone_number_id,
        },
        **present(lists),
    }
    changes = [{"value": value, "field": field}]
    return {"object": "whatsapp_business_account", "entry": [{"id": number.waba_id, "changes": changes}]}


def _profile(contact: Contact) -> dict[str, Any]:
    profile = present({"name": contact.name, "username": contact.username})
    return present({"profile": profile, "wa_id": contact.wa_id, "user_id": contact.user_id})


def encode(payload: Any) -> bytes:
    r"""Write JSON as Meta does: compact, `ü` as `\u00fc`, and `/` as `\/`."""
    return json.dumps(payload, ensure_ascii=True, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def signature(body: bytes, app_secret: str) -> str:
    """Give the value of X-Hub-Signature-256 for these exact bytes."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def headers(body: bytes, app_secret: str) -> dict[str, str]:
    """Give the headers of a delivery."""
    return {
        "Content-Type": "application/json",
        "User-Agent": "facebookexternalua",
        "X-Hub-Signature-256": signature(body, app_secret),
    }


def deliver(url: str, body: bytes, app_secret: str, attempts: int = ATTEMPTS) -> Delivery:
    """POST the signed body to the webhook, and again until it answers 200 or the attempts are used up."""
    result = Delivery(None, 0, "")
    for attempt in range(attempts):
        time.sleep(PAUSE * 2 ** (attempt - 1) if attempt else 0)
        status_code, answer = _post(url, body, headers(body, app_secret))
        result = Delivery(status_code, attempt + 1, answer)
        if result.accepted:
            break
    return result


def _post(url: str, body: bytes, sent: Mapping[str, str]) -> tuple[int | None, str]:
    try:
        response = requests.post(url, data=body, headers=sent, timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        return None, type(error).__name__
    return response.status_code, response.text
