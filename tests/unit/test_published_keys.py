"""The provider's keys over real HTTP: how often they are read, what covers up an outage, and what is not believed."""

import io
import json
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from werkzeug.wrappers import Request, Response

from inbound import observability, published_keys
from inbound.cached import LIFETIME, PAUSE
from inbound.errors import InternalError, Unauthenticated
from inbound.published_keys import LARGEST, REST, TRUSTED, PublishedKeys
from local.server import serve
from tests.clock import Clock
from tests.unit.test_jwks import document, jwk

FIRST, SECOND = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
RSA_KEY = rsa.generate_private_key(65537, 2048)


class Provider:
    """An OpenID Connect provider's key endpoint: gives its keys, or whatever it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Callable[[], Response] = lambda: Response(document(jwk(FIRST, "first")))
        self.requests: list[Request] = []

    def publishes(self, **keys: Any) -> None:
        text = document(*(jwk(key, key_id) for key_id, key in keys.items()))
        self.answer = lambda: Response(text)

    def says(self, *args: Any, **kwargs: Any) -> None:
        self.answer = lambda: Response(*args, **kwargs)

    def serve(self, request: Request) -> Response:
        self.requests.append(request)
        return self.answer()

    @property
    def count(self) -> int:
        return len(self.requests)


@pytest.fixture(name="provider")
def _provider() -> Iterator[Provider]:
    provider = Provider()
    with serve(Request.application(provider.serve)) as server:
        provider.url = f"{server.url}/jwks"
        yield provider


@pytest.fixture(name="keys")
def _keys(provider: Provider, clock: Clock) -> PublishedKeys:
    return PublishedKeys(provider.url, clock)


@pytest.fixture(name="metrics", autouse=True)
def _metrics() -> Iterator[Any]:
    observability.metrics.clear_metrics()
    yield observability.metrics
    observability.metrics.clear_metrics()


def is_known(keys: PublishedKeys, key_id: str | None, key: Any = FIRST) -> bool:
    try:
        found = keys.key("ES256", key_id)
    except Unauthenticated:
        return False
    assert found.public_numbers() == key.public_key().public_numbers()
    return True


# --- how often they are read --------------------------------------------------------------------------------


def test_keys_are_read_once_and_remembered(provider: Provider, keys: PublishedKeys, clock: Clock) -> None:
    assert provider.count == 0

    for _ in range(5):
        assert is_known(keys, "first")
        clock.passes(LIFETIME / 5)

    assert provider.count == 1


def test_many_at_once_read_them_once(provider: Provider, keys: PublishedKeys) -> None:
    found: list[bool] = []
    threads = [Thread(target=lambda: found.append(is_known(keys, "first"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [True] * 12
    assert provider.count == 1


def test_a_new_key_of_the_provider_is_believed_with_its_first_token(
    provider: Provider, keys: PublishedKeys, clock: Clock
) -> None:
    assert is_known(keys, "first")
    provider.publishes(first=FIRST, second=SECOND)
    clock.passes(PAUSE + 1)

    assert is_known(keys, "second", SECOND)
    assert is_known(keys, "first")
    assert provider.count == 2


def test_made_up_key_ids_make_us_read_the_keys_once_a_minute_at_most(
    provider: Provider, keys: PublishedKeys, clock: Clock
) -> None:
    for number in range(600):
        assert not is_known(keys, f"made-up-{number}")
        clock.passes(1)

    assert provider.count == 10


@pytest.mark.parametrize(
    "made_up", [None, "", "x" * 10_000, "\ud800", "first\n", "FIRST"], ids=lambda text: repr(text)[:20]
)
def test_an_odd_key_id_is_an_unknown_one(provider: Provider, keys: PublishedKeys, made_up: str | None) -> None:
    provider.publishes(first=FIRST, second=SECOND)

    assert not is_known(keys, made_up)
    assert provider.count == 1


def test_a_key_that_the_provider_withdraws_is_forgotten_once_the_answer_is_old(
    provider: Provider, keys: PublishedKeys, clock: Clock
) -> None:
    assert is_known(keys, "first")
    provider.publishes(second=SECOND)

    clock.passes(LIFETIME + 1)

    assert not is_known(keys, "first")


# --- when they cannot be read -------------------------------------------------------------------------------


FAILURES: list[Any] = [
    {"response": b"", "status": 500},
    {"response": b"", "status": 404},
    {"response": document(jwk(SECOND, "second")), "status": 203},
    {"response": b"<html>Sign in</html>"},
    {"response": b'{"keys": []}'},
    {"response": document(jwk(SECOND, "second")) + b" " * LARGEST},
]


@pytest.mark.parametrize("failure", FAILURES, ids=range(len(FAILURES)))
def test_while_they_cannot_be_read_the_last_ones_are_used_for_hours_and_not_for_ever(
    provider: Provider, keys: PublishedKeys, clock: Clock, failure: Any
) -> None:
    assert is_known(keys, "first")
    provider.says(**failure)

    for _ in range(5):
        clock.passes(TRUSTED / 5)
        assert is_known(keys, "first")
        assert not is_known(keys, "second")

    clock.passes(LIFETIME + 1)
    with pytest.raises(InternalError):
        keys.key("ES256", "first")
    provider.publishes(first=FIRST)
    clock.passes(REST)
    assert is_known(keys, "first")


@pytest.mark.parametrize("failure", FAILURES, ids=range(len(FAILURES)))
def test_before_the_first_good_answer_it_is_our_fault_and_the_provider_gets_some_rest(
    provider: Provider, keys: PublishedKeys, clock: Clock, failure: Any
) -> None:
    provider.says(**failure)

    for _ in range(10):
        with pytest.raises(InternalError) as caught:
            keys.key("ES256", "first")
    assert provider.count == 1
    assert caught.value.retryable

    provider.publishes(first=FIRST)
    clock.passes(REST)
    assert is_known(keys, "first")


def test_a_provider_that_is_not_there_is_our_fault() -> None:
    with pytest.raises(InternalError):
        PublishedKeys("http://127.0.0.1:9/jwks").key("ES256", "first")


def test_an_outage_is_counted_and_logged_without_the_address(
    provider: Provider, keys: PublishedKeys, clock: Clock, log: io.StringIO, metrics: Any
) -> None:
    is_known(keys, "first")
    provider.says("", 500)
    clock.passes(LIFETIME + 1)

    assert is_known(keys, "first")

    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["level"], line["message"], line["error"]) == ("ERROR", "jwks_not_readable", "HTTP 500.")
    assert provider.url not in log.getvalue()
    assert metrics.metric_set["JwksUnreadable"]["Value"] == [1.0]


def test_what_the_network_says_does_not_reach_the_log(
    provider: Provider, clock: Clock, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = PublishedKeys(f"{provider.url}?tenant=secret", clock)
    is_known(keys, "first")
    monkeypatch.setattr(keys, "_url", "http://127.0.0.1:9/jwks?tenant=secret")
    clock.passes(LIFETIME + 1)

    assert is_known(keys, "first")

    assert '"error":"ConnectionError"' in log.getvalue()
    assert "tenant" not in log.getvalue()


def test_what_the_network_says_does_not_reach_the_log_either_while_nothing_is_known(log: io.StringIO) -> None:
    keys = PublishedKeys("http://127.0.0.1:9/jwks-of-a-tenant")

    with pytest.raises(InternalError) as refused:
        keys.key("ES256", "first")
    observability.logger.error("internal_error", exc_info=refused.value)

    assert "KeysUnreadable: ConnectionError" in log.getvalue()
    assert "jwks-of-a-tenant" not in log.getvalue()


# --- whom we ask, and what we read --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_no_key_set(provider: Provider, keys: PublishedKeys, status: int) -> None:
    provider.says(document(jwk(FIRST, "first")), status, {"Location": f"{provider.url}/elsewhere"})

    with pytest.raises(InternalError):
        keys.key("ES256", "first")

    assert provider.count == 1


def test_a_document_is_read_up_to_its_limit_and_no_further(provider: Provider, keys: PublishedKeys) -> None:
    text = document(jwk(FIRST, "first"))
    provider.says(text + b" " * (LARGEST - len(text)))

    assert is_known(keys, "first")


def test_a_document_without_end_is_not_read_to_its_end(provider: Provider, keys: PublishedKeys) -> None:
    sent = []

    def blocks() -> Iterator[bytes]:
        for _ in range(4000):
            sent.append(1)
            yield b" " * 16_384

    provider.says(blocks())

    with pytest.raises(InternalError):
        keys.key("ES256", "first")

    assert len(sent) < 4000


@pytest.mark.parametrize("pause", [0.05, 3.0], ids=["drips", "is silent"])
def test_a_slow_provider_does_not_hold_us(
    provider: Provider, keys: PublishedKeys, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_keys, "LONGEST", 0.3)
    monkeypatch.setattr(published_keys, "TIMEOUTS", (0.3, 0.3))

    def blocks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" "
            time.sleep(pause / 2)
            yield b" "
            time.sleep(pause / 2)

    provider.says(blocks())
    begun = time.monotonic()

    with pytest.raises(InternalError):
        keys.key("ES256", "first")

    assert time.monotonic() - begun < 1.2


def test_neither_proxy_nor_netrc_of_the_environment_has_a_say(
    provider: Provider, mislead: Callable[[str], None]
) -> None:
    mislead("http://127.0.0.1:9")

    assert is_known(PublishedKeys(provider.url), "first")

    (request,) = provider.requests
    assert "Authorization" not in request.headers
    assert request.headers["User-Agent"].startswith("whatsapp-inbound-media/")


def test_rsa_keys_are_keys_as_well(provider: Provider, keys: PublishedKeys) -> None:
    provider.publishes(one=RSA_KEY)

    assert keys.key("RS256", "one").public_numbers() == RSA_KEY.public_key().public_numbers()
    with pytest.raises(Unauthenticated):
        keys.key("ES256", "one")
