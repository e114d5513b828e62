"""When to try again: the one clock, its waits, and what ends it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound import errors
from inbound.errors import MediaError, MediaExpired
from inbound.media_states import FAILED, FETCHING, QUEUED, READY, WAITING, known_error
from inbound.messages import Media, Message
from media_proxy.deadline import Deadline
from media_proxy.retries import (
    BUSY,
    LAST_CALL,
    LEFT,
    LONGEST_WAIT,
    OPERATOR_WAIT,
    SHORTEST_WAIT,
    TRANSIENT,
    TRY,
    backoff,
    deadline_for,
    deadline_of,
    next_attempt,
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


def asked(found: Media | None, now: int, *, from_queue: bool = False) -> object:
    return outlook(found, now, from_queue=from_queue)


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


def test_quick_tries_are_for_what_passes_by_itself() -> None:
    quick = {type(error) for error in [*NEVER_SETTLE, *SETTLE_AT_ONCE] if isinstance(error, TRANSIENT)}

    assert quick == {errors.RateLimited, errors.GraphUnavailable, errors.MediaUrlDead, errors.GraphTimeout}


# --- how long to wait ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempts", "middle", "most"),
    [(1, 10, 20), (2, 20, 40), (3, 40, 80), (8, 1280, 2560), (9, 1800, 3600), (100, 1800, 3600), (10**12, 1800, 3600)],
)
def test_the_backoff_doubles_up_to_an_hour_with_full_jitter(attempts: int, middle: int, most: int) -> None:
    assert (backoff(attempts, 0.0), backoff(attempts, 0.5), backoff(attempts, 1.0)) == (SHORTEST_WAIT, middle, most)


@calm
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_the_backoff_is_always_between_five_seconds_and_an_hour(attempts: int, chance: float) -> None:
    assert SHORTEST_WAIT <= backoff(attempts, chance) <= LONGEST_WAIT


@calm
@given(st.integers(1, 50), st.floats(0, 1), st.integers(0, 100_000))
def test_nobody_waits_less_than_graph_asks_for_or_than_the_backoff(attempts: int, chance: float, asked: int) -> None:
    wait = wait_after(errors.RateLimited("x", retry_after=asked), attempts, chance)

    assert wait == max(asked, backoff(attempts, chance))


@pytest.mark.parametrize("kind", [errors.AccessTokenInvalid, errors.GraphRefused, errors.MediaHostRefused])
def test_where_only_an_operator_can_help_the_wait_has_a_floor(kind: type[MediaError]) -> None:
    assert wait_after(kind("x"), 1, 0.0) == OPERATOR_WAIT
    assert wait_after(kind("x"), 9, 1.0) == backoff(9, 1.0)
    assert wait_after(kind("x", retry_after=500), 1, 0.0) == 500


def test_a_transient_failure_is_tried_again_soon() -> None:
    assert wait_after(errors.GraphUnavailable("x"), 1, 0.0) == SHORTEST_WAIT


@pytest.mark.parametrize(
    ("wait", "deadline", "due"),
    [
        pytest.param(60, NOW + DAY, NOW + 60, id="in time"),
        pytest.param(HOUR, NOW + HOUR, NOW + HOUR - LAST_CALL, id="one more before the deadline"),
        pytest.param(HOUR, NOW + LAST_CALL, NOW + SHORTEST_WAIT, id="the deadline is near"),
        pytest.param(60, NOW, NOW + 60, id="past the deadline there is no hurry"),
        pytest.param(60, NOW - DAY, NOW + 60, id="long past the deadline"),
    ],
)
def test_the_next_attempt_comes_before_the_deadline_whatever_was_planned(wait: int, deadline: int, due: int) -> None:
    assert next_attempt(NOW, wait, deadline) == due


@calm
@given(st.integers(SHORTEST_WAIT, 10**6), st.integers(-(10**6), 10**6))
def test_the_next_attempt_is_never_sooner_than_the_shortest_wait(wait: int, life: int) -> None:
    assert NOW + SHORTEST_WAIT <= next_attempt(NOW, wait, NOW + life) <= NOW + wait


# --- what a request may do now ------------------------------------------------------------------------------


def test_what_was_never_tried_is_tried() -> None:
    assert asked(None, NOW) == TRY


def test_what_is_ready_but_no_longer_there_is_tried() -> None:
    assert asked(media(READY, lease_until=NOW + 9, next_attempt_at=NOW + 9), NOW) == TRY


@pytest.mark.parametrize(("lease_until", "seen"), [(NOW + 1, BUSY), (NOW, BUSY), (NOW - 1, TRY)])
def test_while_somebody_holds_the_lease_others_wait(lease_until: int, seen: str) -> None:
    assert asked(media(FETCHING, lease_until=lease_until), NOW) == seen


def test_only_somebody_who_is_fetching_holds_a_lease() -> None:
    assert asked(media(WAITING, lease_until=NOW + 9, error_code="rate_limited"), NOW) == TRY
    assert isinstance(asked(media(FAILED, lease_until=NOW + 9, error_code="media_too_large"), NOW), MediaError)


def test_a_holder_that_vanished_is_waited_for_until_its_next_attempt_is_due() -> None:
    vanished = media(FETCHING, lease_until=NOW - 1, next_attempt_at=NOW + 5)

    assert asked(vanished, NOW) == BUSY
    assert asked(vanished, NOW + 5) == TRY


def test_a_lease_hides_an_older_error() -> None:
    busy = media(FETCHING, lease_until=NOW + 9, next_attempt_at=NOW + 30, error_code="rate_limited")

    assert asked(busy, NOW) == BUSY


def test_a_holder_that_vanished_after_a_failure_leaves_that_failure() -> None:
    found = asked(media(FETCHING, lease_until=NOW - 1, next_attempt_at=NOW + 5, error_code="rate_limited"), NOW)

    assert isinstance(found, errors.RateLimited)
    assert found.retry_after == 5


def test_before_the_next_attempt_the_last_error_is_told_with_the_time_left() -> None:
    waiting = media(WAITING, next_attempt_at=NOW + 42, error_code="graph_unavailable", error_detail="Graph is down.")

    found = asked(waiting, NOW)

    assert type(found) is errors.GraphUnavailable
    assert (found.retry_after, found.detail, found.retryable) == (42, "Graph is down.", True)


@pytest.mark.parametrize("due", [NOW, NOW - 1, None])
def test_what_is_due_is_tried(due: int | None) -> None:
    assert asked(media(WAITING, next_attempt_at=due, error_code="graph_unavailable"), NOW) == TRY


@pytest.mark.parametrize("code", ["media_expired", "media_too_large", "media_unavailable"])
def test_what_is_settled_is_never_tried_again(code: str) -> None:
    for due in (None, NOW - DAY):
        found = asked(media(FAILED, next_attempt_at=due, error_code=code), NOW)

        assert isinstance(found, MediaError)
        assert found.code == code
        assert not found.retryable
        assert found.retry_after is None


@pytest.mark.parametrize("error", [*SETTLE_AT_ONCE, *NEVER_SETTLE], ids=by_code)
def test_each_error_comes_back_from_its_code(error: MediaError) -> None:
    again = known_error(media(WAITING, error_code=error.code, error_detail="why"))

    assert again is not None
    assert (again.code, again.detail) == (error.code, "why")


def test_a_code_of_another_version_is_an_error_all_the_same() -> None:
    assert isinstance(known_error(media(FAILED, error_code="from_the_future")), errors.InternalError)
    assert known_error(media(WAITING)) is None


def test_what_was_left_to_the_worker_is_tried_by_the_worker_alone() -> None:
    left = media(QUEUED, next_attempt_at=NOW + 900, error_code="rate_limited")

    assert asked(left, NOW) == LEFT
    assert asked(left, NOW + 10_000) == LEFT
    assert asked(left, NOW, from_queue=True) == TRY


def test_what_comes_with_the_history_has_seven_days_from_when_we_saw_it() -> None:
    old = Message("MSG#m", "MESSAGE", phone_number_id="1", timestamp=NOW - 30 * DAY, history=True)
    live = Message("MSG#m", "MESSAGE", phone_number_id="1", timestamp=NOW - 30 * DAY)

    assert deadline_for(old, NOW - DAY, NOW, ()) == NOW + 6 * DAY
    assert deadline_for(live, NOW - DAY, NOW, ()) == NOW - 23 * DAY
    assert deadline_for(live, None, NOW, ("1",)) == NOW - 30 * DAY + HOUR


# --- the moment by which work must be done ------------------------------------------------------------------


def test_a_deadline_gives_what_is_left_and_refuses_when_nothing_is() -> None:
    assert 4.5 < Deadline.after(5).left() <= 5
    with pytest.raises(errors.GraphTimeout):
        Deadline.after(0).left()
    with pytest.raises(errors.GraphTimeout):
        Deadline.after(-1).left()
