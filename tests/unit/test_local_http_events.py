"""Requests and answers as an HTTP API translates them, compared with what was seen of real ones."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.http_events import (
    Answer,
    Match,
    Refused,
    Request,
    build_event,
    decode_path,
    encode_body,
    find_route,
    match_path,
    preflight,
    query_parameters,
    read_result,
    readable_by,
    without_cors,
)
from local.template import Cors, Route

MEDIA = Route("GET", "/media/messages/{message_id}", "MediaProxyFunction")
WEBHOOK = Route("POST", "/webhook", "WebhookFunction")
ROUTES = [MEDIA, WEBHOOK, Route("GET", "/webhook", "WebhookFunction")]
CORS = Cors(("http://page",), ("GET", "HEAD"), ("authorization",), ("retry-after",), credentials=True, max_age=600)


def event_of(request: Request, route: Route = WEBHOOK, **parameters: str) -> dict[str, Any]:
    path = request.target.partition("?")[0]
    return build_event(request, Match(route, parameters), path, request_id="abc=", now=1_783_711_145.766)


def test_an_event_has_every_field_of_payload_format_2() -> None:
    request = Request(
        method="POST",
        target="/webhook?a=1&a=2&empty=&plus=a+b&encoded=a%2Bb",
        headers={"host": "127.0.0.1:8080", "content-type": "application/json", "x-two": "1,2", "user-agent": "t"},
        cookies=("session=abc", "theme=dark"),
        body='{"λ":1}'.encode(),
    )

    event = event_of(request)

    headers = event.pop("headers")
    assert event == {
        "version": "2.0",
        "routeKey": "POST /webhook",
        "rawPath": "/webhook",
        "rawQueryString": "a=1&a=2&empty=&plus=a+b&encoded=a%2Bb",
        "cookies": ["session=abc", "theme=dark"],
        "queryStringParameters": {"a": "1,2", "empty": "", "plus": "a b", "encoded": "a+b"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": "127.0.0.1:8080",
            "domainPrefix": "127",
            "http": {
                "method": "POST",
                "path": "/webhook",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "t",
            },
            "requestId": "abc=",
            "routeKey": "POST /webhook",
            "stage": "$default",
            "time": "10/Jul/2026:19:19:05 +0000",
            "timeEpoch": 1783711145766,
        },
        "body": '{"λ":1}',
        "isBase64Encoded": False,
    }
    assert headers["x-two"] == "1,2"
    assert headers["content-length"] == "8"
    assert (headers["x-forwarded-for"], headers["x-forwarded-port"]) == ("127.0.0.1", "8080")
    assert headers["x-amzn-trace-id"].startswith("Root=1-6a5145a9-")


def test_what_a_request_lacks_its_event_lacks_too() -> None:
    event = event_of(Request("GET", "/webhook"))

    absent = {"cookies", "queryStringParameters", "pathParameters", "body"}
    assert not absent & event.keys()
    assert (event["rawQueryString"], event["isBase64Encoded"]) == ("", False)


def test_path_parameters_reach_the_event() -> None:
    assert event_of(Request("GET", "/media/messages/x"), MEDIA, message_id="x")["pathParameters"] == {"message_id": "x"}


def test_hop_by_hop_headers_stay_behind_and_proxies_are_listed() -> None:
    request = Request("GET", "/", {"connection": "keep-alive", "x-forwarded-for": "10.0.0.1"}, source_ip="10.0.0.2")

    headers = event_of(request)["headers"]

    assert "connection" not in headers
    assert headers["x-forwarded-for"] == "10.0.0.1, 10.0.0.2"


@pytest.mark.parametrize(
    ("sent", "raw_path"),
    [
        ("/capture/plain", "/capture/plain"),
        ("/capture/space%20value", "/capture/space value"),
        ("/capture/question%3Fvalue", "/capture/question"),
        ("/capture/hash%23value", "/capture/hash#value"),
        ("/capture/slash%2Fvalue", "/capture/slash/value"),
        ("/capture/unicode-%CE%BB-%E4%B8%96", "/capture/unicode-λ-世"),
        ("/capture/literal%252Fvalue", "/capture/literal/value"),
        ("/capture/literal%253Fvalue", "/capture/literal?value"),
        ("/capture/literal%2525value", "/capture/literal%value"),
        ("/capture/plain?x=%2F", "/capture/plain"),
    ],
)
def test_paths_are_decoded_as_real_http_apis_were_seen_to_do(sent: str, raw_path: str) -> None:
    assert decode_path(sent)[1] == raw_path


@pytest.mark.parametrize("sent", ["/capture/percent%25done", "/a%", "/a%zz", "/a%2", "/a%FF"])
def test_a_path_that_cannot_be_decoded_twice_is_refused(sent: str) -> None:
    with pytest.raises(Refused) as refusal:
        decode_path(sent)

    assert refusal.value.status == 400


@given(st.text())
def test_any_path_is_decoded_or_refused_never_worse(path: str) -> None:
    try:
        once, twice = decode_path("/" + path)
    except Refused:
        return
    assert once.startswith("/")
    assert twice.startswith("/")


def test_an_encoded_slash_splits_a_segment_and_a_doubly_encoded_one_does_not() -> None:
    split, _ = decode_path("/media/messages/a%2Fb")
    whole, _ = decode_path("/media/messages/a%252Fb")

    with pytest.raises(Refused) as refusal:
        find_route(ROUTES, "GET", split)
    assert refusal.value.status == 404
    assert find_route(ROUTES, "GET", whole).parameters == {"message_id": "a/b"}


@pytest.mark.parametrize(
    ("pattern", "path", "parameters"),
    [
        ("/webhook", "/webhook", {}),
        ("/webhook", "/webhook/", None),
        ("/webhook", "/Webhook", None),
        ("/media/{id}", "/media/x", {"id": "x"}),
        ("/media/{id}", "/media/", None),
        ("/media/{id}", "/media/x/y", None),
        ("/media/{id}/meta", "/media/x/meta", {"id": "x"}),
        ("/all/{proxy+}", "/all/x/y/z", {"proxy": "x/y/z"}),
        ("/all/{proxy+}", "/all/x", {"proxy": "x"}),
        ("/all/{proxy+}", "/all/", None),
        ("/all/{proxy+}", "/all", None),
    ],
)
def test_paths_match_whole_segments(pattern: str, path: str, parameters: dict[str, str] | None) -> None:
    assert match_path(pattern, path) == parameters


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/a/b", "GET /a/b"),
        ("POST", "/a/b", "ANY /a/b"),
        ("GET", "/a/c", "GET /a/{x}"),
        ("GET", "/a/c/d", "ANY /{all+}"),
    ],
)
def test_the_most_specific_route_wins(method: str, path: str, expected: str) -> None:
    routes = [
        Route("ANY", "/{all+}", "F"),
        Route("GET", "/a/{x}", "F"),
        Route("ANY", "/a/b", "F"),
        Route("GET", "/a/b", "F"),
    ]

    assert find_route(routes, method, path).route.key == expected


@pytest.mark.parametrize(("method", "path"), [("PUT", "/webhook"), ("GET", "/"), ("HEAD", "/webhook")])
def test_what_no_route_takes_is_not_found(method: str, path: str) -> None:
    with pytest.raises(Refused) as refusal:
        find_route(ROUTES, method, path)

    assert refusal.value.answer == Answer(404, [("Content-Type", "application/json")], b'{"message":"Not Found"}')


@pytest.mark.parametrize(
    ("content_type", "is_base64"),
    [
        ("application/json", False),
        ("Application/JSON; charset=utf-8", False),
        ("application/xml", False),
        ("application/javascript", False),
        ("text/anything", False),
        ("application/problem+json", True),
        ("application/x-www-form-urlencoded", True),
        ("application/octet-stream", True),
        ("image/png", True),
        (None, True),
    ],
)
def test_only_a_few_types_travel_as_text(content_type: str | None, is_base64: bool) -> None:
    body, flagged = encode_body(b"{}", content_type)

    assert flagged is is_base64
    assert (base64.b64decode(body) if flagged else body.encode()) == b"{}"


def test_text_that_is_not_utf_8_travels_as_base64() -> None:
    assert encode_body(b"\xff", "application/json") == ("/w==", True)


@given(st.binary(), st.sampled_from([None, "application/json", "text/plain", "image/png"]))
def test_no_byte_of_a_body_is_lost(body: bytes, content_type: str | None) -> None:
    text, is_base64 = encode_body(body, content_type)

    assert (base64.b64decode(text) if is_base64 else text.encode()) == body


def test_names_with_dots_and_without_values_are_kept() -> None:
    assert query_parameters("hub.mode=subscribe&flag&x=%C3%A9") == {"hub.mode": "subscribe", "flag": "", "x": "é"}


def test_a_result_becomes_an_answer_with_each_cookie_in_a_header_of_its_own() -> None:
    answer = read_result(
        {
            "statusCode": 302,
            "headers": {"Location": "https://x", "Content-Length": "99", "X-Number": 5, "X-Flag": True},
            "cookies": ["a=1", "b=2"],
        }
    )

    assert answer.status == 302
    assert answer.headers == [
        ("Location", "https://x"),
        ("X-Number", "5"),
        ("X-Flag", "true"),
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ]
    assert answer.body == b""


def test_base64_bodies_are_decoded() -> None:
    result = {
        "statusCode": "200",
        "body": base64.b64encode(b"\x00\xff").decode(),
        "isBase64Encoded": True,
        "headers": {"content-type": "image/png"},
    }

    assert read_result(result) == Answer(200, [("content-type", "image/png")], b"\x00\xff")


@pytest.mark.parametrize(("result", "body"), [({"a": 1}, '{"a": 1}'), ("text", "text"), (None, "null"), ([1], "[1]")])
def test_a_result_without_a_status_is_the_body_itself(result: Any, body: str) -> None:
    assert read_result(result) == Answer(200, [("Content-Type", "application/json")], body.encode())


@pytest.mark.parametrize(
    "result",
    [
        {"statusCode": "teapot"},
        {"statusCode": 1000},
        {"statusCode": None},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True},
        {"statusCode": 200, "headers": {"X": "a\r\nInjected: yes"}},
        {"statusCode": 200, "headers": {"X": ["a"]}},
        {"statusCode": 200, "headers": ["X"]},
        {"statusCode": 200, "cookies": ["a\nb"]},
    ],
)
def test_a_malformed_result_is_an_internal_server_error(result: Any) -> None:
    with pytest.raises(Refused) as refusal:
        read_result(result)

    assert refusal.value.status == 500
    assert json.loads(refusal.value.answer.body) == {"message": "Internal Server Error"}


def test_a_preflight_of_an_allowed_origin_is_told_what_is_allowed() -> None:
    request = Request("OPTIONS", "/x", {"origin": "http://page", "access-control-request-method": "GET"})

    answer = preflight(request, CORS)

    assert answer.status == 204
    assert dict(answer.headers) == {
        "Access-Control-Allow-Methods": "GET,HEAD",
        "Access-Control-Allow-Headers": "authorization",
        "Access-Control-Max-Age": "600",
    }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://page"},
        {"access-control-request-method": "GET"},
        {"origin": "http://evil", "access-control-request-method": "GET"},
    ],
)
def test_other_preflights_are_told_nothing(headers: dict[str, str]) -> None:
    assert preflight(Request("OPTIONS", "/x", headers), CORS) == Answer(204, [])


def test_only_allowed_origins_may_read_an_answer() -> None:
    answer = Answer(200, [("X", "1")])

    assert readable_by("http://evil", answer, CORS) == answer
    assert readable_by("http://page", answer, CORS).headers == [
        ("X", "1"),
        ("Access-Control-Allow-Origin", "http://page"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Expose-Headers", "retry-after"),
    ]
    assert readable_by("http://any", answer, Cors(("*",))).headers == [("X", "1"), ("Access-Control-Allow-Origin", "*")]


def test_the_cors_headers_of_a_function_do_not_count() -> None:
    answer = Answer(200, [("Access-Control-Allow-Origin", "*"), ("X", "1")], b"x")

    assert without_cors(answer) == Answer(200, [("X", "1")], b"x")
