"""Signed URLs: what CloudFront checks, checked with the public key alone."""

import base64
import subprocess
import sys
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound.credentials import SigningKey
from inbound.errors import InternalError
from inbound.metadata import clean_name
from media_proxy.content import content_disposition
from media_proxy.signing import LONG_WINDOW, SHORT_KINDS, SHORT_WINDOW, active_key, expiry, sign

NOW = 1_790_800_000
URL = "https://d111111abcdef8.cloudfront.net/inline/100000000000001/abcdefghijklmnopqrstuvwxyz/1"
OWN_QUERY = "response-content-disposition"

calm = settings(deadline=None, max_examples=100)


def pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = PRIVATE.public_key()
KEY = SigningKey(key_id="K2JCJMDEHXQW5F", pem=pem(PRIVATE), active_from=0)
OTHER = ec.generate_private_key(ec.SECP256R1())


def check(url: str, public: ec.EllipticCurvePublicKey = PUBLIC) -> str:
    """Verify as CloudFront does: take the signing parameters off, and build the policy from the rest and Expires."""
    resource, separator, signing = url.rpartition("Expires=")
    query = dict(parse_qsl(separator + signing, strict_parsing=True))
    assert list(query) == ["Expires", "Signature", "Key-Pair-Id", "Hash-Algorithm"]
    assert query["Hash-Algorithm"] == "SHA256"
    signature = base64.b64decode(
        query["Signature"].replace("-", "+").replace("_", "=").replace("~", "/"), validate=True
    )
    until = datetime.fromtimestamp(int(query["Expires"]), UTC)
    policy = CloudFrontSigner("", bytes).build_policy(resource[:-1], until)
    public.verify(signature, policy.encode(), ec.ECDSA(SHA256()))
    return resource[:-1]


# --- the signature ------------------------------------------------------------------------------------------


def test_the_public_key_confirms_a_signed_url() -> None:
    signed = sign(URL, KEY, NOW)

    assert check(signed.url) == URL
    assert signed.expires_at == NOW
    assert f"?Expires={NOW}&Signature=" in signed.url
    assert signed.url.endswith("&Key-Pair-Id=K2JCJMDEHXQW5F&Hash-Algorithm=SHA256")


@calm
@given(st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26), st.integers(0, 10**10))
def test_every_object_and_expiry_is_confirmed(message_id: str, expires_at: int) -> None:
    url = f"https://edge.example.com/file/1/{message_id}/7"

    assert check(sign(url, KEY, expires_at).url) == url


def test_another_key_does_not_confirm_it() -> None:
    with pytest.raises(InvalidSignature):
        check(sign(URL, KEY, NOW).url, OTHER.public_key())


@pytest.mark.parametrize(
    ("signed_for", "used_for"),
    [
        (f"Expires={NOW}", f"Expires={NOW + 1}"),
        ("/inline/", "/raw/"),
        ("/1?", "/2?"),
        ("cloudfront.net", "cloudfront.com"),
        ("https://", "http://"),
        ("?Expires", "?response-content-disposition=inline&Expires"),
    ],
)
def test_a_signature_holds_for_its_object_and_time_only(signed_for: str, used_for: str) -> None:
    url = sign(URL, KEY, NOW).url
    changed = url.replace(signed_for, used_for)
    assert changed != url

    with pytest.raises(InvalidSignature):
        check(changed)


@calm
@given(st.integers(0, 10**10))
def test_a_signature_may_stand_in_a_query_as_it_is(expires_at: int) -> None:
    signature = dict(parse_qsl(urlsplit(sign(URL, KEY, expires_at).url).query))["Signature"]

    assert set(signature) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~")


# --- the name to save under ---------------------------------------------------------------------------------


def test_a_download_signs_its_name_as_well() -> None:
    disposition = content_disposition("attachment", "Überweisung & Co; 100%.pdf")

    url = sign(URL, KEY, NOW, download_as=disposition).url

    resource = check(url)
    assert resource.startswith(f"{URL}?{OWN_QUERY}=")
    assert dict(parse_qsl(urlsplit(url).query))[OWN_QUERY] == disposition


def test_the_name_of_a_download_cannot_be_changed() -> None:
    url = sign(URL, KEY, NOW, download_as=content_disposition("attachment", "report.pdf")).url

    for changed in (url.replace("report.pdf", "report.exe"), url.replace("attachment", "inline")):
        assert changed != url
        with pytest.raises(InvalidSignature):
            check(changed)


