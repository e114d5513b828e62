"""A fault met both ways, by a browser that looks and by the worker that fetches ahead, and what holds afterwards."""

import base64
import hashlib
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import requests

from inbound.media import message_id
from local import faults
from local.faults import Fault
from local.graph import Asked
from tests import builders
from tests.builders import Sample
from tests.integration.system import System, json_lines, later
from tests.reliability import report
from tests.reliability.conftest import Count, Observe

DAY = 24 * 3600
OLD = {"timestamp": str(later(-8 * DAY))}
"""What makes a message older than Meta keeps its media."""
IN_PARTS = builders.BROCHURE.content + bytes(9 * builders.MIB)
"""A file that goes to S3 in two parts, and that a browser waits for."""
READY = "message once, media `ready`, one object"

# The public contract: status, and whether a page may offer to try again.
ANSWERS = {
    "media_expired": (410, True),
    "media_too_large": (413, False),
    "media_unavailable": (410, False),
    "media_corrupt": (502, True),
    "access_token_invalid": (502, False),
    "graph_refused": (502, False),
    "media_host_refused": (502, False),
    "rate_limited": (503, True),
    "graph_unavailable": (503, True),
    "graph_timeout": (504, True),
}


@dataclass(frozen=True)
class Case:
    """A fault in words and as the simulator's faults; the code that it ends with ("": served all the same).

    `resolves` is how often Graph is asked for the id, `settled` whether that is the end. `logged` is Graph's code and
    subcode as the log must give them. The file is `content` (None: the sample's), `media` adds to the webhook's media
    object, `fields` to its message, `number` is whose it is. `place` is where the fault is, when not in the simulator.
    """

    fault: str
    injected: tuple[Fault, ...]
    code: str = ""
    resolves: int = 1
    settled: bool = False
    logged: tuple[int | None, int | None] = (None, None)
    sample: Sample = builders.PHOTO
    content: bytes | None = field(default=None, repr=False)
    media: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    number: str | None = None
    place: str = ""

    @property
    def bytes(self) -> bytes:
        return self.sample.content if self.content is None else self.content

    @property
    def where(self) -> str:
        hops = sorted({fault.hop for fault in self.injected}, reverse=True)
        return self.place or f"Graph, {' and '.join(hops)}"


def in_parts(case: Case) -> Case:
    """Give the same case with a file that goes to S3 in parts."""
    return replace(case, fault=f"{case.fault} (in parts)", sample=builders.BROCHURE, content=IN_PARTS)


class Sent(NamedTuple):
    """A message whose media Graph does not give as it should: our id of it, and Graph's id of its media."""

    own_id: str
    media_id: str


def receive(system: System, case: Case) -> Sent:
    """Let Meta deliver a message, and break what Graph says of its media."""
    number = case.number or system.stack.phone_number_id
    held = system.stack.meta.add_media(case.bytes, case.sample.mime_type, phone_number_id=number)
    true_hash = base64.b64encode(hashlib.sha256(case.bytes).digest()).decode()
    message = builders.media_message(case.sample, held.id, media={"sha256": true_hash, **case.media}, **case.fields)
    assert system.post(builders.notification(message, phone_number_id=number)).status_code == 200
    system.stack.meta.faults.add(held.id, *case.injected)
    return Sent(message_id(number, message["id"]), held.id)


def prove(system: System, section: str, case: Case, observed: Observe, counted: Count) -> None:
    """Let a browser and the worker meet the fault; then let it pass, and the next attempt be due."""
    looked_at, fetched_ahead = receive(system, case), receive(system, case)
    system.aws.forget()
    logged = len(system.logs())

    with ThreadPoolExecutor(2) as threads:
        job = threads.submit(system.work, fetched_ahead.own_id)
        answer = system.get(looked_at.own_id)
    assert job.result() == []

    both = (looked_at, fetched_ahead)
    _answered(case, answer)
    job_said = job_words(system, case, fetched_ahead)
    saw = f"browser: {report.saw(answer)}; worker: {job_said}; {_requests(system, case, both)}"
    log = system.logs()[logged:]
    (stored,) = {_noted(system, case, sent, log) for sent in both}
    injected = sum(_strikes(system, case, sent) for sent in both)
    _left_alone(system, case, looked_at)
    end = _pass_over(system, case, both)
    kept = [listed(system, sent) for sent in both]
    assert kept == [1, 1]
    counted(
        faults_injected=injected,
        messages_sent=2,
        lost=kept.count(0),
        duplicated=sum(count > 1 for count in kept),
        served=0 if case.settled else 2,
    )
    observed(section, case.fault, case.where, saw, f"{stored}{end}")


def _answered(case: Case, answer: requests.Response) -> None:
    if not case.code:
        assert answer.status_code == 302, answer.text
        return
    status, retryable = ANSWERS[case.code]
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, case.code), answer.text
    assert problem["retryable"] == (retryable and not case.settled)
    assert ("Retry-After" in answer.headers) == (not case.settled)


