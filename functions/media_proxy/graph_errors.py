"""What Graph's refusals mean: status, headers and body in, an error of our tree out. Pure and total.

Meta asks to decide on `error.code`, not on the HTTP status: throttling can come as 400.
https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes
https://developers.facebook.com/docs/graph-api/guides/error-handling
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from inbound.errors import (
    AccessTokenInvalid,
    GraphRefused,
    GraphUnavailable,
    MediaError,
    MediaExpired,
    MediaUnavailable,
    RateLimited,
)
from inbound.media import sha256_hex
from inbound.retry_after import seconds_asked

TOKEN_CODES = frozenset({0, 102, 190})
THROTTLE_CODES = frozenset({4, 17, 32, 341, 613, 80007, 80008, 130429, 131048, 131056})
TRANSIENT_CODES = frozenset({1, 2, 131000, 131016, 131057, 133004})
REFUSAL_CODES = frozenset({3, 10, 33, 100, 104, 368, 130497, 131005, 131031, 131053, 133010, 135000, *range(200, 300)})
NOT_DOWNLOADABLE = 131052  # Meta itself could not get the media
MISSING_OBJECT = (100, 33)
# What says nothing about the media, even beside a 410.
PASSING = (AccessTokenInvalid, GraphUnavailable, RateLimited)

# How long Graph's slower throttles last, seconds, where it does not say so itself: a rolling hour
# (https://developers.facebook.com/docs/graph-api/overview/rate-limiting), or six seconds for one pair of users.
SLOW_CODES = {131048: 3600, 131056: 6}
LONGEST_WAIT = 24 * 3600


class Located(NamedTuple):
    """Graph's answer to a media id: a URL of five minutes, and what the file should be (size in bytes, hash in hex)."""

    url: str
    mime_type: str | None
    size: int | None
    sha256: str | None


def located(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Located:
    """Read the answer to `GET /{media-id}`. Raises the `MediaError` that it stands for when it is not a location.

    `file_size` comes as number or string, `sha256` as hex or base64, either may be absent.
    https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media
    """
    if status != 200:
        raise error_of(status, headers, body, now)
    answer = json_object(body)
    if "error" in answer:
        raise error_of(status, headers, body, now)
    url = answer.get("url")
    if not isinstance(url, str) or not url:
        raise GraphUnavailable("Graph's answer holds no URL.", http_status=status)
    mime_type = answer.get("mime_type")
    return Located(
        url=url,
        mime_type=mime_type if isinstance(mime_type, str) else None,
        size=_size(answer.get("file_size")),
        sha256=sha256_hex(answer.get("sha256")),
    )


def error_of(status: int, headers: Mapping[str, str], body: bytes, now: float) -> MediaError:
    """Give the error that a Graph answer stands for. `now` is Unix seconds; header names in any case."""
    error = json_object(body).get("error")
    fields: Mapping[str, Any] = error if isinstance(error, dict) else {}
    code, subcode = integer(fields.get("code")), integer(fields.get("error_subcode"))
    trace = fields.get("fbtrace_id")
    known = _by_code(code, subcode) or _by_status(status, transient=fields.get("is_transient") is True)
    facts: Any = {
        "http_status": status,
        "graph_code": code,
        "graph_subcode": subcode,
        "graph_trace": trace if isinstance(trace, str) else None,
        "retry_after": retry_after(headers, now) or SLOW_CODES.get(code or 0),
    }
    if status == 410 and known not in PASSING:
        return MediaExpired("Graph says that the media is gone.", final=True, **facts)
    return known(_sentence(known, status, code), **facts)


def has_known_code(body: bytes) -> bool:
    """Tell whether an answer's body is Graph's own error with a code whose meaning is known."""
    error = json_object(body).get("error")
    fields: Mapping[str, Any] = error if isinstance(error, dict) else {}
    return _by_code(integer(fields.get("code")), integer(fields.get("error_subcode"))) is not None


def retry_after(headers: Mapping[str, str], now: float) -> int | None:
    """Give the seconds to wait that the headers ask for: `Retry-After` (seconds or date), else the usage header.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    https://developers.facebook.com/docs/graph-api/overview/rate-limiting#headers
    """
    lower = {name.lower(): value for name, value in headers.items()}
    asked = seconds_asked(lower.get("retry-after", ""), now)
    if asked is None:
        asked = _regain(lower.get("x-business-use-case-usage", ""))
    return None if asked is None else max(0, min(math.ceil(asked), LONGEST_WAIT))


def _by_code(code: int | None, subcode: int | None) -> type[MediaError] | None:
    if (code, subcode) == MISSING_OBJECT:
        return MediaExpired
    table: tuple[tuple[frozenset[int], type[MediaError]], ...] = (
        (TOKEN_CODES, AccessTokenInvalid),
        (THROTTLE_CODES, RateLimited),
        (TRANSIENT_CODES, GraphUnavailable),
        (REFUSAL_CODES, GraphRefused),
        (frozenset({NOT_DOWNLOADABLE}), MediaUnavailable),
    )
    return next((error for codes, error in table if code in codes), None)


def _by_status(status: int, *, transient: bool) -> type[MediaError]:
    if status == 429:
        return RateLimited
    if transient or status in {408, 425} or status >= 500 or status < 400:
        return GraphUnavailable
    return {401: AccessTokenInvalid, 404: MediaExpired}.get(status, GraphRefused)


def _sentence(error: type[MediaError], status: int, code: int | None) -> str:
    said = f"Graph answered HTTP {status}" + (f" with code {code}." if code is not None else ".")
    hint = {
        MediaExpired: " The media id has expired, or the access token has no access to it.",
        AccessTokenInvalid: " The access token has expired or was revoked.",
    }
    return said + hint.get(error, "")


def json_object(body: bytes) -> Mapping[str, Any]:
    """Read a JSON object; what is none is an empty one."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def integer(value: object) -> int | None:
    """Give a whole number, also where Graph writes it as a text; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _size(value: object) -> int | None:
    size = integer(value)
    return size if size is not None and size >= 0 else None


def _regain(value: str) -> float | None:
    """Read `estimated_time_to_regain_access`, which is in minutes."""
    usages = json_object(value.encode("utf-8", "surrogatepass"))
    minutes = [
        waits
        for entries in usages.values()
        if isinstance(entries, list)
        for entry in entries
        if isinstance(entry, dict)
        and (waits := integer(entry.get("estimated_time_to_regain_access"))) is not None
        and waits > 0
    ]
    return min(max(minutes), LONGEST_WAIT) * 60.0 if minutes else None
