"""A CRM's own webhook, as it listened before us: it checks Meta's signature over the bytes that it gets."""

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

from werkzeug.wrappers import Request


@dataclass(frozen=True)
class Taken:
    """What was POSTed: header names in lower case."""

    body: bytes
    headers: Mapping[str, str]
    path: str

    def is_signed_with(self, secret: str) -> bool:
        wanted = "sha256=" + hmac.new(secret.encode(), self.body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted, self.headers.get("x-hub-signature-256", ""))


@dataclass
class Crm:
    """A WSGI application. `answers` are given in turn before 200; `awake` cleared, nobody is answered."""

    tried: list[Taken] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    down: tuple[int, dict[str, str]] | None = None
    delay: float = 0.0
    awake: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.awake.set()

    def forget(self) -> None:
        self.awake.set()
        self.down, self.delay = None, 0.0
        for some in (self.tried, self.taken, self.answers):
            some.clear()

    def bodies(self) -> list[bytes]:
        return [own.body for own in self.taken]

    def wait_for(self, *bodies: bytes, seconds: float = 40) -> None:
        """Wait until all of these were taken."""
        end = time.monotonic() + seconds
        while missing := set(bodies) - set(self.bodies()):
            assert time.monotonic() < end, f"{len(missing)} of {len(bodies)} were not taken"
            time.sleep(0.05)

    def wait_for_tries(self, body: bytes, count: int = 1, seconds: float = 40) -> None:
        """Wait until a body was tried so often."""
        end = time.monotonic() + seconds
        while sum(own.body == body for own in self.tried) < count:
            assert time.monotonic() < end, f"not tried {count} times"
            time.sleep(0.05)

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        headers = {name.lower(): value for name, value in request.headers}
        got = Taken(request.get_data(), headers, request.full_path.rstrip("?"))
        with self._lock:
            self.tried.append(got)
            status, extra = self.down or (self.answers.pop(0) if self.answers else (200, {}))
        time.sleep(self.delay)
        self.awake.wait(60)
        if 200 <= status < 300:
            self.taken.append(got)
        # As it stands, for a Location that is no URL as well.
        start_response(f"{status} Whatever", [("Content-Length", "0"), *extra.items()])
        return []
