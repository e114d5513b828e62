"""One attempt at a time, whoever asks: source → lease → Graph → S3 → ready.

What fails is noted with the time of the next attempt, and queued for then.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inbound.errors import InternalError, MediaError, MediaUnavailable, MessageNotFound, StoreUnavailable
from inbound.jobs import LONGEST_DELAY, FetchQueue
from inbound.media_states import servable
from inbound.messages import Media
from inbound.observability import count_graph_code, logger, metrics
from media_proxy import lease, retries, sources
from media_proxy.attempt import Attempt, TakesTooLong
from media_proxy.cache import Address
from media_proxy.deadline import Deadline
from media_proxy.lease import Lease, LeaseLost
from media_proxy.media_items import Failure, Found, MediaItems

if TYPE_CHECKING:
    from inbound.messages import Message
    from media_proxy.fetch import Fetcher
    from media_proxy.sources import Source

FIRST_LOOK, LONGEST_LOOK = 0.1, 0.8  # seconds between two looks at what somebody else is fetching
HANDED_OVER = 900  # seconds after which a job that nothing has come of is queued again


@dataclass(frozen=True, slots=True)
class Desk:
    """What both the proxy and the worker need: table, queue, and what fetches on a miss (made only then).

    `retention` is how long an object is kept, in seconds.
    """

    items: MediaItems
    jobs: FetchQueue
    fetcher: "Callable[[], Fetcher]"
    retention: int
    no_storage_numbers: tuple[str, ...] = ()
    clock: Callable[[], float] = time.time

    def now(self) -> int:
        """Give Unix seconds."""
        return int(self.clock())


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a caller waits: in all, for somebody else's attempt (seconds), and for how large a file (bytes).

    `largest` of None is the worker's: what a browser does not wait for is left to it.
    """

    deadline: Deadline
    for_others: float = 0.0
    largest: int | None = None


def ensure_cached(found: Found, desk: Desk, patience: Patience) -> Media | None:
    """Bring the media into S3 unless that is known to fail; None while somebody else is bringing it.

    One attempt at a time is made, whoever asks: all others wait for its outcome as long as they can. Raises the
    `MediaError` that stopped it, now or at the last attempt whose next one is not due yet.
    """
    looks, begun = _looks(), desk.clock()
    while True:
        state = retries.outlook(found.media, desk.now(), from_queue=patience.largest is None)
        if isinstance(state, MediaError):
            raise state
        if state is retries.LEFT:
            return None
        try:
            media = attempted(found, desk, patience) if state is retries.TRY else None
        except TakesTooLong:
            return None
        pause = next(looks)
        if media is not None or desk.clock() - begun + pause > patience.for_others or patience.deadline.over:
            return media
        time.sleep(pause)
        found = looked_at_again(found, desk)
        if found.media is not None and servable(found.media, desk.now()):
            return found.media


def attempted(found: Found, desk: Desk, patience: Patience) -> Media | None:
    """Make an attempt; None when somebody else makes it: who was faster, or who has overtaken us.

    Raises the `MediaError` that stopped it, or `TakesTooLong` when the worker makes it.
    """
    message, source = found.message, resolved(found.message, desk)
    wait = retries.backoff(found.attempts + 1, random.random())
    fence = desk.items.begin(found, desk.now(), desk.now() + lease.SECONDS + wait)
    if fence is None:
        return None
    held = Lease(fence, lambda own: renewed(message, own, desk), desk.clock)
    began = time.monotonic()
    try:
        with noted(found, fence, desk):
            stored = desk.fetcher().fetch(Attempt(message, source, held, patience.deadline, patience.largest))
    except LeaseLost:
        logger.warning("lease_lost", message_id=message.message_id)
        return None
    except TakesTooLong:
        hand_over(message, fence, desk)
        raise
    now = desk.now()
    media = desk.items.ready(message, fence, stored, source.name, now, now + desk.retention)
    if media is None:
        # A later attempt has overtaken this one; what it stored is the truth.
        desk.fetcher().cache.delete(stored.key)
        return None
    if fence > 1:
        tidy(message, fence, desk)
    count(source, stored.size, time.monotonic() - began)
    logger.info("media_ready", message_id=message.message_id, source=source.name, size=stored.size)
    return media


