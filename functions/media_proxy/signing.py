"""CloudFront signed URLs: canned policy, ECDSA P-256, SHA-256. Pure: key and time come from outside.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-canned-policy.html
"""

import base64
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from inbound.errors import InternalError

if TYPE_CHECKING:
    from inbound.credentials import SigningKey

HOUR = 3600
# A range request after expiry fails, so what is played or read gets longer.
SHORT_WINDOW, LONG_WINDOW = HOUR, 6 * HOUR
SHORT_KINDS = frozenset({"image", "sticker"})

# RFC 6979: the same policy gives the same signature, hence the same URL from every Lambda, hence a browser cache hit.
_DETERMINISTIC = ec.ECDSA(SHA256(), deterministic_signing=True)
_URL_SAFE = str.maketrans("+=/", "-_~")


class SignedUrl(NamedTuple):
    """A URL that opens one object until `expires_at` (Unix seconds)."""

    url: str
    expires_at: int


def expiry(kind: str, now: float) -> int:
    """Give the end of the window after the next: at least one window away, and the same for all in this window."""
    window = SHORT_WINDOW if kind in SHORT_KINDS else LONG_WINDOW
    return (int(now) // window + 2) * window


def active_key(keys: "Iterable[SigningKey]", now: float) -> "SigningKey":
    """Give the key to sign with: the newest whose time has come. Raises `InternalError` when there is none."""
    ready = [key for key in keys if key.active_from <= now]
    if not ready:
        raise InternalError("No signing key is configured.")
    return max(ready, key=lambda key: key.active_from)


def sign(url: str, key: "SigningKey", expires_at: int, *, download_as: str | None = None) -> SignedUrl:
    """Sign the URL of one object; `download_as` is the Content-Disposition to answer with, part of what is signed."""
    if download_as is not None:
        url = f"{url}?response-content-disposition={quote(download_as, safe='')}"
    policy = f'{{"Statement":[{{"Resource":"{url}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires_at}}}}}}}]}}'
    signature = _private_key(key.pem).sign(policy.encode(), _DETERMINISTIC)
    encoded = base64.b64encode(signature).decode().translate(_URL_SAFE)
    query = f"Expires={expires_at}&Signature={encoded}&Key-Pair-Id={key.key_id}&Hash-Algorithm=SHA256"
    return SignedUrl(f"{url}{'&' if '?' in url else '?'}{query}", expires_at)


@lru_cache(maxsize=4)
def _private_key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InternalError("The signing key is not a P-256 key.")
    return key
