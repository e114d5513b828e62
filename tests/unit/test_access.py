"""Who asks, and what they may open: tokens of every kind, honest and forged."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from werkzeug.wrappers import Request, Response

from inbound.errors import InternalError, Unauthenticated
from local.server import serve
from media_proxy.access import COOKIE, LEEWAY, Scope, _published_keys, scope_of, token_of
from tests.builders import media_token

SECRET, PREVIOUS, OTHER = "s" * 32, "p" * 32, "o" * 32
NUMBER, OTHERS = "100000000000001", "100000000000002"
ALL = Scope(phone_numbers=["*"])

calm = settings(deadline=None, max_examples=120)
Json = dict[str, Any]


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def forged(header: object, claims: object, key: bytes | None = None) -> str:
    """Build a token by hand: libraries refuse to make the dangerous ones."""
    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    signature = b"" if key is None else hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{part(signature)}"


def claims(**more: object) -> Json:
    return {"exp": int(time.time()) + 600, "phone_numbers": ["*"], **more}


def refused(token: str, *secrets: str, jwks_url: str | None = None) -> None:
    with pytest.raises(Unauthenticated):
        scope_of(token, secrets or (SECRET,), jwks_url)


# --- shared secret ------------------------------------------------------------------------------------------


def test_a_token_of_ours_gives_its_scope() -> None:
    token = media_token(SECRET, NUMBER, conversation="c", message="m", name="ignored")

    assert scope_of(token, [SECRET]) == Scope(phone_numbers=[NUMBER], conversation="c", message="m")


def test_the_previous_secret_goes_on_being_accepted() -> None:
    assert scope_of(media_token(PREVIOUS), [SECRET, PREVIOUS]) == ALL


def test_a_forged_token_looks_like_one_by_hand() -> None:
    assert scope_of(forged({"alg": "HS256"}, claims(), SECRET.encode()), [SECRET]) == ALL


@pytest.mark.parametrize("secrets", [(SECRET,), (SECRET, PREVIOUS), ()], ids=["one", "two", "none"])
def test_another_secret_opens_nothing(secrets: tuple[str, ...]) -> None:
    with pytest.raises(Unauthenticated):
        scope_of(media_token(OTHER), secrets)


def test_an_expired_token_opens_nothing_beyond_a_small_difference_of_clocks() -> None:
    assert scope_of(media_token(SECRET, expires_in=-LEEWAY // 2), [SECRET]) == ALL
    refused(media_token(SECRET, expires_in=-LEEWAY - 2))
    refused(media_token(SECRET, expires_in=-86_400))


def test_an_expired_token_of_the_previous_secret_opens_nothing() -> None:
    refused(media_token(PREVIOUS, expires_in=-60), SECRET, PREVIOUS)


def test_a_token_without_an_end_opens_nothing() -> None:
    refused(media_token(SECRET, exp=None))


def test_a_token_of_the_future_opens_nothing_yet() -> None:
    refused(media_token(SECRET, nbf=int(time.time()) + 600))
    refused(media_token(SECRET, iat=int(time.time()) + 600))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "", "hs256", "HS384", "HS512", None, ["HS256"], {}, 5], ids=repr
)
@pytest.mark.parametrize("key", [None, SECRET.encode()], ids=["unsigned", "signed"])
def test_no_other_algorithm_is_taken_from_the_token(algorithm: object, key: bytes | None) -> None:
    refused(forged({"typ": "JWT", "alg": algorithm}, claims(), key))


def test_a_token_without_an_algorithm_or_signature_opens_nothing() -> None:
    refused(forged({"typ": "JWT"}, claims(), SECRET.encode()))
    refused(forged({"alg": "HS256"}, claims()))
    refused(media_token(SECRET).rpartition(".")[0] + ".")
    refused(media_token(SECRET).rpartition(".")[0])


def test_longer_hmacs_of_our_secret_open_nothing() -> None:
    for algorithm in ("HS384", "HS512"):
        refused(jwt.encode(claims(), SECRET * 2, algorithm), SECRET * 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"phone_numbers": "*"},
        {"phone_numbers": NUMBER},
        {"phone_numbers": [1]},
        {"phone_numbers": [["*"]]},
        {"phone_numbers": {"*": 1}},
        {"phone_numbers": True},
        {"phone_numbers": ["x"] * 10_001},
        {"conversation": 1},
        {"conversation": ["c"]},
        {"message": 1},
        {"message": True},
        {"message": {"id": "m"}},
        {"exp": "soon"},
        {"exp": None},
        {"exp": []},
        {"exp": {}},
        {"exp": True},
        {"exp": 1e400},
        {"exp": -1},
        {"nbf": "later"},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_a_claim_of_the_wrong_type_makes_the_token_invalid(wrong: Json) -> None:
    refused(forged({"alg": "HS256"}, claims(**wrong), SECRET.encode()))


@pytest.mark.parametrize("payload", [[], "x", 5, None, [{"exp": 9_999_999_999}]], ids=repr)
def test_claims_that_are_no_object_open_nothing(payload: object) -> None:
    refused(forged({"alg": "HS256"}, payload, SECRET.encode()))


@calm
@given(st.data())
def test_any_changed_character_of_a_token_makes_it_invalid(data: st.DataObject) -> None:
    token = media_token(SECRET, NUMBER)
    place = data.draw(st.integers(0, len(token) - 2))  # the last character has bits that mean nothing
    changed = token[:place] + data.draw(st.characters().filter(lambda char: char != token[place])) + token[place + 1 :]

    refused(changed)


segments = st.sampled_from(
    [part(b"{}"), part(b'{"alg":"HS256"}'), part(b"[" * 7000), part(b"\xff"), "", "=", "é", "\ud800"]
)


@calm
@given(st.text(st.characters(), max_size=80) | st.lists(segments, max_size=5).map(".".join))
def test_no_text_is_a_token_or_a_crash(token: str) -> None:
    refused(token)


def test_an_answer_says_nothing_about_what_was_wrong() -> None:
    details = set()
    for token in ("x", media_token(OTHER), media_token(SECRET, expires_in=-60), forged({"alg": "none"}, claims())):
        with pytest.raises(Unauthenticated) as caught:
            scope_of(token, [SECRET])
        details.add(caught.value.detail)

    assert len(details) == 1


# --- published keys -----------------------------------------------------------------------------------------

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())


def published(algorithm: Any, key: Any, key_id: str) -> Json:
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig"}


class Provider:
    """An OpenID Connect provider's key endpoint, over HTTP. Each URL is another provider."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = [published(RSAAlgorithm, RSA_KEY, "rsa"), published(ECAlgorithm, EC_KEY, "ec")]
        self.answer: bytes | None = None
        self.count = 0

    def serve(self, request: Request) -> Response:
        self.count += 1
        return Response(self.answer if self.answer is not None else json.dumps({"keys": self.keys}))


