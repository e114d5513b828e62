"""What the sweeper makes of media that is not settled. Pure: time comes from outside."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

from inbound.media import KEPT_BY_META
from inbound.media_states import FAILED, FETCHING, READY

if TYPE_CHECKING:
    from inbound.messages import Media

# A message's id is base32, and its first character is the partition of the index.
PARTITIONS = tuple(f"UNSETTLED#{character}" for character in "abcdefghijklmnopqrstuvwxyz234567")

UNTRIED = 600  # seconds that the webhook's own job has before another one is queued
GRACE = 60  # seconds past its time that the job of a next attempt has

Glance = Literal["settled", "waits", "due"]


class Entry(NamedTuple):
    """An entry of the index: whose media, and the message's time (Unix seconds; 0 where it has none)."""

    message_id: str
    timestamp: int


class Lost(NamedTuple):
    """How media that was not brought in time is settled."""

    detail: str
    by_us: bool


def glance(entry: Entry, media: "Media | None", now: int) -> Glance:
    """Say at first sight what an entry needs: to be taken out of the index, nothing yet, or a closer look."""
    if media is None:
        return "due" if now - entry.timestamp >= UNTRIED else "waits"
    if media.status in {READY, FAILED}:
        return "settled"
    if media.status == FETCHING and (media.lease_until or 0) >= now:
        return "waits"
    return "due" if now - (media.next_attempt_at or 0) >= GRACE else "waits"


def is_lost(media: "Media | None", now: int, deadline: int) -> bool:
    """Tell whether Meta has deleted the media by now. At least one attempt is always made."""
    return media is not None and media.attempts > 0 and now >= deadline


def lost(media: "Media | None") -> Lost:
    """Say why media could not be brought in time: because Meta had it no more, or for another reason, which is ours."""
    last = media.error_code if media is not None else None
    if last == "media_expired":
        return Lost("WhatsApp said to the end that it does not have this media.", by_us=False)
    return Lost(f"WhatsApp has deleted this media; the last attempt ended with {last or 'no answer'}.", by_us=True)


def waiting_since(entry: Entry, media: "Media | None", now: int) -> int:
    """Give since when media could have been fetched: the message's time, or, for history, when we first saw it."""
    first_seen = int(media.first_seen) if media is not None and media.first_seen else now
    recent = 0 < first_seen - entry.timestamp < KEPT_BY_META
    return entry.timestamp if recent else first_seen


def life_used(since: int, now: int, deadline: int) -> float:
    """Give how much of the time that Meta keeps the media is over, in per cent."""
    return 100 * min(1.0, max(0, now - since) / max(1, deadline - since))


def oldest(ages: Iterable[int]) -> int:
    """Give the largest age, 0 when there is none."""
    return max(ages, default=0)
