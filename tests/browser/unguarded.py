"""A server that guards nothing but for the headers that a test gives it: what a file can do, what one layer stops."""

import itertools
from collections.abc import Mapping
from typing import Self

from werkzeug.wrappers import Request, Response

from local.server import serve


class Unguarded:
    """The server, on an origin of its own."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[bytes, dict[str, str]]] = {}
        self._count = itertools.count(1)
        self._server = serve(Request.application(self._answer))

    def serve(self, content: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> str:
        """Put a file up, with this type and these headers; give its address."""
        path = f"/{next(self._count)}"
        # As from an edge: any script may read it (modules are scripts that must be readable).
        sent = {"Content-Type": content_type, "Access-Control-Allow-Origin": "*", **(headers or {})}
        self._answers[path] = content, sent
        return self._server.url + path

    def _answer(self, request: Request) -> Response:
        content, headers = self._answers.get(request.path, (b"", {}))
        return Response(content, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
