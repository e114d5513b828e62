"""The errors that users rely on: codes, statuses, retryable or not; and a page that says the same."""

from collections.abc import Iterator

import pytest

from inbound import errors
from inbound.errors import (
    ForwardFailed,
    InboundError,
    InboxError,
    MediaError,
    SigningKeyError,
    StoreUnavailable,
    WebhookError,
)
from inbound.problems import TABLE, problem
from tools.error_docs import PAGE, documented, page

PUBLISHED = {
    "unauthenticated": (401, False),
    "message_not_found": (404, False),
    "no_media": (404, False),
    "media_unavailable": (410, False),
    "media_expired": (410, True),
    "media_too_large": (413, False),
    "media_corrupt": (502, True),
    "access_token_invalid": (502, False),
    "graph_refused": (502, False),
    "media_host_refused": (502, False),
    "rate_limited": (503, True),
    "graph_unavailable": (503, True),
    "graph_timeout": (504, True),
    "internal_error": (500, True),
}
PUBLISHED_OF_INBOX = {
    "invalid_request": (400, False),
    "conversation_not_found": (404, False),
}
PUBLISHED_OF_WEBHOOK = {
    "verification_failed": (403, False),
    "body_too_large": (413, False),
    "signature_invalid": (401, False),
    "not_configured": (503, True),
    "store_unavailable": (503, True),
}


def tree(root: type[InboundError]) -> Iterator[type[InboundError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


# CloudFormation's requests, and what the CRM answers us, are not answered over our API.
NO_ANSWERS = {InboundError, InboxError, MediaError, WebhookError, ForwardFailed, *tree(SigningKeyError)}
EVERY = [error for error in tree(InboundError) if error not in NO_ANSWERS]


@pytest.mark.parametrize(
    ("root", "published"),
    [
        (MediaError, PUBLISHED),
        (InboxError, PUBLISHED_OF_INBOX),
        ((WebhookError, StoreUnavailable), PUBLISHED_OF_WEBHOOK),
    ],
    ids=["media", "inbox", "webhook"],
)
def test_codes_and_statuses_are_the_published_ones(
    root: type[InboundError], published: dict[str, tuple[int, bool]]
) -> None:
    answers = [problem(error()) for error in EVERY if issubclass(error, root)]

    found = {(answer.body["code"], answer.status, answer.body["retryable"]) for answer in answers}

    assert found == {(code, status, retryable) for code, (status, retryable) in published.items()}


def test_every_error_of_the_tree_has_its_row_in_the_table_and_every_row_its_error() -> None:
    assert set(TABLE) == set(EVERY)


def test_every_code_belongs_to_one_error() -> None:
    codes = [error.code for error in documented(InboundError)]

    assert sorted(codes) == sorted({*PUBLISHED, *PUBLISHED_OF_INBOX, *PUBLISHED_OF_WEBHOOK})


def test_an_error_that_borrows_a_code_is_answered_like_its_owner() -> None:
    borrowers = [error for error in EVERY if "code" not in vars(error)]
    assert borrowers == [errors.MediaUrlDead]

    for error in borrowers:
        assert TABLE[error] == TABLE[error.__mro__[1]]


def test_expired_is_the_only_error_whose_instances_differ() -> None:
    assert problem(errors.MediaExpired(final=True)).body["retryable"] is False
    assert [error for error in EVERY if "retryable" in vars(error())] == [errors.MediaExpired]


def test_the_page_of_errors_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "Write it anew: python -m tools.error_docs"


def test_the_page_names_every_code_with_its_status() -> None:
    text = PAGE.read_text(encoding="utf-8")

    for code, (status, _) in {**PUBLISHED, **PUBLISHED_OF_INBOX, **PUBLISHED_OF_WEBHOOK}.items():
        assert f"| `{code}` | {status} | " in text
