"""An old CRM's message table, imported into the running system."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from inbound.media import message_id
from tests import builders
from tests.builders import BROCHURE, PHOTO, VIDEO, VOICE, Json, Sample
from tests.integration.system import System

ROOT = Path(__file__).parent.parent.parent
DAY = 24 * 3600


@dataclass(frozen=True)
class Tool:
    """`python -m tools.backfill`, run against the system; its files are in a folder of its own."""

    folder: Path

    def command(self, file: Path | str, *words: str) -> list[str]:
        place = [] if "--offline" in words else ["--local", str(self.folder / "stack.env")]
        report = ["--json", str(self.folder / "report.json")]
        return [sys.executable, "-m", "tools.backfill", str(file), *place, *report, *words]

    def start(self, file: Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(file, *words), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, file: Path | str, *words: str, code: int = 0, given: str | None = None) -> Json:
        """Run to the end; give the counts of the report, with the other parts under their names."""
        done = subprocess.run(
            self.command(file, *words),
            cwd=ROOT,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        if code:
            return {"stderr": done.stderr}
        whole: Json = json.loads((self.folder / "report.json").read_text())
        return {**whole, **whole.pop("counts"), "stdout": done.stdout}

    def export(self, rows: Sequence[Mapping[str, object]], form: str = "jsonl") -> Path:
        path = self.folder / f"messages.{form}"
        with path.open("w", encoding="utf-8", newline="") as file:
            for line in as_csv(rows) if form == "csv" else (f"{json.dumps(row)}\n" for row in rows):
                file.write(line)
        return path


def as_csv(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for row in rows:
        plain = {n: json.dumps(v) if isinstance(v, dict) else v for n, v in row.items()}
        writer.writerow(plain)
    yield text.getvalue()


@pytest.fixture
def tool(system: System, tmp_path: Path) -> Tool:
    lines = (f"{name}={value}\n" for name, value in system.stack.environment.items())
    (tmp_path / "stack.env").write_text("".join(lines))
    return Tool(tmp_path)


def held(system: System, sample: Sample, number: str | None = None) -> str:
    """Let Meta hold a file; give its media id."""
    number = number or system.stack.phone_number_id
    return system.stack.meta.add_media(sample.content, sample.mime_type, phone_number_id=number).id


def old_bytes(system: System, old_id: str) -> bytes:
    """Open a message by its old id and path, as the old CRM's pages do."""
    headers = {"Authorization": f"Bearer {system.stack.media_token}"}
    url = f"{system.stack.api_url}/api/media/messages/{old_id}"
    answer = requests.get(url, headers=headers, timeout=40)
    assert answer.status_code == 200, answer.text
    return answer.content


