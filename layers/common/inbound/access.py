"""Who asks, and what they may open: JSON Web Tokens and their scope."""

from collections.abc import Callable, Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import jwt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from inbound.errors import Unauthenticated

if TYPE_CHECKING:
    from inbound.jwks import PublicKey

COOKIE = "media_token"
LEEWAY = 10  # seconds of clock difference
# Each algorithm belongs to one kind of key: a public key must never be taken for an HMAC secret.
SHARED = "HS256"
PUBLISHED = ("RS256", "ES256")


class Provider(NamedTuple):
    """An OpenID Connect provider whose tokens are accepted.

    `key_of` gives its key for an algorithm and a key id, or raises `MediaError`. Where `issuer` or `audience` is
    given, tokens must be from the one and for the other.
    """

    key_of: "Callable[[str, str | None], PublicKey]"
    issuer: str | None = None
    audience: str | None = None


def _said(value: object) -> object:
    """Refuse `null`: a back end that has lost a contact's id must not mint a key to all of the number."""
    if value is None:
        raise ValueError("A bound that is named must say something.")
    return value


_Said = BeforeValidator(_said)


class Scope(BaseModel):
    """What a token opens. Every bound that is named must hold; a token without any opens nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    phone_numbers: Annotated[list[str] | None, Field(max_length=10_000), _Said] = None
    conversation: Annotated[str | None, _Said] = None
    message: Annotated[str | None, _Said] = None

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

    def lists(self, *, phone_number_id: str, contact_ids: Iterable[str]) -> bool:
        """Tell whether a conversation may be seen, of which these are all ids; bound to a message it lists none."""
        return any(self.opens(phone_number_id=phone_number_id, contact_id=one, message_ids=()) for one in contact_ids)


def token_of(headers: Mapping[str, str], cookies: Iterable[str], query: Mapping[str, str]) -> str:
    """Give the token of a request: bearer, else cookie, else `?token=`; the first present decides, even an empty one.

    Header names are lower case, cookies are `name=value`, one or several. Raises `Unauthenticated` when there is none.
    """
    scheme, _, credentials = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    cookie = _cookie(cookies)
    token = query.get("token") if cookie is None else cookie
    if not token:
        raise Unauthenticated("Send a media token: Authorization: Bearer, the cookie media_token, or ?token=.")
    return token


def scope_of(token: str, secrets: Iterable[str], provider: Provider | None = None) -> Scope:
    """Check a token and give its scope.

    Raises `Unauthenticated`, where what is wrong stays vague on purpose, and what the provider's `key_of` raises.
    """
    try:
        return Scope.model_validate(_claims(token, secrets, provider))
    except (jwt.PyJWTError, ValueError) as error:  # pydantic's, too, are ValueErrors
        raise Unauthenticated("The media token is not valid.") from error


def _claims(token: str, secrets: Iterable[str], provider: Provider | None) -> Any:
    """Give the claims of a token whose signature, times and origin are right; what the token says of keys is ignored.

    https://www.rfc-editor.org/rfc/rfc8725 (best current practices)
    """
    header = jwt.get_unverified_header(token)
    if "crit" in header:
        raise jwt.InvalidTokenError("We understand no extension.")
    algorithm = header.get("alg")
    if algorithm == SHARED:
        return _shared(token, secrets)
    if algorithm in PUBLISHED and provider is not None:
        key = provider.key_of(algorithm, header.get("kid"))
        return _decoded(token, key, algorithm, provider.issuer, provider.audience)
    raise jwt.InvalidAlgorithmError


def _shared(token: str, secrets: Iterable[str]) -> Any:
    """Decode with the current secret, else with the previous one. The secret is our proof of origin and audience."""
    failure: jwt.PyJWTError = jwt.InvalidTokenError("no secret")
    for secret in secrets:
        try:
            return _decoded(token, secret, SHARED)
        except jwt.InvalidSignatureError as error:
            failure = error
    raise failure


def _decoded(token: str, key: Any, algorithm: str, issuer: str | None = None, audience: str | None = None) -> Any:
    # An audience is looked at where one is expected; what we make nothing of (`sub`, `jti`) is not judged.
    options: Any = {
        "require": ["exp"],
        "verify_aud": audience is not None,
        "verify_sub": False,
        "verify_jti": False,
    }
    return jwt.decode(
        token, key, algorithms=[algorithm], issuer=issuer, audience=audience, leeway=LEEWAY, options=options
    )


def _cookie(cookies: Iterable[str]) -> str | None:
    for cookie in ";".join(cookies).split(";"):
        try:
            found = SimpleCookie(cookie).get(COOKIE)
        except CookieError:
            continue
        if found is not None:
            return found.value
    return None
