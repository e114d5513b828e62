"""Outcomes as HTTP answers. Errors have their table in `inbound.problems`."""

import json
from typing import NamedTuple

from media_proxy.delivery import Pending, Ready

NOT_STORED = "no-store"
LONGEST_AGE, MARGIN = 300, 60  # seconds a browser may keep the redirect; and how much life must be left


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
        body = {"status": "pending", "media": outcome.media}
        return _json(202, body, {"Retry-After": str(outcome.retry_after)})
    signed = outcome.signed
    if as_json:
        return _json(200, {"url": signed.url, "expires_at": signed.expires_at, "media": outcome.media}, {})
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
