"""When the CRM's webhook is asked again, and what its answers mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.template import load, queue_attributes
from tests.contract.test_template import PHYSICAL
from webhook.patience import LONGEST_ASKED, kind_of, wait_after

DAY = 24 * 3600


@pytest.mark.parametrize(("age", "longest"), [(0, 5), (-1, 5), (5, 5), (60, 60), (600, 600), (901, 900), (10**9, 900)])
def test_it_waits_at_most_as_long_again_up_to_a_quarter_of_an_hour_with_full_jitter(age: float, longest: int) -> None:
    assert wait_after(age, 1.0, None) == longest
    assert wait_after(age, 0.5, None) == round(longest / 2)
    assert wait_after(age, 0.0, None) == 1


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, 5), (0, 5), (-100, 5), (3, 5), (120, 120), (119.6, 120), (10**9, LONGEST_ASKED)]
)
def test_what_the_crm_asks_for_is_granted_within_bounds(asked: float | None, wait: int) -> None:
    assert wait_after(1, 1.0, asked) == wait


@given(st.floats(-5, 10**9), st.floats(0, 1), st.none() | st.floats(allow_nan=False, width=32))
def test_a_wait_is_always_one_that_the_queue_takes(age: float, chance: float, asked: float | None) -> None:
    assert 1 <= wait_after(age, chance, asked) <= LONGEST_ASKED


def test_a_crm_that_is_away_has_a_day_or_more_and_all_tries_fit_into_the_life_of_the_queue() -> None:
    template = load({"ForwardUrl": "https://crm.example.com/"}, PHYSICAL)
    attributes = queue_attributes(template, "ForwardQueue")
    tries = int(
        template.resolve(template.of_type("AWS::SQS::Queue")["ForwardQueue"]["RedrivePolicy"])["maxReceiveCount"]
    )
    usual, longest = (age_after(tries, chance) for chance in (0.5, 1.0))

    assert usual > DAY
    assert longest < int(attributes["MessageRetentionPeriod"]) / 2


def age_after(tries: int, chance: float) -> float:
    age = 0.0
    for _ in range(tries):
        age += wait_after(age, chance, None)
    return age


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "2xx"), (204, "2xx"), (299, "2xx"), (302, "3xx"), (404, "4xx"), (503, "5xx"), (101, "1xx"), (999, "1xx")],
)
def test_only_2xx_means_taken(status: int, kind: str) -> None:
    assert kind_of(status) == kind
