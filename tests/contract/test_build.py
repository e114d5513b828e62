"""The built folders alone: what `sam build` made is what Lambda gets, so nothing else may be needed.

`make test` builds first, for this machine's processor, into .local/sam/build.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from inbound.config import Settings
from local.template import functions
from tests import built
from tests.built import BUILD, LAYER, ROOT, UNZIPPED_LIMIT
from tests.contract.test_template import SETTINGS, TEMPLATE

FUNCTIONS = functions(TEMPLATE)
UNCHECKED_HASH = 0b01
"""Flags of a .pyc that is never compared with its source: https://peps.python.org/pep-0552/."""

IMPORT = """
import importlib, json, sys
module, _, name = sys.argv[1].rpartition(".")
sys.path[:0] = sys.argv[2:]
handler = getattr(importlib.import_module(module), name)
files = [m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)]
print(json.dumps({"callable": callable(handler), "path": sys.path, "files": files}))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the build is for Linux: it cannot be imported here")


@pytest.fixture(scope="session")
def built_for() -> str:
    """The minor version that the layer's compiled modules are for, as "3.13"."""
    return built.version()


@pytest.fixture(scope="session")
def interpreter(built_for: str) -> str:
    """An interpreter that can load the build."""
    assert built_for
    return built.interpreter()


def environment(name: str) -> dict[str, str]:
    """What Lambda sets for a function, and nothing of this process."""
    return {
        **FUNCTIONS[name].environment,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_LAMBDA_FUNCTION_NAME": name,
    }


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_built_handler_imports_from_its_folder_and_the_layer_alone(name: str, interpreter: str) -> None:
    own, path = BUILD / name, [str(BUILD / name), str(LAYER)]
    # -I and -S: no site-packages, no working directory, no PYTHON* variable.
    command = [interpreter, "-I", "-S", "-c", IMPORT, FUNCTIONS[name].handler, *path]

    result = subprocess.run(command, env=environment(name), capture_output=True, text=True, check=False, timeout=50)

    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout)
    assert said["callable"]
    assert [folder for folder in said["path"] if "site-packages" in folder] == []
    assert [file for file in said["files"] if str(ROOT) in file and not file.startswith((str(own), str(LAYER)))] == []


# This one must be able to tell CloudFormation what it lacks.
@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"SigningKeyFunction"}))
def test_a_function_without_its_variables_fails_when_it_starts_not_when_it_is_asked(
    name: str, interpreter: str
) -> None:
    command = [interpreter, "-I", "-S", "-c", IMPORT, FUNCTIONS[name].handler, str(BUILD / name), str(LAYER)]
    wanted = {"ForwardFunction": "forward_url", "ExpiryFunction": "graph_secret_id"}.get(name, "table_name")
    bare = {key: value for key, value in environment(name).items() if key != wanted.upper()}

    result = subprocess.run(command, env=bare, capture_output=True, text=True, check=False, timeout=50)

    assert result.returncode != 0
    assert wanted in result.stderr


def test_the_function_of_the_signing_keys_starts_without_variables_and_with_urllib3_alone(
    interpreter: str, tmp_path: Path
) -> None:
    (tmp_path / "urllib3").symlink_to(LAYER / "urllib3")
    own = str(BUILD / "SigningKeyFunction")
    command = [interpreter, "-I", "-S", "-c", IMPORT, FUNCTIONS["SigningKeyFunction"].handler, own, str(tmp_path)]

    result = subprocess.run(command, env={}, capture_output=True, text=True, check=False, timeout=50)

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_ships_its_own_package_as_it_stands_here_and_nothing_else(name: str, built_for: str) -> None:
    package = FUNCTIONS[name].handler.partition(".")[0]

    assert built_for
    assert [path.name for path in (BUILD / name).iterdir()] == [package]
    assert sources(BUILD / name / package) == sources(ROOT / "functions" / package)


def test_the_layer_ships_what_the_functions_share_as_it_stands_here(built_for: str) -> None:
    assert built_for
    assert sources(LAYER / "inbound") == sources(ROOT / "layers/common/inbound")


