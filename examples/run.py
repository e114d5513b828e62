"""The example CRM beside the local run: `make run-example`. CRM_PORT is its port, 9000 unless said otherwise."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from werkzeug.security import generate_password_hash

from local.options import BadSetting
from local.stack import ROOT, STATE, Stack, main

PORT = 9000
NAME, PASSWORD = "agent", "agent"  # they open this laptop's example only
PATIENCE = 20
"""Seconds that the CRM may take to start."""
_FROM_STACK = ("APP_SECRET", "VERIFY_TOKEN", "API_URL", "EDGE_URL", "MEDIA_TOKEN_SECRET")


def settings(stack: Mapping[str, str], database: Path) -> dict[str, str]:
    """Give the CRM's environment; `stack` is what `.local/stack.env` holds."""
    agent = {"password_hash": generate_password_hash(PASSWORD), "phone_numbers": [stack["PHONE_NUMBER_ID"]]}
    own = {
        "CRM_DATABASE": str(database),
        "CRM_SECRET_KEY": secrets.token_hex(32),
        "CRM_AGENTS": json.dumps({NAME: agent}),
    }
    return {**own, **{name: stack[name] for name in _FROM_STACK}}


def command(*words: str) -> list[str]:
    """Give the command line of Flask for the CRM."""
    return [sys.executable, "-m", "flask", "--app", "examples.crm.app", *words]


@contextmanager
def started(environment: Mapping[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the CRM, a process of its own, until the end. Raises `BadSetting` when it does not start."""
    _check_free(port)
    path = {"PATH": os.environ.get("PATH", os.defpath)}
    with subprocess.Popen(command("run", "--port", str(port)), cwd=ROOT, env={**path, **environment}) as crm:
        try:
            _wait_for(crm, port)
            yield crm
        finally:
            crm.terminate()


def _check_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise BadSetting(f"port {port} is taken; choose another one: CRM_PORT={port + 1} make run-example") from error


def _wait_for(crm: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + PATIENCE
    while crm.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BadSetting("the example CRM does not start; what it says stands above")


@contextmanager
def beside(stack: Stack) -> Iterator[None]:
    """Run the CRM beside the local run, with an empty database."""
    database = STATE / "example-crm.sqlite"
    database.unlink(missing_ok=True)
    port = _port()
    with started(settings(stack.environment, database), port):
        print(f"  Example CRM   http://127.0.0.1:{port}   {NAME} / {PASSWORD}\n", flush=True)
        yield


def _port() -> int:
    return int(os.environ.get("CRM_PORT") or PORT)


if __name__ == "__main__":
    origin = f"http://127.0.0.1:{_port()}"
    os.environ |= {"FORWARD_URL": f"{origin}/webhook", "ALLOWED_ORIGINS": origin}
    sys.exit(main(beside))
