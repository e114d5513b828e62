"""Write events/: one event for each entry point and interesting case, to invoke the functions with.

    make events

They are signed with the credentials of the local run (`make run`), so they work against it, and nowhere else. Their
messages are of the moment at which they were written, and their media is the picture that the local run has from the
start. docs/local.md says what each is answered.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt

from inbound.media import contact_id, message_id
from local import sample
from local.options import APP_SECRET, MEDIA_TOKEN_SECRET, PHONE_NUMBER_ID, VERIFY_TOKEN, WABA_ID
from webhook.parcel import packed, parcel_of

Event = dict[str, Any]

FOLDER = Path(__file__).parent.parent / "events"
WAMID = "wamid.HBgLMTU1NTAxMDAxMDEVAgASGBQzQTAwMDAwMDAwMDAwMDAwMDAwMQA="
MESSAGE_ID = message_id(PHONE_NUMBER_ID, WAMID)
CONTACT_ID = contact_id(PHONE_NUMBER_ID, "15550100101")
BATCH = ("wamid.HBgLMTU1NTAxMDAxMDEVAgASGBQzQTAwMDAwMDAwMDAwMDAwMDAwMgA=", "wamid.HBgMNDQ3NzAwOTAwMTAyFQIAEhgUM0EA")
JSON = {"content-type": "application/json"}
FOREVER = 4_102_444_799  # the end of 2099; a token for a laptop


def events(moment: int) -> Iterator[tuple[str, Event]]:
    """Give each event with its file name; they happen at `moment`, in Unix seconds."""
    body = _notification(_messages(_image(WAMID, moment)))
    status = {"id": WAMID, "status": "read", "timestamp": str(moment), "recipient_id": "15550100101"}
    yield "webhook-verify", _request(moment, "GET", "/webhook", query=_handshake())
    yield "webhook-post", _posted(moment, body)
    yield "webhook-post-base64", _posted(moment, body, encoded=True)
    yield "webhook-batch", _posted(moment, _batch(moment, status))
    yield "webhook-status", _posted(moment, _notification(_value(statuses=[status])))
    yield "webhook-unsigned", _request(moment, "POST", "/webhook", body=body.decode())
    token = jwt.encode({"exp": FOREVER, "phone_numbers": ["*"]}, MEDIA_TOKEN_SECRET, "HS256")
    bearer = {"authorization": f"Bearer {token}"}
    path = f"/media/messages/{MESSAGE_ID}"
    yield "media-redirect", _request(moment, "GET", path, headers=bearer)
    yield "media-head", _request(moment, "HEAD", path, headers=bearer)
    yield "media-cookie", _request(moment, "GET", path, cookies=[f"media_token={token}"])
    as_json = {"accept": "application/json"}
    yield "media-json", _request(moment, "GET", path, query={"token": token}, headers=as_json)
    yield "media-download", _request(moment, "GET", path, query={"token": token, "download": "1"})
    yield "media-old-path", _request(moment, "GET", f"/api{path}", headers=bearer)
    yield "media-without-token", _request(moment, "GET", path)
    listed = {"phone_number_id": PHONE_NUMBER_ID}
    yield "inbox-conversations", _request(moment, "GET", "/conversations", query=listed, headers=bearer)
    thread = f"/conversations/{CONTACT_ID}/messages"
    yield "inbox-messages", _request(moment, "GET", thread, query=listed, headers=bearer)
    yield "inbox-message", _request(moment, "GET", f"/messages/{MESSAGE_ID}", headers=bearer)
    parcel = packed(parcel_of(body, _signed(body) | JSON))
    yield "forward-batch", {"Records": [_record(moment, "forward", parcel)]}
    yield "prefetch-batch", {"Records": [_job(moment, MESSAGE_ID), _job(moment, "unknown")]}
    yield "sweep-schedule", _scheduled(moment, "sweep")
    yield "expiry-schedule", _scheduled(moment, "expiry")
    yield "signing-key-create", _created()


def _scheduled(moment: int, rule: str) -> Event:
    """https://docs.aws.amazon.com/AmazonEventBridge/latest/userguide/eb-run-lambda-schedule.html."""
    return {
        "version": "0",
        "id": "00000000-0000-4000-8000-000000000000",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)),
        "region": "us-east-1",
        "resources": [f"arn:aws:events:us-east-1:123456789012:rule/{rule}"],
        "detail": {},
    }


