"""The inbox and the simulator, on an origin of their own: send as a customer would, and see what an agent sees.

GET  /                       the inbox, with the simulator beside it, and the files of web/
GET  /simulator              the simulator alone; /simulator.js and /simulator.css with it
GET  /simulator/config       what the page must know: addresses, media token, people, faults
POST /simulator/send         a form (multipart), see `panel.SendForm`: kind, file or media_id, contact.name, …, fault,
                             count, posts, age → the webhooks that were sent
GET  /simulator/webhooks     the newest webhooks, the oldest first; ?after= one of them
GET  /simulator/webhooks/ID  one: its headers and body as they were sent, its messages, and the events made of it
GET  /simulator/stored       the items of messages in the table (?message_id=, some of them)
POST /simulator/replay       webhook, fault: sends a webhook again, byte for byte
POST /simulator/forget       webhook: Graph forgets its media; without: all media
GET  /simulator/messages     the newest messages of the number, from the table
GET  /simulator/events       the newest events that went to the event bus, the oldest first
"""

import json
import mimetypes
import time
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from local import panel
from local.graph import MAX_UPLOAD, MetaSimulator
from local.notifications import encode
from local.options import APP_ID
from local.outgoing import WITH_FILE
from local.panel import Breaking, ForgetForm, ReplayForm, SendForm
from local.posts import Post
from local.timeline import newest_messages, stored_events, stored_items

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FOLDER = Path(__file__).parent.parent
CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
FILES = {
    **{f"/{file.name}": file for file in (FOLDER / "web").iterdir() if file.suffix in CONTENT_TYPES},
    "/": FOLDER / "web" / "inbox.html",
    "/inbox-settings.js": FOLDER / "local" / "inbox-settings.js",
    "/inbox-simulator.css": FOLDER / "local" / "inbox-simulator.css",
    "/simulator": FOLDER / "local" / "simulator.html",
    "/simulator.js": FOLDER / "local" / "simulator.js",
    "/simulator.css": FOLDER / "local" / "simulator.css",
}
"""Path → file. The inbox is served as it is, but for its settings."""
FORM_ROOM = 1024 * 1024
"""Bytes that a form may have besides its file."""

AT_ONCE = 20
"""Messages whose items can be asked for in one request."""
LONGEST_ID = 128

_ROUTES = Map(
    [
        *(Rule(path, endpoint="file", methods=["GET"]) for path in FILES),
        Rule("/simulator/config", endpoint="config", methods=["GET"]),
        Rule("/simulator/send", endpoint="send", methods=["POST"]),
        Rule("/simulator/webhooks", endpoint="webhooks", methods=["GET"]),
        Rule("/simulator/webhooks/<int:number>", endpoint="webhook", methods=["GET"]),
        Rule("/simulator/stored", endpoint="stored", methods=["GET"]),
        Rule("/simulator/replay", endpoint="replay", methods=["POST"]),
        Rule("/simulator/forget", endpoint="forget", methods=["POST"]),
        Rule("/simulator/messages", endpoint="messages", methods=["GET"]),
        Rule("/simulator/events", endpoint="events", methods=["GET"]),
    ]
)


