"""What `sam build` made for the tests (`make build-for-tests`), and an interpreter that can load it."""

import re
import zipfile
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest

from tools.interpreter import find_interpreter

ROOT = Path(__file__).parents[1]
BUILD = ROOT / ".local/sam/build"
LAYER = BUILD / "CommonLayer/python"
UNZIPPED_LIMIT = 250 * 1024 * 1024
"""Function and layers together: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""

TOLD = "built"
"""The property of a test whose values are printed at the end of the run."""


@cache
def version() -> str:
    """Give the minor version that the layer's compiled modules are for, as "3.13"."""
    if not (BUILD / "template.yaml").is_file():
        pytest.fail(f"there is no build in {BUILD}: make test makes one, make build-for-tests nothing else")
    found = {match[1] for path in LAYER.rglob("*.so") if (match := re.search(r"\.cpython-3(\d+)-", path.name))}
    assert len(found) == 1, f"compiled modules for several versions: {found}"
    return f"3.{found.pop()}"


@cache
def interpreter() -> str:
    """Give an interpreter that can load the build."""
    path = find_interpreter(version())
    assert path, f"the build is for Python {version()}, which is not on this machine: make test builds anew"
    return path


def size(folder: Path) -> int:
    """Give the bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@cache
def zipped(folder: Path) -> int:
    """Give the bytes of a folder as sam uploads it."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return len(packed.getvalue())
