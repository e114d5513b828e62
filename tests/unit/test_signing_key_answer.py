"""What CloudFormation is told about signing keys, and what the public keys are called."""

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inbound.errors import RequestInvalid, TooManySigningKeys
from signing_key import names
from signing_key.answer import LARGEST, PHYSICAL_ID, Answer, body, reason

STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/media/51af3dc0-da77-11e4-872e-1234567db123"
REQUEST = {"StackId": STACK_ID, "RequestId": "r-1", "LogicalResourceId": "SigningKeys"}


def told(answer: Answer, **more: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(body(answer, {**REQUEST, **more}))
    return content


def test_success_carries_the_ids_as_one_text() -> None:
    assert told(Answer(("K2", "K1"))) == {
        **REQUEST,
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": PHYSICAL_ID,
        "Data": {"KeyIds": "K2,K1"},
    }


def test_failure_carries_the_reason() -> None:
    content = told(Answer(reason="Why: it failed."))

    assert (content["Status"], content["Reason"]) == ("FAILED", "Why: it failed.")
    assert content["PhysicalResourceId"] == PHYSICAL_ID


def test_a_resource_keeps_the_id_that_cloudformation_knows_it_by() -> None:
    # Another id would be a replacement, and CloudFormation would delete what it takes for the old resource.
    assert told(Answer(("K1",)), PhysicalResourceId="given-by-cloudformation")["PhysicalResourceId"] == (
        "given-by-cloudformation"
    )


@given(st.text(max_size=6000) | st.text('é\U0001f600\\"\n', max_size=6000))
@example("x" * 4096)
@example("é" * 4000)
def test_no_reason_makes_the_answer_too_large(text: str) -> None:
    encoded = body(Answer(reason=text or "x"), REQUEST)

    assert len(encoded) <= LARGEST
    assert json.loads(encoded)["Status"] == "FAILED"
    assert (text or "x").startswith(json.loads(encoded)["Reason"])


def test_a_reason_is_cut_no_shorter_than_need_be() -> None:
    assert len(told(Answer(reason="x" * 10_000))["Reason"]) > 2000
    assert told(Answer(reason="x" * 3000))["Reason"] == "x" * 3000


def test_our_own_errors_say_what_happened() -> None:
    assert reason(TooManySigningKeys("Too many."), "/log") == "TooManySigningKeys: Too many."


def test_errors_of_others_are_named_and_never_quoted() -> None:
    said = reason(ValueError("-----BEGIN PRIVATE KEY-----"), "/aws/lambda/x")

    assert said == "ValueError: Where it happened stands in the log group /aws/lambda/x."


# --- names --------------------------------------------------------------------------------------------------

stacks = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,127}", fullmatch=True)
regions = st.sampled_from(["eu-west-1", "us-east-1", "ap-southeast-5", "us-gov-west-1", "cn-northwest-1"])
versions = st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True)
tokens = st.from_regex(r"[0-9a-f]{12}", fullmatch=True)


def arn(stack: str, region: str) -> str:
    return f"arn:aws:cloudformation:{region}:123456789012:stack/{stack}/51af3dc0-da77-11e4-872e-1234567db123"


def test_a_key_is_called_after_stack_region_and_version() -> None:
    assert names.name(names.owner(STACK_ID), "2", "0123456789ab") == "media_eu-west-1_2_0123456789ab"


@given(stacks, regions, versions, tokens)
@example("a" * 128, "ap-southeast-1-lax-1", "v" * 20, "0123456789ab")
def test_every_name_is_one_that_cloudfront_takes(stack: str, region: str, version: str, token: str) -> None:
    name = names.name(names.owner(arn(stack, region)), version, token)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", name)
    assert names.belongs(name, names.owner(arn(stack, region)))


@given(st.lists(st.tuples(stacks, regions), min_size=2, max_size=2, unique=True), versions, tokens)
def test_no_stack_takes_the_keys_of_another_for_its_own(two: list[tuple[str, str]], version: str, token: str) -> None:
    ours, theirs = (names.owner(arn(*one)) for one in two)

    assert not names.belongs(names.name(theirs, version, token), ours)


@pytest.mark.parametrize("theirs", ["media-eu", "media-eu-west-1", "media-eu-west-1-1", "medi", "mediaa"])
def test_a_stack_with_a_similar_name_is_another(theirs: str) -> None:
    name = names.name(names.owner(arn(theirs, "eu-west-1")), "1", "0123456789ab")

    assert not names.belongs(name, names.owner(STACK_ID))


def test_a_region_with_a_similar_name_is_another() -> None:
    name = names.name(names.owner(arn("media", "eu-west-11")), "1", "0123456789ab")

    assert not names.belongs(name, names.owner(arn("media", "eu-west-1")))


def test_long_names_of_stacks_stay_different() -> None:
    long = [arn("a" * 120 + end, "eu-west-1") for end in "bc"]

    assert len({names.owner(one) for one in long}) == 2


@pytest.mark.parametrize(
    "bad", ["", "media", STACK_ID.rpartition("/")[0], STACK_ID.replace("media", "me_dia"), "x" * 9999]
)
def test_what_is_no_stack_is_refused(bad: str) -> None:
    with pytest.raises(RequestInvalid):
        names.owner(bad)
