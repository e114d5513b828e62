"""The client of Graph, against a server of our own: whom it asks, what it shows, and what it makes of the answers."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from inbound.errors import (
    AccessTokenInvalid,
    GraphRefused,
    GraphTimeout,
    GraphUnavailable,
    MediaError,
    MediaExpired,
    MediaHostRefused,
    MediaUrlDead,
    RateLimited,
)
from inbound.outbound import USER_AGENT
from local.server import serve
from media_proxy.deadline import Deadline
from media_proxy.graph import LARGEST_ANSWER, MOST_REDIRECTS, Graph
from media_proxy.graph_errors import Located
from tests.builders import PHOTO

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TOKEN = "EAAG-the-token-of-the-business"
NUMBER, MEDIA_ID = "100000000000001", "4100000000000001"
PLACE = '{"messaging_product":"whatsapp","url":"https://lookaside.fbsbx.com/x","mime_type":"image/jpeg","file_size":5}'

Answer = Callable[[Request], Response]


@dataclass
class Stage:
    """A server that answers as it is told and remembers who asked."""

    url: str = ""
    answer: Answer = lambda _: Response("{}")
    requests: list[Request] = field(default_factory=list)

    def serve(self, request: Request) -> Response:
        self.requests.append(request)
        return self.answer(request)

    def says(self, *args: object, **kwargs: object) -> None:
        self.answer = lambda _: Response(*args, **kwargs)  # type: ignore[arg-type]

    def does(self, answer: Answer) -> None:
        self.answer = answer

    @property
    def tokens(self) -> list[str | None]:
        return [request.headers.get("Authorization") for request in self.requests]


class Redirect(Response):
    """A redirect whose Location is sent as it is: werkzeug would make a decent URL of it."""

    def __init__(self, location: str, status: int = 302) -> None:
        super().__init__("", status)
        self._location = location

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        headers = super().get_wsgi_headers(environ)
        headers["Location"] = self._location
        return headers


def stage() -> Iterator[Stage]:
    made = Stage()
    with serve(Request.application(made.serve)) as server:
        made.url = server.url
        yield made


@pytest.fixture(name="meta")
def _meta() -> Iterator[Stage]:
    yield from stage()


@pytest.fixture(name="stranger")
def _stranger() -> Iterator[Stage]:
    yield from stage()


def client(url: str) -> Graph:
    return Graph(url, "v26.0", (url,))


@pytest.fixture(name="graph")
def _graph(meta: Stage) -> Graph:
    return client(meta.url)


def locate(graph: Graph, *, number: str = NUMBER, token: str = TOKEN, seconds: float = 5) -> Located:
    return graph.locate(MEDIA_ID, number, token, Deadline.after(seconds))


def download(graph: Graph, url: str, *, token: str = TOKEN, seconds: float = 5) -> bytes:
    with graph.download(Located(url, None, None, None), token, Deadline.after(seconds)) as chunks:
        return b"".join(chunks)


# --- where the media is -------------------------------------------------------------------------------------


def test_graph_is_asked_for_the_id_in_the_name_of_its_number(meta: Stage, graph: Graph) -> None:
    meta.says(PLACE)

    assert locate(graph) == Located("https://lookaside.fbsbx.com/x", "image/jpeg", 5, None)

    (request,) = meta.requests
    assert (request.method, request.full_path) == ("GET", f"/v26.0/{MEDIA_ID}?phone_number_id={NUMBER}")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["User-Agent"] == USER_AGENT
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("number", ["1&fields=x", "1#x", "1 2", "a/../b", "é", "%26", "1=2"])
def test_no_number_changes_what_is_asked(meta: Stage, graph: Graph, number: str) -> None:
    meta.says(PLACE)

    locate(graph, number=number)

    (request,) = meta.requests
    assert request.path == f"/v26.0/{MEDIA_ID}"
    assert parse_qs(urlsplit(request.url).query) == {"phone_number_id": [number]}


@pytest.mark.parametrize(
    ("status", "body", "headers", "error"),
    [
        (400, '{"error":{"code":100,"error_subcode":33}}', {}, MediaExpired),
        (401, '{"error":{"code":190}}', {}, AccessTokenInvalid),
        (403, '{"error":{"code":10}}', {}, GraphRefused),
        (400, '{"error":{"code":80008}}', {}, RateLimited),
        (429, "", {"Retry-After": "7"}, RateLimited),
        (502, "<html>Bad Gateway</html>", {}, GraphUnavailable),
        (200, "<html>", {}, GraphUnavailable),
        (200, "{}", {}, GraphUnavailable),
        (204, "", {}, GraphUnavailable),
        (410, "", {}, MediaExpired),
    ],
)
def test_a_refusal_is_an_error_of_the_tree(
    meta: Stage, graph: Graph, status: int, body: str, headers: dict[str, str], error: type[MediaError]
) -> None:
    meta.says(body, status, headers)

    with pytest.raises(error) as caught:
        locate(graph)

    assert caught.value.http_status == status
    assert caught.value.retry_after == (7 if headers else None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_graph_itself_never_sends_us_elsewhere(meta: Stage, stranger: Stage, graph: Graph, status: int) -> None:
    meta.does(lambda _: Redirect(f"{stranger.url}/x", status))

    with pytest.raises(GraphUnavailable):
        locate(graph)

    assert stranger.requests == []
    assert len(meta.requests) == 1


def test_an_answer_that_does_not_end_is_not_read_to_its_end(meta: Stage, graph: Graph) -> None:
    sent = []

    def endless(_: Request) -> Response:
        def blocks() -> Iterator[bytes]:
            for _ in range(4000):
                sent.append(1)
                yield b" " * 16_384

        return Response(blocks())

    meta.does(endless)

    with pytest.raises(GraphUnavailable):
        locate(graph)

    assert len(sent) < 4000


def test_the_longest_answer_that_is_read_is_far_longer_than_a_location(meta: Stage, graph: Graph) -> None:
    meta.says(PLACE + " " * (LARGEST_ANSWER - len(PLACE)))
    assert locate(graph).size == 5

    meta.says(PLACE + " " * (LARGEST_ANSWER - len(PLACE) + 1))
    with pytest.raises(GraphUnavailable):
        locate(graph)


def test_connections_stay_open_between_requests(meta: Stage, graph: Graph) -> None:
    meta.says(PLACE)

    for _ in range(3):
        locate(graph)

    assert len({request.environ["REMOTE_PORT"] for request in meta.requests}) == 1


# --- the bytes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
@pytest.mark.parametrize("content", [b"", b"x", PHOTO.content, PHOTO.content * 20], ids=["none", "one", "some", "many"])
def test_the_bytes_come_as_they_are(meta: Stage, graph: Graph, content: bytes, chunked: bool) -> None:
    if chunked:
        meta.does(lambda _: Response(iter([content[:7], content[7:]])))
    else:
        meta.says(content)

    assert download(graph, f"{meta.url}/x?hash=1") == content
    assert meta.tokens == [f"Bearer {TOKEN}"]
    assert meta.requests[0].headers["User-Agent"] == USER_AGENT


def test_what_claims_to_be_compressed_is_not_unpacked(meta: Stage, graph: Graph) -> None:
    meta.says(b"\x1f\x8b not really", headers={"Content-Encoding": "gzip"})

    assert download(graph, f"{meta.url}/x") == b"\x1f\x8b not really"


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize(("code", "kind"), [(190, AccessTokenInvalid), (4, RateLimited), (2, GraphUnavailable)])
def test_graphs_own_code_counts_more_than_the_status_of_a_download(
    meta: Stage, graph: Graph, status: int, code: int, kind: type[MediaError]
) -> None:
    meta.says(f'{{"error":{{"code":{code}}}}}', status)

    with pytest.raises(kind) as caught:
        download(graph, f"{meta.url}/x")

    assert type(caught.value) is kind
    assert caught.value.graph_code == code


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("body", ["", '{"error":{"code":987654}}', "<html>"], ids=["empty", "json", "html"])
def test_a_url_that_no_longer_serves_is_dead(meta: Stage, graph: Graph, status: int, body: str) -> None:
    meta.says(body, status)

    with pytest.raises(MediaUrlDead) as caught:
        download(graph, f"{meta.url}/x")

    assert caught.value.http_status == status


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (204, "", GraphUnavailable),
        (206, "x", GraphUnavailable),
        (304, "", GraphUnavailable),
        (400, '{"error":{"code":4}}', RateLimited),
        (400, "", MediaUrlDead),
        (410, "", MediaUrlDead),
        (429, "", RateLimited),
        (500, "", GraphUnavailable),
        (503, "x" * (LARGEST_ANSWER + 1), GraphUnavailable),
    ],
)
def test_any_other_answer_is_an_error_of_the_tree(
    meta: Stage, graph: Graph, status: int, body: str, error: type[MediaError]
) -> None:
    meta.says(body, status, {"Retry-After": "9"})

    with pytest.raises(MediaError) as caught:
        download(graph, f"{meta.url}/x")

    assert type(caught.value) is error


# --- redirects, and who never gets the token ----------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/there", "there", "{url}/there"], ids=["path", "relative", "absolute"])
def test_a_redirect_on_the_list_is_followed_with_the_token(
    meta: Stage, graph: Graph, status: int, location: str
) -> None:
    target = location.format(url=meta.url)
    meta.does(lambda request: Response("here") if request.path == "/there" else Redirect(target, status))

    assert download(graph, f"{meta.url}/x") == b"here"
    assert meta.tokens == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize("location", ["{url}/x", "//{host}/x", "{url}", "//x@{host}/x", "\\\\{host}/x", "http:{url}"])
def test_no_redirect_takes_the_token_off_the_list(meta: Stage, stranger: Stage, graph: Graph, location: str) -> None:
    target = location.format(url=stranger.url, host=stranger.url.removeprefix("http://"))
    meta.does(lambda _: Redirect(target))

    with pytest.raises(MediaError):
        download(graph, f"{meta.url}/x")

    assert stranger.requests == []


@pytest.mark.parametrize("location", ["https://[evil", "//[::1", "//]", "http://[v1.x]/", "https://evil.com:x/"])
def test_a_redirect_that_is_no_url_is_refused(meta: Stage, graph: Graph, location: str) -> None:
    meta.does(lambda _: Redirect(location))

    with pytest.raises(MediaHostRefused):
        download(graph, f"{meta.url}/x")


def test_a_url_off_the_list_is_never_asked(meta: Stage, stranger: Stage, graph: Graph) -> None:
    for url in (f"{stranger.url}/x", f"{meta.url}@{stranger.url.removeprefix('http://')}/x", "", "x", "file:///etc/x"):
        with pytest.raises(MediaHostRefused):
            download(graph, url)

    assert stranger.requests == meta.requests == []


@pytest.mark.parametrize("hops", [1, MOST_REDIRECTS])
def test_a_few_redirects_are_followed(meta: Stage, graph: Graph, hops: int) -> None:
    def hop(request: Request) -> Response:
        number = int(request.path[1:])
        return Redirect(f"/{number + 1}") if number < hops else Response("here")

    meta.does(hop)

    assert download(graph, f"{meta.url}/0") == b"here"
    assert len(meta.requests) == hops + 1


@pytest.mark.parametrize("location", ["/x", "", "/y"], ids=["itself", "nowhere", "on and on"])
def test_redirects_in_circles_end(meta: Stage, graph: Graph, location: str) -> None:
    meta.does(lambda _: Redirect(location))

    with pytest.raises(GraphUnavailable):
        download(graph, f"{meta.url}/x")

    assert len(meta.requests) == MOST_REDIRECTS + 1


def test_neither_proxy_nor_netrc_of_the_environment_sees_or_replaces_the_token(
    meta: Stage, stranger: Stage, mislead: Callable[[str], None]
) -> None:
    mislead(stranger.url)
    meta.says(PLACE)
    graph = client(meta.url)

    locate(graph)
    download(graph, f"{meta.url}/x")

    assert stranger.requests == []
    assert meta.tokens == [f"Bearer {TOKEN}"] * 2


def test_a_cookie_of_one_answer_is_not_sent_with_another_tenants_request(meta: Stage, graph: Graph) -> None:
    meta.says(PLACE, headers={"Set-Cookie": "session=of-the-first; Path=/"})

    locate(graph)
    locate(graph, number="100000000000002", token="another")

    assert [request.headers.get("Cookie") for request in meta.requests] == [None, None]


# --- when the network fails ---------------------------------------------------------------------------------


def cut_off(_: Request) -> Response:
    return Response(iter([PHOTO.content[:1000]]), headers={"Content-Length": str(len(PHOTO.content))})


def cut_off_in_chunks(_: Request) -> Response:
    def blocks() -> Iterator[bytes]:
        yield PHOTO.content[:1000]
        raise ConnectionError

    return Response(blocks())


@pytest.mark.parametrize("answer", [cut_off, cut_off_in_chunks])
def test_bytes_that_break_off_are_never_taken_for_the_whole(meta: Stage, graph: Graph, answer: Answer) -> None:
    meta.does(answer)

    with pytest.raises(GraphUnavailable):
        download(graph, f"{meta.url}/x")


@pytest.mark.parametrize("answer", [cut_off, cut_off_in_chunks])
def test_a_location_that_breaks_off_is_no_location(meta: Stage, graph: Graph, answer: Answer) -> None:
    meta.does(answer)

    with pytest.raises(GraphUnavailable):
        locate(graph)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    gone = client("http://127.0.0.1:9")

    with pytest.raises(GraphUnavailable):
        locate(gone)
    with pytest.raises(GraphUnavailable):
        download(gone, "http://127.0.0.1:9/x")


def silent(_: Request) -> Response:
    time.sleep(0.4)
    return Response(PLACE)


def dripping(_: Request) -> Response:
    def drops() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x"
            time.sleep(0.05)

    return Response(drops())


@pytest.mark.parametrize("answer", [silent, dripping])
def test_nothing_takes_longer_than_the_time_left(meta: Stage, graph: Graph, answer: Answer) -> None:
    meta.does(answer)

    for call in (lambda: locate(graph, seconds=0.2), lambda: download(graph, f"{meta.url}/x", seconds=0.2)):
        begun = time.monotonic()
        with pytest.raises(GraphTimeout):
            call()
        assert time.monotonic() - begun < 1


def test_silence_after_some_bytes_does_not_outlast_the_time_left(meta: Stage, graph: Graph) -> None:
    def stalling(_: Request) -> Response:
        def blocks() -> Iterator[bytes]:
            for _ in range(4):
                time.sleep(0.1)
                yield b"x"
            time.sleep(0.5)
            time.sleep(0.5)

        return Response(blocks())

    meta.does(stalling)
    begun = time.monotonic()

    with pytest.raises(GraphTimeout):
        download(graph, f"{meta.url}/x", seconds=0.5)

    assert time.monotonic() - begun < 0.75


def certificate_in(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that signs itself; the key stands in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begins, ends = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = folder / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    return file


@contextmanager
def silent_tls(certificate: Path, sent: bytes) -> Iterator[str]:
    """Serve one connection over TLS: read the request, send some bytes, and fall silent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    over = Event()

    def converse(listener: socket.socket) -> None:
        with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(65_536)
            connection.sendall(sent)
            over.wait(5)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=converse, args=(listener,))
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        thread.join()


