"""What other systems hear: the template's pipe, on what the stream has recorded of the real flow."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inbound.media import contact_id, message_id
from local import faults, pipes
from local.pipes import Record
from local.template import Pipe
from local.template import pipes as declared
from tests import builders, events
from tests.builders import Json
from tests.integration.system import System, later

ROOT = Path(__file__).parents[2]
DAY = 24 * 3600


@dataclass
class Recorder:
    """The stream of the table, from when the test began, and what the pipe makes of it."""

    system: System
    number: str = field(default_factory=builders.any_phone_number_id)

    def __post_init__(self) -> None:
        table = self.system.client("dynamodb").describe_table(TableName=self.system.stack.table_name)["Table"]
        self._client = self.system.client("dynamodbstreams")
        stream = {"StreamArn": table["LatestStreamArn"]}
        self._places = [
            self._client.get_shard_iterator(**stream, ShardId=shard["ShardId"], ShardIteratorType="LATEST")
            for shard in self._client.describe_stream(**stream)["StreamDescription"]["Shards"]
        ]

    @property
    def pipe(self) -> Pipe:
        (pipe,) = declared(self.system.stack.template)
        return pipe

    def records(self) -> list[Record]:
        """Give all records since the test began."""
        return [record for place in self._places for record in self._after(place["ShardIterator"])]

    def _after(self, place: str | None) -> Iterator[Record]:
        while place:
            answer = self._client.get_records(ShardIterator=place)
            yield from answer["Records"]
            place = answer.get("NextShardIterator") if answer["Records"] else None

    def events(self) -> list[Json]:
        """Give the events since the test began, checked against their schemas; only those of this test's number."""
        entries = [pipes.entry(self.pipe, record) for record in self.records() if pipes.passes(self.pipe, record)]
        made = [pipes.event_of(entry, "an-id", "us-east-1", datetime.now(UTC)) for entry in entries]
        for event in made:
            events.check(event)
        return [event for event in made if event["detail"]["phone_number_id"] == self.number]

    def heard(self) -> list[tuple[str, str]]:
        """Give type and message id of each event."""
        return [(event["detail-type"], event["detail"]["message_id"]) for event in self.events()]

    # --- what happens ------------------------------------------------------------------------------------------

    def post(self, *messages: Json, **envelope: Any) -> list[str]:
        body = builders.notification(*messages, phone_number_id=self.number, **envelope)
        answer = self.system.post(body)
        assert answer.status_code == 200, answer.text
        return [message_id(self.number, message["id"]) for message in messages]

    def receive(self, *broken: faults.Fault, **fields: Any) -> str:
        """Let a picture come, whose media breaks like this; give its id."""
        own_id = self.system.receive(number=self.number, **fields)
        if broken:
            self.system.stack.meta.faults.add(self.system.message(own_id)["provider_media_id"], *broken)
        return own_id


@pytest.fixture
def recorder(system: System) -> Recorder:
    return Recorder(system)


def stored(own_id: str) -> tuple[str, str]:
    return "message.stored", own_id


def ready(own_id: str) -> tuple[str, str]:
    return "media.ready", own_id


def failed(own_id: str) -> tuple[str, str]:
    return "media.failed", own_id


def test_a_text_is_heard_of_once_with_ids_and_nothing_else(recorder: Recorder) -> None:
    phone = builders.any_phone()
    message = builders.text_message("Call me on 15550109999", sender=phone)

    (own_id,) = recorder.post(message)

    (event,) = recorder.events()
    assert event["detail-type"] == "message.stored"
    assert event["source"] == "whatsapp-media"
    assert event["detail"] == {
        "message_id": own_id,
        "phone_number_id": recorder.number,
        "contact_id": contact_id(recorder.number, phone),
        "direction": "inbound",
        "timestamp": message["timestamp"],
        "media_type": "",
        "error_code": "",
    }


def test_a_picture_is_heard_of_when_it_is_stored_and_when_it_can_be_shown(system: System, recorder: Recorder) -> None:
    own_id = recorder.receive()
    assert recorder.heard() == [stored(own_id)]

    assert system.work(own_id) == []

    _, event = recorder.events()
    message = system.message(own_id)
    assert event["detail-type"] == "media.ready"
    assert event["detail"] == {
        "message_id": own_id,
        "phone_number_id": recorder.number,
        "contact_id": message["contact_id"],
        "direction": "inbound",
        "timestamp": str(message["timestamp"]),
        "media_type": "image",
        "error_code": "",
    }


