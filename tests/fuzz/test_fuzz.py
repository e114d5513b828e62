"""Thousands of requests that nobody should send: nothing breaks, nothing opens, nothing is stored without a signature.

`make verify` sends FUZZ_REQUESTS=20000 of them with a seed of its own; `make test` the same few each time. FUZZ_SEED
gives the same requests again.
"""

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inbound.media import message_id
from local.environments import KEPT
from local.stack import ROOT
from local.template import routes
from tests import builders
from tests.fuzz.raw import Line
from tests.fuzz.strange import Strange, World, request
from tests.fuzz.verdict import flaws
from tests.integration import system as systems
from tests.integration.system import System, json_lines

REQUESTS = int(os.environ.get("FUZZ_REQUESTS") or 600)
SEED = os.environ.get("FUZZ_SEED") or "1"
AT_ONCE = 16
UNSIGNED = 0.7  # of all requests; the others may bear a valid signature
AT_A_TIME = 500  # requests until the witness thinks about them
LONGEST = 1800  # seconds
READS = frozenset({"Query", "BatchGetItem", "GetSecretValue", "HeadObject"})
# Handlers that have served once keep what they have imported; and each of them serves hundreds of requests.
GROWTH = 40 * 1024 * 1024


@dataclass
class Tally:
    """What came of the requests so far."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    by_functions: int = 0
    unanswered: int = 0
    slowest: float = 0.0
    flaws: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Stores:
    """How much is stored: items, objects, jobs."""

    items: int
    objects: int
    jobs: int


@pytest.fixture
def world(system: System) -> World:
    """Prepare messages of each kind that a view can meet without anything being written."""
    ready, text = system.receive(), builders.text_message()
    document = system.receive(builders.BROCHURE)
    assert system.work(ready, document) == []
    number = system.stack.phone_number_id
    never = builders.message("image", {"mime_type": "image/jpeg"})
    assert system.post(builders.notification(text, never, phone_number_id=number)).status_code == 200
    known = [ready, document, *(message_id(number, message["id"]) for message in (text, never))]
    assert [system.get(own_id).status_code for own_id in known] == [302, 302, 404, 410]
    return World(
        routes=routes(system.stack.template),
        known=known,
        phone_number_id=number,
        app_secret=system.stack.app_secret,
        verify_token=system.stack.verify_token,
        media_token_secret=system.stack.media_token_secret,
        payloads=[path.read_bytes() for path in sorted(builders.PAYLOADS.glob("*.json"))],
    )


def documented() -> dict[str, int]:
    """Give the errors of docs/errors.md, each with its status."""
    page = (ROOT / "docs/errors.md").read_text("utf-8")
    return {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page, re.MULTILINE)}


def stored(system: System) -> Stores:
    return Stores(len(system.everything()), len(system.objects()), system.queued())


def fuzz(system: System, world: World, numbers: range, *, signed: bool) -> Tally:
    """Send the requests with these numbers, many at once; give what came of them."""
    tally, codes, own = Tally(), documented(), threading.local()
    lines = [Line(int(system.stack.api_url.rpartition(":")[2])) for _ in range(AT_ONCE)]
    free = iter(lines)

    def begin() -> None:
        own.line = next(free)

    def send(number: int) -> None:
        note(number, request(world, SEED, number, signed=signed), own.line, tally, codes)

    with ThreadPoolExecutor(AT_ONCE, initializer=begin) as threads:
        for start in range(numbers.start, numbers.stop, AT_A_TIME):
            for _ in threads.map(send, range(start, min(start + AT_A_TIME, numbers.stop))):
                pass
            system.witness.settle()
    for line in lines:
        line.close()
    return tally


def note(number: int, asked: Strange, line: Line, tally: Tally, codes: Mapping[str, int]) -> None:
    answer = line.ask(asked)
    with tally.lock:
        if answer is None:
            tally.unanswered += 1
            return
        tally.answers[asked.aim, answer.status] += 1
        tally.by_functions += answer.by_a_function
        tally.slowest = max(tally.slowest, answer.took)
        for flaw in flaws(asked, answer, codes):
            tally.flaws.append(
                f"request {number} of seed {SEED}: {flaw}\n    {asked.wire[:400]!r}\n    {answer.body[:200]!r}"
            )


def resident(system: System) -> dict[int, int]:
    """Give the memory of each process that runs handlers, in bytes."""
    pids = [own._process.pid for pool in system.stack.functions._pools.values() for own in pool._all]
    return {pid: memory_of(pid) for pid in pids if pid is not None}


def memory_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@pytest.mark.timeout(LONGEST)
def test_no_strange_request_breaks_anything_opens_anything_or_stores_anything_unsigned(
    system: System, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    first_signed = int(REQUESTS * UNSIGNED)
    warm_up = fuzz(system, world, range(-200, 0), signed=False)
    log, memory, begun = len(systems.LOGS.read_text("utf-8")), resident(system), time.monotonic()
    before = stored(system)
    system.aws.forget()

    unsigned = fuzz(system, world, range(first_signed), signed=False)

    calls, between = set(system.aws.calls), stored(system)
    signed = fuzz(system, world, range(first_signed, REQUESTS), signed=True)

    took, after, grown = time.monotonic() - begun, stored(system), resident(system)
    tallies = (warm_up, unsigned, signed)
    with capsys.disabled():
        print("\n".join(figures(tallies[1:], took, (before, between, after), memory, grown)))
    assert [flaw for tally in tallies for flaw in tally.flaws] == []
    assert (between, calls - READS) == (before, set()), "something was stored without a signature"
    assert after.items > between.items
    assert after.jobs > between.jobs
    assert_fair(tallies[1:])
    assert_quiet(systems.LOGS.read_text("utf-8")[log:])
    assert len(grown) <= 2 * (AT_ONCE + KEPT)  # as many of each of the two functions as there were requests at once
    assert max(grown[pid] - memory[pid] for pid in grown.keys() & memory.keys()) < GROWTH


def assert_fair(tallies: tuple[Tally, ...]) -> None:
    """Most requests reached a handler, and few died on the way."""
    assert sum(tally.by_functions for tally in tallies) > 0.6 * REQUESTS
    assert sum(tally.unanswered for tally in tallies) < 0.02 * REQUESTS


def assert_quiet(log: str) -> None:
    """No handler has stumbled: no traceback, no error, no function that the runtime had to end."""
    assert "Traceback" not in log
    assert "stack_trace" not in log
    assert [line["message"] for line in json_lines(log) if line.get("level") in {"ERROR", "CRITICAL"}] == []


def figures(
    tallies: tuple[Tally, ...],
    took: float,
    stores: tuple[Stores, ...],
    memory: Mapping[int, int],
    grown: Mapping[int, int],
) -> Iterator[str]:
    """Tell what was sent and what came of it."""
    answers = sum((tally.answers for tally in tallies), Counter())
    yield f"\n{REQUESTS} requests, FUZZ_SEED={SEED}, {AT_ONCE} at once: {took:.0f} s, {REQUESTS / took:.0f} a second"
    for aim in sorted({aim for aim, _ in answers}):
        by_status = {status: number for (own, status), number in sorted(answers.items()) if own == aim}
        shares = ", ".join(f"{number} with {status}" for status, number in by_status.items())
        yield f"  {sum(by_status.values()):6} {aim}: {shares}"
    yield f"  {sum(tally.by_functions for tally in tallies)} answered by functions"
    yield f"  {sum(tally.unanswered for tally in tallies)} ended without an answer"
    yield f"  the slowest took {max(tally.slowest for tally in tallies):.2f} s"
    for name, one in zip(("before", "after the unsigned", "after the signed"), stores, strict=True):
        yield f"  {name}: {one.items} items, {one.objects} objects, {one.jobs} jobs"
    most = max(grown[pid] - memory[pid] for pid in grown.keys() & memory.keys())
    yield f"  {len(memory)} handler processes before, {len(grown)} after; one has grown by {most / 2**20:.1f} MiB"
