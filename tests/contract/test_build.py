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
from tests.contract.test_template import SETTINGS, TEMPLATE
from tools.interpreter import find_interpreter

ROOT = Path(__file__).parents[2]
BUILD = ROOT / ".local/sam/build"
LAYER = BUILD / "CommonLayer/python"
FUNCTIONS = functions(TEMPLATE)
UNZIPPED_LIMIT = 250 * 1024 * 1024
"""Function and layers together: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""
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
    if not (BUILD / "template.yaml").is_file():
        pytest.fail(f"there is no build in {BUILD}: make test makes one, make build-for-tests nothing else")
    found = {match[1] for path in LAYER.rglob("*.so") if (match := re.search(r"\.cpython-3(\d+)-", path.name))}
    assert len(found) == 1, f"compiled modules for several versions: {found}"
    return f"3.{found.pop()}"


@pytest.fixture(scope="session")
def interpreter(built_for: str) -> str:
    """An interpreter that can load the build."""
    path = find_interpreter(built_for)
    assert path, f"the build is for Python {built_for}, which is not on this machine: make test builds anew"
    return path


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
    bare = {key: value for key, value in environment(name).items() if key not in {"TABLE_NAME", "FORWARD_URL"}}

    result = subprocess.run(command, env=bare, capture_output=True, text=True, check=False, timeout=50)

    assert result.returncode != 0
    assert ("forward_url" if name == "ForwardFunction" else "table_name") in result.stderr


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
    size = sum(path.stat().st_size for path in BUILD.rglob("*") if path.is_file())

    assert built_for
    assert size < UNZIPPED_LIMIT / 2


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
