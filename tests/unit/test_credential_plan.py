"""What an operator's answers make of the secrets, and what Graph's word means to the operator."""

import json
import re
from typing import Any

import pytest

from inbound.credentials import APPS, GRAPH
from inbound.errors import AccessTokenInvalid, GraphRefused, GraphUnavailable, MediaError, MediaExpired
from media_proxy.token_state import DAY, TokenState
from tools import credential_plan
from tools.credential_plan import Answers, NotUsable, Plan, Wishes, changes, numbers, of_the_token, plan, rotated

NOW = 1_800_000_000.0
LONG = "a-media-token-secret-that-is-long-enough"
APPS_THERE = {
    "11111": {"secrets": ["current", "previous"], "verify_token": "verify", "phone_number_ids": ["70001"], "note": "x"},
    "22222": {"secrets": ["other"], "verify_token": "other-verify", "phone_number_ids": "*"},
}
GRAPH_THERE = {"tokens": {"default": ["token"], "70009": ["elsewhere"]}, "media_token_secrets": [LONG], "more": 1}
FULL = Answers("11111", "new-secret", "new-verify", ("70001", "70002"), "new-token")


def planned(answers: Answers, apps: Any = None, graph: Any = None, **wishes: bool) -> Plan:
    """Plan on what is there; whatever comes of it, the functions can read."""
    made = plan(
        answers, APPS_THERE if apps is None else apps, GRAPH_THERE if graph is None else graph, Wishes(**wishes)
    )
    APPS.validate_json(json.dumps(made.apps))
    assert GRAPH.validate_json(json.dumps(made.graph)).media_token_secrets
    return made


# --- what is to be in the secrets --------------------------------------------------------------------------------


def test_a_new_stack_gets_all_it_needs() -> None:
    made = planned(Answers("11111", "secret", "", ("70001",), "token"), {}, {"tokens": {}, "media_token_secrets": []})

    verify_token = made.apps["11111"]["verify_token"]
    assert made.apps == {"11111": {"secrets": ["secret"], "verify_token": verify_token, "phone_number_ids": ["70001"]}}
    assert re.fullmatch(r"[\w-]{32}", verify_token)
    assert made.graph["tokens"] == {"default": ["token"]}
    (media,) = made.graph["media_token_secrets"]
    assert len(media) >= 64


def test_what_is_made_is_made_anew_each_time() -> None:
    made = [planned(Answers("33333", "s", "", ("70001",), "t"), {}, {}) for _ in range(2)]

    assert made[0].app["verify_token"] != made[1].app["verify_token"]
    assert made[0].graph["media_token_secrets"] != made[1].graph["media_token_secrets"]


def test_a_new_value_stands_before_the_one_that_was_current() -> None:
    made = planned(FULL)

    assert made.apps["11111"] == {
        "secrets": ["new-secret", "current"],
        "verify_token": "new-verify",
        "phone_number_ids": ["70001", "70002"],
        "note": "x",
    }
    assert made.graph["tokens"] == {"default": ["new-token", "token"], "70009": ["elsewhere"]}


def test_other_apps_tokens_and_keys_stay() -> None:
    made = planned(FULL)

    assert made.apps["22222"] == APPS_THERE["22222"]
    assert (made.graph["more"], made.graph["media_token_secrets"]) == (1, [LONG])


@pytest.mark.parametrize("wishes", [{}, {"per_number": True}])
def test_the_same_answers_again_change_nothing(wishes: dict[str, bool]) -> None:
    once = planned(FULL, **wishes)

    twice = planned(FULL, once.apps, once.graph, **wishes)

    assert (twice.apps, twice.graph) == (once.apps, once.graph)
    assert set(changes(twice).values()) == {"stays"}


def test_empty_answers_keep_everything() -> None:
    made = planned(Answers("11111"))

    assert (made.apps, made.graph) == (APPS_THERE, GRAPH_THERE)


def test_after_a_leak_nothing_that_was_is_valid() -> None:
    made = planned(FULL, forget=True)

    assert made.apps["11111"]["secrets"] == ["new-secret"]
    assert made.graph["tokens"]["default"] == ["new-token"]
    assert planned(Answers("11111"), forget=True).apps["11111"]["secrets"] == ["current"]


def test_a_token_may_be_for_the_apps_numbers_alone() -> None:
    made = planned(FULL, per_number=True)

    assert made.graph["tokens"] == {
        "default": ["token"],
        "70001": ["new-token"],
        "70002": ["new-token"],
        "70009": ["elsewhere"],
    }
    assert (made.token_of("70001"), made.token_of("70009"), made.token_of("70003")) == (
        "new-token",
        "elsewhere",
        "token",
    )


def test_an_app_for_all_numbers_has_no_token_for_each() -> None:
    with pytest.raises(NotUsable, match="needs the numbers"):
        planned(Answers("22222", token="t"), per_number=True)


def test_a_secret_of_media_tokens_that_is_too_short_gives_way_to_one_that_is_not() -> None:
    made = planned(Answers("11111"), graph={**GRAPH_THERE, "media_token_secrets": ["short"]})

    assert "short" not in made.graph["media_token_secrets"]


@pytest.mark.parametrize(("forget", "kept"), [(False, [LONG]), (True, [])])
def test_the_secret_of_media_tokens_is_rotated_on_request(forget: bool, kept: list[str]) -> None:
    made = planned(Answers("11111"), new_media_secret=True, forget=forget)

    assert made.graph["media_token_secrets"][1:] == kept
    assert made.graph["media_token_secrets"][0] != LONG


