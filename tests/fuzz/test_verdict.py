"""The judge of the fuzz sees what is wrong; and the requests that it judges can be had again."""

import json
from typing import Any

import pytest

from local.template import Route
from tests.builders import Json, golden, wire
from tests.fuzz.strange import Strange, World, request
from tests.fuzz.verdict import PRECAUTIONS, Answer, flaws

CODES = {"unauthenticated": 401, "media_expired": 410, "internal_error": 500}
VIEW = Strange("GET /media/messages/{message_id}", b"GET", b"/media/messages/a", ())
ENTITLED = Strange("GET /media/messages/{message_id}", b"GET", b"/media/messages/a", (), may=True, must=302)
POST = Strange("POST /webhook", b"POST", b"/webhook", ())
REFUSED = {
    "type": "urn:whatsapp-media:error:unauthenticated",
    "title": "No valid media token",
    "status": 401,
    "code": "unauthenticated",
    "detail": "No.",
    "retryable": False,
}
HEADERS = {
    "apigw-requestid": "a",
    "content-type": "application/problem+json",
    "cache-control": "no-store",
    **PRECAUTIONS,
}


def refusal(answered: int = 401, *, took: float = 0.1, headers: Json | None = None, **problem: Any) -> Answer:
    kept = {name: value for name, value in {**HEADERS, **(headers or {})}.items() if value is not None}
    return Answer(answered, kept, json.dumps({**REFUSED, **problem}).encode(), took)


def redirect(cache: str = "private, max-age=300", **headers: str) -> Answer:
    return Answer(302, {**HEADERS, "cache-control": cache, **headers}, b"", 0.1)


def test_what_is_right_has_no_flaw() -> None:
    assert flaws(VIEW, refusal(), CODES) == []
    assert flaws(ENTITLED, redirect(), CODES) == []
    assert flaws(POST, Answer(404, {}, b'{"message":"Not Found"}', 0.1), CODES) == []


@pytest.mark.parametrize(
    ("asked", "answer", "flaw"),
    [
        (VIEW, Answer(500, {}, b"", 0.1), "status 500"),
        (VIEW, refusal(500, code="internal_error"), "status 500"),
        (VIEW, refusal(took=31), "took 31 s"),
        (VIEW, redirect(), "opened: 302"),
        (VIEW, Answer(202, HEADERS, b"{}", 0.1), "opened: 202"),
        (POST, Answer(200, {"content-type": "text/plain"}, b"", 0.1), "opened: 200"),
        (ENTITLED, refusal(), "status 401 instead of 302"),
        (ENTITLED, redirect(**{"x-injected": "1"}), "a header was injected"),
        (ENTITLED, redirect("public, max-age=300"), "media that may be stored by anybody"),
        (ENTITLED, redirect(**{"referrer-policy": "origin"}), "without referrer-policy"),
        (VIEW, refusal(headers={"x-content-type-options": None}), "without x-content-type-options"),
        (VIEW, refusal(headers={"content-security-policy": None}), "without content-security-policy"),
        (VIEW, refusal(headers={"content-type": "text/html"}), "an error as text/html"),
        (VIEW, refusal(headers={"cache-control": None}), "an error that may be stored"),
        (VIEW, refusal(stack="Traceback"), "an error with ['stack']"),
        (VIEW, refusal(code="oops"), "oops with status 401 is documented nowhere"),
        (VIEW, refusal(410), "unauthenticated with status 410 is documented nowhere"),
        (VIEW, refusal(410, status=410, code="media_expired", media={}), "an error tells of media to who may not know"),
        (VIEW, Answer(401, HEADERS, b"<html>", 0.1), "an error that is no JSON"),
        (Strange("", b"HEAD", b"/", ()), Answer(404, {}, b"body", 0.1), "an answer to HEAD has a body"),
        (
            Strange("POST /webhook", b"POST", b"/webhook", (), may=True),
            Answer(200, {**HEADERS, "content-type": "text/html"}, b"", 0.1),
            "the webhook answers text/html",
        ),
    ],
)
def test_each_flaw_is_seen(asked: Strange, answer: Answer, flaw: str) -> None:
    assert flaw in flaws(asked, answer, CODES)


WORLD = World(
    routes=(Route("POST", "/webhook", "WebhookFunction"), Route("GET", "/media/messages/{message_id}", "MediaProxy")),
    known=["a" * 26],
    phone_number_id="200000000000002",
    app_secret="an app secret",
    verify_token="a verify token",
    media_token_secret="a secret of more than thirty-two bytes",
    payloads=[wire(golden("image"))],
)


def test_a_seed_and_a_number_give_the_same_request_again() -> None:
    posts = [number for number in range(300) if request(WORLD, "1", number, signed=True).aim == "POST /webhook"]

    assert len(posts) > 50
    for number in posts:
        assert request(WORLD, "1", number, signed=True) == request(WORLD, "1", number, signed=True)
    assert request(WORLD, "1", posts[0], signed=True) != request(WORLD, "2", posts[0], signed=True)


def test_no_request_is_signed_unless_signatures_are_allowed() -> None:
    unsigned = [request(WORLD, "1", number, signed=False) for number in range(300)]
    signed = [request(WORLD, "1", number, signed=True) for number in range(300)]

    assert not any(asked.may for asked in unsigned if asked.aim == "POST /webhook")
    assert all(asked.may for asked in signed if asked.aim == "POST /webhook")
    assert any(asked.must == 200 for asked in signed)
