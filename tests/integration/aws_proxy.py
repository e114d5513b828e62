"""A reverse proxy in front of the AWS emulators: it counts the calls that handlers make, and breaks them on demand."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any, NamedTuple

import urllib3
from werkzeug.wrappers import Request, Response

from local.cloud import Access
from local.intrinsics import PSEUDO_PARAMETERS
from tests.integration.witness import Witness
from tests.permissions import Call, Permission, needed

S3_OPERATIONS = (
    ("PUT", "partNumber", "UploadPart"),
    ("POST", "uploads", "CreateMultipartUpload"),
    ("POST", "uploadId", "CompleteMultipartUpload"),
    ("POST", "delete", "DeleteObjects"),
    ("DELETE", "uploadId", "AbortMultipartUpload"),
    ("PUT", "", "PutObject"),
    ("HEAD", "", "HeadObject"),
    ("GET", "", "GetObject"),
    ("DELETE", "", "DeleteObject"),
)

LONGEST_HOLD = 30.0  # seconds, so that a test that fails does not hold on for ever

Forward = Callable[[bytes], Response]
"""Sends a call on, with this body, and gives the emulator's answer."""
Act = Callable[[bytes, Forward], Response]
"""What is done with a call instead of sending it on: its body and the way on in, its answer out."""
Strikes = Callable[[bytes], bool]
"""Whether a fault strikes a call, by its path and body."""


def every(_: bytes) -> bool:
    return True


@dataclass(frozen=True)
class Fault:
    """What to do to how many calls of an operation, and to which of them.

    With `nth` it strikes only that one (from 0) of the different calls that it could strike, and all its repetitions,
    so that it outlasts what an SDK repeats by itself.
    """

    operation: str
    act: Act
    times: list[None]
    strikes: Strikes = every
    nth: int | None = None
    different: list[bytes] = field(default_factory=list)

    def takes(self, operation: str, call: bytes) -> bool:
        """Tell whether it strikes a call, and count it."""
        if operation != self.operation or not self.times or not self.strikes(call) or not self._is_nth(call):
            return False
        self.times.pop()
        return True

    def _is_nth(self, call: bytes) -> bool:
        if self.nth is None:
            return True
        digest = hashlib.sha256(call).digest()
        if digest not in self.different:
            self.different.append(digest)
        return self.different.index(digest) == self.nth


class Hold:
    """A call that is held. `reached` is set when it is there; from then on a process can be killed in the midst."""

    def __init__(self) -> None:
        self.reached = Event()
        self._over = Event()
        self._dropped = False

    def wait(self) -> None:
        """Wait until the call is there."""
        assert self.reached.wait(LONGEST_HOLD), "the call to be held never came"

    def let_go(self) -> None:
        self._over.set()

    def drop(self) -> None:
        """End the connection instead: the call never arrives, or its answer never does."""
        self._dropped = True
        self._over.set()

    def pass_by(self) -> None:
        """Hold the thread that carries the call."""
        self.reached.set()
        self._over.wait(LONGEST_HOLD)
        if self._dropped:
            raise ConnectionAbortedError


class _Forwarded(Response):
    automatically_set_content_length = False  # the answer to HEAD names the length of what it lacks


