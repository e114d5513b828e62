"""When the CRM's webhook is asked again, and what its answers mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.template import load, queue_attributes
from tests.contract.test_template import PHYSICAL
from webhook.patience import LONGEST_ASKED, kind_of, wait_after

DAY = 24 * 3600


@pytest.mark.parametrize(
    ("tries", "longest"), [(1, 5), (2, 10), (3, 20), (8, 640), (9, 900), (300, 900), (10**6, 900), (0, 5)]
)
def test_the_wait_doubles_up_to_a_quarter_of_an_hour_with_full_jitter(tries: int, longest: int) -> None:
    assert wait_after(tries, 1.0, None) == longest
    assert wait_after(tries, 0.5, None) == round(longest / 2)
    assert wait_after(tries, 0.0, None) == 1


@pytest.mark.parametrize(
    ("asked", "wait"), [(None, 5), (0, 5), (-100, 5), (3, 5), (120, 120), (119.6, 120), (10**9, LONGEST_ASKED)]
)
def test_what_the_crm_asks_for_is_granted_within_bounds(asked: float | None, wait: int) -> None:
    assert wait_after(1, 1.0, asked) == wait


@given(st.integers(min_value=-5, max_value=10**9), st.floats(0, 1), st.none() | st.floats(allow_nan=False, width=32))
def test_a_wait_is_always_one_that_the_queue_takes(tries: int, chance: float, asked: float | None) -> None:
    assert 1 <= wait_after(tries, chance, asked) <= LONGEST_ASKED


def test_a_crm_that_is_away_has_a_day_or_more_and_all_tries_fit_into_the_life_of_the_queue() -> None:
    template = load({"ForwardUrl": "https://crm.example.com/"}, PHYSICAL)
    attributes = queue_attributes(template, "ForwardQueue")
    tries = int(
        template.resolve(template.of_type("AWS::SQS::Queue")["ForwardQueue"]["RedrivePolicy"])["maxReceiveCount"]
    )
    usual, longest = (sum(wait_after(n, chance, None) for n in range(1, tries + 1)) for chance in (0.5, 1.0))

    assert usual > DAY
    assert longest < int(attributes["MessageRetentionPeriod"]) / 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "2xx"), (204, "2xx"), (299, "2xx"), (302, "3xx"), (404, "4xx"), (503, "5xx"), (101, "1xx"), (999, "1xx")],
)
def test_only_2xx_means_taken(status: int, kind: str) -> None:
    assert kind_of(status) == kind
