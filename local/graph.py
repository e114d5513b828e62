"""Meta on a laptop: a Graph API that hands out media and can be told to misbehave, and a sender of webhooks.

Graph: `GET /{version}/{media_id}?phone_number_id=` describes a media, `GET <its url>` gives the bytes. Both
want the access token, the second also a User-Agent, and its URL dies after five minutes. A business's own media come
by `POST /{version}/{phone_number_id}/media` (a form: messaging_product, type, file), and go by
`DELETE /{version}/{media_id}`.
https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media
`GET /{version}/{phone_number_id}` describes a number that the token may see, and `GET /{version}/debug_token` a token.
Both meet the faults of *resolve*, under the number's id, and under "debug_token".

For tests and the simulator page, over HTTP (and the same in Python):

POST   /simulator/media     the bytes of a file and its Content-Type → {"id", "mime_type", "sha256", "size"};
                            ?phone_number_id= of another number, ?age= in seconds, ?size= grows it with filler
DELETE /simulator/media/ID  Graph forgets the media, as it does after 7 days → {"forgotten"}
POST   /simulator/send      a message, see `outgoing.Outgoing` → how the webhook answered
POST   /simulator/deliver   any bytes → signed and delivered as they are
GET    /simulator/faults    the faults in force; DELETE clears them (?media_id=)
POST   /simulator/faults    {"media_id", "fault", …}, or a list of them, see `faults`
GET    /simulator/random_faults  the faults that strike at random, and how many have struck; null without any
POST   /simulator/random_faults  {"rate", "faults": [{"fault", …}, …], "seed"}: each request that has no fault of its
                            own meets one of those for its hop with the probability rate, until faults are cleared
GET    /simulator/requests  what Graph was asked, oldest first (?media_id=); DELETE forgets it
"""

import hashlib
import hmac
import itertools
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from pydantic import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.wrappers import Request, Response

from local import faults, notifications
from local.contents import Attachment
from local.faults import (
    BLOCK,
    Answer,
    Fault,
    Faults,
    Hop,
    RandomFaults,
    graph_error,
    html_page,
    no_such_object,
    token_refused,
)
from local.notifications import Delivery, Number
from local.options import APP_ID
from local.outgoing import DEFAULT_TYPES, WITH_FILE, Outgoing, Told, Written, hash_as_sent, payload, written
from local.posts import Post, Posts

MEDIA_LIFE = 7 * 24 * 3600.0
"""Seconds that Graph knows the media id of a webhook."""
URL_LIFE = 300.0
"""Seconds that a media URL works."""
REMEMBERED = 20_000
"""Requests kept for assertions; older ones are forgotten."""
CONCURRENT_POSTS = 10
"""Webhooks on their way at once; Meta waits for no answer before it sends the next."""
DEBUG_TOKEN = "debug_token"  # noqa: S105  (the name of an address)
SCOPES = ("whatsapp_business_management", "whatsapp_business_messaging")
"""What a token for WhatsApp has the permission to."""
MAX_UPLOAD = 100 * 1024 * 1024
"""Bytes: Meta's own limit for media in messages."""

_DOWNLOADS = "/whatsapp_business/attachments/"
_OK = 200


class _Version(BaseConverter):
    """v26.0 and the like."""

    regex = r"v\d+\.\d+"


_ROUTES = Map(
    [
        Rule(_DOWNLOADS, endpoint="download", methods=["GET"]),
        Rule("/<version:version>/debug_token", endpoint="debug_token", methods=["GET"]),
        Rule("/<version:version>/<media_id>", endpoint="resolve", methods=["GET"]),
        Rule("/<version:version>/<media_id>", endpoint="delete", methods=["DELETE"]),
        Rule("/<version:version>/<phone_number_id>/media", endpoint="take", methods=["POST"]),
        Rule("/simulator/media", endpoint="upload", methods=["POST"]),
        Rule("/simulator/media/<media_id>", endpoint="forget", methods=["DELETE"]),
        Rule("/simulator/send", endpoint="send", methods=["POST"]),
        Rule("/simulator/deliver", endpoint="deliver", methods=["POST"]),
        Rule("/simulator/faults", endpoint="list_faults", methods=["GET"]),
        Rule("/simulator/faults", endpoint="add_faults", methods=["POST"]),
        Rule("/simulator/faults", endpoint="clear_faults", methods=["DELETE"]),
        Rule("/simulator/random_faults", endpoint="list_random_faults", methods=["GET"]),
        Rule("/simulator/random_faults", endpoint="set_random_faults", methods=["POST"]),
        Rule("/simulator/requests", endpoint="list_requests", methods=["GET"]),
        Rule("/simulator/requests", endpoint="forget_requests", methods=["DELETE"]),
    ],
    converters={"version": _Version},
)