@pytest.fixture(name="provider")
def _provider() -> Iterator[Provider]:
    provider = Provider()
    with serve(Request.application(provider.serve)) as server:
        provider.url = f"{server.url}/{id(provider)}"
        yield provider


@pytest.mark.parametrize(("key", "algorithm", "key_id"), [(RSA_KEY, "RS256", "rsa"), (EC_KEY, "ES256", "ec")])
def test_a_token_of_the_provider_gives_its_scope(provider: Provider, key: Any, algorithm: str, key_id: str) -> None:
    token = jwt.encode(claims(), key, algorithm, headers={"kid": key_id})

    assert scope_of(token, [SECRET], provider.url) == ALL


def test_tokens_of_ours_need_no_provider(provider: Provider) -> None:
    assert scope_of(media_token(SECRET), [SECRET], provider.url) == ALL
    assert provider.count == 0


def test_keys_are_asked_for_once(provider: Provider) -> None:
    token = jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "ec"})

    for _ in range(5):
        scope_of(token, [], provider.url)

    assert provider.count == 1


def test_a_key_that_the_provider_withdraws_opens_nothing_once_the_answer_is_old(provider: Provider) -> None:
    token = jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "ec"})
    assert scope_of(token, [], provider.url) == ALL
    del provider.keys[1]

    answer = _published_keys(provider.url).jwk_set_cache
    assert answer is not None
    answer.lifespan = 0

    refused(token, jwks_url=provider.url)


def test_made_up_key_ids_do_not_make_us_ask_the_provider_each_time(provider: Provider) -> None:
    for number in range(5):
        refused(jwt.encode(claims(), STRANGER, "ES256", headers={"kid": f"made-up-{number}"}), jwks_url=provider.url)

    assert provider.count == 1


def test_without_a_provider_its_tokens_open_nothing() -> None:
    refused(jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "ec"}))


