"""A Chromium for all tests that want one, and the servers that it visits beside the system under test."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser.canary import HOST, Canary
from tests.browser.crm import Crm
from tests.browser.unguarded import Unguarded
from tools.chromium import ADVICE, find_chromium

# Nothing that a browser does of its own accord; shared memory, because containers have little of it.
QUIET = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="session")
def chromium(canary: Canary) -> Iterator[Browser]:
    """Start the browser. It finds no other machine: names under localhost are this one.

    Its own sandbox is on but for root, who cannot have it.
    """
    path = find_chromium()
    if path is None:
        pytest.fail(f"There is no Chromium on this machine: python -m tools.chromium installs one, or {ADVICE}.")
    with sync_playwright() as playwright:
        rules = (f"MAP {HOST} {canary.address}", "MAP *.localhost 127.0.0.1", "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1")
        names = f"--host-resolver-rules={','.join(rules)}"
        arguments = [*QUIET, names]
        browser = playwright.chromium.launch(executable_path=path, args=arguments, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Give a profile of its own: no cookies, no cache, no pages of other tests."""
    context = chromium.new_context()
    context.set_default_timeout(10_000)
    yield context
    context.close()


@pytest.fixture(scope="session")
def canary() -> Iterator[Canary]:
    """Give the server that nobody has a reason to ask."""
    with Canary() as canary:
        yield canary


@pytest.fixture(scope="session")
def crm() -> Iterator[Crm]:
    """Give the server of an agent's page."""
    with Crm() as crm:
        yield crm


@pytest.fixture(scope="session")
def unguarded() -> Iterator[Unguarded]:
    """Give the server that guards nothing."""
    with Unguarded() as unguarded:
        yield unguarded
