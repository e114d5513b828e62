"""What the simulator page shows of the table: the newest messages of a number, and what is stored of one.

One query for the conversations, one for each of them, and BatchGetItem for the messages and the state of their
media: the way any reader of the table's index would go.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer

from inbound.media import key_part

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
INDEX = "GSI1"
BATCH = 100
"""Keys in one BatchGetItem."""

_READER = TypeDeserializer()
_SHOWN = (
    "message_id",
    "type",
    "timestamp",
    "direction",
    "profile_name",
    "text",
    "caption",
    "filename",
    "mime_type",
    "voice",
    "animated",
    "provider_media_id",
    "media_unavailable",
)
_MEDIA_SHOWN = ("status", "size", "content_type", "error_code", "attempts", "next_attempt_at", "resolved_source")


def newest_messages(dynamodb: "DynamoDBClient", table: str, phone_number_id: str, limit: int = 50) -> list[Item]:
    """Give the newest messages of a number, newest first: plain values, with the state of `media`."""
    number = key_part(phone_number_id)
    heads = _query(dynamodb, table, f"HEADS#{number}", limit)
    contacts = [head["gsi1sk"].partition("#")[2] for head in heads]
    keys = [key for contact in contacts for key in _query(dynamodb, table, f"CONV#{number}#{contact}", limit)]
    newest = sorted(keys, key=lambda key: str(key["gsi1sk"]), reverse=True)[:limit]
    wanted = [{"pk": key["pk"], "sk": sk} for key in newest for sk in ("MESSAGE", "MEDIA")]
    items = {(item["pk"], item["sk"]): item for item in _items(dynamodb, table, wanted)}
    return [_shown(items, key["pk"]) for key in newest if (key["pk"], "MESSAGE") in items]


def stored_items(dynamodb: "DynamoDBClient", table: str, own_ids: Iterable[str]) -> list[Item]:
    """Give all items of these messages, as they are: message, media, statuses, edits, deletions."""
    return [item for own_id in own_ids for item in _partition(dynamodb, table, f"MSG#{own_id}")]


def stored_events(dynamodb: "DynamoDBClient", table: str, app_id: str, start: float, end: float) -> list[Item]:
    """Give the event items (what no message is made of) of an app that came between two times, Unix seconds."""
    answer = dynamodb.query(
        TableName=table,
        IndexName=INDEX,
        KeyConditionExpression="gsi1pk = :partition AND gsi1sk BETWEEN :start AND :end",
        ExpressionAttributeValues={
            ":partition": {"S": f"EVENTS#{app_id}"},
            ":start": {"S": f"{int(start * 1000):013d}"},
            ":end": {"S": f"{int(end * 1000):013d}"},
        },
        Limit=BATCH,
    )
    keys = [{"pk": found["pk"]["S"], "sk": found["sk"]["S"]} for found in answer["Items"]]
    return list(_items(dynamodb, table, keys))


def _partition(dynamodb: "DynamoDBClient", table: str, pk: str) -> list[Item]:
    answer = dynamodb.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
        Limit=BATCH,
    )
    return [_plain(item) for item in answer["Items"]]


def _shown(items: Mapping[tuple[str, str], Item], pk: str) -> Item:
    media = items.get((pk, "MEDIA"), {})
    message = items[(pk, "MESSAGE")]
    shown: Item = {name: message[name] for name in _SHOWN if name in message}
    return shown | {"media": {name: media[name] for name in _MEDIA_SHOWN if name in media}}


def _query(dynamodb: "DynamoDBClient", table: str, partition: str, limit: int) -> list[Item]:
    answer = dynamodb.query(
        TableName=table,
        IndexName=INDEX,
        KeyConditionExpression="gsi1pk = :partition",
        ExpressionAttributeValues={":partition": {"S": partition}},
        ScanIndexForward=False,
        Limit=limit,
    )
    return [_plain(item) for item in answer["Items"]]


def _items(dynamodb: "DynamoDBClient", table: str, keys: Sequence[Item]) -> Iterator[Item]:
    pending: list[Mapping[str, Any]] = [{name: {"S": value} for name, value in key.items()} for key in keys]
    while pending:
        batch, pending = pending[:BATCH], pending[BATCH:]
        answer = dynamodb.batch_get_item(RequestItems={table: {"Keys": batch}})
        yield from map(_plain, answer["Responses"].get(table, ()))
        left = answer["UnprocessedKeys"].get(table)
        pending = [*(left["Keys"] if left else ()), *pending]


def _plain(item: Mapping[str, Any]) -> Item:
    return {
        name: value["B"].hex() if "B" in value else _number(_READER.deserialize(value)) for name, value in item.items()
    }


def _number(value: Any) -> Any:
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)
