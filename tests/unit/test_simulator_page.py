"""The simulator page's server, over real HTTP: what it sends, what it shows, and whom it refuses."""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from inbound.media import message_id
from local import template as templates
from local.contents import KINDS, UNSUPPORTED
from local.graph import MAX_UPLOAD, MetaSimulator
from local.notifications import STATUSES
from local.options import APP_ID
from local.outgoing import BY_BUSINESS, Outgoing
from local.page import Page, mime_type_of
from local.panel import CONTACTS, GROUPS, PRESETS
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
        self.bodies: list[bytes] = []
        self.app = Request.application(self._answer)

    def _answer(self, request: Request) -> Response:
        self.bodies.append(request.get_data())
        return Response("", 200)

    @property
    def batches(self) -> list[list[dict[str, Any]]]:
        """The messages of each POST."""
        changes = [json.loads(body)["entry"][0]["changes"][0]["value"] for body in self.bodies]
        return [change["messages"] for change in changes]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [message for batch in self.batches for message in batch]


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


def send(page: Server, file: tuple[str, bytes, str] | None = None, /, **fields: str) -> requests.Response:
    parts: dict[str, Any] = {name: (None, value) for name, value in fields.items()}
    return requests.post(f"{page.url}/simulator/send", files=parts | ({"file": file} if file else {}), timeout=10)


def test_the_page_is_served_without_anything_inline_or_from_elsewhere(page: Server) -> None:
    html = requests.get(page.url, timeout=5)
    policy = html.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert html.headers["Cache-Control"] == "no-store"
    for forbidden in ("http://", "https://", "onclick", "style=", "<style"):
        assert forbidden not in html.text
    for path, content_type in (("/simulator.js", "text/javascript"), ("/simulator.css", "text/css")):
        assert requests.get(page.url + path, timeout=5).headers["Content-Type"].startswith(content_type)


def test_the_panel_s_form_offers_what_can_be_sent() -> None:
    html = (templates.PATH.parent / "local" / "simulator.html").read_text("utf-8")

    def values(name: str) -> list[str]:
        (inside,) = re.findall(rf'<select name="{name}".*?</select>', html, re.DOTALL)
        return re.findall(r'<option value="(\w+)"', inside)

    assert sorted(values("kind")) == sorted(KINDS)
    assert values("status") == list(STATUSES)
    assert values("unsupported") == list(UNSUPPORTED)


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
    assert [contact["name"] for contact in config["contacts"]] == [contact.name for contact in CONTACTS]
    assert [group["id"] for group in config["groups"]] == list(GROUPS)
    assert set(config["by_business"]) == BY_BUSINESS


def test_an_uploaded_file_becomes_a_message_and_media_at_graph(
    page: Server, webhook: Webhook, meta: MetaSimulator
) -> None:
    fields = {"kind": "image", "caption": "Look", "contact.name": "Zoë", "contact.wa_id": "4479460000"}
    answer = send(page, ("beach é.jpg", CONTENT, "image/jpeg"), **fields).json()

    (message,) = webhook.messages
    (sent,) = answer["webhooks"]
    (told,) = sent["messages"]
    assert (sent["status"], sent["attempts"], sent["count"], sent["size"]) == (200, 1, 1, len(webhook.bodies[0]))
    assert (told["wamid"], told["media_ids"], told["words"]) == (message["id"], [message["image"]["id"]], "Look")
    assert told["message_id"] == message_id(NUMBER, message["id"])
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


PICTURE = ("a.jpg", CONTENT, "image/jpeg")


