"""Places in a listing as tokens for the caller: where a page ended (cursor), where a poll goes on (since). Pure.

A token holds nothing but a sort key, and is good for its own listing alone. Keys are made of the request, never of a
token: a forged one is a place in the same listing, which the caller may read anyhow.
"""

import base64
import re
from typing import TYPE_CHECKING, Literal, TypedDict

from inbound.errors import InvalidRequest
from inbound.media import digest
from inbox.entries import Page, next_poll

if TYPE_CHECKING:
    from inbox.request import Window

Kind = Literal["cursor", "since"]

_PLACES: dict[Kind, re.Pattern[str]] = {
    "cursor": re.compile(r"[0-9]{10}#[a-z2-7]{26}", re.ASCII),
    "since": re.compile(r"[0-9]{10}(#[a-z2-7]{26})?", re.ASCII),
}
_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)
_MARK = 8  # characters that tell listings apart


class Tokens(TypedDict):
    """How to go on from an answer."""

    cursor: str | None
    since: str
    more: bool


def tokens_after(page: Page, window: "Window", listing: str, now: int) -> Tokens:
    """Say how to go on: to what is older, and to what will be new. `now` is Unix seconds."""
    if window.after is None:
        newest = page.entries[0].place if page.entries else ""
        cursor = token_of("cursor", listing, page.end) if page.more else None
        return {"cursor": cursor, "since": token_of("since", listing, next_poll(newest, "", now)), "more": False}
    place = page.end if page.more else next_poll(page.end, window.after, now)
    return {"cursor": None, "since": token_of("since", listing, place), "more": page.more}


def token_of(kind: Kind, listing: str, place: str) -> str:
    """Write a place of a listing as a token."""
    return base64.urlsafe_b64encode(f"{_mark(kind, listing)}{place}".encode()).decode().rstrip("=")


def place_of(kind: Kind, listing: str, token: str) -> str:
    """Read a token; for `since`, Unix seconds are one, too. Raises `InvalidRequest` for any other's."""
    if kind == "since" and _SECONDS.fullmatch(token):
        return token.zfill(10)
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode("ascii")
    except ValueError as error:
        raise _refused(kind) from error
    place = text.removeprefix(_mark(kind, listing))
    if place == text or not _PLACES[kind].fullmatch(place):
        raise _refused(kind)
    return place


def _mark(kind: Kind, listing: str) -> str:
    return digest(kind, listing)[:_MARK]


def _refused(kind: Kind) -> InvalidRequest:
    return InvalidRequest(f"{kind} is not of this listing. Take it from an answer to the same request.")
