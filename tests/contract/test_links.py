"""Links of the pages lead somewhere: to a file that is there, and to a heading that it has."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples/crm/README.md",
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def without_listings(text: str) -> str:
    """Leave out what is shown as code: no link, and no heading, is in there."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def anchors(page: Path) -> set[str]:
    """Give the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_listings(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in dict.fromkeys(LINK.findall(without_listings(page.read_text("utf-8")))):
            yield page, target


@pytest.mark.parametrize(("page", "target"), list(links()), ids=lambda one: str(one).removeprefix(f"{ROOT}/"))
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    if re.match(r"[a-z]+:", target):
        assert re.fullmatch(r"https://[\w.-]+(:\d+)?(/\S*)?", target)
        return
    name, _, anchor = target.partition("#")
    file = (page.parent / name) if name else page
    assert file.exists(), f"{target} is not there"
    assert not anchor or anchor in anchors(file), f"{file.name} has no heading for #{anchor}"


def test_the_page_of_what_to_do_is_found_from_the_others() -> None:
    found = {(page.name, target.partition("#")[0]) for page, target in links()}

    assert {("README.md", "docs/troubleshooting.md"), ("operate.md", "troubleshooting.md")} <= found
