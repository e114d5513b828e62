"""What the fault-injection suite saw, as docs/reliability.md shows it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import requests

from inbound.media import object_key
from local.stack import ROOT, STATE
from tests.integration.system import System

PAGE = ROOT / "docs" / "reliability.md"
NOTES = STATE / "reliability"
"""Where each test process leaves its rows and its figures."""

SECTIONS = {
    "graph": "Meta answers badly",
    "download": "The file does not come as it should",
    "table": "DynamoDB fails",
    "queue": "SQS fails",
    "bucket": "S3 fails",
    "crash": "A process is killed (SIGKILL)",
    "time": "Time passes",
    "json": "Meta sends anything",
    "again": "Meta delivers again, in any order, at once",
    "flight": "Many want the same at once",
    "long": "Many faults over a long run",
}

INTRODUCTION = """\
# Reliability

*Made by the fault-injection suite (`make reliability-docs`), which runs in `make test` and fails when it sees anything
else than what stands here; do not edit.*

What is promised: a fault anywhere costs time, never a message and never a file, and an alarm comes before a loss.
Every row below is a test: real handlers in processes of their own, over real HTTP, against a Graph that misbehaves and
an AWS that fails on demand. What was stored afterwards is read from table, bucket and queue themselves.

How it works. A webhook is answered 200 only when everything in it is stored and queued; all else is 503, and Meta sends
it again for seven days. What is written is a function of what Meta sent, so that doing it twice changes nothing. The
media of a message has one item in the table: its state, its lease (one attempt at a time), its fence (a late attempt
cannot publish), and the time of its next attempt. The worker tries as soon as a message is there, sends itself a job
for the next attempt, and every minute the sweeper looks at all media that is not settled. An object becomes visible
only once its length and hash are what Meta declared.

States of media: `waiting` (for its next attempt), `queued` (for the worker), `fetching`, `ready`, and `failed`, which
is final: Meta never had it, it is too large, or it is gone for good. What an agent sees for each code:
[errors.md](errors.md). What an operator does about alarms, and the tools that repair, replay and erase:
[operate.md](operate.md).
"""

HEAD = "| fault | where | the caller saw | afterwards |\n|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """One fault: where it was put, what the caller saw, what was stored afterwards."""

    section: str
    order: tuple[int, ...]
    fault: str
    where: str
    saw: str
    stored: str

    @property
    def line(self) -> str:
        return f"| {self.fault} | {self.where} | {self.saw} | {self.stored} |"


def page(rows: Iterable[Row]) -> str:
    """Give the whole page, in Markdown."""
    return "\n".join([INTRODUCTION, *_tables(rows)])


def _tables(rows: Iterable[Row]) -> Iterator[str]:
    places = list(SECTIONS)
    ordered = sorted(rows, key=lambda row: (places.index(row.section), row.order))
    for section, own in groupby(ordered, key=lambda row: row.section):
        yield "\n".join([f"## {SECTIONS[section]}\n", HEAD, *(row.line for row in own), ""])


# --- from the processes that test to the one that reports ---------------------------------------------------


def keep(name: str, value: Row | dict[str, int]) -> None:
    NOTES.mkdir(parents=True, exist_ok=True)
    kept = asdict(value) if isinstance(value, Row) else value
    with (NOTES / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(kept) + "\n")


def forget() -> None:
    for file in NOTES.glob("*.jsonl"):
        file.unlink()


def rows() -> list[Row]:
    found = (json.loads(line) for file in NOTES.glob("rows-*.jsonl") for line in file.read_text("utf-8").splitlines())
    return [Row(**{**row, "order": tuple(row["order"])}) for row in found]


def figures() -> dict[str, int]:
    """Give the sums of what was counted."""
    sums: dict[str, int] = {}
    for file in NOTES.glob("figures-*.jsonl"):
        for line in file.read_text("utf-8").splitlines():
            for name, count in json.loads(line).items():
                sums[name] = sums.get(name, 0) + count
    return sums


# --- words for what was seen --------------------------------------------------------------------------------


def saw(answer: requests.Response) -> str:
    """Say how a request was answered: status, code, and whether there will be another attempt."""
    code = ""
    if answer.headers.get("Content-Type") == "application/problem+json":
        code = f" `{answer.json()['code']}`"
    wait = ", `Retry-After`" if "Retry-After" in answer.headers else ""
    return f"{answer.status_code}{code}{wait}"


def stored(system: System, own_id: str) -> str:
    """Say what there is of a message and its media: state, last error, attempts, objects, unfinished uploads."""
    items = system.items(f"MSG#{own_id}")
    if "MESSAGE" not in items:
        return "nothing"
    media: dict[str, Any] = items.get("MEDIA", {})
    error = f" (`{media['error_code']}`)" if "error_code" in media else ""
    state = f"media `{media['status']}`{error}" if media else "media not tried"
    index = (
        "" if ("gsi2pk" in items["MESSAGE"]) == (media.get("status") not in {"ready", "failed"}) else ", INDEX WRONG"
    )
    return f"message once, {state}, {_objects(system, own_id)}{index}"


def _objects(system: System, own_id: str) -> str:
    number = system.message(own_id)["phone_number_id"]
    bucket, s3 = system.stack.bucket_name, system.client("s3")
    places = [object_key(prefix, number, own_id, "") for prefix in ("inline", "pdf", "file")]
    objects = [
        found for place in places for found in s3.list_objects_v2(Bucket=bucket, Prefix=place).get("Contents", [])
    ]
    uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    open_ = [upload for upload in uploads if f"/{own_id}/" in upload["Key"]]
    count = {0: "no object", 1: "one object"}.get(len(objects), f"{len(objects)} objects")
    left = "an upload open" if len(open_) == 1 else f"{len(open_)} uploads open"
    return f"{count}, {left}" if open_ else count
