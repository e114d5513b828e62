"""What was given up is done again: jobs from the dead-letter queue, and events that are understood by now."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from inbound.media import digest, message_id
from tests import builders
from tests.builders import Json
from tests.integration import system as systems
from tests.integration.system import System
from webhook import payload
from webhook.payload import Delivery

RETENTION_DAYS = 365
LARGE = 400_000  # characters, more than the table takes
RECEIVED = 1_790_000_000_000


class Queues(NamedTuple):
    """Queues of this test's own: those of the system may hold what other tests left in flight."""

    fetch: str
    dead: str


# --- dead letters ------------------------------------------------------------------------------------------------


def test_jobs_go_back_to_the_fetch_queue_and_what_is_no_job_stays(system: System, queues: Queues, place: Path) -> None:
    ids = [f"{n:026d}" for n in range(25)]
    bury(system, queues, *(json.dumps({"message_id": one}) for one in ids), "no job", "[1]", '{"message_id": 5}')

    report = replay(place, "dead-letters", "--apply")

    assert report == {"applied": True, "jobs": 25, "moved": 25, "no_jobs": 3}
    assert sorted(drained(system, queues.fetch)) == [json.dumps({"message_id": one}) for one in ids]
    assert sorted(drained(system, queues.dead)) == ["[1]", "no job", '{"message_id": 5}']


def test_a_dry_run_counts_dead_letters_and_leaves_them_in_sight(system: System, queues: Queues, place: Path) -> None:
    job = json.dumps({"message_id": "a" * 26})
    bury(system, queues, *[job] * 12, "no job")

    report = replay(place, "dead-letters")

    assert report == {"applied": False, "jobs": 12, "moved": 0, "no_jobs": 1}
    assert sorted(drained(system, queues.dead)) == ["no job", *[job] * 12]
    assert drained(system, queues.fetch) == []


def test_so_many_jobs_are_moved_as_was_asked(system: System, queues: Queues, place: Path) -> None:
    bury(system, queues, *[json.dumps({"message_id": "a" * 26})] * 15)

    report = replay(place, "dead-letters", "--apply", "--limit", "12")

    assert report["moved"] == 12
    assert len(drained(system, queues.fetch)) == 12
    assert len(drained(system, queues.dead)) == 3


def test_a_job_that_the_fetch_queue_does_not_take_stays_a_dead_letter(
    system: System, queues: Queues, place: Path
) -> None:
    job = json.dumps({"message_id": "a" * 26})
    bury(system, queues, job)
    failed = {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}
    system.aws.answer("SendMessageBatch", 200, json.dumps(failed).encode())

    done = run(place, "dead-letters", "--apply")

    assert done.returncode == 1
    assert drained(system, queues.dead) == [job]


def test_a_job_is_sent_before_it_is_deleted(system: System, queues: Queues, place: Path) -> None:
    job = json.dumps({"message_id": "a" * 26})
    bury(system, queues, job)
    system.aws.delay("DeleteMessageBatch", 5)
    with subprocess.Popen(command(place, "dead-letters", "--apply"), stdout=subprocess.DEVNULL) as process:
        until(lambda: "DeleteMessageBatch" in system.aws.calls)
        process.send_signal(signal.SIGKILL)
        process.wait(5)

    assert drained(system, queues.fetch) == [job]


# --- events ------------------------------------------------------------------------------------------------------


def whole_body(number: str, message: Json) -> payload.Record:
    """An envelope that an earlier parser could not read."""
    body = builders.wire(builders.notification(message, phone_number_id=number))
    return payload._body_event("unreadable", posted(body))


def unknown_field(number: str, message: Json) -> payload.Record:
    """A change whose field an earlier parser did not know."""
    body = builders.notification(message, phone_number_id=number)
    (entry,) = body["entry"]
    return payload.event({"id": entry["id"], "change": entry["changes"][0]}, "unknown_field", posted(b""), "messages")