def _created() -> Event:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes-create.html."""
    return {
        "RequestType": "Create",
        "ResponseURL": "https://cloudformation-custom-resource-response.example.com/answer?X-Amz-Signature=none",
        "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/local/00000000-0000-4000-8000-000000000000",
        "RequestId": "00000000-0000-4000-8000-000000000000",
        "ResourceType": "Custom::SigningKeys",
        "LogicalResourceId": "SigningKeys",
        "ResourceProperties": {"ServiceTimeout": "300", "KeyVersion": "1", "KeepOldSigningKeys": "true"},
    }


def recorded() -> int:
    """Give the moment of the events that are in the folder, in Unix seconds."""
    event = json.loads((FOLDER / "webhook-post.json").read_text("utf-8"))
    return int(event["requestContext"]["timeEpoch"]) // 1000


def written(moment: int) -> dict[str, str]:
    """Give the content of each file of the folder, by name."""
    return {f"{name}.json": json.dumps(event, indent=2) + "\n" for name, event in events(moment)}


def write(moment: int) -> None:
    """Write all events, and remove those that are no longer made."""
    FOLDER.mkdir(exist_ok=True)
    files = written(moment)
    for old in set(FOLDER.glob("*.json")) - {FOLDER / name for name in files}:
        old.unlink()
    for name, text in files.items():
        (FOLDER / name).write_text(text, "utf-8")


def _image(wamid: str, moment: int, sender: str = "15550100101") -> Event:
    sha256 = base64.b64encode(hashlib.sha256(sample.CONTENT).digest()).decode()
    image = {"id": sample.MEDIA_ID, "mime_type": sample.MIME_TYPE, "sha256": sha256}
    return {"from": sender, "id": wamid, "timestamp": str(moment), "type": "image", "image": image}


def _text(wamid: str, moment: int, sender: str) -> Event:
    return {"from": sender, "id": wamid, "timestamp": str(moment), "type": "text", "text": {"body": "Bom dia"}}


def _batch(moment: int, status: Event) -> bytes:
    """Two customers' messages and a status in one POST, as Meta collects them when there are many."""
    image, text = _image(BATCH[0], moment), _text(BATCH[1], moment, "447700900102")
    return _notification(_messages(image, text), _value(statuses=[status]))


def _messages(*messages: Event) -> Event:
    senders = dict.fromkeys(message["from"] for message in messages)
    return _value(contacts=[{"profile": {"name": "Ada"}, "wa_id": own} for own in senders], messages=list(messages))


def _value(**lists: list[Event]) -> Event:
    number = {"display_phone_number": "15550100001", "phone_number_id": PHONE_NUMBER_ID}
    return {"messaging_product": "whatsapp", "metadata": number, **lists}


def _notification(*values: Event) -> bytes:
    changes = [{"field": "messages", "value": value} for value in values]
    envelope = {"object": "whatsapp_business_account", "entry": [{"id": WABA_ID, "changes": changes}]}
    return json.dumps(envelope, separators=(",", ":")).encode()


def _posted(moment: int, body: bytes, *, encoded: bool = False) -> Event:
    headers = _signed(body)
    if encoded:
        event = _request(moment, "POST", "/webhook", headers=headers, body=base64.b64encode(body).decode())
        return event | {"isBase64Encoded": True}
    return _request(moment, "POST", "/webhook", headers=JSON | headers, body=body.decode())


def _signed(body: bytes) -> dict[str, str]:
    return {"x-hub-signature-256": "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()}


def _handshake() -> dict[str, str]:
    return {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY_TOKEN}


def _request(
    moment: int,
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
    named = {name: own for name, own in (("message_id", MESSAGE_ID), ("contact_id", CONTACT_ID)) if own in path}
    route_key = f"{method} {_route(path, named)}"
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "events"}
    event: Event = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": "&".join(f"{name}={value}" for name, value in (query or {}).items()),
        "headers": {"host": "127.0.0.1:8080", **(headers or {})},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": "127.0.0.1",
            "http": http,
            "requestId": "event",
            "routeKey": route_key,
            "stage": "$default",
            "timeEpoch": moment * 1000,
        },
        "isBase64Encoded": False,
    }
    optional = {"queryStringParameters": query, "cookies": cookies, "body": body}
    if named:
        optional["pathParameters"] = named
    return event | {name: value for name, value in optional.items() if value is not None}


def _route(path: str, named: dict[str, str]) -> str:
    """Give the template's path: the ids in it are its parameters."""
    for name, own in named.items():
        path = path.replace(own, f"{{{name}}}")
    return path


def _job(moment: int, own_id: str) -> Event:
    return _record(moment, "fetch", json.dumps({"message_id": own_id}), f"job-{own_id}")


def _record(moment: int, queue: str, body: str, record_id: str = "record") -> Event:
    """Give a record of https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html."""
    return {
        "messageId": record_id,
        "receiptHandle": "handle",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": f"{moment}000"},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{queue}",
        "awsRegion": "us-east-1",
    }


if __name__ == "__main__":
    write(int(time.time()))
