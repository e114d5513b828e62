"""A server that only code of a hostile file would ask, and a watch over all that such code could do in a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Download, Error, Page
from werkzeug.wrappers import Request, Response

from local.server import serve

WORD = "canary"
"""What code of a hostile file says, wherever it can: in a dialog, a title, the console, a message."""


HOST = "canary.test"
URL = f"http://{HOST}"
"""Where files suppose the server to be; the browser is told its true address, for they are made before it starts."""


class Canary:
    """The server. `heard` holds the paths that it was asked for."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._server = serve(Request.application(self._answer))
        self.address = self._server.url.removeprefix("http://")

    def _answer(self, request: Request) -> Response:
        self.heard.append(request.path)
        return Response("", headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


@dataclass
class Watch:
    """What happened in a browser since `start` requests to the canary: signs of code that ran, and what was saved."""

    canary: Canary
    start: int
    noted: list[str] = field(default_factory=list)
    downloads: list[Download] = field(default_factory=list)

    @property
    def signs(self) -> list[str]:
        """Dialogs, messages, marks on pages, and requests."""
        return [*self.noted, *self.canary.heard[self.start :]]


@contextmanager
def watched(context: BrowserContext, canary: Canary) -> Iterator[Watch]:
    """Watch everything in this context, pages yet to be opened included."""
    watch = Watch(canary, len(canary.heard))

    def said(message: ConsoleMessage) -> None:
        # An error of the browser's own may quote an address; what a page logs begins with the word.
        if message.text.startswith(WORD):
            watch.noted.append("console")

    def asked(dialog: Dialog) -> None:
        watch.noted.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def saved(download: Download) -> None:
        watch.downloads.append(download)

    def opened(page: Page) -> None:
        page.on("download", saved)

    context.on("console", said)
    context.on("dialog", asked)
    context.on("page", opened)
    yield watch
    for page in context.pages:
        watch.noted += _marks(page)


def _marks(page: Page) -> Iterator[str]:
    """Give the marks that code has left: the title, the name of the window, a message to it, where it went."""
    if page.url.startswith(URL):
        yield f"went to {page.url}"
    yield from (mark for mark in _texts(page) if WORD in mark)


def _texts(page: Page, tries: int = 5) -> list[str]:
    """Read them. A page may be moving on meanwhile; a window closes whose address turns out to be a file to save."""
    try:
        texts: list[str] = page.evaluate("[document.title, window.name, ...(window.heard || [])]")
    except Error:
        if page.is_closed():
            return []
        if tries == 1:
            raise
        page.wait_for_load_state()
        return _texts(page, tries - 1)
    return texts