def unknown_key(number: str, message: Json) -> payload.Record:
    """A list of messages that an earlier parser did not know."""
    whole = {"id": "1", "field": "messages", "phone_number_id": number, "content": {"messages": [message]}}
    return payload.event(whole, "unknown_keys", posted(b""), "messages")


def unbound_number(number: str, message: Json) -> payload.Record:
    """A message that came before the number was bound to the app."""
    return recorded(number, message, "number_not_bound")


def refused(number: str, message: Json) -> payload.Record:
    return recorded(number, message, "refused")


UNDERSTOOD = [whole_body, unknown_field, unknown_key, unbound_number, refused]


@pytest.mark.parametrize("kept", UNDERSTOOD, ids=lambda kept: kept.__name__)
def test_an_event_that_is_understood_by_now_becomes_its_message(
    system: System, place: Path, kept: Callable[[str, Json], payload.Record]
) -> None:
    number, app = any_app(system)
    media = system.stack.meta.add_media(builders.PHOTO.content, "image/jpeg", phone_number_id=number)
    message = builders.image_message(media.id)
    store(system, kept(number, message), app)
    own_id = message_id(number, message["id"])

    report = replay(place, "events", "--app", app, "--apply")

    (counts,) = report["reasons"].values()
    assert counts == {"understood": 1, "not_understood": 0}
    assert (report["messages"], report["media_queued"]) == (1, 1)
    assert json.loads(system.message(own_id)["raw"]) == message
    assert system.jobs() == [own_id]
    assert system.events(app_id=app) == []
    assert system.bytes_of(own_id).content == builders.PHOTO.content


def field_of_another_kind(number: str) -> payload.Record:
    """A change of a field that holds no messages."""
    (record,) = payload.parse(posted(builders.wire(builders.notification(phone_number_id=number, field="flows"))))
    return record


def message_of_another_number(_: str) -> payload.Record:
    return whole_body(builders.any_phone_number_id(), builders.image_message())


def still_unbound(_: str) -> payload.Record:
    return unbound_number(builders.any_phone_number_id(), builders.image_message())


@pytest.mark.parametrize(
    "kept", [field_of_another_kind, message_of_another_number, still_unbound], ids=lambda kept: kept.__name__
)
def test_an_event_that_is_still_not_understood_stays_as_it_is(
    system: System, place: Path, kept: Callable[[str], payload.Record]
) -> None:
    number, app = any_app(system)
    store(system, kept(number), app)
    before = system.events(app_id=app)

    report = replay(place, "events", "--app", app, "--apply")

    (counts,) = report["reasons"].values()
    assert counts == {"understood": 0, "not_understood": 1}
    assert report["messages"] == 0
    assert system.events(app_id=app) == before != []


def test_a_dry_run_counts_the_same_and_changes_nothing(system: System, place: Path) -> None:
    number, app = any_app(system)
    store(system, unknown_key(number, builders.image_message()), app)
    store(system, refused(number, builders.text_message()), app)
    before = system.events(app_id=app)

    looked = replay(place, "events", "--app", app)

    assert system.events(app_id=app) == before
    assert system.jobs() == []
    assert replay(place, "events", "--app", app, "--apply") == {**looked, "applied": True}
    assert looked["messages"] == 2


def test_only_the_reasons_and_the_time_that_were_asked_for_are_replayed(system: System, place: Path) -> None:
    number, app = any_app(system)
    store(system, unknown_key(number, builders.text_message()), app)
    store(system, refused(number, builders.text_message()), app)

    late = replay(place, "events", "--app", app, "--apply", "--since", "2026-09-30")
    some = replay(place, "events", "--app", app, "--apply", "--reason", "refused", "--since", "2026-09-01")

    assert late["reasons"] == {}
    assert some["reasons"] == {"refused": {"understood": 1, "not_understood": 0}}
    assert [event["reason"] for event in system.events(app_id=app)] == ["unknown_keys"]


def test_a_reason_for_which_nothing_was_kept_is_named(system: System, place: Path) -> None:
    _, app = any_app(system)

    done = run(place, "events", "--app", app, "--reason", "refusd")

    assert done.stdout.startswith("No events were kept for refusd.\n")


