"""What Graph's answers mean: every row of Meta's tables, and any other bytes whatsoever."""

import base64
import email.utils
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inbound.errors import (
    AccessTokenInvalid,
    GraphRefused,
    GraphUnavailable,
    MediaError,
    MediaExpired,
    MediaUnavailable,
    MediaUrlDead,
    RateLimited,
)
from media_proxy.graph_errors import LONGEST_WAIT, Located, error_of, located, retry_after

NOW = 1_790_800_000.0
HASHED = hashlib.sha256(b"the file")

calm = settings(deadline=None, max_examples=200)
Json = dict[str, Any]


def refusal(code: object = None, subcode: object = None, **fields: object) -> bytes:
    error = {"message": "(#x) words", "type": "OAuthException", "code": code, "error_subcode": subcode, **fields}
    return json.dumps({"error": {name: value for name, value in error.items() if value is not None}}).encode()


def read(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> MediaError:
    return error_of(status, headers or {}, body, NOW)


# --- each code that Meta lists ------------------------------------------------------------------------------

TOKEN, REFUSED, THROTTLED = (AccessTokenInvalid, False), (GraphRefused, False), (RateLimited, True)
UNAVAILABLE, EXPIRED, NEVER = (GraphUnavailable, True), (MediaExpired, True), (MediaUnavailable, False)


CODES = [
    (0, None, 401, TOKEN),
    (1, None, 400, UNAVAILABLE),
    (2, None, 503, UNAVAILABLE),
    (3, None, 500, REFUSED),
    (3, None, 403, REFUSED),
    (4, None, 429, THROTTLED),
    (4, None, 400, THROTTLED),
    (10, None, 403, REFUSED),
    (17, None, 400, THROTTLED),
    (32, None, 400, THROTTLED),
    (341, None, 400, THROTTLED),
    (613, None, 400, THROTTLED),
    (33, None, 400, REFUSED),
    (100, None, 400, REFUSED),
    (100, 2018001, 400, REFUSED),
    (100, 33, 400, EXPIRED),
    (100, 33, 404, EXPIRED),
    (102, None, 401, TOKEN),
    (104, None, 400, REFUSED),
    (131005, None, 403, REFUSED),
    (190, None, 401, TOKEN),
    (190, None, 403, TOKEN),
    (190, None, 400, TOKEN),
    (190, 458, 401, TOKEN),
    (190, 459, 401, TOKEN),
    (190, 460, 401, TOKEN),
    (190, 463, 401, TOKEN),
    (190, 467, 401, TOKEN),
    (190, 33, 401, TOKEN),
    (200, None, 403, REFUSED),
    (230, None, 403, REFUSED),
    (299, None, 403, REFUSED),
    (368, None, 403, REFUSED),
    (80007, None, 429, THROTTLED),
    (80008, None, 400, THROTTLED),
    (130429, None, 429, THROTTLED),
    (130429, None, 400, THROTTLED),
    (131000, None, 500, UNAVAILABLE),
    (131016, None, 500, UNAVAILABLE),
    (131016, None, 400, UNAVAILABLE),
    (131031, None, 403, REFUSED),
    (130497, None, 403, REFUSED),
    (131048, None, 429, THROTTLED),
    (131052, None, 400, NEVER),
    (131053, None, 400, REFUSED),
    (131056, None, 429, THROTTLED),
    (131057, None, 400, UNAVAILABLE),
    (133004, None, 500, UNAVAILABLE),
    (133010, None, 400, REFUSED),
    (135000, None, 400, REFUSED),
]


@pytest.mark.parametrize(("code", "subcode", "status", "meaning"), CODES)
def test_the_code_decides_not_the_status(
    code: int, subcode: int | None, status: int, meaning: tuple[type[MediaError], bool]
) -> None:
    error = read(status, refusal(code, subcode))

    assert (type(error), error.retryable) == meaning
    assert (error.http_status, error.graph_code, error.graph_subcode) == (status, code, subcode)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 408, 429, 500, 503])
