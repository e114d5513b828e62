"""Lambda on a laptop: a pool of execution environments per function, each a process with its handler.

An environment serves one event at a time; when all are busy, another one is started. They are forked from a
server that has imported the heavy libraries already, so that a start costs tens of milliseconds.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import sys
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, Self

from local import runtime
from local.template import Function

LIMIT = 64
"""Environments of one function; further requests wait for one to be free."""
MAX_REQUEST = 6 * 1024 * 1024
"""Bytes of an event. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""
INIT_TIMEOUT = 30.0
"""Seconds to import a handler. Lambda gives 10; a laptop that starts many at once is slower."""
GRACE = 2.0
"""Seconds that running invocations get when everything is closed."""
IDLE_LIFE = 60.0
"""Seconds after which an idle environment is ended; Lambda, too, keeps them for minutes only."""
KEPT = 2
"""Environments of each function that are kept, however long they are idle."""
STARTS = os.cpu_count() or 2
"""Environments that start at once: more would only slow each other down, and those that run already."""

_PASSED_ON = ("PATH", "LANG", "LC_ALL")
_CONTEXT = multiprocessing.get_context("forkserver")
_PROCESSES = threading.Lock()
"""multiprocessing keeps its list of children without a lock."""


class InvocationError(Exception):
    """An invocation without a result."""


class FunctionFailed(InvocationError):
    """The handler raised, could not be imported, or gave what is no JSON: `kind` and `text` of its error."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


class EnvironmentCrashed(InvocationError):
    """The process died in the middle of the event."""


class FunctionTimedOut(InvocationError):
    """The function ran longer than its timeout, and was killed."""


class NoAnswerInTime(InvocationError):
    """The caller's patience ended first; the function may still be running."""


class RequestTooLarge(InvocationError):
    """The event is larger than Lambda takes."""


class ResponseTooLarge(InvocationError):
    """The answer is larger than Lambda gives back."""


def prepare() -> None:
    """Start the server that environments are forked from; it imports the libraries while we go on."""
    _CONTEXT.set_forkserver_preload(["local.libraries"])
    with _PROCESSES:
        forkserver.ensure_running()


def release() -> None:
    """End the server that environments are forked from, once all of them are closed: before this process ends.

    multiprocessing has no public way; left alone, the server would outlive us by some tenths of a second.
    """
    with _PROCESSES:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # noqa: SLF001  (there is no public way)


class Environments:
    """Execution environments of several functions, started when needed. Also a context manager."""

    def __init__(
        self,
        functions: Iterable[Function],
        variables: Mapping[str, str],
        *,
        logs: Path | None = None,
        limit: int = LIMIT,
        idle_life: float = IDLE_LIFE,
    ) -> None:
        """Prepare to run the functions.

        `variables` reach every function beside its own: endpoints, credentials, region. What handlers print
        is appended to the file `logs`, or goes to this process's standard error. `limit` is per function;
        `idle_life`, in seconds, is how long an environment beyond the few that are kept may be idle.
        """
        self._functions = {function.logical_id: function for function in functions}
        self._pools = {
            name: _Pool(_starter(function, variables, logs), limit) for name, function in self._functions.items()
        }
        self._closing = threading.Event()
        threading.Thread(target=self._reclaim, args=(idle_life,), daemon=True).start()
        prepare()

    def invoke(self, function_id: str, event: Mapping[str, Any], patience: float | None = None) -> Any:
        """Run the function with this logical id on an event and give its result.

        `patience` is how many seconds the caller waits, for a free environment and for the answer. Raises
        `KeyError` for an unknown function, and the `InvocationError`s.
        """
        function, pool = self._functions[function_id], self._pools[function_id]
        payload = json.dumps(event).encode()
        if len(payload) > MAX_REQUEST:
            raise RequestTooLarge(f"the event has {len(payload)} bytes, Lambda takes {MAX_REQUEST}")
        given_up = time.monotonic() + (threading.TIMEOUT_MAX if patience is None else patience)
        environment = pool.take(given_up)
        killed = time.monotonic() + function.timeout
        environment.send(payload)
        if not environment.answers(min(given_up, killed)) and given_up < killed:
            threading.Thread(target=_run_on, args=(pool, environment, killed), daemon=True).start()
            raise NoAnswerInTime(f"{function_id} did not answer within {patience} s")
        return _finish(pool, environment, killed)

    def warm(self, function_id: str) -> None:
        """Start an environment, so that the first request need not wait. Raises the `InvocationError`s."""
        pool = self._pools[function_id]
        pool.give_back(pool.take(time.monotonic() + INIT_TIMEOUT))

    def kill_busy(self, function_id: str) -> int:
        """Kill (SIGKILL) the processes of this function that are busy now, and give their number.

        Who waits for their answers gets `EnvironmentCrashed`. Raises `KeyError` for an unknown function.
        """
        return self._pools[function_id].kill_busy()

    def _reclaim(self, idle_life: float) -> None:
        while not self._closing.wait(idle_life / 4):
            for pool in self._pools.values():
                pool.reclaim(time.monotonic() - idle_life)

    def close(self) -> None:
        """End all environments: idle ones at once, busy ones when they are done or after a short grace."""
        self._closing.set()
        for pool in self._pools.values():
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _finish(pool: _Pool, environment: _Environment, killed: float) -> Any:
    """Wait for the result, and decide whether the environment serves on."""
    try:
        result = environment.receive(killed)
    except (EnvironmentCrashed, FunctionTimedOut):
        pool.drop(environment)
        raise
    except InvocationError:
        pool.give_back(environment)
        raise
    pool.give_back(environment)
    return result


