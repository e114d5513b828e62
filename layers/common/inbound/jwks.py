"""The keys that an identity provider publishes, and the one that a token names. Pure.

https://www.rfc-editor.org/rfc/rfc7517 (JSON Web Key)
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

if TYPE_CHECKING:
    PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey

# Bits of an RSA key: https://www.rfc-editor.org/rfc/rfc7518#section-3.3, and what no provider exceeds.
SHORTEST_RSA, LONGEST_RSA = 2048, 8192


class NotAKeySet(ValueError):
    """A document that holds no key that we could use; the message says why."""


class PublishedKey(NamedTuple):
    """A key: what the provider calls it, the one algorithm that it may check, and the key itself."""

    key_id: object
    algorithm: str
    key: "PublicKey"


def published(document: bytes) -> tuple[PublishedKey, ...]:
    """Read a key set; what is unusable beside usable keys is left out, as providers publish keys for other uses, too.

    Raises `NotAKeySet` when nothing is left.
    """
    try:
        found = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise NotAKeySet("The key set is not JSON.") from error
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise NotAKeySet("The key set has no list of keys.")
    keys = tuple(key for fields in listed if isinstance(fields, dict) and (key := _usable(fields)) is not None)
    if not keys:
        raise NotAKeySet("The key set has no key that checks RS256 or ES256.")
    return keys


def chosen(keys: Sequence[PublishedKey], algorithm: str, key_id: str | None) -> PublishedKey | None:
    """Give the key that a token names by algorithm and id, if there is one.

    A token may leave the id out only where there is one key:
    https://openid.net/specs/openid-connect-core-1_0.html#Signing
    """
    if key_id is None and len(keys) > 1:
        return None
    return next((key for key in keys if key.algorithm == algorithm and key_id in (None, key.key_id)), None)


def _usable(fields: Mapping[str, Any]) -> PublishedKey | None:
    """Give a public key of our two kinds, for signatures, as strong as its algorithm demands; None for any other."""
    algorithm = "RS256" if fields.get("kty") == "RSA" else "ES256"
    # A private key has no business here: whoever reads the set could sign with it, and reading one can take hours.
    if "d" in fields or fields.get("use", "sig") != "sig" or fields.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(dict(fields), algorithm).key  # refuses what is of another kind, a symmetric key included
    except jwt.PyJWTError:
        return None
    return PublishedKey(fields.get("kid"), algorithm, key) if _is_strong(key) else None


def _is_strong(key: object) -> bool:
    if isinstance(key, RSAPublicKey):
        return SHORTEST_RSA <= key.key_size <= LONGEST_RSA
    return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
