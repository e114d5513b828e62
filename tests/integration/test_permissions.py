"""Every permission granted is used, and every call made is granted: as calls on the wire show it.

A tour through a local run of its own makes every function do everything that it may do. A function that no event
calls is not here: what calls it is CloudFormation, and its tests stand with it.
"""

from collections.abc import Iterator
from threading import Thread

import pytest
import requests

from inbound.media import contact_id, message_id
from local import faults
from local.event_sources import record_of
from local.server import serve
from local.stack import STATE
from local.template import load
from tests import builders
from tests.builders import Sample
from tests.integration.crm import Crm
from tests.integration.system import LOGS, System, later, running_system
from tests.permissions import Permission, granted, lacking, superfluous, used_by_aws, with_names

DECLARED = load({"ForwardUrl": "https://crm.example.com/"}).of_type("AWS::Serverless::Function")
EVERY_FUNCTION = pytest.mark.parametrize("name", sorted(name for name, own in DECLARED.items() if own.get("Events")))
# One of each class of objects, which have a prefix of the bucket each: inline, pdf, file.
CLASSES = (builders.PHOTO, builders.BROCHURE, builders.NOTE)
IN_PARTS = 9 * builders.MIB  # more than one part, and not too large for a view to wait for
FOR_THE_WORKER = 17 * builders.MIB


@pytest.fixture(scope="module")
def toured() -> Iterator[System]:
    crm = Crm()
    with serve(crm) as server, running_system(STATE / f"tour-{LOGS.name}", ForwardUrl=server.url) as system:
        webhook(system)
        forwarder(system, crm)
        views(system)
        worker(system)
        sweeper(system)
        expiry(system)
        inbox(system)
        yield system


def webhook(system: System) -> None:
    number = system.stack.phone_number_id
    picture = builders.image_message()
    stand_in = builders.message("media_placeholder")
    too_large = builders.text_message("x" * 400_000)
    body = builders.notification(picture, stand_in, too_large, builders.text_message(), phone_number_id=number)
    assert system.post(body).status_code == 200
    assert "raw_s3_key" in system.message(message_id(number, too_large["id"]))


def forwarder(system: System, crm: Crm) -> None:
    """Let the CRM refuse a notification that is too large for the queue, and then take it."""
    url, sqs = system.stack.template.resolve({"Ref": "ForwardQueue"}), system.client("sqs")
    sqs.purge_queue(QueueUrl=url)
    large = builders.wire(builders.notification(builders.text_message())) + b" " * 200_000
    assert system.post(large).status_code == 200
    (message,) = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"])["Messages"]
    event = {"Records": [record_of(message, "arn:aws:sqs:us-east-1:123456789012:forward", "us-east-1")]}
    crm.answers.append((503, {}))
    refused, taken = (system.stack.functions.invoke("ForwardFunction", event) for _ in range(2))
    assert (len(refused["batchItemFailures"]), taken["batchItemFailures"]) == (1, [])
    assert crm.bodies() == [large]


def views(system: System) -> None:
    for sample in CLASSES:
        own_id = system.receive(sample)
        assert system.bytes_of(own_id).content == sample.content
        forget_object(system, own_id)
        assert system.get(own_id, params={"retry": "1"}).status_code == 302
        broken = large(system, sample, IN_PARTS)
        system.problem(broken, 502, "media_corrupt")
    system.put({"pk": "MSG#4711", "sk": "ALIAS", "message_id": own_id})
    assert system.get("4711").status_code == 302
    system.put({"pk": f"MSG#{own_id}", "sk": "ERASED"})
    system.problem(own_id, 404, "message_not_found")
    assert system.get(large(system, builders.BROCHURE, FOR_THE_WORKER, break_it=False)).status_code == 202


