"""The moment by which work must be done: a Lambda ends without asking."""

import time
from dataclasses import dataclass

from inbound.errors import GraphTimeout


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Give the deadline so many seconds from now."""
        return cls(time.monotonic() + seconds)

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return time.monotonic() >= self.at

    def left(self) -> float:
        """Give the seconds left. Raises `GraphTimeout` when there are none."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise GraphTimeout("WhatsApp did not deliver in the time left.")
        return left
