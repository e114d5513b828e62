"""The fault-injection suite: what each fault did is compared with docs/reliability.md, or written there."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.reliability import report
from tests.reliability.report import PAGE, Row

WRITING = os.environ.get("RELIABILITY") == "write"

Observe = Callable[..., None]
Count = Callable[..., None]


@pytest.fixture
def observed(request: pytest.FixtureRequest) -> Observe:
    """Give a function that takes a row of docs/reliability.md; the test fails when the page says otherwise."""
    calls = iter(range(100))
    place = getattr(request.node, "callspec", None)
    indices: dict[str, int] = place.indices if place else {}

    def observe(section: str, fault: str, where: str, saw: str, stored: str) -> None:
        order = (request.node.location[1], *indices.values(), next(calls))
        row = Row(section, order, fault, where, saw, stored)
        report.keep(f"rows-{os.getpid()}", row)
        if not WRITING:
            assert row.line in PAGE.read_text("utf-8").splitlines(), f"docs/reliability.md does not say: {row.line}"

    return observe


@pytest.fixture
def counted() -> Count:
    """Give a function that adds to the figures that are printed at the end: `counted(sent=1000, lost=0)`."""

    def count(**figures: int) -> None:
        report.keep(f"figures-{os.getpid()}", figures)

    return count


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        report.forget()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the page, or look whether it holds rows that no test gives any more; only after the whole suite."""
    if hasattr(session.config, "workerinput") or exitstatus or not _whole(session.config):
        return
    page = report.page(report.rows())
    if WRITING:
        PAGE.write_text(page, "utf-8")
    elif PAGE.read_text("utf-8") != page:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        session.config.stash[STALE] = True


STALE: pytest.StashKey[bool] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.stash.get(STALE, False):
        terminalreporter.write_line("docs/reliability.md is out of date: make reliability-docs", red=True)
    if sums := report.figures():
        terminalreporter.section("fault injection")
        for name, count in sorted(sums.items()):
            terminalreporter.write_line(f"{name.replace('_', ' ')}: {count}")


def _whole(config: pytest.Config) -> bool:
    """Tell whether the whole suite was asked for."""
    asked = [argument.rstrip("/") for argument in config.args]
    return not (config.option.keyword or config.option.markexpr) and asked == ["tests/reliability"]
