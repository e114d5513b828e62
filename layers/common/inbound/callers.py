"""Who calls, and what they may open: the media token of a request, checked with the secrets as they are."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

from inbound import access
from inbound.config import CallerSettings
from inbound.credentials import CachedSecret, GraphCredentials
from inbound.errors import Unauthenticated

if TYPE_CHECKING:
    from inbound.jwks import PublicKey
    from inbound.published_keys import PublishedKeys


class Callers:
    """Checks tokens: ours with the secrets that sign them, others with the keys of the identity provider, if any."""

    def __init__(self, settings: CallerSettings, credentials: CachedSecret[GraphCredentials]) -> None:
        self._settings = settings
        self._credentials = credentials
        self._provider = (
            access.Provider(self._published_key, settings.jwt_issuer, settings.jwt_audience)
            if settings.jwks_url
            else None
        )

    def scope(self, event: APIGatewayProxyEventV2) -> access.Scope:
        """Give what the token of a request opens. Raises `Unauthenticated`, and what reading secrets or keys raises.

        It is checked with the secrets as known, then with the secrets as they are by now.
        """
        token = access.token_of(event.headers, _cookies(event.raw_event), event.query_string_parameters)
        try:
            return access.scope_of(token, self._credentials.get().media_token_secrets, self._provider)
        except Unauthenticated:
            return access.scope_of(token, self._credentials.refreshed().media_token_secrets, self._provider)

    def _published_key(self, algorithm: str, key_id: str | None) -> "PublicKey":
        return self._published_keys.key(algorithm, key_id)

    @cached_property
    def _published_keys(self) -> "PublishedKeys":
        """What reads the provider's keys is imported with the first of its tokens."""
        from inbound.published_keys import PublishedKeys

        return PublishedKeys(str(self._settings.jwks_url))


def _cookies(event: dict[str, Any]) -> list[str]:
    """Give the cookies: API Gateway takes them out of the headers, others may leave them there."""
    return [*(event.get("cookies") or []), (event.get("headers") or {}).get("cookie", "")]
