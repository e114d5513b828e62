"""The Meta simulator, over real HTTP: what Graph answers, how it can fail, and what it sends to a webhook."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
from urllib3.exceptions import ProtocolError
from werkzeug.wrappers import Request, Response

from local import faults, notifications
from local.contents import Kind
from local.faults import RandomFaults
from local.graph import CONCURRENT_POSTS, MetaSimulator
from local.notifications import Contact
from local.options import APP_ID
from local.outgoing import Outgoing
from local.server import serve

TOKEN = "a-token"
NUMBER = "106540352242922"
CONTENT = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 600


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


class Webhook:
    """A webhook that answers what it is told to, and remembers what it got."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.app = Request.application(self._answer)

    def _answer(self, request: Request) -> Response:
        self.received.append((dict(request.headers), request.get_data()))
        return Response("answer", self.statuses.pop(0) if self.statuses else 200)

    @property
    def message(self) -> dict[str, Any]:
        """The message in the last notification."""
        message: dict[str, Any] = json.loads(self.received[-1][1])["entry"][0]["changes"][0]["value"]["messages"][0]
        return message


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="simulator")
def _simulator(clock: Clock) -> Iterator[MetaSimulator]:
    simulator = MetaSimulator(
        app_secret="app-secret",
        token=TOKEN,
        phone_number_id=NUMBER,
        waba_id="102290129340398",
        display_phone_number="15550783881",
        clock=clock,
    )
    with serve(simulator.app) as server:
        simulator.url = server.url
        yield simulator


@pytest.fixture(name="webhook")
def _webhook(simulator: MetaSimulator) -> Iterator[Webhook]:
    webhook = Webhook()
    with serve(webhook.app) as server:
        simulator.webhook_url = f"{server.url}/webhook"
        yield webhook


Resolve = Callable[..., requests.Response]


@pytest.fixture(name="resolve")
def _resolve(simulator: MetaSimulator) -> Resolve:
    def resolve(media_id: str, token: str | None = TOKEN, number: str | None = NUMBER) -> requests.Response:
        query = {"phone_number_id": number} if number else {}
        return requests.get(f"{simulator.url}/v26.0/{media_id}", params=query, headers=authorization(token), timeout=5)

    return resolve


@pytest.fixture(name="media_id")
def _media_id(simulator: MetaSimulator) -> str:
    return simulator.add_media(CONTENT, "image/jpeg").id