@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345", b"HTTP/1.1 200 OK\r\n\r\n12345"],
    ids=["nothing", "some bytes of more", "some bytes of who knows how many"],
)
def test_silence_over_tls_does_not_outlast_the_time_left_either(sent: bytes, tmp_path: Path) -> None:
    certificate = certificate_in(tmp_path)
    with silent_tls(certificate, sent) as url:
        graph = client(url)
        graph._session.verify = str(certificate)
        begun = time.monotonic()

        with pytest.raises(GraphTimeout):
            download(graph, f"{url}/x", seconds=0.4)

        assert time.monotonic() - begun < 2


def test_once_all_is_done_the_deadline_causes_nothing_in_the_background(meta: Stage, graph: Graph) -> None:
    meta.says(PHOTO.content)

    assert download(graph, f"{meta.url}/x", seconds=0.1) == PHOTO.content
    time.sleep(0.2)  # pytest fails a test whose threads end with an error


def test_a_file_that_is_stored_after_the_deadline_causes_nothing_in_the_background(meta: Stage, graph: Graph) -> None:
    meta.says(PHOTO.content)

    with graph.download(Located(f"{meta.url}/x", None, None, None), TOKEN, Deadline.after(0.1)) as chunks:
        assert b"".join(chunks) == PHOTO.content
        time.sleep(0.2)  # pytest fails a test whose threads end with an error


