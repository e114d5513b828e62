"""What the outcome of a request counts as, for the success rate. Pure.

success rate = MediaServed / (MediaRequests - MediaGone)
"""

from inbound.errors import (
    InboundError,
    InternalError,
    MediaExpired,
    MediaTooLarge,
    MediaUnavailable,
    MessageNotFound,
    NoMedia,
    Unauthenticated,
)
from media_proxy.delivery import Pending, Ready

# Nobody could have served these: there is no such media, or not for this caller.
NO_REQUEST = (Unauthenticated, MessageNotFound, NoMedia)
# Nor these, once they are settled: Meta never had it, has it no more, or it is beyond the limit.
GONE = (MediaUnavailable, MediaExpired, MediaTooLarge)


def counted(outcome: Ready | Pending | InboundError) -> tuple[str, ...]:
    """Give the names of the metrics in which a request counts as one.

    A pending one is asked for again, and counts then. Faults are ours alone, not Meta's: they take a new version back.
    """
    if isinstance(outcome, Ready):
        return ("MediaRequests", "MediaServed")
    if isinstance(outcome, Pending):
        return ("MediaPending",)
    if isinstance(outcome, NO_REQUEST):
        return ()
    if isinstance(outcome, GONE) and not outcome.retryable:
        return ("MediaRequests", "MediaGone")
    if isinstance(outcome, InternalError):
        return ("MediaRequests", "MediaFailed", "Faults")
    return ("MediaRequests", "MediaFailed")