def test_a_strangers_key_opens_nothing(provider: Provider) -> None:
    refused(jwt.encode(claims(), STRANGER, "ES256", headers={"kid": "ec"}), jwks_url=provider.url)
    refused(jwt.encode(claims(), STRANGER, "ES256", headers={"kid": "unknown"}), jwks_url=provider.url)
    refused(jwt.encode(claims(), STRANGER, "ES256"), jwks_url=provider.url)


def test_a_key_that_a_token_brings_along_opens_nothing(provider: Provider) -> None:
    brought = {"kid": "ec", "jwk": published(ECAlgorithm, STRANGER, "ec"), "jku": "http://127.0.0.1:9/", "x5u": "x"}

    refused(jwt.encode(claims(), STRANGER, "ES256", headers=brought), jwks_url=provider.url)


def test_an_expired_token_of_the_provider_opens_nothing(provider: Provider) -> None:
    refused(jwt.encode(claims(exp=1), EC_KEY, "ES256", headers={"kid": "ec"}), jwks_url=provider.url)


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ec"])
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
@pytest.mark.parametrize("key_id", ["rsa", "ec"])
def test_a_public_key_is_never_taken_for_a_shared_secret(
    provider: Provider, key: Any, algorithm: str, key_id: str
) -> None:
    public = key.public_key()
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ]

    for form in forms:
        refused(forged({"alg": algorithm, "kid": key_id}, claims(), form), jwks_url=provider.url)


@pytest.mark.parametrize(("key", "algorithm", "key_id"), [(RSA_KEY, "RS256", "ec"), (EC_KEY, "ES256", "rsa")])
def test_a_key_of_the_other_kind_opens_nothing(provider: Provider, key: Any, algorithm: str, key_id: str) -> None:
    refused(jwt.encode(claims(), key, algorithm, headers={"kid": key_id}), jwks_url=provider.url)


@pytest.mark.parametrize("algorithm", ["PS256", "RS384", "RS512"])
def test_other_algorithms_of_a_published_key_open_nothing(provider: Provider, algorithm: str) -> None:
    refused(jwt.encode(claims(), RSA_KEY, algorithm, headers={"kid": "rsa"}), jwks_url=provider.url)


@pytest.mark.parametrize("key_id", [5, None, [], {}], ids=repr)
def test_a_key_id_of_the_wrong_type_opens_nothing(provider: Provider, key_id: object) -> None:
    refused(forged({"alg": "ES256", "kid": key_id}, claims(), SECRET.encode()), jwks_url=provider.url)


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"EC"}]}', b"\xff"])
def test_a_provider_that_answers_nonsense_opens_nothing(provider: Provider, answer: bytes) -> None:
    provider.answer = answer

    refused(jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "ec"}), jwks_url=provider.url)


def test_a_provider_that_cannot_be_reached_is_not_the_tokens_fault() -> None:
    with serve(Request.application(lambda request: Response())) as server:
        gone = server.url

    with pytest.raises(InternalError):
        scope_of(jwt.encode(claims(), EC_KEY, "ES256", headers={"kid": "ec"}), (), gone)


# --- scope --------------------------------------------------------------------------------------------------


def opens(scope: Scope, number: str = NUMBER, contact: str | None = "c", ids: tuple[str, ...] = ("m",)) -> bool:
    return scope.opens(phone_number_id=number, contact_id=contact, message_ids=ids)


@pytest.mark.parametrize(
    ("bounds", "opened"),
    [
        ({}, False),
        ({"phone_numbers": []}, False),
        ({"phone_numbers": ["*"]}, True),
        ({"phone_numbers": [NUMBER]}, True),
        ({"phone_numbers": [OTHERS, NUMBER]}, True),
        ({"phone_numbers": [OTHERS]}, False),
        ({"phone_numbers": [NUMBER[:-1]]}, False),
        ({"phone_numbers": [NUMBER + "*"]}, False),
        ({"phone_numbers": [""]}, False),
        ({"conversation": "c"}, True),
        ({"conversation": "other"}, False),
        ({"conversation": "*"}, False),
        ({"conversation": ""}, False),
        ({"message": "m"}, True),
        ({"message": "other"}, False),
        ({"message": "*"}, False),
        ({"message": ""}, False),
        ({"phone_numbers": [NUMBER], "conversation": "c", "message": "m"}, True),
        ({"phone_numbers": ["*"], "conversation": "other"}, False),
        ({"phone_numbers": ["*"], "message": "other"}, False),
        ({"phone_numbers": [OTHERS], "conversation": "c"}, False),
        ({"phone_numbers": [OTHERS], "message": "m"}, False),
        ({"phone_numbers": [], "conversation": "c"}, False),
        ({"conversation": "c", "message": "other"}, False),
        ({"conversation": "other", "message": "m"}, False),
        ({"phone_numbers": None, "conversation": None, "message": None}, False),
    ],
    ids=str,
)
def test_every_bound_that_is_named_must_hold(bounds: Json, opened: bool) -> None:
    assert opens(Scope(**bounds)) == opened
    assert (
        opens(scope_of(forged({"alg": "HS256"}, {"exp": 9_999_999_999, **bounds}, SECRET.encode()), [SECRET])) == opened
    )