def test_a_known_code_means_the_same_under_every_status(status: int) -> None:
    for code, subcode, _, meaning in CODES:
        error = read(status, refusal(code, subcode))

        assert (type(error), error.retryable) == meaning


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, UNAVAILABLE),
        (204, UNAVAILABLE),
        (302, UNAVAILABLE),
        (400, REFUSED),
        (401, TOKEN),
        (403, REFUSED),
        (404, EXPIRED),
        (405, REFUSED),
        (408, UNAVAILABLE),
        (425, UNAVAILABLE),
        (429, THROTTLED),
        (500, UNAVAILABLE),
        (501, UNAVAILABLE),
        (502, UNAVAILABLE),
        (503, UNAVAILABLE),
        (504, UNAVAILABLE),
        (599, UNAVAILABLE),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502 Bad Gateway</html>",
        b'{"error":{"code":999999,"message":"new"}}',
        b'{"error":{"message":"without a code"}}',
        b'{"error":{"code":190.5}}',
        b'{"error":{"code":true}}',
        b'{"error":{"code":null}}',
        b'{"error":{"code":[190]}}',
        b'{"error":{"code":"x"}}',
        b'{"error":{"code":-190}}',
        b'{"error":"sorry"}',
        b'{"error":[]}',
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b'{"error":',
        b"[" * 100_000,
        b'{"error":{"code":' + b"9" * 5000 + b"}}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_without_a_known_code_the_status_decides(
    status: int, meaning: tuple[type[MediaError], bool], body: bytes
) -> None:
    error = read(status, body)

    assert (type(error), error.retryable) == meaning


@pytest.mark.parametrize("body", [b"", refusal(100), refusal(100, 33), refusal(10), refusal(999999), b"<html>"])
def test_gone_is_final(body: bytes) -> None:
    error = read(410, body)

    assert isinstance(error, MediaExpired)
    assert error.final
    assert not error.retryable


@pytest.mark.parametrize(("code", "kind"), [(190, AccessTokenInvalid), (4, RateLimited), (131016, GraphUnavailable)])
def test_a_code_that_says_nothing_of_the_media_outweighs_a_410(code: int, kind: type[MediaError]) -> None:
    assert type(read(410, refusal(code))) is kind


def test_a_missing_object_may_also_be_a_token_without_access_so_it_is_not_final() -> None:
    error = read(400, refusal(100, 33))

    assert isinstance(error, MediaExpired)
    assert not error.final
    assert error.retryable


@pytest.mark.parametrize(("code", "kind"), [(999999, GraphUnavailable), (190, AccessTokenInvalid), (100, GraphRefused)])
def test_is_transient_makes_an_unknown_code_retryable_and_no_known_one(code: int, kind: type[MediaError]) -> None:
    assert type(read(400, refusal(code, is_transient=True))) is kind


@pytest.mark.parametrize("flag", [False, "true", 1, None], ids=repr)
def test_only_a_true_flag_says_transient(flag: object) -> None:
    assert type(read(400, refusal(999999, is_transient=flag))) is GraphRefused


def test_a_code_may_come_as_digits_in_a_string() -> None:
    assert type(read(400, refusal("190"))) is AccessTokenInvalid
    assert type(read(400, refusal("100", "33"))) is MediaExpired
    assert type(read(400, refusal("١٩٠"))) is GraphRefused


def test_metas_trace_is_kept_for_the_log() -> None:
    assert read(500, refusal(2, fbtrace_id="AbC123")).graph_trace == "AbC123"
    assert read(500, refusal(2, fbtrace_id=5)).graph_trace is None


def test_the_detail_repeats_nothing_of_the_answer() -> None:
    body = refusal(190, message="token EAAG-secret of +15550100101", error_user_msg="EAAG-secret", fbtrace_id="Ab")

    error = read(401, body)

    assert "EAAG" not in error.detail
    assert "1555" not in error.detail
    assert error.detail == "Graph answered HTTP 401 with code 190. The access token has expired or was revoked."


# --- how long to wait ---------------------------------------------------------------------------------------


