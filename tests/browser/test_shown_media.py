"""The precautions do not break the product: what may be shown is shown, embedded and in a window of its own."""

import pytest
from playwright.sync_api import BrowserContext, Page

from tests import builders
from tests.browser.crm import Crm
from tests.browser.hostile_files import FILES
from tests.builders import Sample
from tests.integration.system import System

# Files that are two things at once are shown as the one that is harmless.
TWO_THINGS = [file for file in FILES if file.shown]
PICTURES = [builders.PHOTO, builders.DRAWING, builders.STICKER, builders.ANIMATED_STICKER]
PICTURES += [file for file in TWO_THINGS if file.mime_type.startswith("image/")]
PLAYED = [builders.VOICE, builders.TUNE, builders.VIDEO, *(file for file in TWO_THINGS if file.kind == "video")]


def named(sample: Sample) -> str:
    return sample.name


@pytest.mark.parametrize("sample", PICTURES, ids=named)
def test_a_picture_is_shown_in_a_page_and_in_a_window(
    context: BrowserContext, crm: Crm, system: System, sample: Sample
) -> None:
    link = system.link(system.receive(sample))
    page, window = context.new_page(), context.new_page()

    page.goto(crm.page(f'<img src="{link}">'))
    window.goto(link)

    assert page.evaluate("document.images[0].naturalWidth") > 100
    assert window.evaluate("document.images[0].naturalWidth") > 100


@pytest.mark.parametrize("sample", PLAYED, ids=named)
def test_what_is_played_is_played_in_a_page_and_in_a_window(
    context: BrowserContext, crm: Crm, system: System, sample: Sample
) -> None:
    link = system.link(system.receive(sample))
    page, window = context.new_page(), context.new_page()

    page.goto(crm.page(f'<{sample.kind} src="{link}" preload="auto"></{sample.kind}>'))
    window.goto(link)

    for shown in (page, window):
        assert duration(shown) > 5


def duration(page: Page) -> float:
    """Wait for the length, in seconds. A sandboxed page fires no events for us, so it is asked again."""
    for _ in range(100):
        found = page.evaluate("document.querySelector('audio, video').duration")
        if found > 0:  # it is NaN until then
            return float(found)
        page.wait_for_timeout(100)
    return 0


def test_a_pdf_is_shown_in_a_frame_and_in_a_window(context: BrowserContext, crm: Crm, system: System) -> None:
    link = system.link(system.receive(builders.BROCHURE))
    page, window = context.new_page(), context.new_page()

    page.goto(crm.page(f'<iframe src="{link}" width="900" height="700"></iframe>'))
    window.goto(link)

    for shown in (page, window):
        assert screenshot(shown) > DRAWN


DRAWN = 50_000  # bytes of a PNG: the empty viewer has some 4 kB, the first page of this document some 90


def screenshot(page: Page) -> int:
    """Wait until the viewer has drawn; give the size of what is to be seen. No element says when it has."""
    for _ in range(100):
        size = len(page.screenshot())
        if size > DRAWN:
            return size
        page.wait_for_timeout(100)
    return 0
