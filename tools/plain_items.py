"""DynamoDB for tools that look at items of any kind: a patient client, and items as plain values."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config

from inbound.batches import pauses
from inbound.clients import CONNECTIONS
from inbound.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, WriteRequestTypeDef

Key = tuple[str, str]

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 8},
    max_pool_connections=CONNECTIONS,
)
_plain = TypeDeserializer().deserialize
_typed = TypeSerializer().serialize


def client() -> "DynamoDBClient":
    """Make a client for the deployment that `deployment.from_arguments` has found."""
    return boto3.client("dynamodb", config=_CONFIG)


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """Read an item: numbers are Decimal, bytes are boto3's Binary."""
    return {name: _plain(value) for name, value in item.items()}


def typed(item: Mapping[str, Any]) -> "dict[str, AttributeValueTypeDef]":
    """Write an item in DynamoDB's own form."""
    return {name: _typed(value) for name, value in item.items()}


def typed_key(key: Key) -> "dict[str, AttributeValueTypeDef]":
    """Write a key (pk, sk) in DynamoDB's own form."""
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def projection(names: Sequence[str]) -> dict[str, Any]:
    """Ask for these attributes only; through placeholders, for some are reserved words."""
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in names),
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
    }


def write_batch(dynamodb: "DynamoDBClient", table: str, requests: "Sequence[WriteRequestTypeDef]") -> None:
    """Put or delete up to 25 items. Raises `StoreUnavailable` when DynamoDB goes on leaving some unprocessed."""
    left: Mapping[str, Any] = {table: requests}
    for pause in pauses():
        left = dynamodb.batch_write_item(RequestItems=left)["UnprocessedItems"]
        if not left:
            return
        time.sleep(pause)
    raise StoreUnavailable("DynamoDB left items unprocessed.")
