"""Entry point: every minute, look at all media that is not settled, and let none of it be forgotten.

What is settled leaves the index, what is due is queued, what Meta has deleted by now is settled; and how old the
oldest is becomes a metric, which shows a loss before it happens.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pynamodb.connection.table import TableConnection

from inbound import messages
from inbound.batches import in_parallel
from inbound.config import SweepSettings
from inbound.jobs import FetchQueue
from inbound.messages import Media, Message, UnsettledIndex
from inbound.observability import logger, metrics, reticent
from media_proxy import retries, unsettled
from media_proxy.media_items import Failure, Found, MediaItems
from media_proxy.unsettled import Entry

RESERVE = 10.0  # seconds of the function's time that are kept for the page in hand
PAGE = 500  # entries of the index
QUEUED_AGAIN = 1800  # seconds after which a job that nothing has come of is queued once more

settings = SweepSettings.from_environment()


@dataclass(slots=True)
class Sweep:
    """What a sweep has found so far: entries by what was done, the age of the oldest (s), the life used (%)."""

    done: Counter[str] = field(default_factory=Counter)
    oldest: int = 0
    life_used: float = 0.0


@dataclass(frozen=True, slots=True)
class Broom:
    """What a sweep takes: the table, its media items, and the queue."""

    table: TableConnection
    items: MediaItems
    jobs: FetchQueue


@cache
def broom() -> Broom:
    """Give the process's broom."""
    table = messages.connect(settings.table_name)
    return Broom(table, MediaItems(table), FetchQueue(settings.queue_url))


def swept(left: float) -> Sweep:
    """Go through the index for so many seconds, from a random place: what is not reached comes next time."""
    sweep, end = Sweep(), time.monotonic() + left
    for page in pages():
        look_at(page, sweep, int(time.time()))
        if time.monotonic() > end:
            sweep.done["cut_short"] = 1
            break
    return sweep


def pages() -> Iterator[list[Entry]]:
    """Give the entries of the index, page by page."""
    for partition in random.sample(unsettled.PARTITIONS, len(unsettled.PARTITIONS)):
        start = None
        while True:
            answer = broom().table.query(
                partition, index_name=UnsettledIndex.Meta.index_name, exclusive_start_key=start, limit=PAGE
            )
            yield [entry_of(item) for item in answer["Items"]]
            start = answer.get("LastEvaluatedKey")
            if not start:
                break


def entry_of(item: dict[str, Any]) -> Entry:
    """Read an entry of the index from DynamoDB's form."""
    return Entry(item["pk"]["S"].removeprefix("MSG#"), int(item["gsi2sk"]["S"]))


def look_at(page: Sequence[Entry], sweep: Sweep, now: int) -> None:
    """Do what each entry of a page needs."""
    stored = messages.items_at(broom().table, [(f"MSG#{entry.message_id}", "MEDIA") for entry in page])
    media = {pk: Media.from_raw_data(item) for (pk, _), item in stored.items()}
    seen: dict[unsettled.Glance, list[Entry]] = {"settled": [], "waits": [], "due": []}
    for entry in page:
        seen[unsettled.glance(entry, media.get(f"MSG#{entry.message_id}"), now)].append(entry)
    in_parallel(lambda entry: broom().items.settle(entry.message_id), seen["settled"])
    found = due(seen["due"], media)
    lost = [one for one in found if unsettled.is_lost(one.media, now, deadline_of(one, now))]
    again = [one for one in found if not unsettled.is_lost(one.media, now, deadline_of(one, now))]
    for name, count in Counter(filter(None, in_parallel(give_up, lost))).items():
        metrics.add_metric(name, "Count", count)
    queue_again(again, now)
    sweep.done.update(settled=len(seen["settled"]), waits=len(seen["waits"]), lost=len(lost), queued=len(again))
    note_ages(seen["waits"], media, again, sweep, now)


def due(entries: Sequence[Entry], media: dict[str, Media]) -> list[Found]:
    """Read the messages of what is due; what was erased is left out."""
    keys = [(f"MSG#{entry.message_id}", sk) for entry in entries for sk in ("MESSAGE", "ERASED")]
    stored = messages.items_at(broom().table, keys)
    return [
        Found(Message.from_raw_data(item), media.get(pk))
        for (pk, sk), item in stored.items()
        if sk == "MESSAGE" and (pk, "ERASED") not in stored
    ]


def deadline_of(found: Found, now: int) -> int:
    """Give when Meta deletes the media (Unix seconds)."""
    return retries.deadline_for(found.message, found.first_seen, now, settings.no_storage_numbers)


def give_up(found: Found) -> str | None:
    """Settle media that Meta has deleted; name the metric to count it in. One is an alarm: the reason was ours."""
    why = unsettled.lost(found.media)
    if not broom().items.given_up(found, Failure("media_expired", why.detail, None)):
        return None
    logger.warning("media_lost", message_id=found.message.message_id, attempts=found.attempts, by_us=why.by_us)
    return "MediaLost" if why.by_us else "MediaExpired"


def queue_again(found: Sequence[Found], now: int) -> None:
    """Queue jobs, and note it, in this order: a job too many does no harm, and one that is missing does."""
    broom().jobs.send([one.message.message_id for one in found])

    def note(one: Found) -> None:
        next_attempt_at = retries.next_attempt(now, QUEUED_AGAIN, deadline_of(one, now))
        broom().items.queued(one, now, next_attempt_at)

    in_parallel(note, found)


def note_ages(
    waiting: Sequence[Entry], media: dict[str, Media], again: Sequence[Found], sweep: Sweep, now: int
) -> None:
    """Keep the age of the oldest media that is still to be brought, and the largest share of a life that is over."""
    entries = [*waiting, *(Entry(one.message.message_id, int(one.message.timestamp)) for one in again)]
    since = {e.message_id: unsettled.waiting_since(e, media.get(f"MSG#{e.message_id}"), now) for e in entries}
    sweep.oldest = max(sweep.oldest, unsettled.oldest(now - moment for moment in since.values()))
    for one in again:
        used = unsettled.life_used(since[one.message.message_id], now, deadline_of(one, now))
        sweep.life_used = max(sweep.life_used, used)


@logger.inject_lambda_context(log_event=False)
@reticent
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Lambda's entry point: the clock's event in, the number of media by what was done with them out."""
    sweep = swept(context.get_remaining_time_in_millis() / 1000 - RESERVE)
    metrics.add_metric("OldestUnsettledMedia", "Seconds", sweep.oldest)
    metrics.add_metric("MediaLifeUsed", "Percent", sweep.life_used)
    metrics.add_metric("UnsettledMedia", "Count", sweep.done["waits"] + sweep.done["queued"])
    metrics.add_metric("SweepCutShort", "Count", sweep.done["cut_short"])
    logger.info("swept", oldest=sweep.oldest, done=dict(sweep.done))
    return dict(sweep.done)