@pytest.mark.parametrize(
    ("file", "fields", "reason"),
    [
        (None, {}, "kind"),
        (None, {"kind": "image"}, "needs a media_id"),
        (None, {"kind": "fax", "media_id": "1"}, "kind"),
        (None, {"kind.inner": "image"}, "kind"),
        (None, {"kind": "text", "kind.inner": "image"}, "kind.inner"),
        (("a.jpg", b"", "image/jpeg"), {"kind": "image"}, "empty"),
        (PICTURE, {"kind": "image", "fault": "unheard-of"}, "no such fault"),
        (PICTURE, {"kind": "image", "filename": "x" * 2000, "mime_type": "y" * 2000}, "mime_type"),
        (("x" * 2000, CONTENT, "image/jpeg"), {"kind": "image"}, "filename"),
        (None, {"kind": "text", "count": "0"}, "count"),
        (None, {"kind": "text", "count": "1001"}, "count"),
        (None, {"kind": "text", "count": "1e9"}, "count"),
        (None, {"kind": "text", "posts": "some"}, "posts"),
        (None, {"kind": "text", "age": "-1"}, "age"),
        (None, {"kind": "text", "age": "nan"}, "age"),
        (None, {"kind": "text", "age": "1e300"}, "age"),
        (None, {"kind": "text", "text": "x" * 65_537}, "text"),
        (None, {"kind": "text", "text": "x" * 65_536, "count": "1000"}, "more text"),
        (None, {"kind": "text", "contact.name": "A"}, "phone number or a user id"),
        (None, {"kind": "text", "contact.wa_id": "5" * 300}, "wa_id"),
        (None, {"kind": "text", "contact.wa_id": "5", "contact.surplus": "x"}, "surplus"),
        (None, {"kind": "text", "contact": "somebody"}, "contact"),
        (None, {"kind": "text", "group_id": "../x"}, "group_id"),
        (None, {"kind": "text", "surplus": "x"}, "surplus"),
        (None, {"kind": "reaction", "text": "👍"}, "needs a target"),
        (None, {"kind": "revoke", "target": "x" * 513}, "target"),
        (None, {"kind": "status", "target": "wamid.x", "status": "savoured"}, "status"),
        (None, {"kind": "order", "echo": "true"}, "does not send"),
        (None, {"kind": "flow_reply", "answers": "no JSON"}, "answers"),
        (None, {"kind": "flow_reply", "answers": "[1]"}, "answers"),
        (None, {"kind": "flow_reply", "answers": '{"a":' * 50_000}, "answers"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_form_that_makes_no_sense_is_refused_with_a_reason(
    page: Server, webhook: Webhook, file: tuple[str, bytes, str] | None, fields: dict[str, str], reason: str
) -> None:
    answer = send(page, file, **fields)

    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    assert len(answer.content) < 2000
    assert webhook.messages == []


def test_a_form_that_is_refused_leaves_no_file_behind(page: Server, meta: MetaSimulator) -> None:
    refused = send(page, PICTURE, kind="image", fault="unheard-of")

    assert refused.status_code == 400
    assert meta.forget_all_media() == 0


def test_more_than_a_form_may_hold_is_refused(page: Server, webhook: Webhook) -> None:
    answer = send(page, kind="text", text="x" * 3_000_000)

    assert answer.status_code == 413
    assert answer.json()["error"]
    assert webhook.messages == []


def test_a_customer_without_a_number_has_none(page: Server, webhook: Webhook) -> None:
    send(page, kind="text", text="x", **{"contact.name": "Kai", "contact.user_id": "US.66", "contact.username": "kai"})

    (message,) = webhook.messages
    assert message["from_user_id"] == "US.66"
    assert "from" not in message


def test_many_messages_come_in_one_post_each_with_media_of_its_own(
    page: Server, webhook: Webhook, meta: MetaSimulator
) -> None:
    before = time.time()
    answer = send(page, PICTURE, kind="image", caption="Look", count="100", fault="cut_off", age="3600").json()

    (sent,) = answer["webhooks"]
    (batch,) = webhook.batches
    assert (sent["count"], len(batch)) == (100, 100)
    assert len({message["id"] for message in batch}) == 100
    assert [message["image"]["caption"] for message in batch] == [f"Look ({n})" for n in range(1, 101)]
    media_ids = [message["image"]["id"] for message in batch]
    assert len(set(media_ids)) == 100
    assert sorted(fault["media_id"] for fault in meta.faults.listed()) == sorted(media_ids)
    moments = [int(message["timestamp"]) for message in batch]
    assert moments == list(range(moments[-1] - 99, moments[-1] + 1))
    assert before - 3601 <= moments[-1] <= time.time() - 3600
    assert {described(meta, media_id)["sha256"] for media_id in media_ids} == {hashlib.sha256(CONTENT).hexdigest()}


def test_many_messages_come_in_a_post_each(page: Server, webhook: Webhook) -> None:
    answer = send(page, kind="text", text="hello", count="12", posts="each").json()

    assert [len(batch) for batch in webhook.batches] == [1] * 12
    assert sorted(sent["messages"][0]["words"] for sent in answer["webhooks"]) == sorted(
        f"hello ({n})" for n in range(1, 13)
    )


def test_a_message_about_nobody_can_be_sent_many_times(page: Server, webhook: Webhook) -> None:
    (sent,) = send(page, kind="other_field", count="3").json()["webhooks"]

    (body,) = webhook.bodies
    assert [change["field"] for change in json.loads(body)["entry"][0]["changes"]] == [
        "phone_number_quality_update"
    ] * 3
    assert (sent["count"], sent["messages"]) == (0, [])


def described(meta: MetaSimulator, media_id: str) -> dict[str, Any]:
    headers = {"Authorization": "Bearer token"}
    answer: dict[str, Any] = requests.get(f"{meta.url}/v26.0/{media_id}", headers=headers, timeout=5).json()
    return answer


def test_old_messages_have_old_media_and_those_over_seven_days_none(
    page: Server, webhook: Webhook, meta: MetaSimulator
) -> None:
    day = 24 * 3600
    for days in (6.9, 7.1):
        send(page, PICTURE, kind="image", age=str(days * day))

    young, old = webhook.messages
    assert abs(time.time() - int(old["timestamp"]) - 7.1 * day) < 60
    assert described(meta, young["image"]["id"])["file_size"] == len(CONTENT)
    assert described(meta, old["image"]["id"])["error"]["code"] == 100


# --- what was sent -------------------------------------------------------------------------------------------------


def get(page: Server, path: str) -> Any:
    answer = requests.get(f"{page.url}/simulator/{path}", timeout=5)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(page: Server, path: str, **fields: str) -> requests.Response:
    return requests.post(f"{page.url}/simulator/{path}", data=fields, timeout=10)


def test_a_replay_sends_the_same_bytes(page: Server, webhook: Webhook, meta: MetaSimulator) -> None:
    (sent,) = send(page, PICTURE, kind="image", count="2", caption="Olá /").json()["webhooks"]

    (again,) = post(page, "replay", webhook=str(sent["id"]), fault="gone").json()["webhooks"]

    first, second = webhook.bodies
    assert first == second
    assert (again["id"], again["replay_of"], again["messages"]) == (sent["id"] + 1, sent["id"], sent["messages"])
    media_ids = [message["image"]["id"] for message in webhook.batches[0]]
    assert sorted(fault["media_id"] for fault in meta.faults.listed()) == sorted(media_ids)


def test_new_webhooks_are_listed_after_those_that_are_known(page: Server) -> None:
    first, second, third = (send(page, kind="text", text=word).json()["webhooks"][0] for word in "abc")

    assert get(page, "webhooks")["webhooks"] == [first, second, third]
    assert get(page, f"webhooks?after={first['id']}")["webhooks"] == [second, third]
    assert get(page, f"webhooks?after={third['id']}")["webhooks"] == []


def test_a_webhook_is_shown_as_it_was_sent(page: Server, table: "DynamoDBClient", webhook: Webhook) -> None:
    (sent,) = send(page, kind="text", text="Olá / 🎈", count="30").json()["webhooks"]
    put(table, pk="EVENT#x", sk="EVENT", gsi1pk=f"EVENTS#{APP_ID}", gsi1sk=f"{int(sent['time'] * 1000) + 1:013d}")
    put(table, pk="EVENT#y", sk="EVENT", gsi1pk=f"EVENTS#{APP_ID}", gsi1sk=f"{int(sent['time'] * 1000) - 1000:013d}")

    shown = get(page, f"webhooks/{sent['id']}")

    (body,) = webhook.bodies
    expected = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    assert shown["headers"]["X-Hub-Signature-256"] == f"sha256={expected}"
    assert json.loads(shown["body"]) == json.loads(body)
    assert '"body": "Olá / 🎈 (1)"' in shown["body"]
    assert [message["wamid"] for message in shown["messages"]] == [message["id"] for message in webhook.messages]
    assert len(sent["messages"]) == 25
    assert [event["pk"] for event in shown["events"]] in (["EVENT#x"], [])  # []: it was answered within a millisecond


def test_a_webhook_that_is_no_json_is_shown_all_the_same(
    page: Server, table: "DynamoDBClient", meta: MetaSimulator
) -> None:
    for body in (b"\xff not JSON", b"[" * 100_000):
        meta.deliver(body)

        *_, sent = get(page, "webhooks")["webhooks"]
        assert get(page, f"webhooks/{sent['id']}")["body"] == body.decode("utf-8", "replace")
        assert sent["count"] == 0


def test_what_is_stored_of_messages_is_shown_item_by_item(page: Server, table: "DynamoDBClient") -> None:
    put_message(table, "one", "ana", 100, raw="{}")
    put(table, pk="MSG#one", sk="MEDIA", status="ready", size=12)
    put(table, pk="MSG#one", sk="STATUS#read#x", status="read")
    put(table, pk="MSG#two", sk="EDIT#1#x")
    put(table, pk="MSG#three", sk="MESSAGE")
    table.put_item(TableName=TABLE, Item={"pk": {"S": "MSG#two"}, "sk": {"S": "RAW"}, "raw_bytes": {"B": b"\xff"}})

    items = get(page, "stored?message_id=one&message_id=two")["items"]

    keys = ["MEDIA", "MESSAGE", "STATUS#read#x", "EDIT#1#x", "RAW"]
    assert [item["sk"] for item in items] == keys
    assert items[0] == {"pk": "MSG#one", "sk": "MEDIA", "status": "ready", "size": 12}
    assert items[-1]["raw_bytes"] == "ff"


def test_graph_forgets_the_media_of_a_webhook_or_all(page: Server, meta: MetaSimulator, webhook: Webhook) -> None:
    (sent,) = send(page, PICTURE, kind="image", count="3").json()["webhooks"]
    send(page, PICTURE, kind="image", count="2")

    assert post(page, "forget", webhook=str(sent["id"])).json() == {"forgotten": 3}
    assert post(page, "forget", webhook=str(sent["id"])).json() == {"forgotten": 0}
    assert [described(meta, message["image"]["id"]).get("error", {}).get("code") for message in webhook.messages] == [
        100,
        100,
        100,
        None,
        None,
    ]
    assert post(page, "forget").json() == {"forgotten": 2}


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("POST", "replay", {}, 400),
        ("POST", "replay", {"webhook": "first"}, 400),
        ("POST", "replay", {"webhook": "1" * 5000}, 400),
        ("POST", "replay", {"webhook": "999999"}, 404),
        ("POST", "replay", {"webhook": "999999", "fault": "unheard-of"}, 400),
        ("POST", "replay", {"webhook": "999999", "surplus": "x"}, 400),
        ("POST", "forget", {"webhook": "first"}, 400),
        ("POST", "forget", {"webhook": "999999"}, 404),
        ("POST", "forget", {"everything": "yes"}, 400),
        ("POST", "forget", {"webhook": "x" * 2_000_000}, 400),
        ("GET", "webhooks/999999", {}, 404),
        ("GET", "webhooks/" + "1" * 5000, {}, 404),
        ("GET", "webhooks/first", {}, 404),
        ("GET", "stored", {}, 400),
        ("GET", "stored?message_id=" + "x" * 129, {}, 400),
        ("GET", "stored?" + "&".join(["message_id=x"] * 21), {}, 400),
        ("GET", "send", {}, 405),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_panel_s_other_forms_cannot_mean_is_refused_with_a_reason(
    page: Server, method: str, path: str, fields: dict[str, str], status: int
) -> None:
    answer = requests.request(method, f"{page.url}/simulator/{path}", data=fields, timeout=10)

    assert answer.status_code == status
    assert answer.json()["error"]
    assert len(answer.content) < 1000


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

        (known,) = sent.json()["webhooks"]
        broken = send(server, kind="image", media_id="123", fault="gone")
        again = post(server, "replay", webhook=str(known["id"]), fault="gone")
        forgotten = post(server, "forget")

    assert (config["uploads"], config["faults"]) == (False, [])
    assert (upload.status_code, sent.status_code) == (400, 200)
    assert [refused.status_code for refused in (broken, again, forgotten)] == [400, 400, 400]
    (message,) = webhook.messages
    assert message["document"] == {"id": "123", "mime_type": "application/pdf", "filename": "a.pdf"}
    assert meta.faults.listed() == []


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}, {"Host": "127.0.0.1:1"}],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/simulator"),
        ("GET", "/simulator/config"),
        ("GET", "/simulator/messages"),
        ("GET", "/simulator/events"),
        ("GET", "/simulator/webhooks"),
        ("GET", "/simulator/webhooks/1"),
        ("GET", "/simulator/stored?message_id=x"),
        ("POST", "/simulator/send"),
        ("POST", "/simulator/replay"),
        ("POST", "/simulator/forget"),
    ],
)
def test_other_sites_and_names_are_refused(
    page: Server, meta: MetaSimulator, webhook: Webhook, headers: dict[str, str], method: str, path: str
) -> None:
    media_id = meta.add_media(CONTENT, "image/jpeg").id
    meta.send(Outgoing(kind="image", media_id=media_id))
    fields = {"kind": "text", "text": "x"} if path.endswith("send") else {"webhook": "1"}

    answer = requests.request(
        method, page.url + path, headers=headers, data=fields if method == "POST" else None, timeout=5
    )

    assert answer.status_code == 403
    assert len(webhook.bodies) == 1
    assert meta.forget_media(media_id)


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
