"""Under which name Chromium saves a file: the sender's own in whatever script, without what could deceive or escape."""

import pytest
from playwright.sync_api import BrowserContext

from tests import builders
from tests.builders import Sample
from tests.integration.system import System

# The name as it was sent, and as the agent's browser saves it.
NAMES = [
    ("Überweisung März.pdf", "Überweisung März.pdf"),
    ("請求書 2026.pdf", "請求書 2026.pdf"),
    ("فاتورة.pdf", "فاتورة.pdf"),
    ("חשבונית 12.pdf", "חשבונית 12.pdf"),
    # The joiners inside are sent; it is Chromium that writes something else for them.
    ("می\u200cرویم.pdf", "می_رویم.pdf"),
    ("👩\u200d👩\u200d👧 photo 👋🏽.pdf", "👩_👩_👧 photo 👋🏽.pdf"),
    ("O'Brien & Sons; 50 % off, #1 = best+.pdf", "O'Brien & Sons; 50 % off, #1 = best+.pdf"),
    ("«\u00a0Prix\u00a0».pdf", "«\u00a0Prix\u00a0».pdf"),
    ('say "hi".pdf', "say _hi_.pdf"),
    ("../../etc/passwd.pdf", "passwd.pdf"),
    (r"..\..\Windows\evil.pdf", "evil.pdf"),
    ("..%2f..%2fevil%00.pdf", "%2f..%2fevil%00.pdf"),
    ("%22; filename=evil.html; x=%22.pdf", "%22; filename=evil.html; x=%22.pdf"),
    ("x'; filename*=UTF-8''evil.html.pdf", "x'; filename_=UTF-8''evil.html.pdf"),
    ("a\r\nContent-Type: text/html\r\n\r\n<script>.pdf", "html_script_.pdf"),
    ("invoice\u202efdp.exe", "invoicefdp.exe"),
    ("\u2066invoice\u2069\u200f.pdf", "invoice.pdf"),
    ("invoice.pdf" + " " * 200 + ".exe", "invoice.pdf .exe"),
    ("invoice.pdf" + "\u3164" * 100 + ".exe", "invoice.pdf .exe"),
    ("nul\0 byte.pdf", "nul byte.pdf"),
    ("CON.pdf", "_CON.pdf"),
    ("  .hidden.pdf. ", "hidden.pdf"),
    ("half \ud83d a pair.pdf", "half \ufffd a pair.pdf"),
    ("x" * 10_000 + ".pdf", "x" * 116 + ".pdf"),
]


def saved_as(context: BrowserContext, url: str) -> str:
    page = context.new_page()
    with page.expect_download() as download:
        page.evaluate("url => { location = url }", url)
    return download.value.suggested_filename


@pytest.mark.parametrize(("sent", "saved"), NAMES, ids=[ascii(sent)[:40] for sent, _ in NAMES])
def test_a_file_is_saved_under_its_own_name(context: BrowserContext, system: System, sent: str, saved: str) -> None:
    own_id = system.receive(builders.BROCHURE, media={"filename": sent})

    assert saved_as(context, f"{system.link(own_id)}&download=1") == saved


@pytest.mark.parametrize(("sent", "saved"), [NAMES[0], NAMES[5], NAMES[6], NAMES[12]], ids=["ü", "emoji", "signs", "%"])
def test_what_is_never_shown_bears_its_name_from_the_bucket(
    context: BrowserContext, system: System, sent: str, saved: str
) -> None:
    own_id = system.receive(Sample("letter.docx", "document", builders.DOCX), media={"filename": sent})

    assert saved_as(context, system.link(own_id)) == saved