def _requests(system: System, case: Case, both: tuple[Sent, Sent]) -> str:
    """Check how often Graph was asked, which is the same for both; say it."""
    assert [len(asked(system, sent, "resolve")) for sent in both] == [case.resolves] * 2
    return f"resolved {times(case.resolves)}"


def _noted(system: System, case: Case, sent: Sent, log: str) -> str:
    """Check what was written of an attempt; say it in words."""
    said = report.stored(system, sent.own_id)
    assert said == _words(case)
    if not case.code:
        assert system.bytes_of(sent.own_id).content == case.bytes
        return said
    media = system.media(sent.own_id)
    assert ("next_attempt_at" in media) == (not case.settled)
    assert "lease_until" not in media
    _given_up_in(log, case, sent)
    return said


def _words(case: Case) -> str:
    """Say what must be stored after the fault: nothing that is wrong, half, or left open."""
    if not case.code:
        return READY
    return f"message once, media `{'failed' if case.settled else 'waiting'}` (`{case.code}`), no object"


def _left_alone(system: System, case: Case, sent: Sent) -> None:
    """Check that who asks before the next attempt is due is told the same, and that Graph is left alone."""
    if case.code:
        assert system.get(sent.own_id).json()["code"] == case.code
        assert len(asked(system, sent, "resolve")) == case.resolves


def _given_up_in(log: str, case: Case, sent: Sent) -> None:
    lines = json_lines(log)
    own = [line for line in lines if line.get("message_id") == sent.own_id]
    (entry,) = [line for line in own if line["message"] == "fetch_failed"]
    graph_code, subcode = case.logged
    assert (entry["code"], entry["settled"], entry["attempt"]) == (case.code, case.settled, 1)
    assert (entry.get("graph_code"), entry.get("graph_subcode")) == (graph_code, subcode)
    assert bool(entry.get("fbtrace_id")) == (graph_code is not None)
    counted = [line["graph_code"] for line in lines if "GraphErrors" in line]
    assert counted == ([str(graph_code)] * 2 if graph_code is not None else []), "each way is counted once"


def _pass_over(system: System, case: Case, both: tuple[Sent, Sent]) -> str:
    """Let the fault be over and the next attempts be due; say how it ends, which is the same for both."""
    if not case.code:
        return ""
    for sent in both:
        system.stack.meta.faults.clear(sent.media_id)
        if not case.settled:
            system.change(sent.own_id, "MEDIA", next_attempt_at=later(-1))
    assert system.work(*(sent.own_id for sent in both)) == []
    if case.settled:
        assert {report.stored(system, sent.own_id) for sent in both} == {_words(case)}
        assert [len(asked(system, sent, "resolve")) for sent in both] == [case.resolves] * 2
        return "; stays so, Graph is not asked again"
    (end,) = {healed(system, case, sent) for sent in both}
    return f"; next attempt: {end}"


def healed(system: System, case: Case, sent: Sent) -> str:
    """Check that a message has its media; say so."""
    assert report.stored(system, sent.own_id) == READY
    assert system.bytes_of(sent.own_id).content == case.bytes
    return f"`{system.media(sent.own_id)['status']}`"


def later_on(system: System, case: Case, sent: Sent) -> str:
    """Let the fault be over and the worker make the next attempt, which is due; say how it ends."""
    system.stack.meta.faults.clear(sent.media_id)
    system.change(sent.own_id, "MEDIA", next_attempt_at=later(-1))
    assert system.work(sent.own_id) == []
    return healed(system, case, sent)


# --- what there is ------------------------------------------------------------------------------------------------


def asked(system: System, sent: Sent, hop: faults.Hop) -> list[Asked]:
    """Give what Graph was asked about the media of a message."""
    return system.stack.meta.requests(sent.media_id, hop)


def listed(system: System, sent: Sent) -> int:
    """Count a message in the listing of its conversation, which holds nothing else."""
    answer = system.client("dynamodb").query(
        TableName=system.stack.table_name,
        IndexName="GSI1",
        KeyConditionExpression="gsi1pk = :conversation",
        ExpressionAttributeValues={":conversation": {"S": system.message(sent.own_id)["gsi1pk"]}},
    )
    return sum(item["sk"]["S"] == "MESSAGE" for item in answer["Items"])


def job_words(system: System, case: Case, sent: Sent) -> str:
    """Say what has become of the worker's job."""
    if sent.own_id in system.jobs():
        return "job done, next one sent"
    return "job done" if case.settled or not case.code else "job done, next one left to the sweeper"


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _strikes(system: System, case: Case, sent: Sent) -> int:
    """Count the requests that met a fault."""
    hops = {fault.hop for fault in case.injected}
    most = {hop: sum(fault.times or math.inf for fault in case.injected if fault.hop == hop) for hop in hops}
    return sum(int(min(most[hop], len(asked(system, sent, hop)))) for hop in hops)