class Page:
    """The page's server. `app` is its WSGI application; `url`, where it is served, and `heard` are set once known.

    `heard` gives the events that went to the event bus.

    `own_graph` is False when another Graph is in use: then files cannot be uploaded nor faults chosen, and a
    media id that the other Graph knows is sent instead.
    """

    def __init__(
        self,
        *,
        meta: MetaSimulator,
        dynamodb: "DynamoDBClient",
        table_name: str,
        api_url: str,
        edge_url: str,
        media_token: str,
        own_graph: bool = True,
    ) -> None:
        self.url = ""
        self.heard: Callable[[], Sequence[Any]] = list
        self.app = _Request.application(self._answer)
        self._meta = meta
        self._dynamodb = dynamodb
        self._table = table_name
        self._api_url = api_url
        self._edge_url = edge_url
        self._media_token = media_token
        self._own_graph = own_graph

    def _answer(self, request: Request) -> Response:
        try:
            self._check_origin(request)
            endpoint, arguments = _ROUTES.bind_to_environ(request.environ).match()
            response: Response = getattr(self, f"_{endpoint}")(request, **arguments)
        except ValidationError as error:
            response = _json({"error": _explained(error)}, 400)
        except HTTPException as error:
            response = _json({"error": error.description}, error.code or 500)
        response.headers.extend(self._security_headers())
        return response

    def _check_origin(self, request: Request) -> None:
        """Refuse other sites that the same browser visits: the page hands out a media token and sends messages."""
        own = urlsplit(self.url)
        if request.host not in (own.netloc, f"localhost:{own.port}"):
            raise Forbidden("this page is served on loopback only")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise Forbidden("another site may not use this page")

    def _security_headers(self) -> dict[str, str]:
        media = f"{self._api_url} {self._edge_url}"
        policy = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {media}; "
            f"img-src 'self' data: {media}; media-src {media}; form-action 'self'; base-uri 'none'; "
            "frame-src 'self'; frame-ancestors 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
        )
        return {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def _file(self, request: Request) -> Response:
        file = FILES[request.path]
        return Response(file.read_bytes(), content_type=CONTENT_TYPES[file.suffix])

    def _config(self, _: Request) -> Response:
        config = {
            "api_url": self._api_url,
            "media_token": self._media_token,
            "phone_number_id": self._meta.number.phone_number_id,
            "display_phone_number": self._meta.number.display_phone_number,
            "uploads": self._own_graph,
            **panel.offered(),
            **({} if self._own_graph else {"faults": []}),
        }
        return _json(config)

    def _messages(self, _: Request) -> Response:
        return _json(newest_messages(self._dynamodb, self._table, self._meta.number.phone_number_id))

    def _events(self, _: Request) -> Response:
        return _json(self.heard())

    def _send(self, request: Request) -> Response:
        fields = panel.nested(request.form.items())
        upload = request.files.get("file") if request.form.get("kind") in WITH_FILE else None
        if upload:
            # The id comes later: what makes no sense leaves no file behind.
            fields |= {"filename": upload.filename, "media_id": "upload"}
        form = SendForm.model_validate(fields)
        self._check_faults(form)
        media_ids = self._uploaded(upload, form) if upload else []
        messages = panel.messages(form, media_ids, time.time())
        return _posted(self._meta.send_all(messages, together=form.posts == "one", broken=form.faults))

    def _replay(self, request: Request) -> Response:
        form = ReplayForm.model_validate(panel.nested(request.form.items()))
        self._check_faults(form)
        return _posted([self._meta.replay(self._post(form.webhook), form.faults)])

    def _forget(self, request: Request) -> Response:
        form = ForgetForm.model_validate(panel.nested(request.form.items()))
        if not self._own_graph:
            raise BadRequest("another Graph is in use: it forgets nothing for us")
        if form.webhook is None:
            return _json({"forgotten": self._meta.forget_all_media()})
        media_ids = set(self._post(form.webhook).media_ids)
        return _json({"forgotten": sum(map(self._meta.forget_media, media_ids))})

    def _webhooks(self, request: Request) -> Response:
        after = request.args.get("after", 0, type=int)
        return _json({"webhooks": [panel.summary(post) for post in self._meta.posts.after(after)]})

    def _webhook(self, _: Request, number: int) -> Response:
        post = self._post(number)
        events = stored_events(self._dynamodb, self._table, APP_ID, post.started, post.ended)
        told = [panel.told_of(told) for told in post.told]
        return _json(
            {"headers": self._meta.headers(post), "body": _readable(post.body), "messages": told, "events": events}
        )

    def _stored(self, request: Request) -> Response:
        own_ids = request.args.getlist("message_id")
        if not 0 < len(own_ids) <= AT_ONCE or any(len(own_id) > LONGEST_ID for own_id in own_ids):
            raise BadRequest(f"name 1 to {AT_ONCE} messages by their message_id")
        return _json({"items": stored_items(self._dynamodb, self._table, own_ids)})

    def _post(self, number: int) -> Post:
        post = self._meta.posts.get(number)
        if post is None:
            raise NotFound("no such webhook, or not kept any more")
        return post

    def _check_faults(self, form: Breaking) -> None:
        if form.faults and not self._own_graph:
            raise BadRequest("another Graph is in use: it cannot be broken from here")

    def _uploaded(self, upload: FileStorage, form: SendForm) -> list[str]:
        """Give the file to Graph, once for each message; give the media ids."""
        if not self._own_graph:
            raise BadRequest("another Graph is in use: send a media id that it knows")
        content = upload.read()
        if not content:
            raise BadRequest("the file is empty")
        mime_type = mime_type_of(upload.filename, upload.content_type, form.kind)
        first = self._meta.add_media(content, mime_type, age=form.age).id
        return [first, *(self._meta.copy_media(first).id for _ in range(form.count - 1))]


class _Request(Request):
    """A form with one file, kept in memory: nothing is written outside the project."""

    max_content_length = MAX_UPLOAD + FORM_ROOM
    max_form_memory_size = FORM_ROOM

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return BytesIO()


def mime_type_of(filename: str | None, declared: str | None, kind: str) -> str:
    """Give a file's type as Meta would: the browser's word, or by its name; voice notes name their codec."""
    generic = (None, "", "application/octet-stream")
    guessed = mimetypes.guess_type(filename or "")[0] or "application/octet-stream"
    mime_type = guessed if declared in generic else str(declared)
    is_ogg = mime_type in ("audio/ogg", "video/ogg", "application/ogg", "audio/opus")
    return "audio/ogg; codecs=opus" if kind == "voice" and is_ogg else mime_type


def _explained(error: ValidationError) -> str:
    problems = (f"{'.'.join(map(str, found['loc']))} {found['msg']}" for found in error.errors())
    return "; ".join(problem.strip() for problem in problems)


def _posted(posts: Iterable[Post]) -> Response:
    return _json({"webhooks": [panel.summary(post) for post in posts]})


def _readable(body: bytes) -> str:
    """Lay JSON out for people, with its escapes read; give anything else as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, content_type="application/json")
