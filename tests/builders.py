"""What Meta, API Gateway and the sample files give, built in a line; what a test does not name is invented.

Ids are counted, so two of them never meet in a test run. Nothing here uses the code under test.
"""

import base64
import hashlib
import hmac
import io
import itertools
import json
import time
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt

Json = dict[str, Any]

SAMPLES = Path(__file__).parent / "samples"
PAYLOADS = Path(__file__).parent / "payloads"
MIB = 1024 * 1024

_count = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sample:
    """A file of tests/samples, and how WhatsApp would carry it."""

    name: str
    kind: str
    mime_type: str

    @property
    def content(self) -> bytes:
        return _content(self.name)

    @property
    def sha256(self) -> str:
        """The hash in base64, as webhooks have it."""
        return _base64_sha256(self.content)


@cache
def _content(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


@cache
def _base64_sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PHOTO = Sample("photo.jpg", "image", "image/jpeg")
DRAWING = Sample("drawing.png", "image", "image/png")
STICKER = Sample("sticker.webp", "sticker", "image/webp")
ANIMATED_STICKER = Sample("sticker-animated.webp", "sticker", "image/webp")
VOICE = Sample("voice.ogg", "audio", "audio/ogg; codecs=opus")
TUNE = Sample("tune.m4a", "audio", "audio/mp4")
VIDEO = Sample("video.mp4", "video", "video/mp4")
BROCHURE = Sample("brochure.pdf", "document", "application/pdf")
LETTER = Sample("letter.docx", "document", DOCX)
NOTE = Sample("note.txt", "document", "text/plain")
ALL_SAMPLES = (PHOTO, DRAWING, STICKER, ANIMATED_STICKER, VOICE, TUNE, VIDEO, BROCHURE, LETTER, NOTE)


def golden(name: str) -> Json:
    """Read tests/payloads/<name>.json."""
    body: Json = json.loads((PAYLOADS / f"{name}.json").read_bytes())
    return body


def zip_bomb(unpacked: int) -> bytes:
    """Make a document of that many bytes, and of a thousandth of them while it is packed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as part:
        for _ in range(0, unpacked, MIB):
            part.write(bytes(min(MIB, unpacked)))
    return packed.getvalue()


# --- values that do not matter ------------------------------------------------------------------------------


def any_phone_number_id() -> str:
    """Give the id of one of the business's numbers: none that is also the id of the local run's app, or in it."""
    return f"107{next(_count):012d}"


def any_media_id() -> str:
    return f"4{next(_count):014d}"


def any_phone() -> str:
    """Give a customer's number from a range that is kept free for fiction."""
    return f"1555{next(_count) % 10_000_000:07d}"


def any_user_id() -> str:
    """Give a business-scoped user id (BSUID)."""
    return f"US.9{next(_count):019d}"


def any_wamid(phone: str = "15550100101") -> str:
    """Give a message id in Meta's form: base64 that holds the customer's number, and a slash."""
    raw = bytes([28, 24, len(phone)]) + phone.encode() + b"\xfb\xff\xbf" + f"{next(_count):018d}".encode()
    return "wamid." + base64.b64encode(raw + b"\0").decode()


# --- messages -----------------------------------------------------------------------------------------------


def message(kind: str, content: object = None, **fields: Any) -> Json:
    """Build a message of any type; None leaves a field out (`user` is from_user_id, `sender` is from)."""
    sender = fields.pop("sender", None) or any_phone()
    built = {
        "from": sender,
        "id": any_wamid(sender),
        "timestamp": str(int(time.time())),
        "type": kind,
        kind: content,
        **fields,
    }
    return {name: value for name, value in built.items() if value is not None}


def text_message(body: str = "Hello", **fields: Any) -> Json:
    return message("text", {"body": body}, **fields)


def media_object(sample: Sample, media_id: str | None = None, **fields: Any) -> Json:
    """Build Meta's object for a sample file, with its true hash (base64, as in webhooks)."""
    built = {
        "id": media_id or any_media_id(),
        "mime_type": sample.mime_type,
        "sha256": sample.sha256,
        "filename": sample.name if sample.kind == "document" else None,
        "voice": True if sample is VOICE else None,
        "animated": sample is ANIMATED_STICKER if sample.kind == "sticker" else None,
        **fields,
    }
    return {name: value for name, value in built.items() if value is not None}


def media_message(
    sample: Sample = PHOTO, media_id: str | None = None, *, media: Json | None = None, **fields: Any
) -> Json:
    """Build the message that carries a sample file; `media` adds to the media object or replaces in it."""
    return message(sample.kind, media_object(sample, media_id, **(media or {})), **fields)


def image_message(media_id: str | None = None, *, media: Json | None = None, **fields: Any) -> Json:
    return media_message(PHOTO, media_id, media=media, **fields)


def status(name: str = "delivered", wamid: str | None = None, **fields: Any) -> Json:
    """Build a status of a message that the business sent."""
    recipient = any_phone()
    return {
        "id": wamid or any_wamid(recipient),
        "status": name,
        "timestamp": str(int(time.time())),
        "recipient_id": recipient,
        **fields,
    }


# --- webhook bodies -----------------------------------------------------------------------------------------

ECHO_FIELDS = frozenset({"smb_message_echoes", "message_echoes"})


def notification(
    *messages: Json,
    phone_number_id: str | None = None,
    field: str = "messages",
    statuses: Sequence[Json] = (),
    contacts: Sequence[Json] | None = None,
    waba_id: str = "200000000000001",
) -> Json:
    """Build a webhook body with one entry and one change; contacts are made for the senders unless given."""
    change = change_of(*messages, phone_number_id=phone_number_id, field=field, statuses=statuses, contacts=contacts)
    return envelope([change], waba_id=waba_id)


def envelope(*changes: Sequence[Json], waba_id: str = "200000000000001") -> Json:
    """Build a webhook body with one entry for each list of changes."""
    entries = [{"id": waba_id, "changes": list(listed)} for listed in changes]
    return {"object": "whatsapp_business_account", "entry": entries}


def change_of(
    *messages: Json,
    phone_number_id: str | None = None,
    field: str = "messages",
    statuses: Sequence[Json] = (),
    contacts: Sequence[Json] | None = None,
) -> Json:
    """Build one change, for a single number."""
    lists = {
        "contacts": [*contacts_of(messages)] if contacts is None and field == "messages" else [*(contacts or ())],
        "message_echoes" if field in ECHO_FIELDS else "messages": [*messages],
        "statuses": [*statuses],
    }
    number = {
        "display_phone_number": "15550100001",
        "phone_number_id": phone_number_id or any_phone_number_id(),
    }
    value = {"messaging_product": "whatsapp", "metadata": number}
    return {"field": field, "value": value | {name: items for name, items in lists.items() if items}}


def contacts_of(messages: Iterable[Json]) -> list[Json]:
    """Build the contacts list that Meta sends beside these messages."""
    senders = {(message.get("from"), message.get("from_user_id")) for message in messages}
    return [
        {"profile": {"name": f"Customer {wa_id or user_id}"}}
        | ({"wa_id": wa_id} if wa_id else {})
        | ({"user_id": user_id} if user_id else {})
        for wa_id, user_id in sorted(senders, key=str)
        if wa_id or user_id
    ]


def batch(count: int, *, contacts: int = 20, numbers: int = 3, entries: int = 2) -> Json:
    """Build one body with `count` image messages, spread evenly over contacts, numbers and entries."""
    phones = [any_phone() for _ in range(contacts)]
    now = int(time.time())
    made = [
        message(
            "image",
            {"id": any_media_id(), "mime_type": "image/jpeg", "sha256": _base64_sha256(b"%d" % place)},
            sender=phones[place % contacts],
            timestamp=str(now - count + place),
        )
        for place in range(count)
    ]
    changes = [change_of(*made[part::numbers]) for part in range(numbers)]
    return envelope(*(changes[part::entries] for part in range(entries)))


def wire(body: object) -> bytes:
    """Write a body the way Meta puts it on the wire: no blanks, ASCII only, `/` escaped."""
    return json.dumps(body, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def signed(body: bytes, secret: str) -> dict[str, str]:
    """Give the headers that Meta sends with these bytes."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}


# --- requests -----------------------------------------------------------------------------------------------


def http_event(
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    query: Mapping[str, str] | None = None,
    cookies: Sequence[str] = (),
    route: str | None = None,
    base64_encoded: bool = False,
) -> Json:
    """Build the event with which an API Gateway HTTP API invokes a function, payload format 2.0.

    `path` is taken as it is; `route` is the template's, "/media/messages/{message_id}", if it differs.
    A body that is not UTF-8 must be sent with `base64_encoded`.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    names = {name.lower(): value for name, value in (headers or {}).items()}
    event: Json = {
        "version": "2.0",
        "routeKey": f"{method} {route or path}",
        "rawPath": path,
        "rawQueryString": urlencode(query or {}),
        "headers": {"host": "api.example.com", **names},
        "requestContext": _request_context(method, path, names) | {"routeKey": f"{method} {route or path}"},
        "isBase64Encoded": base64_encoded,
    }
    if query:
        event["queryStringParameters"] = dict(query)
    if cookies:
        event["cookies"] = list(cookies)
    if body is not None:
        event["body"] = (base64.b64encode(body) if base64_encoded else body).decode()
    return event


def sqs_event(*message_ids: str) -> Json:
    """Build the event with which SQS hands fetch jobs to the worker; each record's id is its message's.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    return {
        "Records": [
            {
                "messageId": own_id,
                "receiptHandle": own_id,
                "body": json.dumps({"message_id": own_id}),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:fetch",
                "awsRegion": "us-east-1",
            }
            for own_id in message_ids
        ]
    }


def _request_context(method: str, path: str, headers: Mapping[str, str]) -> Json:
    moment = time.time()
    return {
        "accountId": "123456789012",
        "apiId": "api1234567",
        "domainName": "api.example.com",
        "domainPrefix": "api",
        "http": {
            "method": method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": headers.get("user-agent", "tests"),
        },
        "requestId": f"request-{next(_count)}",
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(moment)),
        "timeEpoch": int(moment * 1000),
    }


def media_token(secret: str, *phone_numbers: str, expires_in: int = 3600, **claims: Any) -> str:
    """Mint a media token, for all numbers unless some are named; a claim of None is left out."""
    payload = {"exp": int(time.time()) + expires_in, "phone_numbers": list(phone_numbers or ("*",)), **claims}
    return jwt.encode({name: value for name, value in payload.items() if value is not None}, secret, "HS256")
