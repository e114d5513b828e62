"""Where a media id comes from: three places, in their order, and no fourth."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound.errors import MediaError, MediaUnavailable, NoMedia
from inbound.media import is_media_id
from inbound.messages import Message
from media_proxy.sources import Source, resolve
from tests.builders import image_message
from tests.builders import message as metas_message

A, B, C = "4100000000000001", "4100000000000002", "4100000000000003"
RAW = json.dumps(image_message(C))
URL = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1"


def message(**fields: Any) -> Message:
    return Message("MSG#m", "MESSAGE", **{"type": "image", "timestamp": 1_790_800_000, **fields})


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"provider_media_id": A, "media_url": B, "raw": RAW}, Source(A, "provider_media_id")),
        ({"provider_media_id": None, "media_url": B, "raw": RAW}, Source(B, "media_url")),
        ({"provider_media_id": "", "media_url": B, "raw": RAW}, Source(B, "media_url")),
        ({"provider_media_id": "a/b", "media_url": B, "raw": RAW}, Source(B, "media_url")),
        ({"media_url": URL, "raw": RAW}, Source(C, "raw")),
        ({"media_url": "http://x", "raw": RAW}, Source(C, "raw")),
        ({"media_url": "", "raw": RAW}, Source(C, "raw")),
        ({"raw": RAW}, Source(C, "raw")),
        ({"provider_media_id": f" {A}\n"}, Source(A, "provider_media_id")),
        ({"media_url": f"\t{B} "}, Source(B, "media_url")),
        ({"raw": json.dumps({"type": "image", "image": {"id": f" {C} "}})}, Source(C, "raw")),
        ({"raw": json.dumps({"type": "image", "image": {"id": int(C)}})}, Source(C, "raw")),
        ({"type": "text", "provider_media_id": A}, Source(A, "provider_media_id")),
        ({"type": "edit", "raw": json.dumps({"type": "edit", "edit": {"message": json.loads(RAW)}})}, Source(C, "raw")),
    ],
)
def test_the_first_place_that_holds_an_id_gives_it(fields: dict[str, object], source: Source) -> None:
    assert resolve(message(**fields)) == source


@pytest.mark.parametrize("kind", ["image", "audio", "video", "document", "sticker"])
def test_the_raw_message_gives_the_id_of_its_own_type(kind: str) -> None:
    raw = json.dumps(
        metas_message(kind, {"id": C}, image={"id": A}) if kind != "image" else metas_message(kind, {"id": C})
    )

    assert resolve(message(type=kind, raw=raw)) == Source(C, "raw")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"media_url": URL},
        {"provider_media_id": "../me"},
        {"provider_media_id": ".."},
        {"provider_media_id": "4?fields=x"},
        {"provider_media_id": "x" * 257},
        {"raw": "{"},
        {"raw": "[]"},
        {"raw": "null"},
        {"raw": '"x"'},
        {"raw": "[" * 100_000},
        {"raw": json.dumps({"type": "image"})},
        {"raw": json.dumps({"type": "image", "image": {"url": URL}})},
        {"raw": json.dumps({"type": "image", "image": {"id": "a/b"}})},
        {"raw": json.dumps({"type": "image", "video": {"id": C}, "id": C, "media_id": C})},
        {"raw": json.dumps({"type": "text", "image": {"id": C}})},
        {"type": "media_placeholder"},
        {"type": "unsupported"},
        {"type": "location", "provider_media_id": "a/b"},
    ],
    ids=lambda fields: str(fields)[:50],
)
def test_media_without_a_usable_id_is_unavailable(fields: dict[str, object]) -> None:
    with pytest.raises(MediaUnavailable):
        resolve(message(**fields))


@pytest.mark.parametrize("kind", ["text", "location", "reaction", "something_new"])
def test_a_message_that_never_had_media_has_none(kind: str) -> None:
    with pytest.raises(NoMedia):
        resolve(message(type=kind, raw=json.dumps(metas_message(kind, {"body": "x"}))))


def test_the_reason_that_the_webhook_noted_is_told() -> None:
    with pytest.raises(MediaUnavailable, match=r"131060"):
        resolve(message(type="text", media_unavailable="131060"))


def test_a_noted_reason_does_not_hide_an_id_that_is_there() -> None:
    assert resolve(message(media_unavailable="no media id", raw=RAW)) == Source(C, "raw")


def outcome_of(asked: Message) -> Source | MediaError:
    try:
        return resolve(asked)
    except MediaError as error:
        return error


texts = st.none() | st.text(st.characters(), max_size=40) | st.sampled_from([A, URL, RAW, "{}"])


@settings(deadline=None, max_examples=150)
@given(texts, texts, texts, st.sampled_from(["image", "text", "unsupported"]))
def test_what_is_found_may_always_stand_in_a_url(a: str | None, b: str | None, c: str | None, kind: str) -> None:
    outcome = outcome_of(message(type=kind, provider_media_id=a, media_url=b, raw=c))

    if isinstance(outcome, MediaError):
        assert type(outcome) in {MediaUnavailable, NoMedia}
    else:
        assert is_media_id(outcome.media_id)
