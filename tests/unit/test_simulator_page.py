"""The simulator page's server, over real HTTP: what it sends, what it shows, and whom it refuses."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from local import template as templates
from local.graph import MAX_UPLOAD, MetaSimulator
from local.page import PRESETS, Page, mime_type_of
from local.server import Server, serve

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NUMBER = "200000000000002"
TABLE = "messages"
CONTENT = b"\xff\xd8\xff\xe0 a picture"


@pytest.fixture(name="dynamodb", scope="module")
def _dynamodb() -> Iterator["DynamoDBClient"]:
    with serve(DomainDispatcherApplication(create_backend_app)) as moto:
        client = boto3.client(
            "dynamodb",
            endpoint_url=moto.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        yield client
        client.close()


@pytest.fixture(name="table")
def _table(dynamodb: "DynamoDBClient") -> Iterator["DynamoDBClient"]:
    (table,) = templates.tables(templates.load()).values()
    dynamodb.create_table(TableName=TABLE, **table.definition)
    yield dynamodb
    dynamodb.delete_table(TableName=TABLE)


class Webhook:
    """A webhook that remembers what it got."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.app = Request.application(self._answer)

    def _answer(self, request: Request) -> Response:
        (entry,) = json.loads(request.get_data())["entry"]
        self.messages += entry["changes"][0]["value"]["messages"]
        return Response("", 200)


@pytest.fixture(name="webhook")
def _webhook() -> Webhook:
    return Webhook()


@pytest.fixture(name="meta")
def _meta(webhook: Webhook) -> Iterator[MetaSimulator]:
    meta = MetaSimulator(
        app_secret="secret",
        token="token",
        phone_number_id=NUMBER,
        waba_id="300000000000003",
        display_phone_number="15550001234",
    )
    with serve(meta.app) as graph, serve(webhook.app) as server:
        meta.url, meta.webhook_url = graph.url, f"{server.url}/webhook"
        yield meta


def a_page(meta: MetaSimulator, dynamodb: "DynamoDBClient", **settings: Any) -> Page:
    return Page(
        meta=meta,
        dynamodb=dynamodb,
        table_name=TABLE,
        api_url="http://127.0.0.1:1",
        edge_url="http://127.0.0.1:2",
        media_token="the-media-token",
        **settings,
    )


@pytest.fixture(name="page")
def _page(meta: MetaSimulator, dynamodb: "DynamoDBClient") -> Iterator[Server]:
    page = a_page(meta, dynamodb)
    with serve(page.app) as server:
        page.url = server.url
        yield server


def send(page: Server, file: tuple[str, bytes, str] | None = None, **fields: str) -> requests.Response:
    parts: dict[str, Any] = {name: (None, value) for name, value in fields.items()}
    return requests.post(f"{page.url}/simulator/send", files=parts | ({"file": file} if file else {}), timeout=10)


def test_the_page_is_served_without_anything_inline_or_from_elsewhere(page: Server) -> None:
    html = requests.get(page.url, timeout=5)
    policy = html.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert html.headers["Cache-Control"] == "no-store"
    for forbidden in ("http://", "https://", "onclick", "style=", "<style"):
        assert forbidden not in html.text
    for path, content_type in (("/simulator.js", "text/javascript"), ("/simulator.css", "text/css")):
        assert requests.get(page.url + path, timeout=5).headers["Content-Type"].startswith(content_type)


def test_events_are_shown_as_they_were_heard(meta: MetaSimulator, table: "DynamoDBClient") -> None:
    page = a_page(meta, table)
    with serve(page.app) as server:
        page.url = server.url
        before = requests.get(f"{server.url}/simulator/events", timeout=5).json()
        page.heard = lambda: [{"detail-type": "media.ready", "detail": {"message_id": "m"}}]
        after = requests.get(f"{server.url}/simulator/events", timeout=5).json()

    assert (before, after) == ([], [{"detail-type": "media.ready", "detail": {"message_id": "m"}}])


def test_the_script_never_parses_what_it_is_given_as_html() -> None:
    script = (templates.PATH.parent / "local" / "simulator.js").read_text("utf-8")

    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser"):
        assert risky not in script