@dataclass(frozen=True, slots=True)
class Media:
    """A file that Graph has: `content`, then filler up to `size` bytes; hash in hex, Unix time."""

    id: str
    mime_type: str
    size: int
    sha256: str
    phone_number_id: str
    created: float
    content: bytes

    def blocks(self) -> Iterator[bytes]:
        """Give the bytes, block by block, whatever the size."""
        return _blocks(self.content, self.size)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token: the numbers that it may see (None: all), its end in Unix seconds (0: none), its permissions."""

    phone_number_ids: frozenset[str] | None = None
    expires_at: int = 0
    scopes: tuple[str, ...] = SCOPES

    def sees(self, phone_number_id: str) -> bool:
        """Tell whether it may see a number, and what belongs to it."""
        return self.phone_number_ids is None or phone_number_id in self.phone_number_ids


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that Graph got, and the status of the answer (what became of its body is not known)."""

    time: float
    hop: Hop
    media_id: str
    status: int
    method: str
    path: str
    query: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message on its way: Meta's id, the id under which it is stored, and how the webhook answered.

    A status has no id of its own to be stored under; what is about no message has neither.
    """

    wamid: str
    message_id: str | None
    media_id: str | None
    delivery: Delivery


class MetaSimulator:
    """Graph and the sender of webhooks, for one business number (media of others can be added).

    `app` is the WSGI application. `url`, where it is served, and `webhook_url` are set once they are known.
    `media_life` and `url_life` are in seconds.
    """

    def __init__(
        self,
        *,
        app_secret: str,
        token: str,
        phone_number_id: str,
        waba_id: str,
        display_phone_number: str,
        app_id: str = APP_ID,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = ""
        self.webhook_url = ""
        self.media_life = MEDIA_LIFE
        self.url_life = URL_LIFE
        self.number = Number(phone_number_id, waba_id, display_phone_number)
        self.faults = Faults()
        self.posts = Posts()
        self.app = _Request.application(self._answer)
        self._app_id = app_id
        self._app_secret = app_secret
        self._tokens: dict[str, Token] = {token: Token()}
        self._clock = clock
        self._url_key = secrets.token_bytes(32)
        self._media: dict[str, Media] = {}
        self._asked: deque[Asked] = deque(maxlen=REMEMBERED)

    # --- for tests and the page -----------------------------------------------------------------------------

    def add_media(
        self,
        content: bytes,
        mime_type: str,
        *,
        phone_number_id: str | None = None,
        age: float = 0.0,
        size: int | None = None,
        media_id: str | None = None,
    ) -> Media:
        """Give Graph a file, `age` seconds old; `size` grows it with filler that is made while sending."""
        size = len(content) if size is None else size
        media = Media(
            id=media_id or _new_media_id(),
            mime_type=mime_type,
            size=size,
            sha256=_sha256(_blocks(content, size)),
            phone_number_id=phone_number_id or self.number.phone_number_id,
            created=self._clock() - age,
            content=content,
        )
        self._media[media.id] = media
        return media

    def copy_media(self, media_id: str) -> Media:
        """Give Graph the same file again, under another id. KeyError for an unknown one."""
        copied = replace(self._media[media_id], id=_new_media_id())
        self._media[copied.id] = copied
        return copied

    def forget_media(self, media_id: str) -> bool:
        """Forget a media, as Meta does when its time is over; tell whether it was known."""
        return self._media.pop(media_id, None) is not None

    def forget_all_media(self) -> int:
        """Forget all media; tell how many."""
        return sum(self.forget_media(media_id) for media_id in list(self._media))

    def accept_token(
        self,
        token: str,
        phone_number_ids: frozenset[str] | None = None,
        *,
        expires_at: int = 0,
        scopes: tuple[str, ...] = SCOPES,
    ) -> None:
        """Accept another access token: for media of these numbers, or of all; until it ends, if it does."""
        self._tokens[token] = Token(phone_number_ids, expires_at, scopes)

    def revoke_token(self, token: str) -> None:
        """Refuse a token from now on (190)."""
        self._tokens.pop(token, None)

    def requests(self, media_id: str | None = None, hop: Hop | None = None) -> list[Asked]:
        """Give what Graph was asked, oldest first: of one media, of one kind of request, or all."""
        return [
            asked
            for asked in list(self._asked)
            if (media_id is None or asked.media_id == media_id) and (hop is None or asked.hop == hop)
        ]

    def forget_requests(self) -> None:
        """Forget what Graph was asked."""
        self._asked.clear()

    def send(self, outgoing: Outgoing) -> Sent:
        """Deliver a message to the webhook, signed, and again as Meta does while it is not accepted."""
        (post,) = self.send_all([outgoing])
        wamid, own_id = next(((told.wamid, told.message_id) for told in post.told), ("", None))
        return Sent(wamid, own_id, outgoing.media_id, post.delivery)

    def send_all(
        self, messages: Sequence[Outgoing], *, together: bool = True, broken: Sequence[Fault] = ()
    ) -> list[Post]:
        """Deliver messages of one kind and contact: in one POST, or each in its own, as many at once as Meta would.

        `broken` strikes the media of each.
        """
        now = self._clock()
        elements = [self._written(message, now) for message in messages]
        batches = [elements] if together else [[element] for element in elements]
        bodies = [self._body(messages[0], batch) for batch in batches]
        tellings = [tuple(written.told for written in batch if written.told) for batch in batches]
        self._break({media_id for told in itertools.chain(*tellings) for media_id in told.media_ids}, broken)
        with ThreadPoolExecutor(CONCURRENT_POSTS) as threads:
            return list(threads.map(self._post, bodies, tellings))

    def replay(self, post: Post, broken: Sequence[Fault] = ()) -> Post:
        """Deliver a webhook again, byte for byte."""
        self._break(set(post.media_ids), broken)
        return self._post(post.body, post.told, post.id)

    def deliver(self, body: bytes) -> Delivery:
        """Sign these exact bytes and deliver them."""
        return self._post(body).delivery

    def headers(self, post: Post) -> dict[str, str]:
        """Give the headers that a webhook was sent with."""
        return notifications.headers(post.body, self._app_secret)

    def _written(self, outgoing: Outgoing, now: float) -> Written:
        known = self.posts.told(outgoing.target, outgoing.reply_to)
        return written(outgoing, self.number, self._attachment(outgoing), known, now)

    def _body(self, like: Outgoing, batch: Sequence[Written]) -> bytes:
        return notifications.encode(payload(self.number, like, [written.element for written in batch]))

    def _break(self, media_ids: Iterable[str], broken: Sequence[Fault]) -> None:
        for media_id in media_ids:
            self.faults.add(media_id, *broken)

    def _post(self, body: bytes, told: tuple[Told, ...] = (), replay_of: int | None = None) -> Post:
        started = self._clock()
        delivery = notifications.deliver(self.webhook_url, body, self._app_secret)
        return self.posts.add(body, told, (started, self._clock()), delivery, replay_of)

    def _attachment(self, outgoing: Outgoing) -> Attachment | None:
        if outgoing.media_id is None or outgoing.kind not in WITH_FILE:
            return None
        known = self._media.get(outgoing.media_id)
        own_hash = hash_as_sent(known.sha256, echo=outgoing.echo) if known else None
        return Attachment(
            media_id=outgoing.media_id,
            mime_type=outgoing.mime_type or (known.mime_type if known else DEFAULT_TYPES[outgoing.kind]),
            sha256=outgoing.sha256 or own_hash,
            url=self._media_url(outgoing.media_id) if outgoing.with_url else None,
            caption=outgoing.caption or None,
            filename=outgoing.filename or None,
        )

    # --- Graph ----------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        try:
            endpoint, arguments = _ROUTES.bind_to_environ(request.environ).match()
            answer: Answer = getattr(self, f"_{endpoint}")(request, **arguments)
        except ValidationError as error:
            answer = Answer.json(400, {"error": str(error)})
        except HTTPException as error:
            answer = _refused(request, error)
        return _response(answer)

    def _resolve(self, request: Request, media_id: str, **_: str) -> Answer:
        answer = self._token_problem(request) or self._number(request, media_id) or self._description(request, media_id)
        return self._bent(request, "resolve", media_id, answer)

    def _download(self, request: Request) -> Answer:
        media_id = request.args.get("mid", "")
        answer = self._download_problem(request) or self._file(request, media_id)
        return self._bent(request, "download", media_id, answer)

    def _take(self, request: Request, phone_number_id: str, **_: str) -> Answer:
        """Take media of the business's own."""
        file = request.files.get("file")
        if problem := self._token_problem(request):
            return problem
        if file is None or request.form.get("messaging_product") != "whatsapp":
            return Answer.json(400, graph_error(100, "(#100) The parameters messaging_product and file are required."))
        mime_type = request.form.get("type") or file.mimetype
        return Answer.json(_OK, {"id": self.add_media(file.read(), mime_type, phone_number_id=phone_number_id).id})

    def _delete(self, request: Request, media_id: str, **_: str) -> Answer:
        if problem := self._token_problem(request):
            return problem
        if self._visible(request, media_id) is None:
            return no_such_object(media_id)
        return Answer.json(_OK, {"success": self.forget_media(media_id)})

    def _bent(self, request: Request, hop: Hop, media_id: str, answer: Answer) -> Answer:
        """Apply the fault in force, if any, and note the request."""
        fault = self.faults.take(media_id, hop)
        answer = fault(answer) if fault else answer
        self._asked.append(_noted(request, hop, media_id, answer.status, self._clock()))
        return answer

    def _token_problem(self, request: Request) -> Answer | None:
        return None if self._good(_bearer(request)) else token_refused()

    def _good(self, token: str) -> Token | None:
        """Give an accepted token, unless it has ended."""
        known = self._tokens.get(token)
        return known if known and not 0 < known.expires_at <= self._clock() else None

    def _visible(self, request: Request, media_id: str) -> Media | None:
        """Give the media if Graph still has it and the token may see it."""
        media = self._media.get(media_id)
        if media is None or self._clock() - media.created >= self.media_life:
            return None
        token = self._good(_bearer(request))
        return media if token and token.sees(media.phone_number_id) else None

    def _number(self, request: Request, phone_number_id: str) -> Answer | None:
        """Describe the business number, if that is what was asked for and the token may see it."""
        token, own = self._good(_bearer(request)), self.number
        if phone_number_id != own.phone_number_id or not token or not token.sees(phone_number_id):
            return None
        described = {"verified_name": "Local", "display_phone_number": own.display_phone_number, "id": phone_number_id}
        return Answer.json(_OK, described)

    def _debug_token(self, request: Request, **_: str) -> Answer:
        """https://developers.facebook.com/docs/graph-api/reference/debug_token."""
        by, token = _bearer(request), request.args.get("input_token", "")
        is_ours = by == f"{self._app_id}|{self._app_secret}" or self._good(by) is not None
        answer = Answer.json(_OK, {"data": self._told_of(token)}) if is_ours else token_refused()
        return self._bent(request, "resolve", DEBUG_TOKEN, answer)

    def _told_of(self, token: str) -> dict[str, object]:
        known = self._tokens.get(token)
        if known is None:
            refused = {"code": 190, "message": "The access token could not be decrypted"}
            return {"error": refused, "is_valid": False, "scopes": []}
        told = {
            "app_id": self._app_id,
            "type": "SYSTEM_USER",
            "application": "Local",
            "expires_at": known.expires_at,
            "is_valid": self._good(token) is not None,
            "scopes": list(known.scopes),
        }
        ended = {"code": 190, "message": "Error validating access token: Session has expired", "subcode": 463}
        return told if told["is_valid"] else {"error": ended, **told}

    def _description(self, request: Request, media_id: str) -> Answer:
        media = self._visible(request, media_id)
        if media is None or request.args.get("phone_number_id", media.phone_number_id) != media.phone_number_id:
            return no_such_object(media_id)
        described = {
            # Who reaches us by another name than this machine does, a container, would not find the file by ours.
            "url": self._media_url(media.id, request.host_url.rstrip("/")),
            "mime_type": media.mime_type,
            "sha256": media.sha256,
            "file_size": media.size,
            "id": media.id,
            "messaging_product": "whatsapp",
        }
        return Answer.json(_OK, described)

    def _media_url(self, media_id: str, origin: str | None = None) -> str:
        expiry = str(int(self._clock() + self.url_life))
        query = {"mid": media_id, "ext": expiry, "hash": self._url_hash(media_id, expiry)}
        return f"{origin or self.url}{_DOWNLOADS}?{urlencode(query)}"

    def _url_hash(self, media_id: str, expiry: str) -> str:
        return hmac.new(self._url_key, f"{media_id}\n{expiry}".encode(), hashlib.sha256).hexdigest()

    def _download_problem(self, request: Request) -> Answer | None:
        if not request.headers.get("User-Agent"):
            return html_page(400, "Unsupported client")
        if not self._good(_bearer(request)):
            return html_page(401, "Unauthorized")
        expiry, given = request.args.get("ext", ""), request.args.get("hash", "")
        genuine = hmac.compare_digest(given.encode(), self._url_hash(request.args.get("mid", ""), expiry).encode())
        return None if genuine and self._clock() < int(expiry) else _dead_url()

    def _file(self, request: Request, media_id: str) -> Answer:
        media = self._visible(request, media_id)
        return Answer(_OK, _header(media.mime_type), media.blocks(), media.size) if media else _dead_url()

    # --- /simulator -----------------------------------------------------------------------------------------

    def _upload(self, request: Request) -> Answer:
        media = self.add_media(
            request.get_data(cache=False),
            request.headers.get("Content-Type") or "application/octet-stream",
            phone_number_id=request.args.get("phone_number_id"),
            age=request.args.get("age", 0.0, type=float),
            size=request.args.get("size", None, type=int),
        )
        described = {"id": media.id, "mime_type": media.mime_type, "sha256": media.sha256, "size": media.size}
        return Answer.json(201, described)

    def _forget(self, _: Request, media_id: str) -> Answer:
        return Answer.json(_OK, {"forgotten": self.forget_media(media_id)})

    def _send(self, request: Request) -> Answer:
        return Answer.json(_OK, asdict(self.send(Outgoing.model_validate_json(request.get_data()))))

    def _deliver(self, request: Request) -> Answer:
        return Answer.json(_OK, asdict(self.deliver(request.get_data(cache=False))))

    def _list_faults(self, _: Request) -> Answer:
        return Answer.json(_OK, self.faults.listed())

    def _add_faults(self, request: Request) -> Answer:
        for media_id, fault in faults.read(request.get_data()):
            self.faults.add(media_id, fault)
        return self._list_faults(request)

    def _clear_faults(self, request: Request) -> Answer:
        self.faults.clear(request.args.get("media_id"))
        return self._list_faults(request)

    def _list_random_faults(self, _: Request) -> Answer:
        wanted = self.faults.at_random
        return Answer.json(_OK, wanted and {**wanted.model_dump(mode="json"), "struck": self.faults.struck})

    def _set_random_faults(self, request: Request) -> Answer:
        self.faults.strike_at_random(RandomFaults.model_validate_json(request.get_data()))
        return self._list_random_faults(request)

    def _list_requests(self, request: Request) -> Answer:
        return Answer.json(_OK, [asdict(asked) for asked in self.requests(request.args.get("media_id"))])

    def _forget_requests(self, request: Request) -> Answer:
        self.forget_requests()
        return self._list_requests(request)


