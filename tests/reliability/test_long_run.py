"""Two thousand media, while one Graph request in twenty fails: the whole system as `make run` starts it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from inbound.media import message_id
from local import faults
from local.faults import RandomFaults
from local.stack import ROOT
from tests import builders
from tests.reliability.conftest import Count, Observe

MEDIA, IN_ONE_POST, AT_ONCE = 2000, 100, 8
PATIENCE = 180.0  # seconds that an agent's page goes on asking
TRANSIENT = (
    faults.ServerError(),
    faults.ServerError(status=502),
    faults.GraphError(code=131016, status=400),
    faults.GraphError(code=4, status=400),
    faults.GraphError(code=2, status=503),
    faults.RateLimited(retry_after=1),
    faults.NoUrl(),
    faults.CutOff(),
    faults.DeadUrl(),
    faults.DeadUrl(status=403),
    faults.HtmlPage(),
    faults.GraphError(hop="download", code=1, status=500),
)


@dataclass(frozen=True)
class Running:
    """A local run, known by the file that it writes, and nothing else."""

    values: dict[str, str]

    def simulator(self, path: str, content: bytes, content_type: str = "application/json") -> builders.Json:
        url = f"{self.values['GRAPH_URL']}/simulator/{path}"
        answer = requests.post(url, content, headers={"Content-Type": content_type}, timeout=60)
        assert answer.status_code in {200, 201}, answer.text
        found: builders.Json = answer.json()
        return found

    def struck(self) -> int:
        answer = requests.get(f"{self.values['GRAPH_URL']}/simulator/random_faults", timeout=60)
        return int(answer.json()["struck"])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Running]:
    """Start a run in a folder of its own: it must not disturb the one that a developer has going."""
    for name in ("local", "web", "template.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GRAPH_"))}
    command = [sys.executable, "-m", "local.stack"]
    process = subprocess.Popen(command, cwd=tmp_path, env={**kept, "API_PORT": "0"}, stdout=subprocess.DEVNULL)
    try:
        yield Running(announced(tmp_path / ".local" / "stack.env", process))
    finally:
        process.terminate()
        process.wait(30)


def announced(file: Path, process: subprocess.Popen[bytes]) -> dict[str, str]:
    end = time.monotonic() + 60
    while not file.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


@pytest.mark.timeout(600)
def test_with_one_request_in_twenty_failing_at_least_999_in_1000_views_end_served(
    run: Running, observed: Observe, counted: Count
) -> None:
    run.simulator("random_faults", RandomFaults(rate=0.05, faults=TRANSIENT, seed=2026).model_dump_json().encode())
    files = received(run)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        shown = dict(zip(files, threads.map(lambda own_id: seen(run, own_id), files), strict=True))

    served = [own_id for own_id, content in shown.items() if content == files[own_id]]
    wrong = [own_id for own_id, content in shown.items() if content not in {files[own_id], None}]
    struck = run.struck()
    counted(
        messages_sent=MEDIA,
        views=MEDIA,
        faults_injected=struck,
        served=len(served),
        lost=MEDIA - len(served),
        wrong_bytes=len(wrong),
    )
    assert wrong == []
    assert len(served) >= 0.999 * MEDIA
    assert struck > 0.04 * 2 * MEDIA
    observed("long", "5 % of all Graph requests fail, 2000 media", "Graph", "302 for 99.9 % at least", "no wrong byte")


def received(run: Running) -> dict[str, bytes]:
    """Let Meta hold many small pictures and deliver them; give each one's bytes by message id."""
    number = run.values["PHONE_NUMBER_ID"]
    files: dict[str, bytes] = {}
    for start in range(0, MEDIA, IN_ONE_POST):
        contents = [b"\xff\xd8\xff picture %d" % place for place in range(start, start + IN_ONE_POST)]
        media_ids = [run.simulator("media", content, "image/jpeg")["id"] for content in contents]
        messages = [builders.message("image", {"id": own, "mime_type": "image/jpeg"}) for own in media_ids]
        raw = builders.wire(builders.notification(*messages, phone_number_id=number))
        assert run.simulator("deliver", raw)["status"] == 200  # again and again, as Meta does, until it is
        files |= {message_id(number, one["id"]): content for one, content in zip(messages, contents, strict=True)}
    return files


def seen(run: Running, own_id: str) -> bytes | None:
    """Ask as an agent's page does, again after `Retry-After`; give the bytes, or None when it gave up."""
    end, url = time.monotonic() + PATIENCE, f"{run.values['API_URL']}/media/messages/{own_id}"
    while True:
        answer = requests.get(url, {"token": run.values["MEDIA_TOKEN"]}, timeout=60, allow_redirects=False)
        if answer.status_code == 302:
            return requests.get(answer.headers["Location"], timeout=60).content
        wait = float(answer.headers.get("Retry-After", "inf"))
        if time.monotonic() + wait > end:
            print(answer.status_code, json.dumps(answer.json()), file=sys.stderr)
            return None
        time.sleep(wait)
