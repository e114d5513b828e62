"""Write docs/openapi.json, all routes in OpenAPI 3.1: `python -m tools.openapi`.

What routes answer is described by the types that they answer with, and errors by the error tree; the routes
themselves are held against template.yaml by a test.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from inbound import errors
from inbound.access import COOKIE
from inbound.errors import InboundError, MediaError, WebhookError
from inbound.problems import CONTENT_TYPE, ProblemBody, problem
from inbox import shapes
from inbox.request import LARGEST_PAGE, USUAL_PAGE
from media_proxy.responses import PendingBody, ReadyBody
from tools.error_docs import documented

PAGE = Path(__file__).parents[1] / "docs" / "openapi.json"

Json = dict[str, Any]
Errors = Iterable[type[InboundError]]

BODIES: tuple[Any, ...] = (
    shapes.Conversations,
    shapes.Thread,
    shapes.Message,
    ReadyBody,
    PendingBody,
    ProblemBody,
)
META = "https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview"
REF = "#/components/schemas/{model}"

OF_LISTS = (
    errors.Unauthenticated,
    errors.InvalidRequest,
    errors.ConversationNotFound,
    errors.InternalError,
)
OF_MESSAGE = (errors.Unauthenticated, errors.MessageNotFound, errors.InternalError)
OF_MEDIA = documented(MediaError)
OF_HANDSHAKE = (errors.VerificationFailed, errors.StoreUnavailable)
OF_NOTIFICATION = [
    one for one in documented(WebhookError, errors.StoreUnavailable) if one is not errors.VerificationFailed
]

INFO = {
    "title": "WhatsApp inbound media",
    "version": "1",
    "license": {"name": "MIT", "identifier": "MIT"},
    "description": (
        "Media, conversations and messages for agents' pages, and the webhook that WhatsApp calls. Made by "
        "`python -m tools.openapi`; do not edit. What is over the rate limit is answered 429 by API Gateway, with "
        '`{"message": "…"}`. docs/errors.md says what each code means, docs/integrate.md how to mint tokens.'
    ),
}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
    "query": {"type": "apiKey", "in": "query", "name": "token", "description": "For a bare `<img>`"},
}
TOKEN: list[Json] = [{name: []} for name in SECURITY_SCHEMES]


def document() -> Json:
    """Give the whole document."""
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "paths": _paths(),
        "components": {"schemas": schemas(), "securitySchemes": SECURITY_SCHEMES},
    }


def text() -> str:
    """Give the document as it is written."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def schemas() -> Json:
    """Give the schemas of all bodies and their parts, by name."""
    adapters = [(body.__name__, "serialization", TypeAdapter(body)) for body in BODIES]
    _, found = TypeAdapter.json_schemas(adapters, ref_template=REF)  # type: ignore[arg-type]  # they are of many types
    named: Json = found["$defs"]
    named["ProblemBody"]["properties"]["code"]["enum"] = sorted(error.code for error in documented(InboundError))
    return {name: _untitled(named[name]) for name in sorted(named)}


def _untitled(schema: Any) -> Any:
    """Leave out titles, which repeat the names; a property that is called so is none."""
    if isinstance(schema, list):
        return [_untitled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _untitled(part) for name, part in schema.items() if name != "title" or isinstance(part, dict)}


# --- routes ----------------------------------------------------------------------------------------------------


def _paths() -> Json:
    return {
        "/webhook": {"get": _handshake(), "post": _notification()},
        "/media/messages/{message_id}": _media("Media", "The media of a message"),
        "/api/media/messages/{message_id}": _media("OldMedia", "The same, at the address that older pages hold"),
        "/conversations": {"get": _conversations()},
        "/conversations/{contact_id}/messages": {"get": _thread()},
        "/messages/{message_id}": {"get": _message()},
    }


def _handshake() -> Json:
    told = {
        "hub.mode": "`subscribe`",
        "hub.verify_token": "An app's verify token",
        "hub.challenge": "What to answer",
    }
    return {
        "operationId": "Handshake",
        "summary": "Meta asks whether this is the right place",
        "security": [],
        "parameters": [_parameter("query", name, text, required=True) for name, text in told.items()],
        "responses": {"200": _plain("The challenge"), **_problems(OF_HANDSHAKE)},
    }


