"""What a deployment is there for, tried through its own doors by `make smoke` and `make deploy-local`.

Meta's handshake; a picture that Graph has; its notification, signed; the worker's fetch; the view's redirect; the
edge's bytes; and at each door somebody who must stay outside. Then all of it is erased again. Each step prints a line.
"""

import hashlib
import json
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jwt
import requests
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter, ValidationError

from inbound.credentials import APPS, GRAPH, App, GraphCredentials
from inbound.media import contact_id, message_id
from local import contents, notifications
from local.contents import Attachment
from local.notifications import Contact, Number
from tools import erase, plain_items
from tools.deployment import Deployment

Value = TypeVar("Value")

TIMEOUT = 35.0
"""Seconds for an answer: the API itself gives up after 30."""
FETCH_PATIENCE = 90.0
"""Seconds for the worker, cold start and first poll included."""
PAUSE = 1.0
TOKEN_LIFE = 600
MIME_TYPE = "image/png"
PICTURE = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
"""The smallest PNG: one dot."""


class Unexpected(Exception):
    """A door answers otherwise than it must, or something that the story needs is missing; the message says what."""


class StoryFailed(Exception):
    """A step went wrong, and has said so; the message is its name."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where a deployment answers, and where its secrets are; `graph_url` bears the version."""

    webhook_url: str
    media_url: str
    graph_url: str
    apps_secret_id: str
    graph_secret_id: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What Meta, a CRM and the worker know of one number."""

    phone_number_id: str
    app_secret: str = field(repr=False)
    verify_token: str = field(repr=False)
    graph_token: str = field(repr=False)
    media_token_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stage:
    """The deployment, its doors, and the way there. `media_id` is a media that Graph has; None to upload one."""

    deployment: Deployment
    doors: Doors
    keys: Keys
    http: requests.Session
    media_id: str | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A media at Graph: what Graph says of it (`sha256` in hex), and whether the story brought it there."""

    media_id: str
    mime_type: str
    sha256: str
    uploaded: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A message: the id that it is stored under, Meta's id, who has sent it, and its picture."""

    message_id: str
    wamid: str
    wa_id: str
    picture: Picture


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print how a step ends, and how long it took. Raises `StoryFailed`."""
    started = time.monotonic()
    try:
        yield
    except (Unexpected, ValidationError, requests.RequestException, ClientError, BotoCoreError) as error:
        print(f"FAILED  {what}: {_reason(error)}", flush=True)
        raise StoryFailed(what) from error
    print(f"ok      {what} ({time.monotonic() - started:.1f} s)", flush=True)


def _reason(error: Exception) -> str:
    """Say what happened in one line, without an address or a body: those hold tokens."""
    match error:
        case Unexpected():
            return str(error)
        case ClientError():
            return f"AWS refuses {error.operation_name}: {error.response['Error'].get('Code')}"
        case ValidationError():
            return "a secret is not of the form that docs/deploy.md shows"
        case _:
            return f"no answer: {type(error).__name__}"


# ---- Before it begins ----


def keys_of(deployment: Deployment, doors: Doors, number: str | None) -> Keys:
    """Read the secrets; give the keys of a number, or of the first that an app is bound to. Raises `StoryFailed`."""
    with step("the secrets are filled"):
        apps = _secret(deployment, doors.apps_secret_id, APPS)
        return choose_keys(apps, _secret(deployment, doors.graph_secret_id, GRAPH), number)


def _secret(deployment: Deployment, secret_id: str, shape: TypeAdapter[Value]) -> Value:
    text = deployment.client("secretsmanager").get_secret_value(SecretId=secret_id).get("SecretString", "")
    return shape.validate_json(text)


def choose_keys(apps: Mapping[str, App], graph: GraphCredentials, number: str | None) -> Keys:
    """Give the keys of a number, or of the first that an app is bound to. Raises `Unexpected` when one is missing."""
    bound = [one for app in apps.values() if app.phone_number_ids != "*" for one in sorted(app.phone_number_ids)]
    chosen = number or next(iter(bound), None)
    if not apps:
        raise Unexpected("the secret `apps` is empty: docs/deploy.md says what belongs there")
    if chosen is None:
        raise Unexpected("no app is bound to a number of its own: say which to use with --phone-number-id")
    app = next((app for app in apps.values() if app.owns(chosen)), None)
    if app is None:
        raise Unexpected("no app in the secret `apps` is bound to this number")
    tokens, shared = graph.tokens_of(chosen), graph.media_token_secrets
    if not tokens or not shared:
        raise Unexpected("the secret `graph` lacks a token for the number, or a media token secret of 32 bytes")
    return Keys(chosen, app.secrets[0], app.verify_token, tokens[0], shared[0])


# ---- The story ----


def tell(stage: Stage) -> None:
    """Tell all of it, and erase what it left, however it ends. Raises `StoryFailed`."""
    handshake(stage)
    picture = at_graph(stage)
    message = new_message(stage.keys.phone_number_id, picture)
    try:
        send(stage, message)
        look(stage, message)
    finally:
        clear(stage, message)


def new_message(number: str, picture: Picture) -> Message:
    """Make a message up: from a number that no country has (+999), so that nobody's is erased with it."""
    sender = f"999{secrets.randbelow(10**9):09d}"
    wamid = notifications.new_wamid(sender)
    return Message(message_id(number, wamid), wamid, sender, picture)


def handshake(stage: Stage) -> None:
    """Ask as Meta's App Dashboard does when the callback URL is entered there."""
    challenge = secrets.token_hex(8)
    query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": stage.keys.verify_token}
    with step("Meta's handshake is answered"):
        answer = _expect(stage, "GET", stage.doors.webhook_url, 200, params=query)
        if answer.text != challenge:
            raise Unexpected("the challenge is not repeated")
    with step("a handshake with another verify token is refused"):
        query["hub.verify_token"] = secrets.token_hex(8)
        _expect(stage, "GET", stage.doors.webhook_url, 403, params=query)


