"""Serve a WSGI application, on loopback where nobody says otherwise: every server of the local run is started here.

werkzeug parses requests and starts a thread for each connection. What a local cloud needs beyond that is
added: connections stay open between requests (HTTP/1.1), an answer shorter than its Content-Length closes the
connection (so a simulated cut-off looks like one), and closing the server drops the connections still open.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, cast

from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  (listened on only where the user asks for it: LISTEN)
BACKLOG = 512
"""Connections the kernel holds for us; the default of 128 refuses some in a burst of parallel webhooks."""
DRAIN_BYTES = 8 * 1024 * 1024
"""What is read and thrown away of a body that the application left; beyond it the connection is closed."""

log = logging.getLogger(__name__)


class PortTaken(OSError):
    """The port is in use by another program. `port` says which."""

    def __init__(self, port: int) -> None:
        super().__init__(f"Port {port} on {HOST} is in use by another program: stop it, or choose another port.")
        self.port = port


class NoSuchAddress(OSError):
    """The address is another machine's. `host` says which."""

    def __init__(self, host: str) -> None:
        super().__init__(f"This machine has no address {host}.")
        self.host = host


class Server:
    """A running server: `url` and `port` say where; `close` stops it. Also a context manager."""

    def __init__(self, app: WSGIApplication, listener: socket.socket) -> None:
        host = listener.getsockname()[0]
        self._host = HOST if host == EVERYWHERE else host
        self._wsgi = _ThreadedServer(host, 0, app, handler=_Connection, fd=listener.fileno())
        self._thread = threading.Thread(target=self._wsgi.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.port: int = self._wsgi.port
        self.url = f"http://{self._host}:{self.port}"

    def close(self) -> None:
        """Stop listening and drop the connections still open. Closing twice is harmless."""
        if self._thread.is_alive():
            stopping = threading.Thread(target=self._wsgi.shutdown)
            stopping.start()
            with suppress(OSError):  # wakes the loop, which else looks up now and then only
                socket.create_connection((self._host, self.port)).close()
            stopping.join()
            self._thread.join()
            self._wsgi.server_close()
            self._wsgi.drop_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def for_programs(app: WSGIApplication) -> WSGIApplication:
    """Keep pages out of what is for programs: any site that a browser on this machine visits could ask it, too.

    A page's request bears its origin, or says that a browser sends it; and a name that a site makes point to this
    machine is none of ours.
    """

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        name = environ.get("HTTP_HOST", HOST).rpartition(":")[0] or environ.get("HTTP_HOST", HOST)
        if "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ or not _is_here(name):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"This is for programs on this machine, not for pages."]
        return app(environ, start_response)

    return guarded


def _is_here(name: str) -> bool:
    """Tell whether a host's name means this machine: an address, which no page can choose, or a name of our own."""
    return bool(re.fullmatch(r"[\d.]+|\[[0-9a-fA-F:]+\]|([\w.-]+\.)?localhost|host\.docker\.internal", name))


def serve(app: WSGIApplication, port: int = 0, host: str = HOST) -> Server:
    """Serve `app` on an IPv4 address in threads of its own. Port 0 takes a free one.

    Raises `PortTaken`, and `NoSuchAddress` for an address of another machine.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise NoSuchAddress(host) if error.errno == errno.EADDRNOTAVAIL else PortTaken(port) from error
        listener.listen(BACKLOG)
        return Server(app, listener)


class _ThreadedServer(ThreadedWSGIServer):
    """One thread per connection, and a list of those connections."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args, **kwargs)

    def opened(self, connection: socket.socket) -> None:
        self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        self._open.discard(connection)

    def drop_connections(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the peer was faster
                continue


class _Connection(WSGIRequestHandler):
    """One connection, any number of requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two packets: without this, each answer waits for an ACK

    def setup(self) -> None:
        super().setup()
        cast("_ThreadedServer", self.server).opened(self.connection)

    def finish(self) -> None:
        cast("_ThreadedServer", self.server).closed(self.connection)
        super().finish()

    def run_wsgi(self) -> None:
        """Answer one request, and leave the connection fit for the next or marked to be closed."""
        environ = self.make_environ()
        body = environ["wsgi.input"] = get_input_stream(environ, safe_fallback=True)
        answer = _Answer(self)
        try:
            self._run(self.server.app, environ, answer)
            if not answer.complete or not _drained(body):
                self.close_connection = True
        except (ConnectionError, TimeoutError, ClientDisconnected):
            self.close_connection = True
        except Exception as error:  # noqa: BLE001  (a server answers 500, whatever the application raised)
            self._fail(answer, error)

    def _run(self, app: WSGIApplication, environ: dict[str, Any], answer: _Answer) -> None:
        blocks: Iterable[bytes] = app(environ, answer.start)
        try:
            for block in blocks:
                answer.write(block)
            answer.end()
        finally:
            getattr(blocks, "close", lambda: None)()

    def _fail(self, answer: _Answer, error: Exception) -> None:
        log.error("%s %s failed", self.command, self.path.partition("?")[0], exc_info=error)
        self.close_connection = True
        if not answer.started:
            self.send_error(500)

    def log(self, *_: object) -> None:
        """Log nothing: query strings hold signatures and tokens, and the applications log for themselves."""


class _Answer:
    """The answer on its way out: WSGI's start_response and write, with the length kept in view."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._left: int | None = None
        self._chunked = False
        self.started = False
        self.complete = False

    def start(self, status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        self._status, self._headers = status, headers
        return self.write

    def write(self, data: bytes) -> None:
        if not self.started:
            self._send_head()
        if not data or self._connection.command == "HEAD":
            return
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self._connection.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        self.write(b"")
        if self._chunked:
            self._connection.wfile.write(b"0\r\n\r\n")
        self.complete = not self._left or self._connection.command == "HEAD"

    def _send_head(self) -> None:
        self.started = True
        code, _, phrase = self._status.partition(" ")
        names = {name.lower(): value for name, value in self._headers}
        bodiless = self._connection.command == "HEAD" or int(code) in (204, 304)
        self._left = 0 if bodiless else int(names["content-length"]) if "content-length" in names else None
        self._chunked = self._left is None and self._connection.request_version >= "HTTP/1.1"
        self._connection.send_response_only(int(code), phrase)
        for name, value in self._head(names):
            self._connection.send_header(name, value)
        self._connection.end_headers()

    def _head(self, names: dict[str, str]) -> Iterable[tuple[str, str]]:
        yield from self._headers
        if "date" not in names:
            yield "Date", self._connection.date_time_string()
        if self._chunked:
            yield "Transfer-Encoding", "chunked"


def _drained(body: Any) -> bool:
    """Read what the application left of the request body; False when there is too much of it."""
    left = DRAIN_BYTES
    while left > 0:
        block = body.read(min(left, 65536))
        if not block:
            return True
        left -= len(block)
    return False
