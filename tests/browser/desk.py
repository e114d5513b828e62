"""An agent's page with the element, under a strict policy; and on another origin a proxy that says what it is told."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from werkzeug.wrappers import Request, Response

from inbound.errors import MediaError
from inbound.problems import problem
from local.server import serve
from tests import builders
from tests.builders import Json, Sample

WEB = Path(__file__).parents[2] / "web"
STYLE = """
:root { color-scheme: light dark; font: 16px/1.4 "Noto Sans", "DejaVu Sans", system-ui, sans-serif; }
body { margin: 1rem; background: light-dark(#fff, #16211d); color: light-dark(#14201b, #e4eee9); }
main { display: flex; flex-direction: column; gap: 1rem; align-items: flex-start; }
"""
# Counts what a page may leave behind, and notes what its policy has forbidden.
WATCH = """
violations = [];
document.addEventListener("securitypolicyviolation", e => violations.push(`${e.violatedDirective} ${e.blockedURI}`));
shifts = 0;
new PerformanceObserver(list => { for (const one of list.getEntries()) if (!one.hadRecentInput) shifts += one.value; })
    .observe({type: "layout-shift", buffered: true});
"""
PAGE = """<!doctype html>
<html lang="en"><title>Desk</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/desk.css">
<script src="/watch.js"></script>
<script type="module" src="/whatsapp-media.js"></script><header><h1>Desk</h1></header><main id="thread"></main>"""

Answer = Callable[[Request], Response]


@dataclass(frozen=True)
class Asked:
    """A request that the proxy got: the id, the query, and how it lets itself in."""

    own_id: str
    query: dict[str, str]
    as_json: bool
    authorization: str | None
    cookie: str | None


@dataclass
class Desk:
    """Both servers. `asked` are the requests for media, `files` those for bytes: (name, Range)."""

    asked: list[Asked] = field(default_factory=list)
    files: list[tuple[str, str | None]] = field(default_factory=list)
    media_origins: str = ""
    over: threading.Event = field(default_factory=threading.Event)
    _answers: dict[str, list[Answer]] = field(default_factory=dict)
    _ids: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._page = serve(Request.application(self._page_answer))
        self._proxy = serve(Request.application(self._proxy_answer))
        self.url = self._page.url
        self.proxy_url = self._proxy.url

    def src(self, *answers: Answer) -> str:
        """Give the address of a medium for which the proxy has these answers; the last one stays."""
        src = f"{self.proxy_url}/media/messages/m{next(self._ids)}"
        self.answer(src, *answers)
        return src

    def answer(self, src: str, *answers: Answer) -> None:
        """Answer otherwise from now on."""
        self._answers[src.rpartition("/")[2]] = list(answers)

    def asked_for(self, src: str) -> list[Asked]:
        return [one for one in self.asked if src.endswith(f"/{one.own_id}")]

    def file(self, sample: Sample, name: str = "") -> str:
        """Give the address of a file's bytes; another name is another address."""
        return f"{self.proxy_url}/files/{name or sample.name}?{sample.name}"

    # --- answers ---

    def ready(self, sample: Sample, name: str = "", **media: Any) -> Answer:
        """Give the answer for a file that is there."""
        location = self.file(sample, name)

        def answer(request: Request) -> Response:
            if "application/json" in request.headers.get("Accept", ""):
                url = location + ("&saved" if "download" in request.args else "")
                body = {"url": url, "expires_at": 2_000_000_000, "media": media_of(sample, **media)}
                return _json(200, body)
            return Response(status=302, headers={"Location": location, "Cache-Control": "private, max-age=300"})

        return answer

    def pending(self, sample: Sample, after: int = 1) -> Answer:
        return lambda _: _json(202, {"status": "pending", "media": media_of(sample)}, {"Retry-After": str(after)})

    def refused(self, error: MediaError, sample: Sample | None = None) -> Answer:
        """Give the true answer for an error."""
        if sample:
            error.media = media_of(sample)
        answer = problem(error)
        return lambda _: Response(json.dumps(answer.body), answer.status, answer.headers)

    def held(self, answer: Answer, until: threading.Event) -> Answer:
        """Give an answer that comes late."""

        def late(request: Request) -> Response:
            until.wait(20)
            return answer(request)

        return late

    # --- the servers ---

    def _page_answer(self, request: Request) -> Response:
        media = f"{self.proxy_url} {self.media_origins}"
        policy = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src {media}; img-src {media} data:; "
            f"media-src {media}; require-trusted-types-for 'script'; trusted-types 'none'; base-uri 'none'"
        )
        files = {
            "/": (PAGE, "text/html"),
            "/desk.css": (STYLE, "text/css"),
            "/watch.js": (WATCH, "text/javascript"),
            "/whatsapp-media.js": ((WEB / "whatsapp-media.js").read_text("utf-8"), "text/javascript"),
        }
        if request.path not in files:
            return Response(status=404)
        content, content_type = files[request.path]
        return Response(
            content, headers={"Content-Security-Policy": policy}, content_type=f"{content_type}; charset=utf-8"
        )

    def _proxy_answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            response = Response(status=204, headers={"Access-Control-Allow-Headers": "authorization"})
        elif request.path.startswith("/files/"):
            response = self._bytes(request)
        else:
            response = self._media(request)
        response.headers.update(
            {
                "Access-Control-Allow-Origin": self.url,
                "Access-Control-Allow-Credentials": "true",
                "Access-Control-Expose-Headers": "Retry-After",
                "Vary": "Accept, Authorization, Cookie",
            }
        )
        return response

    def _media(self, request: Request) -> Response:
        own_id = request.path.rpartition("/")[2]
        as_json = "application/json" in request.headers.get("Accept", "")
        headers = request.headers
        self.asked.append(
            Asked(own_id, request.args.to_dict(), as_json, headers.get("Authorization"), headers.get("Cookie"))
        )
        answers = self._answers[own_id]
        return (answers.pop(0) if len(answers) > 1 else answers[0])(request)

    def _bytes(self, request: Request) -> Response:
        name = request.path.removeprefix("/files/")
        self.files.append((name, request.headers.get("Range")))
        if name.startswith("broken"):
            return Response(status=403)
        if name.startswith("ending"):
            return self._until_it_ends(request)
        sample = next(
            one for one in builders.ALL_SAMPLES if one.name == request.query_string.decode().partition("&")[0]
        )
        response = Response(sample.content, content_type=sample.mime_type)
        if request.query_string.endswith(b"&saved"):
            response.headers["Content-Disposition"] = f'attachment; filename="{sample.name}"'
        response.headers["Cache-Control"] = "private, max-age=86400, immutable"
        response.make_conditional(request, accept_ranges=True, complete_length=len(sample.content))
        return response

    def _until_it_ends(self, request: Request) -> Response:
        """Give no more than three quarters of a file; from `over` on refuse, as after the end of a signed address."""
        content = builders.VIDEO.content
        start = request.range.ranges[0][0] if request.range else 0
        most = len(content) * 3 // 4
        if self.over.is_set() or (start >= most and self.over.wait(20)):
            return Response(status=403)

        def parts() -> Iterator[bytes]:
            yield content[start:most]
            self.over.wait(20)

        response = Response(parts(), 206, content_type=builders.VIDEO.mime_type)
        response.headers["Content-Length"] = str(len(content) - start)
        response.headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._page.close()
        self._proxy.close()


def media_of(sample: Sample, **fields: Any) -> Json:
    """Give what the proxy knows of a file."""
    about = {"type": sample.kind, "mime_type": sample.mime_type, "filename": sample.name, "size": len(sample.content)}
    return {**about, **fields}


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(
        json.dumps(body), status, {"Cache-Control": "no-store", **(headers or {})}, content_type="application/json"
    )
