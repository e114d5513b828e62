"""A reverse proxy in front of the AWS emulator: it counts the calls that handlers make, and breaks them on demand."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import urllib3
from werkzeug.wrappers import Request, Response

S3_OPERATIONS = (
    ("PUT", "partNumber", "UploadPart"),
    ("POST", "uploads", "CreateMultipartUpload"),
    ("POST", "uploadId", "CompleteMultipartUpload"),
    ("DELETE", "uploadId", "AbortMultipartUpload"),
    ("PUT", "", "PutObject"),
    ("HEAD", "", "HeadObject"),
    ("GET", "", "GetObject"),
    ("DELETE", "", "DeleteObject"),
)

# Stands for DynamoDB's answer that it has left everything unprocessed.
UNPROCESSED = b"everything is left unprocessed"


@dataclass(frozen=True)
class Fault:
    """What to answer instead of the emulator, to how many calls, and to which (by body)."""

    operation: str
    status: int
    body: bytes
    times: list[None]
    strikes: Callable[[bytes], bool] = field(default=lambda _: True)


class _Forwarded(Response):
    automatically_set_content_length = False  # the answer to HEAD names the length of what it lacks


class AwsProxy:
    """A WSGI application. `calls` holds the operations since `forget`, `jobs` the message ids sent to a queue."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._pool = urllib3.PoolManager(maxsize=64, retries=False)
        self._lock = Lock()
        self._faults: list[Fault] = []
        self._delays: dict[str, float] = {}
        self.calls: list[str] = []
        self.jobs: list[str] = []

    def forget(self) -> None:
        with self._lock:
            self.calls.clear()
            self.jobs.clear()
            self._faults.clear()
            self._delays.clear()

    def fail(
        self,
        operation: str,
        code: str,
        *,
        status: int = 400,
        times: int = 1000,
        strikes: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        """Answer an operation with an AWS error, so many times."""
        body = json.dumps({"__type": f"com.amazonaws#{code}", "message": "injected"}).encode()
        if operation in {name for *_, name in S3_OPERATIONS}:
            body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        self.answer(operation, status, body, times=times, strikes=strikes)

    def answer(
        self,
        operation: str,
        status: int,
        body: bytes,
        *,
        times: int = 1,
        strikes: Callable[[bytes], bool] = lambda _: True,
    ) -> None:
        """Give an answer of our own to an operation, so many times."""
        with self._lock:
            self._faults.append(Fault(operation, status, body, [None] * times, strikes))

    def delay(self, operation: str, seconds: float) -> None:
        """Hold back each call of an operation, so that calls before it overtake."""
        self._delays[operation] = seconds

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data()
        operation = _operation(request)
        with self._lock:
            self.calls.append(operation)
            fault = self._struck_by(operation, body)
        time.sleep(self._delays.get(operation, 0))
        if fault is not None and fault.body == UNPROCESSED:
            left = json.dumps({"UnprocessedItems": json.loads(body)["RequestItems"]})
            return Response(left, 200, content_type=_error_type(b"{"))(environ, start_response)
        if fault is not None:
            return Response(fault.body, fault.status, content_type=_error_type(fault.body))(environ, start_response)
        if operation == "SendMessageBatch":
            bodies = [json.loads(entry["MessageBody"]) for entry in json.loads(body)["Entries"]]
            self.jobs += [job["message_id"] for job in bodies]
        return self._forwarded(request, body)(environ, start_response)

    def _struck_by(self, operation: str, body: bytes) -> Fault | None:
        for fault in self._faults:
            if fault.operation == operation and fault.times and fault.strikes(body):
                fault.times.pop()
                return fault
        return None

    def _forwarded(self, request: Request, body: bytes) -> Response:
        headers = {name: value for name, value in request.headers if name.lower() != "connection"}
        path = request.environ["REQUEST_URI"]
        answer = self._pool.request(request.method, self._upstream + path, body=body, headers=headers)
        hop_by_hop = {"connection", "transfer-encoding", "date", "server"}
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in hop_by_hop]
        return _Forwarded(answer.data, answer.status, kept)


def _operation(request: Request) -> str:
    target = request.headers.get("X-Amz-Target", "")
    if target:
        return target.rpartition(".")[2]
    for method, parameter, name in S3_OPERATIONS:
        if request.method == method and (not parameter or parameter in request.args):
            return name
    return f"{request.method} {request.path}"


def _error_type(body: bytes) -> str:
    return "application/xml" if body.startswith(b"<") else "application/x-amz-json-1.0"
