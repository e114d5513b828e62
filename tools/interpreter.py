"""Find a Python of a minor version: `python -m tools.interpreter 3.13` prints its path, or ends with 1."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

IS_VERSION = "import sys; sys.exit('%d.%d' % sys.version_info[:2] != sys.argv[1])"


def find_interpreter(version: str) -> str | None:
    """Give the path of a working interpreter of `version` ("3.13"), or None where this machine has none.

    Looks at the running interpreter, PATH and pyenv's folder. Each candidate is asked for its version: pyenv's
    shims lie on PATH even when the version they stand for is not switched on.
    """
    return next((path for path in _candidates(version) if _is_version(path, version)), None)


def _candidates(version: str) -> Iterator[str]:
    yield sys.executable
    yield from filter(None, map(shutil.which, (f"python{version}", "python3")))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))


def _is_version(path: str, version: str) -> bool:
    command = [path, "-c", IS_VERSION, version]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    found = find_interpreter(sys.argv[1])
    sys.exit(print(found) if found else 1)
