"""A built function on AWS's own Runtime Interface Emulator, with nothing on its path but the build.

The emulator is in the wheel of aws-sam-cli, the client that Lambda puts around a handler in requirements/runtime.txt.
What it does not model: the read-only /var/task, memory, the libraries of Amazon Linux.
https://docs.aws.amazon.com/lambda/latest/dg/images-test.html
"""

import os
import platform
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local.template import Function
from tests import built
from tests.built import ROOT

EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}
INVOCATIONS = "2015-03-31/functions/function/invocations"
INIT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")


@dataclass(frozen=True)
class Emulated:
    """A function that can be invoked, one event at a time: two at once end the emulator."""

    url: str
    log: Path

    def invoke(self, event: object) -> Any:
        """Give the answer, or the error that the runtime describes: `errorType`, `errorMessage`."""
        return requests.post(f"{self.url}/{INVOCATIONS}", json=event, timeout=30).json()

    @property
    def init(self) -> float:
        """How long the first environment took to start, in milliseconds."""
        found = INIT.search(self.log.read_text("utf-8"))
        assert found, self.log.read_text("utf-8")
        return float(found[1])


@contextmanager
def emulated(
    function: Function, variables: Mapping[str, str], task: Path, layer: Path, log: Path
) -> Iterator[Emulated]:
    """Serve the function that is built in `task`; `variables` are the cloud's, beside its own."""
    with ExitStack() as closing:
        inner, outer = _free_port(closing), _free_port(closing)
    command: list[str | Path] = [
        *(_emulator(), "--runtime-interface-emulator-address", outer, "--runtime-api-address", inner),
        # -S: no site-packages of the interpreter's own.
        *(built.interpreter(), "-S", "-m", "awslambdaric", function.handler),
    ]
    environment = {**_environment(function, task, layer), **variables, **function.environment}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, cwd=task, env=environment, stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            _wait_for(outer, process, log)
            yield Emulated(f"http://{outer}", log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _environment(function: Function, task: Path, layer: Path) -> dict[str, str]:
    """Give what Lambda itself sets. https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html."""
    runtime = ROOT / f".local/sam/runtime-{built.version()}"
    assert runtime.is_dir(), f"there is no {runtime}: make test makes it, make build-for-tests nothing else"
    return {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": f"{function.timeout:.0f}",
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "LAMBDA_TASK_ROOT": str(task),
        "PATH": os.defpath,
        "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's folders are read-only, and ours are to stay as they were built
        "PYTHONPATH": os.pathsep.join(map(str, (task, layer, runtime))),
        "TZ": ":UTC",
    }


def _emulator() -> Path:
    name = EMULATORS[platform.machine()]
    found = list(ROOT.glob(f".venv-sam/lib/python3*/site-packages/samcli/local/rapid/{name}"))
    assert found, "there is no .venv-sam: make test makes it, make build-for-tests nothing else"
    return found[0]


def _free_port(closing: ExitStack) -> str:
    """Give an address that nobody listens on; it stays taken until all are found."""
    listener = closing.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    return f"127.0.0.1:{listener.getsockname()[1]}"


def _wait_for(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    host, _, port = address.partition(":")
    end = time.monotonic() + 20
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection((host, int(port))):
            return
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < end, log.read_text("utf-8")
        time.sleep(0.02)
