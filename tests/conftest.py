"""One system for all tests that want one: real handlers, real HTTP, an AWS emulator behind a counting proxy."""

import json
from collections.abc import Iterator

import pytest

from local.cloud import Moto
from tests.integration import system as systems
from tests.integration.system import System


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    """Give an emulator of AWS with nothing in it."""
    moto = Moto(tmp_path_factory.mktemp("moto"))
    moto.wait()
    yield moto
    moto.close()


@pytest.fixture(scope="session")
def running() -> Iterator[System]:
    with systems.running_system(systems.LOGS) as system:
        add_tenants(system)
        yield system
        assert system.not_granted() == {}


@pytest.fixture
def system(running: System) -> Iterator[System]:
    """Give the system with a clean slate: no faults, no counted calls, no jobs."""
    running.stack.meta.faults.clear()
    running.stack.meta.forget_requests()
    running.aws.forget()
    yield running
    for asked in running.stack.meta.requests():
        running.witness.graph_url(asked.query)
    running.witness.settle()
    running.stack.meta.faults.clear()
    running.aws.forget()


@pytest.fixture
def fresh_system() -> Iterator[System]:
    """Give a whole system to a test that reads all there is, or would wait for what others have left to be done."""
    log = systems.LOGS.with_name(f"fresh-{systems.LOGS.name}")
    with systems.running_system(log, region="eu-central-1") as system:
        system.empty_table()  # of DynamoDB Local's, which others have used before
        yield system


def add_tenants(system: System) -> None:
    """Add apps that own one number each, an app that owns two, and a number whose first token is stale."""
    secrets = system.client("secretsmanager")
    by_name = {found["Name"]: found["ARN"] for found in secrets.list_secrets()["SecretList"]}
    for name, arn in by_name.items():
        value = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
        if "apps" in name.lower():
            value |= {
                "app-a": app(systems.APP_A, systems.NUMBER_A),
                "app-b": app(systems.APP_B, systems.NUMBER_B),
            }
        elif "graph" in name.lower():
            (good,) = value["tokens"]["default"]
            value["tokens"][systems.STALE_TOKEN_NUMBER] = ["stale-token", good]
        secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(value))


def app(secret: str, *numbers: str) -> dict[str, object]:
    return {"secrets": [secret], "verify_token": f"verify-{secret}", "phone_number_ids": list(numbers)}
