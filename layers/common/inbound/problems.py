"""Errors as HTTP answers: the one table, in the form of RFC 9457 (https://www.rfc-editor.org/rfc/rfc9457)."""

from collections.abc import Mapping
from typing import NamedTuple, NotRequired, cast

from typing_extensions import TypedDict

from inbound import errors
from inbound.errors import InboundError, MediaError
from inbound.media import Metadata

CONTENT_TYPE = "application/problem+json"

# error → (HTTP status, title). The title is for people and never changes with the occurrence.
TABLE: Mapping[type[InboundError], tuple[int, str]] = {
    errors.VerificationFailed: (403, "Verification failed"),
    errors.BodyTooLarge: (413, "The body is too large"),
    errors.SignatureInvalid: (401, "The signature is missing or wrong"),
    errors.NotConfigured: (503, "No app secret is configured yet"),
    errors.StoreUnavailable: (503, "Not everything could be stored"),
    errors.Unauthenticated: (401, "No valid media token"),
    errors.InvalidRequest: (400, "The request is malformed"),
    errors.ConversationNotFound: (404, "No such conversation"),
    errors.MessageNotFound: (404, "No such message"),
    errors.NoMedia: (404, "This message has no media"),
    errors.MediaUnavailable: (410, "WhatsApp never delivered this media"),
    errors.MediaExpired: (410, "WhatsApp no longer has this media"),
    errors.MediaTooLarge: (413, "This media is too large"),
    errors.MediaCorrupt: (502, "This media arrived damaged"),
    errors.AccessTokenInvalid: (502, "WhatsApp does not accept our access token"),
    errors.GraphRefused: (502, "WhatsApp refuses to hand over this media"),
    errors.MediaHostRefused: (502, "WhatsApp pointed to a host that is not trusted"),
    errors.RateLimited: (503, "WhatsApp limits the rate of requests"),
    errors.GraphUnavailable: (503, "WhatsApp cannot be reached"),
    errors.MediaUrlDead: (503, "WhatsApp cannot be reached"),
    errors.GraphTimeout: (504, "WhatsApp took too long"),
    errors.InternalError: (500, "Something went wrong on our side"),
}


class ProblemBody(TypedDict):
    """An error (RFC 9457): `code` is what programs decide on, `title` and `detail` are for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    retryable: bool
    retry_after: NotRequired[int]
    media: NotRequired[Metadata]


class Problem(NamedTuple):
    """An answer: HTTP status, headers, and the members of the JSON body."""

    status: int
    headers: dict[str, str]
    body: ProblemBody


def problem(error: InboundError) -> Problem:
    """Turn an error into an HTTP answer."""
    status, title = TABLE[type(error)]
    body: ProblemBody = {
        "type": f"urn:whatsapp-media:error:{error.code}",
        "title": title,
        "status": status,
        "code": error.code,
        "detail": error.detail or f"{title}.",
        "retryable": _retryable(error),
    }
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
    retry_after = error.retry_after if isinstance(error, MediaError) else None
    if retry_after is not None:
        body["retry_after"] = retry_after
        headers["Retry-After"] = str(retry_after)
    if isinstance(error, MediaError) and error.media is not None:
        body["media"] = cast("Metadata", dict(error.media))
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(status, headers, body)


def _retryable(error: InboundError) -> bool:
    if isinstance(error, MediaError):
        return error.retryable
    return isinstance(error, errors.StoreUnavailable | errors.NotConfigured)