def _run_on(pool: _Pool, environment: _Environment, killed: float) -> None:
    """Let a function whose caller has gone run to its end, as Lambda does."""
    with suppress(InvocationError):
        _finish(pool, environment, killed)


class _Pool:
    """The environments of one function. The one that was used last is used next, as in Lambda."""

    def __init__(self, start: Callable[[], _Environment], limit: int) -> None:
        self._start = start
        self._limit = limit
        self._changed = threading.Condition()
        self._idle: list[_Environment] = []
        self._all: set[_Environment] = set()
        self._failures: list[InvocationError] = []
        self._waiting = 0
        self._starting = 0
        self._closed = False

    def take(self, until: float) -> _Environment:
        """Give a free environment: the first that falls idle or has started. Raises why there is none."""
        with self._changed:
            self._waiting += 1
            try:
                return self._wait_for_one(until)
            finally:
                self._waiting -= 1
                if not self._waiting:
                    self._failures.clear()

    def _wait_for_one(self, until: float) -> _Environment:
        while not self._closed:
            if self._idle:
                return self._idle.pop()
            if self._failures:
                raise self._failures.pop()
            if self._starting < min(self._waiting, STARTS, self._limit - len(self._all)):
                self._starting += 1
                threading.Thread(target=self._add, daemon=True).start()
            left = until - time.monotonic()
            if left <= 0:
                raise NoAnswerInTime("no environment was free in time")
            self._changed.wait(left)
        raise NoAnswerInTime("the environments are closed")

    def _add(self) -> None:
        try:
            environment, failure = self._start(), None
        except InvocationError as error:
            environment, failure = None, error
        with self._changed:
            self._starting -= 1
            if environment and self._closed:
                environment.kill()
            elif environment:
                self._all.add(environment)
                self._rest(environment)
            elif failure and self._waiting:
                self._failures.append(failure)
            self._changed.notify_all()

    def give_back(self, environment: _Environment) -> None:
        """Take an environment back that can serve another event, unless it was killed meanwhile."""
        with self._changed:
            if environment in self._all:
                self._rest(environment)
            self._changed.notify_all()

    def _rest(self, environment: _Environment) -> None:
        environment.idle_since = time.monotonic()
        self._idle.append(environment)

    def reclaim(self, before: float) -> None:
        """End the environments that have been idle since before a moment of the monotonic clock, but a few."""
        with self._changed:
            spare = len(self._all) - KEPT
            tired = [own for own in self._idle if own.idle_since < before][: max(0, spare)]
            self._all.difference_update(tired)
            self._idle = [own for own in self._idle if own not in tired]
        for environment in tired:
            environment.end(time.monotonic() + GRACE)

    def kill_busy(self) -> int:
        """Kill the environments that are not idle, and give their number."""
        with self._changed:
            busy = self._all.difference(self._idle)
            self._all -= busy
            for environment in busy:
                environment.kill()
            self._changed.notify_all()
        return len(busy)

    def drop(self, environment: _Environment) -> None:
        """Do away with an environment that cannot."""
        environment.kill()
        with self._changed:
            self._all.discard(environment)
            self._changed.notify_all()

    def close(self) -> None:
        """End all environments."""
        end = time.monotonic() + GRACE
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(self._at_rest, GRACE)
            idle, busy = self._idle, self._all.difference(self._idle)
        for environment in busy:
            environment.kill()
        for environment in idle:
            environment.end(end + GRACE)

    def _at_rest(self) -> bool:
        return not self._starting and len(self._idle) == len(self._all)


