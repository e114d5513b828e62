"""How the integration tests' proxy leads each call to the emulator of its service, as it was signed."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Request, Response

from local.cloud import Access
from local.server import serve
from tests.integration.aws_proxy import AwsProxy
from tests.integration.witness import Witness

PLACES = {
    "AWS_ENDPOINT_URL": "rest",
    "AWS_ENDPOINT_URL_DYNAMODB": "tables",
    "AWS_ENDPOINT_URL_S3": "objects",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER": "secrets",
}


class Recorder:
    """An emulator that keeps what it is asked, and answers with nothing."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Headers, bytes]] = []

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        self.requests.append((environ["REQUEST_URI"], Headers(request.headers), request.get_data()))
        nothing = "{}" if "X-Amz-Target" in request.headers else "<Nothing/>"
        return Response(nothing)(environ, start_response)


@pytest.fixture
def emulators() -> dict[str, Recorder]:
    return {place: Recorder() for place in PLACES.values()}


@pytest.fixture
def proxy_url(emulators: dict[str, Recorder]) -> Iterator[str]:
    with ExitStack() as closing:
        urls = {name: closing.enter_context(serve(emulators[place])).url for name, place in PLACES.items()}
        yield closing.enter_context(serve(AwsProxy(Access(urls), Witness()))).url


@pytest.mark.parametrize(
    ("service", "call", "arguments", "place"),
    [
        ("dynamodb", "list_tables", {}, "tables"),
        ("s3", "head_object", {"Bucket": "bucket", "Key": "key"}, "objects"),
        ("cloudfront", "list_distributions", {}, "rest"),
        ("sqs", "list_queues", {}, "rest"),
        ("secretsmanager", "list_secrets", {}, "secrets"),
    ],
)
def test_each_call_reaches_the_emulator_of_its_service(
    emulators: dict[str, Recorder], proxy_url: str, service: str, call: str, arguments: dict[str, str], place: str
) -> None:
    client = Access({"AWS_ENDPOINT_URL": proxy_url}).client(service)

    getattr(client, call)(**arguments)

    assert [name for name, emulator in emulators.items() if emulator.requests] == [place]


def test_a_call_that_is_signed_in_its_address_or_not_at_all_is_for_s3(
    emulators: dict[str, Recorder], proxy_url: str
) -> None:
    client = Access({"AWS_ENDPOINT_URL": proxy_url}).client("s3")
    presigned = client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})

    requests.get(presigned, timeout=10)
    requests.get(f"{proxy_url}/bucket/key", timeout=10)

    assert len(emulators["objects"].requests) == 2


def test_what_is_signed_arrives_as_it_was_sent(emulators: dict[str, Recorder], proxy_url: str) -> None:
    path = "/bucket/a%20b%2Fc~%C3%A9//d?partNumber=1&x=+%2B&empty="
    signed = {
        "Authorization": "AWS4-HMAC-SHA256 x",
        "X-Amz-Content-SHA256": "y",
        "Content-MD5": "z==",
        "Range": "bytes=0-",
    }

    requests.put(proxy_url + path, b"\x00\xff", headers=signed, timeout=10)

    ((uri, headers, body),) = emulators["objects"].requests
    assert uri == path
    assert body == b"\x00\xff"
    sent = {**signed, "Host": proxy_url.removeprefix("http://")}
    assert {name: headers.get(name) for name in sent} == sent
