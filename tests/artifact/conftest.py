"""What the built functions weigh, and how long they take to start, is printed at the end."""

from typing import Any

import pytest

from tests.built import TOLD


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = terminalreporter.stats.get("passed", [])
    lines = {value for own in reports for name, value in getattr(own, "user_properties", ()) if name == TOLD}
    if lines:
        terminalreporter.section("built functions")
        for line in sorted(lines):
            terminalreporter.write_line(line)
