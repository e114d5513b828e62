"""The environment of each entry point: read once, checked, frozen. Nothing else reads `os.environ`."""

import os
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt


def _split(value: object) -> object:
    """Turn "a, b" into its parts; an empty variable is an empty list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _absent_when_empty(value: object) -> object:
    """An empty variable means "not set": CloudFormation cannot leave one out."""
    return None if value == "" else value


CommaList = Annotated[tuple[str, ...], BeforeValidator(_split)]
OptionalText = Annotated[str | None, BeforeValidator(_absent_when_empty)]
Origin = Annotated[str, Field(pattern=r"^https?://[^/?#@\\\s]+$")]
# A host suffix of two labels at least, or an exact origin: an entry such as "." or "com" would open half the world.
MediaHost = Annotated[str, Field(pattern=r"^(\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|https?://[^/?#@\\\s]+/?)$")]
# What is asked there must be trusted, and what is sent there is private: over TLS, or on this very machine.
TrustedUrl = Annotated[
    str, Field(pattern=r"^(https://[^/?#@\\\s]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?)(/[^#\\\s]*)?$")
]


class Settings(BaseModel):
    """A function's environment. A missing or malformed variable fails the cold start with pydantic's message."""

    # Built when used: each function uses one of these classes, and would pay for all.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    @classmethod
    def from_environment(cls) -> Self:
        """Read the variables that are named like the fields, in upper case."""
        names = {name: name.upper() for name in cls.model_fields}
        return cls.model_validate({name: os.environ[key] for name, key in names.items() if key in os.environ})


class MediaSettings(Settings):
    """What every function has that media passes through."""

    table_name: str
    queue_url: str


class StoringSettings(MediaSettings):
    """What every function has that puts something into the bucket."""

    bucket_name: str
    retention_days: PositiveInt


class WebhookSettings(StoringSettings):
    """The webhook function's environment. Without a `forward_queue_url` nothing is forwarded."""

    apps_secret_id: str
    forward_queue_url: OptionalText = None


class ForwardSettings(Settings):
    """The environment of the function that forwards to the CRM's own webhook."""

    bucket_name: str
    forward_queue_url: str
    forward_url: TrustedUrl


class GraphSettings(Settings):
    """What asking Graph needs: the environment of the function that looks when tokens and version end."""

    graph_secret_id: str
    graph_url: Origin
    graph_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")]


class FetchSettings(StoringSettings, GraphSettings):
    """What getting media from Graph needs: the prefetch worker's environment."""

    media_hosts: Annotated[tuple[MediaHost, ...], BeforeValidator(_split)]
    max_media_bytes: PositiveInt
    no_storage_numbers: CommaList = ()


class CallerSettings(Settings):
    """What every function has that agents' pages call: where media tokens come from."""

    graph_secret_id: str
    jwks_url: Annotated[TrustedUrl | None, BeforeValidator(_absent_when_empty)] = None
    jwt_issuer: OptionalText = None
    jwt_audience: OptionalText = None


class ProxySettings(FetchSettings, CallerSettings):
    """The media proxy's environment."""

    signing_key_secret_id: str
    edge_url: Origin


class InboxSettings(CallerSettings):
    """The environment of the read API."""

    table_name: str


class SweepSettings(MediaSettings):
    """The sweeper's environment."""

    no_storage_numbers: CommaList = ()


class SigningKeySettings(Settings):
    """The environment of the function that makes the signing keys."""

    signing_key_secret_id: str
