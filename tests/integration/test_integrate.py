"""docs/integrate.md, followed against the running system: tokens, files, events, and the switch."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from werkzeug.wrappers import Request, Response

from inbound.media import message_id
from local import faults
from local.intrinsics import read_yaml
from local.server import serve
from tests import builders, events
from tests.builders import PHOTO, Json
from tests.integration.system import System, later
from tests.snippets import functions, named

LARGE = 16 * 1000 * 1000 + 1  # bytes that a view does not wait for


def defined(listing: str, name: str) -> Any:
    """Give what a Python listing of the page defines."""
    return functions("integrate", listing)[name]


def mint(system: System, **scope: object) -> str:
    token: str = defined("media_token.py", "media_token")(system.stack.media_token_secret, **scope)
    return token


def fetch(system: System, own_id: str, patience: float = 30, **scope: object) -> tuple[bytes, Json]:
    """Fetch with the page's function, and with a token of its number."""
    token = mint(system, **(scope or {"phone_numbers": [system.stack.phone_number_id]}))
    fetched: tuple[bytes, Json] = defined("fetch_media.py", "fetch_media")(
        f"{system.stack.api_url}/media/messages", own_id, token, patience
    )
    return fetched


def received(system: System, size: int | None = None, *broken: faults.Fault) -> str:
    """Let a picture come, of so many bytes, whose media breaks like this; give its id."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(PHOTO.content, PHOTO.mime_type, phone_number_id=number, size=size)
    system.stack.meta.faults.add(media.id, *broken)
    message = builders.message("image", {"id": media.id, "mime_type": PHOTO.mime_type})
    assert system.post(builders.notification(message, phone_number_id=number)).status_code == 200
    return message_id(number, message["id"])


@contextmanager
def refused(code: str) -> Iterator[None]:
    """Expect that the page's function gives up with this code."""
    with pytest.raises(Exception, match=f"^{code}$") as given:
        yield
    assert type(given.value).__name__ == "NoMedia"


# --- tokens ------------------------------------------------------------------------------------------------------


def test_a_token_opens_what_it_names_and_nothing_else(system: System) -> None:
    own_id, other = system.receive(), system.receive()
    contact = system.message(own_id)["contact_id"]

    opened = {
        scope: [system.get(one, mint(system, **claims)).status_code for one in (own_id, other)]
        for scope, claims in {
            "number": {"phone_numbers": [system.stack.phone_number_id]},
            "another number": {"phone_numbers": ["1"]},
            "every number": {"phone_numbers": ["*"]},
            "conversation": {"conversation": contact},
            "message": {"message": own_id},
            "nothing": {},
        }.items()
    }

    assert opened == {
        "number": [302, 302],
        "another number": [404, 404],
        "every number": [302, 302],
        "conversation": [302, 404],
        "message": [302, 404],
        "nothing": [404, 404],
    }


def test_the_cookie_is_one_that_opens(system: System) -> None:
    own_id, value = system.receive(), defined("media_token.py", "cookie")(mint(system, phone_numbers=["*"]), "e.com", 2)
    cookie, *attributes = value.split("; ")

    answer = requests.get(
        f"{system.stack.api_url}/media/messages/{own_id}", headers={"Cookie": cookie}, allow_redirects=False, timeout=40
    )

    assert answer.status_code == 302
    assert attributes == ["Domain=e.com", "Path=/", "Max-Age=120", "Secure", "HttpOnly", "SameSite=Lax"]


# --- a back end --------------------------------------------------------------------------------------------------


def test_a_back_end_gets_the_file_and_what_is_known_of_it(system: System) -> None:
    content, media = fetch(system, system.receive(builders.BROCHURE))

    assert content == builders.BROCHURE.content
    assert (media["type"], media["mime_type"], media["filename"]) == ("document", "application/pdf", "brochure.pdf")


def test_a_back_end_waits_for_a_file_that_is_on_its_way(fresh_system: System) -> None:
    system = fresh_system
    own_id = received(system, LARGE)
    with refused("pending"):
        fetch(system, own_id, patience=0)

    with system.stack.background():
        content, _ = fetch(system, own_id)

    assert len(content) == LARGE


