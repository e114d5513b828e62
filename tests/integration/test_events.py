"""The events that developers invoke functions with are what the functions take."""

import json

import pytest

from tests.integration.system import System
from tools import events

OUTCOMES = {
    "webhook-verify": ("WebhookFunction", 200),
    "webhook-post": ("WebhookFunction", 200),
    "webhook-post-base64": ("WebhookFunction", 200),
    "webhook-status": ("WebhookFunction", 200),
    "webhook-unsigned": ("WebhookFunction", 401),
    "media-redirect": ("MediaProxyFunction", 302),
    "media-cookie": ("MediaProxyFunction", 302),
    "media-json": ("MediaProxyFunction", 200),
    "media-download": ("MediaProxyFunction", 302),
    "media-old-path": ("MediaProxyFunction", 302),
    "media-without-token": ("MediaProxyFunction", 401),
}


def test_the_files_are_those_that_the_tool_writes() -> None:
    made = {f"{name}.json": json.dumps(event, indent=2) + "\n" for name, event in events.events()}

    assert {path.name: path.read_text("utf-8") for path in events.FOLDER.glob("*.json")} == made


def test_every_event_has_an_outcome() -> None:
    assert {path.stem for path in events.FOLDER.glob("*.json")} == {
        *OUTCOMES,
        "forward-batch",
        "prefetch-batch",
        "sweep-schedule",
    }


@pytest.mark.parametrize("name", OUTCOMES)
def test_an_event_is_answered_as_it_should(system: System, name: str) -> None:
    function, status = OUTCOMES[name]
    prepare(system)

    answer = system.stack.functions.invoke(function, read(name))

    assert answer["statusCode"] == status, answer


def test_a_batch_of_jobs_is_done_and_a_job_without_message_is_dropped(system: System) -> None:
    prepare(system)

    answer = system.stack.functions.invoke("PrefetchFunction", read("prefetch-batch"))

    assert answer == {"batchItemFailures": []}
    assert system.media(events.MESSAGE_ID)["status"] == "ready"


def test_the_clock_lets_all_unsettled_media_be_looked_at(system: System) -> None:
    own_id = system.receive()

    answer = system.stack.functions.invoke("SweepFunction", read("sweep-schedule"))

    assert answer["waits"] >= 1
    assert "MEDIA" not in system.items(f"MSG#{own_id}")


def prepare(system: System) -> None:
    """Store the message of the events, with media that the simulator knows and nobody has tried."""
    key = {"pk": {"S": f"MSG#{events.MESSAGE_ID}"}, "sk": {"S": "MEDIA"}}
    system.client("dynamodb").delete_item(TableName=system.stack.table_name, Key=key)
    system.stack.functions.invoke("WebhookFunction", read("webhook-post"))
    media = system.stack.meta.add_media(b"", "image/jpeg", phone_number_id=system.stack.phone_number_id)
    system.change(events.MESSAGE_ID, "MESSAGE", provider_media_id=media.id)


def read(name: str) -> events.Event:
    event: events.Event = json.loads((events.FOLDER / f"{name}.json").read_text("utf-8"))
    return event