def usage(*minutes: object) -> str:
    entries = [{"type": "whatsapp", "call_count": 100, "estimated_time_to_regain_access": wait} for wait in minutes]
    return json.dumps({"200000000000001": entries})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("30", 30),
        (" 30 ", 30),
        ("007", 7),
        ("99999999", LONGEST_WAIT),
        (email.utils.formatdate(NOW + 90, usegmt=True), 90),
        (email.utils.formatdate(NOW + 90, localtime=False), 90),
        ("Wed, 30 Sep 2026 22:28:10 +0200", 90),
        (email.utils.formatdate(NOW - 90, usegmt=True), 0),
        (email.utils.formatdate(NOW + 10**7, usegmt=True), LONGEST_WAIT),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("0x10", None),
        ("+5", None),
        ("٣", None),
        ("²", None),
        ("9" * 5000, None),
        ("Wed, 99 Foo 2026 25:61:61 GMT", None),
        ("Wed, 30 Sep 99999 00:00:00 GMT", None),
        ("Wed, 30 Sep 2026 00:00:00 +99999999999", None),
        ("\ud800", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(value: str, seconds: int | None) -> None:
    assert retry_after({"Retry-After": value}, NOW) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (usage(2), 120),
        (usage(0), None),
        (usage(1, 5, 3), 300),
        (usage("4"), 240),
        (usage(10**6), LONGEST_WAIT),
        (usage(-3), None),
        (usage(None, [], {}, True, "x"), None),
        (
            json.dumps({"1": [{"estimated_time_to_regain_access": 1}], "2": [{"estimated_time_to_regain_access": 9}]}),
            540,
        ),
        (json.dumps({"1": [{}], "2": "x", "3": None, "4": ["x", 1], "5": {}}), None),
        ("", None),
        ("[]", None),
        ("{", None),
        ("\ud800", None),
        (usage(10**400), LONGEST_WAIT),
    ],
)
def test_the_usage_header_counts_in_minutes(value: str, seconds: int | None) -> None:
    assert retry_after({"X-Business-Use-Case-Usage": value}, NOW) == seconds


def test_retry_after_goes_before_the_usage_header_and_both_in_any_case() -> None:
    assert retry_after({"RETRY-AFTER": "7", "x-business-use-case-usage": usage(2)}, NOW) == 7
    assert retry_after({"retry-after": "soon", "X-BUSINESS-USE-CASE-USAGE": usage(2)}, NOW) == 120
    assert retry_after({"X-App-Usage": '{"call_count":100}'}, NOW) is None
    assert retry_after({}, NOW) is None


def test_an_error_carries_the_wait_that_graph_asks_for() -> None:
    assert read(429, refusal(130429), {"Retry-After": "17"}).retry_after == 17
    assert read(400, refusal(80008), {"X-Business-Use-Case-Usage": usage(3)}).retry_after == 180
    assert read(503, b"", {"Retry-After": "5"}).retry_after == 5
    assert read(429, refusal(4)).retry_after is None


@pytest.mark.parametrize(("code", "seconds"), [(131048, 3600), (131056, 6)])
def test_a_throttle_of_known_length_is_waited_for(code: int, seconds: int) -> None:
    assert read(429, refusal(code)).retry_after == seconds
    assert read(429, refusal(code), {"Retry-After": "9"}).retry_after == 9


# --- where the media is -------------------------------------------------------------------------------------

PLACE = {
    "messaging_product": "whatsapp",
    "url": "https://lookaside.fbsbx.com/?mid=1",
    "mime_type": "image/jpeg",
    "sha256": HASHED.hexdigest(),
    "file_size": "49664",
    "id": "1",
}


def found(answer: Json) -> Located:
    return located(200, {}, json.dumps(answer).encode(), NOW)


@pytest.mark.parametrize("size", ["49664", 49664], ids=repr)
@pytest.mark.parametrize("sha256", [HASHED.hexdigest(), base64.b64encode(HASHED.digest()).decode()])
def test_size_and_hash_are_read_in_each_form_that_meta_writes(size: object, sha256: str) -> None:
    answer = found({**PLACE, "file_size": size, "sha256": sha256})

    assert answer == Located(str(PLACE["url"]), "image/jpeg", 49664, HASHED.hexdigest())