def count(source: "Source", size: int, seconds: float) -> None:
    """Publish that a medium was brought: from which source, how large, and how long that took."""
    metrics.add_metric("MediaFetched", "Count", 1)
    metrics.add_metric(f"Source_{source.name}", "Count", 1)
    metrics.add_metric("FetchedBytes", "Bytes", size)
    metrics.add_metric("FetchDuration", "Milliseconds", seconds * 1000)


def renewed(message: "Message", fence: int, desk: Desk) -> bool:
    """Prolong a lease; tell whether it still holds."""
    return desk.items.renew(message, fence, desk.now(), desk.now() + lease.SECONDS + retries.SHORTEST_WAIT)


def tidy(message: "Message", fence: int, desk: Desk) -> None:
    """Delete what earlier attempts have stored and could not publish: a crash, or an answer of S3 that was lost."""
    try:
        desk.fetcher().cache.delete_earlier(Address(message.phone_number_id, message.message_id, fence))
    except InternalError:
        logger.warning("earlier_objects_not_deleted", message_id=message.message_id)


def resolved(message: "Message", desk: Desk) -> "Source":
    """Find the media id. Where there is none that could ever be asked for, the message is no longer unsettled."""
    try:
        return sources.resolve(message)
    except MediaUnavailable:
        if message.gsi2pk is not None:
            desk.items.settle(message.message_id)
        raise


@contextmanager
def noted(found: Found, fence: int, desk: Desk) -> Iterator[None]:
    """Note in the table why an attempt failed, and see to the next one."""
    try:
        yield
    except (LeaseLost, TakesTooLong):
        raise
    except Exception as error:
        said = error if isinstance(error, MediaError) else InternalError(type(error).__name__)
        failure = failure_of(said, found, desk)
        desk.items.failed(found.message, fence, failure)
        if failure.next_attempt_at is not None:
            queue_later(found.message.message_id, failure.next_attempt_at - desk.now(), desk)
        raise


def hand_over(message: "Message", fence: int, desk: Desk) -> None:
    """Leave to the worker what takes longer than the caller can wait."""
    desk.items.hand_over(message, fence, desk.now() + HANDED_OVER)
    queue_later(message.message_id, 0, desk)
    metrics.add_metric("MediaHandedOver", "Count", 1)


def queue_later(message_id: str, wait: int, desk: Desk) -> None:
    """Queue the next attempt, when SQS can hold it back so long; else, and when SQS fails, the sweeper does it."""
    if wait > LONGEST_DELAY:
        return
    try:
        desk.jobs.send([message_id], max(0, wait))
    except StoreUnavailable:
        logger.warning("left_to_the_sweeper", message_id=message_id)


def looked_at_again(found: Found, desk: Desk) -> Found:
    """Read a message and its media anew. Raises `MessageNotFound` when it was erased meanwhile."""
    again = desk.items.find(found.message.message_id)
    if again is None:
        raise MessageNotFound("There is no such message.")
    return again


def _looks() -> Iterator[float]:
    """Give the pauses between looks, in seconds: ever longer, with jitter, without end."""
    pause = FIRST_LOOK
    while True:
        yield pause * random.uniform(0.5, 1)
        pause = min(pause * 1.5, LONGEST_LOOK)


def failure_of(error: MediaError, found: Found, desk: Desk) -> Failure:
    """Say what a failed attempt means for the next one, and log the give-up with all that Graph said."""
    now, attempts = desk.now(), found.attempts + 1
    deadline = retries.deadline_for(found.message, found.first_seen, now, desk.no_storage_numbers)
    settled = retries.settles(error, now, deadline)
    next_attempt_at = retries.next_attempt(now, retries.wait_after(error, attempts, random.random()), deadline)
    if settled:
        error.retryable, error.retry_after = False, None
    else:
        error.retry_after = next_attempt_at - now
    logger.warning(
        "fetch_failed",
        message_id=found.message.message_id,
        code=error.code,
        detail=error.detail,
        settled=settled,
        attempt=attempts,
        http_status=error.http_status,
        graph_code=error.graph_code,
        graph_subcode=error.graph_subcode,
        fbtrace_id=error.graph_trace,
    )
    metrics.add_metric(f"Failed_{error.code}", "Count", 1)
    count_graph_code(error.graph_code)
    return Failure(error.code, error.detail, None if settled else next_attempt_at)
