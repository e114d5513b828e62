"""What every answer of the functions carries, so that no browser ever takes one for a page.

Answers hold what strangers wrote: captions, names, a challenge. They are JSON or plain text, and stay that.
"""

from typing import Any, Final

PRECAUTIONS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # The token may stand in the query, and must not reach the edge, or anybody else.
    "Referrer-Policy": "no-referrer",
}


def with_precautions(answer: dict[str, Any]) -> dict[str, Any]:
    """Add them to the answer of a handler (payload 2.0: a dictionary with `headers`), whoever made it."""
    return {**answer, "headers": {**answer["headers"], **PRECAUTIONS}}
