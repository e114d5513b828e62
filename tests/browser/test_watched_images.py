"""The script of docs/integrate.md for a bare <img>: what is on its way appears, and what is not there says why."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from inbound.media import message_id
from tests import builders
from tests.browser.crm import Crm
from tests.builders import PHOTO
from tests.integration.system import LOGS, System, running_system
from tests.snippets import named

LARGE = 16 * 1000 * 1000 + 1  # bytes that a view does not wait for
SCRIPT = named("integrate")["watch.js"]
SHOWN = "document.images[0].naturalWidth > 100"


@pytest.fixture(name="system", scope="module")
def _system(crm: Crm) -> Iterator[System]:
    """Give a system that lets the scripts of the CRM's pages read its answers."""
    origin = crm.page("").rpartition("/")[0]
    with running_system(LOGS.with_name(f"watched-{LOGS.name}"), AllowedOrigins=origin) as system:
        yield system


def received(system: System, size: int | None = None) -> str:
    """Let a picture come, of so many bytes; give its id."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(PHOTO.content, PHOTO.mime_type, phone_number_id=number, size=size)
    message = builders.message("image", {"id": media.id, "mime_type": PHOTO.mime_type})
    assert system.post(builders.notification(message, phone_number_id=number)).status_code == 200
    return message_id(number, message["id"])


def opened(context: BrowserContext, crm: Crm, src: str, script: str = f"{SCRIPT}\nwatch(document.images[0]);") -> Page:
    """Open a page with a picture and the page's script."""
    page = context.new_page()
    module = script.replace("export function", "function")
    page.goto(crm.page(f'<img src="{src}" alt="Photo"><script type="module">{module}</script>'))
    return page


def alt_is(page: Page, text: str) -> None:
    page.wait_for_function("text => document.images[0].alt === text", arg=text)


def test_a_picture_that_is_on_its_way_says_so_and_appears(context: BrowserContext, crm: Crm, system: System) -> None:
    own_id = received(system, LARGE)
    page = opened(context, crm, system.link(own_id))
    alt_is(page, "On its way")

    assert system.work(own_id) == []

    page.wait_for_function(SHOWN)


def test_without_the_script_it_never_appears(context: BrowserContext, crm: Crm, system: System) -> None:
    own_id = received(system, LARGE)
    page = opened(context, crm, system.link(own_id), "")
    assert system.work(own_id) == []

    page.wait_for_timeout(3000)  # longer than Retry-After

    assert not page.evaluate(SHOWN)
    assert page.evaluate("document.images[0].alt") == "Photo"


def test_what_is_not_there_says_why_and_is_not_asked_for_again(
    context: BrowserContext, crm: Crm, system: System
) -> None:
    link = system.link("a" * 26)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))

    page = opened(context, crm, link)

    alt_is(page, "No such message")
    page.wait_for_timeout(6000)  # longer than the script's pause
    assert asked.count(link) == 2  # the tag, and the script


def test_a_file_that_has_left_the_bucket_is_fetched_anew(context: BrowserContext, crm: Crm, system: System) -> None:
    own_id = received(system)
    key = system.bytes_of(own_id) and system.media(own_id)["s3_key"]
    system.client("s3").delete_object(Bucket=system.stack.bucket_name, Key=key)

    page = opened(context, crm, system.link(own_id))

    page.wait_for_function(SHOWN)
    assert "retry=1" in page.evaluate("document.images[0].src")
