"""Everything that can go wrong between us and Graph, one class for each fault.

A fault is called with the answer that the simulator would have given, and gives another. It is bound to a
media id (or "*") and to one of the two requests, *resolve* (`GET /{version}/{media_id}`) or *download*
(`GET <url>`), and lasts for `times` requests, or until it is cleared. Faults of one request are used up in
the order they were added: "429 twice, then 500 once, then fine" is two faults. A model's fields are its JSON,
and `fault` is its name there.

Besides, faults can strike at random: each request that meets no fault of its own, with a given probability.
"""

import base64
import itertools
import json
import random
import threading
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    field_validator,
)

from local.notifications import encode

Hop = Literal["resolve", "download"]
BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: `length` is its Content-Length (None: none), `blocks` its body, made while sending."""

    status: int
    content_type: str
    blocks: Iterable[bytes] = ()
    length: int | None = 0
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, content_type: str, body: bytes, headers: dict[str, str] | None = None) -> "Answer":
        """Make an answer of bytes at hand."""
        return cls(status, content_type, (body,), len(body), headers or {})

    @classmethod
    def json(cls, status: int, value: Any, headers: dict[str, str] | None = None) -> "Answer":
        """Make a JSON answer, written as Meta writes it."""
        return cls.of(status, "application/json; charset=UTF-8", encode(value), headers)


def graph_error(
    code: int,
    message: str,
    *,
    subcode: int | None = None,
    type_: str = "OAuthException",
    details: str | None = None,
    transient: bool | None = None,
) -> dict[str, Any]:
    """Give the body of a Graph error.

    https://developers.facebook.com/docs/graph-api/guides/error-handling
    """
    data = {"messaging_product": "whatsapp", "details": details} if details else None
    members = {
        "message": message,
        "type": type_,
        "code": code,
        "error_subcode": subcode,
        "is_transient": transient,
        "error_data": data,
        "fbtrace_id": base64.urlsafe_b64encode(time.time_ns().to_bytes(8, "big")).decode().rstrip("="),
    }
    return {"error": {name: value for name, value in members.items() if value is not None}}


class Fault(BaseModel):
    """What all faults have: the request they strike, and for how many requests (None: until cleared)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: str
    hop: Hop = "download"
    times: PositiveInt | None = None

    def __call__(self, answer: Answer) -> Answer:
        """Give what the client gets instead of `answer`."""
        return self._bend(answer)

    @abstractmethod
    def _bend(self, answer: Answer) -> Answer:
        """Bend an answer in the fault's own way."""


# --- another answer -----------------------------------------------------------------------------------------


class GraphError(Fault):
    """Any Graph error with any HTTP status."""

    fault: Literal["graph_error"] = "graph_error"
    hop: Hop = "resolve"
    code: int
    status: int = 400
    subcode: int | None = None
    message: str = "(#0) Simulated error"
    error_type: str = "OAuthException"
    details: str | None = None
    transient: bool | None = None
    headers: dict[str, str] = {}

    def _bend(self, _: Answer) -> Answer:
        body = graph_error(
            self.code,
            self.message,
            subcode=self.subcode,
            type_=self.error_type,
            details=self.details,
            transient=self.transient,
        )
        return Answer.json(self.status, body, dict(self.headers))


class Expired(Fault):
    """Graph no longer has the media, or the token may not see it: both are 100 with subcode 33."""

    fault: Literal["expired"] = "expired"
    hop: Hop = "resolve"

    def _bend(self, _: Answer) -> Answer:
        return no_such_object("0")


class BadToken(Fault):
    """The access token is refused (190)."""

    fault: Literal["bad_token"] = "bad_token"
    hop: Hop = "resolve"
    subcode: int | None = 463

    def _bend(self, _: Answer) -> Answer:
        return token_refused(self.subcode)


class RateLimited(Fault):
    """Throttled: HTTP 429 and a Graph code; if wanted with Retry-After (seconds or date) or usage headers."""

    fault: Literal["rate_limited"] = "rate_limited"
    hop: Hop = "resolve"
    code: int = 80007
    status: int = 429
    retry_after: NonNegativeInt | None = None
    as_date: bool = False
    regain_minutes: NonNegativeInt | None = None

    def _bend(self, _: Answer) -> Answer:
        body = graph_error(self.code, f"(#{self.code}) Rate limit issues", details="Too many calls")
        return Answer.json(self.status, body, dict(self._headers()))

    def _headers(self) -> Iterator[tuple[str, str]]:
        if self.retry_after is not None:
            date = formatdate(time.time() + self.retry_after, usegmt=True)
            yield "Retry-After", date if self.as_date else str(self.retry_after)
        if self.regain_minutes is not None:
            usage = {"type": "whatsapp", "call_count": 100, "total_cputime": 20, "total_time": 20}
            usage["estimated_time_to_regain_access"] = self.regain_minutes
            yield "X-Business-Use-Case-Usage", json.dumps({"0": [usage]})