@pytest.mark.parametrize("size", [None, "", "x", -1, "-1", 1.5, True, [], {}, "9" * 12], ids=repr)
def test_a_size_that_is_none_is_unknown(size: object) -> None:
    assert found({**PLACE, "file_size": size}).size is None


def test_only_the_url_must_be_there() -> None:
    assert found({"url": "https://x"}) == Located("https://x", None, None, None)
    assert found({"url": "https://x", "mime_type": 5, "sha256": "x"}) == Located("https://x", None, None, None)


@pytest.mark.parametrize("url", [None, "", 5, True, [], {}], ids=repr)
def test_an_answer_without_a_url_is_no_answer(url: object) -> None:
    with pytest.raises(GraphUnavailable) as caught:
        found({**PLACE, "url": url})

    assert caught.value.retryable


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"\xff\xd8\xff", b'{"url"'])
def test_what_is_not_json_is_no_answer(body: bytes) -> None:
    with pytest.raises(GraphUnavailable):
        located(200, {}, body, NOW)


def test_an_error_may_come_with_status_200() -> None:
    with pytest.raises(AccessTokenInvalid):
        located(200, {}, refusal(190), NOW)
    with pytest.raises(GraphUnavailable):
        found({**PLACE, "error": None})


@pytest.mark.parametrize("status", [201, 206, 302, 400, 404, 500])
def test_only_200_is_a_location(status: int) -> None:
    with pytest.raises(MediaError):
        located(status, {}, json.dumps(PLACE).encode(), NOW)


# --- anything at all ----------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
errors = st.fixed_dictionaries(
    {},
    optional={
        "code": scalars | st.sampled_from([0, 4, 100, 190, 131056]),
        "error_subcode": scalars | st.just(33),
        "is_transient": json_values,
        "fbtrace_id": json_values,
    },
)
answers = st.fixed_dictionaries(
    {},
    optional={"error": errors | json_values, "url": json_values, "file_size": json_values, "sha256": json_values},
)
bodies = st.binary(max_size=200) | (answers | json_values).map(lambda value: json.dumps(value).encode())
moments = st.text(st.sampled_from("0123456789 :,+-GMTWedSepJan"), max_size=40)
waits = st.text(st.characters(), max_size=40) | moments | st.integers().map(str)
usages = (json_values | st.integers().map(lambda n: {"1": [{"estimated_time_to_regain_access": n}]})).map(json.dumps)
headers = st.fixed_dictionaries(
    {}, optional={"Retry-After": waits, "x-business-use-case-usage": usages | st.text(st.characters(), max_size=40)}
)


def outcome_of(status: int, given_headers: dict[str, str], body: bytes) -> Located | MediaError:
    try:
        return located(status, given_headers, body, NOW)
    except MediaError as error:
        return error


@calm
@given(st.integers(-1, 999), headers, bodies)
@example(200, {}, b"[" * 100_000)
@example(400, {"x-business-use-case-usage": usage(10**400)}, b"")
@example(429, {"Retry-After": "Mon, 01 Jan 0001 00:00:00 -0000"}, b"")
@example(429, {"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2359"}, b"")
@example(429, {"Retry-After": "Fri, 31 Dec 9999 23:59:59 -2359"}, b"")
def test_any_answer_is_a_location_or_an_error_of_the_tree(
    status: int, given_headers: dict[str, str], body: bytes
) -> None:
    outcome = outcome_of(status, given_headers, body)

    if isinstance(outcome, MediaError):
        assert type(outcome) is not MediaUrlDead
        assert outcome.retry_after is None or 0 <= outcome.retry_after <= LONGEST_WAIT
    else:
        assert status == 200
        assert outcome.url
        assert outcome.size is None or outcome.size >= 0


@calm
@given(st.integers(-1, 999), headers, bodies)
def test_every_refusal_has_an_error(status: int, given_headers: dict[str, str], body: bytes) -> None:
    assert isinstance(error_of(status, given_headers, body, NOW), MediaError)


@calm
@given(headers)
def test_a_wait_is_none_or_a_number_of_seconds_within_a_day(given_headers: dict[str, str]) -> None:
    wait = retry_after(given_headers, NOW)

    assert wait is None or 0 <= wait <= LONGEST_WAIT