def test_without_time_left_nobody_is_asked(meta: Stage, graph: Graph) -> None:
    with pytest.raises(GraphTimeout):
        locate(graph, seconds=0)
    with pytest.raises(GraphTimeout):
        download(graph, f"{meta.url}/x", seconds=-1)

    assert meta.requests == []


@pytest.mark.parametrize("token", ["with a\nnewline", "with a\r\nHost: evil.com", "with ü and ✓"], ids=repr)
def test_a_token_that_cannot_stand_in_a_header_is_an_error_of_the_tree(meta: Stage, graph: Graph, token: str) -> None:
    meta.says(PLACE)

    with pytest.raises(MediaError) as caught:
        locate(graph, token=token)

    assert "with" not in caught.value.detail
    assert meta.requests == []


# --- what is not the network's fault ------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError("the disk"), TimeoutError("S3"), KeyError("x"), GeneratorExit()], ids=repr)
def test_what_fails_while_the_bytes_are_used_is_not_blamed_on_whatsapp(
    meta: Stage, graph: Graph, error: BaseException
) -> None:
    meta.says(PHOTO.content)

    def use() -> None:
        with graph.download(Located(f"{meta.url}/x", None, None, None), TOKEN, Deadline.after(5)) as chunks:
            next(chunks)
            raise error

    with pytest.raises(type(error)) as caught:
        use()

    assert caught.value is error


