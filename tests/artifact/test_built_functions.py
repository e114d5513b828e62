"""What `sam build` made answers as Lambda's runtime would have it: AWS's emulator, the build, and nothing else of ours.

The functions are the template's and the events those of events/: a function without one fails here.
"""

import platform
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.server import serve
from local.template import Function, Template, functions
from tests import built
from tests.artifact.emulator import emulated
from tests.builders import Json
from tests.built import BUILD, LAYER, TOLD, UNZIPPED_LIMIT
from tests.contract.test_template import TEMPLATE
from tests.integration.cloudformation import SIGNATURE, AnswerPlace
from tests.integration.crm import Crm
from tests.integration.system import System
from tests.sample_events import OUTCOMES, of, prepare, read

NAMES = sorted(functions(TEMPLATE))


@pytest.fixture(name="place")
def _place() -> Iterator[AnswerPlace]:
    """Where CloudFormation is answered."""
    place = AnswerPlace()
    with serve(place) as server:
        place.url = server.url
        yield place


def declared(system: System, name: str, forward_url: str) -> Function:
    """Give a function with the variables that it has in the running system.

    One that exists only where a CRM is forwarded to has those of that template; the one that makes signing keys gets an
    empty secret, as in a new stack: the system's own keys stay.
    """
    scope = system.stack.template._scope
    if name == "SigningKeyFunction":
        vault = system.client("secretsmanager")
        secret = vault.create_secret(Name=f"keys-of-{uuid.uuid4()}", SecretString="[]")["ARN"]
        return functions(system.stack.template.with_physical({"SigningKeySecret": secret}))[name]
    if name in system.stack.functions._functions:
        return system.stack.functions._functions[name]
    physical = {**scope.physical, "ForwardQueue": f"{system.stack.queue_url}-forward"}
    parameters = {**scope.parameters, "ForwardUrl": forward_url}
    return functions(Template(system.stack.template.document, parameters, physical))[name]


def cloud(system: System, name: str) -> dict[str, str]:
    """Give the variables that lead to AWS: through the proxy, which holds each call against the function's role.

    But for what is called with a secret that the role does not know.
    """
    access = system.direct if name == "SigningKeyFunction" else system.stack.access
    return {**access.environment, "AWS_SDK_UA_APP_ID": name}


def addressed(event: Json, place: AnswerPlace) -> Json:
    """Have CloudFormation's request answered here."""
    return event | {"ResponseURL": f"{place.url}/answer?{SIGNATURE}"} if "ResponseURL" in event else event


def weight(folder: Path) -> str:
    return f"{built.zipped(folder) / 1024:,.0f} KiB zipped, {built.size(folder) / 1024:,.0f} KiB on disk"


@pytest.mark.parametrize("name", NAMES)
def test_a_built_function_answers_each_of_its_events(
    system: System,
    place: AnswerPlace,
    name: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    assert of(name), f"events/ has nothing for {name}: tools/events.py makes it, tests/sample_events.py has the answer"
    prepare(system)

    with serve(crm := Crm()) as server:
        function = declared(system, name, f"{server.url}/webhook")
        with emulated(function, cloud(system, name), BUILD / name, LAYER, tmp_path / "log") as running:
            answers = {event: running.invoke(addressed(read(event), place)) for event in of(name)}

    assert {event: answer for event, answer in answers.items() if not OUTCOMES[event][1](answer)} == {}
    assert [answer["Status"] for answer in place.answers] == (["SUCCESS"] if name == "SigningKeyFunction" else [])
    assert len(crm.taken) == (1 if name == "ForwardFunction" else 0)
    assert built.size(BUILD / name) + built.size(LAYER) < UNZIPPED_LIMIT
    system.witness.look_at_log(tmp_path / "log")
    record_property(TOLD, f"{name}: {running.init:.0f} ms to start, {weight(BUILD / name)}")
    record_property(TOLD, f"CommonLayer, Python {built.version()}, {platform.machine()}: {weight(LAYER)}")


def without(module: str, folder: Path, to: Path) -> Path:
    """Copy a part of the build, but for a module."""
    left_out = re.compile(rf"{module}(\.cpython-\d+)?\.pyc?")
    shutil.copytree(folder, to, ignore=lambda _, names: [name for name in names if left_out.fullmatch(name)])
    return to


@pytest.mark.parametrize(
    ("part", "module"), [("function", "signature"), ("layer", "credentials"), ("layer", "typing_extensions")]
)
def test_what_is_missing_from_the_build_is_found_nowhere_else(
    system: System, tmp_path: Path, part: str, module: str
) -> None:
    task, layer = BUILD / "WebhookFunction", LAYER
    bare = without(module, task if part == "function" else layer, tmp_path / part)
    parts = {"function": task, "layer": layer, part: bare}
    function = system.stack.functions._functions["WebhookFunction"]
    variables = cloud(system, "WebhookFunction")

    with emulated(function, variables, parts["function"], parts["layer"], tmp_path / "log") as running:
        answer = running.invoke(read("webhook-post"))

    assert answer["errorType"] == "Runtime.ImportModuleError", answer
    assert module in answer["errorMessage"]
