"""The environment: read as it is in Lambda, and refused loudly when it is wrong."""

import pytest
from pydantic import ValidationError

from inbound.config import (
    FetchSettings,
    ForwardSettings,
    InboxSettings,
    MediaSettings,
    ProxySettings,
    Settings,
    SigningKeySettings,
    SweepSettings,
    WebhookSettings,
)

QUEUE = "https://sqs.eu-central-1.amazonaws.com/1/queue"
COMMON = {"TABLE_NAME": "table", "QUEUE_URL": QUEUE}
STORING = {**COMMON, "BUCKET_NAME": "bucket", "RETENTION_DAYS": "365"}
WEBHOOK = {**STORING, "APPS_SECRET_ID": "apps"}
FORWARD = {"BUCKET_NAME": "bucket", "FORWARD_QUEUE_URL": QUEUE, "FORWARD_URL": "https://crm.example.com/hook?key=1"}
FETCH = {
    **STORING,
    "GRAPH_SECRET_ID": "graph",
    "GRAPH_URL": "https://graph.facebook.com",
    "GRAPH_VERSION": "v26.0",
    "MEDIA_HOSTS": ".fbsbx.com,.fbcdn.net,.whatsapp.net",
    "MAX_MEDIA_BYTES": "104857600",
    "NO_STORAGE_NUMBERS": "",
}
PROXY = {
    **FETCH,
    "SIGNING_KEY_SECRET_ID": "signing-key",
    "EDGE_URL": "https://d111111abcdef8.cloudfront.net",
    "JWKS_URL": "",
    "JWT_ISSUER": "",
    "JWT_AUDIENCE": "",
}
SWEEP = {**COMMON, "NO_STORAGE_NUMBERS": ""}
INBOX = {"TABLE_NAME": "table", "GRAPH_SECRET_ID": "graph", "JWKS_URL": "", "JWT_ISSUER": "", "JWT_AUDIENCE": ""}
SIGNING_KEY = {"SIGNING_KEY_SECRET_ID": "signing-key"}
MEDIA: list[tuple[type[MediaSettings], dict[str, str]]] = [
    (WebhookSettings, WEBHOOK),
    (FetchSettings, FETCH),
    (ProxySettings, PROXY),
    (SweepSettings, SWEEP),
]
ALL = [*MEDIA, (SigningKeySettings, SIGNING_KEY), (ForwardSettings, FORWARD), (InboxSettings, INBOX)]
EVERY_NAME = {*WEBHOOK, *PROXY, *FORWARD}
OPTIONAL = {"NO_STORAGE_NUMBERS", "JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE"}


@pytest.fixture(name="environment", autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in EVERY_NAME:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def setting(environment: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        environment.setenv(name, value)


def test_the_webhook_reads_its_environment(environment: pytest.MonkeyPatch) -> None:
    setting(environment, WEBHOOK)

    assert WebhookSettings.from_environment().model_dump() == {
        "table_name": "table",
        "bucket_name": "bucket",
        "retention_days": 365,
        "queue_url": QUEUE,
        "apps_secret_id": "apps",
        "forward_queue_url": None,
    }


@pytest.mark.parametrize(("text", "url"), [("", None), (QUEUE, QUEUE)])
def test_the_webhook_forwards_only_where_there_is_a_queue(
    environment: pytest.MonkeyPatch, text: str, url: str | None
) -> None:
    setting(environment, {**WEBHOOK, "FORWARD_QUEUE_URL": text})

    assert WebhookSettings.from_environment().forward_queue_url == url


def test_the_forwarder_reads_its_environment(environment: pytest.MonkeyPatch) -> None:
    setting(environment, FORWARD)

    assert ForwardSettings.from_environment().model_dump() == {
        "bucket_name": "bucket",
        "forward_queue_url": QUEUE,
        "forward_url": "https://crm.example.com/hook?key=1",
    }


@pytest.mark.parametrize("url", ["", "http://crm.example.com/hook", "https://user:word@crm.example.com/", "crm"])
def test_nothing_is_forwarded_in_the_open(environment: pytest.MonkeyPatch, url: str) -> None:
    setting(environment, {**FORWARD, "FORWARD_URL": url})

    with pytest.raises(ValidationError, match="forward_url"):
        ForwardSettings.from_environment()


def test_the_proxy_reads_its_environment(environment: pytest.MonkeyPatch) -> None:
    setting(environment, PROXY)

    assert ProxySettings.from_environment().model_dump() == {
        "table_name": "table",
        "bucket_name": "bucket",
        "retention_days": 365,
        "queue_url": QUEUE,
        "graph_secret_id": "graph",
        "graph_url": "https://graph.facebook.com",
        "graph_version": "v26.0",
        "media_hosts": (".fbsbx.com", ".fbcdn.net", ".whatsapp.net"),
        "max_media_bytes": 104_857_600,
        "no_storage_numbers": (),
        "signing_key_secret_id": "signing-key",
        "edge_url": "https://d111111abcdef8.cloudfront.net",
        "jwks_url": None,
        "jwt_issuer": None,
        "jwt_audience": None,
    }


@pytest.mark.parametrize(("kind", "values"), ALL)
def test_each_variable_must_be_there(
    environment: pytest.MonkeyPatch, kind: type[Settings], values: dict[str, str]
) -> None:
    for missing in values.keys() - OPTIONAL:
        setting(environment, values)
        environment.delenv(missing)

        with pytest.raises(ValidationError, match=missing.lower()):
            kind.from_environment()


@pytest.mark.parametrize("absent", sorted(OPTIONAL))
def test_what_is_optional_may_be_left_out(environment: pytest.MonkeyPatch, absent: str) -> None:
    setting(environment, PROXY)
    environment.delenv(absent)

    found = ProxySettings.from_environment()

    assert found.no_storage_numbers == ()
    assert (found.jwks_url, found.jwt_issuer, found.jwt_audience) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ()),
        (" , ,", ()),
        (".fbsbx.com", (".fbsbx.com",)),
        (" .fbsbx.com , http://127.0.0.1:8091 ,", (".fbsbx.com", "http://127.0.0.1:8091")),
        ("media.example.com,https://[::1]:8443", ("media.example.com", "https://[::1]:8443")),
    ],
)
def test_a_list_is_separated_by_commas(environment: pytest.MonkeyPatch, text: str, parts: tuple[str, ...]) -> None:
    setting(environment, {**FETCH, "MEDIA_HOSTS": text})

    assert FetchSettings.from_environment().media_hosts == parts


