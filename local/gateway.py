"""API Gateway on a laptop: the HTTP API of template.yaml, with its routes and CORS, before the functions."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from http.client import responses
from typing import TYPE_CHECKING, Any, Protocol

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from local.environments import FunctionTimedOut, InvocationError, NoAnswerInTime, RequestTooLarge
from local.http_events import (
    Answer,
    Refused,
    Request,
    build_event,
    decode_path,
    find_route,
    preflight,
    read_result,
    readable_by,
    without_cors,
)
from local.template import Cors, Route

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a body. https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html"""
MAX_HEAD = 10_240
"""Bytes of the request line and the header values together; same page."""

log = logging.getLogger(__name__)


class Invoker(Protocol):
    """What runs functions: `local.environments.Environments`, or anything that invokes like it."""

    def invoke(self, function_id: str, event: Mapping[str, Any], patience: float | None = None) -> Any:
        """Give the function's result, or raise an `InvocationError`."""
        ...


class Gateway:
    """The HTTP API. `app` is its WSGI application."""

    def __init__(self, routes: Sequence[Route], cors: Cors | None, functions: Invoker) -> None:
        self._routes = routes
        self._cors = cors
        self._functions = functions

    def app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            answer = self.answer(read_request(environ))
        except Refused as refusal:
            answer = refusal.answer
        if self._cors:
            answer = readable_by(environ.get("HTTP_ORIGIN", ""), answer, self._cors)
        headers = [(name, value.encode().decode("latin-1")) for name, value in answer.headers]
        if answer.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {responses.get(answer.status, 'Unknown')}", headers)
        return [answer.body]

    def answer(self, request: Request) -> Answer:
        """Route, invoke, translate. Raises `Refused`."""
        if self._cors and request.method == "OPTIONS":
            return preflight(request, self._cors)
        request_id = secrets.token_urlsafe(11)
        path, raw_path = decode_path(request.target)
        match = find_route(self._routes, request.method, path)
        event = build_event(request, match, raw_path, request_id=request_id, now=time.time())
        answer = read_result(self._invoke(match.route, event))
        answer.headers.append(("Apigw-Requestid", request_id))
        return without_cors(answer) if self._cors else answer

    def _invoke(self, route: Route, event: Mapping[str, Any]) -> Any:
        try:
            return self._functions.invoke(route.function, event, route.timeout)
        except RequestTooLarge as error:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from error
        except (NoAnswerInTime, FunctionTimedOut) as error:
            log.warning("%s: %s", route.key, error)
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE) from error
        except InvocationError as error:
            log.warning("%s: %s", route.key, error)
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR) from error


def read_request(environ: WSGIEnvironment) -> Request:
    """Read a request from its WSGI environment. Raises `Refused` when it is too large."""
    headers = {_header_name(key): _utf8(value) for key, value in environ.items() if _is_header(key) and value}
    if len(environ["REQUEST_URI"]) + sum(map(len, headers.values())) > MAX_HEAD:
        raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    return Request(
        method=environ["REQUEST_METHOD"],
        target=_own_target(environ["REQUEST_URI"]),
        cookies=tuple(part.strip() for part in headers.pop("cookie", "").split(";") if part.strip()),
        headers=headers,
        body=_read_body(environ),
        source_ip=environ.get("REMOTE_ADDR", "127.0.0.1"),
        protocol=environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
    )


def _is_header(key: str) -> bool:
    return key.startswith("HTTP_") or key in ("CONTENT_TYPE", "CONTENT_LENGTH")


def _header_name(key: str) -> str:
    return key.removeprefix("HTTP_").replace("_", "-").lower()


def _utf8(value: str) -> str:
    """Undo WSGI's latin-1."""
    return value.encode("latin-1").decode("utf-8", "replace")


def _own_target(target: str) -> str:
    """Leave only path and query of a target that names the server, too."""
    if target.startswith(("http://", "https://")):
        _, slash, rest = target.partition("://")[2].partition("/")
        return slash + rest or "/"
    return target


def _read_body(environ: WSGIEnvironment) -> bytes:
    try:
        return get_input_stream(environ, max_content_length=MAX_BODY).read()
    except RequestEntityTooLarge as error:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from error