def an_export(system: System, mark: str) -> tuple[list[Json], dict[str, Sample]]:
    """Give the rows of an old table, and what each old id that has media shows."""
    number, now = system.stack.phone_number_id, int(time.time())
    photo, voice = (builders.media_object(sample, held(system, sample)) for sample in (PHOTO, VOICE))
    raw = builders.message("image", photo, timestamp=str(now))
    envelope = builders.notification(
        builders.text_message(), builders.message("audio", voice, id=f"wamid.{mark}2"), phone_number_id=number
    )
    shared = {"phoneNumberId": number, "createdAt": now * 1000, "contact": builders.any_phone()}
    rows: list[Json] = [
        {"id": f"{mark}1", **shared, "type": "image", "wamid": raw["id"], "rawPayload": json.dumps(raw)},
        {"id": f"{mark}2", **shared, "type": "ptt", "wamid": f"wamid.{mark}2", "rawPayload": envelope},
        {"id": f"{mark}3", **shared, "type": "video", "mediaUrl": held(system, VIDEO), "mimeType": "video/mp4"},
        {"id": f"{mark}4", **shared, "type": "document", "providerMediaId": held(system, BROCHURE), "caption": "ä,\n;"},
        {"id": f"{mark}5", **shared, "type": "text", "body": "Grüße"},
        {"id": f"{mark}6", **shared, "type": "image", "mediaUrl": "https://example.com/gone.jpg"},
    ]
    return rows, {f"{mark}1": PHOTO, f"{mark}2": VOICE, f"{mark}3": VIDEO, f"{mark}4": BROCHURE}


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_old_table_is_imported_and_its_old_links_show_the_files_byte_for_byte(
    system: System, tool: Tool, form: str
) -> None:
    rows, shown = an_export(system, f"old-{form}-")

    report = tool.run(tool.export(rows, form), "--apply")

    assert {old_id: old_bytes(system, old_id) for old_id in shown} == {o: s.content for o, s in shown.items()}
    assert (report["rows"], report["messages"], report["new"], report["bad_lines"]) == (6, 6, 6, 0)
    assert (report["media_messages"], report["before"], report["after"], report["missing"]) == (5, 1, 4, 1)
    assert report["loadable_by_source"] == {"provider_media_id": 1, "media_url": 1, "raw": 2, "stored before": 0}
    assert report["alias_made"] == 6
    own_id = message_id(system.stack.phone_number_id, f"legacy:old-{form}-4")
    assert system.message(own_id)["caption"] == "ä,\n;"
    assert not list(tool.folder.glob("*.checkpoint*"))


def test_a_dry_run_writes_nothing_and_says_what_the_real_one_then_does(system: System, tool: Tool) -> None:
    rows, _ = an_export(system, "dry-")
    file = tool.export([*rows, rows[0], {**rows[5], "wamid": "wamid.dry"}, {"body": "of nobody"}])
    system.aws.forget()

    dry = tool.run(file)
    calls = set(system.aws.calls)
    real = tool.run(file, "--apply")

    assert calls == {"BatchGetItem"}
    compared = [*(name for name in dry if name not in {"applied", "stdout"})]
    assert {name: dry[name] for name in compared} == {name: real[name] for name in compared}
    assert (dry["repeated"], dry["alias_collision"], dry["first_collisions"], dry["bad_lines"]) == (1, 1, [8], 1)
    assert (dry["applied"], real["applied"]) == (False, True)


def test_running_it_again_changes_nothing_and_says_so(system: System, tool: Tool) -> None:
    rows, shown = an_export(system, "twice-")
    file = tool.export(rows)
    tool.run(file, "--apply")
    for old_id in shown:
        old_bytes(system, old_id)
    partitions = [f"MSG#{old_id}" for old_id in (row["id"] for row in rows)]
    partitions += [f"MSG#{system.items(one)['ALIAS']['message_id']}" for one in partitions]
    before = [system.items(one) for one in partitions]
    system.aws.jobs.clear()

    report = tool.run(file, "--apply")

    assert [system.items(one) for one in partitions] == before
    assert (report["new"], report["already"], report["alias_made"], report["alias_there"]) == (0, 6, 0, 6)
    assert (report["cached"], report["after"]) == (4, 4)
    assert not {message_id(system.stack.phone_number_id, f"legacy:{old_id}") for old_id in shown} & {*system.jobs()}


def test_what_the_webhook_stored_is_not_overwritten_but_given_the_media_id_that_it_lacks(
    system: System, tool: Tool
) -> None:
    number, media_id = system.stack.phone_number_id, held(system, PHOTO)
    live, placeholder = builders.text_message("live"), builders.message("unsupported", {"type": "image"})
    picture = builders.image_message(held(system, PHOTO))
    system.post(builders.notification(live, placeholder, picture, phone_number_id=number))
    ids = [message_id(number, one["id"]) for one in (live, placeholder, picture)]
    before = [system.message(one) for one in ids]
    shared = {"phoneNumberId": number, "timestamp": int(time.time())}
    rows = [
        {"id": "live-1", **shared, "wamid": live["id"], "type": "text", "body": "stale"},
        {"id": "live-2", **shared, "wamid": placeholder["id"], "type": "image", "providerMediaId": media_id},
        {"id": "live-3", **shared, "wamid": picture["id"], "type": "image", "providerMediaId": "41"},
    ]

    report = tool.run(tool.export(rows), "--apply")

    after = [system.message(one) for one in ids]
    assert [after[0], after[2]] == [before[0], before[2]]
    assert after[1]["provider_media_id"] == media_id
    assert (report["already"], report["completed"], report["alias_made"]) == (2, 1, 3)
    assert old_bytes(system, "live-2") == PHOTO.content