class _Environment:
    """One process with one handler, seen from outside. `idle_since` is a moment of the monotonic clock."""

    def __init__(self, name: str, timeout: float, variables: Mapping[str, str], logs: Path | None) -> None:
        """Start it and wait until its handler is imported. Raises the `InvocationError`s."""
        self._name = name
        self.idle_since = math.inf
        self._connection, inner = multiprocessing.Pipe()
        self._process = _CONTEXT.Process(
            target=runtime.run, args=(inner, timeout, variables, str(logs) if logs else None), daemon=True
        )
        with _PROCESSES, _without_main_module():
            self._process.start()
        inner.close()
        try:
            self.receive(time.monotonic() + INIT_TIMEOUT)
        except InvocationError:
            self.kill()
            raise

    def send(self, payload: bytes) -> None:
        """Hand over an event. A dead process shows when its answer is awaited."""
        with suppress(OSError):
            self._connection.send_bytes(payload)

    def answers(self, until: float) -> bool:
        """Wait for an answer, or for the end of the process, until a moment of the monotonic clock."""
        return self._connection.poll(max(0.0, until - time.monotonic()))

    def receive(self, until: float) -> Any:
        """Give the result. Raises the `InvocationError`s."""
        if not self.answers(until):
            raise FunctionTimedOut(f"{self._name} ran longer than its timeout")
        try:
            return _read(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise EnvironmentCrashed(f"the process of {self._name} ended") from error

    def end(self, until: float) -> None:
        """Let an idle process end by itself; kill it when it takes too long."""
        self._connection.close()
        with _PROCESSES:
            self._process.join(max(0.0, until - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """End the process now. Who waits for its answer gets `EnvironmentCrashed`."""
        with _PROCESSES:
            self._process.kill()
            self._process.join()


def _starter(function: Function, variables: Mapping[str, str], logs: Path | None) -> Callable[[], _Environment]:
    own = environment_of(function, variables, os.environ)
    return lambda: _Environment(function.logical_id, function.timeout, own, logs)


def environment_of(function: Function, variables: Mapping[str, str], outer: Mapping[str, str]) -> dict[str, str]:
    """Give all variables that a function sees: Lambda's, those of the cloud, its own.

    Of this process's own variables (`outer`) it sees what programs need to run and to be measured.
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    passed_on = {name: value for name, value in outer.items() if name in _PASSED_ON or name.startswith("COVERAGE")}
    return {
        **passed_on,
        "AWS_CONFIG_FILE": os.devnull,  # settings of the user's own AWS account have no say here
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python3.{sys.version_info.minor}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.logical_id}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "AWS_SDK_UA_APP_ID": function.logical_id,  # tells in an emulator's log who called
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "TZ": ":UTC",
        "_HANDLER": function.handler,
        **variables,
        **function.environment,
    }


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide our main module: multiprocessing would import it again in each process.

    That would be pytest, or the whole stack, in an environment that is to hold nothing but the handler.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _read(answer: bytes) -> Any:
    """Give the result in an answer, or raise the error in it."""
    content = json.loads(answer[1:] or b"null")
    if answer[:1] != runtime.ERROR:
        return content
    if content["kind"] == ResponseTooLarge.__name__:
        raise ResponseTooLarge(content["text"])
    raise FunctionFailed(content["kind"], content["text"])
