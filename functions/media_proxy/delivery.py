"""The story: who asks → which message → already here? → fetched, by whoever is first → signed.

What decides stands in the modules beside it (access, retries, sources, signing); this one calls them in order.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from inbound import metadata
from inbound.errors import MediaError, MessageNotFound, NoMedia
from inbound.media import Metadata, is_contact_id
from inbound.media_states import servable
from inbound.messages import Media
from inbound.metadata import described
from inbound.observability import metrics
from media_proxy import content, signing
from media_proxy.media_items import Found, MediaItems
from media_proxy.single_flight import Desk, Patience, ensure_cached

if TYPE_CHECKING:
    from inbound.access import Scope
    from inbound.credentials import SigningKey
    from inbound.messages import Message
    from media_proxy.signing import SignedUrl

ASK_AGAIN = 2  # seconds, while somebody else is fetching


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
    media: Metadata


class Pending(NamedTuple):
    """Not there yet: ask again after so many seconds."""

    retry_after: int
    media: Metadata


def deliver(
    asked: Asked, desk: Desk, edge_url: str, key: "Callable[[], SigningKey]", patience: Patience
) -> Ready | Pending:
    """Give a short-lived URL for the media of a message, asking Meta for the bytes only when they are not here.

    Raises `MediaError`, with the metadata that is known.
    """
    found = opened(asked, desk.items)
    try:
        media = found.media if found.media is not None and servable(found.media, desk.now()) else None
        if media is None or (asked.retry and not desk.fetcher().cache.exists(str(media.s3_key))):
            metrics.add_metric("CacheMiss", "Count", 1)
            media = ensure_cached(found, desk, patience)
        else:
            metrics.add_metric("CacheHit", "Count", 1)
    except MediaError as error:
        error.media = None if isinstance(error, NoMedia) else described(found.message, found.media)
        raise
    about = described(found.message, media or found.media)
    if media is None:
        return Pending(ASK_AGAIN, about)
    return Ready(signed(found.message, media, asked, edge_url, key(), desk.now()), about)


def opened(asked: Asked, items: MediaItems) -> Found:
    """Find the message, if the caller may see it. Raises `MessageNotFound` for unknown and foreign ones alike."""
    scope = asked.scope

    def may_open(message: "Message", same_person: Collection[str]) -> bool:
        return scope.opens(
            phone_number_id=message.phone_number_id,
            contact_id=scope.conversation if message.contact_id in same_person else message.contact_id,
            message_ids=(asked.message_id, message.message_id),
        )

    bound_to = scope.conversation if is_contact_id(scope.conversation or "") else None
    found = items.find(asked.message_id, may_open, bound_to)
    if found is None:
        raise MessageNotFound("There is no such message.")
    return found


def signed(message: "Message", media: Media, asked: Asked, edge_url: str, key: "SigningKey", now: int) -> "SignedUrl":
    """Sign the URL of the object; for a download, with the name under which the browser saves it."""
    expires_at = signing.expiry(metadata.kind_of(message), now)
    name = metadata.file_name(message, media.content_type)
    save_as = content.content_disposition("attachment", name) if asked.download else None
    return signing.sign(f"{edge_url}/{media.s3_key}", key, expires_at, download_as=save_as)
