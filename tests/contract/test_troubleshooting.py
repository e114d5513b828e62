"""docs/troubleshooting.md knows every alarm and every error code, and nothing else; each alarm names its section."""

import re
from pathlib import Path

import pytest

from inbound.errors import InboundError
from tests.contract.test_alarms import ALARMS
from tests.contract.test_error_docs import tree

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "troubleshooting.md").read_text("utf-8")
PARTS = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
SECTIONS = {
    part.partition("\n")[0]: dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", part, re.MULTILINE | re.DOTALL))
    for part in PARTS
}
EVERY = {name: text for sections in SECTIONS.values() for name, text in sections.items()}
CODES = {error.code for error in tree(InboundError) if hasattr(error, "code")}


@pytest.mark.parametrize("name", sorted(ALARMS))
def test_an_alarm_names_its_section(name: str) -> None:
    named = re.findall(r"docs/troubleshooting\.md#([\w-]+)", ALARMS[name]["AlarmDescription"])

    assert named == [name.lower()]
    assert len(ALARMS[name]["AlarmDescription"]) <= 1024


def test_every_alarm_has_a_section_and_every_section_an_alarm() -> None:
    assert SECTIONS["Alarms"].keys() == ALARMS.keys()


def test_every_error_code_has_a_section_and_every_other_section_a_code() -> None:
    assert EVERY.keys() - ALARMS.keys() == CODES


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_section_goes_from_what_is_seen_to_what_helps(name: str) -> None:
    steps = re.findall(r"^- \*\*(\w+):\*\* \S", EVERY[name], re.MULTILINE)

    assert steps == ["Symptom", "Cause", "Check", "Cure"]


def test_the_questions_that_the_page_sends_to_are_charts() -> None:
    from tests.contract.test_dashboard import WIDGETS

    titles = " ".join(widget["properties"]["title"] for widget in WIDGETS)
    asked = re.findall(r'"([A-Z][^"\n]*\?)"', PAGE)

    assert len(asked) > 4
    assert [question for question in asked if question not in titles] == []
