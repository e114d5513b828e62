"""How long to wait before the CRM's webhook is asked again, and what its answer means. Pure."""

SHORTEST, LONGEST = 5, 900  # seconds between which the longest wait lies
LONGEST_ASKED = 3600  # seconds that the CRM may ask for


def wait_after(age: float, chance: float, retry_after: float | None) -> int:
    """Give the seconds until the next try of a notification that has waited so long: with full jitter.

    It waits at most as long again (`chance` is from 0 to 1), which is a backoff, too; so what a CRM missed comes within
    the time that it was away, not long after. What the CRM asks for (`Retry-After`, seconds) is a lower bound, but it
    may not ask for more than an hour.
    """
    longest = min(max(age, SHORTEST), LONGEST)
    return round(max(1, longest * chance, min(retry_after or 0, LONGEST_ASKED)))


def kind_of(status: int) -> str:
    """Give the class of an HTTP status: `2xx` is what the CRM has taken."""
    return f"{status // 100}xx" if 200 <= status < 600 else "1xx"
