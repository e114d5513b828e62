"""The media item of a message in the table: found with one query, begun, renewed, made ready, queued, or failed.

Each attempt takes a fence, and only the attempt that holds the newest fence may write the outcome. The first write
demands that the message is there and was not erased; all later ones demand the fence, which goes with the item.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pynamodb.connection.table import TableConnection
from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.transactions import TransactWrite

from inbound.batches import pauses
from inbound.errors import StoreUnavailable
from inbound.event_names import MEDIA_FAILED, MEDIA_READY
from inbound.media import key_part, link_keys
from inbound.media_states import FAILED, FETCHING, QUEUED, READY, WAITING
from inbound.messages import Alias, Erased, Media, Message, Serialized, items_at
from inbound.observability import logger
from media_proxy import lease
from media_proxy.cache import Stored

# Between these sort keys lie alias, edits, tombstone, media and message; statuses lie behind.
FIRST, LAST = "ALIAS", "MESSAGE"
DAY = 24 * 3600
NOBODY = "nobody"
# Whether a message may be seen; other ids under which its contact may be known to the caller.
MayOpen = Callable[[Message, Collection[str]], bool]
# What an event about media says of its message.
IDENTIFYING = ("message_id", "phone_number_id", "contact_id", "direction", "timestamp", "media_kind")
# Why DynamoDB refuses a transaction although it is well: somebody else was faster, or is at it right now.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
LOST = frozenset({"ConditionalCheckFailed", "TransactionConflict"})


@dataclass(frozen=True, slots=True)
class Found:
    """A message and the state of its media, as the table has them; `media` is None before the first attempt."""

    message: Message
    media: Media | None

    @property
    def attempts(self) -> int:
        """Give how many attempts there have been."""
        return int(self.media.attempts) if self.media else 0

    @property
    def fence(self) -> int:
        """Give the number of the newest attempt."""
        return int(self.media.fence) if self.media else 0

    @property
    def first_seen(self) -> int | None:
        """Give when the first attempt began (Unix seconds)."""
        return int(self.media.first_seen) if self.media and self.media.first_seen else None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, and when the next may be made (Unix seconds); None settles it for good."""

    code: str
    detail: str
    next_attempt_at: int | None