@pytest.mark.parametrize("lacking", [Answers("33333", "", "", ("70001",), "t"), Answers("33333", "s", "", None, "t")])
def test_a_new_app_needs_a_secret_and_numbers(lacking: Answers) -> None:
    with pytest.raises(NotUsable, match="33333"):
        planned(lacking)


def test_an_app_for_all_numbers_is_told_by_a_star() -> None:
    made = planned(Answers("11111", numbers=("*",)))

    assert made.apps["11111"]["phone_number_ids"] == "*"
    assert made.numbers == ()


def test_no_more_than_two_values_are_kept_and_none_twice() -> None:
    assert rotated(["b", "c"], "a", forget=False) == ["a", "b"]
    assert rotated(["b", "a"], "a", forget=False) == ["a", "b"]
    assert rotated([], "a", forget=False) == ["a"]


# --- what is read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("apps", ""),
        ("apps", "{,}"),
        ("apps", '{"11111": {"secrets": ["very-secret"]}}'),
        ("apps", '{"11111": {"secrets": [], "verify_token": "very-secret", "phone_number_ids": "*"}}'),
        ("graph", '{"tokens": {"default": "very-secret"}}'),
        ("graph", '["very-secret"]'),
    ],
)
def test_a_spoilt_secret_is_told_by_its_place_and_not_overwritten(name: str, text: str) -> None:
    with pytest.raises(NotUsable, match=f"The secret {name} is not what it must be") as told:
        credential_plan.read(name, text)

    assert "very-secret" not in str(told.value)


@pytest.mark.parametrize("text", ["12a45", "", "1234", "1" * 21, "١٢٣٤٥", "12345 "])
def test_an_app_id_has_digits(text: str) -> None:
    assert credential_plan.app_id("12345") == "12345"
    with pytest.raises(NotUsable):
        credential_plan.app_id(text)


@pytest.mark.parametrize("text", ["a b", "a\tb", "ä", "a\u200b", "\x1b[200~secret"])
def test_what_came_along_when_a_secret_was_copied_is_seen(text: str) -> None:
    assert credential_plan.hidden("EAAB|c-d_e", "token") == "EAAB|c-d_e"
    with pytest.raises(NotUsable) as told:
        credential_plan.hidden(text, "app secret")
    assert text not in str(told.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [("", None), (" ,", None), ("*", ("*",)), ("70001", ("70001",)), ("70002, 70001,70002", ("70002", "70001"))],
)
def test_numbers_have_commas_between_them(text: str, found: tuple[str, ...] | None) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize("text", ["+1 555 0100", "70001 70002", "*,70001", "7"])
def test_a_phone_number_is_no_phone_number_id(text: str) -> None:
    with pytest.raises(NotUsable, match="not the phone number"):
        numbers(text)


# --- what is told ------------------------------------------------------------------------------------------------


def test_what_changes_is_told_without_a_value() -> None:
    told = changes(planned(FULL, forget=False))

    assert told == {
        "app secret": "changed; what was before stays valid beside it",
        "verify token": "changed; what was before is void",
        "numbers": "changed; what was before stays valid beside it",
        "access token, 70009": "stays",
        "access token, default": "changed; what was before stays valid beside it",
        "media token secret": "stays",
    }
    assert changes(planned(FULL, forget=True))["app secret"] == "changed; what was before is void"
    assert changes(planned(Answers("11111"), forget=True))["app secret"] == "the one before is void"
    assert changes(planned(FULL, {}, {}))["access token, default"] == "new"


def state(**changed: Any) -> TokenState:
    good = TokenState(True, "11111", int(NOW) + 50 * DAY, frozenset({credential_plan.PERMISSION}))
    return good._replace(**changed)


@pytest.mark.parametrize(
    ("token", "problems", "told"),
    [
        (state(), 0, "ends on 2027-03-06, in 50 days"),
        (state(expires_at=0), 0, "has no end"),
        (state(expires_at=int(NOW) + DAY), 0, "temporary"),
        (state(app_id="22222"), 0, "of another app, 22222"),
        (state(scopes=frozenset({"public_profile"})), 1, "lacks the permission whatsapp_business_messaging"),
        (state(is_valid=False, subcode=463), 1, "it has ended"),
        (state(is_valid=False, subcode=467), 1, "it was revoked"),
        (state(is_valid=False), 1, "Meta does not accept it"),
    ],
)
def test_what_graph_knows_of_a_token_is_told(token: TokenState, problems: int, told: str) -> None:
    found = list(of_the_token(token, "11111", NOW))

    assert sum(one.is_problem for one in found) == problems
    assert told in " ".join(one.text for one in found)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MediaExpired(graph_code=100), "phone number id is wrong"),
        (AccessTokenInvalid("Graph answered HTTP 401 with code 190."), "code 190"),
        (GraphRefused("Graph answered HTTP 403 with code 10."), "code 10"),
        (GraphUnavailable("No route."), "--unchecked"),
    ],
)
def test_why_a_number_is_not_seen_is_told(error: MediaError, told: str) -> None:
    found = credential_plan.of_a_number("70001", error)

    assert found.is_problem
    assert told in found.text


def test_an_app_that_meta_does_not_know_is_another_thing_than_a_meta_that_does_not_answer() -> None:
    assert "app secret" in credential_plan.of_the_app(AccessTokenInvalid("")).text
    assert "app secret" in credential_plan.of_the_app(GraphRefused("")).text
    assert "cannot be asked now (graph_unavailable)" in credential_plan.of_the_app(GraphUnavailable("")).text


@pytest.mark.parametrize(("version", "told"), [("v26.0", 0), ("v21.0", 1)])
def test_a_version_that_ends_soon_is_told(version: str, told: int) -> None:
    assert len(list(credential_plan.of_the_version(version, NOW))) == told
