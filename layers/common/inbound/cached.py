"""What is read from elsewhere and remembered: for minutes, and for longer while it cannot be read again."""

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")

LIFETIME = 300.0  # seconds a value is used without asking
PAUSE = 60.0  # seconds between two readings that a failure asked for


class Cached(Generic[Value]):
    """A value that is read on first use. When it cannot be read again, the last good one goes on being used.

    `read` gives the value or raises one of `faults`; `noted` hears of a fault that the last good value covers up.
    `endures` is for how many seconds after its reading a value may cover up, `rest` for how many a fault that nothing
    covers up is told again instead of asking.
    """

    def __init__(
        self,
        read: Callable[[], Value],
        faults: tuple[type[Exception], ...],
        noted: Callable[[Exception], None],
        *,
        endures: float = math.inf,
        rest: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._faults = faults
        self._noted = noted
        self._endures = endures
        self._rest = rest
        self._clock = clock
        self._lock = Lock()
        self._value: Value | None = None
        self._fault: Exception = LookupError("nothing has been read yet")
        self._asked_at = self._read_at = -math.inf

    def get(self) -> Value:
        """Give the value, read again once it is older than LIFETIME seconds.

        Raises one of the faults, but only when there is no good value that is young enough.
        """
        return self._younger_than(LIFETIME)

    def refreshed(self) -> Value:
        """Give the value as it is now, reading it at most once in PAUSE seconds: for when the known one failed."""
        return self._younger_than(PAUSE)

    def _younger_than(self, age: float) -> Value:
        with self._lock:
            since = self._clock() - self._asked_at
            is_due = since >= self._rest if self._value is None else since > age
            if is_due:
                self._ask()
            if self._value is None:
                raise self._fault.with_traceback(None)  # it may be raised many times, and must not grow
            return self._value

    def _ask(self) -> None:
        try:
            self._value = self._read()
            self._read_at = self._clock()
        except self._faults as fault:
            self._fault = fault
            if self._clock() - self._read_at > self._endures:
                self._value = None
            if self._value is not None:
                self._noted(fault)
        self._asked_at = self._clock()