def test_an_old_id_that_is_taken_goes_on_meaning_what_it_meant(system: System, tool: Tool) -> None:
    own_id = system.receive(PHOTO)
    system.put({"pk": "MSG#taken-1", "sk": "ALIAS", "message_id": own_id})
    rows = [{"id": "taken-1", "wamid": "wamid.taken", "type": "image", "timestamp": int(time.time())}]

    report = tool.run(tool.export(rows), "--apply", "--phone-number-id", system.stack.phone_number_id)

    assert (report["alias_collision"], report["first_collisions"], report["new"]) == (1, [1], 1)
    assert system.items("MSG#taken-1")["ALIAS"]["message_id"] == own_id


def test_an_old_id_that_is_taken_while_the_tool_runs_is_a_collision_too(system: System, tool: Tool) -> None:
    rows = [{"id": "race-1", "wamid": "wamid.race", "type": "text", "body": "x", "timestamp": int(time.time())}]
    file = tool.export(rows)
    system.aws.delay("PutItem", 2)

    process = tool.start(file, "--apply", "--phone-number-id", system.stack.phone_number_id)
    while "PutItem" not in system.aws.calls and process.poll() is None:
        time.sleep(0.01)
    system.put({"pk": "MSG#race-1", "sk": "ALIAS", "message_id": "somebody-elses"})
    out, errors = process.communicate(timeout=60)

    assert process.returncode == 0, errors
    assert json.loads((tool.folder / "report.json").read_text())["counts"]["alias_collision"] == 1, out
    assert system.items("MSG#race-1")["ALIAS"]["message_id"] == "somebody-elses"


def test_an_erased_message_does_not_come_back_under_any_id(system: System, tool: Tool) -> None:
    number = system.stack.phone_number_id
    own_id = message_id(number, "wamid.erased")
    system.put({"pk": f"MSG#{own_id}", "sk": "ERASED", "ttl": int(time.time()) + DAY})
    rows = [{"id": "erased-1", "wamid": "wamid.erased", "type": "text", "body": "x", "timestamp": int(time.time())}]

    report = tool.run(tool.export(rows), "--apply", "--phone-number-id", number)

    assert (report["erased"], report["new"], report["alias_made"]) == (1, 0, 0)
    assert system.items(f"MSG#{own_id}").keys() == {"ERASED"}
    assert system.items("MSG#erased-1") == {}


def test_media_that_meta_no_longer_keeps_is_stored_without_a_job_and_its_first_view_settles_it(
    system: System, tool: Tool
) -> None:
    number, now = system.stack.phone_number_id, int(time.time())
    rows = [
        {"id": "late-1", "wamid": "wamid.late-1", "type": "image", "providerMediaId": "41", "timestamp": now - 8 * DAY},
        {"id": "late-2", "wamid": "wamid.late-2", "type": "image", "mediaUrl": "42", "timestamp": now - 400 * DAY},
    ]

    report = tool.run(tool.export(rows), "--apply", "--phone-number-id", number)

    own_id = message_id(number, "wamid.late-1")
    assert (report["expired"], report["past_retention"], report["new"]) == (1, 1, 1)
    assert system.message(own_id)["provider_media_id"] == "41"
    assert "gsi2pk" not in system.message(own_id)
    assert own_id not in system.jobs()
    assert system.items(f"MSG#{message_id(number, 'wamid.late-2')}") == {}
    assert system.items("MSG#late-2") == {}
    assert system.problem("late-1", 410, "media_expired")["retryable"] is False
    assert system.media(own_id)["status"] == "failed"


