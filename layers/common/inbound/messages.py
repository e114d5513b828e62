"""The table's items. Every item of a message shares its partition: one Query reads what a request needs.

| item        | pk                      | sk                             |
|-------------|-------------------------|--------------------------------|
| Message     | MSG#<message_id>        | MESSAGE                        |
| Media       | MSG#<message_id>        | MEDIA                          |
| Alias       | MSG#<old id>            | ALIAS                          |
| Erased      | MSG#<message_id>        | ERASED                         |
| Status      | MSG#<message_id>        | STATUS#<status>#<recipient>    |
| Change      | MSG#<original id>       | EDIT#<ts>#<id>, REVOKE#<ts>#<id> |
| Conversation| CONV#<phone_number_id>  | <contact_id>                   |
| ContactAlias| CONV#<phone_number_id>  | ALIAS#<other contact_id>       |
| ContactAlias| ALIASES#<phone_number_id> | <contact_id>                 |
| Event       | EVENT#<digest>          | EVENT                          |
"""

import time
from collections.abc import Sequence
from typing import Any, cast

from pynamodb.attributes import (
    BinaryAttribute,
    BooleanAttribute,
    ListAttribute,
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.connection.table import TableConnection
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection
from pynamodb.models import Model

from inbound.batches import chunks, in_parallel, pauses
from inbound.clients import CONNECTIONS
from inbound.errors import StoreUnavailable

Key = tuple[str, str]
Serialized = dict[str, dict[str, Any]]

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
BATCH_GET = 100


class UnsettledIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]  # PynamoDB annotates all but this
    """GSI2: messages whose media is not settled, in 32 partitions, oldest first."""

    class Meta:
        """PynamoDB's settings."""

        index_name = "GSI2"
        projection = KeysOnlyProjection()

    gsi2pk = UnicodeAttribute(hash_key=True)
    gsi2sk = UnicodeAttribute(range_key=True)


class ListingIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]  # as above
    """GSI1: what is listed, by time.

    | listing                                | entries                | of what            |
    |----------------------------------------|------------------------|--------------------|
    | HEADS#<phone_number_id>                | <ts>#<contact_id>      | conversations      |
    | CONV#<phone_number_id>#<contact_id>    | <ts>#<message_id>      | messages           |
    | CHANGES#<phone_number_id>#<contact_id> | <ts>#<id of the change>| edits, deletions   |
    | EVENTS#<app_id>                        | <received>             | events             |
    """

    class Meta:
        """PynamoDB's settings."""

        index_name = "GSI1"
        projection = KeysOnlyProjection()

    gsi1pk = UnicodeAttribute(hash_key=True)
    gsi1sk = UnicodeAttribute(range_key=True)


class Item(Model):
    """What all items have: the keys, the keys of both indexes, and the time to live (Unix seconds)."""

    class Meta:
        """PynamoDB's settings; its own defaults wait 30 s four times, longer than the function lives."""

        table_name = ""
        connect_timeout_seconds = 1
        read_timeout_seconds = 3
        max_retry_attempts = 2
        max_pool_connections = CONNECTIONS

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    gsi1pk = UnicodeAttribute(null=True)
    gsi1sk = UnicodeAttribute(null=True)
    gsi2pk = UnicodeAttribute(null=True)
    gsi2sk = UnicodeAttribute(null=True)
    ttl = NumberAttribute(null=True)
    listing = ListingIndex()
    unsettled = UnsettledIndex()

    @classmethod
    def _get_connection(cls) -> TableConnection:
        """Share one connection: each Model class would else build its own client, at 90 ms each.

        https://github.com/pynamodb/PynamoDB/issues/1245
        """
        return super(Item, Item)._get_connection()

    @classmethod
    def connected(cls) -> TableConnection:
        """Give the connection with its client made.

        PynamoDB makes it without a lock (https://github.com/pynamodb/PynamoDB/issues/153): call this before there
        are threads.
        """
        connection = cls._get_connection()
        _ = connection.connection.client
        return connection


class Message(Item):
    """What Meta sent, and nothing else: writing it again changes nothing.

    `raw`, `contact`, `context`, `referral` and `errors` are Meta's JSON as text: as maps, a hostile depth or number
    would make DynamoDB refuse the item. `event` is there in what other systems hear of: no change, no part of another
    message, nothing imported.
    """

    event = UnicodeAttribute(null=True)
    message_id = UnicodeAttribute()
    wamid = UnicodeAttribute(null=True)
    phone_number_id = UnicodeAttribute()
    waba_id = UnicodeAttribute(null=True)
    direction = UnicodeAttribute()
    contact_id = UnicodeAttribute(null=True)
    contact_phone = UnicodeAttribute(null=True)
    contact_user_id = UnicodeAttribute(null=True)
    group_id = UnicodeAttribute(null=True)
    profile_name = UnicodeAttribute(null=True)
    contact = UnicodeAttribute(null=True)
    type = UnicodeAttribute()
    timestamp = NumberAttribute()
    text = UnicodeAttribute(null=True)
    caption = UnicodeAttribute(null=True)
    provider_media_id = UnicodeAttribute(null=True)
    media_url = UnicodeAttribute(null=True)
    media_kind = UnicodeAttribute(null=True)
    media_unavailable = UnicodeAttribute(null=True)
    error_code = UnicodeAttribute(null=True)
    mime_type = UnicodeAttribute(null=True)
    sha256 = UnicodeAttribute(null=True)
    filename = UnicodeAttribute(null=True)
    voice = BooleanAttribute(null=True)
    animated = BooleanAttribute(null=True)
    context = UnicodeAttribute(null=True)
    referral = UnicodeAttribute(null=True)
    errors = UnicodeAttribute(null=True)
    further_media: ListAttribute[Any] = ListAttribute(null=True)
    parent_id = UnicodeAttribute(null=True)
    history = BooleanAttribute(null=True)
    raw = UnicodeAttribute(null=True)
    raw_s3_key = UnicodeAttribute(null=True)
    text_s3_key = UnicodeAttribute(null=True)