def worker(system: System) -> None:
    for sample in CLASSES:
        own_id = system.receive(sample)
        fault = faults.ServerError()
        system.stack.meta.faults.add(system.message(own_id)["provider_media_id"], fault)
        assert system.work(own_id) == []
        system.stack.meta.faults.clear()
        system.change(own_id, "MEDIA", next_attempt_at=later(-1))
        assert system.work(own_id) == []
        assert system.media(own_id)["status"] == "ready"
        assert system.work(large(system, sample, IN_PARTS)) == []
    overtaken(system)


def overtaken(system: System) -> None:
    """Let a worker be late: a later attempt has begun when its object is stored."""
    own_id = system.receive()
    stored = system.aws.hold("PutObject", done=True)
    late = Thread(target=system.work, args=(own_id,))
    late.start()
    stored.wait()
    system.change(own_id, "MEDIA", fence=99)
    stored.let_go()
    late.join()
    assert not [key for key in system.objects() if own_id in key]


def expiry(system: System) -> None:
    assert system.stack.functions.invoke("ExpiryFunction", {}) == {"checked": 1}


def sweeper(system: System) -> None:
    an_hour_ago = str(later(-3600))
    due = system.receive(timestamp=an_hour_ago)
    lost = system.receive(timestamp=str(later(-8 * 24 * 3600)))
    system.put({"pk": f"MSG#{lost}", "sk": "MEDIA", "status": "waiting", "attempts": 1, "fence": 1})
    system.sweep()
    assert (system.media(due)["status"], system.media(lost)["status"]) == ("queued", "failed")


def inbox(system: System) -> None:
    number, phone = system.stack.phone_number_id, builders.any_phone()
    message = builders.text_message(sender=phone)
    assert system.post(builders.notification(message, phone_number_id=number)).status_code == 200
    headers = {"Authorization": f"Bearer {system.stack.media_token}"}
    paths = ("conversations", f"conversations/{contact_id(number, phone)}/messages")
    for path in (*paths, f"messages/{message_id(number, message['id'])}"):
        url = f"{system.stack.api_url}/{path}"
        assert requests.get(url, {"phone_number_id": number}, headers=headers, timeout=30).status_code == 200
    # One person's token, shown something that is not theirs under this id.
    stranger = system.token(phone_numbers=None, conversation=contact_id(number, phone))
    system.problem(system.receive(), 404, "message_not_found", token=stranger)


def large(system: System, sample: Sample, size: int, *, break_it: bool = True) -> str:
    """Let Meta hold a file of this size, whose hash is not what is declared, and deliver a message with it."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(sample.content, sample.mime_type, phone_number_id=number, size=size)
    if break_it:
        system.stack.meta.faults.add(media.id, faults.HashAs(form="wrong"))
    message = builders.media_message(sample, media.id, media={"sha256": None})
    system.post(builders.notification(message, phone_number_id=number))
    return message_id(number, message["id"])


def forget_object(system: System, own_id: str) -> None:
    system.client("s3").delete_object(Bucket=system.stack.bucket_name, Key=system.media(own_id)["s3_key"])


# ---


@EVERY_FUNCTION
def test_every_call_is_granted_by_the_functions_own_role(toured: System, name: str) -> None:
    assert toured.used_by(name)
    assert toured.not_granted().get(name, set()) == set()


@EVERY_FUNCTION
def test_every_permission_is_used(toured: System, name: str) -> None:
    template = with_names(toured.stack.template)
    grants, by_aws = granted(template, name), used_by_aws(template, name)

    assert by_aws.keys() <= grants
    assert superfluous(grants - by_aws.keys(), toured.used_by(name)) == set()


@EVERY_FUNCTION
def test_a_role_reaches_nothing_that_only_others_need(toured: System, name: str) -> None:
    grants = granted(with_names(toured.stack.template), name)
    own = {kind_of(need) for need in toured.used_by(name)}
    of_others = {need for other, need in toured.aws.used if other != name}

    assert {kind_of(need) for need in of_others - lacking(grants, of_others)} - own == set()


def kind_of(need: Permission) -> Permission:
    """Give a permission with the prefix of an object instead of its whole key."""
    return need._replace(resource="/".join(need.resource.split("/")[:2])) if ":s3:" in need.resource else need