@calm
@given(st.text(st.characters(), max_size=150).map(clean_name))
def test_no_name_breaks_the_url_or_the_policy(name: str) -> None:
    disposition = content_disposition("attachment", name)

    resource = check(sign(URL, KEY, NOW, download_as=disposition).url)

    assert unquote(resource.removeprefix(f"{URL}?{OWN_QUERY}=")) == disposition
    assert not set(resource.removeprefix(f"{URL}?")) & set('"\\&?#+ ')
    assert resource.isascii()
    assert resource.isprintable()


# --- the same URL from every Lambda -------------------------------------------------------------------------

ELSEWHERE = """
import sys
from inbound.credentials import SigningKey
from media_proxy.signing import sign
url, pem, expires_at = sys.argv[1:]
key = SigningKey(key_id="K2JCJMDEHXQW5F", pem=pem, active_from=0)
print(sign(url, key, int(expires_at), download_as="attachment").url)
"""


def test_two_processes_give_the_same_url() -> None:
    command = [sys.executable, "-c", ELSEWHERE, URL, KEY.pem, str(NOW)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    urls = {process.communicate(timeout=30)[0].strip() for process in processes}

    assert urls == {sign(URL, KEY, NOW, download_as="attachment").url}


# --- how long it lives --------------------------------------------------------------------------------------


def window_of(kind: str) -> int:
    return SHORT_WINDOW if kind in SHORT_KINDS else LONG_WINDOW


kinds = st.sampled_from(["image", "sticker", "audio", "video", "document"])


@pytest.mark.parametrize(
    ("kind", "hours"), [("image", 1), ("sticker", 1), ("audio", 6), ("video", 6), ("document", 6), ("new", 6)]
)
def test_what_is_played_or_read_lives_longer_than_a_picture(kind: str, hours: int) -> None:
    assert expiry(kind, NOW) % (hours * 3600) == 0
    assert hours * 3600 <= expiry(kind, NOW) - NOW <= 2 * hours * 3600


@calm
@given(kinds, st.floats(0, 10**10) | st.integers(0, 10**10))
def test_a_url_lives_at_least_one_window_and_at_most_two(kind: str, now: float) -> None:
    assert window_of(kind) < expiry(kind, now) - now + 1
    assert expiry(kind, now) - now <= 2 * window_of(kind)


@calm
@given(kinds, st.integers(0, 10**6), st.floats(0, 0.999_999))
def test_within_a_window_all_urls_are_the_same(kind: str, number: int, place: float) -> None:
    window = window_of(kind)
    moment = number * window + place * window

    assert expiry(kind, moment) == expiry(kind, number * window)
    assert expiry(kind, (number + 1) * window) == expiry(kind, moment) + window


# --- which key ----------------------------------------------------------------------------------------------


def key(key_id: str, active_from: float) -> SigningKey:
    return SigningKey(key_id=key_id, pem=KEY.pem, active_from=active_from)


def test_the_newest_key_whose_time_has_come_signs() -> None:
    keys = [key("old", NOW - 100), key("new", NOW - 10), key("older", NOW - 1000), key("future", NOW + 1)]

    assert active_key(keys, NOW).key_id == "new"
    assert active_key(reversed(keys), NOW).key_id == "new"
    assert active_key(keys, NOW + 1).key_id == "future"
    assert active_key(keys, NOW - 10.5).key_id == "old"


def test_a_key_signs_from_its_very_moment_on() -> None:
    assert active_key([key("now", NOW)], NOW).key_id == "now"


@pytest.mark.parametrize("keys", [[], [key("future", NOW + 0.5)]], ids=["none", "future"])
def test_without_a_key_whose_time_has_come_nothing_is_signed(keys: list[SigningKey]) -> None:
    with pytest.raises(InternalError):
        active_key(keys, NOW)


@pytest.mark.parametrize(
    "private",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["another curve", "RSA"],
)
def test_only_a_p256_key_signs(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    with pytest.raises(InternalError):
        sign(URL, SigningKey(key_id="K", pem=pem(private), active_from=0), NOW)


def test_two_keys_sign_each_for_itself() -> None:
    second = SigningKey(key_id="K2", pem=pem(OTHER), active_from=0)

    assert check(sign(URL, second, NOW).url, OTHER.public_key()) == URL
    assert check(sign(URL, KEY, NOW).url) == URL
