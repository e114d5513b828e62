"""Key sets as providers and attackers write them: which keys are taken from them, and for what."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from inbound.jwks import LONGEST_RSA, NotAKeySet, chosen, published

Json = dict[str, Any]

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any = EC_KEY, key_id: object = "one", **fields: object) -> Json:
    """Write a public key as providers do; a field of None is left out."""
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    built = {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", **fields}
    return {name: value for name, value in built.items() if value is not None}


def document(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def is_taken(*keys: object) -> bool:
    """Tell whether there is a key in a set; a good one of another name stands beside it and must not suffer."""
    alone = True
    try:
        published(document(*keys))
    except NotAKeySet:
        alone = False
    beside = published(document(*keys, jwk(key_id="good")))
    assert chosen(beside, "ES256", "good") is not None
    assert (len(beside) > 1) == alone
    return alone


# --- what is a key ------------------------------------------------------------------------------------------


def test_the_two_kinds_of_keys_are_read_for_one_algorithm_each() -> None:
    keys = published(document(jwk(RSA_KEY, "r", alg="RS256"), jwk(EC_KEY, "e")))

    assert [(key.key_id, key.algorithm) for key in keys] == [("r", "RS256"), ("e", "ES256")]
    assert keys[0].key.public_numbers() == RSA_KEY.public_key().public_numbers()
    assert keys[1].key.public_numbers() == EC_KEY.public_key().public_numbers()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use": None},
        {"alg": "ES256"},
        {"key_ops": ["verify"]},
        {"x5c": ["x"], "x5t": "x", "x5u": "http://127.0.0.1:9/", "nbf": 1, "issuer": "i"},
    ],
    ids=str,
)
def test_providers_write_keys_in_many_ways(fields: Json) -> None:
    assert is_taken(jwk(EC_KEY, **fields))


UNUSABLE: list[object] = [
    jwk(use="enc"),
    jwk(use=["sig"]),
    jwk(use={}),
    jwk(alg="ES384"),
    jwk(alg="RS256"),
    jwk(alg="HS256"),
    jwk(alg="none"),
    jwk(alg=["ES256"]),
    jwk(RSA_KEY, alg="PS256"),
    jwk(RSA_KEY, alg="RS512"),
    jwk(RSA_KEY, alg="RSA-OAEP"),
    jwk(RSA_KEY, alg="ES256"),
    jwk(RSA_KEY, alg="HS256"),
    jwk(kty="RSA"),
    jwk(kty="oct"),
    jwk(kty=["EC"]),
    jwk(kty=None),
    jwk(crv="P-384"),
    jwk(crv=None),
    jwk(x="AA"),
    jwk(x=None),
    jwk(x=5),
    jwk(y="!" * 43),
    jwk(y="A" * 43),
    jwk(RSA_KEY, n=None),
    jwk(RSA_KEY, n=5),
    jwk(RSA_KEY, e="AA"),
    jwk(RSA_KEY, e="\ud800"),
    {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "one", "use": "sig"},
    {"kty": "oct", "k": "AAAA", "kid": "one", "alg": "ES256"},
    {"kty": "oct", "k": "AAAA", "kid": "one", "alg": "HS256"},
    OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate().public_key(), as_dict=True),
    HMACAlgorithm.to_jwk("s" * 32, as_dict=True),
    jwk(ec.generate_private_key(ec.SECP384R1())),
    jwk(ec.generate_private_key(ec.SECP521R1())),
    jwk(ec.generate_private_key(ec.SECP256K1())),
    jwk(rsa.generate_private_key(65537, 1024)),  # noqa: S505 (weak on purpose)
    {},
    None,
    "x",
    5,
    [],
    [jwk()],
]


@pytest.mark.parametrize("unusable", UNUSABLE, ids=range(len(UNUSABLE)))
def test_what_cannot_check_our_signatures_is_left_out_and_costs_no_good_key(unusable: object) -> None:
    assert not is_taken(unusable)


@pytest.mark.parametrize("bits", [2047, 2048])
def test_a_short_rsa_key_is_no_key(bits: int) -> None:
    modulus = (1 << (bits - 1)) + 0x10001  # no product of two primes, but OpenSSL does not look
    wide = base64.urlsafe_b64encode(modulus.to_bytes((bits + 7) // 8, "big")).decode().rstrip("=")

    assert is_taken(jwk(RSA_KEY, n=wide)) == (bits == 2048)


@pytest.mark.parametrize("bits", [LONGEST_RSA, LONGEST_RSA + 8, 2_000_000])
def test_an_enormous_rsa_key_is_no_key(bits: int) -> None:
    modulus = (1 << (bits - 1)) + 0x10001
    wide = base64.urlsafe_b64encode(modulus.to_bytes(bits // 8, "big")).decode().rstrip("=")

    assert is_taken(jwk(RSA_KEY, n=wide)) == (bits == LONGEST_RSA)


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ec"])
def test_a_private_key_that_was_published_is_nobodys_key(key: Any) -> None:
    algorithm = RSAAlgorithm if key is RSA_KEY else ECAlgorithm
    private = algorithm.to_jwk(key, as_dict=True)
    assert "d" in private

    assert not is_taken({**private, "kid": "one", "key_ops": None})


def test_a_private_key_costs_no_time() -> None:
    key_size = 12_000  # bits
    # Its primes would be looked for, which takes seconds at this size and hours at the next.
    wide = base64.urlsafe_b64encode(((1 << (key_size - 1)) + 1).to_bytes(key_size // 8, "big")).decode()
    begun = time.monotonic()

    assert not is_taken({"kty": "RSA", "n": wide, "e": "AQAB", "d": wide})

    assert time.monotonic() - begun < 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"[]",
        b"5",
        b"null",
        b'"x"',
        b"{}",
        b'{"keys":[]}',
        b'{"keys":{}}',
        b'{"keys":"x"}',
        b'{"keys":5}',
        b'{"keys":null}',
        b'{"keys":[{"kty":"EC"}]}',
        b"\xff",
        b"[" * 100_000,
        b'{"keys":' + b"[" * 100_000,
        b'{"keys":[' + b"1" * 5000 + b"]}",
        document(jwk())[:-1],
    ],
    ids=lambda text: str(text)[:30],
)
def test_a_document_without_keys_is_refused(text: bytes) -> None:
    with pytest.raises(NotAKeySet):
        published(text)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["EC", "RSA", "sig", "P-256"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(jwk(RSA_KEY) | jwk())), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(jwk(RSA_KEY) | jwk())), anything, st.sampled_from([RSA_KEY, EC_KEY]))
def test_whatever_stands_in_a_key_it_is_left_out_or_as_strong_as_it_was(name: str, value: object, key: Any) -> None:
    text = document({**jwk(key), name: value}, jwk(key_id="good"))

    keys = published(text)

    assert {key.key_id for key in keys if isinstance(key.key_id, str)} >= {"good"}
    for found in keys:
        assert found.algorithm == ("RS256" if isinstance(found.key, rsa.RSAPublicKey) else "ES256")
        assert found.key.key_size >= (2048 if found.algorithm == "RS256" else 256)


# --- which key is meant -------------------------------------------------------------------------------------


def test_a_key_is_meant_by_its_id_and_its_algorithm() -> None:
    keys = published(document(jwk(RSA_KEY, "same"), jwk(EC_KEY, "same"), jwk(EC_KEY, "other")))

    assert chosen(keys, "RS256", "same") == keys[0]
    assert chosen(keys, "ES256", "same") == keys[1]
    assert chosen(keys, "ES256", "other") == keys[2]
    assert chosen(keys, "RS256", "other") is None
    assert chosen(keys, "ES256", "unknown") is None
    assert chosen(keys, "ES256", "") is None
    assert chosen(keys, "HS256", "same") is None


def test_a_token_without_a_key_id_means_the_only_key_and_none_of_several() -> None:
    assert chosen(published(document(jwk(key_id="any"))), "ES256", None) is not None
    assert chosen(published(document(jwk(key_id=None))), "ES256", None) is not None
    assert chosen(published(document(jwk(key_id=None), jwk(use="enc"))), "ES256", None) is not None
    assert chosen(published(document(jwk(key_id=None))), "RS256", None) is None
    assert chosen(published(document(jwk(), jwk(key_id="two"))), "ES256", None) is None
    assert chosen(published(document(jwk(key_id=None), jwk(RSA_KEY))), "ES256", None) is None


def test_a_key_without_an_id_is_meant_by_no_id() -> None:
    keys = published(document(jwk(key_id=None), jwk(key_id=5), jwk(key_id=["one"])))

    assert len(keys) == 3
    for key_id in ("one", "5", "None", ""):
        assert chosen(keys, "ES256", key_id) is None


def test_what_is_read_checks_signatures() -> None:
    (key,) = published(document(jwk(RSA_KEY)))

    assert jwt.decode(jwt.encode({"a": 1}, RSA_KEY, "RS256"), key.key, ["RS256"]) == {"a": 1}