def at_graph(stage: Stage) -> Picture:
    """Find the picture at Graph, or bring one there.

    https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media
    """
    with step("Graph has the picture"):
        media_id = stage.media_id or _upload(stage)
        described = _graph(stage, "GET", media_id, params={"phone_number_id": stage.keys.phone_number_id})
        return Picture(media_id, described["mime_type"], described["sha256"], uploaded=stage.media_id is None)


def _upload(stage: Stage) -> str:
    form = {"messaging_product": "whatsapp", "type": MIME_TYPE}
    file = {"file": ("smoke.png", PICTURE, MIME_TYPE)}
    return str(_graph(stage, "POST", f"{stage.keys.phone_number_id}/media", data=form, files=file)["id"])


def _graph(stage: Stage, method: str, path: str, **options: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {stage.keys.graph_token}", "User-Agent": "whatsapp-inbound-media/1.0"}
    answer = _expect(stage, method, f"{stage.doors.graph_url}/{path}", 200, headers=headers, **options)
    found: dict[str, Any] = answer.json()
    return found


def send(stage: Stage, message: Message) -> None:
    """Post a notification of the message, and wait for the worker."""
    body = _notification(stage.keys.phone_number_id, message)
    with step("a notification without a signature is refused"):
        _expect(stage, "POST", stage.doors.webhook_url, 401, data=body, headers={"Content-Type": "application/json"})
    with step("a signed notification is taken"):
        signed = {"X-Hub-Signature-256": notifications.signature(body, stage.keys.app_secret)}
        headers = {"Content-Type": "application/json", **signed}
        _expect(stage, "POST", stage.doors.webhook_url, 200, data=body, headers=headers)
    with step("the worker fetches the picture before anybody looks"):
        _await_fetch(stage, message.message_id)


def _notification(number: str, message: Message) -> bytes:
    contact = Contact("Smoke test", message.wa_id)
    hashed = b64encode(bytes.fromhex(message.picture.sha256)).decode()
    media = Attachment(message.picture.media_id, message.picture.mime_type, hashed)
    content = contents.media("image", media)
    raw = notifications.message(content, contact, message.wamid, time.time())
    return notifications.encode(notifications.notification(Number(number, "0", "0"), contact, raw))


def _await_fetch(stage: Stage, own_id: str) -> None:
    deadline = time.monotonic() + FETCH_PATIENCE
    while (state := _state(stage, own_id)) != "ready":
        if time.monotonic() > deadline:
            raise Unexpected(f"after {FETCH_PATIENCE:.0f} s it is {state}: see the prefetch log")
        time.sleep(PAUSE)


def _state(stage: Stage, own_id: str) -> str:
    """Say how far the fetch has come; with the error of the last attempt, if there was one."""
    key = plain_items.typed_key((f"MSG#{own_id}", "MEDIA"))
    found = plain_items.client().get_item(TableName=stage.deployment.table_name, Key=key, ConsistentRead=True)
    item = plain_items.plain(found.get("Item", {}))
    return " after ".join(filter(None, (item.get("status", "not begun"), item.get("error_code"))))


def look(stage: Stage, message: Message) -> None:
    """View the picture as an agent's browser does."""
    view = f"{stage.doors.media_url}/{message.message_id}"
    claims = {"phone_numbers": [stage.keys.phone_number_id], "exp": int(time.time()) + TOKEN_LIFE}
    token = jwt.encode(claims, stage.keys.media_token_secret, algorithm="HS256")
    with step("a view without a token is refused"):
        _expect(stage, "GET", view, 401)
    with step("a view is sent to the edge"):
        answer = _expect(stage, "GET", view, 302, headers={"Authorization": f"Bearer {token}"})
    with step("the edge gives the bytes"):
        content = _expect(stage, "GET", answer.headers["Location"], 200).content
        if hashlib.sha256(content).hexdigest() != message.picture.sha256:
            raise Unexpected(f"these {len(content)} bytes are not the picture")
    with step("the edge refuses an address without its signature"):
        _expect(stage, "GET", answer.headers["Location"].partition("?")[0], 403)


def clear(stage: Stage, message: Message) -> None:
    """Erase the contact, and at Graph what was brought there."""
    number = stage.keys.phone_number_id
    with step("all of it is erased again"):
        contact = erase.find_contact(stage.deployment, number, contact_id(number, message.wa_id))
        try:
            erase.erase(stage.deployment, contact, apply=True, tell=lambda line: print(f"        {line}"))
        except erase.NotFinished as error:
            raise Unexpected(str(error)) from error
        if message.picture.uploaded:
            _graph(stage, "DELETE", message.picture.media_id, params={"phone_number_id": number})


def _expect(stage: Stage, method: str, url: str, status: int, **options: Any) -> requests.Response:
    """Ask, and hold the answer's status against the one that it must have. Raises `Unexpected`."""
    answer = stage.http.request(method, url, timeout=TIMEOUT, allow_redirects=False, **options)
    if answer.status_code != status:
        raise Unexpected(f"answered {answer.status_code}{_code(answer)} instead of {status}")
    return answer


def _code(answer: requests.Response) -> str:
    """Give the code of a problem of ours, or of an error of Graph's; nothing else of a body."""
    try:
        body = json.loads(answer.text)
        found = body.get("code") or body["error"]["code"]
    except (ValueError, LookupError, AttributeError, TypeError):
        return ""
    return f" ({found})"
