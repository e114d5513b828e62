"""`sam local invoke` but for the container: sam's own reading of the template and of the file of variables, AWS's
emulator, the built functions, and emulators that listen beside loopback.

127.0.0.2 stands for the address that containers reach.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from botocore.exceptions import ClientError

from local import sample
from local.cloud import ENDPOINT
from local.options import Options
from local.stack import Stack, running_stack
from local.template import Function, functions, routes
from tests.artifact.emulator import emulated
from tests.built import BUILD, LAYER, ROOT
from tests.sample_events import read

LISTEN = "127.0.0.2"
ASK_SAM = """
import json, sys
from samcli.commands.local.lib.local_lambda import LocalLambdaRunner
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
template, variables = sys.argv[1:]
stacks, _ = SamLocalStackProvider.get_stacks(template)
provider = SamFunctionProvider(stacks)
runner = LocalLambdaRunner(None, provider, ".", ".", env_vars_values=json.load(open(variables)))
environments = {own.name: runner.get_invoke_config(own).env_vars.resolve() for own in provider.get_all()}
served = ApiProvider(stacks).api.routes
routes = {f"{method} {route.path}": route.function_name for route in served for method in route.methods}
print(json.dumps([environments, routes]))
"""

Sam = tuple[dict[str, dict[str, str]], dict[str, str]]
"""The variables of each function, and the function of each route."""

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", LISTEN])


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(name="stack", scope="module")
def _stack(place: Path) -> Iterator[Stack]:
    options = Options(
        listen=LISTEN,
        background=False,
        announcement=place / "stack.env",
        env_vars=place / "env-vars.json",
        logs=place / "log",
    )
    with running_stack(options) as stack:
        yield stack


@pytest.fixture(name="sam", scope="module")
def _sam(stack: Stack, place: Path) -> Sam:
    """Give what sam makes of it: the variables of each function, and the routes of its API."""
    sent = {"PATH": os.environ["PATH"], "HOME": str(place), "SAM_CLI_TELEMETRY": "0", **stack.access.environment}
    command: list[str | Path] = [ROOT / ".venv-sam/bin/python", "-c", ASK_SAM]
    command += [BUILD / "template.yaml", place / "env-vars.json"]

    done = subprocess.run(command, env=sent, capture_output=True, text=True, check=False, timeout=50)

    assert done.returncode == 0, done.stderr
    environments, routes = json.loads(done.stdout)
    return environments, routes


def test_sam_hands_on_every_variable_of_the_file(stack: Stack, place: Path, sam: Sam) -> None:
    environments, _ = sam
    written: dict[str, dict[str, str]] = json.loads((place / "env-vars.json").read_text("utf-8"))

    assert (place / "env-vars.json").stat().st_mode & 0o777 == 0o600
    assert written.keys() == functions(stack.template).keys()
    assert {name: own for name, own in written.items() if not own.items() <= environments[name].items()} == {}


def test_sam_serves_the_routes_that_the_local_gateway_serves(stack: Stack, sam: Sam) -> None:
    _, served = sam
    ours = {key: function for key, function in served.items() if not key.startswith("OPTIONS ")}  # those are CORS

    assert ours == {route.key: route.function for route in routes(stack.template)}


def test_what_sam_would_start_stores_a_message_and_fetches_its_media(stack: Stack, sam: Sam, tmp_path: Path) -> None:
    environments, _ = sam
    answers = []

    for name, event in (
        ("WebhookFunction", "webhook-post"),
        ("PrefetchFunction", "prefetch-batch"),
        ("MediaProxyFunction", "media-redirect"),
    ):
        function = functions(stack.template)[name]
        bare = Function(function.logical_id, function.handler, {}, function.memory, function.timeout)
        with emulated(bare, environments[name], BUILD / name, LAYER, tmp_path / name) as running:
            answers.append(running.invoke(read(event)))

    assert answers[0]["statusCode"] == 200
    assert answers[1] == {"batchItemFailures": []}
    assert requests.get(answers[2]["headers"]["Location"], timeout=10).status_code == 200
    (asked,) = stack.meta.requests(hop="download")
    assert asked.headers["Host"].startswith(f"{LISTEN}:")


def aws(stack: Stack) -> str:
    return stack.container_variables["WebhookFunction"]["AWS_ENDPOINT_URL"]


def graph(stack: Stack) -> str:
    return stack.container_variables["PrefetchFunction"]["GRAPH_URL"]


def table(stack: Stack, key_id: str) -> str:
    access = replace(stack.access, endpoints={ENDPOINT: aws(stack)}, key_id=key_id)
    name: str = access.client("dynamodb").describe_table(TableName=stack.table_name)["Table"]["TableName"]
    return name


def test_beside_loopback_aws_is_there_for_who_has_the_key_of_the_run(stack: Stack) -> None:
    assert table(stack, stack.access.key_id) == stack.table_name
    for other in ("local", stack.access.key_id[:-1], "key/"):
        with pytest.raises(ClientError, match="403"):
            table(stack, other)
    for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Credential={stack.access.key_id}/"}):
        assert requests.get(f"{aws(stack)}/moto-api/data.json", headers=header, timeout=10).status_code == 403


def test_beside_loopback_the_simulator_is_graph_alone_and_wants_a_token_that_nobody_knows(stack: Stack) -> None:
    media = f"{graph(stack)}/v26.0/{sample.MEDIA_ID}"

    assert requests.get(media, headers={"Authorization": "Bearer local-graph-token"}, timeout=10).status_code == 401
    for path in ("/simulator/requests", "/simulator/media", "//simulator/media", "/%73imulator/media", "/"):
        for method in ("GET", "POST", "DELETE"):
            answer = requests.request(method, graph(stack) + path, allow_redirects=False, timeout=10)
            assert answer.status_code == 403, (method, path)
    assert requests.get(f"{stack.graph_url}/simulator/requests", timeout=10).status_code == 200


def test_what_no_container_needs_is_on_loopback_alone(stack: Stack) -> None:
    for url in (
        stack.api_url,
        stack.page_url,
        stack.edge_url,
        stack.graph_url,
        stack.access.endpoints[ENDPOINT],
    ):
        with pytest.raises(requests.ConnectionError):
            requests.get(url.replace("127.0.0.1", LISTEN), timeout=5)
