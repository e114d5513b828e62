"""The media item of a message in the table: found with one query, begun, made ready, or failed.

Each attempt takes a fence, and only the attempt that holds the newest fence may write the outcome.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pynamodb.connection.table import TableConnection
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from inbound.errors import InternalError
from inbound.media import key_part
from inbound.messages import Alias, Media, Message
from inbound.observability import logger
from media_proxy.cache import Stored
from media_proxy.retries import FAILED, FETCHING, READY, WAITING

# Between these sort keys lie alias, edits, tombstone, media and message; statuses lie behind.
FIRST, LAST = "ALIAS", "MESSAGE"
LEASE = 45  # seconds that an attempt has for itself
DAY = 24 * 3600


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
    """The table, as far as media are concerned."""

    def __init__(self, table: TableConnection, retention_days: int) -> None:
        self._table = table
        self._retention = retention_days * DAY

    def find(self, asked_id: str) -> Found | None:
        """Read a message and its media by id or by old id; None when there is none, or when it was erased."""
        items = self._partition(asked_id)
        if "ALIAS" in items and "MESSAGE" not in items:
            items = self._partition(Alias.from_raw_data(items["ALIAS"]).message_id)
        if "MESSAGE" not in items or "ERASED" in items:
            return None
        media = Media.from_raw_data(items["MEDIA"]) if "MEDIA" in items else None
        return Found(Message.from_raw_data(items["MESSAGE"]), media)

    def begin(self, found: Found, now: int, next_attempt_at: int) -> int | None:
        """Take the lease for an attempt; give its fence, or None when somebody else holds it.

        The next attempt is put ahead at once, so that a crash backs off as well.
        """
        free = Media.lease_until.does_not_exist() | (Media.lease_until < now)
        # What was read must still hold: another attempt may have made it ready since.
        unchanged = Media.fence == found.media.fence if found.media else Media.fence.does_not_exist()
        actions = [
            Media.status.set(FETCHING),
            Media.lease_until.set(now + LEASE),
            Media.next_attempt_at.set(next_attempt_at),
            Media.first_seen.set(Media.first_seen | now),
            Media.fence.add(1),
            Media.attempts.add(1),
            *_expiring_with(found.message),
        ]
        changed = self._update(found.message, actions, free & unchanged)
        return None if changed is None else int(changed.fence)

    def ready(self, found: Found, fence: int, stored: Stored, source: str, now: int) -> Media | None:
        """Publish a stored object; None when a later attempt has overtaken this one."""
        actions = [
            Media.status.set(READY),
            Media.s3_key.set(stored.key),
            Media.size.set(stored.size),
            Media.sha256.set(stored.sha256),
            Media.content_type.set(stored.content_type),
            Media.resolved_source.set(source),
            Media.cached_at.set(now),
            Media.expires_at.set(now + self._retention),
            Media.lease_until.remove(),
            Media.next_attempt_at.remove(),
            Media.error_code.remove(),
            Media.error_detail.remove(),
        ]
        media = self._update(found.message, actions, Media.fence == fence)
        if media is not None:
            self._settle(found.message)
        return media

    def failed(self, found: Found, fence: int, failure: Failure) -> None:
        """Note why an attempt failed; settled when there will be no next one."""
        settled = failure.next_attempt_at is None
        next_attempt = Media.next_attempt_at
        actions = [
            Media.status.set(FAILED if settled else WAITING),
            Media.error_code.set(failure.code),
            Media.error_detail.set(failure.detail),
            next_attempt.set(failure.next_attempt_at) if failure.next_attempt_at else next_attempt.remove(),
            Media.lease_until.remove(),
        ]
        mine = (Media.fence == fence) & (Media.status == FETCHING)
        if self._update(found.message, actions, mine) is not None and settled:
            self._settle(found.message)

    def _partition(self, asked_id: str) -> dict[str, dict[str, Any]]:
        """Read what is known of a message id: one query. Items by sort key."""
        try:
            answer = self._table.query(
                f"MSG#{key_part(asked_id)}",
                Message.sk.between(FIRST, LAST),
                # A view or a job may follow the webhook's answer within milliseconds.
                consistent_read=True,
            )
        except PynamoDBException as error:
            raise InternalError("Reading the table failed.") from error
        return {item["sk"]["S"]: item for item in answer["Items"]}

    def _update(self, message: Message, actions: Sequence[Action], condition: Condition) -> Media | None:
        """Change the media item under a condition; give it as it is then, or None when the condition fails."""
        media = Media(f"MSG#{message.message_id}", "MEDIA")
        try:
            media.update(actions=list(actions), condition=condition)
        except PynamoDBException as error:
            if error.cause_response_code == "ConditionalCheckFailedException":
                return None
            raise InternalError("Writing the table failed.") from error
        return media

    def _settle(self, message: Message) -> None:
        """Take the message out of the index of unsettled media. The sweeper repairs what fails here."""
        try:
            message.update(actions=[Message.gsi2pk.remove(), Message.gsi2sk.remove()], condition=Message.pk.exists())
        except PynamoDBException as error:
            logger.warning("not_taken_out_of_unsettled", message_id=message.message_id, error=error.cause_response_code)


def _expiring_with(message: Message) -> list[Action]:
    return [] if message.ttl is None else [Media.ttl.set(message.ttl)]
