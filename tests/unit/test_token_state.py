"""What Graph says of a token, and how long a number has a good one."""

import json
from typing import Any

import pytest

from inbound.errors import AccessTokenInvalid, GraphUnavailable, RateLimited
from media_proxy import token_state
from media_proxy.token_state import NEVER, TokenState, days_left, of_a_number, read

NOW = 1_800_000_000.0
# The shape of https://developers.facebook.com/docs/graph-api/reference/debug_token
DATA = {
    "app_id": "138483919580948",
    "type": "SYSTEM_USER",
    "application": "Social Cafe",
    "expires_at": 1352419328,
    "is_valid": True,
    "issued_at": 1347235328,
    "scopes": ["whatsapp_business_messaging"],
    "granular_scopes": [{"scope": "whatsapp_business_management", "target_ids": ["1"]}],
    "user_id": "1207059",
}


def told(**changed: Any) -> TokenState:
    return read(200, {}, json.dumps({"data": {**DATA, **changed}}).encode(), NOW)


def test_a_good_token_has_app_end_and_permissions_of_both_lists() -> None:
    scopes = frozenset({"whatsapp_business_messaging", "whatsapp_business_management"})

    assert told() == TokenState(True, "138483919580948", 1352419328, scopes)


def test_a_bad_token_has_its_reason() -> None:
    state = told(is_valid=False, error={"code": 190, "message": "Session has expired", "subcode": 463})

    assert (state.is_valid, state.subcode) == (False, 463)


@pytest.mark.parametrize("missing", ["expires_at", "scopes", "granular_scopes", "app_id"])
def test_what_graph_leaves_out_is_empty(missing: str) -> None:
    state = read(200, {}, json.dumps({"data": {k: v for k, v in DATA.items() if k != missing}}).encode(), NOW)

    assert state.is_valid
    assert state.expires_at == (0 if missing == "expires_at" else 1352419328)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"<html>", b'{"data": []}', b'{"data": {"is_valid": "yes"}}', b'{"data": {"scopes": []}}'],
)
def test_an_answer_that_tells_of_no_token_is_none(body: bytes) -> None:
    with pytest.raises(GraphUnavailable):
        read(200, {}, body, NOW)


@pytest.mark.parametrize("odd", ["x", 7, None, [7, None, {"scope": 7}], [{"scopes": "y"}]])
def test_strange_permissions_are_none(odd: Any) -> None:
    assert told(scopes=odd, granular_scopes=odd).scopes == frozenset()


@pytest.mark.parametrize(("code", "error"), [(190, AccessTokenInvalid), (4, RateLimited), (1, GraphUnavailable)])
@pytest.mark.parametrize("status", [200, 400])
def test_a_refusal_is_the_error_that_it_is_elsewhere(code: int, error: type[Exception], status: int) -> None:
    with pytest.raises(error):
        read(status, {}, json.dumps({"error": {"code": code}, "data": DATA}).encode(), NOW)


@pytest.mark.parametrize(
    ("is_valid", "expires_at", "days"),
    [
        (True, 0, NEVER),
        (True, int(NOW) + 60 * token_state.DAY, 60.0),
        (True, int(NOW) + token_state.DAY // 2, 0.5),
        (True, int(NOW) - 5, 0.0),
        (True, int(NOW) * 1000, NEVER),
        (False, 0, 0.0),
        (False, int(NOW) + 60 * token_state.DAY, 0.0),
    ],
)
def test_days_are_counted_to_the_end(is_valid: bool, expires_at: int, days: float) -> None:
    assert days_left(told(is_valid=is_valid, expires_at=expires_at), NOW) == days


@pytest.mark.parametrize(
    ("tokens", "days"),
    [
        ([3.0], 3.0),
        ([3.0, 40.0], 40.0),
        ([0.0, 40.0], 40.0),
        ([0.0, 0.0], 0.0),
        ([None], None),
        ([0.0, None], None),
        ([None, 5.0], 5.0),
    ],
)
def test_a_number_lives_as_long_as_its_best_token(tokens: list[float | None], days: float | None) -> None:
    assert of_a_number(tokens) == days
