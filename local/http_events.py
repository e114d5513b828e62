"""HTTP requests and answers as API Gateway translates them: payload format 2.0 of an HTTP API. No I/O.

What reaches a handler is what AWS would send. Where AWS's documents are silent (which bodies are base64, how
a path is decoded), this follows what was captured from real HTTP APIs.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from local.template import Cors, Route

ACCOUNT = "123456789012"

_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/javascript"})
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"})
_OWN_ANSWER = _HOP_BY_HOP | {"content-length", "date"}
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Refused(Exception):
    """What the gateway answers by itself: an HTTP status and its phrase."""

    def __init__(self, status: HTTPStatus) -> None:
        # Python 3.13 renamed this one; API Gateway did not.
        too_large = status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        super().__init__("Request Entity Too Large" if too_large else status.phrase)
        self.status = status

    @property
    def answer(self) -> Answer:
        """The answer over HTTP, in AWS's form."""
        body = json.dumps({"message": str(self)}, separators=(",", ":")).encode()
        return Answer(self.status, [("Content-Type", "application/json")], body)


@dataclass(frozen=True)
class Request:
    """A request as it came: header names in lower case, duplicates joined by commas, cookies apart."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    body: bytes = b""
    source_ip: str = "127.0.0.1"
    protocol: str = "HTTP/1.1"


@dataclass(frozen=True)
class Answer:
    """An answer as it goes out; a name may stand several times among the headers."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""


@dataclass(frozen=True)
class Match:
    """The route that takes a request, and the values of its path parameters."""

    route: Route
    parameters: dict[str, str]


# ---- The request ----


def decode_path(target: str) -> tuple[str, str]:
    """Give the path that routes are matched with, and the `rawPath` of the event.

    An HTTP API decodes a path once, takes what then looks like a query off, matches its routes, and decodes
    again for the event. So `%2F` splits a segment, `%252F` puts a slash into a parameter, and what cannot be
    decoded twice is refused. Captured from a real HTTP API in July 2026:
    https://github.com/hotsock/voker/blob/main/vokerhttp/testdata/ingress-paths.json
    """
    once = _decode(target.partition("?")[0]).partition("?")[0]
    return once, _decode(once)


def _decode(path: str) -> str:
    if _BAD_ESCAPE.search(path):
        raise Refused(HTTPStatus.BAD_REQUEST)
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError as error:
        raise Refused(HTTPStatus.BAD_REQUEST) from error


def find_route(routes: Iterable[Route], method: str, path: str) -> Match:
    """Give the most specific route for a path that is decoded once. Raises `Refused`.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
    """
    found = [
        (_specificity(route), Match(route, parameters))
        for route in routes
        if route.method in (method, "ANY") and (parameters := match_path(route.path, path)) is not None
    ]
    if not found:
        raise Refused(HTTPStatus.NOT_FOUND)
    return min(found, key=lambda entry: entry[0])[1]


def match_path(pattern: str, path: str) -> dict[str, str] | None:
    """Give the decoded path parameters when a path (decoded once) fits a route's path, else None."""
    wanted, given = pattern.split("/"), path.split("/")
    if wanted[-1].endswith("+}") and len(given) >= len(wanted):
        given = [*given[: len(wanted) - 1], "/".join(given[len(wanted) - 1 :])]
    if len(wanted) != len(given):
        return None
    parameters = {}
    for part, value in zip(wanted, given, strict=True):
        if part.startswith("{") and value:
            parameters[part.strip("{+}")] = _decode(value)
        elif part != value:
            return None
    return parameters


def _specificity(route: Route) -> tuple[list[int], bool]:
    """Sort literal segments before parameters before greedy ones, and a method before ANY."""
    kinds = [part.startswith("{") + part.endswith("+}") for part in route.path.split("/")]
    return kinds, route.method == "ANY"


def build_event(request: Request, match: Match, raw_path: str, *, request_id: str, now: float) -> dict[str, Any]:
    """Give the event of payload format 2.0. Fields without content are left out, as AWS leaves them out."""
    query = request.target.partition("?")[2]
    body, is_base64 = encode_body(request.body, request.headers.get("content-type"))
    event = {
        "version": "2.0",
        "routeKey": match.route.key,
        "rawPath": raw_path,
        "rawQueryString": query,
        "cookies": list(request.cookies),
        "headers": event_headers(request, f"Root=1-{int(now):08x}-{request_id.encode().hex():0<24.24}"),
        "queryStringParameters": query_parameters(query),
        "requestContext": _request_context(request, match.route, raw_path, request_id, now),
        "pathParameters": match.parameters,
        "body": body,
        "isBase64Encoded": is_base64,
    }
    kept = ("rawQueryString", "isBase64Encoded", "headers")
    return {name: value for name, value in event.items() if value or name in kept}