def test_numbers_are_separated_by_commas(environment: pytest.MonkeyPatch) -> None:
    setting(environment, {**SWEEP, "NO_STORAGE_NUMBERS": " 1, 22 ,"})

    assert SweepSettings.from_environment().no_storage_numbers == ("1", "22")


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com/keys",
        "https://id.example.com:8443/realms/crm/keys?version=1",
        "https://id.example.com",
        "http://127.0.0.1:8091/keys",
        "http://localhost/keys",
        "http://[::1]:8091/keys",
    ],
)
def test_a_jwks_url_comes_over_tls_or_from_this_machine(environment: pytest.MonkeyPatch, url: str) -> None:
    setting(environment, {**PROXY, "JWKS_URL": url, "JWT_ISSUER": "https://id.example.com/", "JWT_AUDIENCE": "media"})

    found = ProxySettings.from_environment()

    assert (found.jwks_url, found.jwt_issuer, found.jwt_audience) == (url, "https://id.example.com/", "media")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETENTION_DAYS", "0"),
        ("RETENTION_DAYS", "-1"),
        ("RETENTION_DAYS", "a year"),
        ("RETENTION_DAYS", "1.5"),
        ("RETENTION_DAYS", ""),
        ("MAX_MEDIA_BYTES", "0"),
        ("MAX_MEDIA_BYTES", "100 MB"),
        ("MAX_MEDIA_BYTES", ""),
        ("GRAPH_URL", ""),
        ("GRAPH_URL", "graph.facebook.com"),
        ("GRAPH_URL", "https://graph.facebook.com/"),
        ("GRAPH_URL", "https://graph.facebook.com/v26.0"),
        ("GRAPH_URL", "ftp://graph.facebook.com"),
        ("GRAPH_URL", " https://graph.facebook.com"),
        ("GRAPH_VERSION", ""),
        ("GRAPH_VERSION", "26.0"),
        ("GRAPH_VERSION", "v26"),
        ("GRAPH_VERSION", "v26.0/"),
        ("GRAPH_VERSION", "v26.0\n"),
        ("GRAPH_VERSION", "latest"),
        ("GRAPH_URL", "https://user:password@graph.facebook.com"),
        ("GRAPH_URL", "https://graph.facebook.com?x"),
        ("GRAPH_URL", "https://graph.facebook.com\\@evil.com"),
        ("MEDIA_HOSTS", "."),
        ("MEDIA_HOSTS", "com"),
        ("MEDIA_HOSTS", ".com"),
        ("MEDIA_HOSTS", "*.fbsbx.com"),
        ("MEDIA_HOSTS", ".fbsbx.com:443"),
        ("MEDIA_HOSTS", ".fbsbx.com,.."),
        ("MEDIA_HOSTS", "https://user@media.example.com"),
        ("MEDIA_HOSTS", "ftp://media.example.com"),
        ("JWKS_URL", "http://id.example.com/keys"),
        ("JWKS_URL", "http://127.0.0.1.example.com/keys"),
        ("JWKS_URL", "http://localhost@id.example.com/keys"),
        ("JWKS_URL", "https://user:password@id.example.com/keys"),
        ("JWKS_URL", "https://id.example.com\\@localhost/keys"),
        ("JWKS_URL", "https://id.example.com/keys#x"),
        ("JWKS_URL", "file:///etc/passwd"),
        ("JWKS_URL", "id.example.com/keys"),
        ("JWKS_URL", "https:///keys"),
        ("JWKS_URL", " https://id.example.com/keys"),
        ("EDGE_URL", ""),
        ("EDGE_URL", "d111111abcdef8.cloudfront.net"),
        ("EDGE_URL", "https://d111111abcdef8.cloudfront.net/"),
    ],
)
def test_a_malformed_variable_fails_the_start_and_is_named(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    setting(environment, {**PROXY, name: value})

    with pytest.raises(ValidationError, match=name.lower()):
        ProxySettings.from_environment()


@pytest.mark.parametrize(("kind", "values"), MEDIA)
def test_settings_never_change(
    environment: pytest.MonkeyPatch, kind: type[MediaSettings], values: dict[str, str]
) -> None:
    setting(environment, values)
    found = kind.from_environment()

    with pytest.raises(ValidationError, match="frozen"):
        found.table_name = "other"  # type: ignore[misc]  # the very mistake that must be refused

    environment.setenv("TABLE_NAME", "other")
    assert found.table_name == "table"
