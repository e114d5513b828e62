"""SIGKILL in the midst of a POST, a view, a batch, a sweep: what was seen, and what there is when it is done again."""

import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import pytest

from local import faults
from local.environments import EnvironmentCrashed
from tests import builders
from tests.integration.aws_proxy import Hold
from tests.integration.system import System, later
from tests.reliability.conftest import Count, Observe
from tests.reliability.posts import about, compared, is_whole, let_time_pass, mixed, only_own_jobs
from tests.reliability.report import saw, stored
from tests.reliability.test_stores import document

WEBHOOK, PROXY, WORKER, SWEEPER = "WebhookFunction", "MediaProxyFunction", "PrefetchFunction", "SweepFunction"

Answer = TypeVar("Answer")


@pytest.fixture(autouse=True)
def _own_jobs(system: System) -> Iterator[None]:
    with only_own_jobs(system):
        yield


def killed(system: System, function: str, reached: Callable[[], None], call: Callable[[], Answer]) -> Answer:
    """Make a call, kill the function's process once the place is reached, and give what the caller saw."""
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(call)
        reached()
        assert system.stack.functions.kill_busy(function) == 1
        return asked.result()


def killed_at(system: System, function: str, hold: Hold, call: Callable[[], Answer]) -> Answer:
    """Kill the process in the midst of an AWS call that is held; a call that was not done yet never arrives."""
    try:
        return killed(system, function, hold.wait, call)
    finally:
        hold.drop()


def worked(system: System, *own_ids: str) -> Callable[[], str]:
    """Give a batch for the worker, which says how it ended."""

    def work() -> str:
        try:
            return f"failed: {system.work(*own_ids)}"
        except EnvironmentCrashed:
            return "the batch comes again"

    return work


def wait_until(met: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.02)


# --- a POST ------------------------------------------------------------------------------------------------------

POSTS = [
    ("BatchWriteItem", 0, False, "before the first batch is written"),
    ("BatchWriteItem", 0, True, "once the first batch is written"),
    ("BatchWriteItem", 1, False, "before the last batch is written"),
    ("PutItem", 0, True, "once the first stand-in is written"),
    ("SendMessageBatch", 0, False, "stored, before any job is queued"),
    ("SendMessageBatch", 2, True, "stored and queued, before the answer"),
]


@pytest.mark.parametrize(("operation", "nth", "done", "where"), POSTS, ids=[case[-1] for case in POSTS])
def test_a_webhook_killed_in_the_midst_of_a_post_loses_nothing_and_doubles_nothing(
    system: System, observed: Observe, counted: Count, operation: str, nth: int, done: bool, where: str
) -> None:
    post = mixed()
    hold = system.aws.hold(operation, done=done, nth=nth, strikes=post.is_in)

    first = killed_at(system, WEBHOOK, hold, lambda: system.post(post.body))

    assert first.status_code == 500
    again = system.post(post.body)
    assert again.status_code == 200
    left = compared(system, post)
    assert left.startswith("everything once"), left
    counted(messages_sent=30, faults_injected=1, lost=0, duplicated=0)
    observed("crash", f"webhook, {where}", operation, f"{saw(first)}, then {saw(again)}", left)


# --- a view ------------------------------------------------------------------------------------------------------


class Kill(NamedTuple):
    """Where a view is killed, what is left then, and how the next one is answered at once (None: that is not tried)."""

    operation: str
    done: bool
    where: str
    left: str
    at_once: int | None


VIEWS = [
    Kill("TransactWriteItems", False, "before it has the lease", "media not tried, no object", 302),
    Kill("TransactWriteItems", True, "once it has the lease", "media `fetching`, no object", 202),
    Kill("PutObject", False, "before the upload", "media `fetching`, no object", None),
    Kill("UpdateItem", False, "between upload and *ready*", "media `fetching`, one object", None),
    Kill("UpdateItem", True, "once *ready* is set", "media `ready`, one object", 302),
]


@pytest.mark.parametrize("kill", VIEWS, ids=[kill.where for kill in VIEWS])
def test_a_view_killed_in_the_midst_blocks_nobody_for_longer_than_its_lease(
    system: System, observed: Observe, counted: Count, kill: Kill
) -> None:
    own_id = system.receive()
    hold = system.aws.hold(kill.operation, done=kill.done, nth=0, strikes=about(own_id))

    first = killed_at(system, PROXY, hold, lambda: system.get(own_id))

    assert first.status_code == 500
    assert stored(system, own_id).startswith(f"message once, {kill.left}")
    seen = [first, *([system.get(own_id)] if kill.at_once else [])]
    assert kill.at_once in {None, seen[-1].status_code}
    let_time_pass(system, own_id)
    seen.append(system.get(own_id))
    assert is_whole(system, own_id)
    system.sweep()
    counted(messages_sent=1, faults_injected=1, views=3, served=1, lost=0, duplicated=0)
    words = ", then ".join(map(saw, seen))
    now = f"{kill.left}; then {stored(system, own_id)}"
    observed("crash", f"media proxy, {kill.where}", kill.operation, words, now)