def test_after_a_failure_the_client_goes_on(meta: Stage, graph: Graph) -> None:
    for answer in (cut_off, lambda _: Response("", 500), lambda _: Response("x" * (LARGEST_ANSWER + 1))):
        meta.does(answer)
        with pytest.raises(MediaError):
            locate(graph)

    meta.says(PLACE)
    assert locate(graph).size == 5


@pytest.mark.parametrize(
    "url", ["https://evil.example.com/secret?hash=hidden", "https://u:hidden@127.0.0.1/", "hidden"]
)
def test_no_detail_shows_a_url_or_a_token(graph: Graph, url: str) -> None:
    with pytest.raises(MediaHostRefused) as caught:
        download(graph, url)

    assert "hidden" not in caught.value.detail
    assert TOKEN not in caught.value.detail


# --- a token, a number -------------------------------------------------------------------------------------------


def test_a_token_is_asked_about_under_another_one_and_escaped(graph: Graph, meta: Stage) -> None:
    meta.says('{"data": {"is_valid": true, "app_id": "1", "expires_at": 7, "scopes": ["a"]}}')

    state = graph.token_state("EAA&x=/ü", "1|app-secret", Deadline.after(5))

    (request,) = meta.requests
    assert (state.is_valid, state.expires_at) == (True, 7)
    assert (request.path, request.args.to_dict()) == ("/v26.0/debug_token", {"input_token": "EAA&x=/ü"})
    assert meta.tokens == ["Bearer 1|app-secret"]


