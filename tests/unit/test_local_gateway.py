"""The gateway over real connections, in front of functions that are plain Python."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from local.environments import (
    EnvironmentCrashed,
    FunctionFailed,
    FunctionTimedOut,
    NoAnswerInTime,
    RequestTooLarge,
    ResponseTooLarge,
)
from local.gateway import MAX_BODY, MAX_HEAD, Gateway
from local.server import Server, serve
from local.template import Cors, Route

ROUTES = [
    Route("GET", "/webhook", "Echo"),
    Route("POST", "/webhook", "Echo", 5.0),
    Route("GET", "/media/messages/{message_id}", "Echo"),
    Route("HEAD", "/media/messages/{message_id}", "Echo"),
    Route("GET", "/fail/{kind}", "Fail"),
    Route("GET", "/cookies", "Cookies"),
    Route("GET", "/together", "Together"),
]
CORS = Cors(("http://page",), ("GET",), ("authorization",), ("retry-after",), credentials=True, max_age=600)
FAILURES: dict[str, Exception] = {
    "raised": FunctionFailed("ValueError", "secret detail"),
    "crashed": EnvironmentCrashed("died"),
    "too-large": ResponseTooLarge("7 MB"),
    "timed-out": FunctionTimedOut("3 s"),
    "no-answer": NoAnswerInTime("30 s"),
    "event-too-large": RequestTooLarge("7 MB"),
}


class Functions:
    """Functions by name, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float | None]] = []
        self.together = threading.Barrier(64)
        self._functions: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "Echo": self._echo,
            "Fail": self._fail,
            "Cookies": lambda _: {"statusCode": 200, "cookies": ["a=1; Path=/", "b=2"], "headers": {"X-É": "é"}},
            "Together": lambda _: {"statusCode": 200, "body": str(self.together.wait(20) >= 0)},
        }

    def invoke(self, function_id: str, event: Mapping[str, Any], patience: float | None = None) -> Any:
        self.asked.append((function_id, patience))
        return self._functions[function_id](event)

    @staticmethod
    def _echo(event: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}
        return {"statusCode": 200, "headers": headers, "body": json.dumps(event)}

    @staticmethod
    def _fail(event: Mapping[str, Any]) -> None:
        raise FAILURES[event["pathParameters"]["kind"]]


@pytest.fixture(name="functions", scope="module")
def _functions() -> Functions:
    return Functions()


@pytest.fixture(name="server", scope="module")
def _server(functions: Functions) -> Iterator[Server]:
    with serve(Gateway(ROUTES, CORS, functions).app) as server:
        yield server