def test_an_event_too_large_for_the_table_is_read_from_the_bucket(system: System, place: Path) -> None:
    number, app = any_app(system)
    message = builders.text_message("x" * LARGE)
    key = f"raw/events/{message['timestamp']}/{number}"
    record = whole_body(number, message)
    content = record.attributes.pop("raw").encode()
    system.client("s3").put_object(Bucket=system.stack.bucket_name, Key=key, Body=content)
    store(system, record, app, raw_s3_key=key)

    replay(place, "events", "--app", app, "--apply")

    assert system.message(message_id(number, message["id"]))["type"] == "text"
    assert system.events(app_id=app) == []
    assert key not in system.objects()


def test_an_unreadable_part_of_a_body_lives_on_as_its_own_event(system: System, place: Path) -> None:
    number, app = any_app(system)
    body = builders.envelope(
        [builders.change_of(builders.text_message(), phone_number_id=number), {"field": "flows", "value": {}}]
    )
    store(system, payload._body_event("unreadable", posted(builders.wire(body))), app)

    report = replay(place, "events", "--app", app, "--apply")

    assert report["messages"] == 1
    (left,) = system.events(app_id=app)
    assert (left["reason"], left["field"], left["received"]) == ("unknown_field", "flows", RECEIVED)
    assert left["ttl"] == RECEIVED // 1000 + RETENTION_DAYS * 24 * 3600


def test_an_event_is_deleted_only_after_its_message_is_stored(system: System, place: Path) -> None:
    number, app = any_app(system)
    store(system, unknown_key(number, builders.image_message()), app)
    system.aws.fail("SendMessageBatch", "ServiceUnavailable", status=503)

    done = run(place, "events", "--app", app, "--apply")

    assert done.returncode == 1
    assert done.stderr.startswith("Not finished.")
    assert len(system.events(app_id=app)) == 1


def test_an_event_that_the_table_refuses_again_stays(system: System, place: Path) -> None:
    number, app = any_app(system)
    store(system, refused(number, builders.text_message()), app)
    before = system.events(app_id=app)
    is_message = b'{"S": "MESSAGE"}'
    system.aws.fail("BatchWriteItem", "ValidationException", strikes=lambda body: is_message in body)

    report = replay(place, "events", "--app", app, "--apply")

    assert report["reasons"] == {"refused": {"understood": 0, "not_understood": 1}}
    assert [event["raw"] for event in system.events(app_id=app)] == [event["raw"] for event in before]


def test_a_run_that_is_killed_in_the_middle_is_finished_by_the_next(system: System, place: Path) -> None:
    number, app = any_app(system)
    sent = [builders.image_message() for _ in range(5)]
    for message in sent:
        store(system, unknown_key(number, message), app)
    system.aws.delay("DeleteItem", 0.5)
    with subprocess.Popen(command(place, "events", "--app", app, "--apply"), stdout=subprocess.DEVNULL) as process:
        until(lambda: system.aws.calls.count("DeleteItem") == 3)
        process.send_signal(signal.SIGKILL)
        process.wait(5)
    system.aws.forget()

    replay(place, "events", "--app", app, "--apply")

    assert system.events(app_id=app) == []
    assert all(system.message(message_id(number, one["id"])) for one in sent)


def test_what_was_erased_does_not_come_back_from_an_event(system: System, place: Path) -> None:
    number, app = any_app(system)
    message = builders.image_message()
    own_id = message_id(number, message["id"])
    system.put({"pk": f"MSG#{own_id}", "sk": "ERASED", "ttl": systems.later(3600)})
    store(system, unknown_key(number, message), app)

    replay(place, "events", "--app", app, "--apply")

    assert list(system.items(f"MSG#{own_id}")) == ["ERASED"]
    assert system.events(app_id=app) == []
    assert system.jobs() == []


def test_an_app_that_the_secret_does_not_know_is_refused(place: Path) -> None:
    done = run(place, "events", "--app", "nobody")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "The secret of the apps does not know nobody.\n"


