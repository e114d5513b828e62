"""Lambda's Python runtime: what runs inside an execution environment, around the deployed handler.

As in Lambda, the process sees the function's own variables and no others, its file system is read-only,
answers over 6 MB are refused, and what a handler raises is described to the caller and written to the log.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from io import TextIOWrapper

MAX_RESPONSE = 6 * 1024 * 1024 + 100
"""Bytes of an answer: AWS's runtime interface emulator counts up to exactly this."""

READY, RESULT, ERROR = b"R", b"=", b"!"
"""The first byte of what an environment says; JSON follows."""

_CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class ResponseTooLarge(Exception):
    """The answer is larger than Lambda gives back."""


@dataclass(frozen=True)
class Context:
    """The context object that a handler gets. `deadline` is a moment of the monotonic clock.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    deadline: float
    function_name: str
    memory_limit_in_mb: str
    invoked_function_arn: str
    log_group_name: str
    log_stream_name: str
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """Give the milliseconds until the function is killed."""
        return max(0, round((self.deadline - time.monotonic()) * 1000))


def run(connection: Connection, timeout: float, variables: Mapping[str, str], logs: str | None) -> None:
    """Import the handler that the variables name, then answer events until the connection is closed.

    `timeout` is what the context tells the handler, in seconds; whoever waits for the answer enforces it. What
    is printed is appended to the file `logs`, or goes to standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stack, which closes the connection
    _redirect_output(logs)
    os.environ.clear()
    os.environ.update(variables)
    time.tzset()
    _set_up_logging()
    released = _make_read_only()
    try:
        handler = _import_handler(variables["_HANDLER"])
    except Exception as error:  # noqa: BLE001  (whatever a module raises on import)
        connection.send_bytes(_describe(error))
        return
    connection.send_bytes(READY)
    _serve(connection, handler, timeout)
    released.set()  # what measures coverage writes its data when the process ends


def _serve(connection: Connection, handler: Callable[..., Any], timeout: float) -> None:
    while True:
        try:
            event = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(answer(handler, event, _context(timeout)))


def answer(handler: Callable[..., Any], event: bytes, context: Context) -> bytes:
    """Give what the handler makes of a JSON event: a result, or a description of what went wrong."""
    try:
        result = json.dumps(handler(json.loads(event), context), ensure_ascii=False).encode()
    except Exception as error:  # noqa: BLE001  (Lambda answers for whatever a handler raises)
        return _describe(error)
    if len(result) > MAX_RESPONSE:
        return _describe(ResponseTooLarge(f"the answer has {len(result)} bytes, the limit is {MAX_RESPONSE}"))
    return RESULT + result


def _describe(error: Exception) -> bytes:
    traceback.print_exception(error)
    return ERROR + json.dumps({"kind": type(error).__name__, "text": str(error)}).encode()


def _context(timeout: float) -> Context:
    name, region = os.environ["AWS_LAMBDA_FUNCTION_NAME"], os.environ.get("AWS_REGION", "us-east-1")
    return Context(
        deadline=time.monotonic() + timeout,
        function_name=name,
        memory_limit_in_mb=os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
        invoked_function_arn=f"arn:aws:lambda:{region}:123456789012:function:{name}",
        log_group_name=os.environ["AWS_LAMBDA_LOG_GROUP_NAME"],
        log_stream_name=os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
    )


def _import_handler(name: str) -> Callable[..., Any]:
    module, _, attribute = name.rpartition(".")
    handler: Callable[..., Any] = getattr(import_module(module), attribute)
    return handler


def _redirect_output(logs: str | None) -> None:
    if logs:
        target = os.open(logs, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(target, 2)
        os.close(target)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        # A line at a time, so that the lines of several environments do not mix.
        cast("TextIOWrapper", stream).reconfigure(encoding="utf-8", line_buffering=True)


def _set_up_logging() -> None:
    """Write what libraries log, from INFO on, as Lambda does where the log format is JSON.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
    """
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s]\t%(asctime)s\t%(message)s", stream=sys.stdout)


def _make_read_only() -> threading.Event:
    """Refuse every file that the handler wants to write or change, until the event that is given back is set.

    Stricter than Lambda, where /tmp can be written: nothing of ours should need it. Python's own compiled
    modules are let through, since each new environment would have to compile them again.
    """
    released = threading.Event()

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        if (event == "open" and args[2] & _WRITING) or event in _CHANGES:
            path = os.fsdecode(args[0]) if isinstance(args[0], str | bytes | os.PathLike) else ""
            harmless = not path or path.startswith("/dev/") or "__pycache__" in path
            if not harmless and not released.is_set():
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    sys.addaudithook(refuse)
    return released