class Status(Fault):
    """A bare answer of any status, body and headers."""

    fault: Literal["status"] = "status"
    status: Annotated[int, Field(ge=200, le=599)]
    body: str = ""
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = {}

    def _bend(self, _: Answer) -> Answer:
        return Answer.of(self.status, self.content_type, self.body.encode(), dict(self.headers))


class Gone(Fault):
    """An explicit 410, without a body."""

    fault: Literal["gone"] = "gone"
    hop: Hop = "resolve"

    def _bend(self, _: Answer) -> Answer:
        return Answer.of(410, "text/plain", b"")


class ServerError(Fault):
    """A proxy's HTML page instead of an answer."""

    fault: Literal["server_error"] = "server_error"
    hop: Hop = "resolve"
    status: Annotated[int, Field(ge=500, le=599)] = 500

    def _bend(self, _: Answer) -> Answer:
        return html_page(self.status, "Sorry, something went wrong.")


class DeadUrl(Fault):
    """The id resolves, but its URL does not give the file: 404, 401 or 403."""

    fault: Literal["dead_url"] = "dead_url"
    status: Literal[401, 403, 404] = 404

    def _bend(self, _: Answer) -> Answer:
        return html_page(self.status, "URL signature mismatch")


class HtmlPage(Fault):
    """200 and a web page: instead of the file, or (hop resolve) instead of JSON."""

    fault: Literal["html_page"] = "html_page"

    def _bend(self, _: Answer) -> Answer:
        return html_page(200, "Log in to continue")


class MetadataInsteadOfFile(Fault):
    """200 and Graph's JSON where the file should be; with `content_type` of the file, if wanted."""

    fault: Literal["metadata_instead_of_file"] = "metadata_instead_of_file"
    keep_content_type: bool = False

    def _bend(self, answer: Answer) -> Answer:
        described = Answer.json(
            200, {"messaging_product": "whatsapp", "url": "https://lookaside.fbsbx.com/", "id": "0"}
        )
        return replace(described, content_type=answer.content_type) if self.keep_content_type else described


class Redirect(Fault):
    """To any URL: a foreign host, for instance."""

    fault: Literal["redirect"] = "redirect"
    location: str
    status: Literal[301, 302, 303, 307, 308] = 302

    def _bend(self, _: Answer) -> Answer:
        return Answer.of(self.status, "text/html", b"", {"Location": self.location})


# --- the true answer, badly sent ----------------------------------------------------------------------------


class Hang(Fault):
    """No answer for `seconds`; then the connection is closed without one."""

    fault: Literal["hang"] = "hang"
    hop: Hop = "resolve"
    seconds: NonNegativeFloat = 3600.0

    def _bend(self, answer: Answer) -> Answer:
        return replace(answer, blocks=_withheld(answer.blocks, self.seconds))


class Slow(Fault):
    """The true answer, after `seconds`."""

    fault: Literal["slow"] = "slow"
    hop: Hop = "resolve"
    seconds: NonNegativeFloat = 3.0

    def _bend(self, answer: Answer) -> Answer:
        return replace(answer, blocks=_delayed(answer.blocks, self.seconds))


class Drip(Fault):
    """The true answer, `size` bytes at a time with `pause` seconds after each."""

    fault: Literal["drip"] = "drip"
    size: PositiveInt = 1024
    pause: NonNegativeFloat = 0.1

    def _bend(self, answer: Answer) -> Answer:
        return replace(answer, blocks=_dripping(answer.blocks, self.size, self.pause))


class CutOff(Fault):
    """The connection closes after `after` bytes (default: half), although Content-Length promised all."""

    fault: Literal["cut_off"] = "cut_off"
    after: NonNegativeInt | None = None

    def _bend(self, answer: Answer) -> Answer:
        return replace(answer, blocks=first(answer.blocks, _half(answer) if self.after is None else self.after))


class Truncated(Fault):
    """Fewer bytes than Graph declared, in an answer that is whole as far as HTTP can tell."""

    fault: Literal["truncated"] = "truncated"
    after: NonNegativeInt | None = None

    def _bend(self, answer: Answer) -> Answer:
        length = min(_half(answer) if self.after is None else self.after, answer.length or 0)
        return replace(answer, blocks=first(answer.blocks, length), length=length)


class Corrupt(Fault):
    """The right number of bytes, the last of each block changed: the hash does not fit."""

    fault: Literal["corrupt"] = "corrupt"

    def _bend(self, answer: Answer) -> Answer:
        changed = (block[:-1] + bytes([block[-1] ^ 0xFF]) if block else block for block in answer.blocks)
        return replace(answer, blocks=changed)


