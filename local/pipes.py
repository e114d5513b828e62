"""EventBridge's pipes on a laptop: what changes in a table → what a filter lets pass → events on a bus.

Filter and form of the events are the template's own. What this reader of patterns and input templates does not know,
it refuses, like all of the local run.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-dynamodb.html
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from inbound.batches import chunks
from local import template as templates
from local.intrinsics import TemplateError
from local.trouble import Trouble

if TYPE_CHECKING:
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_events import EventBridgeClient

    from local.cloud import Access
    from local.template import Pipe, Template

PAUSE = 0.5
"""Seconds between two looks at a stream in which nothing was new."""
MOST = 100
"""Records that are read at once."""
PACE = 0.05
"""Seconds between two batches of events: after a POST of a thousand messages, the handlers need the processor more."""
HEARD = 500
"""Events that are remembered for the simulator page."""
LOST_PLACE = frozenset({"ExpiredIteratorException", "ResourceNotFoundException", "TrimmedDataAccessException"})

Record = Mapping[str, Any]
"""A record of a stream: eventName, and under dynamodb the Keys, NewImage and OldImage in DynamoDB's typed form."""
Entry = Mapping[str, str]
"""An entry of PutEvents."""
Event = dict[str, Any]
"""An event as it reaches a target of the bus."""

log = logging.getLogger(__name__)

_VARIABLE = re.compile(r"<(\$[^>]*)>")


# --- what passes, and what becomes of it: pure -----------------------------------------------------------------


def passes(pipe: Pipe, record: Record) -> bool:
    """Tell whether a filter of the pipe fits. Raises `TemplateError` for a rule that is not known here."""
    return any(fits(pattern, record) for pattern in pipe.patterns)


def fits(pattern: Mapping[str, Any], value: Any) -> bool:
    """Tell whether an event pattern fits: each of its leaves holds a rule that does.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html
    """
    for name, inner in pattern.items():
        found = value.get(name) if isinstance(value, Mapping) else None
        if not (fits(inner, found) if isinstance(inner, Mapping) else any(_follows(found, rule) for rule in inner)):
            return False
    return True


def _follows(value: Any, rule: Any) -> bool:
    if isinstance(rule, str):
        return isinstance(value, str) and value == rule
    if rule in ({"exists": True}, {"exists": False}):
        return (value is not None) is rule["exists"]
    raise TemplateError(f"the local run does not know the rule {rule!r} of an event pattern")


def entry(pipe: Pipe, record: Record) -> Entry:
    """Give the entry of PutEvents that a record becomes.

    What is missing is an empty text, and nothing is escaped, as in a pipe.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-input-transformation.html
    """
    dynamic = pipe.detail_type.startswith("$")
    return {
        "EventBusName": pipe.bus,
        "Source": pipe.source,
        "DetailType": at(pipe.detail_type, record) if dynamic else pipe.detail_type,
        "Detail": _VARIABLE.sub(lambda match: at(match[1], record), pipe.input_template),
    }


def at(path: str, record: Record) -> str:
    """Give the text at a JSON path (`$.a.b`), or an empty one."""
    value: Any = record
    for name in path.removeprefix("$.").split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


# --- from the stream to the bus --------------------------------------------------------------------------------


