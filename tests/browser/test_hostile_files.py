"""What strangers send runs nothing on an agent's screen, opened or embedded in whatever way.

Each file is sent to the webhook, fetched, stored, and opened by its address at the API, as a CRM would.
"""

from operator import attrgetter

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.canary import Canary
from tests.browser.crm import Crm, opened_everywhere
from tests.browser.hostile_files import FILES, PDF_WITH_SCRIPTS, SAVED, HostileFile
from tests.browser.unguarded import Unguarded
from tests.integration.system import System

EVERY_BITE = pytest.mark.parametrize("file", {file.made: file for file in FILES}.values(), ids=lambda file: file.name)
EVERY_FILE = pytest.mark.parametrize("file", [*FILES, *SAVED], ids=lambda file: file.name)


BITTEN = attrgetter("signs")


@EVERY_BITE
def test_a_hostile_file_bites_where_nothing_guards_it(
    context: BrowserContext, canary: Canary, crm: Crm, unguarded: Unguarded, file: HostileFile
) -> None:
    seen = opened_everywhere(context, canary, crm, unguarded.serve(file.content, file.bites_as), BITTEN)

    assert seen.signs


@EVERY_FILE
def test_a_hostile_file_runs_nothing_and_is_saved_unless_its_harmless_half_is_shown(
    context: BrowserContext, canary: Canary, crm: Crm, system: System, file: HostileFile
) -> None:
    own_id = system.receive(file)

    seen = opened_everywhere(context, canary, crm, system.link(own_id), lambda watch: file.shown or watch.downloads)

    assert seen.signs == []
    assert bool(seen.downloads) is not file.shown
    assert system.bytes_of(own_id).content == file.content
    if file.kind == "document":
        assert {saved.suggested_filename for saved in seen.downloads} <= {file.name}


def test_the_scripts_of_a_pdf_stay_in_the_viewer(
    context: BrowserContext, canary: Canary, crm: Crm, system: System
) -> None:
    own_id = system.receive(PDF_WITH_SCRIPTS)

    # In a window, an iframe, an object and an embed. Chromium dies when it is left with a message on its screen.
    seen = opened_everywhere(context, canary, crm, system.link(own_id), lambda watch: len(watch.signs) == 4)

    # Chromium's viewer lets them show a message and nothing else; no header of ours can forbid that.
    assert seen.signs == ["dialog: canary"] * 4
    assert seen.downloads == []
