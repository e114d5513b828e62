"""Records → DynamoDB, then jobs → SQS. Everything is stored and queued, or `StoreUnavailable` says that it is not.

One bad item never poisons its batch: what DynamoDB refuses for good goes, raw, to an event item.
"""

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection.table import TableConnection
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition

from inbound import clients, messages
from inbound.errors import StoreUnavailable
from inbound.media import digest, object_key
from inbound.observability import logger, metrics
from webhook import payload
from webhook.payload import Delivery, Record

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

Serialized = dict[str, dict[str, Any]]
Task = TypeVar("Task")
Result = TypeVar("Result")

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html and API_BatchGetItem.html
BATCH_WRITE, BATCH_GET = 25, 100
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
BATCH_SEND = 10
# DynamoDB refuses items over 400 KB; the room left is for what counts but is not counted here.
LARGEST_ITEM = 350_000
TRIES = 6
FIRST_PAUSE = 0.05  # seconds; doubles, with full jitter
# What sending the same again cannot cure.
REFUSALS = frozenset({"ValidationException", "SerializationException"})

MODELS: dict[payload.Model, type[messages.Item]] = {
    "Message": messages.Message,
    "Status": messages.Status,
    "Change": messages.Change,
    "Conversation": messages.Conversation,
    "ContactAlias": messages.ContactAlias,
    "Event": messages.Event,
}
CONDITIONS: dict[payload.Write, Condition | None] = {
    "put": None,
    "if_new": messages.Message.pk.does_not_exist(),
    "if_no_media_id": messages.Message.provider_media_id.does_not_exist(),
}


class _RefusedError(Exception):
    """DynamoDB refuses an item, now and for ever."""


