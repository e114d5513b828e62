"""Execution environments: real processes that run a handler as Lambda would."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.environments import (
    KEPT,
    LIMIT,
    MAX_REQUEST,
    EnvironmentCrashed,
    Environments,
    FunctionFailed,
    FunctionTimedOut,
    NoAnswerInTime,
    RequestTooLarge,
    ResponseTooLarge,
    environment_of,
)
from local.runtime import MAX_RESPONSE
from local.template import Function

VARIABLES = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


def probe(name: str = "Probe", handler: str = "tests.unit.local_probe.handler", timeout: float = 20.0) -> Function:
    return Function(name, handler, {"TABLE_NAME": "table"}, 512, timeout)


@pytest.fixture(name="logs", scope="module")
def _logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "handlers.log"


@pytest.fixture(name="environments", scope="module")
def _environments(logs: Path) -> Iterator[Environments]:
    functions = [
        probe(),
        probe("Hasty", timeout=0.3),
        probe("Missing", handler="tests.unit.no_such_module.handler"),
        probe("Nameless", handler="tests.unit.local_probe.no_such_handler"),
    ]
    with Environments(functions, VARIABLES, logs=logs) as environments:
        yield environments


def test_a_function_sees_its_own_variables_and_no_others(
    environments: Environments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME_GROWN", "not for functions")

    seen = environments.invoke("Probe", {})["environment"]

    assert seen["TABLE_NAME"] == "table"
    assert seen["AWS_REGION"] == "eu-west-1"
    assert seen["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == seen["AWS_SDK_UA_APP_ID"] == "Probe"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert "HOME_GROWN" not in seen
    assert "HOME" not in seen


def test_its_own_variables_win_and_those_of_a_measurement_are_passed_on() -> None:
    outer = {"PATH": "/bin", "COVERAGE_FILE": "x", "AWS_PROFILE": "mine", "SECRET": "s", "AWS_REGION": "outer"}
    own = Function("F", "a.b", {"AWS_REGION": "own"}, 128, 3.0)

    seen = environment_of(own, {"AWS_REGION": "cloud", "AWS_ENDPOINT_URL": "u"}, outer)

    assert (seen["PATH"], seen["COVERAGE_FILE"], seen["AWS_REGION"]) == ("/bin", "x", "own")
    assert not {"AWS_PROFILE", "SECRET"} & seen.keys()


def test_the_context_says_what_lambda_says(environments: Environments) -> None:
    first, second = environments.invoke("Probe", {}), environments.invoke("Probe", {})

    assert first["name"] == "Probe"
    assert first["memory"] == "512"
    assert first["version"] == "$LATEST"
    assert first["arn"] == "arn:aws:lambda:eu-west-1:123456789012:function:Probe"
    assert 19_000 < first["left"] <= 20_000
    assert first["request_id"] != second["request_id"]


def test_an_idle_environment_is_used_again(environments: Environments) -> None:
    first, second = environments.invoke("Probe", {}), environments.invoke("Probe", {})

    assert second["pid"] == first["pid"]
    assert second["calls"] == first["calls"] + 1


def test_an_environment_holds_the_handler_and_not_what_started_it(environments: Environments) -> None:
    modules = environments.invoke("Probe", {})["modules"]

    assert not [name for name in modules if name.startswith("pytest") or "test_" in name]
    assert "local.environments" not in modules


def test_busy_environments_get_company(environments: Environments) -> None:
    started = time.monotonic()
    with ThreadPoolExecutor(LIMIT) as threads:
        events = [{"action": "sleep", "seconds": 1.5}] * LIMIT
        processes = set(threads.map(lambda event: environments.invoke("Probe", event), events))

    assert len(processes) > LIMIT / 8
    assert time.monotonic() - started < 1.5 * 8


def test_beyond_the_limit_requests_wait_and_are_served(logs: Path) -> None:
    with Environments([probe()], VARIABLES, logs=logs, limit=2) as few, ThreadPoolExecutor(6) as threads:
        events = [{"action": "sleep", "seconds": 0.1}] * 6
        processes = list(threads.map(lambda event: few.invoke("Probe", event), events))

    assert len(processes) == 6
    assert len(set(processes)) <= 2


def test_who_cannot_wait_for_a_free_environment_is_told(logs: Path) -> None:
    with Environments([probe()], VARIABLES, logs=logs, limit=1) as one, ThreadPoolExecutor(1) as threads:
        one.warm("Probe")
        busy = threads.submit(one.invoke, "Probe", {"action": "sleep", "seconds": 1})
        time.sleep(0.2)
        with pytest.raises(NoAnswerInTime):
            one.invoke("Probe", {}, patience=0.2)
        assert busy.result() > 0


def test_a_function_goes_on_when_its_caller_has_gone(environments: Environments) -> None:
    with pytest.raises(NoAnswerInTime):
        environments.invoke("Probe", {"action": "sleep", "seconds": 0.5}, patience=0.2)

    assert environments.invoke("Probe", {})["pid"] > 0


def test_what_a_handler_raises_reaches_the_caller_and_the_log(environments: Environments, logs: Path) -> None:
    with pytest.raises(FunctionFailed, match="on purpose") as failure:
        environments.invoke("Probe", {"action": "fail", "text": "on purpose"})

    assert failure.value.kind == "LookupError"
    assert "Traceback" in logs.read_text()
    assert "LookupError: on purpose" in logs.read_text()


def test_what_a_handler_prints_is_in_the_log(environments: Environments, logs: Path) -> None:
    environments.invoke("Probe", {})

    assert "one line of log\n" in logs.read_text()


def test_a_process_that_dies_fails_its_event_only(environments: Environments) -> None:
    with pytest.raises(EnvironmentCrashed):
        environments.invoke("Probe", {"action": "die"})

    assert environments.invoke("Probe", {})["pid"] > 0


def test_a_function_that_overruns_its_timeout_is_killed(environments: Environments) -> None:
    environments.warm("Hasty")
    started = time.monotonic()

    with pytest.raises(FunctionTimedOut):
        environments.invoke("Hasty", {"action": "sleep", "seconds": 30})

    assert time.monotonic() - started < 5
    assert environments.invoke("Hasty", {})["calls"] == 1


@pytest.mark.parametrize(("name", "kind"), [("Missing", "ModuleNotFoundError"), ("Nameless", "AttributeError")])
def test_a_handler_that_cannot_be_imported_fails_each_call_with_the_reason(
    environments: Environments, name: str, kind: str
) -> None:
    for _ in range(2):
        with pytest.raises(FunctionFailed) as failure:
            environments.invoke(name, {})
        assert failure.value.kind == kind


def test_a_function_that_nobody_declared_is_a_key_error(environments: Environments) -> None:
    with pytest.raises(KeyError):
        environments.invoke("Nobody", {})


def test_a_result_that_is_no_json_is_a_failure(environments: Environments) -> None:
    with pytest.raises(FunctionFailed, match="not JSON serializable"):
        environments.invoke("Probe", {"action": "unserialisable"})
    with pytest.raises(FunctionFailed, match="surrogates not allowed"):
        environments.invoke("Probe", {"action": "echo", "text": "\ud800"})


def test_answers_may_be_as_large_as_lambda_allows_and_not_a_byte_larger(environments: Environments) -> None:
    assert len(environments.invoke("Probe", {"action": "large", "size": MAX_RESPONSE})) == MAX_RESPONSE - 2

    with pytest.raises(ResponseTooLarge):
        environments.invoke("Probe", {"action": "large", "size": MAX_RESPONSE + 1})


def test_events_larger_than_lambda_takes_are_refused(environments: Environments) -> None:
    with pytest.raises(RequestTooLarge):
        environments.invoke("Probe", {"body": "x" * MAX_REQUEST})


def test_events_arrive_unchanged(environments: Environments) -> None:
    event = {"action": "echo", "text": "λ \u0000 \U0001f600", "deep": [{"n": 1.5, "none": None}]}

    assert environments.invoke("Probe", event) == event


@pytest.mark.parametrize("action", ["write", "append", "remove"])
def test_the_file_system_is_read_only(environments: Environments, tmp_path: Path, action: str) -> None:
    file = tmp_path / "file.txt"
    file.write_text("content")

    with pytest.raises(FunctionFailed, match="Read-only file system"):
        environments.invoke("Probe", {"action": action, "path": str(file)})

    assert environments.invoke("Probe", {"action": "read", "path": str(file)}) == "content"


def test_closed_environments_take_no_events(logs: Path) -> None:
    environments = Environments([probe()], VARIABLES, logs=logs)
    environments.close()

    with pytest.raises(NoAnswerInTime, match="closed"):
        environments.invoke("Probe", {})


def test_closing_ends_even_a_function_that_does_not_end(logs: Path) -> None:
    environments = Environments([probe(timeout=60)], VARIABLES, logs=logs)
    environments.warm("Probe")
    with ThreadPoolExecutor(1) as threads:
        endless = threads.submit(environments.invoke, "Probe", {"action": "sleep", "seconds": 50})
        time.sleep(0.2)
        environments.close()

        with pytest.raises(EnvironmentCrashed):
            endless.result(timeout=5)


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_environments_that_are_idle_for_long_are_ended_but_for_a_few(logs: Path) -> None:
    others = alive()
    with (
        Environments([probe()], VARIABLES, logs=logs, limit=6, idle_life=0.5) as environments,
        ThreadPoolExecutor(6) as threads,
    ):
        wait_for(lambda: len(burst(environments, threads)) > KEPT + 1)
        for _ in range(2):  # one may have been on its way, and have served nobody yet
            wait_for(lambda: len(alive() - others) == KEPT)
            kept = alive() - others
            time.sleep(1.5)

        assert environments.invoke("Probe", {})["pid"] in kept
        assert alive() - others == kept


def alive() -> set[int | None]:
    return {process.pid for process in multiprocessing.active_children()}


def burst(environments: Environments, threads: ThreadPoolExecutor) -> set[int]:
    events = [{"action": "sleep", "seconds": 0.3}] * 6
    return set(threads.map(lambda event: environments.invoke("Probe", event), events))


def test_environments_that_are_in_use_are_not_ended_however_long_they_take(logs: Path) -> None:
    with (
        Environments([probe()], VARIABLES, logs=logs, limit=4, idle_life=0.1) as environments,
        ThreadPoolExecutor(4) as threads,
    ):
        events = [{"action": "sleep", "seconds": 1}] * 4
        assert len(list(threads.map(lambda event: environments.invoke("Probe", event), events))) == 4


def test_processes_that_are_busy_can_be_killed_and_idle_ones_live_on(logs: Path) -> None:
    with Environments([probe()], VARIABLES, logs=logs) as environments, ThreadPoolExecutor(3) as threads:
        wait_for(lambda: len(burst(environments, threads)) >= 3)
        busy = [threads.submit(environments.invoke, "Probe", {"action": "sleep", "seconds": 50}) for _ in range(2)]
        time.sleep(0.3)

        idle = environments.invoke("Probe", {})["pid"]
        killed = environments.kill_busy("Probe")

        assert killed == 2
        for call in busy:
            with pytest.raises(EnvironmentCrashed):
                call.result(timeout=5)
        assert environments.invoke("Probe", {})["pid"] == idle
        assert environments.kill_busy("Probe") == 0


def test_a_process_that_is_killed_just_after_its_answer_is_not_used_again(logs: Path) -> None:
    with Environments([probe()], VARIABLES, logs=logs) as environments:
        pool = environments._pools["Probe"]
        answered = pool.take(time.monotonic() + 20)

        killed = environments.kill_busy("Probe")
        pool.give_back(answered)

        assert killed == 1
        assert environments.invoke("Probe", {})["calls"] == 1


def test_killing_what_nobody_declared_is_a_key_error(environments: Environments) -> None:
    with pytest.raises(KeyError):
        environments.kill_busy("Nobody")