def test_a_number_is_seen_when_graph_answers_for_it(graph: Graph, meta: Stage) -> None:
    meta.says(f'{{"id": "{NUMBER}", "verified_name": "x"}}')

    graph.sees(NUMBER, TOKEN, Deadline.after(5))

    assert [request.path for request in meta.requests] == [f"/v26.0/{NUMBER}"]
    assert meta.tokens == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ("<html>Log in</html>", 200, GraphUnavailable),
        ('{"id": "100000000000002"}', 200, GraphUnavailable),
        ("{}", 200, GraphUnavailable),
        ('{"error": {"code": 100, "error_subcode": 33}}', 400, MediaExpired),
        ('{"error": {"code": 190}}', 401, AccessTokenInvalid),
        ('{"error": {"code": 10}}', 403, GraphRefused),
        ("", 503, GraphUnavailable),
    ],
)
def test_what_is_no_word_about_the_number_is_an_error(
    graph: Graph, meta: Stage, body: str, status: int, error: type[MediaError]
) -> None:
    meta.says(body, status)

    with pytest.raises(error):
        graph.sees(NUMBER, TOKEN, Deadline.after(5))


def test_neither_question_follows_a_redirect_or_waits_beyond_its_time(graph: Graph, meta: Stage) -> None:
    meta.does(lambda _: Redirect(meta.url))
    asked = (
        lambda: graph.sees(NUMBER, TOKEN, Deadline.after(5)),
        lambda: graph.token_state(TOKEN, TOKEN, Deadline.after(5)),
    )

    for ask in asked:
        with pytest.raises(MediaError):
            ask()

    assert len(meta.requests) == 2
    with pytest.raises(GraphTimeout):
        graph.sees(NUMBER, TOKEN, Deadline.after(-1))