def event_headers(request: Request, trace_id: str) -> dict[str, str]:
    """Give the headers that reach the function, with those that a gateway adds."""
    own = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
    forwarded = own.get("x-forwarded-for")
    return {
        "content-length": str(len(request.body)),
        "x-amzn-trace-id": trace_id,
        **own,
        "x-forwarded-for": f"{forwarded}, {request.source_ip}" if forwarded else request.source_ip,
        "x-forwarded-port": own.get("host", "").rpartition(":")[2] or "80",
        "x-forwarded-proto": "http",
    }


def query_parameters(query: str) -> dict[str, str]:
    """Give the decoded parameters; the values of a repeated name are joined by commas."""
    joined: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def encode_body(body: bytes, content_type: str | None) -> tuple[str, bool]:
    """Give a body as text, and whether it is base64.

    Text travels as it is only under `text/*` and three types of `application/`; everything else is base64, a
    form and a body without a type included. Probed on a real HTTP API:
    https://github.com/ministackorg/ministack/pull/766
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type.startswith("text/") or media_type in _TEXT_TYPES:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return (base64.b64encode(body).decode(), True) if body else ("", False)


def _request_context(request: Request, route: Route, raw_path: str, request_id: str, now: float) -> dict[str, Any]:
    host = request.headers.get("host", "")
    return {
        "accountId": ACCOUNT,
        "apiId": "local",
        "domainName": host,
        "domainPrefix": host.partition(".")[0],
        "http": {
            "method": request.method,
            "path": raw_path,
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": route.key,
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


# ---- The answer ----


def read_result(result: Any) -> Answer:
    """Translate a function's result. Raises `Refused` for one that an HTTP API does not accept.

    Without a status code, the result itself is the body of a 200.
    """
    if not isinstance(result, dict) or "statusCode" not in result:
        body = result if isinstance(result, str) else json.dumps(result)
        return Answer(HTTPStatus.OK, [("Content-Type", "application/json")], body.encode())
    try:
        headers = _result_headers(result.get("headers") or {}, result.get("cookies") or [])
        return Answer(_status(result["statusCode"]), headers, _result_body(result))
    except (TypeError, ValueError, AttributeError) as error:
        raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR) from error


def _status(value: Any) -> int:
    status = int(value)
    if not 100 <= status < 600:
        raise ValueError(f"{value!r} is no HTTP status")
    return status


def _result_headers(headers: Mapping[str, Any], cookies: Iterable[str]) -> list[tuple[str, str]]:
    own = [(name, _header_value(value)) for name, value in headers.items() if name.lower() not in _OWN_ANSWER]
    if not any(name.lower() == "content-type" for name, _ in own):
        own.append(("Content-Type", "text/plain; charset=utf-8"))
    return [*own, *(("Set-Cookie", _header_value(cookie)) for cookie in cookies)]


def _header_value(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, bool | int | float) else value
    if not isinstance(text, str) or "\r" in text or "\n" in text:
        raise ValueError("a header value has a line break, or is no text")
    return text


def _result_body(result: Mapping[str, Any]) -> bytes:
    body = result.get("body") or ""
    if not isinstance(body, str):
        raise TypeError("the body is no text")
    if not result.get("isBase64Encoded"):
        return body.encode()
    return base64.b64decode(body, validate=True)  # binascii.Error is a ValueError


# ---- CORS ----
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html


def preflight(request: Request, cors: Cors) -> Answer:
    """Answer OPTIONS in the place of a route: what is allowed, when an allowed origin asks for a method."""
    headers: list[tuple[str, str]] = []
    if "access-control-request-method" in request.headers and cors.allows(request.headers.get("origin", "")):
        headers.append(("Access-Control-Allow-Methods", ",".join(cors.methods)))
        headers.append(("Access-Control-Allow-Headers", ",".join(cors.headers)))
        headers.append(("Access-Control-Max-Age", str(cors.max_age or 0)))
    return Answer(HTTPStatus.NO_CONTENT, headers)


def without_cors(answer: Answer) -> Answer:
    """Leave out a function's own CORS headers: an HTTP API with a CORS configuration ignores them."""
    kept = [own for own in answer.headers if not own[0].lower().startswith("access-control-")]
    return Answer(answer.status, kept, answer.body)


def readable_by(origin: str, answer: Answer, cors: Cors) -> Answer:
    """Add the headers that let a page of an allowed origin read the answer."""
    if not cors.allows(origin):
        return answer
    headers = [("Access-Control-Allow-Origin", "*" if "*" in cors.origins else origin)]
    if cors.credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if cors.expose:
        headers.append(("Access-Control-Expose-Headers", ",".join(cors.expose)))
    return Answer(answer.status, [*answer.headers, *headers], answer.body)
