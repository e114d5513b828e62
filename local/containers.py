"""What the functions need that `sam local` runs in containers: a way to the emulators, and variables that show it.

A container's loopback is its own. With Docker Desktop it reaches ours as host.docker.internal; elsewhere emulators have
to listen on an address that it reaches (LISTEN), and so may others. moto believes everybody and does whatever it is
told, so there it answers only calls that bear the access key id of this run; the Graph wants its token, and the
simulator's own controls stay on loopback.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from local.server import EVERYWHERE, HOST
from local.template import Function

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DOCKER_HOST = "host.docker.internal"
"""What Docker calls the machine that it runs on."""

_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/", re.ASCII)
_OF_GRAPH = re.compile(r"/v\d+\.\d+/[^/]+|/whatsapp_business/attachments/", re.ASCII)


class Door(NamedTuple):
    """An address beside loopback, and the access key id that opens it."""

    host: str
    key_id: str


def for_key(app: WSGIApplication, key_id: str) -> WSGIApplication:
    """Let only calls through that name this access key id. Nobody can guess it; the signature itself is not checked.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
    """

    def has_key(environ: WSGIEnvironment) -> bool:
        found = _CREDENTIAL.match(environ.get("HTTP_AUTHORIZATION", ""))
        return found is not None and hmac.compare_digest(found[1].encode(), key_id.encode())

    return _only(has_key, app, b"This is for who has the access key of this run: it stands in .local/stack.env.")


def for_graph_clients(app: WSGIApplication) -> WSGIApplication:
    """Leave of the simulator what Graph has: the rest sends signed webhooks for whoever asks."""

    def is_of_graph(environ: WSGIEnvironment) -> bool:
        return _OF_GRAPH.fullmatch(environ["PATH_INFO"]) is not None

    return _only(is_of_graph, app, b"The simulator is for this machine alone.")


def _only(allowed: Callable[[WSGIEnvironment], bool], app: WSGIApplication, refusal: bytes) -> WSGIApplication:
    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if allowed(environ):
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [refusal]

    return guarded


def name_for_containers(listen: str | None) -> str:
    """Give the name under which containers reach what listens there; None is loopback."""
    return DOCKER_HOST if listen in (None, HOST, EVERYWHERE) else str(listen)


def variables(functions: Iterable[Function], aws: str, outside: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Give the content of a file for `sam local --env-vars`: each function's variables, and where AWS is.

    `outside` maps origins of this machine to those that containers reach. sam sets only what the template names.
    https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-using-invoke.html
    """
    return {
        function.logical_id: {
            name: _moved(value, outside) for name, value in {**function.environment, "AWS_ENDPOINT_URL": aws}.items()
        }
        for function in functions
    }


def _moved(value: str, outside: Mapping[str, str]) -> str:
    for origin, reached in outside.items():
        value = re.sub(rf"{re.escape(origin)}(?!\d)", reached, value)
    return value
