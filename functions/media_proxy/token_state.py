"""What Graph says of an access token, and how long a number still has a good one. Pure.

https://developers.facebook.com/docs/graph-api/reference/debug_token
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from inbound.errors import GraphUnavailable
from media_proxy import graph_errors

DAY = 24 * 3600
NEVER = 3650.0
"""Days that stand for a token without an end, so that an alarm sees it follow one that had an end."""


class TokenState(NamedTuple):
    """Whether a token is good, its app, its end (Unix seconds, 0: none), its permissions; or why it is bad."""

    is_valid: bool
    app_id: str
    expires_at: int
    scopes: frozenset[str]
    subcode: int | None = None


def read(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TokenState:
    """Read the answer to `GET /debug_token`. Raises the `MediaError` that it stands for where it tells of no token.

    Since June 2026 a permission may stand in `scopes` alone, and not in `granular_scopes`.
    """
    answer = graph_errors.json_object(body)
    if status != 200 or "error" in answer:
        raise graph_errors.error_of(status, headers, body, now)
    data = answer.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("is_valid"), bool):
        raise GraphUnavailable("Graph's answer says nothing of the token.", http_status=status)
    error = data.get("error")
    return TokenState(
        is_valid=data["is_valid"],
        app_id=str(data.get("app_id") or ""),
        expires_at=graph_errors.integer(data.get("expires_at")) or 0,
        scopes=frozenset(_scopes(data)),
        subcode=graph_errors.integer(error.get("subcode")) if isinstance(error, dict) else None,
    )


def days_left(state: TokenState, now: float) -> float:
    """Give the days until a token ends; 0 for one that is not valid, `NEVER` for one without an end."""
    if not state.is_valid:
        return 0.0
    if state.expires_at == 0:
        return NEVER
    return min(max(0.0, (state.expires_at - now) / DAY), NEVER)


def of_a_number(days: Iterable[float | None]) -> float | None:
    """Give the days that a number has a good token, from those of its tokens; None where that is not known.

    A token that could not be looked at (None) may be the good one, unless another is good anyway.
    """
    known = list(days)
    best = max((one for one in known if one is not None), default=0.0)
    return None if best == 0 and None in known else best


def _scopes(data: Mapping[str, Any]) -> Iterable[str]:
    for name, part in (("scopes", None), ("granular_scopes", "scope")):
        listed = data.get(name)
        for one in listed if isinstance(listed, list) else ():
            scope = one.get(part) if part and isinstance(one, dict) else one
            if isinstance(scope, str):
                yield scope
