"""Write docs/errors.md from the error tree and its table: `python -m tools.error_docs`."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path

from inbound import errors
from inbound.errors import InboundError, InboxError, MediaError, StoreUnavailable, WebhookError
from inbound.problems import CONTENT_TYPE, TABLE, problem

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"

INTRODUCTION = f"""\
# Errors

*Made by `python -m tools.error_docs` from `inbound.errors` and `inbound.problems`; do not edit.*

Every error is `{CONTENT_TYPE}` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)); a browser must not store it:
"""

MEMBERS = """\
`code` is what programs decide on, and never changes its meaning; `title` and `detail` are for people. `media` holds
what is known of the media although its bytes cannot be had: `type`, `mime_type`, `filename`, `size`, `caption`,
`sha256`. It is left out where nothing is known, or where the caller may know nothing.

`retryable` says whether asking the same again may help. `retry_after` (also as the header `Retry-After`) is the number
of seconds until the next attempt, where there will be one; asking earlier gives the same answer, and asks Meta nothing.
"""

MEDIA = """\
## Media

`GET` and `HEAD` of `/media/messages/{message_id}` and `/api/media/messages/{message_id}`.
"""

MEDIA_NOTES = """\
`media_expired` is retryable until Meta would have deleted the media in any case, seven days after the message (one hour
for numbers without storage), since the same answer may also mean an access token without access. What is not retryable
for the caller may still be tried again here: `access_token_invalid`, `graph_refused` and `media_host_refused` wait for
an operator, and an earlier error gives way to the media as soon as it can be had.
"""

INBOX = """\
## Read API

`GET` of `/conversations`, `/conversations/{contact_id}/messages` and `/messages/{message_id}`; also `unauthenticated`,
`message_not_found` and `internal_error`, as above.
"""

WEBHOOK = """\
## Webhook

`GET` and `POST` of `/webhook`; Meta sends again whatever is not answered with 200, for seven days.
"""


def page() -> str:
    """Give the whole page, in Markdown."""
    parts = [
        INTRODUCTION,
        _example(),
        MEMBERS,
        MEDIA,
        _table(MediaError),
        MEDIA_NOTES,
        INBOX,
        _table(InboxError),
        WEBHOOK,
    ]
    parts.append(_table(WebhookError, StoreUnavailable))
    return "\n".join(parts)


def documented(*roots: type[InboundError]) -> list[type[InboundError]]:
    """Give the errors under these roots that have a code of their own, in the order of the table."""
    return [error for error in TABLE if issubclass(error, roots) and "code" in vars(error)]


def _example() -> str:
    error = errors.RateLimited("Graph answered HTTP 429 with code 130429.", retry_after=30)
    error.media = {"type": "image", "mime_type": "image/jpeg", "filename": "image-2026-09-30-202640.jpg"}
    return f"```json\n{json.dumps(problem(error).body, indent=2)}\n```\n"


def _table(*roots: type[InboundError]) -> str:
    return "\n".join(["| code | status | retryable | meaning |", "|---|---|---|---|", *_rows(*roots), ""])


def _rows(*roots: type[InboundError]) -> Iterator[str]:
    for error in documented(*roots):
        answer = problem(error())
        yield f"| `{error.code}` | {answer.status} | {_retryable(error)} | {_meaning(error)} |"


def _retryable(error: type[InboundError]) -> str:
    if error is errors.MediaExpired:
        return "until the deadline"
    return "yes" if problem(error()).body["retryable"] else "no"


def _meaning(error: type[InboundError]) -> str:
    """Give the first paragraph of the class's docstring, on one line."""
    return " ".join((inspect.getdoc(error) or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