class Relay:
    """One pipe. It remembers its place in the stream while it does not run, and the newest events that it sent."""

    def __init__(self, pipe: Pipe, access: Access) -> None:
        self.heard: deque[Event] = deque(maxlen=HEARD)
        self._pipe = pipe
        self._region = access.region
        self._bus: EventBridgeClient = access.client("events")
        self._stream = _Stream(access.client("dynamodbstreams"), pipe)
        self._trouble = Trouble("The pipe to the event bus")

    def run(self, stopping: threading.Event) -> None:
        """Read the stream and put events on the bus until told to stop. What is not put yet is tried again for ever."""
        while not stopping.is_set():
            try:
                more = self._pass_on(stopping)
            except (BotoCoreError, ClientError) as error:
                self._trouble.met(error)
                more = False
            else:
                self._trouble.over()
            if not more:
                stopping.wait(PAUSE)

    def _pass_on(self, stopping: threading.Event) -> bool:
        """Bring what is new from each shard to the bus; tell whether there may be more already."""
        more = False
        for shard in self._stream.shards():
            records, place = self._stream.read(shard)
            entries = [entry(self._pipe, record) for record in records if passes(self._pipe, record)]
            if not self._deliver(entries, stopping):
                return False
            self._stream.go_on(shard, place)
            more = more or len(records) == MOST
        return more

    def _deliver(self, entries: Sequence[Entry], stopping: threading.Event) -> bool:
        """Put events on the bus; tell whether all are there, for it is given up only when told to stop."""
        for batch in chunks(entries, self._pipe.batch_size):
            left = batch
            while left:
                if stopping.is_set():
                    return False
                left = self._put(left)
                stopping.wait(PAUSE if left else PACE)
        return True

    def _put(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Put events on the bus; give those that it did not take."""
        results = self._bus.put_events(Entries=entries)["Entries"]  # type: ignore[arg-type]  # they are dictionaries
        left = []
        for own, result in zip(entries, results, strict=True):
            if "EventId" in result:
                self.heard.append(event_of(own, result["EventId"], self._region, datetime.now(UTC)))
            elif result.get("ErrorCode") == "MalformedDetail":
                log.warning("An event was given up: its detail is no JSON object")
            else:
                left.append(own)
        return left


class _Stream:
    """The stream of a table, read from where the pipe says; all its shards, and those that come later."""

    def __init__(self, client: DynamoDBStreamsClient, pipe: Pipe) -> None:
        self._client = client
        self._pipe = pipe
        self._places: dict[str, str] = {}
        self._known: set[str] = set()

    def shards(self) -> list[str]:
        """Give the shards that are not read to their end. Raises botocore's errors."""
        if not self._places:
            self._find_shards()
        return list(self._places)

    def read(self, shard: str) -> tuple[Sequence[Record], str | None]:
        """Give the next records of a shard, and the place behind them. Raises botocore's errors."""
        try:
            answer = self._client.get_records(ShardIterator=self._places[shard], Limit=MOST)
        except ClientError as error:
            if error.response["Error"]["Code"] in LOST_PLACE:
                self._places.clear()
                self._known.clear()
            raise
        return answer["Records"], answer.get("NextShardIterator")

    def go_on(self, shard: str, place: str | None) -> None:
        """Leave behind what was read of a shard; None is its end."""
        if place is None:
            del self._places[shard]
        else:
            self._places[shard] = place

    def _find_shards(self) -> None:
        stream = self._client.describe_stream(StreamArn=self._pipe.stream_arn)["StreamDescription"]
        for shard in (own["ShardId"] for own in stream["Shards"] if own["ShardId"] not in self._known):
            # A shard that follows another one is new: it is read from its beginning.
            position = "TRIM_HORIZON" if self._known else self._pipe.position
            place = self._client.get_shard_iterator(
                StreamArn=self._pipe.stream_arn,
                ShardId=shard,
                ShardIteratorType=position,  # type: ignore[arg-type]  # one of two words, by the template
            )
            self._places[shard] = place["ShardIterator"]
        self._known |= self._places.keys()


def event_of(own: Entry, event_id: str, region: str, now: datetime) -> Event:
    """Give an event as rules and targets see it.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
    """
    return {
        "version": "0",
        "id": event_id,
        "detail-type": own["DetailType"],
        "source": own["Source"],
        "account": "123456789012",
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [],
        "detail": json.loads(own["Detail"]),
    }


def relays(template: Template, access: Access) -> tuple[Relay, ...]:
    """Make the pipes of the template. Raises `TemplateError` for what the local run does not know."""
    return tuple(Relay(pipe, access) for pipe in templates.pipes(template))
