"""Who asks, and what they may open: tokens of every kind, honest and forged."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound import jwks
from inbound.access import COOKIE, LEEWAY, Provider, Scope, scope_of, token_of
from inbound.errors import InternalError, Unauthenticated
from tests.builders import media_token
from tests.unit.test_jwks import document, jwk

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


def refused(token: str, *secrets: str, provider: Provider | None = None) -> None:
    with pytest.raises(Unauthenticated):
        scope_of(token, secrets or (SECRET,), provider)


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
    token = forged({"typ": "JWT", "alg": algorithm}, claims(), key)

    refused(token)
    with pytest.raises(Unauthenticated):
        scope_of(token, [SECRET], Provider(lambda *_: pytest.fail("the provider was asked")))


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
STRANGE_RSA = rsa.generate_private_key(65537, 2048)
KEYS = jwks.published(document(jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec")))
ISSUER, AUDIENCE = "https://id.example.com/", "media"


def key_of(algorithm: str, key_id: str | None) -> Any:
    found = jwks.chosen(KEYS, algorithm, key_id)
    if found is None:
        raise Unauthenticated
    return found.key


PROVIDER = Provider(key_of)
STRICT = Provider(key_of, ISSUER, AUDIENCE)


def issued(key: Any = EC_KEY, *, headers: Json | None = None, **more: object) -> str:
    """Mint a token of the provider; a claim of None is left out."""
    algorithm, key_id = ("RS256", "rsa") if isinstance(key, rsa.RSAPrivateKey) else ("ES256", "ec")
    payload = {name: value for name, value in claims(**more).items() if value is not None}
    return jwt.encode(payload, key, algorithm, headers={"kid": key_id} if headers is None else headers)


def hand_made(header: Json, key: Any = EC_KEY, **more: object) -> str:
    """Sign any header with a good key: libraries refuse to write some of them."""
    signed = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims(**more)).encode())}"
    if isinstance(key, rsa.RSAPrivateKey):
        return f"{signed}.{part(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
    return f"{signed}.{part(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ec"])
def test_a_token_of_the_provider_gives_its_scope(key: Any) -> None:
    assert scope_of(issued(key), [SECRET], PROVIDER) == ALL


def test_a_provider_token_by_hand_is_a_token() -> None:
    assert scope_of(hand_made({"alg": "ES256", "kid": "ec"}), [], PROVIDER) == ALL
    assert scope_of(hand_made({"alg": "RS256", "kid": "rsa"}, RSA_KEY), [], PROVIDER) == ALL


def test_tokens_of_ours_need_no_provider() -> None:
    def asked(algorithm: str, key_id: str | None) -> Any:
        pytest.fail("nobody needs to be asked")

    assert scope_of(media_token(SECRET), [SECRET], Provider(asked, ISSUER, AUDIENCE)) == ALL


def test_without_a_provider_its_tokens_open_nothing() -> None:
    refused(issued())


@pytest.mark.parametrize("key", [STRANGER, STRANGE_RSA], ids=["ec", "rsa"])
@pytest.mark.parametrize("headers", [None, {"kid": "unknown"}, {}], ids=["known id", "unknown id", "no id"])
def test_a_strangers_key_opens_nothing(key: Any, headers: Json | None) -> None:
    refused(issued(key, headers=headers), provider=PROVIDER)


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_what_a_token_says_of_keys_is_ignored(algorithm: str) -> None:
    stranger, good = (STRANGER, EC_KEY) if algorithm == "ES256" else (STRANGE_RSA, RSA_KEY)
    key_id = "ec" if algorithm == "ES256" else "rsa"
    brought = {"kid": key_id, "jwk": jwk(stranger, key_id), "jku": "http://127.0.0.1:9/", "x5u": "x", "x5c": ["x"]}

    refused(issued(stranger, headers=brought), provider=PROVIDER)
    assert scope_of(issued(good, headers=brought), [], PROVIDER) == ALL


def test_an_expired_token_of_the_provider_opens_nothing() -> None:
    assert scope_of(issued(exp=int(time.time()) - LEEWAY // 2), [], PROVIDER) == ALL
    refused(issued(exp=int(time.time()) - LEEWAY - 2), provider=PROVIDER)


def test_a_token_of_the_provider_without_an_end_or_of_the_future_opens_nothing() -> None:
    for wrong in ({"exp": None}, {"nbf": int(time.time()) + 600}, {"iat": int(time.time()) + 600}):
        refused(issued(**wrong), provider=PROVIDER)


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["rsa", "ec"])
@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
@pytest.mark.parametrize("key_id", ["rsa", "ec", None])
def test_a_public_key_is_never_taken_for_a_shared_secret(key: Any, algorithm: str, key_id: str | None) -> None:
    public = key.public_key()
    forms = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwk(key, key_id)).encode(),
    ]

    for form in forms:
        header = {"alg": algorithm} if key_id is None else {"alg": algorithm, "kid": key_id}
        refused(forged(header, claims(), form), provider=PROVIDER)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ({"alg": "RS256", "kid": "ec"}, EC_KEY),
        ({"alg": "RS256", "kid": "ec"}, RSA_KEY),
        ({"alg": "ES256", "kid": "rsa"}, RSA_KEY),
        ({"alg": "ES256", "kid": "rsa"}, EC_KEY),
        ({"alg": "HS256", "kid": "ec"}, EC_KEY),
        ({"alg": "none", "kid": "ec"}, EC_KEY),
        ({"alg": "PS256", "kid": "rsa"}, RSA_KEY),
        ({"alg": "RS384", "kid": "rsa"}, RSA_KEY),
        ({"alg": "ES384", "kid": "ec"}, EC_KEY),
        ({"alg": "EdDSA", "kid": "ec"}, EC_KEY),
        ({"alg": ["ES256"], "kid": "ec"}, EC_KEY),
        ({"alg": None, "kid": "ec"}, EC_KEY),
        ({"kid": "ec"}, EC_KEY),
        ({"alg": "ES256", "kid": 5}, EC_KEY),
        ({"alg": "ES256", "kid": None}, EC_KEY),
        ({"alg": "ES256", "kid": []}, EC_KEY),
        ({"alg": "ES256", "kid": {}}, EC_KEY),
        ({"alg": "ES256"}, EC_KEY),
        ({"alg": "ES256", "kid": "ec", "b64": False, "crit": ["b64"]}, EC_KEY),
        ({"alg": "ES256", "kid": "ec", "b64": True, "crit": ["b64"]}, EC_KEY),
        ({"alg": "ES256", "kid": "ec", "crit": ["exp"], "exp": 1}, EC_KEY),
        ({"alg": "ES256", "kid": "ec", "crit": []}, EC_KEY),
        ({"alg": "ES256", "kid": "ec", "crit": None}, EC_KEY),
    ],
    ids=lambda own: str(own) if isinstance(own, dict) else type(own).__name__,
)
def test_a_good_key_opens_nothing_under_any_other_header(header: Json, key: Any) -> None:
    refused(hand_made(header, key), provider=PROVIDER)


@pytest.mark.parametrize("algorithm", ["PS256", "RS384", "RS512"])
def test_other_algorithms_of_a_published_key_open_nothing(algorithm: str) -> None:
    refused(jwt.encode(claims(), RSA_KEY, algorithm, headers={"kid": "rsa"}), provider=PROVIDER)


@pytest.mark.parametrize("crit", [["b64"], [], ["exp"], None, "b64"], ids=repr)
def test_a_token_of_ours_with_an_extension_opens_nothing(crit: object) -> None:
    header = {"alg": "HS256", "b64": True, "exp": 1, "crit": crit}

    refused(forged(header, claims(), SECRET.encode()))
    del header["crit"]
    assert scope_of(forged(header, claims(), SECRET.encode()), [SECRET]) == ALL


# --- issuer and audience ------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["others", AUDIENCE]], ids=str)
def test_a_token_from_our_issuer_for_our_audience_opens(audience: object) -> None:
    assert scope_of(issued(iss=ISSUER, aud=audience), [], STRICT) == ALL


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": None},
        {"iss": "https://id.example.com"},
        {"iss": ISSUER.upper()},
        {"iss": ""},
        {"aud": None},
        {"aud": ""},
        {"aud": []},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": "media2"},
        {"aud": {"media": 1}},
        {"aud": [AUDIENCE, 5]},
    ],
    ids=str,
)
def test_a_token_of_another_issuer_or_for_another_audience_opens_nothing(wrong: Json) -> None:
    refused(issued(**{"iss": ISSUER, "aud": AUDIENCE, **wrong}), provider=STRICT)


@pytest.mark.parametrize("wrong", [5, [ISSUER], {ISSUER: 1}, True], ids=str)
def test_an_issuer_that_is_no_text_opens_nothing(wrong: object) -> None:
    refused(hand_made({"alg": "ES256", "kid": "ec"}, iss=wrong, aud=AUDIENCE), provider=STRICT)


def test_each_of_the_two_is_looked_at_where_it_is_configured_and_only_there() -> None:
    assert scope_of(issued(iss="x", aud=["y"]), [], PROVIDER) == ALL
    assert scope_of(issued(iss=ISSUER, aud="y"), [], Provider(key_of, issuer=ISSUER)) == ALL
    assert scope_of(issued(iss="x", aud=AUDIENCE), [], Provider(key_of, audience=AUDIENCE)) == ALL
    refused(issued(iss="x"), provider=Provider(key_of, issuer=ISSUER))
    refused(issued(aud="y"), provider=Provider(key_of, audience=AUDIENCE))


def test_our_secret_is_enough_whatever_the_provider_must_say() -> None:
    for more in ({}, {"iss": "crm", "aud": ["crm"]}, {"sub": 42, "jti": 7}):
        assert scope_of(media_token(SECRET, **more), [SECRET], STRICT) == ALL


def test_a_fault_of_ours_is_not_the_tokens_fault() -> None:
    def broken(algorithm: str, key_id: str | None) -> Any:
        raise InternalError

    with pytest.raises(InternalError):
        scope_of(issued(), [], Provider(broken))


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
    ],
    ids=str,
)
def test_every_bound_that_is_named_must_hold(bounds: Json, opened: bool) -> None:
    assert opens(Scope(**bounds)) == opened
    assert (
        opens(scope_of(forged({"alg": "HS256"}, {"exp": 9_999_999_999, **bounds}, SECRET.encode()), [SECRET])) == opened
    )


@pytest.mark.parametrize("name", ["phone_numbers", "conversation", "message"])
def test_a_bound_without_a_value_opens_nothing_rather_than_all(name: str) -> None:
    claims = {"exp": 9_999_999_999, "phone_numbers": [NUMBER], "conversation": "c", "message": "m", name: None}

    with pytest.raises(Unauthenticated):
        scope_of(forged({"alg": "HS256"}, claims, SECRET.encode()), [SECRET])


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
    bounds = {"phone_numbers": numbers, "conversation": conversation, "message": one}
    named: Json = {name: bound for name, bound in bounds.items() if bound is not None}
    wider = [Scope(**{name: bound for name, bound in named.items() if name != left}) for left in bounds]

    if opens(Scope(**named), "a", "a", ("a",)):
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
        ({}, [f"b@d=x; {COOKIE}=b"], {}, "b"),
        ({}, [f"a b; {COOKIE}=b"], {}, "b"),
        ({"authorization": "Bearer a,Bearer b"}, [f"{COOKIE}=b"], {}, "a,Bearer b"),
        ({"authorization": "Basic dTpw,Bearer a"}, [], {"token": "c"}, "c"),
        ({"authorization": "Bearer\ta"}, [f"{COOKIE}=b"], {}, "b"),
        ({}, [f"{COOKIE}=a", f"{COOKIE}=b"], {}, "a"),
        ({}, [], {"token": "c,d"}, "c,d"),
    ],
    ids=str,
)
def test_the_first_place_that_holds_a_token_decides(headers: Json, cookies: list[str], query: Json, token: str) -> None:
    assert token_of(headers, cookies, query) == token


def test_a_wrong_bearer_is_not_saved_by_a_good_cookie() -> None:
    good = media_token(SECRET)

    refused(token_of({"authorization": "Bearer wrong"}, [f"{COOKIE}={good}"], {"token": good}))
    refused(token_of({"authorization": "Bearer"}, [f"{COOKIE}={good}"], {"token": good}))


def test_an_empty_cookie_decides_as_well() -> None:
    with pytest.raises(Unauthenticated):
        token_of({}, [f"{COOKIE}="], {"token": media_token(SECRET)})


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
