"""Time passes: what nobody looks at is copied all the same, what is due is tried, what is past its time is settled."""

import time
from typing import Any

import pytest

from inbound.media import message_id
from local import faults
from tests import builders
from tests.integration.system import System, later
from tests.reliability.conftest import Count, Observe
from tests.reliability.posts import empty_queue
from tests.reliability.report import stored

DAY = 24 * 3600


@pytest.fixture(autouse=True)
def nothing_else(system: System) -> None:
    """Begin with an empty table and queue: sweeper and worker take whatever they find there."""
    system.empty_table()
    empty_queue(system)


def swept(system: System, own_id: str) -> list[str]:
    """Let the sweeper look at all media; give the jobs that it sends for this one."""
    system.aws.forget()
    system.sweep()
    return [job for job in system.jobs() if job == own_id]


def broken(system: System, fault: faults.Fault, **fields: Any) -> str:
    """Receive a picture that Graph does not give."""
    own_id = system.receive(**fields)
    system.stack.meta.faults.add(system.message(own_id)["provider_media_id"], fault)
    return own_id


def whole(system: System, own_id: str) -> bool:
    return system.bytes_of(own_id).content == builders.PHOTO.content


# --- nobody looks ------------------------------------------------------------------------------------------------


def test_what_nobody_viewed_is_copied_long_before_day_seven(system: System, observed: Observe, counted: Count) -> None:
    own_ids = [system.receive() for _ in range(20)]

    with system.stack.background():
        ready = wait_for(lambda: [system.items(f"MSG#{one}").get("MEDIA", {}).get("status") for one in own_ids])

    assert set(ready) == {"ready"}
    assert all(whole(system, own_id) for own_id in own_ids)
    counted(messages_sent=20, lost=0, duplicated=0)
    observed("time", "nobody views a message", "nowhere", "the worker fetches it at once", stored(system, own_ids[0]))


def test_a_message_whose_job_was_lost_is_found_by_the_sweeper(system: System, observed: Observe) -> None:
    forgotten, fresh = system.receive(timestamp=str(later(-700))), system.receive()

    assert swept(system, forgotten) == [forgotten]

    assert system.media(forgotten)["status"] == "queued"
    assert "MEDIA" not in system.items(f"MSG#{fresh}")  # the webhook's own job has ten minutes
    assert swept(system, forgotten) == []  # queued once, not every minute
    assert system.work(forgotten) == []
    assert whole(system, forgotten)
    observed("time", "the job of a message is lost", "SQS", "the sweeper queues it again", stored(system, forgotten))


@pytest.mark.parametrize("status", ["waiting", "fetching", "queued"])
def test_what_is_overdue_is_queued_whatever_it_was_doing(system: System, observed: Observe, status: str) -> None:
    own_id = broken(system, faults.ServerError(times=3))
    system.get(own_id)
    system.change(own_id, "MEDIA", status=status, next_attempt_at=later(-61), lease_until=later(-70))

    assert swept(system, own_id) == [own_id]

    assert system.media(own_id)["status"] == "queued"
    assert system.work(own_id) == []
    assert whole(system, own_id)
    what = {"waiting": "the job of the next attempt is lost", "fetching": "who held the lease is gone"}
    observed(
        "time",
        what.get(status, "a queued job is lost"),
        f"media `{status}`",
        "the sweeper queues it again",
        stored(system, own_id),
    )


def test_what_is_being_fetched_or_not_due_is_left_alone(system: System) -> None:
    fetching, waiting = broken(system, faults.ServerError(times=3)), broken(system, faults.ServerError(times=3))
    for own_id in (fetching, waiting):
        system.get(own_id)
    system.change(fetching, "MEDIA", status="fetching", lease_until=later(30), next_attempt_at=later(-61))
    system.change(waiting, "MEDIA", next_attempt_at=later(30))

    assert (swept(system, fetching), swept(system, waiting)) == ([], [])

    assert (system.media(fetching)["status"], system.media(waiting)["status"]) == ("fetching", "waiting")


def test_the_next_attempt_comes_by_itself_after_a_transient_failure(
    system: System, observed: Observe, counted: Count
) -> None:
    own_id = broken(system, faults.ServerError(times=3))

    with system.stack.background():  # the job of the webhook fails, and has sent itself another one
        states = wait_for(lambda: [system.items(f"MSG#{own_id}").get("MEDIA", {}).get("status")], 60)

    assert states == ["ready"]
    assert system.media(own_id)["attempts"] == 2
    assert whole(system, own_id)
    counted(messages_sent=1, faults_injected=3, lost=0)
    observed(
        "time",
        "Graph fails for a while, and nobody looks",
        "Graph, resolve",
        "the worker tries again by itself",
        stored(system, own_id),
    )


