"""The page of an agent, on an origin of its own, which opens and embeds media in every way that HTML has."""

import itertools
from collections.abc import Callable
from html import escape
from typing import Self

from playwright.sync_api import BrowserContext
from werkzeug.wrappers import Request, Response

from local.server import serve
from tests.browser.canary import Canary, Watch, watched

LONGEST, STEP, SETTLE = 10_000, 50, 300  # milliseconds

EMBEDDED = """
<iframe src="{url}"></iframe>
<object data="{url}"></object>
<embed src="{url}">
<img src="{url}">
<input type="image" src="{url}">
<video src="{url}"></video>
<audio src="{url}"></audio>
<svg><image href="{url}"/><use href="{url}#x"/></svg>
<link rel="stylesheet" href="{url}">
<script src="{url}"></script>
<script type="module" src="{url}"></script>
<script>
  const code = new Blob(["importScripts('" + {quoted} + "')"]);
  new Worker(URL.createObjectURL(code)).onerror = event => event.preventDefault();
</script>
"""


class Crm:
    """The server of the page."""

    def __init__(self) -> None:
        self._pages: dict[str, tuple[str, dict[str, str]]] = {}
        self._count = itertools.count(1)
        self._server = serve(Request.application(self._answer))
        self.url = self._server.url

    def page(self, body: str, **headers: str) -> str:
        """Put a page up; give its address. It notes in `heard` what other windows and frames tell it."""
        path = f"/{next(self._count)}"
        head = (
            "<!doctype html><title>CRM</title><script>heard = []; onmessage = e => heard.push(String(e.data))</script>"
        )
        self._pages[path] = head + body, headers
        return self.url + path

    def _answer(self, request: Request) -> Response:
        if request.path not in self._pages:
            return Response(status=404)
        page, headers = self._pages[request.path]
        return Response(page, headers=headers, content_type="text/html; charset=utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


def opened_everywhere(
    context: BrowserContext, canary: Canary, crm: Crm, url: str, until: Callable[[Watch], object]
) -> Watch:
    """Embed an address in the agent's page in every way, open it in a window of its own, and watch.

    Waits until what is expected has happened, LONGEST ms at most, and then for what else may.
    """
    body = EMBEDDED.format(url=escape(url), quoted=f'"{url}"')
    with watched(context, canary) as watch:
        page = context.new_page()
        page.goto(crm.page(body))
        page.evaluate("url => { window.open(url) }", url)
        for _ in range(0, LONGEST, STEP):
            if until(watch):
                break
            page.wait_for_timeout(STEP)
        page.wait_for_timeout(SETTLE)
    return watch