class Media(Item):
    """The state of a message's media; written by the media proxy and its worker only.

    `event` is there while the media is settled, so that its coming is the moment when it settles. What identifies the
    message stands here once more, for an event is made of one item.
    """

    event = UnicodeAttribute(null=True)
    message_id = UnicodeAttribute(null=True)
    phone_number_id = UnicodeAttribute(null=True)
    contact_id = UnicodeAttribute(null=True)
    direction = UnicodeAttribute(null=True)
    timestamp = NumberAttribute(null=True)
    media_kind = UnicodeAttribute(null=True)
    status = UnicodeAttribute()
    lease_until = NumberAttribute(null=True)
    fence = NumberAttribute(default=0)
    attempts = NumberAttribute(default=0)
    first_seen = NumberAttribute(null=True)
    next_attempt_at = NumberAttribute(null=True)
    error_code = UnicodeAttribute(null=True)
    error_detail = UnicodeAttribute(null=True)
    s3_key = UnicodeAttribute(null=True)
    size = NumberAttribute(null=True)
    sha256 = UnicodeAttribute(null=True)
    content_type = UnicodeAttribute(null=True)
    resolved_source = UnicodeAttribute(null=True)
    cached_at = NumberAttribute(null=True)
    expires_at = NumberAttribute(null=True)


class Alias(Item):
    """An old id that stands for a message."""

    message_id = UnicodeAttribute()


class Erased(Item):
    """A tombstone: this message was erased and must not come back."""


class Status(Item):
    """How far an outbound message came; any order, and it may precede or lack the message."""

    message_id = UnicodeAttribute()
    phone_number_id = UnicodeAttribute()
    status = UnicodeAttribute()
    timestamp = NumberAttribute()
    errors = UnicodeAttribute(null=True)
    raw = UnicodeAttribute(null=True)
    raw_s3_key = UnicodeAttribute(null=True)


class Change(Item):
    """An edit or a deletion, noted at the message it changes; the edit itself is a message of its own."""

    message_id = UnicodeAttribute()
    phone_number_id = UnicodeAttribute()
    timestamp = NumberAttribute()


class Conversation(Item):
    """The head of a conversation: who, and the newest message."""

    phone_number_id = UnicodeAttribute()
    contact_id = UnicodeAttribute()
    name = UnicodeAttribute(null=True)
    timestamp = NumberAttribute()
    message_id = UnicodeAttribute()
    preview = UnicodeAttribute(null=True)


class ContactAlias(Item):
    """Another id under which the same person wrote: a phone number beside a business-scoped user id.

    There are two of them, one to find each id by the other: below CONV# the number's points to the user id's, below
    ALIASES# the user id's to the number's. WhatsApp gives a new user id to who changes the number, so there is one.
    """

    phone_number_id = UnicodeAttribute()
    contact_id = UnicodeAttribute()


class Event(Item):
    """What is not a message or status, or could not be stored as one: raw, so that nothing is lost."""

    app_id = UnicodeAttribute()
    received = NumberAttribute()
    reason = UnicodeAttribute()
    field = UnicodeAttribute(null=True)
    raw = UnicodeAttribute(null=True)
    raw_bytes = BinaryAttribute(legacy_encoding=False, null=True)
    raw_s3_key = UnicodeAttribute(null=True)


def connect(table_name: str) -> TableConnection:
    """Bind all items to a table and give the connection that they share."""
    Item.Meta.table_name = table_name
    return Item.connected()


def items_at(table: TableConnection, keys: Sequence[Key]) -> dict[Key, Serialized]:
    """Give the items at these keys (pk, sk), as far as there are any, in DynamoDB's own form.

    Raises PynamoDB's errors, or `StoreUnavailable` when DynamoDB goes on leaving keys unread.
    """
    read = in_parallel(lambda batch: _read_batch(table, batch), list(chunks(list(dict.fromkeys(keys)), BATCH_GET)))
    return {(item["pk"]["S"], item["sk"]["S"]): item for items in read for item in items}


def _read_batch(table: TableConnection, keys: Sequence[Key]) -> list[Serialized]:
    wanted = [{"pk": pk, "sk": sk} for pk, sk in keys]
    found: list[Serialized] = []
    for pause in pauses():
        answer = table.batch_get_item(keys=cast("Sequence[str]", wanted))  # annotated so; it takes mappings
        found += answer["Responses"].get(table.table_name, [])
        left = answer.get("UnprocessedKeys", {}).get(table.table_name, {}).get("Keys", [])
        wanted = [{name: value["S"] for name, value in key.items()} for key in left]
        if not wanted:
            return found
        time.sleep(pause)
    raise StoreUnavailable("DynamoDB left keys unprocessed.")


def size_of(item: Serialized) -> int:
    """Give the size of a serialized item in bytes, as DynamoDB counts it for strings, numbers and flags.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name) + _size_of_value(value) for name, value in item.items())


def _size_of_value(value: dict[str, Any]) -> int:
    (kind, content), *_ = value.items()
    if kind == "L":
        return 3 + sum(1 + _size_of_value(part) for part in content)
    return len(content.encode()) if isinstance(content, str) else len(content) if isinstance(content, bytes) else 1
