"""Secrets: validated, cached for minutes, and read again when they seem stale, so that rotation needs no deployment."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from inbound import clients
from inbound.cached import Cached, Value
from inbound.observability import logger, metrics

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

# Bytes of a secret for HS256: https://www.rfc-editor.org/rfc/rfc7518#section-3.2
SHORTEST_TOKEN_SECRET = 32

Secret = Annotated[str, Field(min_length=1)]


def _long_enough(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out secrets that could be guessed from one token; whoever signs with such a one is not let in."""
    kept = tuple(secret for secret in secrets if len(secret.encode()) >= SHORTEST_TOKEN_SECRET)
    if len(kept) < len(secrets):
        logger.error("media_token_secret_too_short", shortest=SHORTEST_TOKEN_SECRET)
    return kept


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class App(_Frozen):
    """One Meta app: its secrets (current, then previous), verify token, and the numbers that it may write to."""

    secrets: Annotated[tuple[Secret, ...], Field(min_length=1)]
    verify_token: Secret
    phone_number_ids: frozenset[str] | Literal["*"]

    def owns(self, phone_number_id: str) -> bool:
        """Tell whether this app is bound to the number."""
        return self.phone_number_ids == "*" or phone_number_id in self.phone_number_ids


class GraphCredentials(_Frozen):
    """Graph tokens per number (current, then next) or under "default", and the secrets of our media tokens."""

    tokens: dict[str, tuple[Secret, ...]] = {}
    media_token_secrets: Annotated[tuple[Secret, ...], AfterValidator(_long_enough)] = ()

    def tokens_of(self, phone_number_id: str) -> tuple[str, ...]:
        """Give the tokens to try for a number, in order."""
        return self.tokens.get(phone_number_id) or self.tokens.get("default") or ()


class SigningKey(_Frozen):
    """A CloudFront key pair: its id, its P-256 private key in PEM, and when to begin using it (Unix seconds)."""

    key_id: Secret
    pem: Secret
    active_from: float


# Errors name the place and never the value: they are logged.
_SILENT = ConfigDict(hide_input_in_errors=True)
APPS: TypeAdapter[dict[str, App]] = TypeAdapter(dict[str, App], config=_SILENT)
GRAPH: TypeAdapter[GraphCredentials] = TypeAdapter(GraphCredentials)
SIGNING_KEYS: TypeAdapter[tuple[SigningKey, ...]] = TypeAdapter(tuple[SigningKey, ...], config=_SILENT)


class CachedSecret(Cached[Value]):
    """A secret that remembers its value. When it cannot be read again, the last good value goes on being used.

    Using it raises botocore's errors or pydantic's ValidationError, but only when there has never been a good value.
    """

    def __init__(
        self,
        secret_id: str,
        shape: TypeAdapter[Value],
        *,
        client: "Callable[[], SecretsManagerClient]" = clients.secretsmanager,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        def read() -> Value:
            answer = client().get_secret_value(SecretId=secret_id)
            return shape.validate_json(answer.get("SecretString", ""))  # a binary secret is none of ours

        def note(fault: Exception) -> None:
            logger.error("secret_not_readable", secret=secret_id, error=type(fault).__name__)
            metrics.add_metric("SecretUnreadable", "Count", 1)

        super().__init__(read, (BotoCoreError, ClientError, ValidationError), note, clock=clock)
