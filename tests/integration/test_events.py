"""The events that developers invoke functions with are what the functions take; tests/artifact has the built ones."""

import base64
import hashlib
import re
import uuid
from pathlib import Path

import pytest
import requests

from inbound.media import message_id
from local import sample
from local.server import serve
from tests.integration.cloudformation import SIGNATURE, AnswerPlace
from tests.integration.system import System
from tests.sample_events import OUTCOMES, prepare, read
from tools import events

REQUESTS = [name for name in OUTCOMES if "requestContext" in read(name)]
ELSEWHERE = {"ForwardFunction", "SigningKeyFunction"}
"""The one exists only where a CRM is forwarded to (test_forward), the other would change the system's keys."""
PAGE = (Path(__file__).parents[2] / "docs/local.md").read_text("utf-8")


def test_the_files_are_those_that_make_events_writes() -> None:
    found = {path.name: path.read_text("utf-8") for path in events.FOLDER.glob("*.json")}

    assert found == events.written(events.recorded())


def test_every_event_has_an_outcome_and_is_explained() -> None:
    names = {path.stem for path in events.FOLDER.glob("*.json")}

    assert names == OUTCOMES.keys()
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.MULTILINE)) == names


@pytest.mark.parametrize("name", [name for name, (function, _) in OUTCOMES.items() if function not in ELSEWHERE])
def test_an_event_is_answered_as_it_should(system: System, name: str) -> None:
    function, is_right = OUTCOMES[name]
    prepare(system)

    answer = system.stack.functions.invoke(function, read(name))

    assert is_right(answer), answer


@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_over_http(system: System, name: str) -> None:
    event = read(name)
    prepare(system)

    answer = requests.request(
        event["requestContext"]["http"]["method"],
        f"{system.stack.api_url}{event['rawPath']}?{event['rawQueryString']}",
        headers={key: value for key, value in event["headers"].items() if key != "host"},
        cookies=dict(cookie.split("=", 1) for cookie in event.get("cookies", [])),
        data=base64.b64decode(event["body"]) if event["isBase64Encoded"] else event.get("body"),
        allow_redirects=False,
        timeout=30,
    )

    assert OUTCOMES[name][1]({"statusCode": answer.status_code}), answer.text


def test_the_media_of_the_events_is_the_picture_that_the_local_run_has_from_the_start(system: System) -> None:
    prepare(system)

    answer = system.stack.functions.invoke("MediaProxyFunction", read("media-redirect"))
    seen = requests.get(answer["headers"]["Location"], timeout=30)

    assert (seen.headers["Content-Type"], seen.content) == (sample.MIME_TYPE, sample.CONTENT)


def test_what_a_batch_holds_is_stored(system: System) -> None:
    system.stack.functions.invoke("WebhookFunction", read("webhook-batch"))

    stored = [system.message(message_id(system.stack.phone_number_id, wamid)) for wamid in events.BATCH]
    assert [message["type"] for message in stored] == ["image", "text"]
    assert "STATUS#read#" in str(system.items(f"MSG#{events.MESSAGE_ID}").keys())


def test_a_batch_of_jobs_is_done_and_a_job_without_message_is_dropped(system: System) -> None:
    prepare(system)

    answer = system.stack.functions.invoke("PrefetchFunction", read("prefetch-batch"))

    assert answer == {"batchItemFailures": []}
    assert system.media(events.MESSAGE_ID)["status"] == "ready"
    assert system.media(events.MESSAGE_ID)["sha256"] == hashlib.sha256(sample.CONTENT).hexdigest()


def test_the_clock_lets_all_unsettled_media_be_looked_at(system: System) -> None:
    own_id = system.receive()

    answer = system.stack.functions.invoke("SweepFunction", read("sweep-schedule"))

    assert answer["waits"] >= 1
    assert "MEDIA" not in system.items(f"MSG#{own_id}")


def test_cloudformations_request_makes_a_key_and_is_answered(system: System) -> None:
    place, event = AnswerPlace(), read("signing-key-create")
    secret = system.client("secretsmanager").create_secret(Name=f"keys-of-{uuid.uuid4()}", SecretString="[]")["ARN"]

    with serve(place) as server:
        place.url = server.url
        report = system.run(
            "SigningKeyFunction",
            event | {"ResponseURL": f"{server.url}/answer?{SIGNATURE}"},
            **system.direct.environment,
            SIGNING_KEY_SECRET_ID=secret,
        )

    assert report["answers"] == [None]
    assert [answer["Status"] for answer in place.answers] == ["SUCCESS"]
