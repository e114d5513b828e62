"""What is forwarded, on its way through the queue: the same bytes, and the headers that go with them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbound.errors import ForwardFailed
from webhook.parcel import LARGEST_INSIDE, packed, parcel_of, passed_on, unpacked

SMALLEST_LIMIT = 256 * 1024
"""What a queue takes at least: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html."""
SIGNED = {"content-type": "application/json", "x-hub-signature-256": "sha256=" + "0" * 64}


@given(body=st.binary(max_size=2000))
def test_any_bytes_come_out_as_they_went_in(body: bytes) -> None:
    parcel = unpacked(packed(parcel_of(body, SIGNED)))

    assert (parcel.body, parcel.s3_key) == (body, None)
    assert parcel.headers == SIGNED
    assert parcel == parcel_of(body, SIGNED)


@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"\xfb", b"a"])
def test_the_largest_body_inside_fits_into_every_queue_with_the_longest_headers(byte: bytes) -> None:
    names = ("content-type", "x-hub-signature", "x-hub-signature-256")
    message = packed(parcel_of(byte * LARGEST_INSIDE, dict.fromkeys(names, '"' * 200)))

    assert unpacked(message).body == byte * LARGEST_INSIDE
    assert len(message.encode()) < SMALLEST_LIMIT


def test_a_larger_body_is_left_outside_under_a_key_that_its_repetition_finds_again() -> None:
    body = b"x" * (LARGEST_INSIDE + 1)

    parcel = unpacked(packed(parcel_of(body, SIGNED)))

    assert (parcel.body, parcel.s3_key) == (None, f"forward/{parcel.delivery_id}")
    assert parcel == parcel_of(bytes(body), SIGNED)
    assert parcel.s3_key != parcel_of(body + b"x", SIGNED).s3_key
    assert len(packed(parcel)) < 500


def test_the_same_bytes_have_the_same_delivery_id_and_others_another_one() -> None:
    first, again, other = (parcel_of(body, SIGNED).delivery_id for body in (b'{"a":1}', b'{"a":1}', b'{"a": 1}'))

    assert first == again != other
    assert len(first) == 32


def test_only_the_headers_that_matter_go_on() -> None:
    given_headers = {
        **SIGNED,
        "x-hub-signature": "sha1=0",
        "authorization": "Bearer x",
        "cookie": "a=b",
        "host": "api.example.com",
        "content-length": "7",
        "x-forwarded-for": "192.0.2.1",
    }

    assert passed_on(given_headers) == {**SIGNED, "x-hub-signature": "sha1=0"}


@pytest.mark.parametrize("value", ["", "a\r\nX-Admin: 1", "a\nb", "a\x00b", "b\u00e4d", "\ud800", "x" * 201])
def test_a_header_that_cannot_be_sent_as_it_is_is_left_out(value: str) -> None:
    assert passed_on({**SIGNED, "content-type": value}) == {"x-hub-signature-256": SIGNED["x-hub-signature-256"]}


GOOD = {"delivery_id": "1", "headers": {}, "body": "e30="}


@pytest.mark.parametrize(
    "message",
    [
        "",
        "text",
        "[]",
        "null",
        json.dumps({**GOOD, "body": "no base64!"}),
        json.dumps({**GOOD, "body": None}),
        json.dumps({**GOOD, "s3_key": "forward/1"}),
        json.dumps({**GOOD, "headers": {"a": 1}}),
        json.dumps({"message_id": "of another queue"}),
        "[" * 100_000,
    ],
)
def test_a_message_that_is_no_parcel_is_refused_without_repeating_it(message: str) -> None:
    with pytest.raises(ForwardFailed) as refused:
        unpacked(message)

    assert refused.value.kind == "unreadable"
    assert refused.value.detail == "A message in the queue is no parcel."
    told = str(refused.value.__cause__)
    assert not [words for words in ("no base64!", "of another queue", "forward/1", "e30=") if words in told]
    assert unpacked(json.dumps(GOOD)).body == b"{}"
