"""The story: who asks → which message → already here? → Graph → S3 → signed.

What decides stands in the modules beside it (sources, retries, access, signing); this one calls them in order.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from inbound import media as media_rules
from inbound.errors import MediaError, MessageNotFound, NoMedia
from inbound.messages import Media
from inbound.observability import logger, metrics
from media_proxy import content, retries, signing, sources
from media_proxy.deadline import Deadline
from media_proxy.media_items import LEASE, Failure, Found, MediaItems
from media_proxy.retries import READY

if TYPE_CHECKING:
    from inbound.credentials import SigningKey
    from inbound.messages import Message
    from media_proxy.access import Scope
    from media_proxy.fetch import Fetcher
    from media_proxy.signing import SignedUrl

ASK_AGAIN = 2  # seconds, while somebody else is fetching


@dataclass(frozen=True, slots=True)
class Desk:
    """What both the proxy and the worker need: the table, and what fetches on a miss (made only then)."""

    items: MediaItems
    fetcher: "Callable[[], Fetcher]"
    no_storage_numbers: tuple[str, ...] = ()
    clock: Callable[[], float] = time.time

    def now(self) -> int:
        """Give Unix seconds."""
        return int(self.clock())


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: for which id, with what scope; after the bytes failed (`retry`); to be saved (`download`)."""

    message_id: str
    scope: "Scope"
    retry: bool = False
    download: bool = False


class Ready(NamedTuple):
    """A signed URL, and what is known of the media."""

    signed: "SignedUrl"
    media: dict[str, Any]


class Pending(NamedTuple):
    """Not there yet: ask again after so many seconds."""

    retry_after: int
    media: dict[str, Any]


def deliver(
    asked: Asked, desk: Desk, edge_url: str, key: "Callable[[], SigningKey]", deadline: Deadline
) -> Ready | Pending:
    """Give a short-lived URL for the media of a message, asking Meta for the bytes only when they are not here.

    Raises `MediaError`, with the metadata that is known.
    """
    found = opened(asked, desk.items)
    try:
        media = found.media if found.media is not None and servable(found.media, desk.now()) else None
        if media is None or (asked.retry and not desk.fetcher().cache.exists(str(media.s3_key))):
            metrics.add_metric("CacheMiss", "Count", 1)
            media = ensure_cached(found, desk, deadline)
    except MediaError as error:
        error.media = None if isinstance(error, NoMedia) else described(found.message, found.media)
        raise
    about = described(found.message, media or found.media)
    if media is None:
        return Pending(ASK_AGAIN, about)
    metrics.add_metric("MediaServed", "Count", 1)
    return Ready(signed(found.message, media, asked, edge_url, key(), desk.now()), about)


def opened(asked: Asked, items: MediaItems) -> Found:
    """Find the message, if the caller may see it. Raises `MessageNotFound` for unknown and foreign ones alike."""
    found = items.find(asked.message_id)
    if found is None or not asked.scope.opens(
        phone_number_id=found.message.phone_number_id,
        contact_id=found.message.contact_id,
        message_ids=(asked.message_id, found.message.message_id),
    ):
        raise MessageNotFound("There is no such message.")
    return found


def servable(media: Media, now: int) -> bool:
    """Tell whether the object is there as far as the table knows: ready, and not past its lifecycle."""
    return media.status == READY and media.expires_at is not None and now < media.expires_at


def ensure_cached(found: Found, desk: Desk, deadline: Deadline) -> Media | None:
    """Bring the media into S3 unless that is known to fail; None while somebody else is bringing it.

    Raises the `MediaError` that stopped it, now or at the last attempt whose next one is not due yet.
    """
    now, message = desk.now(), found.message
    state = retries.outlook(found.media, now)
    if isinstance(state, MediaError):
        raise state
    if state is retries.BUSY:
        return None
    source = sources.resolve(message)
    # One attempt at a time: the lease. What belongs here as well, once there is a worker for it: waiting for the
    # holder, renewing the lease while reading, and handing what is large or late over to the queue.
    fence = desk.items.begin(found, now, now + LEASE + retries.backoff(found.attempts + 1, random.random()))
    if fence is None:
        return None
    try:
        stored = desk.fetcher().fetch(message, source, fence, deadline)
    except MediaError as error:
        desk.items.failed(found, fence, failure_of(error, found, desk))
        raise
    media = desk.items.ready(found, fence, stored, source.name, desk.now())
    if media is None:
        # A later attempt has overtaken this one; what it stored is the truth.
        desk.fetcher().cache.delete(stored.key)
        return None
    metrics.add_metric("MediaFetched", "Count", 1)
    logger.info("media_ready", message_id=message.message_id, source=source.name, size=stored.size)
    return media


def failure_of(error: MediaError, found: Found, desk: Desk) -> Failure:
    """Say what a failed attempt means for the next one, and log the give-up with all that Graph said."""
    now, attempts = desk.now(), found.attempts + 1
    kept = found.message.phone_number_id not in desk.no_storage_numbers
    # What comes with the chat history is older than its media id.
    sent = 0 if found.message.history else int(found.message.timestamp)
    deadline = retries.deadline_of(sent, found.first_seen, now, kept=kept)
    settled = retries.settles(error, now, deadline)
    wait = retries.wait_after(error, attempts, random.random())
    if settled:
        error.retryable, error.retry_after = False, None
    else:
        error.retry_after = wait
    logger.warning(
        "fetch_failed",
        message_id=found.message.message_id,
        code=error.code,
        settled=settled,
        attempt=attempts,
        http_status=error.http_status,
        graph_code=error.graph_code,
        graph_subcode=error.graph_subcode,
        fbtrace_id=error.graph_trace,
    )
    metrics.add_metric(f"Failed_{error.code}", "Count", 1)
    return Failure(error.code, error.detail, None if settled else now + wait)


def signed(message: "Message", media: Media, asked: Asked, edge_url: str, key: "SigningKey", now: int) -> "SignedUrl":
    """Sign the URL of the object; for a download, with the name under which the browser saves it."""
    expires_at = signing.expiry(content.kind_of(message), now)
    save_as = content.content_disposition("attachment", content.file_name(message)) if asked.download else None
    return signing.sign(f"{edge_url}/{media.s3_key}", key, expires_at, download_as=save_as)


def described(message: "Message", media: Media | None) -> dict[str, Any]:
    """Give what is known of a message's media, whether or not its bytes are there."""
    return {
        "type": content.kind_of(message),
        "mime_type": message.mime_type or (media.content_type if media else None),
        "filename": content.file_name(message),
        "size": media.size if media else None,
        "caption": message.caption,
        "sha256": (media.sha256 if media else None) or media_rules.sha256_hex(message.sha256),
    }