def sources(folder: Path) -> dict[str, bytes]:
    """A package's files, without bytecode."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_everything_ships_compiled_for_the_version_that_loads_it(interpreter: str) -> None:
    show = "import importlib.util as u, sys; print(sys.implementation.cache_tag, u.MAGIC_NUMBER.hex())"
    tag, magic = subprocess.run([interpreter, "-c", show], capture_output=True, text=True, check=True).stdout.split()
    modules = [path for path in BUILD.rglob("*.py") if path.is_file()]
    compiled = [path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc" for path in modules]

    assert len(modules) > 500
    assert [path for path in compiled if not path.is_file()] == []
    heads = {path.read_bytes()[:8] for path in compiled}
    assert heads == {bytes.fromhex(magic) + UNCHECKED_HASH.to_bytes(4, "little")}


def test_the_build_fits_into_lambda(built_for: str) -> None:
    assert built_for
    assert built.size(BUILD) < UNZIPPED_LIMIT / 2


CALLED = re.compile(r"\b(?:client|resource|create_client)\(\s*[\"']([\w-]+)")
"""How code names a service of AWS. PynamoDB names its own."""
LOAD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import boto3
from pynamodb.connection import Connection
clients = [boto3.client(name, region_name="eu-west-1") for name in sys.argv[2:]] + [Connection("eu-west-1").client]
print(json.dumps({own.meta.service_model.service_name: len(own.meta.service_model.operation_names) for own in clients}))
"""


def called_services() -> set[str]:
    """The services that the functions call, under boto3's names."""
    sources = [path for folder in ("functions", "layers/common/inbound") for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in sources for name in CALLED.findall(path.read_text("utf-8"))}
    return named | {"dynamodb"}


def test_of_botocores_services_the_layer_ships_those_that_are_called(built_for: str) -> None:
    models = [path for path in (LAYER / "botocore/data").glob("*/*") if path.is_dir()]

    assert built_for
    assert {"s3", "sqs"} < called_services()
    assert sorted(path.parent.name for path in models) == sorted(called_services())


def test_every_client_that_the_code_uses_loads_from_the_layer_alone(interpreter: str) -> None:
    # PynamoDB makes the one of DynamoDB.
    names = sorted(called_services() - {"dynamodb"})
    command = [interpreter, "-I", "-S", "-c", LOAD, str(LAYER), *names]
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}

    result = subprocess.run(command, env=keys, capture_output=True, text=True, check=False, timeout=50)

    assert result.returncode == 0, result.stderr
    operations: dict[str, int] = json.loads(result.stdout)
    assert operations.keys() == called_services()
    assert min(operations.values()) > 15


def test_the_layer_holds_the_locked_versions(built_for: str) -> None:
    names = (path.name.removesuffix(".dist-info").rpartition("-") for path in LAYER.glob("*.dist-info"))

    assert built_for
    assert {name.replace("_", "-").lower(): version for name, _, version in names} == locked(
        "layers/common/requirements"
    )


def test_the_tests_run_the_versions_that_lambda_gets() -> None:
    layer, development = locked("layers/common/requirements"), locked("requirements/dev")

    assert layer.items() <= development.items()


INPUTS = [*(ROOT / "requirements").glob("*.in"), ROOT / "layers/common/requirements.in"]
LOCKS = pytest.mark.parametrize("lock", sorted(str(path.relative_to(ROOT).with_suffix("")) for path in INPUTS))


@LOCKS
def test_a_lock_holds_what_its_input_asks_for(lock: str) -> None:
    asked = {line.partition("[")[0] for line in (ROOT / f"{lock}.in").read_text("utf-8").splitlines()}

    assert {line for line in asked if line and not line.startswith(("#", "-"))} <= locked(lock).keys()


def test_the_layers_lock_is_the_same_for_every_version_of_python() -> None:
    # pip judges markers by the Python that it runs on, not by --python-version.
    assert "python_version" not in (ROOT / "layers/common/requirements.txt").read_text("utf-8")
    assert "python_full_version" not in (ROOT / "layers/common/requirements.txt").read_text("utf-8")


def locked(lock: str) -> dict[str, str]:
    """A lock's versions by package."""
    text = (ROOT / f"{lock}.txt").read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", text, re.MULTILINE))


def test_both_makefiles_compile_alike() -> None:
    texts = [(ROOT / folder / "Makefile").read_text("utf-8") for folder in ("functions", "layers/common")]
    recipes = [text[text.index("LAMBDA_INTERPRETER ?=") :] for text in texts]

    assert recipes[0] == recipes[1]


def test_the_functions_are_those_that_have_settings() -> None:
    assert FUNCTIONS.keys() == SETTINGS.keys()
    assert all(issubclass(own, Settings) for own in SETTINGS.values())
