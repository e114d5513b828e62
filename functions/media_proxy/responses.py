"""Outcomes as HTTP answers. Errors have their table in `inbound.problems`."""

import json
from typing import Literal, NamedTuple

from typing_extensions import TypedDict

from inbound.media import Metadata
from media_proxy.delivery import Pending, Ready

NOT_STORED = "no-store"
LONGEST_AGE, MARGIN = 300, 60  # seconds a browser may keep the redirect; and how much life must be left


class ReadyBody(TypedDict):
    """Where the media is, and until when (Unix seconds) that address is good."""

    url: str
    expires_at: int
    media: Metadata


class PendingBody(TypedDict):
    """The media is not here yet."""

    status: Literal["pending"]
    media: Metadata


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: str


def wants_json(accept: str) -> bool:
    """Tell whether a client asks for JSON; browsers' image, audio and video tags never do."""
    ranges = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return "application/json" in ranges


def answer_of(outcome: Ready | Pending, *, as_json: bool, retry: bool, now: int) -> Answer:
    """Give the answer to a request: a redirect or JSON when ready, else 202."""
    if isinstance(outcome, Pending):
        pending: PendingBody = {"status": "pending", "media": outcome.media}
        return _json(202, pending, {"Retry-After": str(outcome.retry_after)})
    signed = outcome.signed
    if as_json:
        ready: ReadyBody = {"url": signed.url, "expires_at": signed.expires_at, "media": outcome.media}
        return _json(200, ready, {})
    age = min(LONGEST_AGE, signed.expires_at - now - MARGIN)
    headers = {
        "Location": signed.url,
        # A redirect after a failure must not be the one that failed.
        "Cache-Control": NOT_STORED if retry or age <= 0 else f"private, max-age={age}",
        "Vary": "Accept, Authorization, Cookie",
    }
    return Answer(302, headers, "")


def _json(status: int, body: object, headers: dict[str, str]) -> Answer:
    return Answer(
        status, {"Content-Type": "application/json", "Cache-Control": NOT_STORED, **headers}, json.dumps(body)
    )