class MediaItems:
    """The table, as far as media are concerned. Everything raises `StoreUnavailable` when the table does not answer."""

    def __init__(self, table: TableConnection) -> None:
        self._table = table

    def find(self, asked_id: str, may_open: MayOpen = lambda *_: True, conversation: str | None = None) -> Found | None:
        """Read a message and its media by id or by old id; None when there is none, it was erased, or may not be seen.

        A hit by its id takes one read. All else takes two, as an old id does, and one more for who may open one
        `conversation`: from how long it takes nobody can tell what is unknown from what is not theirs.
        """
        items = self._partition(asked_id)
        found = _found(items, may_open)
        if found is None:
            items = self._partition(_meant(asked_id, items))
            same_person = self._also_known_as(conversation, items) if conversation is not None else frozenset()
            found = _found(items, may_open, same_person)
        return found

    def begin(self, found: Found, now: int, next_attempt_at: int) -> int | None:
        """Take the lease for an attempt; give its fence, or None when somebody else was faster or the message is gone.

        The next attempt is put ahead at once, so that a crash backs off as well.
        """
        free = Media.lease_until.does_not_exist() | (Media.lease_until < now)
        actions = [
            Media.status.set(FETCHING),
            Media.lease_until.set(now + lease.SECONDS),
            Media.next_attempt_at.set(next_attempt_at),
            Media.fence.add(1),
            Media.attempts.add(1),
        ]
        return found.fence + 1 if self._first_write(found, actions, free, now) else None

    def renew(self, message: Message, fence: int, now: int, next_attempt_at: int) -> bool:
        """Prolong a lease; tell whether it still holds."""
        actions = [Media.lease_until.set(now + lease.SECONDS), Media.next_attempt_at.set(next_attempt_at)]
        return self._update(message.message_id, actions, _mine(fence)) is not None

    def ready(
        self, message: Message, fence: int, stored: Stored, source: str, now: int, expires_at: int
    ) -> Media | None:
        """Publish a stored object; None when a later attempt has overtaken this one, or the message was erased."""
        actions = [
            Media.status.set(READY),
            Media.event.set(MEDIA_READY),
            Media.s3_key.set(stored.key),
            Media.size.set(stored.size),
            Media.sha256.set(stored.sha256),
            Media.content_type.set(stored.content_type),
            Media.resolved_source.set(source),
            Media.cached_at.set(now),
            Media.expires_at.set(expires_at),
            Media.lease_until.remove(),
            Media.next_attempt_at.remove(),
            Media.error_code.remove(),
            Media.error_detail.remove(),
        ]
        media = self._update(message.message_id, actions, Media.fence == fence)
        if media is not None:
            self.settle(message.message_id)
        return media

    def failed(self, message: Message, fence: int, failure: Failure) -> None:
        """Note why an attempt failed; settled when there will be no next one."""
        settled = failure.next_attempt_at is None
        next_attempt = Media.next_attempt_at
        actions = [
            Media.status.set(FAILED if settled else WAITING),
            Media.error_code.set(failure.code),
            Media.error_detail.set(failure.detail),
            next_attempt.set(failure.next_attempt_at) if failure.next_attempt_at else next_attempt.remove(),
            Media.lease_until.remove(),
            *([Media.event.set(MEDIA_FAILED)] if settled else []),
        ]
        if self._update(message.message_id, actions, _mine(fence)) is not None and settled:
            self.settle(message.message_id)

    def hand_over(self, message: Message, fence: int, next_attempt_at: int) -> None:
        """End an attempt that the worker shall make; it is queued again when it has not begun by `next_attempt_at`."""
        actions = [Media.status.set(QUEUED), Media.next_attempt_at.set(next_attempt_at), Media.lease_until.remove()]
        self._update(message.message_id, actions, _mine(fence))

    def queued(self, found: Found, now: int, next_attempt_at: int) -> bool:
        """Note that a job is queued for what is overdue; False when something has happened to it meanwhile."""
        actions = [Media.status.set(QUEUED), Media.next_attempt_at.set(next_attempt_at), Media.lease_until.remove()]
        seen = found.media.next_attempt_at if found.media else None
        same = Media.next_attempt_at.does_not_exist() if seen is None else Media.next_attempt_at == seen
        return self._first_write(found, actions, same, now)

    def given_up(self, found: Found, failure: Failure) -> bool:
        """Settle what nobody is fetching; False when something has happened to it meanwhile."""
        actions = [
            Media.status.set(FAILED),
            Media.event.set(MEDIA_FAILED),
            Media.error_code.set(failure.code),
            Media.error_detail.set(failure.detail),
            Media.next_attempt_at.remove(),
            Media.lease_until.remove(),
        ]
        idle = (Media.fence == found.fence) & (Media.status != READY)
        if self._update(found.message.message_id, actions, idle) is None:
            return False
        self.settle(found.message.message_id)
        return True

    def settle(self, message_id: str) -> None:
        """Take a message out of the index of unsettled media. The sweeper repairs what fails here."""
        message = Message(f"MSG#{message_id}", "MESSAGE")
        try:
            message.update(actions=[Message.gsi2pk.remove(), Message.gsi2sk.remove()], condition=Message.pk.exists())
        except PynamoDBException as error:
            logger.warning("not_taken_out_of_unsettled", message_id=message_id, error=error.cause_response_code)

    def _also_known_as(self, contact: str, items: Mapping[str, Serialized]) -> frozenset[str]:
        """Give the other ids of a contact of the message's number: some are known by phone and by user id."""
        number = items["MESSAGE"]["phone_number_id"]["S"] if "MESSAGE" in items else NOBODY
        with _store_faults():
            links = items_at(self._table, link_keys(number, contact))
        return frozenset(link["contact_id"]["S"] for link in links.values())

    def _partition(self, asked_id: str) -> dict[str, Serialized]:
        """Read what is known of a message id: one query. Items by sort key."""
        with _store_faults():
            answer = self._table.query(
                f"MSG#{key_part(asked_id)}",
                Message.sk.between(FIRST, LAST),
                # A view or a job may follow the webhook's answer within milliseconds.
                consistent_read=True,
            )
        return {item["sk"]["S"]: item for item in answer["Items"]}

    def _first_write(self, found: Found, actions: Sequence[Action], condition: Condition, now: int) -> bool:
        """Change the media item, which this may create, if it is as it was found and the message was not erased."""
        pk = found.message.pk
        # What was read must still hold: another attempt may have made it ready since.
        unchanged = Media.fence == found.fence if found.fence else Media.fence.does_not_exist() | (Media.fence == 0)
        more = [
            Media.first_seen.set(Media.first_seen | now),
            Media.event.remove(),
            *_identifying(found.message),
            *_expiring_with(found.message),
        ]
        try:
            with _store_faults(), TransactWrite(connection=self._table.connection) as transaction:
                transaction.condition_check(Message, pk, "MESSAGE", condition=Message.pk.exists())
                transaction.condition_check(Erased, pk, "ERASED", condition=Erased.pk.does_not_exist())
                transaction.update(Media(pk, "MEDIA"), actions=[*actions, *more], condition=condition & unchanged)
        except _Lost:
            return False
        return True

    def _update(self, message_id: str, actions: Sequence[Action], condition: Condition) -> Media | None:
        """Change the media item under a condition; give it as it is then, or None when the condition fails."""
        media = Media(f"MSG#{message_id}", "MEDIA")
        for pause in pauses():
            try:
                with _store_faults():
                    media.update(actions=list(actions), condition=condition)
            except _Lost:
                return None
            except _InConflict:
                time.sleep(pause)
            else:
                return media
        raise StoreUnavailable("Others go on writing the same item.")


