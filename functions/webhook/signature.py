"""Meta's `X-Hub-Signature-256`: who signed these bytes? Pure.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping

PREFIX = "sha256="


def sign(body: bytes, secret: str) -> str:
    """Give the header that Meta would send with these bytes for an app secret."""
    return PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signers(body: bytes, header: str, secrets: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Give the ids of the apps that have signed the body; none when the header is missing or wrong.

    `secrets` maps an app's id to its secrets. Bytes are compared with bytes, in constant time: a header that is
    not ASCII must be wrong, not a crash.
    """
    given = header.encode("utf-8", "surrogatepass")
    return frozenset(
        app_id
        for app_id, app_secrets in secrets.items()
        for secret in app_secrets
        if hmac.compare_digest(sign(body, secret).encode("ascii"), given)
    )
