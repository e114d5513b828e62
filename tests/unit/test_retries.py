"""When to try again: the one clock, its waits, and what ends it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound import errors
from inbound.errors import MediaError, MediaExpired
from inbound.messages import Media
from media_proxy.deadline import Deadline
from media_proxy.retries import (
    BUSY,
    FAILED,
    FETCHING,
    LONGEST_WAIT,
    OPERATOR_WAIT,
    READY,
    TRANSIENT,
    TRY,
    WAITING,
    backoff,
    deadline_of,
    is_final,
    known_error,
    outlook,
    settles,
    wait_after,
)

NOW = 1_790_800_000
HOUR, DAY = 3600, 24 * 3600

SETTLE_AT_ONCE = [errors.MediaUnavailable("x"), errors.MediaTooLarge("x"), MediaExpired("x", final=True)]
NEVER_SETTLE = [
    errors.MediaCorrupt("x"),
    errors.AccessTokenInvalid("x"),
    errors.GraphRefused("x"),
    errors.MediaHostRefused("x"),
    errors.RateLimited("x"),
    errors.GraphUnavailable("x"),
    errors.MediaUrlDead("x"),
    errors.GraphTimeout("x"),
    errors.InternalError("x"),
]

calm = settings(deadline=None, max_examples=100)


def by_code(error: MediaError) -> str:
    return type(error).__name__


def media(status: str, **fields: Any) -> Media:
    return Media("MSG#m", "MEDIA", status=status, **fields)


# --- the deadline -------------------------------------------------------------------------------------------


def test_meta_keeps_media_for_seven_days_from_the_message() -> None:
    assert deadline_of(NOW, NOW + DAY, NOW + 2 * DAY) == NOW + 7 * DAY


def test_without_storage_meta_keeps_media_for_an_hour() -> None:
    assert deadline_of(NOW, None, NOW, kept=False) == NOW + HOUR


def test_without_a_time_of_its_own_a_message_counts_from_when_it_was_first_seen() -> None:
    assert deadline_of(0, NOW - DAY, NOW) == NOW + 6 * DAY
    assert deadline_of(0, None, NOW) == NOW + 7 * DAY
    assert deadline_of(0, NOW - 10, NOW, kept=False) == NOW - 10 + HOUR


# --- what ends it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", SETTLE_AT_ONCE, ids=by_code)
def test_what_can_never_change_settles_at_once(error: MediaError) -> None:
    assert settles(error, NOW, NOW + DAY)
    assert settles(error, NOW, NOW - DAY)


@pytest.mark.parametrize("error", NEVER_SETTLE, ids=by_code)
def test_what_may_change_does_not_settle_by_itself(error: MediaError) -> None:
    assert not settles(error, NOW, NOW + DAY)
    assert not settles(error, NOW, NOW - DAY)


@pytest.mark.parametrize(("deadline", "settled"), [(NOW + 1, False), (NOW, True), (NOW - 1, True)])
def test_expired_settles_from_the_deadline_on(deadline: int, settled: bool) -> None:
    assert settles(MediaExpired("x"), NOW, deadline) == settled


@pytest.mark.parametrize("error", [*SETTLE_AT_ONCE, errors.NoMedia("x")], ids=by_code)
def test_what_is_settled_is_final(error: MediaError) -> None:
    assert is_final(error)


@pytest.mark.parametrize("error", [*NEVER_SETTLE, MediaExpired("x")], ids=by_code)
def test_what_is_not_settled_is_not_final(error: MediaError) -> None:
    assert not is_final(error)


def test_an_expiry_that_was_settled_is_final() -> None:
    error = MediaExpired("x")
    error.retryable = False

    assert is_final(error)


def test_quick_tries_are_for_what_passes_by_itself() -> None:
    quick = {type(error) for error in [*NEVER_SETTLE, *SETTLE_AT_ONCE] if isinstance(error, TRANSIENT)}

    assert quick == {errors.RateLimited, errors.GraphUnavailable, errors.MediaUrlDead, errors.GraphTimeout}


# --- how long to wait ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempts", "least", "most"),
    [(1, 5, 10), (2, 10, 20), (3, 20, 40), (9, 1280, 2560), (10, 1800, 3600), (100, 1800, 3600), (10**12, 1800, 3600)],
)
def test_the_backoff_doubles_up_to_an_hour_with_jitter_in_its_upper_half(attempts: int, least: int, most: int) -> None:
    assert (backoff(attempts, 0.0), backoff(attempts, 1.0)) == (least, most)


@calm
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_backoff_is_always_between_a_second_and_an_hour(attempts: int, chance: float) -> None:
    assert 1 <= backoff(attempts, chance) <= LONGEST_WAIT


@calm
@given(st.integers(1, 50), st.floats(0, 1), st.integers(0, 100_000))
def test_nobody_waits_less_than_graph_asks_for_or_than_the_backoff(attempts: int, chance: float, asked: int) -> None:
    wait = wait_after(errors.RateLimited("x", retry_after=asked), attempts, chance)

    assert wait == max(asked, backoff(attempts, chance))


@pytest.mark.parametrize("kind", [errors.AccessTokenInvalid, errors.GraphRefused, errors.MediaHostRefused])
def test_where_only_an_operator_can_help_the_wait_has_a_floor(kind: type[MediaError]) -> None:
    assert wait_after(kind("x"), 1, 0.0) == OPERATOR_WAIT
    assert wait_after(kind("x"), 9, 0.0) == backoff(9, 0.0)
    assert wait_after(kind("x", retry_after=500), 1, 0.0) == 500


def test_a_transient_failure_is_tried_again_soon() -> None:
    assert wait_after(errors.GraphUnavailable("x"), 1, 0.0) == backoff(1, 0.0)


# --- what a request may do now ------------------------------------------------------------------------------


def test_what_was_never_tried_is_tried() -> None:
    assert outlook(None, NOW) == TRY


def test_what_is_ready_but_no_longer_there_is_tried() -> None:
    assert outlook(media(READY, lease_until=NOW + 9, next_attempt_at=NOW + 9), NOW) == TRY


@pytest.mark.parametrize(("lease_until", "seen"), [(NOW + 1, BUSY), (NOW, BUSY), (NOW - 1, TRY)])
def test_while_somebody_holds_the_lease_others_wait(lease_until: int, seen: str) -> None:
    assert outlook(media(FETCHING, lease_until=lease_until), NOW) == seen


def test_only_somebody_who_is_fetching_holds_a_lease() -> None:
    assert outlook(media(WAITING, lease_until=NOW + 9, error_code="rate_limited"), NOW) == TRY
    assert isinstance(outlook(media(FAILED, lease_until=NOW + 9, error_code="media_too_large"), NOW), MediaError)


def test_a_holder_that_vanished_is_waited_for_until_its_next_attempt_is_due() -> None:
    vanished = media(FETCHING, lease_until=NOW - 1, next_attempt_at=NOW + 5)

    assert outlook(vanished, NOW) == BUSY
    assert outlook(vanished, NOW + 5) == TRY


def test_a_lease_hides_an_older_error() -> None:
    busy = media(FETCHING, lease_until=NOW + 9, next_attempt_at=NOW + 30, error_code="rate_limited")

    assert outlook(busy, NOW) == BUSY


def test_a_holder_that_vanished_after_a_failure_leaves_that_failure() -> None:
    found = outlook(media(FETCHING, lease_until=NOW - 1, next_attempt_at=NOW + 5, error_code="rate_limited"), NOW)

    assert isinstance(found, errors.RateLimited)
    assert found.retry_after == 5


def test_before_the_next_attempt_the_last_error_is_told_with_the_time_left() -> None:
    waiting = media(WAITING, next_attempt_at=NOW + 42, error_code="graph_unavailable", error_detail="Graph is down.")

    found = outlook(waiting, NOW)

    assert type(found) is errors.GraphUnavailable
    assert (found.retry_after, found.detail, found.retryable) == (42, "Graph is down.", True)


@pytest.mark.parametrize("due", [NOW, NOW - 1, None])
def test_what_is_due_is_tried(due: int | None) -> None:
    assert outlook(media(WAITING, next_attempt_at=due, error_code="graph_unavailable"), NOW) == TRY


@pytest.mark.parametrize("code", ["media_expired", "media_too_large", "media_unavailable"])
def test_what_is_settled_is_never_tried_again(code: str) -> None:
    for due in (None, NOW - DAY):
        found = outlook(media(FAILED, next_attempt_at=due, error_code=code), NOW)

        assert isinstance(found, MediaError)
        assert found.code == code
        assert not found.retryable
        assert found.retry_after is None
        assert is_final(found)


@pytest.mark.parametrize("error", [*SETTLE_AT_ONCE, *NEVER_SETTLE], ids=by_code)
def test_each_error_comes_back_from_its_code(error: MediaError) -> None:
    again = known_error(media(WAITING, error_code=error.code, error_detail="why"))

    assert again is not None
    assert (again.code, again.detail) == (error.code, "why")


def test_a_code_of_another_version_is_an_error_all_the_same() -> None:
    assert isinstance(known_error(media(FAILED, error_code="from_the_future")), errors.InternalError)
    assert known_error(media(WAITING)) is None


# --- the moment by which work must be done ------------------------------------------------------------------


def test_a_deadline_gives_what_is_left_and_refuses_when_nothing_is() -> None:
    assert 4.5 < Deadline.after(5).left() <= 5
    with pytest.raises(errors.GraphTimeout):
        Deadline.after(0).left()
    with pytest.raises(errors.GraphTimeout):
        Deadline.after(-1).left()
