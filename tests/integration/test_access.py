"""Who gets in, and what those who do not can find out: through the real handler."""

import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.wrappers import Request, Response

from inbound.media import contact_id
from local.server import serve
from tests import builders
from tests.builders import Json
from tests.integration import system as systems
from tests.integration.system import System
from tests.unit.test_jwks import document, jwk

UNKNOWN = "a" * 26
OURS, THEIRS = systems.NUMBER_A, systems.NUMBER_B


# --- what is unknown, and what is not yours -----------------------------------------------------------------


def ask(system: System, own_id: str, token: str, **options: Any) -> tuple[int, bytes, Json, list[str]]:
    """Ask for a message; give status, body, headers, and the calls to AWS that it took."""
    system.aws.forget()
    answer = system.get(own_id, token, **options)
    own = {"Apigw-Requestid", "Date"}
    headers = {name: value for name, value in answer.headers.items() if name not in own}
    return answer.status_code, answer.content, headers, list(system.aws.calls)


def alias(system: System, message_id: str) -> str:
    """Let an old id stand for a message."""
    old_id = builders.any_media_id()
    system.put({"pk": f"MSG#{old_id}", "sk": "ALIAS", "message_id": message_id})
    return old_id


def erased(system: System, *, gone: bool, **fields: Any) -> str:
    """Receive a message and erase it, as tools.erase does; its item may still be there for a moment."""
    own_id = system.receive(number=OURS, **fields)
    system.put({"pk": f"MSG#{own_id}", "sk": "ERASED", "ttl": systems.later(86_400)})
    if gone:
        key = {"pk": {"S": f"MSG#{own_id}"}, "sk": {"S": "MESSAGE"}}
        system.client("dynamodb").delete_item(TableName=system.stack.table_name, Key=key)
    return own_id


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "HEAD"},
        {"headers": {"Accept": "application/json"}},
        {"params": {"retry": "1"}},
        {"params": {"download": "1"}},
    ],
    ids=str,
)
def test_what_is_not_given_looks_unknown_in_answer_and_calls(system: System, options: Json) -> None:
    phone = builders.any_phone()
    mine, other = system.receive(number=OURS, sender=phone), system.receive(number=OURS)
    foreign = system.receive(number=THEIRS, sender=phone)
    numbers = {"phone_numbers": [OURS]}
    conversation = {"phone_numbers": None, "conversation": contact_id(OURS, phone)}
    one = {"phone_numbers": None, "message": mine}
    refused: list[tuple[Json, str]] = [
        (numbers, foreign),
        (numbers, erased(system, gone=False)),
        (numbers, erased(system, gone=True)),
        (numbers, alias(system, foreign)),
        (numbers, alias(system, erased(system, gone=False))),
        (numbers, alias(system, erased(system, gone=True))),
        (numbers, alias(system, UNKNOWN)),
        (numbers, alias(system, alias(system, mine))),
        (conversation, other),
        (conversation, foreign),
        (conversation, alias(system, other)),
        (conversation, erased(system, gone=False, sender=phone)),
        (one, other),
        (one, foreign),
        (one, alias(system, other)),
        ({"phone_numbers": [THEIRS], "message": mine}, mine),
        ({"phone_numbers": [OURS], "conversation": "other"}, mine),
        ({"phone_numbers": []}, mine),
        ({"phone_numbers": None}, mine),
        ({"phone_numbers": ["*"]}, erased(system, gone=True)),
    ]
    ask(system, UNKNOWN, system.token())  # the process has read its secrets

    for claims, own_id in refused:
        token = system.token(**claims)
        unknown = ask(system, UNKNOWN, token, **options)
        assert unknown[0] == 404
        # Whose other id a conversation's contact may be is looked up, found or not.
        assert unknown[3] == ["Query", "Query", *(["BatchGetItem"] if claims == conversation else [])]
        assert ask(system, own_id, token, **options) == unknown


def test_what_is_given_takes_one_read_and_by_an_old_id_two(system: System) -> None:
    own_id = system.receive(number=OURS)
    old_id = alias(system, own_id)
    token = system.token(phone_numbers=[OURS])
    ask(system, own_id, token)

    assert ask(system, own_id, token)[::3] == (302, ["Query"])
    assert ask(system, old_id, token)[::3] == (302, ["Query", "Query"])
    by_old_id = system.token(phone_numbers=None, message=old_id)
    assert ask(system, old_id, by_old_id)[0] == 302
    assert ask(system, own_id, by_old_id)[0] == 404


# --- where tokens stand -------------------------------------------------------------------------------------


def event(system: System, **options: Any) -> Json:
    path = f"/media/messages/{UNKNOWN}"
    return builders.http_event("GET", path, route="/media/messages/{message_id}", **options)