def test_the_page_learns_what_it_needs(page: Server) -> None:
    config = requests.get(f"{page.url}/simulator/config", timeout=5).json()

    assert config["api_url"] == "http://127.0.0.1:1"
    assert config["media_token"] == "the-media-token"
    assert config["phone_number_id"] == NUMBER
    assert config["uploads"] is True
    assert [fault["name"] for fault in config["faults"]] == list(PRESETS)


def test_an_uploaded_file_becomes_a_message_and_media_at_graph(
    page: Server, webhook: Webhook, meta: MetaSimulator
) -> None:
    answer = send(
        page, ("beach é.jpg", CONTENT, "image/jpeg"), kind="image", caption="Look", name="Zoë", wa_id="4479460000"
    ).json()

    (message,) = webhook.messages
    assert answer["delivery"]["status"] == 200
    assert answer["wamid"] == message["id"]
    assert message["from"] == "4479460000"
    assert message["image"]["caption"] == "Look"
    assert message["image"]["mime_type"] == "image/jpeg"
    described = requests.get(
        f"{meta.url}/v26.0/{message['image']['id']}", headers={"Authorization": "Bearer token"}, timeout=5
    ).json()
    assert described["file_size"] == len(CONTENT)


def test_a_document_keeps_its_name(page: Server, webhook: Webhook) -> None:
    send(page, ("Rechnung ü.pdf", b"%PDF-1.7", "application/pdf"), kind="document")

    assert webhook.messages[0]["document"]["filename"] == "Rechnung ü.pdf"


def test_a_text_needs_no_file(page: Server, webhook: Webhook) -> None:
    send(page, kind="text", text="hello")

    assert webhook.messages[0]["text"] == {"body": "hello"}


def test_a_chosen_fault_strikes_this_message_only(page: Server, meta: MetaSimulator, webhook: Webhook) -> None:
    send(page, ("a.jpg", CONTENT, "image/jpeg"), kind="image", fault="secretly_too_large")
    send(page, ("b.jpg", CONTENT, "image/jpeg"), kind="image", fault="")

    broken, _ = (message["image"]["id"] for message in webhook.messages)
    assert [(fault["media_id"], fault["fault"]) for fault in meta.faults.listed()] == [
        (broken, "lying_length"),
        (broken, "oversize"),
    ]


@pytest.mark.parametrize(
    ("file", "fields", "reason"),
    [
        (None, {}, "kind"),
        (None, {"kind": "image"}, "needs a media_id"),
        (None, {"kind": "fax", "media_id": "1"}, "kind"),
        (("a.jpg", b"", "image/jpeg"), {"kind": "image"}, "empty"),
        (("a.jpg", CONTENT, "image/jpeg"), {"kind": "image", "fault": "unheard-of"}, "no such fault"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused_with_a_reason(
    page: Server, webhook: Webhook, file: tuple[str, bytes, str] | None, fields: dict[str, str], reason: str
) -> None:
    answer = send(page, file, **fields)

    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    assert webhook.messages == []


def test_a_file_larger_than_meta_s_limit_is_refused_before_it_is_read(page: Server) -> None:
    with requests.Session() as session:
        request = requests.Request("POST", f"{page.url}/simulator/send", data=b"x").prepare()
        request.headers["Content-Length"] = str(MAX_UPLOAD * 2)
        request.headers["Content-Type"] = "multipart/form-data; boundary=b"
        assert session.send(request, timeout=10).status_code == 413


def test_with_another_graph_a_media_id_is_sent_instead_of_a_file(
    meta: MetaSimulator, dynamodb: "DynamoDBClient", webhook: Webhook
) -> None:
    page = a_page(meta, dynamodb, own_graph=False)
    with serve(page.app) as server:
        page.url = server.url
        config = requests.get(f"{server.url}/simulator/config", timeout=5).json()
        upload = send(server, ("a.jpg", CONTENT, "image/jpeg"), kind="image")
        sent = send(server, kind="document", media_id="123", filename="a.pdf")

    assert (config["uploads"], config["faults"]) == (False, [])
    assert (upload.status_code, sent.status_code) == (400, 200)
    (message,) = webhook.messages
    assert message["document"] == {"id": "123", "mime_type": "application/pdf", "filename": "a.pdf"}
    assert meta.faults.listed() == []


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}, {"Host": "127.0.0.1:1"}],
)
@pytest.mark.parametrize("path", ["/", "/simulator/config", "/simulator/messages", "/simulator/events"])
def test_other_sites_and_names_are_refused(page: Server, headers: dict[str, str], path: str) -> None:
    assert requests.get(page.url + path, headers=headers, timeout=5).status_code == 403


