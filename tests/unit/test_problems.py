"""Errors as HTTP answers, in the form of RFC 9457."""

import json

import pytest

from inbound import errors
from inbound.errors import InboundError, MediaError
from inbound.problems import CONTENT_TYPE, TABLE, problem

EACH = sorted(TABLE, key=lambda error: error.__name__)
MEDIA = [error for error in EACH if issubclass(error, MediaError)]
ABOUT = {"type": "image", "caption": "Grüße", "size": None}


def named(error: type[InboundError]) -> str:
    return error.__name__


@pytest.mark.parametrize("kind", EACH, ids=named)
def test_every_error_is_a_complete_problem(kind: type[InboundError]) -> None:
    answer = problem(kind("What happened."))

    assert answer.body == {
        "type": f"urn:whatsapp-media:error:{kind.code}",
        "title": TABLE[kind][1],
        "status": answer.status,
        "code": kind.code,
        "detail": "What happened.",
        "retryable": answer.body["retryable"],
    }
    assert isinstance(answer.body["retryable"], bool)
    assert answer.status == TABLE[kind][0]
    assert answer.headers["Content-Type"] == CONTENT_TYPE == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert json.loads(json.dumps(answer.body)) == answer.body


@pytest.mark.parametrize("kind", EACH, ids=named)
def test_an_error_without_a_detail_repeats_its_title(kind: type[InboundError]) -> None:
    assert problem(kind()).body["detail"] == f"{TABLE[kind][1]}."


@pytest.mark.parametrize("kind", MEDIA, ids=named)
def test_what_is_tried_again_says_when_even_if_asking_does_not_help(kind: type[MediaError]) -> None:
    answer = problem(kind("x", retry_after=30))

    assert answer.body["retryable"] is kind.retryable
    assert (answer.headers["Retry-After"], answer.body["retry_after"]) == ("30", 30)


def test_a_wait_of_no_seconds_is_told_as_well() -> None:
    answer = problem(errors.RateLimited("x", retry_after=0))

    assert (answer.headers["Retry-After"], answer.body["retry_after"]) == ("0", 0)


@pytest.mark.parametrize("kind", MEDIA, ids=named)
def test_what_was_settled_is_no_longer_retryable(kind: type[MediaError]) -> None:
    error = kind("x")
    error.retryable = False

    answer = problem(error)

    assert answer.body["retryable"] is False
    assert "Retry-After" not in answer.headers
    assert "retry_after" not in answer.body


def test_expired_is_retryable_until_it_is_final() -> None:
    assert problem(errors.MediaExpired("x")).body["retryable"] is True
    assert problem(errors.MediaExpired("x", final=True)).body["retryable"] is False


@pytest.mark.parametrize("kind", MEDIA, ids=named)
def test_what_is_known_of_the_media_comes_along(kind: type[MediaError]) -> None:
    error = kind("x")
    assert "media" not in problem(error).body

    error.media = ABOUT

    assert problem(error).body["media"] == ABOUT


@pytest.mark.parametrize("kind", EACH, ids=named)
def test_only_a_missing_token_asks_for_one(kind: type[InboundError]) -> None:
    headers = problem(kind("x")).headers

    assert headers.get("WWW-Authenticate") == ("Bearer" if kind is errors.Unauthenticated else None)


@pytest.mark.parametrize("kind", MEDIA, ids=named)
def test_what_graph_said_stays_inside(kind: type[MediaError]) -> None:
    said = kind("x", http_status=418, graph_code=190, graph_subcode=463, graph_trace="AbCdEf")

    text = json.dumps(problem(said).body) + json.dumps(problem(said).headers)

    for secret in ("418", "190", "463", "AbCdEf"):
        assert secret not in text
    assert (said.http_status, said.graph_code, said.graph_subcode, said.graph_trace) == (418, 190, 463, "AbCdEf")
    assert str(said) == "x"
