"""The file does not come as it should: nothing wrong or half is ever shown, and what is true is fetched in the end."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import requests
from werkzeug.wrappers import Request, Response

from local import faults
from local.server import serve
from tests import builders
from tests.integration.system import System
from tests.reliability import report
from tests.reliability.both_ways import (
    IN_PARTS,
    OLD,
    Case,
    asked,
    healed,
    in_parts,
    job_words,
    prove,
    receive,
)
from tests.reliability.conftest import Count, Observe
from tests.reliability.hurry import WORKER, hurried_system  # noqa: F401  (a fixture)

RIGHT = hashlib.sha256(builders.PHOTO.content).digest()
WRONG = base64.b64encode(hashlib.sha256(b"another file").digest()).decode()
UNDECLARED = faults.Described(drop=("file_size", "sha256"))
"""Graph says neither length nor hash."""
NO_HASH: dict[str, Any] = {"sha256": None}


def dead(status: Any, code: str, *, settled: bool = False, **more: Any) -> Case:
    name = f"the URL is dead ({status}), and the new one as well"
    return Case(name, (faults.DeadUrl(status=status),), code, resolves=2, settled=settled, **more)


BROKEN_OFF = [
    Case("cut off in the middle", (faults.CutOff(),), "graph_unavailable", resolves=3),
    Case("cut off in the middle, once", (faults.CutOff(times=1),), resolves=2),
    Case("truncated, in an answer that is whole for HTTP", (faults.Truncated(),), "media_corrupt"),
    Case("the right length, wrong bytes", (faults.Corrupt(),), "media_corrupt"),
    Case("Graph declares a wrong hash", (faults.HashAs(form="wrong"),), "media_corrupt"),
]
CASES = [
    # --- the URL is dead
    *(
        Case(f"the URL is dead ({status}), once", (faults.DeadUrl(status=status, times=1),), resolves=2)
        for status in (401, 403, 404)
    ),
    Case("an HTML page with 200 instead of the file, once", (faults.HtmlPage(times=1),), resolves=2),
    *(
        Case(f"the URL answers {status}, once", (faults.Status(status=status, times=1),), resolves=2)
        for status in (400, 410)
    ),
    Case("the URL answers 410 twice", (faults.Status(status=410),), "media_expired", resolves=2, settled=True),
    Case("the URL answers 400 twice", (faults.Status(status=400),), "graph_refused", resolves=2),
    dead(404, "media_expired"),
    replace(dead(404, "media_expired", settled=True, fields=OLD), fault="the URL is dead (404) twice, past the 7 days"),
    dead(401, "access_token_invalid"),
    dead(403, "graph_refused"),
    Case("an HTML page with 200 instead of the file", (faults.HtmlPage(),), "media_corrupt", resolves=2),
    Case("Graph's JSON instead of the file", (faults.MetadataInsteadOfFile(),), "media_corrupt", resolves=2),
    Case(
        "Graph's JSON instead of the file, as `image/jpeg`",
        (faults.MetadataInsteadOfFile(keep_content_type=True),),
        "media_corrupt",
        resolves=2,
    ),
    Case(
        "Graph's JSON instead of the file, and neither length nor hash known",
        (faults.MetadataInsteadOfFile(keep_content_type=True), UNDECLARED),
        "media_corrupt",
        resolves=2,
        media=NO_HASH,
    ),
    # --- throttled, refused
    Case("HTTP 500 with HTML", (faults.ServerError(hop="download"),), "graph_unavailable", resolves=3),
    Case("HTTP 429", (faults.RateLimited(hop="download"),), "rate_limited", resolves=3, logged=(80007, None)),
    Case("code 190", (faults.BadToken(hop="download"),), "access_token_invalid", logged=(190, 463)),
    # --- broken off, changed
    *BROKEN_OFF,
    *map(in_parts, BROKEN_OFF),
    Case(
        "cut off in the middle, and neither length nor hash known",
        (faults.CutOff(), UNDECLARED),
        "graph_unavailable",
        resolves=3,
        media=NO_HASH,
    ),
    Case(
        "truncated, and the length is not declared",
        (faults.Truncated(), faults.SizeAs(form="absent")),
        "media_corrupt",
    ),
    Case("nothing comes", (faults.Truncated(after=0),), "media_corrupt"),
    Case(
        "nothing comes, and neither length nor hash known",
        (faults.Truncated(after=0), UNDECLARED),
        "media_corrupt",
        media=NO_HASH,
    ),
    Case("the file is empty, and Meta says so", (), content=b"", place="Meta"),
    # --- what Meta declares
    Case("Graph declares fewer bytes", (faults.LyingLength(size=1024),), "media_corrupt"),
    Case("Graph declares more bytes", (faults.LyingLength(size=10**6),), "media_corrupt"),
    in_parts(Case("Graph declares fewer bytes", (faults.LyingLength(size=1024),), "media_corrupt")),
    in_parts(Case("Graph declares more bytes", (faults.LyingLength(size=10**7),), "media_corrupt")),
    Case("more than the limit is declared", (faults.LyingLength(size=200 * 10**6),), "media_too_large", settled=True),
    Case("the length as a number", (faults.SizeAs(form="int"),)),
    Case("the length as a text", (faults.SizeAs(form="string"),)),
    Case("the hash in hex", (faults.HashAs(form="hex"),)),
    Case("the hash in base64", (faults.HashAs(form="base64"),)),
    Case("the hash in base64, wrong bytes", (faults.HashAs(form="base64"), faults.Corrupt()), "media_corrupt"),
    Case("no hash of Graph, the webhook's is right", (faults.HashAs(form="absent"),)),
    Case(
        "no hash of Graph, the webhook's in hex is right",
        (faults.HashAs(form="absent"),),
        media={"sha256": RIGHT.hex()},
    ),
    Case(
        "no hash of Graph, the webhook's tells wrong bytes",
        (faults.HashAs(form="absent"), faults.Corrupt()),
        "media_corrupt",
    ),
    # --- types
    Case("the wrong `Content-Type`", (faults.WrongContentType(content_type="text/html"),)),
    Case("Graph declares a type that the bytes are not", (faults.Described(members={"mime_type": "text/html"}),)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_only_the_bytes_that_meta_declared_are_ever_shown_and_they_are_fetched_in_the_end(
    system: System, observed: Observe, counted: Count, case: Case
) -> None:
    prove(system, "download", case, observed, counted)


def test_a_hash_of_graph_that_is_right_outweighs_a_wrong_one_of_the_webhook(
    system: System, observed: Observe, counted: Count
) -> None:
    case = Case("the webhook's hash is wrong, Graph's is right", (), media={"sha256": WRONG}, place="webhook")

    prove(system, "download", case, observed, counted)


def test_a_wrong_hash_of_the_webhook_is_refused_where_graph_gives_none(
    system: System, observed: Observe, counted: Count
) -> None:
    case = Case(
        "no hash of Graph, the webhook's is wrong",
        (faults.HashAs(form="absent"),),
        "media_corrupt",
        media={"sha256": WRONG},
    )

    prove(system, "download", case, observed, counted)


@pytest.mark.parametrize(
    ("fault", "content_type"),
    [
        (faults.WrongContentType(content_type="text/html"), "image/jpeg"),
        (faults.Described(members={"mime_type": "text/html"}), "application/octet-stream"),
        (faults.Described(members={"mime_type": "image/svg+xml"}), "image/jpeg"),
    ],
    ids=["of the answer", "of the description", "of the description, an image that may hold scripts"],
)
def test_a_wrong_type_never_makes_a_browser_take_a_file_for_a_page(
    system: System, fault: faults.Fault, content_type: str
) -> None:
    sent = receive(system, Case("", (fault,)))

    shown = system.bytes_of(sent.own_id)

    assert shown.headers["Content-Type"] == content_type
    assert shown.headers["Content-Disposition"].startswith("inline" if "image" in content_type else "attachment")


def test_a_file_that_comes_late_but_comes_is_fetched_by_whoever_asks(
    system: System, observed: Observe, counted: Count
) -> None:
    case = Case("a slow drip that is over in time", (faults.Drip(size=8192, pause=0.05),))

    prove(system, "download", case, observed, counted)


@pytest.mark.parametrize(
    "fault",
    [faults.Drip(size=1024, pause=0.1, times=1), faults.Hang(hop="download", seconds=10, times=1)],
    ids=["a slow drip", "no answer"],
)
def test_what_a_browser_cannot_wait_for_is_handed_to_the_worker(
    system: System, hurried: System, observed: Observe, counted: Count, fault: faults.Fault
) -> None:
    case = Case("a slow drip" if fault.fault == "drip" else "no answer", (fault,))
    sent = receive(system, case)
    system.aws.forget()

    answer = hurried.get(sent.own_id)

    assert (answer.status_code, answer.json()["status"], answer.headers["Retry-After"]) == (202, "pending", "2")
    assert system.jobs() == [sent.own_id]
    stored = report.stored(system, sent.own_id)
    assert stored == "message once, media `queued`, no object"
    assert system.get(sent.own_id).status_code == 202
    assert system.work(sent.own_id) == []
    counted(faults_injected=1, messages_sent=1, served=1)
    saw = f"browser: {report.saw(answer)}; job sent"
    observed("download", case.fault, case.where, saw, f"{stored}; then {healed(system, case, sent)}")


# --- other hosts -------------------------------------------------------------------------------------------------


@dataclass
class Stranger:
    """A host that is not on the list, which would answer with the very file; it keeps what it is asked."""

    url: str = ""
    seen: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        self.seen.append({"path": request.path, **dict(request.headers)})
        return Response(builders.PHOTO.content, content_type="image/jpeg")(environ, start_response)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    host = Stranger()
    with serve(host) as server:
        host.url = server.url
        requests.get(f"{server.url}/is-it-there", timeout=5)
        assert [request["path"] for request in host.seen] == ["/is-it-there"]
        host.seen.clear()
        yield host


FOREIGN: dict[str, Callable[[str], tuple[faults.Fault, ...]]] = {
    "a redirect to a foreign host": lambda url: (faults.Redirect(location=f"{url}/file"),),
    "a redirect without a scheme to a foreign host": lambda url: (faults.Redirect(location=url.removeprefix("http:")),),
    "a redirect that keeps the method (307) to a foreign host": lambda url: (
        faults.Redirect(location=url, status=307),
    ),
    "a URL on a foreign host": lambda url: (faults.UrlHost(origin=url),),
    "a URL with another port": lambda url: (faults.Described(members={"url": f"{url}/file"}),),
    "a URL whose user looks like a known host": lambda url: (
        faults.Described(members={"url": url.replace("http://", "http://lookaside.fbsbx.com@")}),
    ),
    "a URL of a file": lambda _: (faults.Described(members={"url": "file:///etc/passwd"}),),
    "a URL of the cloud's own metadata": lambda _: (faults.UrlHost(origin="http://169.254.169.254"),),
}


@pytest.mark.parametrize("fault", FOREIGN)
def test_the_token_reaches_no_host_off_the_list_not_even_through_a_redirect(
    system: System, stranger: Stranger, observed: Observe, counted: Count, fault: str
) -> None:
    case = Case(fault, FOREIGN[fault](stranger.url), "media_host_refused")

    prove(system, "download", case, observed, counted)

    assert stranger.seen == []


def test_the_token_does_not_follow_from_a_host_on_the_list_to_one_off_it(
    system: System, stranger: Stranger, observed: Observe, counted: Count
) -> None:
    elsewhere = f"{system.stack.graph_url}/whatsapp_business/attachments/?mid=elsewhere"
    system.stack.meta.faults.add("elsewhere", faults.Redirect(location=stranger.url))
    case = Case(
        "a redirect to an allowed host, and from there to a foreign one",
        (faults.Redirect(location=elsewhere),),
        "media_host_refused",
    )

    prove(system, "download", case, observed, counted)

    assert stranger.seen == []


def test_a_redirect_to_an_allowed_host_is_followed(system: System, observed: Observe, counted: Count) -> None:
    held = system.stack.meta.add_media(builders.PHOTO.content, "image/jpeg")
    fault = faults.Redirect(location=system.stack.meta._media_url(held.id))

    prove(system, "download", Case("a redirect to an allowed host", (fault,)), observed, counted)


def test_a_redirect_loop_ends(system: System, observed: Observe, counted: Count) -> None:
    fault = faults.Redirect(location=f"{system.stack.graph_url}/whatsapp_business/attachments/?mid=loop")
    system.stack.meta.faults.add("loop", fault)

    case = Case("a redirect loop", (fault,), "graph_unavailable", resolves=3)
    prove(system, "download", case, observed, counted)

    assert len(system.stack.meta.requests("loop")) <= 2 * 3 * 3


# --- too much ----------------------------------------------------------------------------------------------------


def test_two_hundred_megabytes_declared_as_one_kilobyte_are_cut_off_at_the_limit_with_flat_memory(
    system: System, observed: Observe, counted: Count
) -> None:
    flood = faults.Oversize(size=200 * 10**6)
    case = Case(
        "200 MB declared as 1 kB",
        (flood, faults.LyingLength(size=1024)),
        "media_too_large",
        settled=True,
        sample=builders.BROCHURE,
    )
    small, sent = receive(system, replace(case, injected=(), content=IN_PARTS)), receive(system, case)
    system.aws.forget()

    done = system.run(WORKER, builders.sqs_event(small.own_id), builders.sqs_event(sent.own_id))

    assert done["answers"] == [{"batchItemFailures": []}] * 2
    assert done["peak"] <= 32 * builders.MIB, done["peak"]
    assert done["written"] == []
    stored = report.stored(system, sent.own_id)
    assert stored == "message once, media `failed` (`media_too_large`), no object"
    answer = system.get(sent.own_id)
    assert (answer.status_code, answer.json()["code"]) == (413, "media_too_large")
    assert len(asked(system, sent, "download")) == 1
    counted(faults_injected=1, messages_sent=1)
    saw = f"worker: {job_words(system, case, sent)}, at most 32 MiB of memory; browser: {report.saw(answer)}"
    observed("download", case.fault, case.where, saw, stored)