class _Request(Request):
    """Uploads up to the limit, kept in memory."""

    max_content_length = MAX_UPLOAD


def _new_media_id() -> str:
    return str(10**15 + secrets.randbelow(9 * 10**15))


def _blocks(content: bytes, size: int) -> Iterator[bytes]:
    whole = (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
    return faults.first(itertools.chain(whole, itertools.repeat(bytes(BLOCK))), size)


def _sha256(blocks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _dead_url() -> Answer:
    return html_page(404, "URL signature expired")


def _noted(request: Request, hop: Hop, media_id: str, status: int, now: float) -> Asked:
    return Asked(
        time=now,
        hop=hop,
        media_id=media_id,
        status=status,
        method=request.method,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        headers=dict(request.headers),
    )


def _refused(request: Request, error: HTTPException) -> Answer:
    if request.path.startswith("/simulator/"):
        return Answer.json(error.code or 500, {"error": error.description})
    return Answer.json(400, graph_error(2500, f"Unknown path components: {request.path}"))


def _header(mime_type: str) -> str:
    """Give a type that no header can hold as unknown: the sender chose it, and the description repeats it as it is."""
    return mime_type if mime_type.isascii() and mime_type.isprintable() else "application/octet-stream"


def _response(answer: Answer) -> Response:
    response = Response(answer.blocks, answer.status, answer.headers, content_type=answer.content_type)
    if answer.length is not None:
        response.content_length = answer.length
    return response
