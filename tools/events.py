"""Write events/: one event for each entry point and interesting case, to invoke the functions with.

    python -m tools.events

They are signed with the credentials of the local run (`make run`), so they work against it, and nowhere else.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt

from inbound.media import message_id
from local.options import APP_SECRET, MEDIA_TOKEN_SECRET, PHONE_NUMBER_ID, VERIFY_TOKEN, WABA_ID
from webhook.parcel import packed, parcel_of

Event = dict[str, Any]

FOLDER = Path(__file__).parent.parent / "events"
WAMID = "wamid.HBgLMTU1NTAxMDAxMDEVAgASGBQzQTAwMDAwMDAwMDAwMDAwMDAwMQA="
MESSAGE_ID = message_id(PHONE_NUMBER_ID, WAMID)
MOMENT = 1_795_000_000  # 2026-11-18
JSON = {"content-type": "application/json"}
FOREVER = 4_102_444_799  # the end of 2099; a token for a laptop


def events() -> Iterator[tuple[str, Event]]:
    """Give each event with its file name."""
    body = _notification({"from": "15550100101", "id": WAMID, "timestamp": str(MOMENT), **_image()})
    status = {"id": WAMID, "status": "read", "timestamp": str(MOMENT), "recipient_id": "15550100101"}
    yield "webhook-verify", _request("GET", "/webhook", query=_handshake())
    yield "webhook-post", _posted(body)
    yield "webhook-post-base64", _posted(body, encoded=True)
    yield "webhook-status", _posted(_notification(statuses=[status]))
    yield "webhook-unsigned", _request("POST", "/webhook", body=body.decode())
    token = jwt.encode({"exp": FOREVER, "phone_numbers": ["*"]}, MEDIA_TOKEN_SECRET, "HS256")
    path = f"/media/messages/{MESSAGE_ID}"
    yield "media-redirect", _request("GET", path, headers={"authorization": f"Bearer {token}"})
    yield "media-cookie", _request("GET", path, cookies=[f"media_token={token}"])
    yield "media-json", _request("GET", path, query={"token": token}, headers={"accept": "application/json"})
    yield "media-download", _request("GET", path, query={"token": token, "download": "1"})
    yield "media-old-path", _request("GET", f"/api{path}", headers={"authorization": f"Bearer {token}"})
    yield "media-without-token", _request("GET", path)
    yield "forward-batch", {"Records": [_record("forward", packed(parcel_of(body, _signed(body) | JSON)))]}
    yield "prefetch-batch", {"Records": [_job(MESSAGE_ID), _job("unknown")]}
    yield "sweep-schedule", _scheduled()


def _scheduled() -> Event:
    """https://docs.aws.amazon.com/AmazonEventBridge/latest/userguide/eb-run-lambda-schedule.html."""
    return {
        "version": "0",
        "id": "00000000-0000-4000-8000-000000000000",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-11-18T00:00:00Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/sweep"],
        "detail": {},
    }


def write() -> None:
    """Write all events, and remove those that are no longer made."""
    FOLDER.mkdir(exist_ok=True)
    made = {f"{name}.json": json.dumps(event, indent=2) + "\n" for name, event in events()}
    for old in set(FOLDER.glob("*.json")) - {FOLDER / name for name in made}:
        old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, "utf-8")


def _image() -> Event:
    sha256 = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    return {"type": "image", "image": {"id": "400000000000001", "mime_type": "image/jpeg", "sha256": sha256}}


def _notification(*messages: Event, statuses: list[Event] | None = None) -> bytes:
    number = {"display_phone_number": "15550100001", "phone_number_id": PHONE_NUMBER_ID}
    lists = {
        "contacts": [{"profile": {"name": "Ada"}, "wa_id": "15550100101"}],
        "messages": list(messages),
        "statuses": statuses,
    }
    value = {"messaging_product": "whatsapp", "metadata": number} | {name: all_ for name, all_ in lists.items() if all_}
    changes = [{"field": "messages", "value": value}]
    envelope = {"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": changes}]}
    return json.dumps(envelope, separators=(",", ":")).encode()


def _posted(body: bytes, *, encoded: bool = False) -> Event:
    headers = _signed(body)
    if encoded:
        event = _request("POST", "/webhook", headers=headers, body=base64.b64encode(body).decode())
        return event | {"isBase64Encoded": True}
    return _request("POST", "/webhook", headers=JSON | headers, body=body.decode())


def _signed(body: bytes) -> dict[str, str]:
    return {"x-hub-signature-256": "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()}


def _handshake() -> dict[str, str]:
    return {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY_TOKEN}


def _request(
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
    cookies: list[str] | None = None,
    body: str | None = None,
) -> Event:
    """Give the event of an HTTP API, payload format 2.0.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    route = path.replace(MESSAGE_ID, "{message_id}")
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "events"}
    event: Event = {
        "version": "2.0",
        "routeKey": f"{method} {route}",
        "rawPath": path,
        "rawQueryString": "&".join(f"{name}={value}" for name, value in (query or {}).items()),
        "headers": {"host": "127.0.0.1:8080", **(headers or {})},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": "127.0.0.1",
            "http": http,
            "requestId": "event",
            "routeKey": f"{method} {route}",
            "stage": "$default",
            "timeEpoch": MOMENT * 1000,
        },
        "isBase64Encoded": False,
    }
    optional = {"queryStringParameters": query, "cookies": cookies, "body": body}
    if route != path:
        optional["pathParameters"] = {"message_id": MESSAGE_ID}
    return event | {name: value for name, value in optional.items() if value is not None}


def _job(own_id: str) -> Event:
    return _record("fetch", json.dumps({"message_id": own_id}), f"job-{own_id}")


def _record(queue: str, body: str, record_id: str = "record") -> Event:
    """Give a record of https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html."""
    return {
        "messageId": record_id,
        "receiptHandle": "handle",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": f"{MOMENT}000"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{queue}",
        "awsRegion": "us-east-1",
    }


if __name__ == "__main__":
    write()
