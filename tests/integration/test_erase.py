"""Erasing one contact: every kind of thing that is theirs goes, and nothing of anybody else's."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from inbound.media import contact_id, digest, message_id, object_key
from tests import builders
from tests.builders import Json
from tests.integration.system import System, later

Key = tuple[str, str]
LARGE = 400_000  # characters, more than the table takes


@dataclass
class Person:
    """A customer of a number, and everything that they leave there."""

    system: System
    number: str
    phone: str = field(default_factory=builders.any_phone)
    user_id: str = field(default_factory=builders.any_user_id)

    @property
    def contact(self) -> str:
        return contact_id(self.number, self.user_id)

    @property
    def sender(self) -> Json:
        return {"sender": self.phone, "from_user_id": self.user_id}

    def send(self, *messages: Json, statuses: tuple[Json, ...] = (), **envelope: Any) -> list[str]:
        contacts = [{"profile": {"name": f"Name of {self.phone}"}, "wa_id": self.phone, "user_id": self.user_id}]
        body = builders.notification(
            *messages, statuses=statuses, phone_number_id=self.number, **{"contacts": contacts, **envelope}
        )
        answer = self.system.post(body)
        assert answer.status_code == 200, answer.text
        return [message_id(self.number, message["id"]) for message in messages]

    def send_media(self, sample: builders.Sample, *, viewed: bool = True) -> str:
        media = self.system.stack.meta.add_media(sample.content, sample.mime_type, phone_number_id=self.number)
        (own_id,) = self.send(builders.media_message(sample, media.id, **self.sender))
        if viewed:
            assert self.system.get(own_id).status_code == 302
        return own_id


def text(who: Person) -> None:
    who.send(builders.text_message(f"I am {who.phone}", **who.sender))


def message_by_phone_alone(who: Person) -> None:
    text(who)  # shows that the phone and the user id are one person's
    who.send(builders.text_message("from the phone", sender=who.phone))


def message_by_a_second_phone(who: Person) -> None:
    text(who)
    who.send(builders.text_message("new phone", sender=builders.any_phone(), from_user_id=who.user_id), contacts=[])


def echo(who: Person) -> None:
    message = builders.text_message("from us", sender="15550100001", to=who.phone, to_user_id=who.user_id)
    who.send(message, field="message_echoes")


def picture(who: Person) -> None:
    who.send_media(builders.PHOTO)


def brochure(who: Person) -> None:
    who.send_media(builders.BROCHURE)


def letter(who: Person) -> None:
    who.send_media(builders.LETTER)


def older_attempts(who: Person) -> None:
    own_id = who.send_media(builders.PHOTO)
    for prefix in ("inline", "file"):
        put_object(who.system, object_key(prefix, who.number, own_id, "99"))


def large_text(who: Person) -> None:
    who.send(builders.text_message("x" * LARGE, **who.sender))


def upload_in_progress(who: Person) -> None:
    own_id = who.send_media(builders.PHOTO, viewed=False)
    begin_upload(who.system, object_key("inline", who.number, own_id, "1"))


def statuses(who: Person) -> None:
    wamid, own = builders.any_wamid(who.phone), {"recipient_id": who.phone, "recipient_user_id": who.user_id}
    who.send(statuses=tuple(builders.status(name, wamid, **own) for name in ("sent", "delivered", "read")))


def status_of_an_echo(who: Person) -> None:
    message = builders.text_message("from us", sender="15550100001", to=who.phone, to_user_id=who.user_id)
    who.send(message, field="message_echoes")
    who.send(statuses=(builders.status("read", message["id"], recipient_id=who.phone),))


def edit(who: Person) -> None:
    original = builders.text_message("teh", **who.sender)
    corrected = {"type": "text", "text": {"body": "the"}}
    change = {"original_message_id": original["id"], "message": corrected}
    who.send(original, builders.message("edit", change, **who.sender))


def edit_of_what_never_came(who: Person) -> None:
    change = {"original_message_id": builders.any_wamid(), "message": {"type": "text", "text": {"body": "the"}}}
    who.send(builders.message("edit", change, **who.sender))


def revoke(who: Person) -> None:
    original = builders.text_message("oops", **who.sender)
    who.send(original, builders.message("revoke", {"original_message_id": original["id"]}, **who.sender))


def flow_reply(who: Person) -> None:
    photos = [builders.media_object(builders.PHOTO), builders.media_object(builders.DRAWING)]
    reply = {"name": "flow", "response_json": json.dumps({"photos": photos})}
    who.send(builders.message("interactive", {"type": "nfm_reply", "nfm_reply": reply}, **who.sender))


def old_id(who: Person) -> None:
    (own_id,) = who.send(builders.text_message("from the old system", **who.sender))
    who.system.put({"pk": f"MSG#old-{own_id}", "sk": "ALIAS", "message_id": own_id})


def unknown_key(who: Person) -> None:
    body = builders.notification(phone_number_id=who.number)
    body["entry"][0]["changes"][0]["value"]["blocked"] = {"who": [who.phone]}
    assert who.system.post(body).status_code == 200


def unknown_field(who: Person) -> None:
    text(who)
    body = builders.notification(phone_number_id=who.number, field="user_preferences")
    body["entry"][0]["changes"][0]["value"]["user_preferences"] = [{"user_id": who.user_id}]
    assert who.system.post(body).status_code == 200


def event_about_a_message(who: Person) -> None:
    message = builders.text_message("hello", **who.sender)
    who.send(message)
    body = builders.notification(phone_number_id=who.number)
    body["entry"][0]["changes"][0]["value"]["reports"] = [{"message": message["id"]}]
    assert who.system.post(body).status_code == 200


def large_event(who: Person) -> None:
    body = builders.notification(phone_number_id=who.number, field="something_new")
    body["entry"][0]["changes"][0]["value"]["new"] = {"who": who.phone, "what": "x" * LARGE}
    assert who.system.post(body).status_code == 200


KINDS: list[Callable[[Person], None]] = [
    text,
    message_by_phone_alone,
    message_by_a_second_phone,
    echo,
    picture,
    brochure,
    letter,
    older_attempts,
    large_text,
    upload_in_progress,
    statuses,
    status_of_an_echo,
    edit,
    edit_of_what_never_came,
    revoke,
    flow_reply,
    old_id,
    unknown_key,
    unknown_field,
    event_about_a_message,
    large_event,
]


# --- the tests ---------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def nobody_else(system: System) -> None:
    """Begin with an empty table: the tool reads all of it, several times."""
    system.empty_table()


@pytest.mark.parametrize("leave", KINDS, ids=lambda leave: leave.__name__)
def test_what_a_contact_left_goes_and_what_another_left_stays(
    system: System, place: Path, leave: Callable[[Person], None]
) -> None:
    number = builders.any_phone_number_id()
    who, other = Person(system, number), Person(system, number)
    leave(other)
    of_others = things(system, number)
    leave(who)
    all_things = things(system, number)

    report = erase(place, "--phone-number-id", number, "--phone", who.phone, "--apply")

    assert things(system, number) == of_others
    assert len(all_things) - len(of_others) == total(report)
    assert who.phone not in (everything := json.dumps(system.everything(), default=str))
    assert who.user_id not in everything


@pytest.mark.parametrize("asked", ["--phone", "--user-id", "--contact-id"])
def test_whichever_id_is_named_the_whole_person_goes(system: System, place: Path, asked: str) -> None:
    who = Person(system, builders.any_phone_number_id())
    message_by_phone_alone(who)
    message_by_a_second_phone(who)
    statuses(who)
    unknown_key(who)
    named = {"--phone": f"+{who.phone}", "--user-id": who.user_id, "--contact-id": contact_id(who.number, who.phone)}

    erase(place, "--phone-number-id", who.number, asked, named[asked], "--apply")

    assert things(system, who.number) == set()


def test_the_same_phone_at_another_number_is_another_contact(system: System, place: Path) -> None:
    here, there = builders.any_phone_number_id(), builders.any_phone_number_id()
    who = Person(system, here)
    same = Person(system, there, who.phone, who.user_id)
    for kind in (picture, statuses, unknown_key):
        kind(who)
        kind(same)
    before = things(system, there)

    erase(place, "--phone-number-id", here, "--phone", who.phone, "--apply")

    assert things(system, here) == set()
    assert things(system, there) == before


def test_a_dry_run_counts_the_same_and_changes_nothing(system: System, place: Path) -> None:
    who = Person(system, builders.any_phone_number_id())
    for kind in (picture, edit, statuses, large_event, upload_in_progress, old_id):
        kind(who)
    before = things(system, who.number)
    asked = ("--phone-number-id", who.number, "--phone", who.phone)

    looked = erase(place, *asked)

    assert things(system, who.number) == before
    erased = erase(place, *asked, "--apply")
    assert looked == {**erased, "applied": False}
    assert looked["messages"] == 5
    assert looked["statuses"] == 3
    assert looked["objects_raw"] == 1
    assert looked["uploads_aborted"] == 1


def test_a_group_goes_as_a_whole_and_its_people_stay(system: System, place: Path) -> None:
    who = Person(system, builders.any_phone_number_id())
    text(who)
    before = things(system, who.number)
    group = f"GROUP-{who.phone}"
    who.send(builders.text_message("to all", group_id=group, **who.sender))

    erase(place, "--phone-number-id", who.number, "--group", group, "--apply")

    assert things(system, who.number) == before


def test_a_person_takes_their_group_messages_along_and_the_group_shows_the_newest_that_is_left(
    system: System, place: Path
) -> None:
    number = builders.any_phone_number_id()
    who, other = Person(system, number), Person(system, number)
    group, now = f"GROUP-{who.phone}", int(time.time())
    other.send(builders.text_message("old", group_id=group, timestamp=str(now - 20), **other.sender))
    (newest,) = other.send(builders.text_message("stays", group_id=group, timestamp=str(now - 10), **other.sender))
    (gone,) = who.send(builders.text_message("a secret", group_id=group, timestamp=str(now), **who.sender))

    report = erase(place, "--phone-number-id", number, "--phone", who.phone, "--apply")

    assert list(system.items(f"MSG#{gone}")) == ["ERASED"]
    head = system.items(f"CONV#{number}")[contact_id(number, group)]
    assert (head["preview"], head["message_id"], head["timestamp"]) == ("stays", newest, now - 10)
    assert report["group_previews"] == 1


def test_in_a_group_message_only_the_persons_own_status_goes(system: System, place: Path) -> None:
    number = builders.any_phone_number_id()
    who, other = Person(system, number), Person(system, number)
    group, wamid = f"GROUP-{who.phone}", builders.any_wamid()
    about_group = {"recipient_id": group, "recipient_type": "group"}
    both = [builders.status("read", wamid, recipient_participant_id=one.phone, **about_group) for one in (who, other)]
    who.send(statuses=tuple(both))

    erase(place, "--phone-number-id", number, "--phone", who.phone, "--apply")

    assert list(system.items(f"MSG#{message_id(number, wamid)}")) == [f"STATUS#read#{contact_id(number, other.phone)}"]


def test_tombstones_stay_for_eight_days(system: System, place: Path) -> None:
    who = Person(system, builders.any_phone_number_id())
    (own_id,) = who.send(builders.text_message(**who.sender))

    erase(place, "--phone-number-id", who.number, "--phone", who.phone, "--apply")

    ttl = system.items(f"MSG#{own_id}")["ERASED"]["ttl"]
    assert later(8 * 24 * 3600 - 60) < ttl <= later(8 * 24 * 3600)


def test_what_is_delivered_again_does_not_come_back(system: System, place: Path) -> None:
    who = Person(system, builders.any_phone_number_id())
    message = builders.image_message(**who.sender)
    (own_id,) = who.send(message)
    erase(place, "--phone-number-id", who.number, "--phone", who.phone, "--apply")
    system.aws.forget()

    who.send(message)

    assert list(system.items(f"MSG#{own_id}")) == ["ERASED"]
    assert contact_id(who.number, who.user_id) not in system.items(f"CONV#{who.number}")
    assert system.jobs() == []
    assert system.get(own_id).status_code == 404


def test_an_attempt_in_progress_is_waited_for_and_what_it_uploads_goes(system: System, place: Path) -> None:
    who = Person(system, builders.any_phone_number_id())
    own_id = who.send_media(builders.PHOTO, viewed=False)
    lease = {"status": "fetching", "fence": 1, "attempts": 1, "lease_until": later(5)}
    system.put({"pk": f"MSG#{own_id}", "sk": "MEDIA", **lease})
    key = object_key("inline", who.number, own_id, "1")

    with running_erase(place, "--phone-number-id", who.number, "--phone", who.phone, "--apply") as process:
        until(lambda: list(system.items(f"MSG#{own_id}")) == ["ERASED"])
        assert key not in system.objects()
        put_object(system, key)
        assert process.wait(45) == 0

    assert things(system, who.number) == set()


def test_a_run_that_was_killed_while_it_waited_is_finished_by_the_next(system: System, place: Path) -> None:
    who = Person(system, builders.any_phone_number_id())
    own_id = who.send_media(builders.PHOTO, viewed=False)
    lease = {"status": "fetching", "fence": 1, "attempts": 1, "lease_until": later(5)}
    system.put({"pk": f"MSG#{own_id}", "sk": "MEDIA", **lease})
    asked = ("--phone-number-id", who.number, "--phone", who.phone, "--apply")
    with running_erase(place, *asked) as process:
        until(lambda: list(system.items(f"MSG#{own_id}")) == ["ERASED"])
        process.send_signal(signal.SIGKILL)
        process.wait(5)

    with running_erase(place, *asked) as process:
        time.sleep(2)
        put_object(system, object_key("inline", who.number, own_id, "1"))
        assert process.wait(45) == 0

    assert things(system, who.number) == set()


@pytest.mark.parametrize(("operation", "call"), [("write", 1), ("delete objects", 1), ("write", 2), ("write", 3)])
def test_a_run_that_is_killed_in_the_middle_is_finished_by_the_next(
    system: System, place: Path, operation: str, call: int
) -> None:
    number = builders.any_phone_number_id()
    who, other = Person(system, number), Person(system, number)
    picture(other)
    of_others = things(system, number)
    for _ in range(10):
        edit(who)
    picture(who)
    message_by_phone_alone(who)
    unknown_key(who)
    system.aws.forget()
    name = {"write": "BatchWriteItem", "delete objects": "DeleteObjects"}[operation]
    system.aws.delay(name, 0.3)
    asked = ("--phone-number-id", number, "--phone", who.phone, "--apply")
    with running_erase(place, *asked) as process:
        until(lambda: system.aws.calls.count(name) == call)
        process.send_signal(signal.SIGKILL)
        process.wait(5)
    system.aws.forget()

    erase(place, *asked)

    assert things(system, number) == of_others


def test_a_store_that_does_not_answer_ends_the_run_with_one_line(system: System, place: Path) -> None:
    who = Person(system, builders.any_phone_number_id())
    text(who)
    before = things(system, who.number)
    system.aws.fail("BatchWriteItem", "AccessDeniedException")

    done = run(place, "--phone-number-id", who.number, "--phone", who.phone, "--apply")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Not finished. AWS refuses BatchWriteItem: AccessDeniedException. Run it again.\n"
    assert things(system, who.number) == before


def test_nothing_personal_is_printed(system: System, place: Path, tmp_path: Path) -> None:
    who = Person(system, builders.any_phone_number_id())
    message_by_phone_alone(who)
    report = tmp_path / "report.json"

    asked = ("--phone-number-id", who.number, "--phone", who.phone, "--apply", "--json", str(report))
    done = run(place, *asked)

    printed = done.stdout + done.stderr + report.read_text("utf-8")
    assert who.contact in printed
    assert who.phone not in printed
    assert who.user_id not in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("--phone", "15550100101"),
        ("--phone-number-id", "1"),
        ("--phone-number-id", "1", "--phone", "abc"),
        ("--phone-number-id", "1", "--contact-id", "15550100101"),
        ("--phone-number-id", "1", "--phone", "1", "--user-id", "2"),
    ],
)
def test_what_makes_no_sense_is_refused(place: Path, arguments: tuple[str, ...]) -> None:
    assert run(place, *arguments).returncode == 2


@pytest.mark.parametrize("pictures", [2, 6])
def test_the_edge_forgets_what_it_may_hold(system: System, pictures: int) -> None:
    who = Person(system, builders.any_phone_number_id())
    ids = [who.send_media(sample) for sample in (builders.PHOTO, builders.LETTER) for _ in range(pictures)]
    distribution = make_distribution(system)
    arguments = ["--stack", make_stack(system, distribution), "--region", "us-east-1"]

    asked = ("--phone-number-id", who.number, "--phone", who.phone, "--apply")
    done = subprocess.run(command(*arguments, *asked), env=environment(system), capture_output=True, check=True)

    assert things(system, who.number) == set()
    cloudfront = system.client("cloudfront")
    (listed,) = cloudfront.list_invalidations(DistributionId=distribution)["InvalidationList"]["Items"]
    made = cloudfront.get_invalidation(DistributionId=distribution, Id=listed["Id"])["Invalidation"]
    by_name = {
        f"/{prefix}/{who.number}/{one}/*" for prefix, one in zip(["inline"] * 2 + ["file"] * 2, ids, strict=False)
    }
    by_class = {f"/inline/{who.number}/*", f"/file/{who.number}/*"}
    assert set(made["InvalidationBatch"]["Paths"]["Items"]) == (by_name if pictures == 2 else by_class)
    assert listed["Id"].encode() in done.stdout


# --- running the tool ---------------------------------------------------------------------------------------------


@pytest.fixture
def place(system: System, tmp_path: Path) -> Path:
    """Give the file through which tools find the running system."""
    file = tmp_path / "stack.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in system.stack.environment.items()), "utf-8")
    return file


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tools.erase", *arguments]


def environment(system: System) -> dict[str, str]:
    return {**os.environ, **system.direct.environment}


def run(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = command("--local", str(place), *arguments)
    return subprocess.run(done, capture_output=True, text=True, timeout=50, check=False)


def erase(place: Path, *arguments: str) -> Json:
    """Run the tool to its end; give its report."""
    file = place.with_name("report.json")
    done = run(place, *arguments, "--json", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    report: Json = json.loads(file.read_text("utf-8"))
    return report


@contextmanager
def running_erase(place: Path, *arguments: str) -> "Iterator[subprocess.Popen[bytes]]":
    null = subprocess.DEVNULL
    with subprocess.Popen(command("--local", str(place), *arguments), stdout=null, stderr=null) as process:
        try:
            yield process
        finally:
            process.kill()


def until(met: Callable[[], bool]) -> None:
    ticking = threading.Event()
    for _ in range(3000):
        if met():
            return
        ticking.wait(0.01)
    raise AssertionError("it never happened")


# --- what is there ------------------------------------------------------------------------------------------------


def things(system: System, number: str) -> set[Any]:
    """Give everything about a number: keys of items (no tombstones), of objects, and of uploads in progress."""
    items = system.everything()
    partitions = {item["pk"] for item in items if number in json.dumps(item, default=str)}
    own_ids = {pk.partition("#")[2] for pk in partitions}
    partitions |= {item["pk"] for item in items if item["sk"] == "ALIAS" and item["message_id"] in own_ids}
    # An event too large for the table names its number in the bucket only.
    partitions |= {
        item["pk"] for item in items if item.get("field") == "something_new" and number in held(system, item)
    }
    keys = {(item["pk"], item["sk"]) for item in items if item["pk"] in partitions and item["sk"] != "ERASED"}
    return keys | {key for key in system.objects() if f"/{number}/" in key} | set(uploads(system, number))


def held(system: System, item: Json) -> str:
    return system.object(item["raw_s3_key"]).decode() if "raw_s3_key" in item else ""


def total(report: Json) -> int:
    """Count what a report says that was removed."""
    told = {"tombstones", "group_previews", "applied"}
    return sum(count for name, count in report.items() if isinstance(count, int) and name not in told)


def put_object(system: System, key: str) -> None:
    system.client("s3").put_object(Bucket=system.stack.bucket_name, Key=key, Body=b"late")


def begin_upload(system: System, key: str) -> None:
    upload = {"Bucket": system.stack.bucket_name, "Key": key}
    upload["UploadId"] = system.client("s3").create_multipart_upload(**upload)["UploadId"]
    system.client("s3").upload_part(**upload, PartNumber=1, Body=b"half")


def uploads(system: System, number: str) -> list[str]:
    listed = system.client("s3").list_multipart_uploads(Bucket=system.stack.bucket_name).get("Uploads", [])
    return [f"upload {one['Key']}" for one in listed if f"/{number}/" in one["Key"]]


# --- a deployed stack ---------------------------------------------------------------------------------------------


def make_distribution(system: System) -> str:
    origin = {
        "Id": "media",
        "DomainName": f"{system.stack.bucket_name}.s3.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    config = {
        "CallerReference": digest(str(time.time_ns())),
        "Comment": "",
        "Enabled": True,
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": {
            "TargetOriginId": "media",
            "ViewerProtocolPolicy": "https-only",
            "ForwardedValues": {"QueryString": True, "Cookies": {"Forward": "none"}},
            "MinTTL": 0,
        },
    }
    made = system.client("cloudfront").create_distribution(DistributionConfig=config)
    found: str = made["Distribution"]["Id"]
    return found


def make_stack(system: System, distribution: str) -> str:
    """Make a stack that has the running system's resources as its outputs."""
    outputs = {
        "TableName": system.stack.table_name,
        "BucketName": system.stack.bucket_name,
        "QueueUrl": system.stack.queue_url,
        "DeadLetterQueueUrl": system.stack.dead_letter_queue_url,
        "DistributionId": distribution,
    }
    template = {
        "Parameters": {"RetentionDays": {"Type": "Number", "Default": 365}},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    name = f"stack-{distribution}".lower()
    system.client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "RetentionDays", "ParameterValue": "365"}],
    )
    return name