def test_the_page_s_own_origin_is_welcome_under_both_its_names(page: Server) -> None:
    local = f"localhost:{page.port}"

    assert requests.get(page.url, headers={"Origin": page.url}, timeout=5).status_code == 200
    assert requests.get(page.url, headers={"Host": local, "Origin": f"http://{local}"}, timeout=5).status_code == 200


def put(dynamodb: "DynamoDBClient", **attributes: str | int) -> None:
    item = {name: {"N": str(value)} if isinstance(value, int) else {"S": value} for name, value in attributes.items()}
    dynamodb.put_item(TableName=TABLE, Item=item)


def put_message(dynamodb: "DynamoDBClient", own_id: str, contact: str, moment: int, **attributes: str) -> None:
    keys = {"gsi1pk": f"CONV#{NUMBER}#{contact}", "gsi1sk": f"{moment:013d}#{own_id}"}
    put(
        dynamodb,
        pk=f"MSG#{own_id}",
        sk="MESSAGE",
        message_id=own_id,
        type="image",
        timestamp=moment,
        **keys,
        **attributes,
    )
    head = {"gsi1pk": f"HEADS#{NUMBER}", "gsi1sk": f"{moment:013d}#{contact}"}
    put(dynamodb, pk=f"CONV#{NUMBER}", sk=contact, **head)


def test_the_newest_messages_of_all_conversations_come_with_the_state_of_their_media(
    page: Server, table: "DynamoDBClient"
) -> None:
    put_message(table, "one", "ana", 100, provider_media_id="1", raw="{}")
    put_message(table, "two", "ben", 200, caption="hi")
    put_message(table, "three", "ana", 300)
    put(table, pk="MSG#one", sk="MEDIA", status="ready", size=12, s3_key="secret")
    put(table, pk="MSG#two", sk="MEDIA", status="waiting", error_code="rate_limited", attempts=2, next_attempt_at=900)
    put(table, pk="MSG#one", sk="STATUS#read#x", status="read")

    messages = requests.get(f"{page.url}/simulator/messages", timeout=5).json()

    assert [message["message_id"] for message in messages] == ["three", "two", "one"]
    assert messages[1]["caption"] == "hi"
    assert messages[1]["media"] == {
        "status": "waiting",
        "error_code": "rate_limited",
        "attempts": 2,
        "next_attempt_at": 900,
    }
    assert messages[2]["media"] == {"status": "ready", "size": 12}
    assert messages[2].keys() == {"message_id", "type", "timestamp", "provider_media_id", "media"}


def test_more_messages_than_one_batch_holds_are_read(page: Server, table: "DynamoDBClient") -> None:
    for moment in range(60):
        put_message(table, f"m{moment:02d}", "ana", moment)

    messages = requests.get(f"{page.url}/simulator/messages", timeout=5).json()

    assert [message["message_id"] for message in messages] == [f"m{moment:02d}" for moment in range(59, 9, -1)]


@pytest.mark.parametrize(
    ("filename", "declared", "kind", "expected"),
    [
        ("a.jpg", "image/jpeg", "image", "image/jpeg"),
        ("a.ogg", "audio/ogg", "voice", "audio/ogg; codecs=opus"),
        ("a.ogg", "video/ogg", "voice", "audio/ogg; codecs=opus"),
        ("a.ogg", "audio/ogg", "audio", "audio/ogg"),
        ("a.pdf", "", "document", "application/pdf"),
        ("a.pdf", "application/octet-stream", "document", "application/pdf"),
        ("a", None, "document", "application/octet-stream"),
    ],
)
def test_a_file_s_type_is_what_meta_would_say(filename: str, declared: str | None, kind: str, expected: str) -> None:
    assert mime_type_of(filename, declared, kind) == expected