def test_no_form_of_a_request_gets_in_or_makes_us_fail(system: System) -> None:
    good = system.stack.media_token
    header = f"Bearer {good}"
    cookie = f"media_token={good}"
    strange = [
        "",
        " ",
        "\0",
        "ä",
        "\ud800",
        "\U0001f4a9",
        "x" * 20_000,
        "." * 20_000,
        "a.b.c",
        "\r\n",
    ]
    requests_: list[Json] = [
        {},
        {"headers": {"Authorization": f"{header},{header}"}},
        {"headers": {"Authorization": f"{header}, {header}"}},
        {"headers": {"Authorization": f"Bearer {good} {good}"}},
        {"headers": {"Authorization": "Bearer"}, "cookies": [cookie], "query": {"token": good}},
        {"headers": {"Authorization": "Bearer "}, "cookies": [cookie], "query": {"token": good}},
        {"headers": {"Authorization": f"Basic {good}"}},
        {"headers": {"Authorization": good}},
        {"headers": {"X-Authorization": header}},
        {"headers": {"Cookie": "media_token="}, "query": {"token": good}},
        {"cookies": ["media_token="], "query": {"token": good}},
        {"cookies": [f"media_token={good}{good}"]},
        {"cookies": [f'media_token="{good}']},
        {"cookies": [f'media_token="{good}\\000"']},
        {"cookies": [f"media_token=x; {cookie}"]},
        {"cookies": ["media_token=x", cookie], "query": {"token": good}},
        {"cookies": [f"Media_Token={good}"]},
        {"query": {"token": f"{good},{good}"}},
        {"query": {"token": ""}},
        {"query": {"token[]": good, "TOKEN": good}},
        *({"headers": {"Authorization": f"Bearer {text}"}} for text in strange),
        *({"headers": {"Authorization": f"Bearer {good}{text}"}} for text in strange[2:-1]),
        *({"headers": {"Authorization": f"{text}{header}"}} for text in strange[2:-1]),
        *({"cookies": [f"media_token={text}"]} for text in strange),
        *({"cookies": [text, f"{text}=x", f"media_token={text};{text}"]} for text in strange),
        *({"headers": {"Cookie": f"media_token={text}"}} for text in strange),
        *({"query": {"token": text}} for text in strange if text != "\ud800"),
    ]
    events = [event(system, **one) for one in requests_]
    lone = event(system)
    lone["queryStringParameters"] = {"token": "\ud800"}
    system.aws.forget()

    report = system.run("MediaProxyFunction", *events, lone)

    answers = [(answer["statusCode"], json.loads(answer["body"])["code"]) for answer in report["answers"]]
    assert answers == [(401, "unauthenticated")] * (len(requests_) + 1)
    assert {answer["body"] for answer in report["answers"]} == {
        report["answers"][0]["body"],
        report["answers"][1]["body"],
    }
    assert set(system.aws.calls) == {"GetSecretValue"}


# --- tokens of an identity provider -------------------------------------------------------------------------

KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER, AUDIENCE = "https://id.example.com/", "media"


class Provider:
    """An OpenID Connect provider's key endpoint."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.count = 0

    def serve(self, request: Request) -> Response:
        self.count += 1
        return Response(document(jwk(KEY, "one")), self.status)


@pytest.fixture(name="provider")
def _provider() -> Iterator[Provider]:
    provider = Provider()
    with serve(Request.application(provider.serve)) as server:
        provider.url = f"{server.url}/jwks"
        yield provider


def issued(key_id: str = "one", **claims: object) -> str:
    payload = {"exp": int(time.time()) + 60, "iss": ISSUER, "aud": AUDIENCE, "phone_numbers": [OURS], **claims}
    return jwt.encode(payload, KEY, "ES256", headers={"kid": key_id})


def view(own_id: str, token: str) -> Json:
    path, route = f"/media/messages/{own_id}", "/media/messages/{message_id}"
    return builders.http_event("GET", path, headers={"Authorization": f"Bearer {token}"}, route=route)


def test_a_token_of_the_provider_opens_what_its_scope_says(system: System, provider: Provider) -> None:
    mine, foreign = system.receive(number=OURS), system.receive(number=THEIRS)
    tokens = [issued(), issued(aud="other"), issued(iss="other"), *(issued(f"made-up-{n}") for n in range(5))]
    events = [view(mine, token) for token in tokens]
    variables = {"JWKS_URL": provider.url, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}

    report = system.run("MediaProxyFunction", *events, view(foreign, issued()), **variables)

    assert [answer["statusCode"] for answer in report["answers"]] == [302, *[401] * 7, 404]
    assert provider.count == 1
    assert "JwksUnreadable" not in report["metrics"]


def test_without_a_provider_nobody_is_asked(system: System, provider: Provider) -> None:
    report = system.run("MediaProxyFunction", view(UNKNOWN, issued()))

    assert report["answers"][0]["statusCode"] == 401
    assert report["heavy"] == []
    assert provider.count == 0


def test_a_provider_that_has_never_answered_is_our_fault_and_asked_again_later(
    system: System, provider: Provider
) -> None:
    provider.status = 503

    report = system.run("MediaProxyFunction", *[view(UNKNOWN, issued())] * 4, JWKS_URL=provider.url)

    for answer in report["answers"]:
        problem = json.loads(answer["body"])
        assert (answer["statusCode"], problem["code"], problem["retryable"]) == (500, "internal_error", True)
        assert problem["detail"].startswith("Request ")
    assert provider.count == 1
    assert report["metrics"]["JwksUnreadable"] == [1.0]


def test_a_provider_that_is_down_stops_nobody_with_a_token_of_ours(system: System, provider: Provider) -> None:
    own_id = system.receive(number=OURS)
    provider.status = 503

    report = system.run("MediaProxyFunction", view(own_id, system.token()), JWKS_URL=provider.url)

    assert report["answers"][0]["statusCode"] == 302
    assert provider.count == 0


def test_a_key_set_without_tls_from_elsewhere_fails_the_start(system: System) -> None:
    with pytest.raises(AssertionError, match="jwks_url"):
        system.run("MediaProxyFunction", JWKS_URL="http://id.example.com/keys")


def test_a_bearer_in_the_old_path_is_checked_as_well(system: System) -> None:
    own_id = system.receive(number=THEIRS)
    url = f"{system.stack.api_url}/api/media/messages/{own_id}"

    def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(url, headers=headers, allow_redirects=False, timeout=20).status_code

    assert status(system.token(phone_numbers=[OURS])) == 404
    assert status(system.token(phone_numbers=[THEIRS], expires_in=-60)) == 401
    assert status(system.token(phone_numbers=[THEIRS])) == 302
