"""The table, as far as a backfill reads and writes it: messages under the intake's conditions, and old ids."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pynamodb.exceptions import PutError
from pynamodb.expressions.condition import Condition

from inbound.batches import in_parallel
from inbound.media import key_part
from inbound.media_states import FAILED, READY, servable
from inbound.messages import Alias, Key, Media, items_at
from inbound.observability import metrics
from tools.backfill_plan import Decision, Known, Stored, without_alias_race
from tools.deployment import Deployment
from tools.legacy_rows import APP, Legacy
from webhook.intake import Intake
from webhook.payload import ERASED, Delivery

MESSAGE, MEDIA, ALIAS = "MESSAGE", "MEDIA", "ALIAS"
FREE: Condition = Alias.pk.does_not_exist()


class BackfillTable:
    """A deployment's table. Every method raises PynamoDB's and botocore's errors, and `StoreUnavailable`."""

    def __init__(self, deployment: Deployment) -> None:
        self._table = deployment.connect()
        self._retention_days = deployment.retention_days
        self._intake = Intake(
            self._table,
            bucket=deployment.bucket_name,
            queue_url=deployment.queue_url,
            s3=lambda: deployment.client("s3"),
        )

    def known(self, rows: Sequence[Legacy], now: int) -> Known:
        """Read what the table has of these messages and old ids; media items only of messages that it has."""
        ids = [row.message_id for row in rows]
        old_ids = [row.old_id for row in rows if row.old_id is not None]
        keys = [(_partition(own_id), sk) for own_id in ids for sk in (MESSAGE, ERASED)]
        items = items_at(self._table, [*keys, *((_partition(old_id), ALIAS) for old_id in old_ids)])
        stored = [own_id for own_id in ids if (_partition(own_id), MESSAGE) in items]
        items |= items_at(self._table, [(_partition(own_id), MEDIA) for own_id in stored])
        found = {own_id: _stored(own_id, items, now) for own_id in ids}
        aliases = {old_id: items.get((_partition(old_id), ALIAS)) for old_id in old_ids}
        return Known(
            {own_id: one for own_id, one in found.items() if one is not None},
            {old_id: item["message_id"]["S"] for old_id, item in aliases.items() if item is not None},
        )

    def write(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Store the messages, then let their old ids point to them; give the decisions as they came true."""
        records = [record for decision in decisions for record in decision.records]
        self._intake.accept(records, Delivery(b"", APP, time.time_ns() // 1_000_000, self._retention_days))
        metrics.clear_metrics()  # they are the webhook's, and there is nobody here to publish them
        return in_parallel(self._aliased, decisions)

    def _aliased(self, decision: Decision) -> Decision:
        """Write the alias of a message, unless somebody else has taken the old id since it was read."""
        legacy = decision.legacy
        if decision.alias != "made" or legacy.old_id is None:
            return decision
        alias = Alias(_partition(legacy.old_id), ALIAS, message_id=legacy.message_id, ttl=legacy.ttl)
        try:
            alias.save(condition=FREE)
        except PutError as error:
            if error.cause_response_code != "ConditionalCheckFailedException":
                raise
            return without_alias_race(decision, Alias.get(alias.pk, ALIAS, consistent_read=True).message_id)
        return decision


def _partition(any_id: str) -> str:
    return f"MSG#{key_part(any_id)}"


def _stored(own_id: str, items: dict[Key, dict[str, Any]], now: int) -> Stored | None:
    partition = _partition(own_id)
    erased = (partition, ERASED) in items
    message = items.get((partition, MESSAGE))
    if message is None:
        return Stored(erased=True) if erased else None
    media = items.get((partition, MEDIA))
    return Stored("provider_media_id" in message, _state(Media.from_raw_data(media), now) if media else None, erased)


def _state(media: Media, now: int) -> Literal["cached", "failed"] | None:
    if media.status == READY:
        return "cached" if servable(media, now) else None
    return "failed" if media.status == FAILED else None


def together(ours: Known, theirs: Iterable[Known]) -> Known:
    """Add what else is known to what the table knows."""
    for other in theirs:
        for own_id, one in other.messages.items():
            stored = ours.messages.get(own_id, Stored())
            has_media_id = stored.has_media_id or one.has_media_id
            ours.messages[own_id] = stored._replace(has_media_id=has_media_id, earlier_row=True)
        ours.aliases = {**other.aliases, **ours.aliases}
    return ours
