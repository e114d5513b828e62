"""What the sweeper decides, entry by entry."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbound.media import digest
from inbound.media_states import FAILED, FETCHING, QUEUED, READY, WAITING
from inbound.messages import Media
from media_proxy.unsettled import (
    GRACE,
    PARTITIONS,
    UNTRIED,
    Entry,
    glance,
    is_lost,
    life_used,
    lost,
    oldest,
    waiting_since,
)

NOW = 1_790_800_000
HOUR, DAY = 3600, 24 * 3600
FRESH = Entry("m", NOW - 5)


def media(status: str, **fields: Any) -> Media:
    return Media("MSG#m", "MEDIA", status=status, **fields)


@given(st.text())
def test_every_message_lies_in_one_of_the_partitions(text: str) -> None:
    assert f"UNSETTLED#{digest(text)[0]}" in PARTITIONS


@pytest.mark.parametrize(
    ("age", "seen"), [(0, "waits"), (UNTRIED - 1, "waits"), (UNTRIED, "due"), (8 * DAY, "due"), (-60, "waits")]
)
def test_what_was_never_tried_is_due_once_its_own_job_has_had_its_time(age: int, seen: str) -> None:
    assert glance(Entry("m", NOW - age), None, NOW) == seen


def test_what_has_no_time_is_due_at_once() -> None:
    assert glance(Entry("m", 0), None, NOW) == "due"


@pytest.mark.parametrize("status", [READY, FAILED])
def test_what_is_settled_leaves_the_index(status: str) -> None:
    assert glance(FRESH, media(status, next_attempt_at=NOW - DAY), NOW) == "settled"


@pytest.mark.parametrize("status", [WAITING, QUEUED, FETCHING])
@pytest.mark.parametrize(("late", "seen"), [(-DAY, "waits"), (0, "waits"), (GRACE - 1, "waits"), (GRACE, "due")])
def test_what_is_overdue_by_a_minute_is_due(status: str, late: int, seen: str) -> None:
    assert glance(FRESH, media(status, next_attempt_at=NOW - late, lease_until=NOW - 1), NOW) == seen


def test_what_somebody_is_fetching_is_left_alone_however_late_it_is() -> None:
    assert glance(FRESH, media(FETCHING, next_attempt_at=NOW - DAY, lease_until=NOW), NOW) == "waits"
    assert glance(FRESH, media(WAITING, next_attempt_at=NOW - DAY, lease_until=NOW + 9), NOW) == "due"


def test_what_has_no_next_attempt_is_due() -> None:
    assert glance(FRESH, media(WAITING), NOW) == "due"


@pytest.mark.parametrize(
    ("attempts", "deadline", "is_over"),
    [(1, NOW, True), (1, NOW + 1, False), (0, NOW - DAY, False), (9, NOW - 1, True)],
)
def test_media_is_lost_at_its_deadline_but_never_before_an_attempt(attempts: int, deadline: int, is_over: bool) -> None:
    assert is_lost(media(WAITING, attempts=attempts), NOW, deadline) == is_over
    assert not is_lost(None, NOW, NOW - DAY)


def test_a_loss_is_ours_unless_meta_said_to_the_end_that_it_has_no_such_media() -> None:
    assert not lost(media(WAITING, error_code="media_expired")).by_us
    for code in ("access_token_invalid", "graph_refused", "media_corrupt", "rate_limited", "internal_error"):
        why = lost(media(WAITING, error_code=code))
        assert why.by_us
        assert code in why.detail
    assert lost(media(FETCHING)).by_us


@pytest.mark.parametrize(
    ("timestamp", "first_seen", "since"),
    [
        pytest.param(NOW - HOUR, NOW - HOUR + 2, NOW - HOUR, id="a live message"),
        pytest.param(NOW - 3 * DAY, NOW - HOUR, NOW - 3 * DAY, id="a message that came late"),
        pytest.param(NOW - 13 * DAY, NOW - HOUR, NOW - HOUR, id="history"),
        pytest.param(0, NOW - HOUR, NOW - HOUR, id="no time"),
        pytest.param(NOW - HOUR, None, NOW - HOUR, id="not tried"),
        pytest.param(NOW - 13 * DAY, None, NOW, id="history, not tried"),
    ],
)
def test_media_waits_since_it_could_be_had(timestamp: int, first_seen: int | None, since: int) -> None:
    assert waiting_since(Entry("m", timestamp), media(WAITING, first_seen=first_seen), NOW) == since


@pytest.mark.parametrize(
    ("since", "deadline", "used"),
    [
        (NOW - HOUR, NOW + HOUR, 50),
        (NOW, NOW + DAY, 0),
        (NOW - DAY, NOW, 100),
        (NOW - DAY, NOW - HOUR, 100),
        (NOW, NOW, 0),
    ],
)
def test_life_is_used_up_in_per_cent(since: int, deadline: int, used: float) -> None:
    assert life_used(since, NOW, deadline) == used


def test_the_oldest_of_none_is_no_age() -> None:
    assert oldest([]) == 0
    assert oldest([3, 9, 1]) == 9
