"""Records → DynamoDB, then jobs → SQS. Everything is stored and queued, or `StoreUnavailable` says that it is not.

One bad item never poisons its batch: what DynamoDB refuses for good goes, raw, to an event item.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection.table import TableConnection
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition

from inbound import clients, messages
from inbound.batches import chunks, in_parallel, pauses
from inbound.errors import StoreUnavailable
from inbound.jobs import FetchQueue
from inbound.media import digest, object_key
from inbound.observability import logger, metrics
from webhook import payload
from webhook.payload import Delivery, Record

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Serialized = dict[str, dict[str, Any]]
Stored = dict[messages.Key, Serialized]

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
BATCH_WRITE = 25
# DynamoDB refuses items over 400 KB; the room left is for what counts but is not counted here.
LARGEST_ITEM = 350_000
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
        self, table: TableConnection, *, bucket: str, queue_url: str, s3: "Callable[[], S3Client]" = clients.s3
    ) -> None:
        self._table = table
        self._bucket = bucket
        self._queue = FetchQueue(queue_url)
        self._s3 = s3

    def accept(self, records: Iterable[Record], delivery: Delivery) -> None:
        """Store the records, then queue one fetch job for each message whose media is unsettled.

        What was erased stays erased.

        Raises `StoreUnavailable` when something could not be stored or queued; doing all of it again is harmless.
        """
        merged = payload.merged(records)
        stored = self._read([*payload.tombstones(merged), *(head.key for head in payload.heads(merged))])
        kept = payload.not_erased(merged, stored)
        refused = self._store([*kept, *_moved_heads(payload.heads(kept), stored)])
        self._keep_refused(refused, delivery)
        lost = {record.key for record in refused}
        self._queue.send([r.attributes["message_id"] for r in kept if r.is_unsettled and r.key not in lost])

    # --- storing -----------------------------------------------------------------------------------------------

    def _store(self, records: Sequence[Record]) -> list[Record]:
        """Write records; give those that DynamoDB refuses for good."""
        pairs = [(record, self._fitted(record)) for record in records]
        plain = [pair for pair in pairs if pair[0].write == "put"]
        careful = [[pair] for pair in pairs if pair[0].write != "put"]
        refused = in_parallel(self._write, [*chunks(plain, BATCH_WRITE), *careful])
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
        for pause in pauses():
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

    def _read(self, keys: Sequence[messages.Key]) -> Stored:
        """Read the items at these keys, as far as there are any."""
        with _store_faults():
            return messages.items_at(self._table, keys)


def _moved_heads(heads: Iterable[Record], stored: Stored) -> list[Record]:
    """Keep the heads that this delivery moves beyond the stored ones. A race may leave one a moment old."""
    known = {key: messages.Conversation.from_raw_data(item).attribute_values for key, item in stored.items()}
    moved = (payload.advanced(head, known.get(head.key)) for head in heads)
    return [head for head in moved if head is not None]


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
