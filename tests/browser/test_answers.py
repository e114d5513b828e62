"""What the functions answer holds what strangers wrote, and no browser takes it for a page."""

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
import requests
from playwright.sync_api import BrowserContext

from local import faults
from tests import builders
from tests.browser.canary import Canary
from tests.browser.crm import Crm, opened_everywhere
from tests.browser.hostile_files import PAGE, SIGNS
from tests.browser.unguarded import Unguarded
from tests.integration.system import System


def a_problem(system: System) -> str:
    """Give the address of a medium that Meta has no more, with hostile caption."""
    sent = {"caption": PAGE, "mime_type": f"image/jpeg;<script>{SIGNS}</script>"}
    own_id = system.receive(builders.PHOTO, media=sent)
    system.stack.meta.faults.add(system.message(own_id)["provider_media_id"], faults.Gone())
    return system.link(own_id)


def a_challenge(system: System) -> str:
    """Give the address that answers with what the asker wrote."""
    asked = {
        "hub.mode": "subscribe",
        "hub.verify_token": system.stack.verify_token,
        "hub.challenge": f"<script>{SIGNS}</script>",
    }
    return f"{system.stack.api_url}/webhook?{urlencode(asked)}"


Made = Callable[[System], str]
EVERY_ANSWER = pytest.mark.parametrize("made", [a_problem, a_challenge], ids=["problem", "challenge"])


@EVERY_ANSWER
def test_an_answer_is_no_page(context: BrowserContext, canary: Canary, crm: Crm, system: System, made: Made) -> None:
    assert opened_everywhere(context, canary, crm, made(system), lambda _: True).signs == []


@EVERY_ANSWER
def test_the_same_words_bite_as_a_page(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, system: System, made: Made
) -> None:
    words = requests.get(made(system), timeout=30).content
    as_written = words.decode("unicode_escape").encode()  # JSON has quotes and line breaks escaped

    url = unguarded.serve(as_written, "text/html")

    assert opened_everywhere(context, canary, crm, url, lambda watch: watch.signs).signs


@EVERY_ANSWER
def test_the_policy_alone_keeps_the_words_from_biting(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, system: System, made: Made
) -> None:
    answer = requests.get(made(system), timeout=30)
    only = {"Content-Security-Policy": answer.headers["Content-Security-Policy"]}
    page = b"<!DOCTYPE html><script>" + SIGNS.encode() + b"</script>"

    url = unguarded.serve(page, "text/html", only)

    assert opened_everywhere(context, canary, crm, url, lambda _: True).signs == []
