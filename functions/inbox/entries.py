"""Entries of listings: which of them make a page, and what they say. Pure.

An entry's sort key is `<time>#<id>`. So a place in one listing is one in another, too, and two can be read as one.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

OVERLAP = 300  # seconds that a poll looks back, for what WhatsApp delivers late
# A change of a message comes soon after it, or never: WhatsApp lets edit for minutes, and delete for two days or so.
CHANGED_WITHIN = 7 * 24 * 3600
LAST_SECOND = 9_999_999_999
# Lambda answers with 6 MB at most, in which quotes of JSON within JSON count twice.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LARGEST_ANSWER = 2_500_000
EDIT, REVOKE = "EDIT", "REVOKE"


class Entry(NamedTuple):
    """An entry of a listing: its sort key there, and the key of the item (pk, sk) that it is about."""

    place: str
    key: tuple[str, str]

    @property
    def about(self) -> str:
        """Give the message in whose partition the item is, or the contact whose conversation it is."""
        partition, _, message_id = self.key[0].partition("#")
        return message_id if partition == "MSG" else self.key[1]

    @property
    def timestamp(self) -> int:
        """Give the time (Unix seconds)."""
        return int(self.place.partition("#")[0])


class Changes(NamedTuple):
    """What was done to a message later: the newest edit (time and its own id), and the newest deletion (time)."""

    edited: tuple[int, str] | None = None
    revoked: int | None = None


UNCHANGED = Changes()


class Page(NamedTuple):
    """What is answered of a listing, in order, and whether there is more behind it."""

    entries: list[Entry]
    more: bool

    @property
    def ids(self) -> list[str]:
        """Give what the entries are about; a message that is there for itself and for a change of it comes once."""
        return list(dict.fromkeys(entry.about for entry in self.entries))

    @property
    def end(self) -> str:
        """Give the place of the last entry, "" where there is none."""
        return self.entries[-1].place if self.entries else ""


def page(listings: Iterable[Iterable[Entry]], limit: int, *, newest_first: bool) -> Page:
    """Read several listings as one, up to so many entries; of each one more was read, if there is one more."""
    ordered = sorted(chain.from_iterable(listings), reverse=newest_first)
    return Page(ordered[:limit], len(ordered) > limit)


def fitting(found: Page, sizes: Mapping[str, int]) -> Page:
    """Cut a page where its entries would not fit into one answer; `sizes` are bytes, by what they are about."""
    left, seen = LARGEST_ANSWER, set[str]()
    for number, entry in enumerate(found.entries):
        left -= 0 if entry.about in seen else sizes.get(entry.about, 0)
        seen.add(entry.about)
        if left < 0 and number > 0:
            return Page(found.entries[:number], more=True)
    return found


def changes_of(listed: Iterable[Entry]) -> dict[str, Changes]:
    """Give the changes by the message that they are about; `listed` are those of a conversation, in any order."""
    found: dict[str, Changes] = {}
    for entry in sorted(listed):
        known = found.get(entry.about, UNCHANGED)
        if entry.key[1].startswith(EDIT):
            known = known._replace(edited=(entry.timestamp, entry.place.partition("#")[2]))
        elif entry.key[1].startswith(REVOKE):
            known = known._replace(revoked=entry.timestamp)
        found[entry.about] = known
    return found


def when_changed(entries: Sequence[Entry]) -> tuple[str, str] | None:
    """Give the span of sort keys in which changes of these messages lie; None where there are no messages."""
    if not entries:
        return None
    times = [entry.timestamp for entry in entries]
    return f"{min(times):010d}", f"{min(max(times) + CHANGED_WITHIN, LAST_SECOND):010d}#~"


def next_poll(newest: str, after: str, now: int) -> str:
    """Give the place from which a poll goes on that found all there was: a little before the newest entry.

    `newest` is its place, and `after` where the last poll began; "" where there is none. An entry of the future, of
    whoever's clock that goes wrong, must not hide what comes now.
    """
    looks_back = f"{max(0, min(int(newest.partition('#')[0]), now) - OVERLAP):010d}" if newest else ""
    return max(looks_back, after) or f"{0:010d}"