class AwsProxy:
    """A WSGI application. `calls` holds the operations since `forget`, `jobs` the message ids sent to a queue.

    `used` holds what each function (by logical id) has needed to be granted, from the start on.
    """

    def __init__(self, upstream: Access, witness: Witness) -> None:
        self._upstream = upstream
        self._witness = witness
        self._pool = urllib3.PoolManager(maxsize=64, retries=False)
        self._lock = Lock()
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []
        self._delays: dict[str, float] = {}
        self.calls: list[str] = []
        self.jobs: list[str] = []
        self.used: set[tuple[str, Permission]] = set()

    def forget(self) -> None:
        with self._lock:
            for hold in self._holds:
                hold.drop()
            self.calls.clear()
            self.jobs.clear()
            self._faults.clear()
            self._holds.clear()
            self._delays.clear()

    def fail(
        self,
        operation: str,
        code: str,
        *,
        status: int = 400,
        times: int = 1000,
        strikes: Strikes = every,
        nth: int | None = None,
    ) -> None:
        """Answer an operation with an AWS error, so many times."""
        self.answer(operation, status, _error(operation, code), times=times, strikes=strikes, nth=nth)

    def answer(
        self,
        operation: str,
        status: int,
        body: bytes,
        *,
        times: int = 1,
        strikes: Strikes = every,
        nth: int | None = None,
    ) -> None:
        """Give an answer of our own to an operation, so many times."""
        self._add(operation, lambda *_: _answer(status, body), times, strikes, nth)

    def lose(
        self, operation: str, *, times: int = 1000, strikes: Strikes = every, nth: int | None = None, status: int = 500
    ) -> None:
        """Let the emulator do what it is asked, and answer that it failed."""

        def act(body: bytes, forward: Forward) -> Response:
            forward(body)
            return _answer(status, _error(operation, "InternalError"))

        self._add(operation, act, times, strikes, nth)

    def leave(self, operation: str, *, does: int, times: int = 1000, strikes: Strikes = every) -> None:
        """Let a batch operation do only so many of its things in each call, and name the rest as left undone."""
        self._add(operation, lambda body, forward: PARTLY[operation](body, forward, does), times, strikes)

    def hold(self, operation: str, *, done: bool = False, strikes: Strikes = every, nth: int | None = None) -> Hold:
        """Hold one call of an operation until the test lets it go: before it is done, or once it is `done`."""
        hold = Hold()

        def act(body: bytes, forward: Forward) -> Response:
            answer = forward(body) if done else None
            hold.pass_by()
            return answer or forward(body)

        self._holds.append(hold)
        self._add(operation, act, 1, strikes, nth)
        return hold

    def _add(self, operation: str, act: Act, times: int, strikes: Strikes, nth: int | None = None) -> None:
        with self._lock:
            self._faults.append(Fault(operation, act, [None] * times, strikes, nth))

    def delay(self, operation: str, seconds: float) -> None:
        """Hold back each call of an operation, so that calls before it overtake."""
        self._delays[operation] = seconds

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data()
        operation = _operation(request)
        self._witness.aws_call(operation, request.environ["REQUEST_URI"], body)
        with self._lock:
            self.calls.append(operation)
            fault = self._struck_by(operation, request.environ["REQUEST_URI"].encode() + b"\n" + body)
        time.sleep(self._delays.get(operation, 0))

        def forward(content: bytes) -> Response:
            return self._forwarded(request, operation, content)

        answer = fault.act(body, forward) if fault is not None else forward(body)
        self._note_use(request, operation, body, answer.status_code)
        return answer(environ, start_response)

    def _note_use(self, request: Request, operation: str, body: bytes, status: int) -> None:
        caller = re.search(r"\bapp/(\w+)", request.headers.get("User-Agent", ""))
        if caller:
            scope, account = _scope(request), PSEUDO_PARAMETERS["AWS::AccountId"]
            call = Call(scope.service, operation, scope.region, account, request.path, body, status)
            self.used.update((caller[1], permission) for permission in needed(call))

    def _struck_by(self, operation: str, call: bytes) -> Fault | None:
        return next((fault for fault in self._faults if fault.takes(operation, call)), None)

    def _forwarded(self, request: Request, operation: str, body: bytes) -> Response:
        if operation == "SendMessageBatch":
            self.jobs += [json.loads(entry["MessageBody"])["message_id"] for entry in json.loads(body)["Entries"]]
        own = {"connection", "content-length"}
        headers = {name: value for name, value in request.headers if name.lower() not in own}
        url = f"{self._upstream.endpoint(_scope(request).service)}{request.environ['REQUEST_URI']}"
        answer = self._pool.request(request.method, url, body=body, headers=headers)
        self._witness.aws_answer(operation, answer.data)
        hop_by_hop = {"connection", "transfer-encoding", "date", "server"}
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in hop_by_hop]
        return _Forwarded(answer.data, answer.status, kept)


def _write_partly(body: bytes, forward: Forward, does: int) -> Response:
    ((table, requests),) = json.loads(body)["RequestItems"].items()
    if requests[:does]:
        forward(json.dumps({"RequestItems": {table: requests[:does]}}).encode())
    left = {table: requests[does:]} if requests[does:] else {}
    return _answer(200, json.dumps({"UnprocessedItems": left}).encode())


def _read_partly(body: bytes, forward: Forward, does: int) -> Response:
    ((table, asked),) = json.loads(body)["RequestItems"].items()
    keys = asked["Keys"]
    found: dict[str, Any] = {"Responses": {table: []}}
    if keys[:does]:
        found = json.loads(forward(json.dumps({"RequestItems": {table: {**asked, "Keys": keys[:does]}}}).encode()).data)
    left = {table: {**asked, "Keys": keys[does:]}} if keys[does:] else {}
    return _answer(200, json.dumps({**found, "UnprocessedKeys": left}).encode())


def _send_partly(body: bytes, forward: Forward, does: int) -> Response:
    batch = json.loads(body)
    entries = batch["Entries"]
    sent: dict[str, Any] = {"Successful": []}
    if entries[:does]:
        sent = json.loads(forward(json.dumps({**batch, "Entries": entries[:does]}).encode()).data)
    failed = [{"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"} for entry in entries[does:]]
    return _answer(200, json.dumps({**sent, "Failed": failed}).encode())


PARTLY = {"BatchWriteItem": _write_partly, "BatchGetItem": _read_partly, "SendMessageBatch": _send_partly}


class _Scope(NamedTuple):
    region: str
    service: str


def _scope(request: Request) -> _Scope:
    """Give the Region and service that a call is signed for; without a signature in its header it can only be for S3.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
    """
    scope = request.headers.get("Authorization", "").partition("Credential=")[2].partition(",")[0].split("/")
    return _Scope(scope[2], scope[3]) if len(scope) == 5 else _Scope("", "s3")


def _operation(request: Request) -> str:
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return target.rpartition(".")[2]
    for method, parameter, name in S3_OPERATIONS:
        if request.method == method and (not parameter or parameter in request.args):
            return name
    return f"{request.method} {request.path}"


def _error(operation: str, code: str) -> bytes:
    if operation in {name for *_, name in S3_OPERATIONS}:
        return f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    return json.dumps({"__type": f"com.amazonaws#{code}", "message": "injected"}).encode()


def _answer(status: int, body: bytes) -> Response:
    content_type = "application/xml" if body.startswith(b"<") else "application/x-amz-json-1.0"
    return Response(body, status, content_type=content_type)
