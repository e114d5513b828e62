"""Find a Chromium for the browser tests, or install one: `python -m tools.chromium` prints its path.

Ends with 1 and one sentence where there is none and none can be had.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ADVICE = "install one that is on PATH as chromium or google-chrome (Debian: apt-get install chromium)"


def find_chromium() -> str | None:
    """Give the path of a browser that starts: one on PATH, else Playwright's own; None where there is neither."""
    return next(filter(_starts, _candidates()), None)


def install_commands(*, root: bool, system: str) -> list[list[str]]:
    """Give the commands that install a Chromium; `system` is the ID of /etc/os-release.

    Ubuntu's package of the name only points to a snap, so it is Debian's that counts.
    """
    if root and system == "debian":
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
        return [["apt-get", "update", "--quiet"], install]
    return [[sys.executable, "-m", "playwright", "install", "chromium"]]


def install_chromium() -> None:
    """Install one. Raises `OSError` or `CalledProcessError`; what the installer says goes to standard error."""
    for command in install_commands(root=os.geteuid() == 0, system=_system()):
        print(f"no Chromium here: {' '.join(command)}", file=sys.stderr)
        subprocess.run(command, check=True, stdout=sys.stderr)


def main() -> int:
    """Print the path. Gives the exit code."""
    try:
        if find_chromium() is None:
            install_chromium()
        found = find_chromium()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The browser tests need Chromium, and installing it failed ({error}): {ADVICE}.", file=sys.stderr)
        return 1
    if found is None:
        print(f"The browser tests need Chromium, and the one installed does not start: {ADVICE}.", file=sys.stderr)
        return 1
    print(found)
    return 0


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    with sync_playwright() as playwright:
        yield playwright.chromium.executable_path


def _starts(path: str) -> bool:
    """Tell whether it is a browser: a name on PATH may be a stub that only tells what to install."""
    try:
        answer = subprocess.run([path, "--version"], check=False, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["ID"]
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
