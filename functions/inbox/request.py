"""What is asked for: the query of a request, checked. Pure."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from inbound.errors import InvalidRequest
from inbox.places import place_of

LARGEST_PAGE, USUAL_PAGE = 100, 50
_LIMIT = re.compile(r"[0-9]{1,3}", re.ASCII)


class Window(NamedTuple):
    """Which part of a listing: up to so many entries before a place, or, in a poll, after one."""

    limit: int = USUAL_PAGE
    before: str | None = None
    after: str | None = None

    def holds(self, place: str) -> bool:
        """Tell whether a place lies in it."""
        return (self.before is None or place < self.before) and (self.after is None or place > self.after)

    @property
    def newest_first(self) -> bool:
        """Tell the order: a page begins with the newest, a poll goes on from the oldest."""
        return self.after is None


def number_in(query: Mapping[str, str]) -> str:
    """Give the business's number. Raises `InvalidRequest` when there is none."""
    number = query.get("phone_number_id")
    if not number:
        raise InvalidRequest("phone_number_id is missing.")
    return number


def window_in(query: Mapping[str, str], listing: str) -> Window:
    """Give the part of a listing that is asked for. Raises `InvalidRequest`."""
    cursor, since = query.get("cursor"), query.get("since")
    if cursor is not None and since is not None:
        raise InvalidRequest("Give cursor or since, not both.")
    return Window(
        _limit(query.get("limit", str(USUAL_PAGE))),
        before=None if cursor is None else place_of("cursor", listing, cursor),
        after=None if since is None else place_of("since", listing, since),
    )


def _limit(text: str) -> int:
    limit = int(text) if _LIMIT.fullmatch(text) else 0
    if not 1 <= limit <= LARGEST_PAGE:
        raise InvalidRequest(f"limit is a number from 1 to {LARGEST_PAGE}.")
    return limit
