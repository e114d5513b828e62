"""POSTs of Meta, each for a number of its own, so that all that is stored of one can be told from the rest."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from inbound.batches import chunks
from inbound.media import message_id
from local import template as templates
from tests import builders
from tests.builders import Json, Sample
from tests.integration.system import System, later

Case = TypeVar("Case")
Outcome = TypeVar("Outcome")

AT_ONCE = 8
# What an event bears of the moment when it came.
OF_THE_MOMENT = frozenset({"received", "gsi1sk", "ttl"})
# What there is of a mixed POST: messages and a status, the conversation, the unknown field, raw JSON and caption.
OF_MIXED = {"MSG": 31, "CONV": 1, "EVENT": 1, "raw": 2}


@dataclass(frozen=True)
class Post:
    """A body, the messages in it, and the ids under which they and all that is about them are stored."""

    number: str
    body: Json
    messages: tuple[Json, ...]
    statuses: tuple[Json, ...] = ()
    since: float = field(default_factory=time.time)

    @property
    def ids(self) -> list[str]:
        return [message_id(self.number, one["id"]) for one in (*self.messages, *self.statuses)]

    @property
    def media_ids(self) -> set[str]:
        """Give the ids of the messages whose media are to be fetched."""
        with_media = [one for one in self.messages if one.get(one["type"], {}).get("id")]
        return {message_id(self.number, one["id"]) for one in with_media}

    def is_in(self, call: bytes) -> bool:
        """Tell whether an AWS call is about this POST."""
        return any(one.encode() in call for one in (self.number, *self.ids))


def mixed() -> Post:
    """Make a POST with one of each: many images, a text, stand-ins, a caption too large, a status, an unknown field."""
    number, sender = builders.any_phone_number_id(), builders.any_phone()
    messages = (
        *(builders.image_message(sender=sender) for _ in range(26)),
        builders.image_message(sender=sender, media={"caption": "x" * 360_000}),
        builders.text_message(sender=sender),
        builders.message("media_placeholder", sender=sender),
        builders.message("unsupported", sender=sender, errors=[{"code": 131051, "title": "Unsupported"}]),
    )
    statuses = (builders.status("read"),)
    known = builders.change_of(*messages, phone_number_id=number, statuses=statuses)
    unknown = {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT", "phone_number": number}}
    return Post(number, builders.envelope([known, unknown]), messages, statuses)


def stored_of(system: System, post: Post) -> dict[str, Any]:
    """Give all items and objects that there are of a POST, without the moment when it came."""
    items = [item for own_id in post.ids for item in system.items(f"MSG#{own_id}").values()]
    items += system.items(f"CONV#{post.number}").values()
    items += [event for event in system.events(since=post.since) if post.number in event.get("raw", "")]
    keys = [item[name] for item in items for name in ("raw_s3_key", "text_s3_key") if name in item]
    objects = {key: hashlib.sha256(system.object(key)).hexdigest() for key in keys}
    return {f"{item['pk']} {item['sk']}": _lasting(item) for item in items} | objects


def kinds(stored: Iterable[str]) -> Counter[str]:
    """Count what is stored: items by the first part of their key, objects by theirs."""
    return Counter(name.partition("#")[0].partition("/")[0] for name in stored)


def delete_messages(system: System, own_ids: Iterable[str]) -> None:
    """Delete messages, so that no sweep looks at them again."""
    keys = [{"pk": {"S": f"MSG#{own_id}"}, "sk": {"S": "MESSAGE"}} for own_id in own_ids]
    for batch in chunks(keys, 25):
        requests = [{"DeleteRequest": {"Key": key}} for key in batch]
        system.client("dynamodb").batch_write_item(RequestItems={system.stack.table_name: requests})


def compared(system: System, post: Post) -> str:
    """Say whether there is of a POST what there should be, and all that an undisturbed one leaves."""
    left = stored_of(system, post)
    unqueued = post.media_ids - set(system.jobs())
    answer = system.post(post.body)
    assert answer.status_code == 200, answer.text
    whole = stored_of(system, post)
    delete_messages(system, post.ids)
    if left == whole and kinds(left) == OF_MIXED and not unqueued:
        return "everything once, a job for each media"
    different = [name for name in {*left, *whole} if left.get(name) != whole.get(name)]
    return f"DIFFERENT: {sorted(different)[:5]}, {kinds(left)}, without a job: {sorted(unqueued)[:5]}"


def side_by_side(work: Callable[[Case], Outcome], cases: Sequence[Case], at_once: int = AT_ONCE) -> list[Outcome]:
    """Try cases at once: most of their time is the SDK's, which waits before it repeats a call."""
    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(work, cases))


def about(own_id: str) -> Callable[[bytes], bool]:
    """Give what tells whether an AWS call is about a message."""
    return lambda call: own_id.encode() in call


def let_time_pass(system: System, own_id: str) -> None:
    """Put a media item's times back, as if its lease were over and its next attempt due."""
    media = system.items(f"MSG#{own_id}").get("MEDIA", {})
    past = {name: later(-70) for name in ("lease_until", "next_attempt_at") if name in media}
    if past and media["status"] != "ready":
        system.change(own_id, "MEDIA", **past)


def is_whole(system: System, own_id: str, sample: Sample = builders.PHOTO) -> bool:
    """Tell whether a viewer gets the right bytes."""
    return system.bytes_of(own_id).content == sample.content


def _lasting(item: Json) -> Json:
    gone = OF_THE_MOMENT if item["sk"] == "EVENT" else frozenset()
    return {name: value for name, value in item.items() if name not in gone}


@contextmanager
def only_own_jobs(system: System) -> Iterator[None]:
    """Empty the queue before and after, so that no worker does the jobs of another test."""
    empty_queue(system)
    yield
    empty_queue(system)


def empty_queue(system: System) -> None:
    """Make the queue anew: SQS purges one only once a minute, and a thousand jobs take moto as long to hand out."""
    sqs, queue = system.client("sqs"), system.stack.queue_url
    sqs.delete_queue(QueueUrl=queue)
    attributes = templates.queue_attributes(system.stack.template, "FetchQueue")
    sqs.create_queue(QueueName=queue.rpartition("/")[2], Attributes=attributes)