class Oversize(Fault):
    """The file, then filler up to `size` bytes; `declared` adds a Content-Length that says so."""

    fault: Literal["oversize"] = "oversize"
    size: PositiveInt
    declared: bool = False

    def _bend(self, answer: Answer) -> Answer:
        blocks = first(itertools.chain(answer.blocks, itertools.repeat(bytes(BLOCK))), self.size)
        return replace(answer, blocks=blocks, length=self.size if self.declared else None)


class WrongContentType(Fault):
    """The true bytes under another Content-Type."""

    fault: Literal["wrong_content_type"] = "wrong_content_type"
    content_type: str = "application/octet-stream"

    def _bend(self, answer: Answer) -> Answer:
        return replace(answer, content_type=self.content_type)


# --- another description ------------------------------------------------------------------------------------


class Described(Fault):
    """Graph's description of the media with other members, and some left out. Errors pass unchanged."""

    fault: Literal["described"] = "described"
    hop: Literal["resolve"] = "resolve"
    members: dict[str, Any] = {}
    drop: tuple[str, ...] = ()

    def _bend(self, answer: Answer) -> Answer:
        return _describe(answer, self.members, self.drop)


class NoUrl(Fault):
    """200 without a URL."""

    fault: Literal["no_url"] = "no_url"
    hop: Literal["resolve"] = "resolve"

    def _bend(self, answer: Answer) -> Answer:
        return _describe(answer, {}, ("url",))


class LyingLength(Fault):
    """Graph declares `size` bytes, whatever the file has."""

    fault: Literal["lying_length"] = "lying_length"
    hop: Literal["resolve"] = "resolve"
    size: NonNegativeInt = 1024

    def _bend(self, answer: Answer) -> Answer:
        return _describe(answer, {"file_size": self.size})


class SizeAs(Fault):
    """The size as a string, an integer, or absent: all three have been seen."""

    fault: Literal["size_as"] = "size_as"
    hop: Literal["resolve"] = "resolve"
    form: Literal["string", "int", "absent"]

    def _bend(self, answer: Answer) -> Answer:
        if self.form == "absent":
            return _describe(answer, {}, ("file_size",))
        size = int(_description(answer).get("file_size", 0))
        return _describe(answer, {"file_size": str(size) if self.form == "string" else size})


class HashAs(Fault):
    """The hash in hex, base64, absent, or wrong."""

    fault: Literal["hash_as"] = "hash_as"
    hop: Literal["resolve"] = "resolve"
    form: Literal["hex", "base64", "absent", "wrong"]

    def _bend(self, answer: Answer) -> Answer:
        if self.form == "absent":
            return _describe(answer, {}, ("sha256",))
        raw = bytes.fromhex(_description(answer).get("sha256", ""))
        forms = {"hex": raw.hex(), "base64": base64.b64encode(raw).decode(), "wrong": raw[::-1].hex()}
        return _describe(answer, {"sha256": forms[self.form]})


class UrlHost(Fault):
    """The media URL points to another origin, with the same path and query."""

    fault: Literal["url_host"] = "url_host"
    hop: Literal["resolve"] = "resolve"
    origin: Annotated[str, Field(pattern=r"^https?://[^/]+$")]

    def _bend(self, answer: Answer) -> Answer:
        path = "/".join(_description(answer).get("url", "").split("/")[3:])
        return _describe(answer, {"url": f"{self.origin}/{path}"})


AnyFault = Annotated[
    GraphError
    | Expired
    | BadToken
    | RateLimited
    | Status
    | Gone
    | ServerError
    | DeadUrl
    | HtmlPage
    | MetadataInsteadOfFile
    | Redirect
    | Hang
    | Slow
    | Drip
    | CutOff
    | Truncated
    | Corrupt
    | Oversize
    | WrongContentType
    | Described
    | NoUrl
    | LyingLength
    | SizeAs
    | HashAs
    | UrlHost,
    Field(discriminator="fault"),
]
_FAULT: TypeAdapter[Fault] = TypeAdapter(AnyFault)
_ITEMS: TypeAdapter[list[dict[str, Any]] | dict[str, Any]] = TypeAdapter(list[dict[str, Any]] | dict[str, Any])


class RandomFaults(BaseModel):
    """Faults that strike at random: a request meets one of those for its hop with the probability `rate`.

    The same `seed` lets the same requests be struck, counted in the order they come.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: Annotated[float, Field(ge=0, le=1)]
    faults: Annotated[tuple[AnyFault, ...], Field(min_length=1)]
    seed: int = 0

    @field_validator("faults")
    @classmethod
    def _last(cls, faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
        if any(fault.times is not None for fault in faults):
            raise ValueError("faults at random strike until they are cleared: leave out times")
        return faults


def read(body: bytes) -> list[tuple[str, Fault]]:
    """Read `{"media_id", "fault", …}`, or a list of them. Raises pydantic's ValidationError."""
    value = _ITEMS.validate_json(body)
    items = value if isinstance(value, list) else [value]
    return [(str(item.pop("media_id", "*")), _FAULT.validate_python(item)) for item in items]