# --- deadlines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code", "metric"),
    [
        pytest.param(faults.Expired(), "media_expired", "MediaExpired", id="Meta says it is gone"),
        pytest.param(faults.BadToken(), "access_token_invalid", "MediaLost", id="our token was refused to the end"),
        pytest.param(faults.Corrupt(), "media_corrupt", "MediaLost", id="it never came as declared"),
    ],
)
def test_past_its_deadline_media_is_settled_and_a_loss_of_ours_is_counted_apart(
    system: System, observed: Observe, fault: faults.Fault, code: str, metric: str
) -> None:
    own_id = broken(system, fault)
    assert system.get(own_id).json()["code"] == code
    assert system.media(own_id)["status"] == "waiting"  # young: it may still be had
    past(system, own_id)
    before = sum(metrics(system, metric))

    system.sweep()

    problem = system.problem(own_id, 410, "media_expired")
    assert problem["retryable"] is False
    assert system.media(own_id)["status"] == "failed"
    assert "gsi2pk" not in system.message(own_id)
    assert sum(metrics(system, metric)) == before + 1
    observed(
        "time",
        f"`{code}` until Meta has deleted it",
        "Graph",
        "410 `media_expired`; alarm" if metric == "MediaLost" else "410 `media_expired`",
        stored(system, own_id),
    )


def test_before_its_deadline_nothing_but_what_can_never_change_is_settled(system: System) -> None:
    own_id = broken(system, faults.BadToken())
    system.get(own_id)
    past(system, own_id, days=6.9)

    system.sweep()

    assert system.media(own_id)["status"] == "queued"


def test_at_least_one_attempt_is_made_however_late_a_message_comes(system: System, observed: Observe) -> None:
    own_id = system.receive(timestamp=str(later(-8 * DAY)))

    assert swept(system, own_id) == [own_id]

    assert system.work(own_id) == []
    assert whole(system, own_id)
    observed(
        "time", "a message comes 8 days late", "webhook", "one attempt is made all the same", stored(system, own_id)
    )


def test_history_has_its_seven_days_from_when_we_saw_it(system: System) -> None:
    number = system.stack.phone_number_id
    message = builders.image_message(timestamp=str(later(-13 * DAY)))
    system.post(builders.notification(message, phone_number_id=number, field="history"))
    own_id = message_id(number, message["id"])
    system.get(own_id)
    system.change(own_id, "MEDIA", next_attempt_at=later(-61))

    system.sweep()

    assert system.media(own_id)["status"] == "queued"


def test_a_last_attempt_is_due_before_meta_deletes_it(system: System) -> None:
    own_id = broken(system, faults.RateLimited(retry_after=20_000), timestamp=str(later(-7 * DAY + 3600)))

    system.get(own_id)

    assert later(0) < system.media(own_id)["next_attempt_at"] <= later(3600 - 300)


def test_a_number_without_storage_has_one_hour(system: System, observed: Observe) -> None:
    number = system.stack.phone_number_id
    own_id = broken(system, faults.ServerError())
    system.get(own_id)
    system.change(own_id, "MESSAGE", timestamp=later(-3700))
    system.change(own_id, "MEDIA", next_attempt_at=later(-61))

    system.run("SweepFunction", {}, NO_STORAGE_NUMBERS=number)

    assert system.media(own_id)["status"] == "failed"
    observed(
        "time", "a number without storage, after an hour", "Graph", "410 `media_expired`; alarm", stored(system, own_id)
    )


# --- the index ---------------------------------------------------------------------------------------------------


def test_what_a_redelivery_brings_back_into_the_index_is_taken_out_again(system: System, observed: Observe) -> None:
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(builders.PHOTO.content, "image/jpeg", phone_number_id=number)
    body = builders.notification(builders.image_message(media.id), phone_number_id=number)
    own_id = message_id(number, body["entry"][0]["changes"][0]["value"]["messages"][0]["id"])
    system.post(body)
    assert whole(system, own_id)
    system.post(body)
    assert "gsi2pk" in system.message(own_id)

    system.sweep()

    assert "gsi2pk" not in system.message(own_id)
    assert whole(system, own_id)
    observed("time", "a redelivery after the media is ready", "webhook", "200; 302", stored(system, own_id))


def test_the_age_of_the_oldest_shows_a_loss_before_it_happens(system: System) -> None:
    own_id = broken(system, faults.BadToken())
    system.get(own_id)
    past(system, own_id, days=6.9)

    system.sweep()

    assert metrics(system, "OldestUnsettledMedia")[-1] >= 6.9 * DAY - 60
    assert 98 <= metrics(system, "MediaLifeUsed")[-1] <= 100


def past(system: System, own_id: str, days: float = 7.0) -> None:
    """Let so many days pass for a message, and its next attempt be due."""
    sent = int(time.time() - days * DAY) - 1
    system.change(own_id, "MESSAGE", timestamp=sent, gsi2sk=f"{sent:010d}")
    system.change(own_id, "MEDIA", next_attempt_at=later(-61), first_seen=sent)


def metrics(system: System, name: str) -> list[float]:
    """Give the values of a metric, in the order they were published."""
    found = [line[name] for line in system.log_lines() if name in line]
    return [one for values in found for one in (values if isinstance(values, list) else [values])]


def wait_for(states: Any, seconds: float = 30) -> list[Any]:
    """Wait until all are ready."""
    end = time.monotonic() + seconds
    while set(states()) != {"ready"} and time.monotonic() < end:
        time.sleep(0.1)
    found: list[Any] = states()
    return found
