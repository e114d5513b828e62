"""The listings of the documentation, to be run: each fence with its language and, if it has one, its name."""

import re
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).parent.parent / "docs"
FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Snippet(NamedTuple):
    """A listing: its language, the name that its fence gives it or an empty text, and its lines."""

    language: str
    name: str
    text: str


def snippets(page: str) -> list[Snippet]:
    """Give the listings of docs/<page>.md, in their order."""
    return [Snippet(*found) for found in FENCE.findall((DOCS / f"{page}.md").read_text("utf-8"))]


def named(page: str) -> dict[str, str]:
    """Give the listings that have a name, by name. Raises `AssertionError` where two have the same."""
    found = [(one.name, one.text) for one in snippets(page) if one.name]
    assert len(found) == len(dict(found)), f"two listings of {page}.md have the same name"
    return dict(found)


def functions(page: str, name: str) -> dict[str, Any]:
    """Run a Python listing; give what it defines."""
    defined: dict[str, Any] = {"__name__": name.removesuffix(".py")}
    exec(compile(named(page)[name], name, "exec"), defined)  # noqa: S102 (the listing is ours, and this is its test)
    return defined