def test_a_message_may_be_bound_by_its_old_id() -> None:
    assert opens(Scope(message="old"), ids=("old", "m"))
    assert opens(Scope(message="m"), ids=("old", "m"))
    assert not opens(Scope(message="ol"), ids=("old", "m"))


def test_a_message_without_a_contact_is_in_no_conversation() -> None:
    for conversation in ("c", "", "None", "null"):
        assert not opens(Scope(conversation=conversation), contact=None)
    assert opens(ALL, contact=None)


maybe = st.none() | st.sampled_from(["a", "b"])


@calm
@given(st.none() | st.lists(st.sampled_from(["a", "b", "*"]), max_size=2), maybe, maybe)
def test_a_further_bound_never_opens_more(numbers: list[str] | None, conversation: str | None, one: str | None) -> None:
    scope = Scope(phone_numbers=numbers, conversation=conversation, message=one)
    wider = [
        Scope(phone_numbers=numbers, conversation=conversation),
        Scope(phone_numbers=numbers, message=one),
        Scope(conversation=conversation, message=one),
    ]

    if opens(scope, "a", "a", ("a",)):
        bounded = [each for each in wider if each != Scope()]
        assert all(opens(each, "a", "a", ("a",)) for each in bounded)


# --- where a token stands in a request ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "cookies", "query", "token"),
    [
        ({"authorization": "Bearer a"}, [f"{COOKIE}=b"], {"token": "c"}, "a"),
        ({"authorization": "bearer   a  "}, [], {}, "a"),
        ({"authorization": "BEARER a"}, [], {}, "a"),
        ({}, [f"{COOKIE}=b"], {"token": "c"}, "b"),
        ({}, [], {"token": "c"}, "c"),
        ({"authorization": "Basic dTpw"}, [f"{COOKIE}=b"], {}, "b"),
        ({"authorization": "Basic dTpw"}, [], {"token": "c"}, "c"),
        ({"authorization": ""}, [], {"token": "c"}, "c"),
        ({"authorization": "Bearer"}, [f"{COOKIE}=b"], {"token": "c"}, ""),
        ({}, ["other=x", f" {COOKIE}=b"], {}, "b"),
        ({}, [f"other=x; {COOKIE}=b; more=y"], {}, "b"),
        ({}, [f'{COOKIE}="b"'], {}, "b"),
        ({}, [f"not_{COOKIE}=x", f"{COOKIE}_old=y"], {"token": "c"}, "c"),
        ({}, ["b@d=x", f"{COOKIE}=b"], {}, "b"),
    ],
    ids=str,
)
def test_the_first_place_that_holds_a_token_decides(headers: Json, cookies: list[str], query: Json, token: str) -> None:
    assert token_of(headers, cookies, query) == token


def test_a_wrong_bearer_is_not_saved_by_a_good_cookie() -> None:
    good = media_token(SECRET)

    refused(token_of({"authorization": "Bearer wrong"}, [f"{COOKIE}={good}"], {"token": good}))
    refused(token_of({"authorization": "Bearer"}, [f"{COOKIE}={good}"], {"token": good}))


@pytest.mark.parametrize("query", [{}, {"token": ""}, {"Token": "x"}], ids=str)
def test_without_a_token_nobody_is_anybody(query: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        token_of({"x-authorization": "Bearer a"}, ["other=x"], query)


@calm
@given(st.text(st.characters()), st.lists(st.text(st.characters())), st.text(st.characters()))
def test_no_header_cookie_or_query_makes_reading_them_crash(header: str, cookies: list[str], query: str) -> None:
    try:
        token = token_of({"authorization": header}, cookies, {"token": query})
    except Unauthenticated:
        assert not query
    else:
        refused(token)
