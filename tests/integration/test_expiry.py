"""Every day: how long tokens are good, and how long the version of Graph is served."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local import faults
from local.environments import InvocationError
from tests.builders import Json
from tests.integration.system import System
from tests.sample_events import read

EVENT = read("expiry-schedule")
DAY = 24 * 3600


@pytest.fixture
def meta(system: System) -> Iterator[Any]:
    """Give the simulator, with tokens that it forgets afterwards."""
    known = dict(system.stack.meta._tokens)
    yield system.stack.meta
    system.stack.meta._tokens = known


@pytest.fixture
def run(system: System, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Give what runs the function with a secret of the test's own."""
    client = system.client("secretsmanager")
    made = client.create_secret(Name=f"expiry-{request.node.name}-{time.time_ns()}", SecretString="{}")["ARN"]

    def told(tokens: dict[str, list[str]], *times: Json, **variables: str) -> Json:
        client.put_secret_value(SecretId=made, SecretString=json.dumps({"tokens": tokens}))
        return system.run("ExpiryFunction", *(times or (EVENT,)), GRAPH_SECRET_ID=made, **variables)

    yield told
    client.delete_secret(SecretId=made, ForceDeleteWithoutRecovery=True)


def test_each_number_tells_how_long_its_best_token_is_good(meta: Any, run: Any) -> None:
    for token, days in (("soon", 9.5), ("later", 60), ("never", 0), ("ended", -1)):
        meta.accept_token(token, expires_at=int(time.time() + days * DAY) if days else 0)

    told = run({"default": ["ended", "later"], "700000000000009": ["soon"], "700000000000008": ["never"]})

    assert told["answers"] == [{"checked": 3}]
    assert sorted(round(days, 2) for days in told["metrics"]["TokenDaysLeft"]) == [9.5, 60.0, 3650.0]
    assert told["metrics"]["GraphVersionDaysLeft"][0] > 0
    (line,) = [line for line in told["log"] if line.get("message") == "token_ends"]
    assert (line["number"], line["days"]) == ("…0009", 9.5)


def test_a_token_that_meta_refuses_has_no_day_left(run: Any) -> None:
    told = run({"default": ["unknown-to-graph"], "700000000000009": ["no token has spaces"]})

    assert told["metrics"]["TokenDaysLeft"] == [0.0, 0.0]


@pytest.mark.parametrize(
    "fault",
    [
        faults.ServerError(),
        faults.GraphError(code=4),
        faults.GraphError(code=10),
        faults.HtmlPage(hop="resolve"),
    ],
    ids=["fails", "throttles", "does not let a token ask", "is a page"],
)
def test_what_could_not_be_asked_is_a_failure_that_lambda_repeats(system: System, fault: faults.Fault) -> None:
    system.stack.meta.faults.add("debug_token", fault)
    before = len(system.log_lines())

    with pytest.raises(InvocationError):
        system.stack.functions.invoke("ExpiryFunction", EVENT)

    said = [line for line in system.log_lines()[before:] if line.get("service") == "expiry"]
    assert "token_not_checked" in [line.get("message") for line in said]
    assert any("GraphVersionDaysLeft" in line for line in said)
    assert not any("TokenDaysLeft" in line for line in said)


def test_without_any_token_there_is_nothing_to_ask(run: Any, system: System) -> None:
    told = run({"default": []})

    assert told["answers"] == [{"checked": 0}]
    assert system.stack.meta.requests() == []
    assert "TokenDaysLeft" not in told["metrics"]


def test_a_token_of_many_numbers_is_asked_for_once(meta: Any, run: Any, system: System) -> None:
    meta.accept_token("shared")

    told = run({f"70000000000{n:04}": ["shared"] for n in range(150)})

    assert told["answers"] == [{"checked": 150}]
    assert len(told["metrics"]["TokenDaysLeft"]) == 150
    assert len(system.stack.meta.requests("debug_token")) == 1
