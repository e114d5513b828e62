"""The example CRM beside the local run: `make run-example`. CRM_PORT is its port, 9000 unless said otherwise."""

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from werkzeug.security import generate_password_hash

from examples.crm.app import create_app
from local.options import BadSetting
from local.server import PortTaken, Server, serve
from local.stack import STATE, Stack, main

PORT = "9000"
NAME, PASSWORD = "agent", "agent"  # they open this laptop's example only
_FROM_STACK = ("APP_SECRET", "VERIFY_TOKEN", "API_URL", "EDGE_URL", "MEDIA_TOKEN_SECRET")


def settings(stack: Mapping[str, str], database: Path) -> dict[str, str]:
    """Give the CRM's environment; `stack` is what `.local/stack.env` holds."""
    agent = {"password_hash": generate_password_hash(PASSWORD), "phone_numbers": [stack["PHONE_NUMBER_ID"]]}
    own = {
        "CRM_DATABASE": str(database),
        "CRM_SECRET_KEY": secrets.token_hex(32),
        "CRM_AGENTS": json.dumps({NAME: agent}),
        "CRM_PLAIN_HTTP": "yes",
    }
    return {**own, **{name: stack[name] for name in _FROM_STACK}}


def started(environment: Mapping[str, str], port: int) -> Server:
    """Serve the CRM. Raises `BadSetting` where the port is taken."""
    try:
        return serve(create_app(environment), port)
    except PortTaken as error:
        raise BadSetting(f"port {port} is taken. Choose another one: CRM_PORT={port + 1} make run-example") from error


@contextmanager
def beside(port: int, stack: Stack) -> Iterator[None]:
    """Run the CRM beside the local run, with an empty database."""
    database = STATE / f"example-{port}.sqlite"
    database.unlink(missing_ok=True)
    with started(settings(stack.environment, database), port) as server:
        print(f"  The example CRM: {server.url}   name and password: {NAME} / {PASSWORD}\n", flush=True)
        yield
    database.unlink(missing_ok=True)


def run() -> int:
    """Run both until Ctrl-C or SIGTERM. Gives the exit code."""
    port = os.environ.get("CRM_PORT") or PORT
    if not port.isdecimal() or not 0 < int(port) < 65536:
        print(f"CRM_PORT must be a number from 1 to 65535, not {port!r}", file=sys.stderr)
        return 1
    origin = f"http://127.0.0.1:{port}"
    os.environ |= {"FORWARD_URL": f"{origin}/webhook", "ALLOWED_ORIGINS": origin}
    return main(lambda stack: beside(int(port), stack))


if __name__ == "__main__":
    sys.exit(run())
