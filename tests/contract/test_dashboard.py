"""A chart of a metric that nobody publishes is empty for ever, and a metric that no chart shows is seen by nobody."""

import json
import re
from typing import Any

import pytest

from local.template import load
from tests.contract.test_alarms import ALARMS, OURS, SERVICES, metrics_of
from tests.contract.test_template import FORWARD, PHYSICAL
from tests.published_metrics import published

TEMPLATE = load({"ForwardUrl": FORWARD}, PHYSICAL)
BODY: dict[str, Any] = json.loads(
    TEMPLATE.resolve(TEMPLATE.document["Resources"]["Dashboard"]["Properties"]["DashboardBody"])
)
WIDGETS: list[dict[str, Any]] = BODY["widgets"]
EVERY_WIDGET = pytest.mark.parametrize("widget", WIDGETS, ids=lambda one: one["properties"]["title"])
SEARCHED = re.compile(r'SEARCH\(\'\{"([^"]+)",([\w,]+)\} MetricName="(\w+)"\', \'\w+\', \d+\)')


def shown(widget: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """Give namespace, name and dimensions of each metric of a widget; a search has the names of its dimensions only."""
    found = []
    for namespace, *rest in widget["properties"]["metrics"]:
        if isinstance(namespace, dict):
            found += [
                (where, name, dict.fromkeys(dimensions.split(","), "*"))
                for where, dimensions, name in SEARCHED.findall(namespace["expression"])
            ]
        else:
            name, *dimensions = (one for one in rest if isinstance(one, str))
            found.append((namespace, name, dict(zip(dimensions[::2], dimensions[1::2], strict=True))))
    return found


OWN = [(name, dimensions) for widget in WIDGETS for where, name, dimensions in shown(widget) if where == OURS]


@EVERY_WIDGET
def test_a_widget_asks_a_question_and_shows_something(widget: dict[str, Any]) -> None:
    properties = widget["properties"]

    assert widget["type"] == "metric"
    assert "?" in properties["title"]
    assert shown(widget)
    assert properties["region"] in ("eu-west-1", "us-east-1")
    assert properties["stat"]
    assert properties["period"] % 60 == 0


@EVERY_WIDGET
def test_a_calculation_uses_what_the_widget_has(widget: dict[str, Any]) -> None:
    options = [row[-1] for row in widget["properties"]["metrics"] if isinstance(row[-1], dict)]
    ids = [one["id"] for one in options if "id" in one]

    assert len(ids) == len(set(ids))
    for one in options:
        if "expression" in one and not SEARCHED.fullmatch(one["expression"]):
            assert set(re.findall(r"FILL\((\w+),", one["expression"])) == set(ids) - {one["id"]}


def test_the_dashboard_shows_what_the_functions_publish_and_all_of_it() -> None:
    assert {name for name, _ in OWN} == published()


def test_a_metric_of_ours_is_that_of_a_function() -> None:
    extra = {"GraphErrors": {"graph_code"}, "ColdStart": {"function_name"}}

    for name, dimensions in OWN:
        assert dimensions.keys() == {"service", *extra.get(name, ())}
        assert dimensions["service"] in {*SERVICES, "*"}


def test_no_chart_shows_what_another_stack_publishes() -> None:
    named = {where for widget in WIDGETS for where, _, _ in shown(widget)}

    assert {where for where in named if where.startswith("WhatsAppMedia")} == {OURS}


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_what_an_alarm_watches_is_in_a_chart(name: str) -> None:
    charts = {metric for widget in WIDGETS for _, metric, _ in shown(widget)}

    for metric in metrics_of(ALARMS[name]):
        assert metric["MetricName"] in charts


def test_it_shows_all_functions_and_can_be_deployed_without_the_forwarder() -> None:
    text = json.dumps(BODY)
    without = load({}, {name: value for name, value in PHYSICAL.items() if "orward" not in name})

    for own in SERVICES.values():
        assert own.logical_id == "ForwardFunction" or PHYSICAL[own.logical_id] in text
    body = without.resolve(without.document["Resources"]["Dashboard"]["Properties"]["DashboardBody"])
    assert json.loads(body)["widgets"]


def test_the_outputs_lead_to_it_and_say_what_is_left_to_do() -> None:
    outputs = {
        name: TEMPLATE.resolve(TEMPLATE.document["Outputs"][name]["Value"]) for name in ("DashboardUrl", "NextSteps")
    }

    assert outputs["DashboardUrl"].endswith("#dashboards/dashboard/media-eu-west-1")
    assert "python -m tools.credentials --stack media --region eu-west-1 --apply" in outputs["NextSteps"]
    assert all(len(value) <= 1024 for value in outputs.values())
