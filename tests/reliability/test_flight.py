"""Single flight: however many want the same media at once, Meta is asked once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from inbound.media import message_id
from local import faults
from tests import builders
from tests.integration.system import System, later
from tests.reliability.conftest import Count, Observe
from tests.reliability.report import saw, stored


def graph_requests(system: System, own_id: str) -> tuple[int, int]:
    """Give how often Graph was asked to resolve, and for the file."""
    media_id = system.message(own_id)["provider_media_id"]
    meta = system.stack.meta
    return len(meta.requests(media_id, "resolve")), len(meta.requests(media_id, "download"))


def test_fifty_first_views_at_once_make_one_resolve_and_one_download(
    system: System, observed: Observe, counted: Count
) -> None:
    own_id = system.receive(builders.VIDEO)
    system.aws.delay("TransactWriteItems", 0.3)  # all have read that nobody is fetching before anybody takes the lease

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: system.get(own_id), range(50)))

    assert graph_requests(system, own_id) == (1, 1)
    assert {answer.status_code for answer in answers} <= {202, 302}
    assert len({answer.headers["Location"] for answer in answers if answer.status_code == 302}) == 1
    assert system.bytes_of(own_id).content == builders.VIDEO.content
    counted(messages_sent=1, views=50, lost=0, duplicated=0)
    observed(
        "flight",
        "50 first views at once",
        "media proxy",
        "302 or 202, one resolve, one download",
        stored(system, own_id),
    )


def test_those_who_lose_wait_for_the_winner_instead_of_asking_again(system: System, observed: Observe) -> None:
    own_id = system.receive()
    system.stack.meta.faults.add(system.message(own_id)["provider_media_id"], faults.Slow(seconds=2, times=1))

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: system.get(own_id), range(4)))

    assert [answer.status_code for answer in answers] == [302] * 4
    assert graph_requests(system, own_id) == (1, 1)
    observed("flight", "4 views while Graph thinks for 2 s", "Graph, resolve", saw(answers[-1]), stored(system, own_id))


def test_those_who_have_waited_eight_seconds_are_told_to_come_again(system: System, observed: Observe) -> None:
    own_id = system.receive()
    # Each answer comes before the reading is given up, after 8 s; both together come long after the second view.
    slow = [faults.Slow(seconds=7, times=1, hop="resolve"), faults.Slow(seconds=7, times=1, hop="download")]
    system.stack.meta.faults.add(system.message(own_id)["provider_media_id"], *slow)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(system.get, own_id)
        time.sleep(0.5)
        began = time.monotonic()
        second = threads.submit(system.get, own_id).result()
        waited = time.monotonic() - began

    assert (second.status_code, second.headers["Retry-After"]) == (202, "2")
    assert waited > 7
    assert first.result().status_code in {302, 202}
    observed(
        "flight",
        "a view while another waits for Graph for 14 s",
        "Graph, both requests",
        saw(second),
        "the first view's own",
    )


def test_a_view_and_the_worker_that_race_make_one_download(system: System, observed: Observe, counted: Count) -> None:
    own_ids = [system.receive() for _ in range(8)]
    system.aws.delay("TransactWriteItems", 0.2)

    with ThreadPoolExecutor(16) as threads:
        views = threads.map(system.get, own_ids)
        jobs = threads.map(system.work, own_ids)
        assert {view.status_code for view in views} <= {202, 302}
        assert list(jobs) == [[]] * len(own_ids)

    assert [graph_requests(system, own_id) for own_id in own_ids] == [(1, 1)] * len(own_ids)
    assert all(system.bytes_of(own_id).content == builders.PHOTO.content for own_id in own_ids)
    counted(messages_sent=8, views=8, jobs=8, lost=0, duplicated=0)
    observed(
        "flight",
        "a view and the worker's job at once, 8 times",
        "media proxy, prefetch",
        "302 or 202, one download each",
        stored(system, own_ids[0]),
    )


def test_what_a_late_loser_has_fetched_is_deleted_and_never_shown(system: System, observed: Observe) -> None:
    own_id = system.receive()
    system.stack.meta.faults.add(
        system.message(own_id)["provider_media_id"], faults.Slow(seconds=2, times=1, hop="download")
    )

    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(system.get, own_id)
        wait_until(lambda: graph_requests(system, own_id)[1] == 1)
        system.change(own_id, "MEDIA", lease_until=later(-1), next_attempt_at=later(-1))  # as if 45 s had passed
        winner = system.get(own_id)
        loser = late.result()

    assert (winner.status_code, loser.status_code) == (302, 302)
    media = system.media(own_id)
    assert (media["fence"], media["s3_key"][-2:]) == (2, "/2")
    assert [key for key in system.objects() if own_id in key] == [media["s3_key"]]
    observed(
        "flight",
        "a lease that outlives its holder's patience: a second attempt overtakes",
        "Graph, download",
        f"{saw(winner)}; the late one {saw(loser)}",
        stored(system, own_id),
    )


def test_a_slow_file_keeps_its_lease_until_it_is_there_and_one_that_loses_it_stops(
    system: System, observed: Observe
) -> None:
    kept, lost = dripping(system), dripping(system)
    leases: set[Any] = set()

    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(system.work, own_id) for own_id in (kept, lost)]
        wait_until(lambda: graph_requests(system, lost)[1] == 1)
        taken = {"fence": 7, "attempts": 2, "lease_until": later(60), "next_attempt_at": later(120)}
        system.change(lost, "MEDIA", **taken)  # somebody else has taken over
        while not jobs[0].done():
            leases.add(system.items(f"MSG#{kept}").get("MEDIA", {}).get("lease_until"))
            threading.Event().wait(0.5)
        assert [job.result() for job in jobs] == [[], []]

    assert len(leases - {None}) >= 2  # taken, and renewed when half of it was gone
    assert (system.media(kept)["status"], system.media(kept)["fence"]) == ("ready", 1)
    assert system.media(lost)["fence"] == 7
    assert not [key for key in system.objects() if lost in key]
    assert "lease_lost" in system.logs()
    renewed = "the job is done; the lease was renewed"
    observed("flight", "a file that takes longer than half a lease", "Graph, download", renewed, stored(system, kept))
    stopped = "the job is done; the bytes are thrown away"
    observed("flight", "the lease is lost while a slow file comes", "Graph, download", stopped, stored(system, lost))


def dripping(system: System) -> str:
    """Let Meta send a document that takes half a minute to come."""
    number, size = system.stack.phone_number_id, 3 * builders.MIB
    media = system.stack.meta.add_media(b"%PDF-1.7\n", "application/pdf", phone_number_id=number, size=size)
    message = builders.media_message(builders.BROCHURE, media.id)
    system.post(builders.notification(message, phone_number_id=number))
    system.stack.meta.faults.add(media.id, faults.Drip(size=11 * 1024, pause=0.1, times=1))
    return message_id(number, message["id"])


def wait_until(met: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end
        time.sleep(0.02)
