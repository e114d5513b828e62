"""The table, as far as it is read here: listings by query, all else by key. Never a scan.

Everything raises `StoreUnavailable` when the table does not answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from pynamodb.connection.table import TableConnection
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition

from inbound.batches import in_parallel
from inbound.errors import StoreUnavailable
from inbound.media import key_part
from inbound.messages import (
    ContactAlias,
    Conversation,
    Item,
    Key,
    ListingIndex,
    Media,
    Message,
    Serialized,
    Status,
    items_at,
)
from inbox.entries import Entry

MESSAGE, MEDIA, ERASED, STATUS, ALIAS = "MESSAGE", "MEDIA", "ERASED", "STATUS#", "ALIAS"
MOST_CHANGES = 1000  # of which a page hears; nobody edits more often than that within days


class Found(NamedTuple):
    """A message and the state of its media, which is None before the first attempt."""

    message: Message
    media: Media | None


class Stored:
    """Items that were read, by key; what is not there was not found."""

    def __init__(self, items: dict[Key, Serialized]) -> None:
        self._items = items

    def message(self, message_id: str) -> Found | None:
        """Give a message, unless there is none or it was erased."""
        pk = f"MSG#{message_id}"
        if (pk, MESSAGE) not in self._items or (pk, ERASED) in self._items:
            return None
        media = self._items.get((pk, MEDIA))
        return Found(
            Message.from_raw_data(self._items[pk, MESSAGE]), None if media is None else Media.from_raw_data(media)
        )

    def statuses(self, message_id: str) -> list[Status]:
        """Give the statuses of a message."""
        pk = f"MSG#{message_id}"
        mine = (item for key, item in self._items.items() if key[0] == pk and key[1].startswith(STATUS))
        return [Status.from_raw_data(item) for item in mine]

    def head(self, number: str, contact: str) -> Conversation | None:
        """Give the head of a conversation."""
        item = self._items.get(head_key(number, contact))
        return None if item is None else Conversation.from_raw_data(item)

    def link(self, key: Key) -> str | None:
        """Give the contact that an alias points to."""
        item = self._items.get(key)
        return None if item is None else ContactAlias.from_raw_data(item).contact_id

    def meant(self, asked_id: str) -> str:
        """Give the message that an old id stands for; any other id stands for itself."""
        pk = f"MSG#{key_part(asked_id)}"
        is_old = (pk, ALIAS) in self._items and (pk, MESSAGE) not in self._items
        return self._items[pk, ALIAS]["message_id"]["S"] if is_old else asked_id

    def entries(self, message_id: str) -> list[Entry]:
        """Give all that stands beside a message as entries, whose place is what follows the kind of the item."""
        pk = f"MSG#{message_id}"
        return [Entry(key[1].partition("#")[2], key) for key in self._items if key[0] == pk]


class Records:
    """The table."""

    def __init__(self, table: TableConnection) -> None:
        self._table = table

    def at(self, keys: Iterable[Key]) -> Stored:
        """Read the items at these keys."""
        with _store_faults():
            return Stored(items_at(self._table, list(keys)))

    def partition(self, message_id: str) -> Stored:
        """Read all that is known of a message."""
        return Stored(dict(self._query(f"MSG#{key_part(message_id)}", consistent_read=True)))

    def statuses(self, message_ids: Sequence[str]) -> Stored:
        """Read the statuses of messages whose recipients are not known: a query each."""
        begins = Status.sk.startswith(STATUS)
        read = in_parallel(lambda one: list(self._query(f"MSG#{one}", begins)), message_ids)
        return Stored({key: item for items in read for key, item in items})

    def newest(self, listing: str, before: str | None, limit: int) -> list[Entry]:
        """Give entries of a listing, newest first: so many, those before a place."""
        return self._listed(listing, None if before is None else Item.gsi1sk < before, limit, forward=False)

    def after(self, listing: str, place: str, limit: int) -> list[Entry]:
        """Give entries of a listing that come after a place, oldest first: so many."""
        return self._listed(listing, Item.gsi1sk > place, limit, forward=True)

    def between(self, listing: str, first: str, last: str) -> list[Entry]:
        """Give the newest entries of a listing from one place to another."""
        return self._listed(listing, Item.gsi1sk.between(first, last), MOST_CHANGES, forward=False)

    def _listed(self, listing: str, condition: Condition | None, limit: int, *, forward: bool) -> list[Entry]:
        index = ListingIndex.Meta.index_name
        listed = self._query(listing, condition, index_name=index, limit=limit, scan_index_forward=forward)
        return [Entry(item["gsi1sk"]["S"], key) for key, item in islice(listed, limit)]

    def _query(self, pk: str, condition: Condition | None = None, **options: Any) -> Iterator[tuple[Key, Serialized]]:
        """Read the items of a partition; where DynamoDB ends in the middle, go on only if more are wanted."""
        start = None
        with _store_faults():
            while True:
                answer = self._table.query(pk, condition, exclusive_start_key=start, **options)
                yield from (((item["pk"]["S"], item["sk"]["S"]), item) for item in answer["Items"])
                start = answer.get("LastEvaluatedKey")
                if not start:
                    return


def head_key(number: str, contact: str) -> Key:
    """Give the key of a conversation's head."""
    return f"CONV#{key_part(number)}", contact


def message_keys(message_ids: Iterable[str]) -> list[Key]:
    """Give the keys of all that makes a message as it is shown: itself, its media, its tombstone."""
    return [(f"MSG#{one}", sk) for one in message_ids for sk in (MESSAGE, MEDIA, ERASED)]


@contextmanager
def _store_faults() -> Iterator[None]:
    try:
        yield
    except PynamoDBException as error:
        raise StoreUnavailable("The table does not answer.") from error