def raw(server: Server, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_request_reaches_the_function_of_its_route(server: Server, functions: Functions) -> None:
    answer = requests.post(
        f"{server.url}/webhook?x=1", data=b'{"a":1}', headers={"Content-Type": "application/json"}, timeout=5
    )

    event = answer.json()
    assert event["routeKey"] == "POST /webhook"
    assert event["body"] == '{"a":1}'
    assert event["queryStringParameters"] == {"x": "1"}
    assert event["requestContext"]["requestId"] == answer.headers["Apigw-Requestid"]
    assert functions.asked[-1] == ("Echo", 5.0)


def test_duplicate_headers_are_joined_and_cookies_are_taken_out(server: Server) -> None:
    answer = raw(
        server,
        b"GET /webhook HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nX-Two: 2\r\nCookie: a=1; b=2\r\n"
        b"X-Bytes: \xc3\xa9\r\nConnection: close\r\n\r\n",
    )

    event = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert event["headers"]["x-two"] == "1,2"
    assert event["headers"]["x-bytes"] == "é"
    assert event["cookies"] == ["a=1", "b=2"]
    assert "cookie" not in event["headers"]
    assert "content-type" not in event["headers"]


@pytest.mark.parametrize("target", [b"http://127.0.0.1/webhook?x=1", b"/webhook?x=1"])
def test_a_target_may_name_the_server(server: Server, target: bytes) -> None:
    answer = raw(server, b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")

    event = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (event["rawPath"], event["rawQueryString"]) == ("/webhook", "x=1")


def test_a_chunked_body_arrives_whole(server: Server) -> None:
    answer = requests.post(
        f"{server.url}/webhook", data=iter([b"ab", b"cd"]), headers={"Content-Type": "text/plain"}, timeout=5
    )

    assert answer.json()["body"] == "abcd"


def test_head_is_answered_without_a_body(server: Server) -> None:
    answer = requests.head(f"{server.url}/media/messages/x", timeout=5)

    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["Content-Length"]) > 0


def test_connections_stay_open(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    sockets = set()
    for path in ("/webhook", "/nowhere", "/fail/raised", "/webhook"):
        connection.request("GET", path)
        connection.getresponse().read()
        sockets.add(connection.sock)
    connection.close()

    assert len(sockets) == 1


def test_each_cookie_has_a_header_of_its_own_and_headers_may_hold_any_text(server: Server) -> None:
    answer = raw(server, b"GET /cookies HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")

    assert b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\n" in answer


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nowhere", 404, "Not Found"),
        ("/media/messages/a%2Fb", 404, "Not Found"),
        ("/media/messages/a%25b", 400, "Bad Request"),
        ("/fail/raised", 500, "Internal Server Error"),
        ("/fail/crashed", 500, "Internal Server Error"),
        ("/fail/too-large", 500, "Internal Server Error"),
        ("/fail/timed-out", 503, "Service Unavailable"),
        ("/fail/no-answer", 503, "Service Unavailable"),
        ("/fail/event-too-large", 413, "Request Entity Too Large"),
    ],
)
def test_what_the_gateway_answers_by_itself(server: Server, path: str, status: int, message: str) -> None:
    answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.endswith(f'{{"message":"{message}"}}'.encode())
    assert b"Content-Type: application/json" in answer


def test_a_body_over_ten_megabytes_is_refused(server: Server, functions: Functions) -> None:
    before = len(functions.asked)

    answer = requests.post(f"{server.url}/webhook", data=b"x" * (MAX_BODY + 1), timeout=20)

    assert (answer.status_code, answer.json()) == (413, {"message": "Request Entity Too Large"})
    assert len(functions.asked) == before


def test_a_head_over_ten_kilobytes_is_refused(server: Server) -> None:
    answer = requests.get(f"{server.url}/media/messages/{'x' * MAX_HEAD}", timeout=5)

    assert answer.status_code == 431


def test_a_preflight_is_answered_from_the_configuration(server: Server, functions: Functions) -> None:
    before = len(functions.asked)
    headers = {"Origin": "http://page", "Access-Control-Request-Method": "GET"}

    answer = requests.options(f"{server.url}/media/messages/x", headers=headers, timeout=5)

    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "http://page"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization"
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert len(functions.asked) == before


@pytest.mark.parametrize("path", ["/webhook", "/nowhere", "/fail/raised"])
def test_an_allowed_origin_may_read_every_answer(server: Server, path: str) -> None:
    answer = requests.get(server.url + path, headers={"Origin": "http://page"}, timeout=5)

    assert answer.headers["Access-Control-Allow-Origin"] == "http://page"
    assert answer.headers["Access-Control-Expose-Headers"] == "retry-after"


def test_another_origin_may_not_even_when_the_function_says_so(server: Server) -> None:
    answer = requests.get(f"{server.url}/webhook", headers={"Origin": "http://evil"}, timeout=5)

    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_without_a_cors_configuration_the_function_decides() -> None:
    with serve(Gateway(ROUTES, None, Functions()).app) as server:
        answer = requests.get(f"{server.url}/webhook", headers={"Origin": "http://page"}, timeout=5)
        preflight = requests.options(f"{server.url}/webhook", headers={"Origin": "http://page"}, timeout=5)

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert preflight.status_code == 404


def test_64_requests_are_in_progress_at_once(server: Server) -> None:
    with ThreadPoolExecutor(64) as threads:
        answers = threads.map(lambda _: requests.get(f"{server.url}/together", timeout=30).text, range(64))

        assert set(answers) == {"True"}
