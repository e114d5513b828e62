"""Outcomes as HTTP answers: what a browser may keep, and for how long."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound.media import Metadata
from media_proxy.delivery import Pending, Ready
from media_proxy.responses import Answer, answer_of, wants_json
from media_proxy.signing import SignedUrl

NOW = 1_790_800_000
URL = "https://edge.example.com/inline/1/m/1?Expires=1&Signature=x&Key-Pair-Id=K&Hash-Algorithm=SHA256"
ABOUT: Metadata = {
    "type": "image",
    "mime_type": "image/jpeg",
    "filename": "請求書.jpg",
    "size": 5,
    "caption": None,
    "sha256": "ab",
}


def answered(life: int = 3600, *, as_json: bool = False, retry: bool = False) -> Answer:
    return answer_of(Ready(SignedUrl(URL, NOW + life), ABOUT), as_json=as_json, retry=retry, now=NOW)


def test_media_that_is_ready_is_a_redirect_to_its_signed_url() -> None:
    answer = answered()

    assert (answer.status, answer.body) == (302, "")
    assert answer.headers == {
        "Location": URL,
        "Cache-Control": "private, max-age=300",
        "Vary": "Accept, Authorization, Cookie",
    }


@pytest.mark.parametrize(
    ("life", "control"),
    [
        (7200, "private, max-age=300"),
        (361, "private, max-age=300"),
        (360, "private, max-age=300"),
        (359, "private, max-age=299"),
        (61, "private, max-age=1"),
        (60, "no-store"),
        (59, "no-store"),
        (0, "no-store"),
        (-5, "no-store"),
    ],
)
def test_a_redirect_is_kept_no_longer_than_its_url_lives(life: int, control: str) -> None:
    assert answered(life).headers["Cache-Control"] == control


@settings(deadline=None)
@given(st.integers(-1000, 100_000))
def test_a_kept_redirect_always_has_a_minute_of_life_left(life: int) -> None:
    control = answered(life).headers["Cache-Control"]

    if control != "no-store":
        age = int(control.removeprefix("private, max-age="))
        assert 0 < age <= 300
        assert life - age >= 60


def test_a_redirect_after_a_failure_is_not_kept() -> None:
    answer = answered(retry=True)

    assert answer.status == 302
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("retry", [False, True])
def test_json_tells_the_url_its_end_and_what_is_known(retry: bool) -> None:
    answer = answered(as_json=True, retry=retry)

    assert answer.status == 200
    assert json.loads(answer.body) == {"url": URL, "expires_at": NOW + 3600, "media": ABOUT}
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Location" not in answer.headers


@pytest.mark.parametrize("as_json", [False, True])
def test_media_that_is_on_its_way_is_asked_for_again(as_json: bool) -> None:
    answer = answer_of(Pending(2, ABOUT), as_json=as_json, retry=False, now=NOW)

    assert answer.status == 202
    assert json.loads(answer.body) == {"status": "pending", "media": ABOUT}
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "text/html, application/json;q=0.9",
        " application/json ,*/*",
    ],
)
def test_a_client_that_names_json_gets_json(accept: str) -> None:
    assert wants_json(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "video/webm,video/ogg,video/*;q=0.9,application/ogg;q=0.7,audio/*;q=0.6,*/*;q=0.5",
        "application/*",
        "application/problem+json",
        "application/jsonp",
        "text/plain; x=application/json",
    ],
)
def test_no_browser_tag_gets_json(accept: str) -> None:
    assert not wants_json(accept)
