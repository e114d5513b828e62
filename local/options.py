"""What the local run can be told, and the credentials that it makes up: for this machine only."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import TypeAdapter, ValidationError

from inbound.config import TrustedUrl
from local.cloud import ENDPOINT, Access, access_from

DEFAULT_PORT = 8080
META_GRAPH = "https://graph.facebook.com"

# They open nothing but what runs on this machine.
APP_ID = "100000000000001"
APP_SECRET = "local-app-secret"  # noqa: S105  (opens this laptop's emulators only)
VERIFY_TOKEN = "local-verify-token"  # noqa: S105  (opens this laptop's emulators only)
GRAPH_TOKEN = "local-graph-token"  # noqa: S105  (opens this laptop's emulators only)
MEDIA_TOKEN_SECRET = "local-media-token-secret-of-more-than-32-bytes"  # noqa: S105  (opens this laptop's emulators only)
PHONE_NUMBER_ID = "200000000000002"
WABA_ID = "300000000000003"
DISPLAY_PHONE_NUMBER = "15550001234"
KEY_ID = "KLOCAL00000001"
MEDIA_TOKEN_LIFE = 30 * 24 * 3600
"""Seconds."""


class BadSetting(ValueError):
    """An environment variable that makes no sense; the message says which and why."""


@dataclass(frozen=True)
class Options:
    """What can be chosen. Port 0 is a free one, `graph_url` of None the simulator, `logs` of None stderr.

    `listen` is an address beside loopback where functions in containers reach AWS's emulator and the simulated Graph.
    `parameters` override the template's, `variables` the environments of the functions. With the parameter EdgeDomain
    the edge's links are signed for that name, with the local port and http: Chromium takes names under localhost here.
    `origins` may call us beside the simulator's page. `announcement` is the file that holds addresses and credentials
    while the system is ready, `env_vars` the one for `sam local --env-vars`. `background` is whether the queue worker
    and the schedules run all the time.
    """

    api_port: int = 0
    graph_url: str | None = None
    graph_token: str = field(default=GRAPH_TOKEN, repr=False)
    access: Access = field(default_factory=lambda: Access({}))
    parameters: Mapping[str, str] = field(default_factory=dict)
    origins: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    logs: Path | None = None
    announcement: Path | None = None
    env_vars: Path | None = None
    background: bool = True
    listen: str | None = None


def options_from(environment: Mapping[str, str]) -> Options:
    """Read API_PORT, GRAPH_URL, GRAPH_TOKEN, FORWARD_URL, ALLOWED_ORIGINS, LISTEN, AWS_ENDPOINT_URL* and AWS_REGION.

    Raises `BadSetting`.
    """
    graph_url = environment.get("GRAPH_URL") or None
    forward_url = environment.get("FORWARD_URL") or None
    access = access_from(environment)
    for name, url in access.endpoints.items():
        _origin(name, url)
    return Options(
        api_port=_port(environment.get("API_PORT") or str(DEFAULT_PORT)),
        graph_url=_origin("GRAPH_URL", graph_url) if graph_url else None,
        graph_token=environment.get("GRAPH_TOKEN") or GRAPH_TOKEN,
        access=access,
        parameters={"ForwardUrl": _forward_url(forward_url)} if forward_url else {},
        origins=_origins(environment.get("ALLOWED_ORIGINS") or ""),
        listen=_address(environment.get("LISTEN") or ""),
    )


def with_keys_of_its_own(options: Options) -> Options:
    """Give a run that listens beside loopback keys that nobody knows; those that the user has given stay."""
    if not options.listen:
        return options
    token = secrets.token_urlsafe(32) if options.graph_token == GRAPH_TOKEN else options.graph_token
    made_up = ENDPOINT not in options.access.endpoints and options.access.key_id == Access.key_id
    access = replace(options.access, key_id=secrets.token_hex(16)) if made_up else options.access
    return replace(options, graph_token=token, access=access)


def _address(text: str) -> str | None:
    try:
        return str(IPv4Address(text)) if text else None
    except AddressValueError as error:
        raise BadSetting(f"LISTEN must be an IPv4 address of this machine, as 172.17.0.1, not {text!r}") from error


def _forward_url(text: str) -> str:
    """Check the address of a CRM's webhook as the function does: what customers wrote goes there."""
    try:
        return TypeAdapter(TrustedUrl).validate_python(text)
    except ValidationError as error:
        raise BadSetting(
            "FORWARD_URL must be an https address, or an http one on this machine: http://127.0.0.1:9000/webhook"
        ) from error


def _origins(text: str) -> tuple[str, ...]:
    """Read origins as the template's parameter AllowedOrigins has them, with commas between them."""
    return tuple(_origin("ALLOWED_ORIGINS", part) for part in text.split(",")) if text else ()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise BadSetting(f"API_PORT must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _origin(name: str, text: str) -> str:
    trimmed = text.strip().rstrip("/")
    if not _is_origin(trimmed):
        raise BadSetting(f"{name} must be an origin such as http://127.0.0.1:9000, without user, path or query")
    return urlsplit(trimmed).geturl()


def _is_origin(text: str) -> bool:
    try:
        url = urlsplit(text)
        known = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port of six digits, half an IPv6 address
        return False
    return known and not (url.path or url.query or url.fragment or "@" in url.netloc)


def graph_parameters(graph_url: str) -> dict[str, str]:
    """Give the template's parameters for a Graph: one that is not Meta's sends media from its own origin only."""
    return {"GraphUrl": graph_url} | ({} if graph_url == META_GRAPH else {"MediaHosts": graph_url})


def make_key_pair() -> tuple[str, str]:
    """Give a new P-256 key pair for signed addresses, private and public, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def secret_values(graph_token: str, private_key: str, now: float) -> dict[str, str]:
    """Give the texts of the secrets, by logical id in the template. The app is bound to all numbers."""
    app = {"secrets": [APP_SECRET], "verify_token": VERIFY_TOKEN, "phone_number_ids": "*"}
    graph = {"tokens": {"default": [graph_token]}, "media_token_secrets": [MEDIA_TOKEN_SECRET]}
    signing_key = {"key_id": KEY_ID, "pem": private_key, "active_from": int(now) - 1}
    return {
        "AppsSecret": json.dumps({APP_ID: app}),
        "GraphSecret": json.dumps(graph),
        "SigningKeySecret": json.dumps([signing_key]),
    }


def make_media_token(now: float) -> str:
    """Give a token that opens the media of all numbers, for 30 days."""
    claims = {"exp": int(now) + MEDIA_TOKEN_LIFE, "phone_numbers": ["*"]}
    return jwt.encode(claims, MEDIA_TOKEN_SECRET, algorithm="HS256")
