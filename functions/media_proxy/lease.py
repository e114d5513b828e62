"""The right to make an attempt: one at a time for each media, renewed while bytes come, lost to a later one."""

from collections.abc import Callable, Iterable, Iterator

from inbound.errors import StoreUnavailable
from inbound.observability import logger

SECONDS = 45  # that an attempt has until somebody else may make one


class LeaseLost(Exception):
    """A later attempt has begun, or the message is gone: what this one brings is not wanted any more."""


class Lease:
    """A lease that is held: `fence` is its number, larger than those of all attempts before."""

    def __init__(self, fence: int, renew: Callable[[int], bool], clock: Callable[[], float]) -> None:
        """Hold a lease that begins now; `renew` prolongs it in the table and tells whether it still holds."""
        self.fence = fence
        self._renew = renew
        self._clock = clock
        self._begun = clock()

    def keep(self) -> None:
        """Renew the lease once half of it is gone. Raises `LeaseLost`."""
        if self._clock() - self._begun < SECONDS / 2:
            return
        self._begun = self._clock()
        try:
            held = self._renew(self.fence)
        except StoreUnavailable:
            # Nobody has taken it as far as we know, and the fence decides in the end.
            logger.warning("lease_not_renewed")
            return
        if not held:
            raise LeaseLost

    def over(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Give the chunks, keeping the lease while they come."""
        for chunk in chunks:
            self.keep()
            yield chunk