class Faults:
    """The faults in force, by media id and request. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[tuple[str, str], list[Fault]] = {}
        self._at_random: RandomFaults | None = None
        self._chance = random.Random()
        self._struck = 0

    def add(self, media_id: str, *faults: Fault) -> None:
        """Queue faults for a media id, or for every one ("*")."""
        with self._lock:
            for fault in faults:
                self._queues.setdefault((media_id, fault.hop), []).append(fault)

    def strike_at_random(self, wanted: RandomFaults) -> None:
        """Let faults strike at random from now on, instead of those before; count from zero."""
        with self._lock:
            self._at_random, self._chance, self._struck = wanted, random.Random(wanted.seed), 0

    @property
    def at_random(self) -> RandomFaults | None:
        """The faults that strike at random, if any."""
        return self._at_random

    @property
    def struck(self) -> int:
        """How many requests have been struck at random."""
        return self._struck

    def take(self, media_id: str, hop: Hop) -> Fault | None:
        """Give the fault that strikes this request, its own before everybody's before chance, and count it."""
        with self._lock:
            for queue in (self._queues.get((media_id, hop)), self._queues.get(("*", hop))):
                if queue:
                    return _used(queue)
            return self._drawn(hop)

    def _drawn(self, hop: Hop) -> Fault | None:
        fitting = [fault for fault in self._at_random.faults if fault.hop == hop] if self._at_random else []
        if not self._at_random or not fitting or self._chance.random() >= self._at_random.rate:
            return None
        self._struck += 1
        return self._chance.choice(fitting)

    def clear(self, media_id: str | None = None) -> None:
        """Forget the faults of a media id, or all, those at random included."""
        with self._lock:
            if media_id is None:
                self._at_random, self._struck = None, 0
            for key in list(self._queues):
                if media_id is None or key[0] == media_id:
                    del self._queues[key]

    def listed(self) -> list[dict[str, Any]]:
        """Give the faults in force as JSON, `times` being what is left."""
        with self._lock:
            return [
                {"media_id": media_id, **fault.model_dump(mode="json")}
                for (media_id, _), queue in self._queues.items()
                for fault in queue
            ]


def no_such_object(media_id: str) -> Answer:
    """Graph's answer for an object that does not exist, or that the token may not see."""
    message = (
        f"Unsupported get request. Object with ID '{media_id}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation"
    )
    return Answer.json(400, graph_error(100, message, subcode=33, type_="GraphMethodException"))


def token_refused(subcode: int | None = None) -> Answer:
    """Graph's answer to a missing or wrong access token."""
    return Answer.json(401, graph_error(190, "Invalid OAuth access token", subcode=subcode))


def html_page(status: int, text: str) -> Answer:
    """A web page, as proxies and login walls send it."""
    page = f"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>{text}</h1></body></html>"
    return Answer.of(status, "text/html; charset=utf-8", page.encode())


def _used(queue: list[Fault]) -> Fault:
    fault = queue[0]
    if fault.times == 1:
        del queue[0]
    elif fault.times is not None:
        queue[0] = fault.model_copy(update={"times": fault.times - 1})
    return fault


def _description(answer: Answer) -> dict[str, Any]:
    body = json.loads(b"".join(answer.blocks))
    return body if isinstance(body, dict) else {}


def _describe(answer: Answer, members: dict[str, Any], drop: tuple[str, ...] = ()) -> Answer:
    if answer.status != 200:
        return answer
    kept = {name: value for name, value in (_description(answer) | members).items() if name not in drop}
    return Answer.json(200, kept)


def _half(answer: Answer) -> int:
    return (answer.length or 0) // 2


def _withheld(blocks: Iterable[bytes], seconds: float) -> Iterator[bytes]:
    for _ in _delayed(blocks, seconds):
        raise ConnectionAbortedError
    yield b""  # never; it makes this a generator, so the wait begins when the answer is sent


def _delayed(blocks: Iterable[bytes], seconds: float) -> Iterator[bytes]:
    time.sleep(seconds)
    yield from blocks


def _dripping(blocks: Iterable[bytes], size: int, pause: float) -> Iterator[bytes]:
    for block in blocks:
        for start in range(0, len(block), size):
            yield block[start : start + size]
            time.sleep(pause)


def first(blocks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Give the first `length` bytes of a body."""
    for block in blocks:
        if length <= 0:
            return
        yield block[:length]
        length -= len(block)