class Intake:
    """Where a delivery goes: the table, the bucket for what is too large for it, and the queue of fetch jobs."""

    def __init__(
        self,
        table: TableConnection,
        *,
        bucket: str,
        queue_url: str,
        s3: "Callable[[], S3Client]" = clients.s3,
        sqs: "Callable[[], SQSClient]" = clients.sqs,
    ) -> None:
        self._table = table
        self._bucket = bucket
        self._queue_url = queue_url
        self._s3 = s3
        self._sqs = sqs

    def accept(self, records: Iterable[Record], delivery: Delivery) -> None:
        """Store the records, then queue one fetch job for each message with a media id.

        Raises `StoreUnavailable` when something could not be stored or queued; doing all of it again is harmless.
        """
        kept = payload.merged(records)
        refused = self._store([*kept, *self._moved_heads(payload.heads(kept))])
        self._keep_refused(refused, delivery)
        lost = {record.key for record in refused}
        self._queue([r.attributes["message_id"] for r in kept if r.has_media_id and r.key not in lost])

    # --- storing -----------------------------------------------------------------------------------------------

    def _store(self, records: Sequence[Record]) -> list[Record]:
        """Write records; give those that DynamoDB refuses for good."""
        pairs = [(record, self._fitted(record)) for record in records]
        plain = [pair for pair in pairs if pair[0].write == "put"]
        careful = [[pair] for pair in pairs if pair[0].write != "put"]
        refused = _in_parallel(self._write, [*_chunks(plain, BATCH_WRITE), *careful])
        return [record for some in refused for record in some]

    def _write(self, pairs: Sequence[tuple[Record, Serialized]]) -> list[Record]:
        """Write one record under its condition, or many without; give those that are refused."""
        try:
            if len(pairs) == 1 and pairs[0][0].write != "put":
                self._put(*pairs[0])
            else:
                self._put_batch([item for _, item in pairs])
        except _RefusedError:
            if len(pairs) == 1:
                return [pairs[0][0]]
            return [record for pair in pairs for record in self._write([pair])]
        return []

    def _put(self, record: Record, item: Serialized) -> None:
        condition = CONDITIONS[record.write]
        attributes = {name: value for name, value in item.items() if name not in {"pk", "sk"}}
        with _store_faults(harmless="ConditionalCheckFailedException"):
            self._table.put_item(*record.key, attributes=attributes, condition=condition)

    def _put_batch(self, items: list[Serialized]) -> None:
        """Write up to 25 items, asking again for those that DynamoDB left unprocessed."""
        for pause in _pauses():
            with _store_faults():
                answer = self._table.batch_write_item(put_items=items)
            left = answer.get("UnprocessedItems", {}).get(self._table.table_name, [])
            items = [request["PutRequest"]["Item"] for request in left]
            if not items:
                return
            time.sleep(pause)
        raise StoreUnavailable("DynamoDB left items unprocessed.")

    def _keep_refused(self, refused: Sequence[Record], delivery: Delivery) -> None:
        if not refused:
            return
        metrics.add_metric("ItemsRefused", "Count", len(refused))
        logger.error("items_refused", models=sorted({record.model for record in refused}), count=len(refused))
        self._store(payload.merged(payload.refused(record, delivery) for record in refused))

    # --- what is too large for the table -----------------------------------------------------------------------

    def _fitted(self, record: Record) -> Serialized:
        """Serialize a record; when it is too large for DynamoDB its raw JSON goes to S3, then its text."""
        item = _serialized(record.model, record.attributes)
        for slimmer, moved in payload.slimmed(record) if messages.size_of(item) > LARGEST_ITEM else ():
            if moved is not None:
                slimmer["raw_s3_key" if moved[0].startswith("raw") else "text_s3_key"] = self._offload(record, *moved)
            item = _serialized(record.model, slimmer)
            if messages.size_of(item) <= LARGEST_ITEM:
                break
        return item

    def _offload(self, record: Record, name: str, content: str | bytes) -> str:
        """Put an attribute into the bucket, under a key that a redelivery finds again."""
        item_id = record.attributes["pk"].rpartition("#")[2]
        key = object_key("raw", record.number or "events", item_id, f"{digest(record.attributes['sk'])}-{name}")
        with _store_faults():
            body = content if isinstance(content, bytes) else content.encode()
            self._s3().put_object(Bucket=self._bucket, Key=key, Body=body)
        return key

    # --- conversations -----------------------------------------------------------------------------------------

    def _moved_heads(self, heads: Sequence[Record]) -> list[Record]:
        """Read the stored heads and keep those that this delivery moves. A race may leave one a moment old."""
        read = _in_parallel(self._read_heads, list(_chunks(heads, BATCH_GET)))
        stored = {(head["pk"], head["sk"]): head for some in read for head in some}
        moved = (payload.advanced(head, stored.get(head.key)) for head in heads)
        return [head for head in moved if head is not None]

    def _read_heads(self, heads: Sequence[Record]) -> list[dict[str, Any]]:
        keys = [dict(zip(("pk", "sk"), head.key, strict=True)) for head in heads]
        found: list[dict[str, Any]] = []
        for pause in _pauses():
            with _store_faults():
                answer = self._table.batch_get_item(keys=cast("Sequence[str]", keys))  # annotated so; it takes mappings
            items = answer["Responses"].get(self._table.table_name, [])
            found += [messages.Conversation.from_raw_data(item).attribute_values for item in items]
            left = answer.get("UnprocessedKeys", {}).get(self._table.table_name, {}).get("Keys", [])
            keys = [{name: value["S"] for name, value in key.items()} for key in left]
            if not keys:
                return found
            time.sleep(pause)
        raise StoreUnavailable("DynamoDB left keys unprocessed.")

    # --- queueing ----------------------------------------------------------------------------------------------

    def _queue(self, message_ids: Sequence[str]) -> None:
        if message_ids:
            sqs = self._sqs()  # made here, before there are threads: making a client is not thread-safe
            _in_parallel(lambda batch: self._send(sqs, batch), list(_chunks(message_ids, BATCH_SEND)))

    def _send(self, sqs: "SQSClient", message_ids: Sequence[str]) -> None:
        """Send up to ten jobs, asking again for those that SQS failed."""
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": message_id, "MessageBody": json.dumps({"message_id": message_id})} for message_id in message_ids
        ]
        for pause in _pauses():
            with _store_faults():
                answer = sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
            failed = {failure["Id"] for failure in answer.get("Failed", [])}
            entries = [entry for entry in entries if entry["Id"] in failed]
            if not entries:
                return
            time.sleep(pause)
        raise StoreUnavailable("SQS failed some jobs.")


def _serialized(model: payload.Model, attributes: dict[str, Any]) -> Serialized:
    return MODELS[model](**attributes).serialize()


@contextmanager
def _store_faults(harmless: str | None = None) -> Iterator[None]:
    """Tell what sending again cannot cure (`_RefusedError`) from what it can (`StoreUnavailable`)."""
    try:
        yield
    except (PynamoDBException, BotoCoreError, ClientError) as error:
        code = _error_code(error)
        if harmless is not None and code == harmless:
            return
        if code in REFUSALS:
            raise _RefusedError from error
        logger.error("store_unavailable", error_code=code, error=type(error).__name__)
        raise StoreUnavailable(f"{code or type(error).__name__}.") from error


def _error_code(error: Exception) -> str | None:
    if isinstance(error, PynamoDBException):
        return error.cause_response_code
    return error.response["Error"].get("Code") if isinstance(error, ClientError) else None


def _in_parallel(work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    """Do the tasks, in threads when there are many; the first failure is raised after all have ended."""
    if len(tasks) <= 1:
        return [work(task) for task in tasks]
    with ThreadPoolExecutor(min(len(tasks), clients.CONNECTIONS)) as threads:
        return list(threads.map(work, tasks))


def _chunks(things: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    return (things[start : start + size] for start in range(0, len(things), size))


def _pauses() -> Iterator[float]:
    """Give the pause after each try, in seconds: exponential, with full jitter."""
    return (random.uniform(0, FIRST_PAUSE * 2**attempt) for attempt in range(TRIES))
