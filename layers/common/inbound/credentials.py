"""Secrets: validated, cached for minutes, and read again when they seem stale, so that rotation needs no deployment."""

import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Generic, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from inbound import clients
from inbound.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

Value = TypeVar("Value")

LIFETIME = 300.0  # seconds a value is used without asking
PAUSE = 60.0  # seconds between two readings that a failure asked for

Secret = Annotated[str, Field(min_length=1)]


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
    media_token_secrets: tuple[Secret, ...] = ()

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


class CachedSecret(Generic[Value]):
    """A secret that remembers its value. When it cannot be read again, the last good value goes on being used."""

    def __init__(
        self,
        secret_id: str,
        shape: TypeAdapter[Value],
        *,
        client: "Callable[[], SecretsManagerClient]" = clients.secretsmanager,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret_id = secret_id
        self._shape = shape
        self._client = client
        self._clock = clock
        self._lock = Lock()
        self._value: Value | None = None
        self._read_at = 0.0

    def get(self) -> Value:
        """Give the value, read again once it is older than LIFETIME seconds.

        Raises botocore's errors or pydantic's ValidationError, but only when there has never been a good value.
        """
        return self._younger_than(LIFETIME)

    def refreshed(self) -> Value:
        """Give the value as it is now, reading it at most once in PAUSE seconds: for when the known one failed."""
        return self._younger_than(PAUSE)

    def _younger_than(self, age: float) -> Value:
        with self._lock:
            if self._value is None or self._clock() - self._read_at > age:
                self._value = self._read(self._value)
                self._read_at = self._clock()
            return self._value

    def _read(self, last: Value | None) -> Value:
        try:
            answer = self._client().get_secret_value(SecretId=self._secret_id)
            return self._shape.validate_json(answer.get("SecretString", ""))  # a binary secret is none of ours
        except (BotoCoreError, ClientError, ValidationError) as error:
            if last is None:
                raise
            logger.error("secret_not_readable", secret=self._secret_id, error=type(error).__name__)
            return last
