"""Who signed these bytes? What Meta's algorithm says, and never a crash."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import image_message, notification, wire
from tests.builders import signed as signed_by_meta
from webhook.signature import sign, signers

SECRET = "the-secret-of-the-app"
BODY = b'{"object":"whatsapp_business_account","entry":[]}'

secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
calm = settings(deadline=None, max_examples=80)


def accepts(body: bytes, header: str, *app_secrets: str) -> bool:
    return signers(body, header, {"app": app_secrets or (SECRET,)}) == {"app"}


def test_a_signature_is_what_openssl_computes() -> None:
    # printf '{}' | openssl dgst -sha256 -hmac key
    assert sign(b"{}", "key") == "sha256=a777724d943eb48dc69bca8a4a6d57a04db3f9ec7e1de4e581e860265bdf3032"


def test_the_header_that_meta_sends_is_accepted() -> None:
    body = wire(notification(image_message()))

    assert accepts(body, signed_by_meta(body, SECRET)["X-Hub-Signature-256"])


@calm
@given(st.binary(), secrets)
def test_whatever_is_signed_is_recognised(body: bytes, secret: str) -> None:
    assert accepts(body, sign(body, secret), secret)


@calm
@given(st.binary(min_size=1), st.data())
def test_any_changed_byte_of_the_body_is_noticed(body: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] ^= data.draw(st.integers(1, 255))

    assert not accepts(bytes(changed), sign(body, SECRET))


@calm
@given(st.integers(0, 70), st.characters())
def test_any_changed_character_of_the_header_is_noticed(place: int, other: str) -> None:
    header = sign(BODY, SECRET)
    changed = header[:place] + other + header[place + 1 :]

    assert accepts(BODY, changed) == (changed == header)


@calm
@given(st.text(st.characters(), max_size=100))
def test_no_header_makes_the_check_crash_or_pass(header: str) -> None:
    assert not accepts(BODY, header)


GOOD = sign(BODY, SECRET)
DIGEST = GOOD.removeprefix("sha256=")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        DIGEST,
        GOOD.upper(),
        f"sha256={DIGEST.upper()}",
        f"SHA256={DIGEST}",
        f" {GOOD}",
        f"{GOOD} ",
        f"{GOOD}\n",
        f"{GOOD},{GOOD}",
        GOOD[:-1],
        f"{GOOD}0",
        f"sha1={hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest()}",
        "sha256=\u017f" + DIGEST[1:],
        "sha256=é\ud800",
    ],
)
def test_only_the_exact_form_is_accepted(header: str) -> None:
    assert not accepts(BODY, header)


def test_the_previous_secret_goes_on_being_accepted() -> None:
    rotated = {"app": ["current", "previous"]}

    assert signers(BODY, sign(BODY, "current"), rotated) == {"app"}
    assert signers(BODY, sign(BODY, "previous"), rotated) == {"app"}
    assert signers(BODY, sign(BODY, "older"), rotated) == frozenset()


def test_the_app_that_signed_is_named_and_no_other() -> None:
    apps = {"one": ["first"], "two": ["second", "shared"], "three": ["shared"]}

    assert signers(BODY, sign(BODY, "first"), apps) == {"one"}
    assert signers(BODY, sign(BODY, "second"), apps) == {"two"}
    assert signers(BODY, sign(BODY, "shared"), apps) == {"two", "three"}


def test_without_secrets_nobody_has_signed() -> None:
    assert signers(BODY, GOOD, {}) == frozenset()
    assert signers(BODY, GOOD, {"app": []}) == frozenset()
    assert signers(BODY, sign(BODY, ""), {"app": []}) == frozenset()
