"""Meta answers badly: each code, each throttle, each silence costs time, and never a file."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from local import faults
from local.options import GRAPH_TOKEN
from tests.integration import system as systems
from tests.integration.system import System, later
from tests.reliability import report
from tests.reliability.both_ways import DAY, OLD, Case, Sent, asked, healed, later_on, prove, receive
from tests.reliability.conftest import Count, Observe
from tests.reliability.hurry import CLOCKED, NO_STORAGE, WORKER, hurried_system  # noqa: F401  (a fixture)

ROTATED = "700000000000005"


def refused(code: int, status: int, *, subcode: int | None = None, transient: bool | None = None) -> faults.GraphError:
    return faults.GraphError(code=code, status=status, subcode=subcode, transient=transient)


def by_code(graph_code: int, status: int, code: str, resolves: int) -> Case:
    name = f"code {graph_code} as HTTP {status}"
    return Case(name, (refused(graph_code, status),), code, resolves, logged=(graph_code, None))


RESOLVE: faults.Hop = "resolve"
EXPIRED = Case("code 100/33, the object does not exist", (faults.Expired(),), "media_expired", logged=(100, 33))
NOT_FOUND = Case("HTTP 404 without Graph's error", (faults.Status(hop=RESOLVE, status=404),), "media_expired")

CASES = [
    # --- gone, or not for this token
    NOT_FOUND,
    replace(NOT_FOUND, fault=f"{NOT_FOUND.fault}, past the 7 days", fields=OLD, settled=True),
    Case("HTTP 410", (faults.Gone(),), "media_expired", settled=True),
    EXPIRED,
    replace(EXPIRED, fault=f"{EXPIRED.fault}, past the 7 days", fields=OLD, settled=True),
    Case("HTTP 500 once, past the 7 days", (faults.ServerError(times=1),), resolves=2, fields=OLD),
    # --- our token
    Case("code 190", (faults.BadToken(),), "access_token_invalid", logged=(190, 463)),
    Case(
        "code 190 for both tokens of a number",
        (faults.BadToken(),),
        "access_token_invalid",
        resolves=2,
        logged=(190, 463),
        number=systems.STALE_TOKEN_NUMBER,
    ),
    Case(
        "code 190 for the first token of a number only",
        (),
        resolves=2,
        number=systems.STALE_TOKEN_NUMBER,
        place="Graph, resolve",
    ),
    replace(by_code(190, 401, "access_token_invalid", 1), fault="code 190, past the 7 days", fields=OLD),
    by_code(0, 401, "access_token_invalid", 1),
    by_code(102, 401, "access_token_invalid", 1),
    # --- throttles
    by_code(4, 400, "rate_limited", 3),
    by_code(17, 400, "rate_limited", 3),
    by_code(80007, 429, "rate_limited", 3),
    by_code(80008, 400, "rate_limited", 3),
    by_code(130429, 429, "rate_limited", 3),
    by_code(131048, 429, "rate_limited", 1),
    Case("HTTP 429 without Graph's error", (faults.Status(hop=RESOLVE, status=429),), "rate_limited", 3),
    Case("code 80007 twice", (faults.RateLimited(times=2),), resolves=3),
    # --- Meta's own troubles
    by_code(131016, 503, "graph_unavailable", 3),
    by_code(131000, 500, "graph_unavailable", 3),
    by_code(1, 400, "graph_unavailable", 3),
    by_code(2, 503, "graph_unavailable", 3),
    Case("HTTP 500 with HTML", (faults.ServerError(),), "graph_unavailable", 3),
    Case("HTTP 502 with HTML", (faults.ServerError(status=502),), "graph_unavailable", 3),
    Case("HTTP 503 without a body", (faults.Status(hop=RESOLVE, status=503),), "graph_unavailable", 3),
    Case("HTTP 500 with HTML, past the 7 days", (faults.ServerError(),), "graph_unavailable", 3, fields=OLD),
    Case("HTTP 500 once, then 429 once", (faults.ServerError(times=1), faults.RateLimited(times=1)), resolves=3),
    # --- refusals
    by_code(368, 403, "graph_refused", 1),
    by_code(10, 403, "graph_refused", 1),
    by_code(200, 403, "graph_refused", 1),
    by_code(131005, 403, "graph_refused", 1),
    by_code(100, 400, "graph_refused", 1),
    replace(by_code(368, 403, "graph_refused", 1), fault="code 368, past the 7 days", fields=OLD),
    replace(by_code(131052, 400, "media_unavailable", 1), settled=True),
    # --- codes that nobody knows
    by_code(987654, 400, "graph_refused", 1),
    Case(
        "code 987654 with is_transient",
        (refused(987654, 400, transient=True),),
        "graph_unavailable",
        3,
        logged=(987654, None),
    ),
    Case(
        "code 987654 with is_transient false",
        (refused(987654, 400, transient=False),),
        "graph_refused",
        logged=(987654, None),
    ),
    # --- 200, and yet no answer
    Case("HTTP 200 without a URL", (faults.NoUrl(),), "graph_unavailable", 3),
    Case("HTTP 200 with a URL that is no text", (faults.Described(members={"url": 1}),), "graph_unavailable", 3),
    Case("HTTP 200 that is HTML", (faults.HtmlPage(hop=RESOLVE),), "graph_unavailable", 3),
    Case(
        "HTTP 200 with half an answer",
        (faults.Status(hop=RESOLVE, status=200, body='{"url": "https://look', content_type="application/json"),),
        "graph_unavailable",
        3,
    ),
    Case("HTTP 200 without a body", (faults.Status(hop=RESOLVE, status=200),), "graph_unavailable", 3),
    Case(
        "HTTP 200 with Graph's error 4",
        (
            faults.Status(
                hop=RESOLVE,
                status=200,
                body=json.dumps({"error": {"code": 4, "fbtrace_id": "A1"}}),
                content_type="application/json",
            ),
        ),
        "rate_limited",
        3,
        logged=(4, None),
    ),
    # --- silence
    Case("the connection closes without an answer", (faults.Hang(seconds=0.1),), "graph_unavailable", 3),
    Case("an answer after one second", (faults.Slow(seconds=1.0),)),
    Case("half an answer, then the connection closes", (faults.CutOff(hop=RESOLVE),), "graph_unavailable", 3),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_a_bad_answer_of_graph_costs_time_and_settles_only_what_is_gone(
    system: System, observed: Observe, counted: Count, case: Case
) -> None:
    prove(system, "graph", case, observed, counted)


# --- how long Graph asks to wait ---------------------------------------------------------------------------------


def wait_of(system: System, sent: Sent) -> float:
    """Give the seconds until the next attempt of a message."""
    return float(system.media(sent.own_id)["next_attempt_at"]) - time.time()


@pytest.mark.parametrize("as_date", [False, True], ids=["in seconds", "as a date"])
def test_a_short_retry_after_is_waited_for_inside_the_request(
    system: System, observed: Observe, counted: Count, as_date: bool
) -> None:
    case = Case(
        f"HTTP 429 once, a short `Retry-After` {'as a date' if as_date else 'in seconds'}",
        (faults.RateLimited(retry_after=2, as_date=as_date, times=1),),
        resolves=2,
    )
    prove(system, "graph", case, observed, counted)

    by_media: dict[str, list[float]] = {}
    for request in system.stack.meta.requests(hop="resolve"):
        by_media.setdefault(request.media_id, []).append(request.time)
    # A date is in whole seconds, so up to one of the two is lost.
    assert all(second - first >= (1 if as_date else 2) for first, second in by_media.values())


@pytest.mark.parametrize("as_date", [False, True], ids=["in seconds", "as a date"])
def test_a_long_retry_after_is_answered_and_the_next_attempt_comes_after_it(
    system: System, observed: Observe, counted: Count, as_date: bool
) -> None:
    fault = faults.RateLimited(retry_after=120, as_date=as_date)
    case = Case(
        f"HTTP 429, a long `Retry-After` {'as a date' if as_date else 'in seconds'}",
        (fault,),
        "rate_limited",
        logged=(80007, None),
    )
    sent = receive(system, case)

    answer = system.get(sent.own_id)

    assert int(answer.headers["Retry-After"]) >= 119
    assert wait_of(system, sent) >= 118
    assert len(asked(system, sent, "resolve")) == 1
    prove(system, "graph", case, observed, counted)


def test_a_retry_after_longer_than_the_time_left_is_not_waited_for(
    system: System, hurried: System, observed: Observe, counted: Count
) -> None:
    case = Case(
        "HTTP 429, a `Retry-After` longer than the time left", (faults.RateLimited(retry_after=9),), "rate_limited"
    )
    sent = receive(system, case)

    answer = hurried.get(sent.own_id)

    assert (answer.status_code, answer.json()["code"]) == (503, "rate_limited")
    assert int(answer.headers["Retry-After"]) >= 9
    assert len(asked(system, sent, "resolve")) == 1
    stored = report.stored(system, sent.own_id)
    counted(faults_injected=1, messages_sent=1, served=1)
    saw = f"browser: {report.saw(answer)}, at once"
    observed("graph", case.fault, case.where, saw, f"{stored}; next attempt: {later_on(system, case, sent)}")


def test_a_retry_after_beyond_the_life_of_the_media_leaves_time_for_one_more_attempt(
    system: System, observed: Observe, counted: Count
) -> None:
    sent_at = later(-7 * DAY + 3600)
    case = Case(
        "HTTP 429, a `Retry-After` of a day, one hour before Meta deletes the media",
        (faults.RateLimited(retry_after=24 * 3600),),
        "rate_limited",
        fields={"timestamp": str(sent_at)},
        logged=(80007, None),
    )
    sent = receive(system, case)

    system.work(sent.own_id)

    assert system.media(sent.own_id)["next_attempt_at"] <= sent_at + 7 * DAY - 300
    prove(system, "graph", case, observed, counted)


@pytest.mark.parametrize("minutes", [5, 60])
def test_the_time_to_regain_access_of_the_usage_header_is_waited_for(
    system: System, observed: Observe, counted: Count, minutes: int
) -> None:
    case = Case(
        f"code 4 with `X-Business-Use-Case-Usage`: access in {minutes} minutes",
        (faults.RateLimited(code=4, regain_minutes=minutes),),
        "rate_limited",
        logged=(4, None),
    )
    sent = receive(system, case)

    answer = system.get(sent.own_id)

    assert int(answer.headers["Retry-After"]) >= minutes * 60
    assert wait_of(system, sent) >= minutes * 60 - 2
    prove(system, "graph", case, observed, counted)


# --- our tokens --------------------------------------------------------------------------------------------------


def test_credentials_are_read_again_after_a_190_so_a_new_token_needs_no_new_process(
    system: System, hurried: System, observed: Observe, counted: Count
) -> None:
    keep_token(system, ROTATED, "token-of-yesterday")
    case = Case("code 190, and the secret holds a newer token", (), "access_token_invalid", number=ROTATED)
    sent = receive(system, case)
    invoke = hurried.stack.functions.invoke
    before = invoke(CLOCKED, {"message_id": sent.own_id, "passed": 0})
    stored = report.stored(system, sent.own_id)

    keep_token(system, ROTATED, GRAPH_TOKEN)
    system.change(sent.own_id, "MEDIA", next_attempt_at=later(-1))
    after = invoke(CLOCKED, {"message_id": sent.own_id, "passed": 61})

    assert (before, after) == ("access_token_invalid", "ready")
    tokens = [request.headers["Authorization"].split()[1] for request in asked(system, sent, "resolve")]
    assert tokens == ["token-of-yesterday", "token-of-yesterday", GRAPH_TOKEN]
    counted(faults_injected=2, messages_sent=1, served=1)
    observed(
        "graph",
        case.fault,
        "the same worker a minute later",
        f"worker: `{before}`, then `{after}`",
        f"{stored}; next attempt: {healed(system, case, sent)}",
    )


def keep_token(system: System, number: str, token: str) -> None:
    """Put the Graph token of a number into the secret, as an operator does."""
    secrets = system.client("secretsmanager")
    name = system.stack.functions._functions[WORKER].environment["GRAPH_SECRET_ID"]
    value = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
    value["tokens"][number] = [token]
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps(value))


# --- numbers in "No Storage" mode --------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "settled"), [(1800, False), (7200, True)], ids=["within", "past"])
def test_a_number_without_storage_has_one_hour(
    system: System, hurried: System, observed: Observe, counted: Count, age: int, settled: bool
) -> None:
    when = "past" if settled else "within"
    case = Case(
        f"code 100/33 for a number in `NoStorageNumbers`, {when} its hour",
        (faults.Expired(),),
        "media_expired",
        settled=settled,
        fields={"timestamp": str(later(-age))},
        number=NO_STORAGE,
        logged=(100, 33),
    )
    prove(hurried, "graph", case, observed, counted)


# --- silence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [faults.Hang(seconds=8), faults.Slow(seconds=8)], ids=["no answer", "a late answer"])
def test_an_answer_that_does_not_come_in_the_time_left_is_a_timeout_with_a_next_attempt(
    system: System, hurried: System, observed: Observe, counted: Count, fault: faults.Fault
) -> None:
    words = "no answer" if fault.fault == "hang" else "an answer too late"
    case = Case(words, (fault,), "graph_timeout")
    sent = receive(system, case)
    system.aws.forget()

    answer = hurried.get(sent.own_id)

    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (504, "graph_timeout", True)
    assert system.jobs() == [sent.own_id]
    stored = report.stored(system, sent.own_id)
    counted(faults_injected=1, messages_sent=1, served=1)
    observed(
        "graph",
        case.fault,
        case.where,
        f"browser: {report.saw(answer)}, next job sent",
        f"{stored}; next attempt: {later_on(system, case, sent)}",
    )


def test_the_worker_does_not_wait_for_an_answer_for_ever(system: System, observed: Observe, counted: Count) -> None:
    resolve = receive(system, Case("", (faults.Hang(seconds=30, times=1),)))
    download = receive(system, Case("", (faults.Hang(seconds=30, times=1, hop="download"),)))

    with ThreadPoolExecutor(2) as threads:  # each waits for eight seconds
        left = list(threads.map(lambda sent: system.work(sent.own_id), (resolve, download)))

    assert left == [[], []]
    assert [len(asked(system, sent, "resolve")) for sent in (resolve, download)] == [2, 2]
    stored = {f"message once: {healed(system, Case('', ()), sent)}" for sent in (resolve, download)}
    counted(faults_injected=2, messages_sent=2, served=2)
    observed(
        "graph", "no answer once", "Graph, resolve or download", "worker: tried again at once, job done", stored.pop()
    )
