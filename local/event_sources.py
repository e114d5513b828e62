"""What calls functions besides the API: a worker for each queue, and a scheduler.

As in AWS: Lambda's event source mapping hands out the messages of a queue in batches, and deletes what the function
has done; EventBridge calls a function again and again. Unlike AWS, a schedule's failed run is not repeated: the next
one comes soon enough.
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html
"""

from __future__ import annotations

import base64
import logging
import math
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local import template as templates
from local.cloud import Access
from local.environments import InvocationError
from local.gateway import Invoker
from local.template import QueueSource, Schedule, Template
from local.trouble import Trouble, kind_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

    from local.pipes import Relay

WAIT = 1
"""Seconds of a long poll. SQS allows 20, but who ends has to wait for it: a poll that is given up may still take
messages, and hide them for the whole visibility timeout."""
MOST = 10
"""Messages that SQS gives, or deletes, at once."""
PAUSE = 1.0
"""Seconds before the queue is asked again when it did not answer."""
GRACE = 3.0
"""Seconds to wait for the last polls, and for a schedule's run, when everything ends."""
ACCOUNT = "123456789012"

log = logging.getLogger(__name__)


@contextmanager
def running(template: Template, access: Access, functions: Invoker, relays: Sequence[Relay] = ()) -> Iterator[None]:
    """Hand messages to functions and call the scheduled ones, as the template says, and let pipes flow, until left.

    After that no message is taken any more; a batch in progress is ended by its function, or stays in the queue. An
    emulator that does not answer is asked again until it does. Raises `local.intrinsics.TemplateError`.
    """
    sqs, stopping = access.client("sqs"), threading.Event()
    sources: list[QueueWorker | Scheduler] = [
        *(QueueWorker(own, sqs, functions, access.region, stopping) for own in templates.queue_sources(template)),
        *(Scheduler(own, functions, access.region, stopping) for own in templates.schedules(template)),
    ]
    threads = [
        *(threading.Thread(target=source.run, daemon=True) for source in sources),
        *(threading.Thread(target=relay.run, args=(stopping,), daemon=True) for relay in relays),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        end = time.monotonic() + GRACE
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))


def background_functions(template: Template) -> set[str]:
    """Give the logical ids of the functions that queues and schedules call."""
    fed = {source.function for source in templates.queue_sources(template)}
    return fed | {schedule.function for schedule in templates.schedules(template)}