def test_views_redelivery_and_sweeps_are_not_heard_of(system: System, recorder: Recorder) -> None:
    media = system.stack.meta.add_media(builders.PHOTO.content, "image/jpeg", phone_number_id=recorder.number)
    message = builders.image_message(media.id)
    (own_id,) = recorder.post(message)
    assert system.get(own_id).status_code == 302

    recorder.post(message)
    assert "gsi2pk" in system.message(own_id)  # the redelivery has changed the item, after all
    system.work(own_id)
    system.get(own_id)
    system.sweep()

    assert recorder.heard() == [stored(own_id), ready(own_id)]


def test_a_redelivery_that_changes_nothing_makes_no_record(recorder: Recorder) -> None:
    message = builders.text_message()
    recorder.post(message)
    before = len(recorder.records())

    recorder.post(message)

    assert len(recorder.records()) == before


def test_what_waits_is_not_heard_of_until_it_is_settled(system: System, recorder: Recorder) -> None:
    own_id = recorder.receive(faults.RateLimited(times=9, retry_after=600))
    system.work(own_id)
    assert system.media(own_id)["status"] == "waiting"
    assert recorder.heard() == [stored(own_id)]

    system.stack.meta.faults.clear()
    system.change(own_id, "MEDIA", next_attempt_at=later(-1))
    system.work(own_id)

    assert recorder.heard() == [stored(own_id), ready(own_id)]


def test_media_that_is_gone_is_heard_of_once_with_its_reason(system: System, recorder: Recorder) -> None:
    own_id = recorder.receive(faults.Gone())

    system.work(own_id)
    system.get(own_id)
    system.work(own_id)
    system.sweep()

    assert recorder.heard() == [stored(own_id), failed(own_id)]
    assert recorder.events()[-1]["detail"]["error_code"] == "media_expired"


def test_media_that_the_sweeper_gives_up_is_heard_of(system: System, recorder: Recorder) -> None:
    own_id = recorder.receive(faults.BadToken())
    system.work(own_id)
    system.change(own_id, "MESSAGE", timestamp=later(-8 * DAY), gsi2sk=str(later(-8 * DAY)))
    system.change(own_id, "MEDIA", next_attempt_at=later(-61))

    system.sweep()
    system.sweep()

    assert system.media(own_id)["status"] == "failed"
    assert recorder.heard() == [stored(own_id), failed(own_id)]


def test_media_that_is_fetched_anew_is_heard_of_anew(system: System, recorder: Recorder) -> None:
    own_id = recorder.receive()
    system.get(own_id)
    key = system.media(own_id)["s3_key"]
    system.client("s3").delete_object(Bucket=system.stack.bucket_name, Key=key)

    assert system.get(own_id, params={"retry": "1"}).status_code == 302

    assert recorder.heard() == [stored(own_id), ready(own_id), ready(own_id)]


def test_a_stand_in_is_heard_of_again_when_it_becomes_the_message(system: System, recorder: Recorder) -> None:
    media = system.stack.meta.add_media(builders.PHOTO.content, "image/jpeg", phone_number_id=recorder.number)
    real = builders.image_message(media.id)
    stand_in = {name: value for name, value in real.items() if name != "image"} | {"type": "media_placeholder"}

    (own_id,) = recorder.post(stand_in)
    recorder.post(stand_in)
    recorder.post(real)
    recorder.post(stand_in)
    recorder.post(real)

    assert recorder.heard() == [stored(own_id), stored(own_id)]
    details = [event["detail"] for event in recorder.events()]
    assert [(own["media_type"], own["error_code"]) for own in details] == [("", "media_unavailable"), ("image", "")]


def test_media_that_meta_never_gave_is_heard_of_with_the_message(system: System, recorder: Recorder) -> None:
    message = builders.image_message()
    del message["image"]["id"]

    (own_id,) = recorder.post(message)
    system.get(own_id)
    system.sweep()

    (event,) = recorder.events()
    assert event["detail-type"] == "message.stored"
    assert (event["detail"]["media_type"], event["detail"]["error_code"]) == ("image", "media_unavailable")


def test_statuses_edits_and_revokes_are_not_heard_of_but_the_media_of_an_edit_is(
    system: System, recorder: Recorder
) -> None:
    original = builders.text_message()
    (own_id,) = recorder.post(original)
    media = system.stack.meta.add_media(builders.PHOTO.content, "image/jpeg", phone_number_id=recorder.number)
    picture = {"type": "image", "image": builders.media_object(builders.PHOTO, media.id)}
    changed = {"original_message_id": original["id"]}
    edit = builders.message("edit", {**changed, "message": picture})

    recorder.post(statuses=[builders.status(name, original["id"]) for name in ("sent", "delivered", "read")])
    (edit_id,) = recorder.post(edit)
    recorder.post(builders.message("revoke", changed))
    system.work(edit_id)

    assert "MESSAGE" in system.items(f"MSG#{edit_id}")
    assert recorder.heard() == [stored(own_id), ready(edit_id)]


