"""When to try again, and when not to. Pure: time and chance come from outside."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, Literal

from inbound import errors
from inbound.errors import MediaError, MediaExpired
from inbound.media import KEPT_BY_META, KEPT_WITHOUT_STORAGE
from inbound.media_states import FAILED, FETCHING, QUEUED, READY, known_error

if TYPE_CHECKING:
    from inbound.messages import Media, Message

TRY: Final = "try"
BUSY: Final = "busy"
LEFT: Final = "left"

# What may be gone a moment later: tried again at once, a few times.
TRANSIENT = (errors.RateLimited, errors.GraphUnavailable, errors.GraphTimeout)
# What stays as it is, whatever we do.
SETTLED = (errors.MediaUnavailable, errors.MediaTooLarge)

FIRST_WAIT, LONGEST_WAIT = 20, 3600  # seconds at most between attempts that each had their quick tries
SHORTEST_WAIT = 5
OPERATOR_WAIT = 60  # at least, where only an operator can help
LAST_CALL = 300  # seconds before the deadline, when one more attempt is due whatever was planned


def deadline_of(timestamp: int, first_seen: int | None, now: int, *, kept: bool = True) -> int:
    """Give the moment (Unix seconds) after which Meta no longer has the media of a message.

    Counted from the message's time, for a late webhook carries an old id; from when we first saw it where the
    message has no valid time. `kept` is false for a number in "No Storage" mode.
    """
    return (timestamp or first_seen or now) + (KEPT_BY_META if kept else KEPT_WITHOUT_STORAGE)


def deadline_for(message: "Message", first_seen: int | None, now: int, no_storage_numbers: Collection[str]) -> int:
    """Give the deadline of a message's media; what comes with the chat history is older than its media id."""
    sent = 0 if message.history else int(message.timestamp)
    return deadline_of(sent, first_seen, now, kept=message.phone_number_id not in no_storage_numbers)


def settles(error: MediaError, now: int, deadline: int) -> bool:
    """Tell whether an error is the end: Meta never had it, it is too large, or it is gone and past its time."""
    if isinstance(error, MediaExpired):
        return error.final or now >= deadline
    return isinstance(error, SETTLED)


def backoff(attempts: int, chance: float) -> int:
    """Give the seconds after so many attempts: exponential with full jitter (`chance` is from 0 to 1)."""
    longest: int = min(FIRST_WAIT << min(attempts - 1, 20), LONGEST_WAIT)
    return max(SHORTEST_WAIT, round(longest * chance))


def wait_after(error: MediaError, attempts: int, chance: float) -> int:
    """Give the seconds until the next attempt: what Graph asks for, or the backoff when that is longer."""
    floor = 0 if error.retryable else OPERATOR_WAIT
    return max(backoff(attempts, chance), floor, error.retry_after or 0)


def next_attempt(now: int, wait: int, deadline: int) -> int:
    """Give the moment of the next attempt: after the wait, but not so late that Meta has deleted the media by then."""
    return min(now + wait, max(now + SHORTEST_WAIT, deadline - LAST_CALL)) if now < deadline else now + wait


def outlook(media: "Media | None", now: int, *, from_queue: bool) -> MediaError | Literal["try", "busy", "left"]:
    """Say what the last attempt means for a request now (Unix seconds).

    Its error, when that is settled or the next attempt is not due; BUSY while somebody holds the lease, or when a
    holder vanished and its next attempt is not due; LEFT when it was left to the worker, unless it is the worker who
    asks; else TRY.
    """
    if media is None or media.status == READY:
        return TRY
    if media.status == FETCHING and (media.lease_until or 0) >= now:
        return BUSY
    if media.status == QUEUED:
        return TRY if from_queue else LEFT
    wait = int((media.next_attempt_at or 0) - now)
    if media.status != FAILED and wait <= 0:
        return TRY
    error = known_error(media)
    if error is None:
        return BUSY
    if media.status == FAILED:
        error.retryable = False
    else:
        error.retry_after = wait
    return error
