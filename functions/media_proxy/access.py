"""Who asks, and what they may open: JSON Web Tokens and their scope."""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from http.cookies import CookieError, SimpleCookie
from typing import Annotated, Any

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inbound.errors import InternalError, Unauthenticated

COOKIE = "media_token"
LEEWAY = 10  # seconds of clock difference
# Each algorithm belongs to one kind of key: a public key must never be taken for an HMAC secret.
SHARED = "HS256"
PUBLISHED = ("RS256", "ES256")

Keys = Callable[[], Iterable[str]]


class Scope(BaseModel):
    """What a token opens. Every bound that is named must hold; a token without any opens nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    phone_numbers: Annotated[list[str], Field(max_length=10_000)] | None = None
    conversation: str | None = None
    message: str | None = None

    def opens(self, *, phone_number_id: str, contact_id: str | None, message_ids: Iterable[str]) -> bool:
        """Tell whether a message may be seen; `message_ids` are its id and the alias it was asked by."""
        bounds = []
        if self.phone_numbers is not None:
            bounds.append("*" in self.phone_numbers or phone_number_id in self.phone_numbers)
        if self.conversation is not None:
            bounds.append(self.conversation == contact_id)
        if self.message is not None:
            bounds.append(self.message in message_ids)
        return bool(bounds) and all(bounds)


def token_of(headers: Mapping[str, str], cookies: Iterable[str], query: Mapping[str, str]) -> str:
    """Give the token of a request: bearer, else cookie, else `?token=`; the first present decides, even an empty one.

    Header names are lower case, cookies are `name=value`. Raises `Unauthenticated` when there is none.
    """
    scheme, _, credentials = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    cookie = _cookie(cookies)
    token = query.get("token") if cookie is None else cookie
    if not token:
        raise Unauthenticated("Send a media token: Authorization: Bearer, the cookie media_token, or ?token=.")
    return token


def scope_of(token: str, secrets: Iterable[str], jwks_url: str | None = None) -> Scope:
    """Check a token and give its scope.

    Raises `Unauthenticated`, where what is wrong stays vague on purpose, or `InternalError` when the identity
    provider does not answer.
    """
    try:
        algorithm = jwt.get_unverified_header(token).get("alg")
        if algorithm == SHARED:
            return Scope.model_validate(_shared(token, secrets))
        if algorithm in PUBLISHED and jwks_url is not None:
            key = _published_keys(jwks_url).get_signing_key_from_jwt(token).key
            return Scope.model_validate(_decoded(token, key, algorithm))
    except jwt.PyJWKClientConnectionError as error:
        raise InternalError("The identity provider's keys cannot be read.") from error
    except (jwt.PyJWTError, ValidationError, ValueError, TypeError) as error:  # TypeError: a key of another kind
        raise Unauthenticated("The media token is not valid.") from error
    raise Unauthenticated("The media token is not valid.")


def _shared(token: str, secrets: Iterable[str]) -> Any:
    """Decode with the current secret, else with the previous one."""
    failure: jwt.PyJWTError = jwt.InvalidTokenError("no secret")
    for secret in secrets:
        try:
            return _decoded(token, secret, SHARED)
        except jwt.InvalidSignatureError as error:
            failure = error
    raise failure


def _decoded(token: str, key: Any, algorithm: str) -> Any:
    # The audience is the operator's to check, once it can be configured.
    options: Any = {"require": ["exp"], "verify_aud": False}
    return jwt.decode(token, key, algorithms=[algorithm], leeway=LEEWAY, options=options)


@cache
def _published_keys(url: str) -> jwt.PyJWKClient:
    """Give the keys of an OpenID Connect provider; read again every five minutes, and for a key not seen yet."""
    return jwt.PyJWKClient(url, lifespan=300, timeout=3)


def _cookie(cookies: Iterable[str]) -> str | None:
    for cookie in cookies:
        try:
            found = SimpleCookie(cookie).get(COOKIE)
        except CookieError:
            continue
        if found is not None:
            return found.value
    return None
