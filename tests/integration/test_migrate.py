"""docs/migrate.md, followed: an export with numeric ids is compared, imported, and opened by its old ids."""

import json
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from tests.builders import PHOTO
from tests.integration.system import System
from tests.snippets import functions, named, snippets

MIGRATE = named("migrate")
COMMANDS = [one.text for one in snippets("migrate") if one.text.startswith("python -m tools.backfill")]
HELD = "4100000000000001"  # the media id of the page's export
OLD_IDS = ["4711", "4712", "4713"]


@pytest.fixture(name="system")
def _system(fresh_system: System) -> System:
    """Give a system to which the page's old ids are new."""
    return fresh_system


@pytest.fixture(name="folder")
def _folder(system: System, tmp_path: Path) -> Path:
    """Give a folder with the page's export, of a number of this test's own, of today, and of media that Meta has."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(PHOTO.content, PHOTO.mime_type, phone_number_id=number)
    today = f"{datetime.now(UTC):%Y-%m-%d}T00:00:00Z"
    rows = MIGRATE["messages.csv"].replace(HELD, media.id).replace("200000000000002", number)
    for time in ("12:00:00", "12:00:05", "12:01:00"):
        rows = rows.replace(f"2026-10-01T{time}Z", today)
    (tmp_path / "messages.csv").write_text(rows, "utf-8")
    lines = (f"{name}={value}\n" for name, value in system.stack.environment.items())
    (tmp_path / "stack.env").write_text("".join(lines))
    return tmp_path


def backfill(folder: Path, command: str) -> str:
    """Run a command of the page in the local run; give what it prints."""
    python, *words = shlex.split(command.replace("--stack whatsapp-media", f"--local {folder}/stack.env"))
    assert python == "python"
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shows(printed: str, expected: str) -> None:
    """Check that all lines that the page shows were printed, in their order, with these very figures."""
    wanted = [line for line in expected.splitlines() if line]
    assert [line for line in printed.splitlines() if line in wanted] == wanted


def test_an_old_table_is_compared_imported_and_opened_by_its_old_ids(system: System, folder: Path) -> None:
    compare, apply = COMMANDS

    dry = backfill(folder, compare)
    shows(dry, MIGRATE["backfill-dry-run"])
    shows(dry, MIGRATE["backfill-gain"])
    assert all(system.items(f"MSG#{old_id}") == {} for old_id in OLD_IDS)
    (missing,) = map(json.loads, (folder / "details.jsonl").read_text().splitlines())
    assert missing["problem"] == "missing"

    assert backfill(folder, apply).startswith("Written.")
    assert json.loads((folder / "report.json").read_text())["counts"]["new"] == 3

    shows(backfill(folder, compare), MIGRATE["backfill-again"])

    check: Callable[..., Counter[str]] = functions("migrate", "check_old_ids.py")["check_old_ids"]
    asked = (system.stack.api_url, [*OLD_IDS, "4714", "a b ä"], system.stack.media_token)
    assert check(*asked) == {"302": 1, "no_media": 1, "media_unavailable": 1, "message_not_found": 2}

    link: Callable[..., str] = functions("migrate", "old_link.py")["old_link"]
    secret = system.stack.media_token_secret
    opened = requests.get(link(system.stack.api_url, "4711", secret), timeout=40)
    assert (opened.status_code, opened.content) == (200, PHOTO.content)
    other = link(system.stack.api_url, "4711", secret).replace("4711?", "4712?")
    assert requests.get(other, timeout=40).json()["code"] == "message_not_found"


def test_the_page_shows_two_commands_of_the_tool_and_only_one_writes() -> None:
    assert ["--apply" in command for command in COMMANDS] == [False, True]
