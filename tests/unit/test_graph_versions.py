"""When versions of Graph end."""

import re
from datetime import UTC, date, datetime

import pytest

from local.template import load
from media_proxy.graph_versions import ENDS, NEWEST, NEWEST_LIVES_UNTIL, days_left, ends_on


def at(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("version", "end"),
    [
        ("v21.0", date(2027, 1, 21)),
        ("v25.0", date(2028, 7, 29)),
        (NEWEST, NEWEST_LIVES_UNTIL),
        ("v27.0", NEWEST_LIVES_UNTIL),
        ("v100.0", NEWEST_LIVES_UNTIL),
        ("v9.0", date(2026, 9, 24)),
    ],
)
def test_a_version_ends_when_meta_says_or_at_the_earliest(version: str, end: date) -> None:
    assert ends_on(version) == end


@pytest.mark.parametrize(
    ("now", "days"), [(at(2027, 1, 20), 1), (at(2027, 1, 21), 0), (at(2029, 1, 1), 0), (at(2026, 1, 21), 365)]
)
def test_days_are_counted_to_the_last_one_and_never_below_none(now: float, days: int) -> None:
    assert days_left("v21.0", now) == days


def test_the_list_is_in_order_and_ends_before_the_newest() -> None:
    assert list(ENDS.values()) == sorted(ENDS.values())
    assert all(re.fullmatch(r"v\d+\.0", version) for version in (*ENDS, NEWEST))
    assert NEWEST not in ENDS
    assert max(ENDS.values()) <= NEWEST_LIVES_UNTIL


def test_the_default_is_the_newest() -> None:
    assert load().parameter("GraphVersion") == NEWEST