@pytest.mark.parametrize(
    "arguments",
    [(), ("letters",), ("events", "--since", "yesterday"), ("dead-letters", "--limit", "0")],
    ids=["nothing", "unknown", "no date", "no number"],
)
def test_what_makes_no_sense_is_refused(place: Path, arguments: tuple[str, ...]) -> None:
    assert run(place, *arguments).returncode == 2


# --- running the tool --------------------------------------------------------------------------------------------


@pytest.fixture
def queues(system: System) -> Queues:
    sqs, name = system.client("sqs"), builders.any_phone_number_id()
    return Queues(*(sqs.create_queue(QueueName=f"{kind}-{name}")["QueueUrl"] for kind in Queues._fields))


@pytest.fixture
def place(system: System, queues: Queues, tmp_path: Path) -> Path:
    """Give the file through which tools find the running system."""
    secrets = system.client("secretsmanager").list_secrets()["SecretList"]
    (apps,) = [found["ARN"] for found in secrets if "apps" in found["Name"].lower()]
    own = {"APPS_SECRET_ID": apps, "QUEUE_URL": queues.fetch, "DEAD_LETTER_QUEUE_URL": queues.dead}
    file = tmp_path / "stack.env"
    variables = {**system.stack.environment, **own}
    file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), "utf-8")
    return file


def command(place: Path, *arguments: str) -> list[str]:
    where = ["--local", str(place)] if arguments else []
    return [sys.executable, "-m", "tools.replay", *arguments, *where]


def run(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = command(place, *arguments)
    return subprocess.run(done, capture_output=True, text=True, timeout=50, check=False)


def replay(place: Path, *arguments: str) -> Json:
    """Run the tool to its end; give its report."""
    file = place.with_name("report.json")
    done = run(place, *arguments, "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    report: Json = json.loads(file.read_text("utf-8"))
    return report


def until(met: Callable[[], bool]) -> None:
    ticking = threading.Event()
    for _ in range(3000):
        if met():
            return
        ticking.wait(0.01)
    raise AssertionError("it never happened")


# --- what is there -----------------------------------------------------------------------------------------------


def bury(system: System, queues: Queues, *bodies: str) -> None:
    for body in bodies:
        system.client("sqs").send_message(QueueUrl=queues.dead, MessageBody=body)


def drained(system: System, url: str) -> list[str]:
    """Take everything that can be seen in a queue."""
    sqs, taken = system.client("sqs"), []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for one in found:
            taken.append(one["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    return taken


def any_app(system: System) -> tuple[str, str]:
    """Add an app that owns one number; give number and app."""
    number = builders.any_phone_number_id()
    app = f"app-of-{number}-{os.getpid()}"
    secrets = system.client("secretsmanager")
    (arn,) = [one["ARN"] for one in secrets.list_secrets()["SecretList"] if "apps" in one["Name"].lower()]
    apps = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
    # An app that is bound to all numbers would own what nobody else does.
    apps[app] = {"secrets": [f"secret-of-{app}"], "verify_token": f"word-of-{app}", "phone_number_ids": [number]}
    secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(apps))
    return number, app


def posted(body: bytes) -> Delivery:
    return Delivery(body, "app", RECEIVED, RETENTION_DAYS)


def recorded(number: str, message: Json, reason: str) -> payload.Record:
    """Give the event of a message that could not be stored."""
    body = posted(builders.wire(builders.notification(message, phone_number_id=number)))
    (record,) = [record for record in payload.parse(body) if record.model == "Message"]
    return payload.event(record.attributes, reason, body)


def store(system: System, record: payload.Record, app: str, **more: Any) -> None:
    """Put an event of an app into the table, as the webhook does."""
    content = record.attributes.get("raw", "")
    own = {"app_id": app, "gsi1pk": f"EVENTS#{app}", "pk": f"EVENT#{digest(app, content)}"}
    system.put({**record.attributes, **own, **more})
