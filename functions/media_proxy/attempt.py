"""One attempt to bring the media of a message: what it is made with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inbound.messages import Message
    from media_proxy.deadline import Deadline
    from media_proxy.lease import Lease
    from media_proxy.sources import Source


class TakesTooLong(Exception):
    """More than the caller can wait for: it is the worker's to fetch."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Whose media, from which source, by what right, until when, and for how many bytes the caller waits.

    `largest` of None waits for whatever size: then nobody else is left to fetch it.
    """

    message: "Message"
    source: "Source"
    lease: "Lease"
    deadline: "Deadline"
    largest: int | None = None
