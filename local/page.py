"""The simulator page, on an origin of its own: send as a customer would, and see what an agent sees.

GET  /                    the page; /simulator.js and /simulator.css with it
GET  /simulator/config    what the page must know: addresses, media token, kinds, faults
POST /simulator/send      a form (multipart): kind, file or media_id and mime_type, filename, caption, text,
                          name, wa_id, fault
GET  /simulator/messages  the newest messages of the number, from the table
GET  /simulator/events    the newest events that went to the event bus, the oldest first
"""

import mimetypes
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from local import faults
from local.faults import Fault
from local.graph import MAX_UPLOAD, MetaSimulator, Outgoing
from local.notifications import KINDS, encode
from local.timeline import newest_messages

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

FILES = {
    "/": ("simulator.html", "text/html; charset=utf-8"),
    "/simulator.js": ("simulator.js", "text/javascript; charset=utf-8"),
    "/simulator.css": ("simulator.css", "text/css; charset=utf-8"),
}
FOLDER = Path(__file__).parent
MEDIA_KINDS = frozenset(KINDS) - {"text"}
FORM_ROOM = 1024 * 1024
"""Bytes that a form may have besides its file."""

_MESSAGE_FIELDS = {"kind", "text", "caption", "mime_type", "filename", "media_id"}
_CONTACT_FIELDS = {"name", "wa_id"}
_ROUTES = Map(
    [
        *(Rule(path, endpoint="file", methods=["GET"]) for path in FILES),
        Rule("/simulator/config", endpoint="config", methods=["GET"]),
        Rule("/simulator/send", endpoint="send", methods=["POST"]),
        Rule("/simulator/messages", endpoint="messages", methods=["GET"]),
        Rule("/simulator/events", endpoint="events", methods=["GET"]),
    ]
)


@dataclass(frozen=True, slots=True)
class Preset:
    """Something to break, as the page offers it."""

    label: str
    faults: tuple[Fault, ...] = ()


_200_MB = 200 * 1000 * 1000
PRESETS: dict[str, Preset] = {
    "": Preset("nothing: all is well"),
    "rate_limited": Preset("rate limit (429), twice", (faults.RateLimited(times=2, retry_after=1),)),
    "server_error": Preset("server error (500), once", (faults.ServerError(times=1),)),
    "cut_off": Preset("cut off half-way, once", (faults.CutOff(times=1),)),
    "dead_url": Preset("media URL dead, once", (faults.DeadUrl(times=1),)),
    "slow": Preset("slow: Graph thinks for 6 seconds", (faults.Slow(seconds=6),)),
    "expired": Preset("expired at Meta (100/33)", (faults.Expired(),)),
    "gone": Preset("gone for good (410)", (faults.Gone(),)),
    "bad_token": Preset("access token refused (190)", (faults.BadToken(),)),
    "always_limited": Preset("rate limit that stays", (faults.RateLimited(retry_after=30),)),
    "always_down": Preset("server error that stays", (faults.ServerError(),)),
    "hang": Preset("no answer at all", (faults.Hang(),)),
    "wrong_hash": Preset("wrong hash", (faults.HashAs(form="wrong"),)),
    "html": Preset("a web page instead of the file", (faults.HtmlPage(),)),
    "declared_too_large": Preset("declared too large (200 MB)", (faults.LyingLength(size=_200_MB),)),
    "secretly_too_large": Preset("declared 1 kB, sends 200 MB", (faults.LyingLength(), faults.Oversize(size=_200_MB))),
    "foreign_host": Preset("URL points to a foreign host", (faults.UrlHost(origin="https://media.example.net"),)),
    "redirect": Preset("redirects to a foreign host", (faults.Redirect(location="https://media.example.net/"),)),
}


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
            endpoint, _ = _ROUTES.bind_to_environ(request.environ).match()
            response: Response = getattr(self, f"_{endpoint}")(request)
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
            "frame-ancestors 'none'"
        )
        return {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }

    def _file(self, request: Request) -> Response:
        name, content_type = FILES[request.path]
        return Response((FOLDER / name).read_bytes(), content_type=content_type)

    def _config(self, _: Request) -> Response:
        presets = [{"name": name, "label": preset.label} for name, preset in PRESETS.items()]
        config = {
            "api_url": self._api_url,
            "media_token": self._media_token,
            "phone_number_id": self._meta.number.phone_number_id,
            "display_phone_number": self._meta.number.display_phone_number,
            "uploads": self._own_graph,
            "kinds": KINDS,
            "faults": presets if self._own_graph else [],
        }
        return _json(config)

    def _messages(self, _: Request) -> Response:
        return _json(newest_messages(self._dynamodb, self._table, self._meta.number.phone_number_id))

    def _events(self, _: Request) -> Response:
        return _json(self.heard())

    def _send(self, request: Request) -> Response:
        outgoing = self._outgoing(request)
        preset = PRESETS.get(request.form.get("fault", ""))
        if preset is None:
            raise BadRequest("no such fault")
        if outgoing.media_id and self._own_graph:
            self._meta.faults.add(outgoing.media_id, *preset.faults)
        return _json(asdict(self._meta.send(outgoing)))

    def _outgoing(self, request: Request) -> Outgoing:
        fields = {name: value for name, value in request.form.items() if value.strip()}
        message: dict[str, Any] = {name: fields[name] for name in _MESSAGE_FIELDS & fields.keys()}
        message["contact"] = {name: fields[name] for name in _CONTACT_FIELDS & fields.keys()}
        upload = request.files.get("file")
        if upload and message.get("kind") in MEDIA_KINDS:
            message |= {"filename": upload.filename, "media_id": self._uploaded(upload, message["kind"])}
        return Outgoing.model_validate(message)

    def _uploaded(self, upload: FileStorage, kind: str) -> str:
        if not self._own_graph:
            raise BadRequest("another Graph is in use: send a media id that it knows")
        content = upload.read()
        if not content:
            raise BadRequest("the file is empty")
        return self._meta.add_media(content, mime_type_of(upload.filename, upload.content_type, kind)).id


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


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, content_type="application/json")
