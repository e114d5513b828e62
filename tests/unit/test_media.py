"""Ids and keys at their borders. What holds for every payload stands in test_payload."""

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound.media import contact_id, digest, key_part, message_id, object_key, sha256_hex

NUMBER = "100000000000001"
WAMID = "wamid.HBgLMTU1NTAxMDAxMDEVAgASGBQzQTk5"

calm = settings(deadline=None, max_examples=60)
anything = st.text(st.characters())


def test_a_message_id_is_the_published_formula() -> None:
    hashed = hashlib.sha256(f"{NUMBER}\n{WAMID}".encode()).digest()

    assert message_id(NUMBER, WAMID) == base64.b32encode(hashed).decode().lower()[:26]


def test_a_message_id_never_changes() -> None:
    # printf '100000000000001\nwamid.HBgLMTU1NTAxMDAxMDEVAgASGBQzQTk5' |
    #   openssl sha256 -binary | base32 | head -c 26 | tr A-Z a-z
    assert message_id(NUMBER, WAMID) == "tmqe5mgfrwv2pbog5yvgvtfffn"


@calm
@given(anything, anything)
def test_every_id_is_safe_in_a_url_and_shows_nothing(number: str, wamid: str) -> None:
    made = message_id(number, wamid)

    assert len(made) == 26
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_half_a_surrogate_pair_has_an_id_of_its_own() -> None:
    assert message_id(NUMBER, "\ud83d") != message_id(NUMBER, "\ud83e")
    assert message_id(NUMBER, "\ud83d") == digest(NUMBER, "\ud83d")


def test_contacts_and_messages_of_different_numbers_differ() -> None:
    assert len({contact_id("1", "x"), contact_id("2", "x"), contact_id("1", "y"), contact_id("12", "")}) == 4


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("é" * 64, True),
        ("é" * 65, False),
        ("a\nb#c/../d", True),
        ("\ud800", False),
    ],
    ids=["empty", "128", "129", "128 bytes", "130 bytes", "odd but short", "half a surrogate pair"],
)
def test_a_key_part_is_hashed_only_when_it_must_be(text: str, kept: bool) -> None:
    made = key_part(text)

    assert (made == text) == kept
    assert len(made.encode()) <= 128


@calm
@given(anything, anything)
def test_no_number_leads_out_of_its_folder_or_into_that_of_another(one: str, other: str) -> None:
    first, second = (object_key("inline", number, "m" * 26, "1") for number in (one, other))

    assert (first == second) == (one == other)
    prefix, folder, message, fence = first.split("/")
    assert (prefix, message, fence) == ("inline", "m" * 26, "1")
    assert folder.replace("-", "").replace("_", "").isalnum()
    assert folder.isascii()


@pytest.mark.parametrize("number", ["", ".", "..", "a/b", "a b", "a%2e", "a\n", "x" * 129, "٣"])
def test_what_is_not_plainly_a_folder_is_hashed(number: str) -> None:
    assert object_key("file", number, "m", "7") == f"file/{digest(number)}/m/7"


HASHED = hashlib.sha256(b"x")
HEX, RAW = HASHED.hexdigest(), HASHED.digest()


@pytest.mark.parametrize(
    "text",
    [
        HEX[:-1],
        HEX + "0",
        HEX[:-1] + "g",
        base64.b64encode(RAW[:-1]).decode(),
        base64.b64encode(RAW + b"x").decode(),
        base64.b64encode(RAW).decode().replace("=", "") + "\n=",
        f"sha256={HEX}",
        "*" * 44,
        "é" * 44,
        "",
        None,
        7,
        RAW,
        [HEX],
    ],
)
def test_what_is_not_exactly_a_sha256_is_none(text: object) -> None:
    assert sha256_hex(text) is None
