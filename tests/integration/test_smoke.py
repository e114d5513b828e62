"""The story of `make smoke`, told to the local run; and that each of its steps can fail."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from local.options import APP_SECRET, GRAPH_TOKEN, MEDIA_TOKEN_SECRET, PHONE_NUMBER_ID, VERIFY_TOKEN
from tests import builders
from tests.integration.system import System
from tools import deployment as deployments
from tools import plain_items, story
from tools.smoke import local_doors
from tools.story import Keys, Message, Picture, Stage, StoryFailed

STEPS = [
    "the secrets are filled",
    "Meta's handshake is answered",
    "a handshake with another verify token is refused",
    "Graph has the picture",
    "a notification without a signature is refused",
    "a signed notification is taken",
    "the worker fetches the picture before anybody looks",
    "a view without a token is refused",
    "a view is sent to the edge",
    "the edge gives the bytes",
    "the edge refuses an address without its signature",
    "all of it is erased again",
]
KEYS = Keys(PHONE_NUMBER_ID, APP_SECRET, VERIFY_TOKEN, GRAPH_TOKEN, MEDIA_TOKEN_SECRET)


@pytest.fixture
def place(system: System, tmp_path: Path) -> Path:
    """Give the file through which tools find the running system."""
    return place_of(system, tmp_path)


def place_of(system: System, folder: Path) -> Path:
    file = folder / "stack.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in system.stack.environment.items()), "utf-8")
    return file


def smoke(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tools.smoke", "--local", str(place), "--phone-number-id", PHONE_NUMBER_ID]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=55, check=False)


def told(output: str) -> list[tuple[str, str]]:
    """Give how each step ended, and its name."""
    lines = (line.partition(" ") for line in output.splitlines() if line.startswith(("ok ", "FAILED ")))
    return [(verdict, rest.strip().partition(" (")[0]) for verdict, _, rest in lines]


@pytest.mark.timeout(120)
def test_the_whole_story_passes_and_leaves_nothing_behind(fresh_system: System, tmp_path: Path) -> None:
    system = fresh_system
    before = at_graph(system), named(system)

    with system.stack.background():
        done = smoke(place_of(system, tmp_path))

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert told(done.stdout) == [("ok", step) for step in STEPS]
    # Tombstones alone are left, and hold no name.
    assert (at_graph(system), named(system)) == before
    for secret in (APP_SECRET, VERIFY_TOKEN, GRAPH_TOKEN, MEDIA_TOKEN_SECRET):
        assert secret not in done.stdout


def at_graph(system: System) -> set[str]:
    """Give the ids of the story's pictures that Graph has."""
    return {media_id for media_id, one in system.stack.meta._media.items() if one.content == story.PICTURE}


def named(system: System) -> set[str]:
    """Give the items that name the story's contacts; further tests here leave some."""
    return {one["pk"] + one["sk"] for one in system.everything() if one.get("name") == "Smoke test"}


@pytest.mark.timeout(120)
def test_a_picture_of_ones_own_stays_at_graph(fresh_system: System, tmp_path: Path) -> None:
    system = fresh_system
    mine = system.stack.meta.add_media(builders.PHOTO.content, builders.PHOTO.mime_type)

    with system.stack.background():
        done = smoke(place_of(system, tmp_path), "--media-id", mine.id)

    assert done.returncode == 0, done.stdout
    assert system.stack.meta.forget_media(mine.id)


def test_a_failed_step_ends_the_story_with_its_reason(place: Path) -> None:
    done = smoke(place, "--media-id", "123")

    assert done.returncode == 1
    assert told(done.stdout) == [("ok", step) for step in STEPS[:3]] + [
        ("FAILED", "Graph has the picture: answered 400")
    ]
    assert done.stderr == "smoke: failed: Graph has the picture\n"


# --- each step can fail ---


class Tampered(requests.Session):
    """A session in which one answer comes otherwise: the one that `meets`, bent."""

    def __init__(
        self, meets: Callable[[str, str, dict[str, Any]], bool], bend: Callable[[requests.Response], None]
    ) -> None:
        super().__init__()
        self._meets = meets
        self._bend = bend

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        answer = super().request(method, url, *args, **options)
        if self._meets(str(method), str(url), dict(options)):
            self._bend(answer)
        return answer


@pytest.fixture
def stage(system: System) -> Stage:
    """Give a stage whose doors are the running system's."""
    return Stage(deployment(system), local_doors(system.stack.environment), KEYS, requests.Session())


def deployment(system: System) -> deployments.Deployment:
    own = system.stack
    return deployments.Deployment(
        own.table_name, own.bucket_name, own.queue_url, own.dead_letter_queue_url, None, own.apps_secret_id, 365
    )


@pytest.fixture
def stored(system: System) -> Message:
    """Give a message whose picture is stored."""
    own_id = system.receive()
    assert system.work(own_id) == []
    media = system.media(own_id)
    return Message(own_id, "", "", Picture("", "", str(media["sha256"]), uploaded=False))


def ok(answer: requests.Response) -> None:
    answer.status_code = 200


def redirected(answer: requests.Response) -> None:
    answer.status_code = 302


def failed(answer: requests.Response) -> None:
    answer.status_code = 500


def other_bytes(answer: requests.Response) -> None:
    answer._content = b"other bytes"


def is_post(method: str, url: str, options: dict[str, Any]) -> bool:
    return method == "POST" and url.endswith("/webhook") and bool(options)


@pytest.mark.parametrize(
    ("step", "meets", "bend"),
    [
        (1, lambda method, url, _: method == "GET" and url.endswith("/webhook"), other_bytes),
        (2, lambda method, url, _: method == "GET" and url.endswith("/webhook"), ok),
        (4, is_post, ok),
        (5, lambda method, url, options: is_post(method, url, options) and len(options["headers"]) > 1, failed),
        (7, lambda _, url, options: "/media/" in url and "headers" not in options, redirected),
        (8, lambda _, url, options: "/media/" in url and "headers" in options, failed),
        (9, lambda _, url, __: "Signature=" in url, other_bytes),
        (10, lambda _, url, __: "/inline/" in url and "Signature=" not in url, ok),
    ],
    ids=lambda own: STEPS[own] if isinstance(own, int) else "",
)
def test_a_door_that_is_open_or_shut_the_wrong_way_is_seen(
    stage: Stage, stored: Message, step: int, meets: Any, bend: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    tampered = replace(stage, http=Tampered(meets, bend))

    with pytest.raises(StoryFailed, match=f"^{STEPS[step]}$"):
        handshake_post_and_look(tampered, stored)
    assert told(capsys.readouterr().out)[-1][0] == "FAILED"


def handshake_post_and_look(stage: Stage, stored: Message) -> None:
    """Tell what can be told in this process, where the environment does not lead to the system's table."""
    story.handshake(stage)
    picture = story.at_graph(stage)
    message = story.new_message(PHONE_NUMBER_ID, picture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story, "_await_fetch", lambda *_: None)
        story.send(stage, message)
    story.look(stage, stored)


def test_a_worker_that_does_not_come_is_seen_with_how_far_it_came(
    stage: Stage, system: System, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(story, "FETCH_PATIENCE", 0.2)
    monkeypatch.setattr(story, "PAUSE", 0.1)
    monkeypatch.setattr(plain_items, "client", lambda: system.client("dynamodb"))
    message = story.new_message(PHONE_NUMBER_ID, story.at_graph(stage))

    with pytest.raises(StoryFailed, match="the worker fetches"):
        story.send(stage, message)

    assert "after 0 s it is not begun: see the prefetch log" in capsys.readouterr().out
