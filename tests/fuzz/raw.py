"""HTTP without a client's good manners: bytes out, an answer in, over connections that are kept while they last."""

import http.client
import socket
import time
from contextlib import suppress

from tests.fuzz.strange import Strange
from tests.fuzz.verdict import LONGEST, Answer


class Line:
    """A connection to a port of this machine, opened when it is needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def ask(self, asked: Strange) -> Answer | None:
        """Send a request and give the answer; None when the connection ended without one.

        Raises `TimeoutError` when none came in time.
        """
        begun = time.monotonic()
        connection = self._socket or self._open()
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was read: the answer is there
            connection.sendall(asked.wire)
        try:
            response = http.client.HTTPResponse(connection, method=asked.method.decode("latin-1"))
            response.begin()
            body = response.read()
        except (http.client.HTTPException, ConnectionError):
            self.close()
            return None
        if response.will_close:
            self.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, body, time.monotonic() - begun)

    def _open(self) -> socket.socket:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=LONGEST)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def close(self) -> None:
        """Close the connection; another one is opened when it is needed."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
