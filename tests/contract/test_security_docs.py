"""docs/security.md names every door, and for each a test that is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from local.template import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
RESOURCES = load().document["Resources"]
HEAD = ["asset", "attacker", "door", "what closes it", "test"]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def cells(line: str) -> list[str]:
    """The cells of a table's line."""
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


TABLE = [cells(line) for line in PAGE.splitlines() if line.startswith("|")]
DOORS = [row for row in TABLE if row != HEAD and not set(row[0]) <= {"-", "|"}]
NAMED = sorted({found for row in DOORS for found in TEST.findall(row[-1])})


@cache
def defined(path: Path) -> frozenset[str]:
    """The functions of a test file."""
    return frozenset(
        node.name for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)
    )


def test_the_page_has_one_kind_of_table() -> None:
    assert HEAD in TABLE
    assert len(DOORS) > 40


@pytest.mark.parametrize("row", DOORS, ids=lambda row: row[2][:60])
def test_each_door_says_who_would_come_through_what_closes_it_and_which_test_shows_it(row: list[str]) -> None:
    assert len(row) == len(HEAD)
    assert all(row)
    assert TEST.findall(row[-1])
    assert not TEST.sub("", row[-1]).strip(" ,")


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda own: own)
def test_each_test_that_the_page_names_is_there(file: str, name: str) -> None:
    assert name.startswith("test_")
    assert name in defined(ROOT / file)


def test_no_door_stands_there_twice() -> None:
    doors = [tuple(row[:3]) for row in DOORS]

    assert len(doors) == len(set(doors))


def callable_or_secret() -> list[str]:
    """The paths of the API, and the functions and secrets of the template."""
    kinds = ("AWS::Serverless::Function", "AWS::SecretsManager::Secret")
    own = [name for name, resource in RESOURCES.items() if resource["Type"] in kinds]
    events = [event for name in own for event in RESOURCES[name]["Properties"].get("Events", {}).values()]
    return [*own, *sorted({event["Properties"]["Path"] for event in events if event["Type"] == "HttpApi"})]


@pytest.mark.parametrize("name", callable_or_secret())
def test_whatever_can_be_called_or_must_stay_secret_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
