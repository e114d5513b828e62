"""Where the media id of a message comes from: three priorities, and no more. Pure."""

import json
from typing import TYPE_CHECKING, NamedTuple

from inbound.errors import MediaError, MediaUnavailable, NoMedia
from inbound.media import MEDIA_TYPES, is_media_id, media_objects

if TYPE_CHECKING:
    from inbound.messages import Message

STAND_INS = frozenset({"media_placeholder", "unsupported"})


class Source(NamedTuple):
    """A media id that may be asked for, and which attribute gave it."""

    media_id: str
    name: str


def resolve(message: "Message") -> Source:
    """Find the media id: A `provider_media_id`, B `media_url` when it is an id, C the raw message.

    Raises `MediaUnavailable` when media was meant but there is no id, `NoMedia` when there was none.
    """
    candidates = (
        ("provider_media_id", message.provider_media_id),
        ("media_url", message.media_url),
        ("raw", _raw_media_id(message.raw)),
    )
    for name, found in candidates:
        trimmed = found.strip() if found is not None else None
        if trimmed is not None and is_media_id(trimmed):
            return Source(trimmed, name)
    raise _missing(message)


def _raw_media_id(raw: str | None) -> str | None:
    try:
        message = json.loads(raw or "{}")
    except (ValueError, RecursionError):
        return None
    found = media_objects(message) if isinstance(message, dict) else []
    return found[0].media_id if found else None


def _missing(message: "Message") -> MediaError:
    if message.media_unavailable is not None:
        return MediaUnavailable(f"WhatsApp delivered no media id: {message.media_unavailable}.")
    if message.type in MEDIA_TYPES or message.type in STAND_INS or message.provider_media_id is not None:
        return MediaUnavailable("WhatsApp delivered no media id.")
    return NoMedia(f"A message of type {message.type} has no media.")
