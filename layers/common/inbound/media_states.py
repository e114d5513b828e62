"""The states of a media item, and the error that was noted with one. Pure."""

from typing import TYPE_CHECKING

from inbound import errors
from inbound.errors import MediaError
from inbound.problems import TABLE

if TYPE_CHECKING:
    from inbound.messages import Media

READY, FETCHING, QUEUED, WAITING, FAILED = "ready", "fetching", "queued", "waiting", "failed"

BY_CODE = {error.code: error for error in TABLE if issubclass(error, MediaError) and error is not errors.MediaUrlDead}


def servable(media: "Media", now: int) -> bool:
    """Tell whether the object is there as far as the table knows: ready, and not past its lifecycle."""
    return media.status == READY and media.expires_at is not None and now < media.expires_at


def known_error(media: "Media") -> MediaError | None:
    """Make the last attempt's error again from what was noted of it."""
    if media.error_code is None:
        return None
    return BY_CODE.get(media.error_code, errors.InternalError)(media.error_detail or "")
