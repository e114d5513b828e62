"""When versions of Graph end: after that Meta silently serves another one. Pure.

Read at https://developers.facebook.com/docs/graph-api/changelog/versions on 2026-10-08; look again with each release.
"""

from datetime import UTC, date, datetime

ENDS = {
    "v20.0": date(2026, 9, 24),
    "v21.0": date(2027, 1, 21),
    "v22.0": date(2027, 5, 20),
    "v23.0": date(2027, 10, 8),
    "v24.0": date(2028, 2, 18),
    "v25.0": date(2028, 7, 29),
}
# Its end is not announced, nor is that of any after it. Each lives two years or more, and was not released before it.
# https://developers.facebook.com/docs/graph-api/guides/versioning
NEWEST = "v26.0"
NEWEST_LIVES_UNTIL = date(2028, 7, 29)


def ends_on(version: str) -> date:
    """Give the day on which a version (`v26.0`) may end at the earliest. What is older than the list is over."""
    if _order(version) >= _order(NEWEST):
        return NEWEST_LIVES_UNTIL
    return ENDS.get(version, min(ENDS.values()))


def days_left(version: str, now: float) -> int:
    """Give the days from now (Unix seconds) until a version may end; 0 when it has."""
    return max(0, (ends_on(version) - datetime.fromtimestamp(now, UTC).date()).days)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.removeprefix("v").split("."))
