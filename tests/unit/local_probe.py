"""A handler that does what its event says: for tests of the local runtime."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

calls = 0


def handler(event: dict[str, Any], context: Any) -> Any:
    global calls  # noqa: PLW0603  (an environment that is used again remembers)
    calls += 1
    action: Callable[..., Any] = globals()[event.get("action", "describe")]
    return action(event, context)


def describe(_: dict[str, Any], context: Any) -> dict[str, Any]:
    print("one line of log")
    return {
        "pid": os.getpid(),
        "calls": calls,
        "environment": dict(os.environ),
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("local", "pytest", "tests")),
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "name": context.function_name,
        "version": context.function_version,
        "left": context.get_remaining_time_in_millis(),
    }


def sleep(event: dict[str, Any], _: Any) -> int:
    time.sleep(event["seconds"])
    return os.getpid()


def fail(event: dict[str, Any], _: Any) -> None:
    raise LookupError(event["text"])


def die(_: dict[str, Any], __: Any) -> None:
    os._exit(3)


def unserialisable(_: dict[str, Any], __: Any) -> object:
    return object()


def large(event: dict[str, Any], _: Any) -> str:
    return "x" * (int(event["size"]) - 2)


def write(event: dict[str, Any], _: Any) -> None:
    Path(event["path"]).write_text("x", "utf-8")


def remove(event: dict[str, Any], _: Any) -> None:
    Path(event["path"]).unlink()


def append(event: dict[str, Any], _: Any) -> None:
    os.close(os.open(event["path"], os.O_WRONLY | os.O_APPEND))


def read(event: dict[str, Any], _: Any) -> str:
    return Path(str(event["path"])).read_text("utf-8")


def echo(event: dict[str, Any], _: Any) -> dict[str, Any]:
    return event
