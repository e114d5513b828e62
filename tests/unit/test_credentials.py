"""Secrets: read over real HTTP, remembered for minutes, and never shown."""

import io
import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter, ValidationError
from werkzeug.wrappers import Request, Response

from inbound.cached import LIFETIME, PAUSE
from inbound.credentials import (
    APPS,
    GRAPH,
    SHORTEST_TOKEN_SECRET,
    SIGNING_KEYS,
    App,
    CachedSecret,
    GraphCredentials,
)
from local.server import serve
from tests.clock import Clock

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

HIDDEN = "EAAG-do-not-show-me"
MISSING = {"__type": "ResourceNotFoundException", "message": "there is none"}


class Manager:
    """Secrets Manager as far as reading one secret goes: answers what it is told to, and counts."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.answers: dict[str, Any] = {}
        self.status = 200
        self.count = 0

    def holds(self, text: str) -> None:
        self.status, self.answers = 200, {"Name": "secret", "SecretString": text}

    def fails(self, status: int = 400, **answers: Any) -> None:
        self.status, self.answers = status, answers or MISSING

    def serve(self, request: Request) -> Response:
        assert request.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
        assert request.get_json(force=True) == {"SecretId": "the-id"}
        self.count += 1
        return Response(json.dumps(self.answers), self.status, mimetype="application/x-amz-json-1.1")


def connected(url: str) -> "SecretsManagerClient":
    return boto3.client(
        "secretsmanager",
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=1, read_timeout=1),
    )


@pytest.fixture(name="service", scope="module")
def _service() -> "Iterator[tuple[Manager, SecretsManagerClient]]":
    manager = Manager()
    with serve(Request.application(manager.serve)) as server:
        yield manager, connected(server.url)


@pytest.fixture(name="manager")
def _manager(service: "tuple[Manager, SecretsManagerClient]") -> Manager:
    manager, _ = service
    manager.reset()
    return manager


@pytest.fixture(name="client")
def _client(service: "tuple[Manager, SecretsManagerClient]") -> "SecretsManagerClient":
    return service[1]


@pytest.fixture(name="secret")
def _secret(client: "SecretsManagerClient", clock: Clock) -> CachedSecret[GraphCredentials]:
    return CachedSecret("the-id", GRAPH, client=lambda: client, clock=clock)


def graph(*tokens: str) -> str:
    return json.dumps({"tokens": {"default": list(tokens)}, "media_token_secrets": ["m" * 32]})


def default(found: GraphCredentials) -> tuple[str, ...]:
    return found.tokens_of("any")


# --- when it is read ----------------------------------------------------------------------------------------


def test_a_secret_is_read_on_first_use_and_then_remembered(
    manager: Manager, clock: Clock, secret: CachedSecret[GraphCredentials]
) -> None:
    manager.holds(graph("one"))
    assert manager.count == 0

    for _ in range(3):
        assert default(secret.get()) == ("one",)
        clock.passes(LIFETIME / 3)

    assert manager.count == 1


def test_a_secret_is_read_again_once_it_is_old(
    manager: Manager, clock: Clock, secret: CachedSecret[GraphCredentials]
) -> None:
    manager.holds(graph("one"))
    secret.get()
    manager.holds(graph("two"))

    clock.passes(LIFETIME)
    assert default(secret.get()) == ("one",)
    clock.passes(1)
    assert default(secret.get()) == ("two",)
    clock.passes(LIFETIME)
    assert default(secret.get()) == ("two",)

    assert manager.count == 2


def test_a_failure_reads_it_again_but_at_most_once_a_minute(
    manager: Manager, clock: Clock, secret: CachedSecret[GraphCredentials]
) -> None:
    manager.holds(graph("one"))
    secret.get()
    manager.holds(graph("two"))

    clock.passes(PAUSE)
    assert default(secret.refreshed()) == ("one",)
    clock.passes(1)
    assert default(secret.refreshed()) == ("two",)
    for _ in range(10):
        secret.refreshed()

    assert manager.count == 2


def test_what_a_failure_has_read_counts_for_everybody(
    manager: Manager, clock: Clock, secret: CachedSecret[GraphCredentials]
) -> None:
    manager.holds(graph("one"))
    secret.get()
    clock.passes(LIFETIME - 1)
    secret.refreshed()
    clock.passes(2)
    secret.get()

    assert manager.count == 2


def test_the_first_use_may_be_after_a_failure(manager: Manager, secret: CachedSecret[GraphCredentials]) -> None:
    manager.holds(graph("one"))

    assert default(secret.refreshed()) == ("one",)
    assert default(secret.get()) == ("one",)
    assert manager.count == 1


def test_many_threads_read_it_once(manager: Manager, secret: CachedSecret[GraphCredentials]) -> None:
    manager.holds(graph("one"))
    found: list[GraphCredentials] = []
    threads = [threading.Thread(target=lambda: found.append(secret.get())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 16
    assert manager.count == 1


# --- when it cannot be read ---------------------------------------------------------------------------------

UNREADABLE: list[dict[str, Any]] = [
    MISSING,
    {"__type": "AccessDeniedException", "message": "no"},
    {"__type": "InternalServiceError", "message": "no"},
    {"SecretString": "{"},
    {"SecretString": ""},
    {"SecretString": "[]"},
    {"SecretString": "null"},
    {"SecretString": json.dumps({"tokens": [HIDDEN]})},
    {"SecretString": json.dumps({"tokens": {"default": HIDDEN}})},
    {"SecretString": json.dumps({"tokens": {"default": [""]}})},
    {"SecretBinary": "e30="},
]


@pytest.mark.parametrize("answer", UNREADABLE, ids=lambda answer: str(answer)[:60])
def test_when_it_cannot_be_read_again_the_last_good_value_stays(
    manager: Manager, clock: Clock, secret: CachedSecret[GraphCredentials], answer: dict[str, Any]
) -> None:
    manager.holds(graph("one"))
    secret.get()
    manager.fails(400 if "__type" in answer else 200, **answer)

    clock.passes(LIFETIME + 1)
    assert default(secret.get()) == ("one",)
    clock.passes(PAUSE + 1)
    assert default(secret.refreshed()) == ("one",)
    assert manager.count == 3

    manager.holds(graph("two"))
    clock.passes(PAUSE + 1)
    assert default(secret.refreshed()) == ("two",)


def test_a_secret_that_cannot_be_read_again_is_not_asked_for_at_every_use(
    manager: Manager, clock: Clock, secret: CachedSecret[GraphCredentials]
) -> None:
    manager.holds(graph("one"))
    secret.get()
    manager.fails(500)
    clock.passes(LIFETIME + 1)

    for _ in range(5):
        secret.get()
        secret.refreshed()

    assert manager.count == 2


def test_when_nobody_answers_the_last_good_value_stays(
    manager: Manager, client: "SecretsManagerClient", clock: Clock
) -> None:
    clients = iter([client, connected("http://127.0.0.1:9")])
    secret = CachedSecret("the-id", GRAPH, client=lambda: next(clients), clock=clock)
    manager.holds(graph("one"))
    secret.get()
    clock.passes(LIFETIME + 1)

    assert default(secret.get()) == ("one",)


@pytest.mark.parametrize("answer", UNREADABLE, ids=lambda answer: str(answer)[:60])
def test_without_any_good_value_the_failure_is_told_and_the_next_use_tries_again(
    manager: Manager, secret: CachedSecret[GraphCredentials], answer: dict[str, Any]
) -> None:
    manager.fails(400 if "__type" in answer else 200, **answer)

    for _ in range(2):
        with pytest.raises((ClientError, BotoCoreError, ValidationError)):
            secret.get()

    manager.holds(graph("one"))
    assert default(secret.get()) == ("one",)


# --- what it may be, and what is never shown ----------------------------------------------------------------


def test_each_secret_is_read_in_its_published_form() -> None:
    apps = APPS.validate_json(
        '{"1": {"secrets": ["now", "before"], "verify_token": "v", "phone_number_ids": ["10", "20"]},'
        ' "2": {"secrets": ["x"], "verify_token": "w", "phone_number_ids": "*", "note": "kept for people"}}'
    )
    now, before = "s" * 32, "t" * 32
    graph_credentials = GRAPH.validate_json(
        f'{{"tokens": {{"10": ["a", "b"], "default": ["c"]}}, "media_token_secrets": ["{now}", "{before}"]}}'
    )
    keys = SIGNING_KEYS.validate_json('[{"key_id": "K1", "pem": "p", "active_from": 1790800000}]')

    assert apps["1"].secrets == ("now", "before")
    assert [apps["1"].owns(number) for number in ("10", "20", "1", "*", "")] == [True, True, False, False, False]
    assert apps["2"].owns("10")
    assert graph_credentials.media_token_secrets == (now, before)
    assert (keys[0].key_id, keys[0].active_from) == ("K1", 1_790_800_000)


@pytest.mark.parametrize(
    ("tokens", "tried"),
    [
        ({"10": ["a", "b"], "default": ["c"]}, ("a", "b")),
        ({"20": ["a"], "default": ["c", "d"]}, ("c", "d")),
        ({"10": [], "default": ["c"]}, ("c",)),
        ({"20": ["a"]}, ()),
        ({}, ()),
    ],
)
def test_a_number_without_tokens_of_its_own_uses_the_default(
    tokens: dict[str, list[str]], tried: tuple[str, ...]
) -> None:
    assert GRAPH.validate_python({"tokens": tokens}).tokens_of("10") == tried


@pytest.mark.parametrize("short", ["s", "s" * 31, "ß" * 15])
def test_a_secret_that_could_be_guessed_from_a_token_is_left_out_and_told(log: io.StringIO, short: str) -> None:
    long, wide = "s" * SHORTEST_TOKEN_SECRET, "ß" * (SHORTEST_TOKEN_SECRET // 2)
    text = json.dumps({"tokens": {"default": ["t"]}, "media_token_secrets": [short, long, wide]})

    found = GRAPH.validate_json(text)

    assert found.media_token_secrets == (long, wide)
    assert found.tokens_of("any") == ("t",)
    assert json.loads(log.getvalue())["message"] == "media_token_secret_too_short"
    assert short not in json.loads(log.getvalue()).values()


def test_an_app_bound_to_no_number_owns_none() -> None:
    assert not App(secrets=("s",), verify_token="v", phone_number_ids=frozenset()).owns("10")


BROKEN: list[tuple[TypeAdapter[Any], str]] = [
    (APPS, f'{{"1": {{"secrets": "{HIDDEN}", "verify_token": "v", "phone_number_ids": "*"}}}}'),
    (APPS, f'{{"1": {{"secrets": ["{HIDDEN}"], "verify_token": "v"}}}}'),
    (APPS, f'{{"1": {{"secrets": [], "verify_token": "{HIDDEN}", "phone_number_ids": "*"}}}}'),
    (APPS, f'{{"1": {{"secrets": ["x"], "verify_token": "", "phone_number_ids": "{HIDDEN}"}}}}'),
    (APPS, f'{{"1": {{"secrets": ["x"], "verify_token": "v", "phone_number_ids": [1, "{HIDDEN}"]}}}}'),
    (APPS, f'{{"1": "{HIDDEN}"}}'),
    (APPS, f'["{HIDDEN}"]'),
    (APPS, f'{{"1": {{"secrets": ["{HIDDEN}"'),
    (APPS, HIDDEN),
    (GRAPH, f'{{"tokens": {{"default": "{HIDDEN}"}}}}'),
    (GRAPH, f'{{"tokens": ["{HIDDEN}"]}}'),
    (GRAPH, f'{{"media_token_secrets": "{HIDDEN}"}}'),
    (GRAPH, f'{{"tokens": {{"default": ["{HIDDEN}"'),
    (GRAPH, HIDDEN),
    (SIGNING_KEYS, f'[{{"key_id": "K", "pem": ["{HIDDEN}"], "active_from": 0}}]'),
    (SIGNING_KEYS, f'[{{"key_id": "K", "pem": "{HIDDEN}"}}]'),
    (SIGNING_KEYS, f'[{{"key_id": "", "pem": "{HIDDEN}", "active_from": "soon"}}]'),
    (SIGNING_KEYS, f'{{"pem": "{HIDDEN}"}}'),
    (SIGNING_KEYS, f'[{{"pem": "{HIDDEN}"'),
]


@pytest.mark.parametrize(("shape", "text"), BROKEN, ids=range(len(BROKEN)))
def test_a_malformed_secret_is_refused_without_showing_it(
    manager: Manager, client: "SecretsManagerClient", shape: TypeAdapter[Any], text: str
) -> None:
    manager.holds(text)

    with pytest.raises(ValidationError) as caught:
        CachedSecret("the-id", shape, client=lambda: client).get()

    assert HIDDEN[:8] not in str(caught.value)
    assert HIDDEN[:8] not in repr(caught.value)


@pytest.mark.parametrize(("shape", "text"), BROKEN, ids=range(len(BROKEN)))
def test_the_log_says_which_secret_is_malformed_and_nothing_of_it(
    manager: Manager,
    client: "SecretsManagerClient",
    clock: Clock,
    log: io.StringIO,
    shape: TypeAdapter[Any],
    text: str,
) -> None:
    secret = CachedSecret("the-id", shape, client=lambda: client, clock=clock)
    manager.holds("[]" if shape is SIGNING_KEYS else "{}")
    secret.get()
    manager.holds(text)
    clock.passes(LIFETIME + 1)

    secret.get()

    assert "the-id" in log.getvalue()
    assert HIDDEN[:8] not in log.getvalue()
