"""What counts as served, as failed, and as nobody's fault."""

import pytest

from inbound import errors
from inbound.errors import InboundError, MediaExpired
from inbound.media import Metadata
from inbound.problems import TABLE
from media_proxy.delivery import Pending, Ready
from media_proxy.signing import SignedUrl
from media_proxy.success import counted

SERVED = ("MediaRequests", "MediaServed")
GONE = ("MediaRequests", "MediaGone")
FAILED = ("MediaRequests", "MediaFailed")

ABOUT: Metadata = {
    "type": "image",
    "mime_type": None,
    "filename": "image.jpg",
    "size": None,
    "caption": None,
    "sha256": None,
}


def settled(error: MediaExpired) -> MediaExpired:
    error.retryable = False
    return error


def test_what_is_redirected_is_served() -> None:
    assert counted(Ready(SignedUrl("https://d1.cloudfront.net/x", 1), ABOUT)) == SERVED


def test_what_is_pending_counts_when_it_is_asked_for_again() -> None:
    assert counted(Pending(2, ABOUT)) == ("MediaPending",)


@pytest.mark.parametrize("error", [errors.Unauthenticated(), errors.MessageNotFound(), errors.NoMedia()])
def test_what_nobody_could_have_served_is_no_request(error: InboundError) -> None:
    assert counted(error) == ()


@pytest.mark.parametrize(
    "error",
    [errors.MediaUnavailable(), errors.MediaTooLarge(), MediaExpired(final=True), settled(MediaExpired())],
    ids=["unavailable", "too large", "gone", "past its deadline"],
)
def test_what_is_settled_at_meta_is_counted_apart(error: InboundError) -> None:
    assert counted(error) == GONE


def test_what_meta_denies_before_the_deadline_is_a_failure() -> None:
    assert counted(MediaExpired()) == FAILED


OTHERS = {errors.Unauthenticated, errors.MessageNotFound, errors.NoMedia, errors.MediaUnavailable, errors.MediaTooLarge}


@pytest.mark.parametrize(
    "kind",
    [kind for kind in TABLE if issubclass(kind, errors.MediaError) and kind not in {*OTHERS, errors.InternalError}],
)
def test_all_else_is_a_failure_of_ours(kind: type[errors.MediaError]) -> None:
    assert counted(kind()) == FAILED


def test_what_fails_through_us_alone_is_counted_once_more() -> None:
    assert counted(errors.InternalError()) == (*FAILED, "Faults")