class QueueWorker:
    """Hands the messages of one queue to its function."""

    def __init__(
        self,
        source: QueueSource,
        sqs: SQSClient,
        functions: Invoker,
        region: str,
        stopping: threading.Event,
    ) -> None:
        """Prepare to work until `stopping` is set."""
        self._source = source
        self._sqs = sqs
        self._functions = functions
        self._region = region
        self._stopping = stopping
        self._slots = threading.Semaphore(source.concurrency)
        self._queue = Trouble(f"The queue of {source.function}")

    def run(self) -> None:
        """Work until told to stop; batches in progress then go on by themselves."""
        while not self._stopping.is_set():
            if self._slots.acquire(timeout=WAIT):
                self._hand_over(self._batch())

    def _hand_over(self, messages: list[MessageTypeDef]) -> None:
        if messages:
            threading.Thread(target=self._work, args=(messages,), daemon=True).start()
        else:
            self._slots.release()

    def _batch(self) -> list[MessageTypeDef]:
        """Wait for messages; then, within the batching window, for more of them."""
        size = self._source.batch_size
        messages = self._received(size)
        end = time.monotonic() + self._source.window
        while 0 < len(messages) < size and time.monotonic() < end and not self._stopping.is_set():
            messages += self._received(size - len(messages))
        return messages

    def _received(self, room: int) -> list[MessageTypeDef]:
        try:
            answer = self._sqs.receive_message(
                QueueUrl=self._source.queue_url,
                MaxNumberOfMessages=min(room, MOST),
                WaitTimeSeconds=WAIT,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except (BotoCoreError, ClientError) as error:
            self._queue.met(error)
            self._stopping.wait(PAUSE)
            return []
        self._queue.over()
        return answer.get("Messages", [])

    def _work(self, messages: list[MessageTypeDef]) -> None:
        try:
            self._delete(self._done(messages))
        finally:
            self._slots.release()

    def _done(self, messages: list[MessageTypeDef]) -> list[MessageTypeDef]:
        """Call the function; give the messages that need not come again."""
        records = [record_of(message, self._source.queue_arn, self._region) for message in messages]
        try:
            answer = self._functions.invoke(self._source.function, {"Records": records})
        except InvocationError as error:
            if not self._stopping.is_set():
                log.warning("%s failed on a batch of %d (%s): it comes again", *self._named(messages), kind_of(error))
            return []
        failed = failed_ids(answer, [message["MessageId"] for message in messages])
        wanted = failed if self._source.reports_failures else frozenset[str]()
        return [message for message in messages if message["MessageId"] not in wanted]

    def _delete(self, messages: list[MessageTypeDef]) -> None:
        for start in range(0, len(messages), MOST):
            part = messages[start : start + MOST]
            try:
                answer = self._sqs.delete_message_batch(
                    QueueUrl=self._source.queue_url,
                    Entries=[{"Id": str(n), "ReceiptHandle": own["ReceiptHandle"]} for n, own in enumerate(part)],
                )
            except (BotoCoreError, ClientError) as error:
                log.warning("%s did a batch of %d, but it comes again (%s)", *self._named(part), kind_of(error))
            else:
                for failure in answer.get("Failed", ()):
                    log.warning("%s did a message, but it comes again (%s)", self._source.function, failure["Code"])

    def _named(self, messages: Sequence[object]) -> tuple[str, int]:
        return self._source.function, len(messages)


class Scheduler:
    """Calls one function when it starts, and then once in each period, never twice at once."""

    def __init__(self, schedule: Schedule, functions: Invoker, region: str, stopping: threading.Event) -> None:
        """Prepare to call until `stopping` is set."""
        self._schedule = schedule
        self._functions = functions
        self._region = region
        self._stopping = stopping
        self._runs = Trouble(f"The schedule of {schedule.function}")

    def run(self) -> None:
        """Call until told to stop."""
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._call()
            due = next_run(due, self._schedule.period, time.monotonic())

    def _call(self) -> None:
        event = scheduled_event(self._schedule, self._region, datetime.now(UTC), str(uuid.uuid4()))
        try:
            self._functions.invoke(self._schedule.function, event)
        except InvocationError as error:
            if not self._stopping.is_set():
                self._runs.met(error)
        else:
            self._runs.over()


def record_of(message: MessageTypeDef, queue_arn: str, region: str) -> dict[str, Any]:
    """Give a message as Lambda puts it into its event.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
    """
    attributes = message.get("MessageAttributes", {})
    hashed = {"md5OfMessageAttributes": message["MD5OfMessageAttributes"]} if attributes else {}
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
        "md5OfBody": message["MD5OfBody"],
        **hashed,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    texts = {"stringValue": value["StringValue"]} if "StringValue" in value else {}
    binary = {"binaryValue": base64.b64encode(value["BinaryValue"]).decode()} if "BinaryValue" in value else {}
    return {**texts, **binary, "stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}


def failed_ids(answer: Any, sent: Sequence[str]) -> frozenset[str]:
    """Give the ids of the messages that a function's answer reports as failed, of those that were sent.

    Nothing, an empty object, no list or an empty one is a success of all; what makes no sense is a failure of all.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#sqs-batchfailurereporting-syntax
    """
    if answer is None or (isinstance(answer, dict) and answer.get("batchItemFailures") is None):
        return frozenset()
    listed = answer["batchItemFailures"] if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        return frozenset(sent)
    named = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in listed]
    return frozenset(name for name in named if name) if all(name in sent for name in named) else frozenset(sent)


def scheduled_event(schedule: Schedule, region: str, now: datetime, event_id: str) -> Any:
    """Give the event of a schedule: its own input, or what EventBridge or EventBridge Scheduler makes.

    https://docs.aws.amazon.com/lambda/latest/dg/with-eventbridge-scheduler.html
    """
    if schedule.event is not None:
        return schedule.event
    is_rule = schedule.service == "events"
    resource = f"rule/{schedule.name}" if is_rule else f"schedule/default/{schedule.name}"
    return {
        "version": "0",
        "id": event_id,
        "detail-type": "Scheduled Event",
        "source": f"aws.{schedule.service}",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:{schedule.service}:{region}:{ACCOUNT}:{resource}"],
        "detail": {} if is_rule else "{}",
    }


def next_run(due: float, period: float, now: float) -> float:
    """Give when a schedule is due again, having been due at `due`: runs that were missed are left out."""
    return due + period * max(1, math.ceil((now - due) / period))