def test_a_back_end_asks_again_where_that_may_help(system: System) -> None:
    own_id = received(system, None, faults.ServerError(times=3))
    with refused("graph_unavailable"):
        fetch(system, own_id, patience=0)
    system.change(own_id, "MEDIA", next_attempt_at=later(2))
    with refused("graph_unavailable"):
        fetch(system, own_id, patience=0)

    assert fetch(system, own_id)[0] == PHOTO.content


def test_a_back_end_does_not_wait_for_what_will_never_come(system: System) -> None:
    began = time.monotonic()

    with refused("message_not_found"):
        fetch(system, "a" * 26)
    with refused("unauthenticated"):
        defined("fetch_media.py", "fetch_media")(f"{system.stack.api_url}/media/messages", "a" * 26, "no token")

    assert time.monotonic() - began < 5


def test_a_back_end_asks_again_where_the_gateway_is_too_busy_and_not_where_it_knows_no_such_path() -> None:
    answers = [(429, "Too Many Requests"), (503, "Service Unavailable"), (404, "Not Found")]

    @Request.application
    def gateway(_: Request) -> Response:
        status, message = answers.pop(0)
        headers = {"Content-Type": "application/json", "Retry-After": "0"}
        return Response(f'{{"message": "{message}"}}', status, headers)

    with serve(gateway) as server, refused("404"):
        defined("fetch_media.py", "fetch_media")(server.url, "any", "any")

    assert answers == []


# --- what has changed --------------------------------------------------------------------------------------------


def test_events_come_into_the_queue_and_stay_there_until_they_are_handled(fresh_system: System) -> None:
    system = fresh_system
    clouds, sqs = system.client("cloudformation"), system.client("sqs")
    bus = [{"ParameterKey": "EventBusName", "ParameterValue": system.stack.event_bus_name}]
    clouds.create_stack(StackName="changes", TemplateBody=named("integrate")["events.yaml"], Parameters=bus)
    (stack,) = clouds.describe_stacks(StackName="changes")["Stacks"]
    (output,) = stack["Outputs"]
    url = output["OutputValue"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
    consume: Callable[..., int] = defined("consume.py", "consume")
    own_id = system.receive()
    heard: list[Json] = []
    broken: list[str] = []

    def breaks(event: Json) -> None:
        broken.append(event["id"])
        raise ZeroDivisionError

    def seen() -> set[str]:
        return {event["detail-type"] for event in heard if event["detail"]["message_id"] == own_id}

    with system.stack.background():
        with pytest.raises(ZeroDivisionError):
            consume(sqs, url, breaks)
        end = time.monotonic() + 30
        while seen() != {"message.stored", "media.ready"} or not {event["id"] for event in heard} >= {*broken}:
            assert time.monotonic() < end
            consume(sqs, url, heard.append)

    for event in heard:
        events.check(event)
    clouds.delete_stack(StackName="changes")


def test_only_the_rule_may_send_to_the_queues_which_moto_does_not_mind(tmp_path: Path) -> None:
    (tmp_path / "events.yaml").write_text(named("integrate")["events.yaml"], "utf-8")
    resources = read_yaml(tmp_path / "events.yaml")["Resources"]
    policy, (target,) = resources["Policy"]["Properties"], resources["Rule"]["Properties"]["Targets"]
    queues = [{"Fn::GetAtt": f"{name}.Arn"} for name in ("Changes", "DeadChanges")]

    assert policy["Queues"] == [{"Ref": "Changes"}, {"Ref": "DeadChanges"}]
    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queues,
            "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": "Rule.Arn"}}},
        }
    ]
    assert [target["Arn"], target["DeadLetterConfig"]["Arn"]] == queues


# --- beside the old system ---------------------------------------------------------------------------------------


def test_one_setting_switches_to_us_and_back(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    own_id, old = system.receive(), "https://crm.example.com/old/4711"
    media_src: Callable[..., str] = defined("media_src.py", "media_src")

    monkeypatch.setenv("WHATSAPP_MEDIA_URL", f"{system.stack.api_url}/media/messages")
    ours = media_src(own_id, old, mint(system, message=own_id))
    monkeypatch.setenv("WHATSAPP_MEDIA_URL", "")

    assert requests.get(ours, timeout=40).content == PHOTO.content
    assert media_src(own_id, old, "any") == old