def _meant(asked_id: str, items: Mapping[str, Serialized]) -> str:
    """Give the id that an old id stands for; any other stands for itself."""
    is_old = "ALIAS" in items and "MESSAGE" not in items
    return Alias.from_raw_data(items["ALIAS"]).message_id if is_old else asked_id


def _found(
    items: Mapping[str, Serialized], may_open: MayOpen, same_person: Collection[str] = frozenset()
) -> Found | None:
    """Give what a partition holds (items by sort key), unless it was erased or may not be seen."""
    if "MESSAGE" not in items or "ERASED" in items:
        return None
    message = Message.from_raw_data(items["MESSAGE"])
    media = Media.from_raw_data(items["MEDIA"]) if "MEDIA" in items else None
    return Found(message, media) if may_open(message, same_person) else None


class _Lost(Exception):
    """A condition does not hold (any more)."""


class _InConflict(Exception):
    """A transaction is writing the item right now: that of somebody who comes too late to begin an attempt."""


@contextmanager
def _store_faults() -> Iterator[None]:
    """Tell a condition that does not hold from a table that does not answer."""
    try:
        yield
    except TransactWriteError as error:
        codes = {reason.code for reason in error.cancellation_reasons if reason is not None}
        if codes and codes <= LOST:
            raise _Lost from error
        raise StoreUnavailable("Writing the table failed.") from error
    except PynamoDBException as error:
        if error.cause_response_code == "ConditionalCheckFailedException":
            raise _Lost from error
        if error.cause_response_code == "TransactionConflictException":
            raise _InConflict from error
        raise StoreUnavailable("The table does not answer.") from error


def _mine(fence: int) -> Condition:
    mine: Condition = (Media.fence == fence) & (Media.status == FETCHING)
    return mine


def _identifying(message: Message) -> list[Action]:
    values = {name: getattr(message, name) for name in IDENTIFYING}
    return [getattr(Media, name).set(value) for name, value in values.items() if value is not None]


def _expiring_with(message: Message) -> list[Action]:
    return [] if message.ttl is None else [Media.ttl.set(message.ttl)]
