"""Each picture of the documentation is made by a browser test, and is shown; so none goes stale unseen."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
TESTS = sorted((ROOT / "tests" / "browser").glob("test_*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]


def made() -> set[str]:
    """Give the names of all pictures that browser tests write: one by `picture(…, "name")`, two by `pictures`."""
    found = set()
    for test in TESTS:
        text = test.read_text("utf-8")
        for both, name in re.findall(r'^ +picture(s?)\(.*, "([\w-]+)"\)$', text, re.MULTILINE):
            found |= {f"{name}-light.png", f"{name}-dark.png"} if both else {f"{name}.png"}
    return found


def test_each_picture_is_made_by_a_browser_test_and_each_that_they_make_is_there() -> None:
    assert made() == {path.name for path in PICTURES.iterdir()} != set()


def test_each_picture_is_shown_somewhere() -> None:
    shown = {name for page in PAGES for name in re.findall(r"pictures/([\w.-]+\.png)", page.read_text("utf-8"))}

    assert shown == {path.name for path in PICTURES.iterdir()}