def test_the_table_comes_through_standard_input(system: System, tool: Tool) -> None:
    rows, shown = an_export(system, "piped-")
    given = "".join(f"{json.dumps(row)}\n" for row in rows)

    report = tool.run("-", "--apply", "--format", "jsonl", given=given)

    assert report["new"] == 6
    assert all(old_bytes(system, old_id) == sample.content for old_id, sample in shown.items())


def test_a_deployed_stack_is_found_by_its_name(system: System, tool: Tool) -> None:
    stack = system.stack
    outputs = {
        "TableName": stack.table_name,
        "BucketName": stack.bucket_name,
        "QueueUrl": stack.queue_url,
        "DeadLetterQueueUrl": stack.dead_letter_queue_url,
    }
    template = {
        "Parameters": {"RetentionDays": {"Type": "Number"}},
        "Resources": {"Any": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    kept = [{"ParameterKey": "RetentionDays", "ParameterValue": "30"}]
    cloudformation = system.client("cloudformation")
    cloudformation.create_stack(StackName="media", TemplateBody=json.dumps(template), Parameters=kept)
    now = int(time.time())
    file = tool.export([{"id": f"stack-{days}", "timestamp": now - days * DAY} for days in (1, 29, 31)])
    words = ["--phone-number-id", stack.phone_number_id, "--json", str(tool.folder / "report.json")]
    command = [sys.executable, "-m", "tools.backfill", str(file), *words, "--stack"]

    found, missing = (
        subprocess.run(
            [*command, name],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **stack.access.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for name in ("media", "no-such-stack")
    )

    counts = json.loads((tool.folder / "report.json").read_text())["counts"]
    assert (found.returncode, counts["new"], counts["past_retention"]) == (0, 2, 1), found.stderr
    assert (missing.returncode, missing.stderr) == (2, "There is no stack no-such-stack in us-east-1.\n")
    cloudformation.delete_stack(StackName="media")


# --- ended early ---------------------------------------------------------------------------------------------


def many_rows(system: System, mark: str, count: int) -> list[Json]:
    shared = {"phoneNumberId": system.stack.phone_number_id, "timestamp": int(time.time()), "type": "image"}
    return [
        {
            "id": f"{mark}-{n}",
            "wamid": f"wamid.{mark}-{n}",
            "contact": f"1555{n % 7:07d}",
            "mediaUrl": f"77{n}",
            **shared,
        }
        for n in range(count)
    ]


def wait_for_checkpoint(path: Path, line: int, process: subprocess.Popen[str]) -> None:
    given_up = time.monotonic() + 40
    while time.monotonic() < given_up and process.poll() is None:
        if path.exists() and json.loads(path.read_text())["state"]["line"] >= line:
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def everything_of(system: System, mark: str) -> tuple[list[str], list[str]]:
    items = system.everything()
    wamids = [item["wamid"] for item in items if item.get("wamid", "").startswith(f"wamid.{mark}-")]
    aliases = [item["pk"] for item in items if item["sk"] == "ALIAS" and item["pk"].startswith(f"MSG#{mark}-")]
    return sorted(wamids), sorted(aliases)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_was_ended_in_the_middle_goes_on_and_everything_is_there_once(
    system: System, tool: Tool, ending: signal.Signals
) -> None:
    mark = ending.name.lower()
    file = tool.export(many_rows(system, mark, 900))
    checkpoint = Path(f"{file}.checkpoint")

    process = tool.start(file, "--apply")
    wait_for_checkpoint(checkpoint, 250, process)
    time.sleep(0.2)  # into the next rows
    process.send_signal(ending)
    _, errors = process.communicate(timeout=60)

    some, _ = everything_of(system, mark)
    assert 250 <= len(some) < 900
    assert process.returncode == (1 if ending is signal.SIGINT else -signal.SIGKILL)
    assert ("goes on from there" in errors) is (ending is signal.SIGINT)
    assert "Traceback" not in errors

    report = tool.run(file, "--apply")

    wamids, aliases = everything_of(system, mark)
    assert wamids == sorted(f"wamid.{mark}-{n}" for n in range(900))
    assert aliases == sorted(f"MSG#{mark}-{n}" for n in range(900))
    assert (report["rows"], report["messages"], report["after"]) == (900, 900, 900)
    assert report["new"] + report["already"] == 900
    assert report["already"] < 300  # it did not begin again
    assert set(system.jobs()) >= {message_id(system.stack.phone_number_id, wamid) for wamid in wamids}
    assert not checkpoint.exists()


def test_throttling_that_does_not_end_ends_the_run_with_its_place_kept(system: System, tool: Tool) -> None:
    file = tool.export(many_rows(system, "throttled", 5))
    system.aws.fail("PutItem", "ProvisionedThroughputExceededException", times=10_000)

    ended = tool.run(file, "--apply", "--patience", "1", code=1)

    assert "ProvisionedThroughputExceededException" in ended["stderr"]
    assert Path(f"{file}.checkpoint").exists()

    system.aws.forget()
    report = tool.run(file, "--apply")

    assert report["rows"] == 5
    assert len(everything_of(system, "throttled")[0]) == 5


def test_throttling_that_ends_is_waited_for(system: System, tool: Tool) -> None:
    file = tool.export(many_rows(system, "slow", 5))
    system.aws.fail("PutItem", "ProvisionedThroughputExceededException", times=20)

    report = tool.run(file, "--apply", "--patience", "60")

    assert report["new"] == 5
    assert [len(found) for found in everything_of(system, "slow")] == [5, 5]


def test_a_table_that_is_not_there_is_not_waited_for(system: System, tool: Tool) -> None:
    file = tool.export(many_rows(system, "nowhere", 1))
    environment = tool.folder / "stack.env"
    environment.write_text(environment.read_text().replace(system.stack.table_name, "nowhere"))

    ended = tool.run(file, code=1)

    assert "ResourceNotFoundException" in ended["stderr"]


# --- size ----------------------------------------------------------------------------------------------------


def write_rows(path: Path, count: int) -> Path:
    """Write rows of every kind, as large as real ones."""
    now = int(time.time())
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            raw = {
                "from": f"1555{n % 9999:07d}",
                "id": f"wamid.{n}",
                "timestamp": str(now - n),
                "type": "image",
                "image": {
                    "id": str(10**15 + n),
                    "mime_type": "image/jpeg",
                    "sha256": PHOTO.sha256,
                    "caption": "x" * 80,
                },
            }
            row: Json = {"id": n, "wamid": raw["id"], "type": "image", "timestamp": now - n}
            file.write(json.dumps(row | ({"rawPayload": json.dumps(raw)} if n % 2 else {"mediaUrl": str(n)})) + "\n")
    return path


def peak_memory(process: subprocess.Popen[str]) -> int:
    """Wait for a process; give the most memory that it had, in KiB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


@pytest.mark.timeout(180)
def test_a_hundred_thousand_rows_take_no_more_memory_than_ten_thousand(tool: Tool) -> None:
    files = [write_rows(tool.folder / f"{count}.jsonl", count) for count in (10_000, 100_000)]
    reports = [tool.folder / f"{file.stem}.json" for file in files]

    running = [
        subprocess.Popen(
            tool.command(file, "--offline", "--phone-number-id", "1", "--json", str(report)),
            cwd=ROOT,
            text=True,
            stdout=subprocess.DEVNULL,
        )
        for file, report in zip(files, reports, strict=True)
    ]
    few, many = map(peak_memory, running)

    assert [json.loads(report.read_text())["counts"]["after"] for report in reports] == [10_000, 100_000]
    assert many - few < 8 * 1024