def test_a_view_killed_in_the_midst_of_a_download_is_taken_up_by_sweeper_and_worker(
    system: System, observed: Observe, counted: Count
) -> None:
    own_id = system.receive()
    media_id = system.message(own_id)["provider_media_id"]
    system.stack.meta.faults.add(media_id, faults.Slow(seconds=5, times=1, hop="download"))

    def downloading() -> None:
        wait_until(lambda: len(system.stack.meta.requests(media_id, "download")) == 1)

    first = killed(system, PROXY, downloading, lambda: system.get(own_id))

    assert first.status_code == 500
    left = stored(system, own_id)
    assert left == "message once, media `fetching`, no object"
    system.aws.forget()
    system.sweep()
    assert own_id not in system.jobs()  # its time has not come
    let_time_pass(system, own_id)
    system.sweep()
    assert system.jobs().count(own_id) == 1
    assert system.media(own_id)["status"] == "queued"
    assert system.work(own_id) == []
    assert is_whole(system, own_id)
    counted(messages_sent=1, faults_injected=1, views=2, jobs=1, served=1, lost=0, duplicated=0)
    observed(
        "crash",
        "media proxy, while the file comes",
        "Graph, download",
        f"{saw(first)}; after the lease the sweeper queues it, then 302",
        f"{left}; then {stored(system, own_id)}",
    )


# --- the worker and the sweeper ----------------------------------------------------------------------------------


def test_a_worker_killed_in_the_midst_of_a_large_upload_shows_nothing_and_the_next_one_brings_the_right_bytes(
    system: System, observed: Observe, counted: Count
) -> None:
    own_id, sha256 = document(system, 20 * builders.MIB)
    hold = system.aws.hold("UploadPart", nth=1, strikes=about(own_id))

    first = killed_at(system, WORKER, hold, worked(system, own_id))

    assert first == "the batch comes again"
    left = stored(system, own_id)
    assert left == "message once, media `fetching`, no object, an upload open"
    let_time_pass(system, own_id)
    assert system.work(own_id) == []
    assert hashlib.sha256(system.bytes_of(own_id).content).hexdigest() == sha256
    counted(messages_sent=1, faults_injected=1, jobs=2, served=1, lost=0, duplicated=0)
    words = f"{left}; then {stored(system, own_id)} (S3's lifecycle ends the upload)"
    observed("crash", "prefetch, between two parts of a large file", "UploadPart", first, words)


@pytest.mark.parametrize("operation", ["PutObject", "UpdateItem"])
def test_a_worker_killed_with_two_jobs_in_hand_does_each_of_them_once(
    system: System, observed: Observe, counted: Count, operation: str
) -> None:
    pair = [system.receive(), system.receive()]
    hold = system.aws.hold(operation, strikes=about(pair[1]))

    first = killed_at(system, WORKER, hold, worked(system, *pair))

    assert first == "the batch comes again"
    left = " / ".join(stored(system, own_id) for own_id in pair)
    system.stack.meta.forget_requests()
    let_time_pass(system, pair[1])
    assert system.work(*pair) == []
    assert all(is_whole(system, own_id) for own_id in pair)
    asked = [system.stack.meta.requests(system.message(own_id)["provider_media_id"], "download") for own_id in pair]
    assert [len(requests) for requests in asked] == [0, 1]
    counted(messages_sent=2, faults_injected=1, jobs=4, served=2, lost=0, duplicated=0)
    both = " / ".join(stored(system, own_id) for own_id in pair)
    observed("crash", "prefetch, in the second of two jobs", operation, first, f"{left}; then {both}")


def test_a_sweeper_killed_between_queueing_and_noting_it_queues_once_more_and_one_download_is_made(
    system: System, observed: Observe, counted: Count
) -> None:
    own_id = system.receive(timestamp=str(later(-700)))
    system.aws.forget()
    hold = system.aws.hold("TransactWriteItems", strikes=about(own_id))

    def sweep() -> str:
        try:
            return str(system.sweep())
        except EnvironmentCrashed:
            return "the run is gone"

    first = killed_at(system, SWEEPER, hold, sweep)

    assert first == "the run is gone"
    left = stored(system, own_id)
    system.sweep()
    assert system.jobs().count(own_id) == 2
    assert (system.work(own_id), system.work(own_id)) == ([], [])
    assert is_whole(system, own_id)
    assert len(system.stack.meta.requests(system.message(own_id)["provider_media_id"], "download")) == 1
    counted(messages_sent=1, faults_injected=1, jobs=2, served=1, lost=0, duplicated=0)
    where = "sweep, between queueing and noting it"
    observed(
        "crash", where, "TransactWriteItems", "queued twice, one download", f"{left}; then {stored(system, own_id)}"
    )


def test_a_job_whose_worker_was_killed_comes_back_from_the_queue_by_itself(
    system: System, observed: Observe, counted: Count
) -> None:
    system.empty_table()  # sweeper and worker take whatever they find
    own_id = system.receive()
    hold = system.aws.hold("PutObject", strikes=about(own_id))

    with hidden_for(system, seconds=6), system.stack.background():
        hold.wait()
        assert system.stack.functions.kill_busy(WORKER) >= 1
        hold.drop()
        left = stored(system, own_id)
        let_time_pass(system, own_id)
        wait_until(lambda: system.media(own_id)["status"] == "ready")
        wait_until(lambda: system.queued() == 0)

    assert (system.media(own_id)["attempts"], system.media(own_id)["fence"]) == (2, 2)
    assert is_whole(system, own_id)
    counted(messages_sent=1, faults_injected=1, jobs=2, served=1, lost=0, duplicated=0)
    observed(
        "crash",
        "prefetch, before the upload; the queue hands the job out again",
        "PutObject",
        "nobody waits; the job is hidden, then comes again",
        f"{left}; then {stored(system, own_id)}",
    )


@contextmanager
def hidden_for(system: System, seconds: int) -> Iterator[None]:
    """Let the queue hide what it hands out for a shorter time."""
    sqs, queue = system.client("sqs"), system.stack.queue_url
    name = "VisibilityTimeout"
    before = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={name: str(seconds)})
    try:
        yield
    finally:
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={name: before})
