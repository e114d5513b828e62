"""The pictures of the documentation: made by browser tests, and only when asked for (`make pictures`)."""

import os
from pathlib import Path

from playwright.sync_api import Locator, Page

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"


def picture(of: Page | Locator, name: str) -> None:
    """Write docs/pictures/<name>.png with PICTURES=write; else do nothing."""
    if os.environ.get("PICTURES") == "write":
        FOLDER.mkdir(exist_ok=True)
        of.screenshot(path=FOLDER / f"{name}.png")


def pictures(page: Page, of: Page | Locator, name: str) -> None:
    """Write <name>-light and <name>-dark."""
    for scheme in ("light", "dark"):
        if os.environ.get("PICTURES") == "write":
            page.emulate_media(color_scheme=scheme)
            picture(of, f"{name}-{scheme}")
    page.emulate_media(color_scheme="light")