def authorization(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def download(url: str, token: str | None = TOKEN, agent: str | None = "test/1.0") -> requests.Response:
    # requests replaces a missing agent by its own; an empty one is as good as none.
    headers = {**authorization(token), "User-Agent": agent or ""}
    return requests.get(url, headers=headers, timeout=5, allow_redirects=False)


@pytest.mark.parametrize("mime_type", ["text/html\r\nSet-Cookie: a=b", "image/gif\0", "imagé/gif"])
def test_a_type_that_no_header_can_hold_is_described_as_it_is_and_sent_as_unknown(
    simulator: MetaSimulator, resolve: Resolve, mime_type: str
) -> None:
    described = resolve(simulator.add_media(CONTENT, mime_type).id).json()

    sent = download(described["url"])

    assert described["mime_type"] == mime_type
    assert (sent.content, sent.headers["Content-Type"]) == (CONTENT, "application/octet-stream")


def error_of(response: requests.Response) -> tuple[int, int, int | None]:
    error = response.json()["error"]
    assert error.keys() >= {"message", "type", "code", "fbtrace_id"}
    return response.status_code, error["code"], error.get("error_subcode")


# --- Graph ----------------------------------------------------------------------------------------------------


def test_a_media_id_resolves_to_its_description(resolve: Resolve, media_id: str) -> None:
    described = resolve(media_id).json()

    assert described["id"] == media_id
    assert described["messaging_product"] == "whatsapp"
    assert described["mime_type"] == "image/jpeg"
    assert described["file_size"] == len(CONTENT)
    assert described["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_the_description_s_url_gives_the_bytes(resolve: Resolve, media_id: str) -> None:
    got = download(resolve(media_id).json()["url"])

    assert (got.status_code, got.headers["Content-Type"], got.content) == (200, "image/jpeg", CONTENT)
    assert got.headers["Content-Length"] == str(len(CONTENT))


def test_the_number_is_optional(resolve: Resolve, media_id: str) -> None:
    assert resolve(media_id, number=None).status_code == 200


@pytest.mark.parametrize("token", [None, "another", ""])
def test_a_missing_or_wrong_token_is_190(resolve: Resolve, media_id: str, token: str | None) -> None:
    assert error_of(resolve(media_id, token)) == (401, 190, None)


def test_a_revoked_token_is_190_and_an_accepted_one_works(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    simulator.revoke_token(TOKEN)
    simulator.accept_token("next")

    assert error_of(resolve(media_id))[1] == 190
    assert resolve(media_id, "next").status_code == 200


def test_unknown_foreign_and_expired_media_look_the_same(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    foreign = simulator.add_media(CONTENT, "image/jpeg", phone_number_id="999").id
    expired = simulator.add_media(CONTENT, "image/jpeg", age=7 * 86400).id
    simulator.accept_token("narrow", frozenset({"999"}))

    answers = [
        resolve("1234567890"),
        resolve(foreign),
        resolve(media_id, number="999"),
        resolve(expired),
        resolve(media_id, "narrow"),
    ]

    assert [error_of(answer) for answer in answers] == [(400, 100, 33)] * 5
    assert resolve(foreign, "narrow", "999").status_code == 200


def test_a_number_is_described_to_a_token_that_may_see_it(simulator: MetaSimulator, resolve: Resolve) -> None:
    simulator.accept_token("narrow", frozenset({"999"}))

    assert resolve(NUMBER, number=None).json()["id"] == NUMBER
    assert error_of(resolve(NUMBER, "narrow", number=None)) == (400, 100, 33)
    assert error_of(resolve("999", number=None)) == (400, 100, 33)
    assert error_of(resolve(NUMBER, "another", number=None)) == (401, 190, None)


def debugged(simulator: MetaSimulator, token: str, asker: str) -> requests.Response:
    url = f"{simulator.url}/v26.0/debug_token"
    return requests.get(url, params={"input_token": token}, headers=authorization(asker), timeout=5)


@pytest.mark.parametrize("asker", [TOKEN, f"{APP_ID}|app-secret"])
def test_a_token_is_told_of_to_itself_and_to_its_app(simulator: MetaSimulator, clock: Clock, asker: str) -> None:
    end = int(clock()) + 100
    simulator.accept_token("sixty", expires_at=end, scopes=("one",))

    good, unknown = (debugged(simulator, token, asker).json()["data"] for token in ("sixty", "unknown"))
    clock.ahead = 101
    ended = debugged(simulator, "sixty", asker).json()["data"]

    assert (good["is_valid"], good["expires_at"], good["scopes"], good["app_id"]) == (True, end, ["one"], APP_ID)
    assert (unknown["is_valid"], unknown["error"]["code"]) == (False, 190)
    assert (ended["is_valid"], ended["error"]["subcode"]) == (False, 463)


@pytest.mark.parametrize("asker", ["another", f"{APP_ID}|another", "1|app-secret", ""])
def test_nobody_else_hears_of_a_token(simulator: MetaSimulator, asker: str) -> None:
    assert error_of(debugged(simulator, TOKEN, asker)) == (401, 190, None)


def test_a_token_that_has_ended_opens_nothing(
    simulator: MetaSimulator, clock: Clock, resolve: Resolve, media_id: str
) -> None:
    simulator.accept_token("sixty", expires_at=int(clock()) + 100)
    url = resolve(media_id, "sixty").json()["url"]

    clock.ahead = 101

    assert error_of(resolve(media_id, "sixty")) == (401, 190, None)
    assert download(url, token="sixty").status_code == 401


def test_a_path_that_is_not_graph_s_is_a_graph_error(simulator: MetaSimulator) -> None:
    assert error_of(requests.get(f"{simulator.url}/nothing/here/at-all", timeout=5)) == (400, 2500, None)


def test_a_media_url_dies_after_five_minutes(clock: Clock, resolve: Resolve, media_id: str) -> None:
    url = resolve(media_id).json()["url"]

    clock.ahead = 290
    assert download(url).status_code == 200
    clock.ahead = 301
    assert download(url).status_code == 404
    assert download(resolve(media_id).json()["url"]).status_code == 200


def test_a_media_url_does_not_outlive_the_media(
    simulator: MetaSimulator, clock: Clock, resolve: Resolve, media_id: str
) -> None:
    simulator.media_life = 100
    url = resolve(media_id).json()["url"]

    clock.ahead = 150
    assert download(url).status_code == 404


def test_a_media_url_wants_token_agent_and_its_own_hash(resolve: Resolve, media_id: str) -> None:
    url = resolve(media_id).json()["url"]

    assert download(url, token=None).status_code == 401
    assert download(url, token="another").status_code == 401
    assert download(url, agent=None).status_code == 400
    assert download(url[:-1] + ("0" if url[-1] != "0" else "1")).status_code == 404
    assert download(url.replace("ext=", "ext=9")).status_code == 404


def test_a_large_file_is_made_while_it_is_sent(simulator: MetaSimulator, resolve: Resolve) -> None:
    media = simulator.add_media(CONTENT, "application/pdf", size=30_000_001)

    got = download(resolve(media.id).json()["url"]).content

    assert len(got) == 30_000_001
    assert got.startswith(CONTENT)
    assert hashlib.sha256(got).hexdigest() == media.sha256


def test_every_request_is_remembered_with_its_headers(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    download(resolve(media_id).json()["url"])
    resolve("42")

    noted = requests.get(f"{simulator.url}/simulator/requests", timeout=5).json()
    assert [(one["hop"], one["media_id"], one["status"]) for one in noted] == [
        ("resolve", media_id, 200),
        ("download", media_id, 200),
        ("resolve", "42", 400),
    ]
    assert noted[0]["path"] == f"/v26.0/{media_id}"
    assert noted[0]["query"] == f"phone_number_id={NUMBER}"
    assert {one["headers"]["Authorization"] for one in noted} == {f"Bearer {TOKEN}"}
    assert noted[1]["headers"]["User-Agent"] == "test/1.0"
    assert len(simulator.requests(media_id, "download")) == 1

    assert requests.delete(f"{simulator.url}/simulator/requests", timeout=5).json() == []
    assert simulator.requests() == []


def test_files_can_be_given_over_http(simulator: MetaSimulator, resolve: Resolve) -> None:
    given = requests.post(
        f"{simulator.url}/simulator/media?phone_number_id=7&age=60",
        data=CONTENT,
        headers={"Content-Type": "image/webp"},
        timeout=5,
    )

    assert given.status_code == 201
    assert resolve(given.json()["id"], number="7").json()["mime_type"] == "image/webp"


# --- faults ---------------------------------------------------------------------------------------------------


def break_(simulator: MetaSimulator, media_id: str, **fault: Any) -> None:
    body = {"media_id": media_id, **fault}
    answer = requests.post(f"{simulator.url}/simulator/faults", json=body, timeout=5)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"fault": "expired"}, (400, 100, 33)),
        ({"fault": "bad_token"}, (401, 190, 463)),
        ({"fault": "rate_limited"}, (429, 80007, None)),
        ({"fault": "rate_limited", "code": 80008, "status": 400}, (400, 80008, None)),
        ({"fault": "graph_error", "code": 4, "status": 429}, (429, 4, None)),
        ({"fault": "graph_error", "code": 131016, "status": 503}, (503, 131016, None)),
        ({"fault": "graph_error", "code": 368, "status": 403}, (403, 368, None)),
    ],
)
@pytest.mark.parametrize("hop", ["resolve", "download"])
def test_any_graph_error_on_either_request(
    simulator: MetaSimulator,
    resolve: Resolve,
    media_id: str,
    fault: dict[str, Any],
    expected: tuple[int, int, int | None],
    hop: str,
) -> None:
    url = resolve(media_id).json()["url"]
    break_(simulator, media_id, **fault, hop=hop)

    assert error_of(resolve(media_id) if hop == "resolve" else download(url)) == expected


def test_a_graph_error_can_carry_everything_that_meta_s_do(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    break_(
        simulator,
        media_id,
        fault="graph_error",
        code=2,
        status=500,
        transient=True,
        details="busy",
        error_type="WhatsAppException",
        headers={"X-App-Usage": '{"call_count":100}'},
    )

    answer = resolve(media_id)

    error = answer.json()["error"]
    assert error["is_transient"] is True
    assert error["type"] == "WhatsAppException"
    assert error["error_data"] == {"messaging_product": "whatsapp", "details": "busy"}
    assert answer.headers["X-App-Usage"] == '{"call_count":100}'


def test_retry_after_comes_in_seconds_as_a_date_or_not_at_all(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    break_(simulator, media_id, fault="rate_limited", retry_after=7, times=1)
    break_(simulator, media_id, fault="rate_limited", retry_after=60, as_date=True, times=1)
    break_(simulator, media_id, fault="rate_limited", regain_minutes=3, times=1)

    seconds, date, usage = (resolve(media_id).headers for _ in range(3))

    assert seconds["Retry-After"] == "7"
    assert 55 < parsedate_to_datetime(date["Retry-After"]).timestamp() - time.time() <= 60
    assert "Retry-After" not in usage
    (business,) = json.loads(usage["X-Business-Use-Case-Usage"]).values()
    assert business[0]["estimated_time_to_regain_access"] == 3


def test_answers_that_are_no_graph_answers(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    break_(simulator, media_id, fault="gone", times=1)
    break_(simulator, media_id, fault="server_error", status=502, times=1)
    break_(simulator, media_id, fault="html_page", hop="resolve", times=1)
    break_(simulator, media_id, fault="no_url", times=1)
    break_(simulator, media_id, fault="status", hop="resolve", status=200, body="[1]", times=1)

    gone, bad_gateway, page, no_url, other = (resolve(media_id) for _ in range(5))

    assert (gone.status_code, gone.content) == (410, b"")
    assert (bad_gateway.status_code, bad_gateway.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert (page.status_code, page.text[:15]) == (200, "<!DOCTYPE html>")
    assert no_url.json().keys() == {"id", "mime_type", "sha256", "file_size", "messaging_product"}
    assert other.text == "[1]"


def test_size_and_hash_come_in_every_form(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    digest = hashlib.sha256(CONTENT)
    expected: list[tuple[dict[str, Any], str, Any]] = [
        ({"fault": "size_as", "form": "string"}, "file_size", str(len(CONTENT))),
        ({"fault": "size_as", "form": "int"}, "file_size", len(CONTENT)),
        ({"fault": "size_as", "form": "absent"}, "file_size", None),
        ({"fault": "lying_length"}, "file_size", 1024),
        ({"fault": "hash_as", "form": "hex"}, "sha256", digest.hexdigest()),
        ({"fault": "hash_as", "form": "base64"}, "sha256", base64.b64encode(digest.digest()).decode()),
        ({"fault": "hash_as", "form": "absent"}, "sha256", None),
        ({"fault": "hash_as", "form": "wrong"}, "sha256", digest.digest()[::-1].hex()),
        ({"fault": "described", "members": {"mime_type": "text/html"}}, "mime_type", "text/html"),
        ({"fault": "url_host", "origin": "https://evil.example"}, "url", "https://evil.example/whatsapp"),
    ]
    for fault, name, value in expected:
        break_(simulator, media_id, **fault, times=1)
        got = resolve(media_id).json().get(name)
        assert got.startswith(value) if name == "url" else got == value, fault


def test_a_described_fault_leaves_errors_alone(simulator: MetaSimulator, resolve: Resolve) -> None:
    break_(simulator, "42", fault="hash_as", form="wrong")

    assert error_of(resolve("42")) == (400, 100, 33)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_dead_url_whose_id_still_resolves(
    simulator: MetaSimulator, resolve: Resolve, media_id: str, status: int
) -> None:
    break_(simulator, media_id, fault="dead_url", status=status, times=1)
    url = resolve(media_id).json()["url"]

    assert [download(url).status_code for _ in range(2)] == [status, 200]


def test_other_bytes_than_the_file_s(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    url = resolve(media_id).json()["url"]
    for fault in ("html_page", "metadata_instead_of_file", "corrupt", "truncated", "wrong_content_type"):
        break_(simulator, media_id, fault=fault, hop="download", times=1)

    page, metadata, corrupt, truncated, other_type = (download(url) for _ in range(5))

    assert page.text.startswith("<!DOCTYPE html>")
    assert metadata.json()["messaging_product"] == "whatsapp"
    assert len(corrupt.content) == len(CONTENT)
    assert corrupt.content[:8] == CONTENT[:8]
    assert corrupt.content != CONTENT
    assert truncated.content == CONTENT[: len(CONTENT) // 2]
    assert (other_type.content, other_type.headers["Content-Type"]) == (CONTENT, "application/octet-stream")


def test_metadata_may_pretend_to_be_the_file(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    break_(simulator, media_id, fault="metadata_instead_of_file", keep_content_type=True)

    assert download(resolve(media_id).json()["url"]).headers["Content-Type"] == "image/jpeg"


def test_a_download_may_break_off(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    break_(simulator, media_id, fault="cut_off", after=1000)
    url = resolve(media_id).json()["url"]

    headers = {**authorization(TOKEN), "User-Agent": "x"}
    with requests.get(url, headers=headers, stream=True, timeout=5) as response:
        assert response.headers["Content-Length"] == str(len(CONTENT))
        assert response.raw.read(1000) == CONTENT[:1000]
        with pytest.raises(ProtocolError, match="Connection broken"):
            response.raw.read(1)


def test_a_file_may_be_longer_than_declared(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    break_(simulator, media_id, fault="lying_length", size=1024)
    break_(simulator, media_id, fault="oversize", size=5_000_000, times=1)
    break_(simulator, media_id, fault="oversize", size=5_000_000, declared=True, times=1)
    described = resolve(media_id).json()

    undeclared, declared = download(described["url"]), download(described["url"])

    assert described["file_size"] == 1024
    assert len(undeclared.content) == len(declared.content) == 5_000_000
    assert undeclared.content.startswith(CONTENT)
    assert "Content-Length" not in undeclared.headers
    assert declared.headers["Content-Length"] == "5000000"


def test_a_redirect_goes_where_it_is_told(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    break_(simulator, media_id, fault="redirect", hop="download", location="https://evil.example/x?y=1")

    got = download(resolve(media_id).json()["url"])

    assert (got.status_code, got.headers["Location"]) == (302, "https://evil.example/x?y=1")


def test_no_answer_at_all(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    break_(simulator, media_id, fault="hang", seconds=0.5, times=2)

    with pytest.raises(requests.Timeout):
        requests.get(f"{simulator.url}/v26.0/{media_id}", headers=authorization(TOKEN), timeout=0.1)
    with pytest.raises(requests.ConnectionError):
        resolve(media_id)
    assert resolve(media_id).status_code == 200


def test_slow_answers_are_right_but_late(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    break_(simulator, media_id, fault="slow", seconds=0.3, times=1)
    break_(simulator, media_id, fault="drip", size=len(CONTENT) // 3 + 1, pause=0.1, times=1)

    began = time.monotonic()
    url = resolve(media_id).json()["url"]
    slow = time.monotonic()
    got = download(url)

    assert slow - began >= 0.3
    assert time.monotonic() - slow >= 0.3
    assert got.content == CONTENT


def test_faults_are_used_up_in_order_and_everybody_s_come_last(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    simulator.faults.add("*", faults.Gone(times=1))
    simulator.faults.add(media_id, faults.RateLimited(times=2), faults.ServerError(times=1))

    assert [resolve(media_id).status_code for _ in range(5)] == [429, 429, 500, 410, 200]


def test_faults_can_be_listed_and_cleared(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    url = f"{simulator.url}/simulator/faults"
    both = [{"media_id": media_id, "fault": "expired", "times": 2}, {"fault": "gone"}]
    requests.post(url, json=both, timeout=5)
    resolve(media_id)

    listed = requests.get(url, timeout=5).json()
    assert [(one["media_id"], one["fault"], one["times"]) for one in listed] == [
        (media_id, "expired", 1),
        ("*", "gone", None),
    ]

    requests.delete(f"{url}?media_id={media_id}", timeout=5)
    assert resolve(media_id).status_code == 410
    requests.delete(url, timeout=5)
    assert resolve(media_id).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        "",
        "nonsense",
        "3",
        "[3]",
        "{}",
        '{"fault": "unheard-of"}',
        '{"fault": "expired", "times": 0}',
        '{"fault": "expired", "hop": "elsewhere"}',
        '{"fault": "lying_length", "hop": "download"}',
        '{"fault": "expired", "surplus": 1}',
        '{"fault": "graph_error"}',
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_a_reason(simulator: MetaSimulator, body: str) -> None:
    answer = requests.post(f"{simulator.url}/simulator/faults", data=body, timeout=5)

    assert answer.status_code == 400
    assert "validation error" in answer.json()["error"]
    assert simulator.faults.listed() == []


NEEDED: dict[str, dict[str, Any]] = {
    "graph_error": {"code": 1},
    "status": {"status": 200},
    "redirect": {"location": "/"},
    "oversize": {"size": 1},
    "size_as": {"form": "int"},
    "hash_as": {"form": "hex"},
    "url_host": {"origin": "http://x"},
}


def test_every_fault_has_a_name_of_its_own() -> None:
    names = [kind.model_fields["fault"].default for kind in faults.Fault.__subclasses__()]

    assert len(set(names)) == len(names)
    for name in names:
        ((_, fault),) = faults.read(json.dumps({"fault": name, **NEEDED.get(name, {})}).encode())
        assert fault.fault == name


# --- webhooks -------------------------------------------------------------------------------------------------


def test_a_notification_is_signed_over_the_bytes_that_arrive(
    simulator: MetaSimulator, webhook: Webhook, media_id: str
) -> None:
    sent = simulator.send(Outgoing(kind="image", media_id=media_id, caption="Olá a/b <ü@x> 🎈"))

    ((headers, body),) = webhook.received
    expected = hmac.new(b"app-secret", body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={expected}"
    assert headers["Content-Type"] == "application/json"
    assert rb"Ol\u00e1 a\/b <\u00fc@x> \ud83c\udf88" in body
    assert (sent.delivery.status, sent.delivery.attempts, sent.delivery.accepted) == (200, 1, True)


def test_the_envelope_is_meta_s(simulator: MetaSimulator, webhook: Webhook, media_id: str) -> None:
    contact = Contact("José", "5511999999999", "BR.1A2b3C")
    sent = simulator.send(Outgoing(kind="image", media_id=media_id, contact=contact, timestamp=1790000000.7))

    envelope = json.loads(webhook.received[0][1])
    (entry,) = envelope["entry"]
    (change,) = entry["changes"]
    assert (envelope["object"], entry["id"]) == ("whatsapp_business_account", "102290129340398")
    assert change["field"] == "messages"
    assert change["value"]["metadata"] == {"display_phone_number": "15550783881", "phone_number_id": NUMBER}
    assert change["value"]["contacts"] == [
        {"profile": {"name": "José"}, "wa_id": "5511999999999", "user_id": "BR.1A2b3C"}
    ]
    message = change["value"]["messages"][0]
    assert (message["from"], message["from_user_id"]) == ("5511999999999", "BR.1A2b3C")
    assert (message["id"], message["timestamp"]) == (sent.wamid, "1790000000")
    assert sent.wamid.startswith("wamid.")


def test_a_customer_without_a_number_has_no_from(simulator: MetaSimulator, webhook: Webhook, media_id: str) -> None:
    contact = Contact("Ana", wa_id=None, user_id="BR.1")
    simulator.send(Outgoing(kind="image", media_id=media_id, contact=contact))

    assert "from" not in webhook.message
    assert webhook.message["from_user_id"] == "BR.1"


@pytest.mark.parametrize(
    ("kind", "type_", "extra"),
    [
        ("image", "image", {"caption": "c"}),
        ("video", "video", {"caption": "c"}),
        ("audio", "audio", {"voice": False}),
        ("voice", "audio", {"voice": True}),
        ("sticker", "sticker", {"animated": False}),
        ("animated_sticker", "sticker", {"animated": True}),
        ("document", "document", {"caption": "c", "filename": "f.pdf"}),
    ],
)
def test_each_kind_has_meta_s_shape_and_a_hash_in_base64(
    simulator: MetaSimulator, webhook: Webhook, kind: Kind, type_: str, extra: dict[str, Any]
) -> None:
    media = simulator.add_media(CONTENT, "some/type")
    simulator.send(Outgoing(kind=kind, media_id=media.id, caption="c", filename="f.pdf"))

    assert webhook.message["type"] == type_
    assert webhook.message[type_] == {
        "id": media.id,
        "mime_type": "some/type",
        "sha256": base64.b64encode(hashlib.sha256(CONTENT).digest()).decode(),
        **extra,
    }


def test_an_echo_has_its_hash_in_hex_and_no_contacts(simulator: MetaSimulator, webhook: Webhook, media_id: str) -> None:
    simulator.send(Outgoing(kind="image", media_id=media_id, echo=True))

    (change,) = json.loads(webhook.received[-1][1])["entry"][0]["changes"]
    (echo,) = change["value"]["message_echoes"]
    assert (change["field"], "contacts" in change["value"]) == ("smb_message_echoes", False)
    assert (echo["from"], echo["to"]) == ("15550783881", "5511987654321")
    assert echo["image"]["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_messages_in_posts_of_their_own_are_on_their_way_together(simulator: MetaSimulator) -> None:
    together = threading.Barrier(CONCURRENT_POSTS)

    def answer(_: Request) -> Response:
        together.wait(timeout=20)  # nobody is answered before all are here
        return Response("", 200)

    with serve(Request.application(answer)) as server:
        simulator.webhook_url = server.url
        posts = simulator.send_all([Outgoing(kind="text", text="x")] * CONCURRENT_POSTS, together=False)

    assert [post.delivery.status for post in posts] == [200] * CONCURRENT_POSTS
    assert len({post.told[0].wamid for post in posts}) == CONCURRENT_POSTS


def test_text_carries_text(simulator: MetaSimulator, webhook: Webhook) -> None:
    simulator.send(Outgoing(kind="text", text="hello"))

    assert webhook.message["text"] == {"body": "hello"}


def test_media_that_only_another_graph_knows_is_named_as_told(simulator: MetaSimulator, webhook: Webhook) -> None:
    simulator.send(Outgoing(kind="voice", media_id="987"))

    assert webhook.message["audio"] == {"id": "987", "mime_type": "audio/ogg; codecs=opus", "voice": True}


def test_the_webhook_s_own_url_works_like_graph_s(simulator: MetaSimulator, webhook: Webhook, media_id: str) -> None:
    simulator.send(Outgoing(kind="image", media_id=media_id, with_url=True))

    assert download(webhook.message["image"]["url"]).content == CONTENT


def test_what_is_not_accepted_is_sent_again_byte_for_byte(
    simulator: MetaSimulator, webhook: Webhook, media_id: str
) -> None:
    webhook.statuses = [503, 204]

    sent = simulator.send(Outgoing(kind="image", media_id=media_id))

    assert (sent.delivery.status, sent.delivery.attempts) == (200, 3)
    assert len({body for _, body in webhook.received}) == 1


def test_it_gives_up_at_last(simulator: MetaSimulator, webhook: Webhook, media_id: str) -> None:
    webhook.statuses = [500] * 9

    sent = simulator.send(Outgoing(kind="image", media_id=media_id))

    assert (sent.delivery.status, sent.delivery.attempts, sent.delivery.accepted) == (500, 4, False)


def test_a_webhook_that_cannot_be_reached_is_said_to_be(simulator: MetaSimulator) -> None:
    with serve(simulator.app) as server:
        simulator.webhook_url = f"{server.url}/webhook"

    sent = simulator.send(Outgoing(kind="text", text="x"))

    assert (sent.delivery.status, sent.delivery.answer) == (None, "ConnectionError")


def test_messages_can_be_sent_over_http(simulator: MetaSimulator, webhook: Webhook, media_id: str) -> None:
    body = {"kind": "image", "media_id": media_id, "contact": {"name": "Ana", "wa_id": "123"}}
    answer = requests.post(f"{simulator.url}/simulator/send", json=body, timeout=5).json()

    assert answer["wamid"] == webhook.message["id"]
    assert len(answer["message_id"]) == 26
    assert answer["delivery"] == {"status": 200, "attempts": 1, "answer": "answer"}


def test_any_bytes_can_be_signed_and_delivered(simulator: MetaSimulator, webhook: Webhook) -> None:
    requests.post(f"{simulator.url}/simulator/deliver", data=b"\x00not json", timeout=5)

    ((headers, body),) = webhook.received
    assert body == b"\x00not json"
    assert headers["X-Hub-Signature-256"] == notifications.signature(body, "app-secret")


@pytest.mark.parametrize(
    "message", [{}, {"kind": "image"}, {"kind": "fax", "media_id": "1"}, {"kind": "text", "surplus": 1}]
)
def test_a_message_that_makes_no_sense_is_refused(
    simulator: MetaSimulator, webhook: Webhook, message: dict[str, Any]
) -> None:
    answer = requests.post(f"{simulator.url}/simulator/send", json=message, timeout=5)

    assert answer.status_code == 400
    assert webhook.received == []


def test_an_unknown_simulator_path_is_404(simulator: MetaSimulator) -> None:
    assert requests.get(f"{simulator.url}/simulator/unknown", timeout=5).status_code == 404


# --- faults at random -----------------------------------------------------------------------------------------

DOWN = faults.ServerError(hop="resolve")
CUT = faults.DeadUrl()


def struck(simulator: MetaSimulator, resolve: Resolve, media_id: str, count: int = 40) -> list[bool]:
    return [resolve(media_id).status_code != 200 for _ in range(count)]


def test_faults_at_random_strike_the_same_requests_for_the_same_seed(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    runs = []
    for seed in (1, 1, 2):
        simulator.faults.strike_at_random(RandomFaults(rate=0.3, faults=(DOWN,), seed=seed))
        runs.append(struck(simulator, resolve, media_id))

    assert runs[0] == runs[1] != runs[2]
    assert 0 < sum(runs[2]) < 40
    assert simulator.faults.struck == sum(runs[2])


def test_faults_at_random_strike_only_the_request_that_they_are_for(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    url = resolve(media_id).json()["url"]

    simulator.faults.strike_at_random(RandomFaults(rate=1, faults=(CUT,)))

    assert resolve(media_id).status_code == 200
    assert download(url).status_code == 404
    assert simulator.faults.struck == 1
    assert [asked.status for asked in simulator.requests(media_id)] == [200, 200, 404]


def test_each_of_the_faults_at_random_strikes(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    simulator.faults.strike_at_random(RandomFaults(rate=1, faults=(DOWN, faults.RateLimited(), faults.BadToken(), CUT)))

    assert {resolve(media_id).status_code for _ in range(40)} == {500, 429, 401}


def test_a_fault_of_its_own_comes_before_one_at_random(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    simulator.faults.strike_at_random(RandomFaults(rate=1, faults=(DOWN,)))
    simulator.faults.add(media_id, faults.Gone(times=1))

    assert [resolve(media_id).status_code for _ in range(2)] == [410, 500]
    assert simulator.faults.struck == 1


def test_faults_at_random_are_set_listed_and_cleared_over_http(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    url = f"{simulator.url}/simulator/random_faults"
    wanted = {"rate": 1, "seed": 7, "faults": [{"fault": "server_error"}, {"fault": "cut_off"}]}

    answer = requests.post(url, json=wanted, timeout=5)
    statuses = [resolve(media_id).status_code]
    listed = requests.get(url, timeout=5).json()
    requests.delete(f"{simulator.url}/simulator/faults", params={"media_id": media_id}, timeout=5)
    statuses.append(resolve(media_id).status_code)
    requests.delete(f"{simulator.url}/simulator/faults", timeout=5)
    statuses.append(resolve(media_id).status_code)

    assert answer.json()["struck"] == 0
    assert (listed["rate"], listed["seed"], listed["struck"]) == (1.0, 7, 1)
    assert [fault["fault"] for fault in listed["faults"]] == ["server_error", "cut_off"]
    assert statuses == [500, 500, 200]
    assert requests.get(url, timeout=5).json() is None


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"rate": 1.1, "faults": [{"fault": "gone"}]},
        {"rate": 0.5, "faults": []},
        {"rate": 0.5, "faults": [{"fault": "unheard-of"}]},
        {"rate": 0.5, "faults": [{"fault": "gone", "times": 1}]},
        {"rate": 0.5, "faults": [{"fault": "gone"}], "more": 1},
    ],
)
def test_faults_at_random_that_make_no_sense_are_refused(simulator: MetaSimulator, wanted: dict[str, Any]) -> None:
    answer = requests.post(f"{simulator.url}/simulator/random_faults", json=wanted, timeout=5)

    assert answer.status_code == 400
    assert simulator.faults.at_random is None


# --- media that Graph forgets ---------------------------------------------------------------------------------


def test_a_media_that_is_forgotten_is_gone_for_both_requests(
    simulator: MetaSimulator, resolve: Resolve, media_id: str
) -> None:
    url = resolve(media_id).json()["url"]

    forgotten = [simulator.forget_media(media_id), simulator.forget_media(media_id)]

    assert forgotten == [True, False]
    assert error_of(resolve(media_id)) == (400, 100, 33)
    assert download(url).status_code == 404
    assert [(asked.hop, asked.status) for asked in simulator.requests(media_id)] == [
        ("resolve", 200),
        ("resolve", 400),
        ("download", 404),
    ]


def test_a_media_is_forgotten_over_http(simulator: MetaSimulator, resolve: Resolve, media_id: str) -> None:
    url = f"{simulator.url}/simulator/media/{media_id}"

    assert requests.delete(url, timeout=5).json() == {"forgotten": True}
    assert requests.delete(url, timeout=5).json() == {"forgotten": False}
    assert error_of(resolve(media_id)) == (400, 100, 33)


# --- the business's own media ---


def own_media(simulator: MetaSimulator, token: str = TOKEN, **form: str) -> requests.Response:
    return requests.post(
        f"{simulator.url}/v26.0/{NUMBER}/media",
        data=form,
        files={"file": ("dot.png", b"dot", "image/png")},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )


def test_a_business_brings_media_of_its_own_and_takes_it_away_again(simulator: MetaSimulator) -> None:
    media_id = own_media(simulator, messaging_product="whatsapp", type="image/png").json()["id"]
    url, headers = f"{simulator.url}/v26.0/{media_id}", {"Authorization": f"Bearer {TOKEN}"}

    described = requests.get(url, params={"phone_number_id": NUMBER}, headers=headers, timeout=10).json()
    assert (described["mime_type"], described["file_size"]) == ("image/png", 3)
    assert requests.delete(url, headers=headers, timeout=10).json() == {"success": True}
    assert requests.get(url, headers=headers, timeout=10).status_code == 400
    assert requests.delete(url, headers=headers, timeout=10).status_code == 400


def test_media_of_ones_own_needs_the_token_and_the_product(simulator: MetaSimulator) -> None:
    assert own_media(simulator, "another", messaging_product="whatsapp").status_code == 401
    assert own_media(simulator).json()["error"]["code"] == 100
