"""Finding a Chromium for the browser tests, and installing one."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools import chromium


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with nothing but a shell; its folder of programs is empty, and Playwright has no browser."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "none"))


def program(folder: Path, name: str, code: int = 0) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return str(path)


def test_the_one_on_path_is_taken(tmp_path: Path) -> None:
    path = program(tmp_path, "google-chrome")

    assert chromium.find_chromium() == path


def test_a_stub_that_only_tells_what_to_install_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path, "chromium-browser", code=1)
    path = program(tmp_path, "google-chrome-stable")

    assert chromium.find_chromium() == path


def test_there_may_be_none() -> None:
    assert chromium.find_chromium() is None


@pytest.mark.parametrize(
    ("root", "system", "installer"),
    [
        (True, "debian", "apt-get"),
        (True, "ubuntu", sys.executable),
        (False, "debian", sys.executable),
        (False, "", sys.executable),
    ],
)
def test_debian_s_root_installs_debian_s_and_all_others_playwright_s(root: bool, system: str, installer: str) -> None:
    commands = chromium.install_commands(root=root, system=system)

    assert {command[0] for command in commands} == {installer}
    assert "chromium" in commands[-1]


def test_what_was_installed_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(chromium, "install_chromium", lambda: program(tmp_path, "chromium"))

    assert chromium.main() == 0
    assert capsys.readouterr().out == f"{tmp_path / 'chromium'}\n"


@pytest.mark.parametrize("error", [subprocess.CalledProcessError(100, "apt-get"), OSError("no apt-get")])
def test_a_failed_installation_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(chromium, "install_chromium", fail)

    assert chromium.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "need Chromium" in line
    assert "apt-get install chromium" in line


def test_an_installation_that_leaves_nothing_that_starts_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chromium, "install_chromium", lambda: None)

    assert chromium.main() == 1
    assert "does not start" in capsys.readouterr().err