def test_what_is_kept_raw_is_not_heard_of(system: System, recorder: Recorder) -> None:
    assert system.post(b"no json").status_code == 200
    assert system.post(builders.golden("future-field")).status_code == 200
    nameless = {name: value for name, value in builders.text_message().items() if name != "id"}
    assert system.post(builders.notification(nameless, phone_number_id=recorder.number)).status_code == 200

    records = recorder.records()
    assert {record["dynamodb"]["Keys"]["sk"]["S"] for record in records} == {"EVENT"}
    assert not any(pipes.passes(recorder.pipe, record) for record in records)


def test_what_is_erased_is_not_heard_of(system: System, recorder: Recorder, tmp_path: Path) -> None:
    phone = builders.any_phone()
    own_id = recorder.receive(sender=phone)
    system.work(own_id)
    heard = recorder.heard()

    tool(system, tmp_path, "erase", "--phone-number-id", recorder.number, "--phone", phone, "--apply")

    assert system.items(f"MSG#{own_id}").keys() == {"ERASED"}
    assert recorder.heard() == heard == [stored(own_id), ready(own_id)]


def test_what_is_imported_is_not_heard_of_but_its_media_is(system: System, recorder: Recorder, tmp_path: Path) -> None:
    media = system.stack.meta.add_media(builders.PHOTO.content, "image/jpeg", phone_number_id=recorder.number)
    raw = builders.image_message(media.id)
    rows = [
        {"id": 71, "phoneNumberId": recorder.number, "raw": builders.notification(raw, phone_number_id=recorder.number)}
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    tool(system, tmp_path, "backfill", str(tmp_path / "rows.jsonl"), "--apply")
    own_id = message_id(recorder.number, raw["id"])
    assert "MESSAGE" in system.items(f"MSG#{own_id}")
    system.work(own_id)
    recorder.post(raw)  # and now it comes live

    assert recorder.heard() == [ready(own_id)]


@pytest.mark.parametrize("name", sorted(path.stem for path in builders.PAYLOADS.glob("*.json")))
def test_no_event_of_any_kind_of_webhook_holds_more_than_ids(system: System, recorder: Recorder, name: str) -> None:
    body = builders.golden(name)
    place(body, "phone_number_id", recorder.number)

    assert system.post(body).status_code == 200

    items = [record["dynamodb"]["NewImage"] for record in recorder.records()]
    listed = {item["message_id"]["S"] for item in items if item["sk"]["S"] == "MESSAGE" and "gsi1pk" in item}
    # The schemas, which these are checked against, let no free text through.
    assert {own_id for _, own_id in recorder.heard()} == listed
    assert {kind for kind, _ in recorder.heard()} <= {"message.stored"}


def place(value: Any, name: str, content: str) -> None:
    """Set a field wherever it stands."""
    if isinstance(value, dict) and name in value:
        value[name] = content
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        place(inner, name, content)


def tool(system: System, folder: Path, name: str, *words: str) -> None:
    (folder / "stack.env").write_text("".join(f"{key}={value}\n" for key, value in system.stack.environment.items()))
    command = [sys.executable, "-m", f"tools.{name}", *words, "--local", str(folder / "stack.env")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_rule_on_the_bus_brings_the_events_to_a_queue(fresh_system: System) -> None:
    system, name = fresh_system, "heard"
    bus, sqs = system.client("events"), system.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["whatsapp-media"], "detail-type": ["media.ready"]}
    on = {"EventBusName": system.stack.event_bus_name}
    bus.put_rule(Name=name, EventPattern=json.dumps(pattern), **on)
    bus.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}], **on)
    own_id = system.receive()

    found: list[Json] = []

    def is_there() -> bool:
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        found.extend(event for event in (json.loads(one["Body"]) for one in answer))
        return own_id in [event["detail"]["message_id"] for event in found]

    with system.stack.background():
        wait_for(is_there)

    assert {event["detail-type"] for event in found} == {"media.ready"}
    events.check(found[-1])
    assert own_id in [heard["detail"]["message_id"] for heard in system.stack.events()]


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