def _notification() -> Json:
    told = "`sha256=` and the HMAC of the body's bytes with an app's secret, in hex"
    return {
        "operationId": "Notification",
        "summary": "Meta tells of messages, statuses, and all else",
        "externalDocs": {"url": META},
        "security": [],
        "parameters": [_parameter("header", "X-Hub-Signature-256", told, required=True)],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {"200": _plain("All of it is stored"), **_problems(OF_NOTIFICATION)},
    }


def _media(name: str, summary: str) -> Json:
    """Describe both methods of an address of media."""
    shared = {
        "security": TOKEN,
        "parameters": [
            _parameter("path", "message_id", "The message's id, or an old id of it", required=True),
            _parameter("query", "download", "`1`: to be saved under its file name"),
            _parameter("query", "retry", "Asked again after the bytes did not load: look whether they are still there"),
        ],
    }
    ready = "Its address at the edge, for those who accept `application/json`; all others are redirected"
    answers = {
        "200": _json(ReadyBody, ready, "Cache-Control"),
        "202": _json(PendingBody, "Not here yet: ask again after so many seconds", "Cache-Control", "Retry-After"),
        "302": {"description": "To the bytes", "headers": _headers("Location", "Cache-Control", "Vary")},
        **_problems(OF_MEDIA),
    }
    bodiless = {
        status: {part: own for part, own in answer.items() if part != "content"} for status, answer in answers.items()
    }
    return {
        "get": {"operationId": name, "summary": summary, **shared, "responses": answers},
        "head": {
            "operationId": f"{name}Head",
            "summary": f"{summary}, without a body",
            **shared,
            "responses": bodiless,
        },
    }


def _conversations() -> Json:
    return {
        "operationId": "Conversations",
        "summary": "The conversations of a number, newest first",
        "security": TOKEN,
        "parameters": [*_listing()],
        "responses": {
            "200": _json(shapes.Conversations, "A page, or a poll's news", "Cache-Control"),
            **_problems(OF_LISTS),
        },
    }


def _thread() -> Json:
    contact = _parameter("path", "contact_id", "The contact: any id of the conversation", required=True)
    return {
        "operationId": "Messages",
        "summary": "The messages of a conversation, newest first",
        "security": TOKEN,
        "parameters": [contact, *_listing()],
        "responses": {"200": _json(shapes.Thread, "A page, or a poll's news", "Cache-Control"), **_problems(OF_LISTS)},
    }


def _message() -> Json:
    return {
        "operationId": "Message",
        "summary": "One message",
        "security": TOKEN,
        "parameters": [_parameter("path", "message_id", "The message's id, or an old id of it", required=True)],
        "responses": {"200": _json(shapes.Message, "The message", "Cache-Control"), **_problems(OF_MESSAGE)},
    }


# --- parts of routes -------------------------------------------------------------------------------------------


def _listing() -> list[Json]:
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": USUAL_PAGE}
    since = "A poll: what is new since an answer that gave this, or since Unix seconds. Oldest first"
    return [
        _parameter("query", "phone_number_id", "The business's number, as Meta's id", required=True),
        {**_parameter("query", "limit", "The most entries to give"), "schema": limit},
        _parameter("query", "cursor", "The next page: the `cursor` of the one before. Not together with `since`"),
        _parameter("query", "since", since),
    ]


def _parameter(place: str, name: str, told: str, *, required: bool = False) -> Json:
    return {"name": name, "in": place, "description": told, "required": required, "schema": {"type": "string"}}


def _json(body: Any, told: str, *headers: str) -> Json:
    content = {"application/json": {"schema": {"$ref": REF.format(model=body.__name__)}}}
    return {"description": told, "headers": _headers(*headers), "content": content}


def _plain(told: str) -> Json:
    return {"description": told, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _headers(*names: str) -> Json:
    return {name: {"schema": {"type": "integer" if name == "Retry-After" else "string"}} for name in names}


def _problems(kinds: Errors) -> Json:
    """Describe errors by status, with the codes that each may have."""
    codes: dict[int, list[str]] = {}
    for error in kinds:
        codes.setdefault(problem(error()).status, []).append(f"`{error.code}`")
    content = {CONTENT_TYPE: {"schema": {"$ref": REF.format(model=ProblemBody.__name__)}}}
    return {
        str(status): {"description": ", ".join(codes[status]), "headers": _headers("Cache-Control"), "content": content}
        for status in sorted(codes)
    }


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
