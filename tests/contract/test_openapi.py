"""docs/openapi.json: what the code makes, valid, and of exactly the routes that the template has."""

import json
import re

import pytest
from openapi_spec_validator import validate

from inbound.problems import TABLE, problem
from local.template import routes
from tests.contract.test_template import TEMPLATE
from tests.openapi import DOCUMENT
from tools.openapi import PAGE, text

ROUTES = {f"{method.upper()} {path}": own for path, item in DOCUMENT["paths"].items() for method, own in item.items()}


def test_the_document_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "Write it anew: python -m tools.openapi"


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_the_document_has_the_templates_routes_and_no_others() -> None:
    assert ROUTES.keys() == {route.key for route in routes(TEMPLATE)}


@pytest.mark.parametrize("key", sorted(ROUTES))
def test_an_operation_is_called_as_the_templates_event_and_needs_its_paths_parameters(key: str) -> None:
    method, path = key.split(" ")
    functions = TEMPLATE.of_type("AWS::Serverless::Function").values()
    events = {name: event["Properties"] for own in functions for name, event in own.get("Events", {}).items()}
    in_path = {own["name"] for own in ROUTES[key]["parameters"] if own["in"] == "path" and own["required"]}

    event = events[ROUTES[key]["operationId"]]
    assert (event["Method"], event["Path"]) == (method, path)
    assert in_path == set(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize("key", sorted(key for key in ROUTES if "/webhook" not in key))
def test_what_agents_pages_ask_for_needs_a_token(key: str) -> None:
    assert {name for one in ROUTES[key]["security"] for name in one} == {"bearer", "cookie", "query"}
    assert "401" in ROUTES[key]["responses"]


def test_every_code_stands_with_its_status_at_some_route() -> None:
    told = {
        (code, int(status))
        for own in ROUTES.values()
        for status, response in own["responses"].items()
        for code in re.findall(r"`(\w+)`", response["description"])
        if int(status) >= 400
    }

    assert told == {(error.code, problem(error()).status) for error in TABLE}


def test_what_a_property_means_is_told() -> None:
    schemas = json.dumps(DOCUMENT["components"]["schemas"])

    assert schemas.count("description") > 60
    assert '"title": "' not in schemas
