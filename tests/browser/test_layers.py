"""Each precaution alone, for one hides behind another: type, disposition, nosniff, the policies of template.yaml.

A file goes the whole way in `test_hostile_files`; here it comes from a server that has one precaution and no other.
"""

import re

import pytest
from playwright.sync_api import BrowserContext

from local.template import edge_behaviours, load
from tests.browser.canary import URL, Canary, Watch, watched
from tests.browser.crm import SETTLE, Crm, opened_everywhere
from tests.browser.hostile_files import FILES, PAGE, HostileFile
from tests.browser.unguarded import Unguarded

# The default behaviour, and that for files, have the policy of inline media: tests/contract/test_template.py.
HEADERS = {own.path_pattern: own.headers for own in edge_behaviours(load())}
MEDIA_POLICY = {"Content-Security-Policy": HEADERS["inline/*"]["Content-Security-Policy"]}
PDF_POLICY = {"Content-Security-Policy": HEADERS["pdf/*"]["Content-Security-Policy"]}
NO_SNIFF = {"X-Content-Type-Options": HEADERS["inline/*"]["X-Content-Type-Options"]}
BY_NAME = {file.name: file for file in FILES}
PAGES = [
    "page.html",
    "dialogs.html",
    "utf-16.html",
    "drawing.svg",
    "dialog.svg",
    "strict.xhtml",
    "feed.xml",
    "jpeg.html",
]
SCRIPTS = ["script.js", "hashbang.amr", "gif.js", "bitmap.bmp"]
EVERY_PAGE = pytest.mark.parametrize("file", [BY_NAME[name] for name in PAGES], ids=lambda file: file.name)
EVERY_SCRIPT = pytest.mark.parametrize("file", [BY_NAME[name] for name in SCRIPTS], ids=lambda file: file.name)


def at_once(_: Watch) -> bool:
    return True


@EVERY_PAGE
def test_the_policy_alone_stops_all_that_a_page_can_do(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, file: HostileFile
) -> None:
    url = unguarded.serve(file.content, file.bites_as, MEDIA_POLICY)

    seen = opened_everywhere(context, canary, crm, url, at_once)

    assert seen.signs == []
    assert seen.downloads == []


@pytest.mark.parametrize("name", [name for name in PAGES if name != "utf-16.html"])
def test_the_policy_for_pdf_alone_stops_scripts_requests_and_forms(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, name: str
) -> None:
    file = BY_NAME[name]
    # It cannot have a sandbox, and nothing less keeps a page from sending its reader elsewhere.
    page = re.sub(rb'<meta http-equiv="refresh"[^>]*>', b"", file.content)
    url = unguarded.serve(page, file.bites_as, PDF_POLICY)

    seen = opened_everywhere(context, canary, crm, url, at_once)

    assert seen.signs == []


FORM = f"""<!DOCTYPE html><title>Invoice</title><base href="{URL}/base/">
<form action="{URL}/form"><button>Pay</button></form>""".encode()


@pytest.mark.parametrize(
    ("policy", "sent"), [({}, ["/form"]), (PDF_POLICY, []), (MEDIA_POLICY, [])], ids=["none", "pdf", "media"]
)
def test_the_policies_let_no_form_be_sent_even_when_somebody_presses(
    context: BrowserContext, canary: Canary, unguarded: Unguarded, policy: dict[str, str], sent: list[str]
) -> None:
    page = context.new_page()

    with watched(context, canary) as watch:
        page.goto(unguarded.serve(FORM, "text/html", policy))
        page.get_by_role("button").click(no_wait_after=True)
        page.wait_for_timeout(SETTLE)

    assert [path for path in watch.signs if path == "/form"] == sent


@EVERY_SCRIPT
def test_nosniff_alone_keeps_a_file_from_being_a_script(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, file: HostileFile
) -> None:
    url = unguarded.serve(file.content, "application/octet-stream", NO_SNIFF)

    assert opened_everywhere(context, canary, crm, url, at_once).signs == []


@EVERY_SCRIPT
def test_without_nosniff_an_unknown_type_is_a_script(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, file: HostileFile
) -> None:
    url = unguarded.serve(file.content, "application/octet-stream")

    assert opened_everywhere(context, canary, crm, url, lambda watch: watch.signs).signs


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "strict.xhtml"])
def test_the_disposition_alone_saves_instead_of_showing(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, name: str
) -> None:
    file = BY_NAME[name]
    url = unguarded.serve(file.content, file.bites_as, {"Content-Disposition": "attachment; filename=x"})

    seen = opened_everywhere(context, canary, crm, url, lambda watch: watch.downloads)

    assert seen.signs == []
    assert seen.downloads


@pytest.mark.parametrize("served", ["application/octet-stream", "image/png", "image/gif", "video/mp4", "audio/ogg"])
def test_the_type_alone_keeps_a_page_from_being_one(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, served: str
) -> None:
    url = unguarded.serve(PAGE.encode(), served)

    assert opened_everywhere(context, canary, crm, url, at_once).signs == []
