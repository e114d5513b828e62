"""How long to wait before the CRM's webhook is asked again, and what its answer means. Pure."""

FIRST_WAIT, LONGEST_WAIT = 5, 900  # seconds at most after the first try, and after many
LONGEST_ASKED = 3600  # seconds that the CRM may ask for


def wait_after(tries: int, chance: float, retry_after: float | None) -> int:
    """Give the seconds after so many tries: exponential with full jitter (`chance` is from 0 to 1).

    What the CRM asks for (`Retry-After`, seconds) is a lower bound, but it may not ask for more than an hour.
    """
    longest = min(FIRST_WAIT << min(max(tries, 1) - 1, 20), LONGEST_WAIT)
    return round(max(1, longest * chance, min(retry_after or 0, LONGEST_ASKED)))


def kind_of(status: int) -> str:
    """Give the class of an HTTP status: `2xx` is what the CRM has taken."""
    return f"{status // 100}xx" if 200 <= status < 600 else "1xx"
