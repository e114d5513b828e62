"""The little server under every local service, over real connections."""

import http.client
from collections.abc import Iterator

import pytest
import requests
from werkzeug.wrappers import Request, Response

from local.server import DRAIN_BYTES, NoSuchAddress, PortTaken, Server, for_programs, serve


@Request.application
def application(request: Request) -> Response:
    match request.path:
        case "/broken":
            raise RuntimeError("on purpose")
        case "/short":
            return Response(iter([b"0123456789"]), headers={"Content-Length": "100"})
        case "/long":
            return Response(iter([b"0123456789"]), headers={"Content-Length": "4"})
        case "/stream":
            return Response(iter([b"one", b"two"]))
        case "/ignore":
            return Response("ignored")
        case _:
            return Response(request.get_data() or b"empty")


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Server]:
    with serve(application) as server:
        yield server


@pytest.fixture(name="connection")
def _connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    yield connection
    connection.close()


def answer(connection: http.client.HTTPConnection, *request: object) -> tuple[int, bytes]:
    connection.request(*request)  # type: ignore[arg-type]
    response = connection.getresponse()
    return response.status, response.read()


@pytest.fixture(name="guarded", scope="module")
def _guarded() -> Iterator[Server]:
    with serve(for_programs(application)) as server:
        yield server


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_what_is_for_programs_answers_no_page(guarded: Server, method: str, headers: dict[str, str]) -> None:
    answered = requests.request(method, guarded.url, headers=headers, timeout=5)

    assert answered.status_code == 403
    assert "Access-Control-Allow-Origin" not in answered.headers


@pytest.mark.parametrize(
    "host", [None, "localhost:80", "127.0.0.1", "bucket.s3.localhost:80", "host.docker.internal:9"]
)
def test_what_is_for_programs_answers_programs(guarded: Server, host: str | None) -> None:
    assert requests.get(guarded.url, headers={"Host": host} if host else {}, timeout=5).status_code == 200


def test_one_connection_serves_many_requests(connection: http.client.HTTPConnection) -> None:
    connection.connect()
    socket = connection.sock

    for path in ("/", "/stream", "/ignore"):
        assert answer(connection, "POST", path, b"body")[0] == 200
    assert answer(connection, "HEAD", "/") == (200, b"")
    assert answer(connection, "POST", "/", b"same connection") == (200, b"same connection")

    assert connection.sock is socket


def test_a_body_that_nobody_read_does_not_spoil_the_next_request(
    connection: http.client.HTTPConnection,
) -> None:
    assert answer(connection, "POST", "/ignore", bytes(1_000_000)) == (200, b"ignored")
    assert answer(connection, "POST", "/", b"next") == (200, b"next")


def test_a_body_too_long_to_be_thrown_away_closes_the_connection(
    connection: http.client.HTTPConnection,
) -> None:
    connection.putrequest("POST", "/ignore")
    connection.putheader("Content-Length", str(DRAIN_BYTES * 2))
    connection.endheaders(bytes(DRAIN_BYTES))

    assert connection.getresponse().read() == b"ignored"
    assert connection.sock.recv(1) == b""


def test_a_chunked_body_arrives_whole(server: Server) -> None:
    assert requests.post(server.url, data=iter([b"abc", b"def"]), timeout=5).content == b"abcdef"


def test_an_answer_without_a_length_arrives_whole(server: Server) -> None:
    assert requests.get(f"{server.url}/stream", timeout=5).content == b"onetwo"


def test_an_answer_shorter_than_promised_is_seen_as_broken(server: Server) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{server.url}/short", timeout=5)


def test_an_answer_longer_than_promised_does_not_spoil_the_next(connection: http.client.HTTPConnection) -> None:
    assert answer(connection, "GET", "/long") == (200, b"0123")
    assert answer(connection, "POST", "/", b"next") == (200, b"next")


def test_an_application_that_fails_answers_500_and_the_server_lives_on(server: Server) -> None:
    assert requests.get(f"{server.url}/broken", timeout=5).status_code == 500
    assert requests.get(server.url, timeout=5).status_code == 200


def test_a_taken_port_is_named(server: Server) -> None:
    with pytest.raises(PortTaken, match=str(server.port)) as caught:
        serve(application, server.port)

    assert caught.value.port == server.port


def test_closing_drops_open_connections_and_frees_the_port() -> None:
    server = serve(application)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    assert answer(connection, "GET", "/") == (200, b"empty")

    server.close()
    server.close()

    assert connection.sock.recv(1) == b""
    connection.close()
    with serve(application, server.port) as again:
        assert requests.get(again.url, timeout=5).content == b"empty"


def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(NoSuchAddress, match=r"240\.0\.0\.1"):
        serve(application, host="240.0.0.1")


def test_who_listens_everywhere_is_found_at_home() -> None:
    with serve(application, host="0.0.0.0") as server:  # noqa: S104  (that is what is tried)
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert requests.get(server.url, timeout=5).text == "empty"
