"""What Meta sends reaches the CRM's own webhook: the same bytes, the same signature, whatever happens on the way."""

import base64
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from inbound.media import message_id
from local.environments import FunctionFailed
from local.server import serve
from local.stack import STATE
from tests import builders
from tests.builders import Json
from tests.integration import system as systems
from tests.integration.crm import Crm
from tests.integration.system import LOGS, System, running_system
from tests.integration.test_privacy import SWITCHES
from tools import events

PATH = "/hooks/whatsapp?key=1"
LARGE = int(2.9 * builders.MIB)
LOG = STATE / f"forward-{LOGS.name}"


@pytest.fixture(name="crm", scope="module")
def _crm() -> Crm:
    return Crm()


@pytest.fixture(name="forwarding", scope="module")
def _forwarding(crm: Crm) -> Iterator[System]:
    with serve(crm) as server, running_system(LOG, background=True, ForwardUrl=f"{server.url}{PATH}") as system:
        yield system


@pytest.fixture(name="system")
def _system(forwarding: System, crm: Crm) -> Iterator[System]:
    crm.forget()
    forwarding.aws.forget()
    yield forwarding
    crm.forget()
    forwarding.aws.forget()


def notification(system: System, **fields: Any) -> Json:
    return builders.notification(builders.text_message(**fields), phone_number_id=system.stack.phone_number_id)


def posted(system: System, body: bytes | Json, **headers: str | bytes) -> bytes:
    """Post a notification; give its bytes."""
    raw = body if isinstance(body, bytes) else builders.wire(body)
    answer = system.post(raw, **headers)
    assert answer.status_code == 200, answer.text
    return raw


def queue(system: System, name: str = "ForwardQueue") -> str:
    url: str = system.stack.template.resolve({"Ref": name})
    return url


def waiting(system: System, name: str = "ForwardQueue") -> int:
    counts = [f"ApproximateNumberOfMessages{which}" for which in ("", "Delayed", "NotVisible")]
    asked = {"QueueUrl": queue(system, name), "AttributeNames": counts}
    return sum(map(int, system.client("sqs").get_queue_attributes(**asked)["Attributes"].values()))


def logged() -> str:
    return LOG.read_text()


# --- the same bytes ----------------------------------------------------------------------------------------------

BODIES = {
    "as Meta writes": builders.wire(builders.notification(builders.text_message("Grüße 👋 / <a>@b"))),
    "unusual spacing": b' {"object" :\t"x",\r\n  "entry":[ ] }\n\n',
    "raw unicode": '{"entry":[],"text":"Grüße 👋 \u2028 𝄞"}'.encode(),
    "unknown field": builders.wire({"object": "x", "entry": [{"id": "1", "changes": [{"field": "new", "value": {}}]}]}),
    "statuses": builders.wire(builders.notification(statuses=[builders.status("read")])),
    "not JSON": b"not json",
    "not UTF-8": b'{"a":"\xff\xfe\x00\xc3\x28"}',
    "numbers that floats cannot hold": b'{"entry":[],"n":12345678901234567890.10,"e":1E400}',
    "large": b'{"entry":[],"fill":"' + b"0123456789" * (LARGE // 10) + b'"}',
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream"])
def test_the_crm_gets_metas_bytes_and_its_own_signature_check_goes_on_working(
    system: System, crm: Crm, name: str, content_type: str
) -> None:
    body = posted(system, BODIES[name], **{"Content-Type": content_type})

    crm.wait_for(body)
    (got,) = crm.taken
    assert got.body == body
    assert got.is_signed_with(system.stack.app_secret)
    assert got.path == PATH
    assert got.headers["content-type"] == content_type
    assert got.headers["content-length"] == str(len(body))
    assert got.headers["user-agent"].startswith("whatsapp-inbound-media/")
    assert "transfer-encoding" not in got.headers


def test_a_large_body_travels_by_way_of_the_bucket(system: System, crm: Crm) -> None:
    body = posted(system, BODIES["large"])

    crm.wait_for(body)
    (key,) = [own for own in system.objects() if own == f"forward/{crm.taken[0].headers['x-delivery-id']}"]
    assert system.object(key) == body


def test_the_older_signature_goes_on_with_the_newer_one(system: System, crm: Crm) -> None:
    body = posted(system, notification(system), **{"X-Hub-Signature": "sha1=0123"})

    crm.wait_for(body)
    assert crm.taken[0].headers["x-hub-signature"] == "sha1=0123"


def test_nothing_else_of_metas_request_goes_on(system: System, crm: Crm) -> None:
    body = posted(system, notification(system), **{"Authorization": "Bearer x", "Cookie": "a=b", "X-Other": "1"})

    crm.wait_for(body)
    assert not {"authorization", "cookie", "x-other", "x-forwarded-for"} & crm.taken[0].headers.keys()


def test_a_redelivery_is_forwarded_again_under_the_same_delivery_id(system: System, crm: Crm) -> None:
    body = posted(system, notification(system))
    posted(system, body)

    end = time.monotonic() + 20
    while len(crm.taken) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert crm.bodies() == [body, body]
    assert len({own.headers["x-delivery-id"] for own in crm.taken}) == 1


def test_what_an_app_says_of_anothers_number_is_forwarded_for_meta_has_signed_it(system: System, crm: Crm) -> None:
    secrets = system.client("secretsmanager")
    arn = system.stack.apps_secret_id
    before = secrets.get_secret_value(SecretId=arn)["SecretString"]
    apps = json.loads(before) | {
        "app-a": {"secrets": [systems.APP_A], "verify_token": "a", "phone_number_ids": [systems.NUMBER_A]}
    }
    secrets.put_secret_value(SecretId=arn, SecretString=json.dumps(apps))
    message = builders.text_message()
    body = builders.wire(builders.notification(message, phone_number_id=systems.NUMBER_B))
    event = builders.http_event("POST", "/webhook", headers=builders.signed(body, systems.APP_A), body=body)

    report = system.run("WebhookFunction", event)
    secrets.put_secret_value(SecretId=arn, SecretString=before)

    assert report["answers"][0]["statusCode"] == 200
    crm.wait_for(body)
    assert crm.taken[0].is_signed_with(systems.APP_A)


# --- who is not forwarded ----------------------------------------------------------------------------------------


def test_what_is_not_signed_goes_nowhere(system: System, crm: Crm) -> None:
    body = builders.wire(notification(system))
    wrong = {"X-Hub-Signature-256": "sha256=" + "0" * 64}

    refused = [system.post(body, **wrong), system.post(BODIES["large"] + b" ", **wrong)]
    last = posted(system, notification(system))

    crm.wait_for(last)
    assert [answer.status_code for answer in refused] == [401, 401]
    assert crm.bodies() == [last]
    assert "SendMessage" in system.aws.calls
    assert system.aws.calls.count("SendMessage") == 1
    assert "PutObject" not in system.aws.calls


def test_the_verification_get_is_ours(system: System, crm: Crm) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "4711", "hub.verify_token": system.stack.verify_token}

    report = system.run("WebhookFunction", builders.http_event("GET", "/webhook", query=query))

    assert report["answers"][0]["body"] == "4711"
    assert "sqs" not in report["clients"]
    assert crm.tried == []


def test_where_nothing_is_forwarded_nothing_more_is_asked_of_aws(running: System) -> None:
    body = builders.wire(builders.notification(builders.text_message(), phone_number_id=running.stack.phone_number_id))
    event = builders.http_event("POST", "/webhook", headers=builders.signed(body, running.stack.app_secret), body=body)
    assert running.post(body).status_code == 200
    running.aws.forget()

    report = running.run("WebhookFunction", event)

    assert report["answers"][0]["statusCode"] == 200
    assert set(running.aws.calls) <= {"GetSecretValue", "BatchGetItem", "BatchWriteItem"}
    assert set(report["clients"]) == {"dynamodb", "secretsmanager"}
    assert "ForwardFunction" not in running.stack.functions._functions
    assert "forward" not in "".join(running.client("sqs").list_queues()["QueueUrls"])


# --- a CRM in trouble --------------------------------------------------------------------------------------------


@pytest.mark.timeout(150)
def test_a_crm_that_was_away_gets_everything_when_it_is_back(system: System, crm: Crm) -> None:
    crm.down = (503, {})
    bodies = [posted(system, notification(system)) for _ in range(12)]
    bodies.append(posted(system, BODIES["large"]))
    for body in bodies:
        crm.wait_for_tries(body)
    taken_while_away = list(crm.taken)

    crm.down = None

    crm.wait_for(*bodies, seconds=120)
    assert taken_while_away == []
    assert waiting(system, "ForwardDeadLetterQueue") == 0
    assert all(own.is_signed_with(system.stack.app_secret) for own in crm.taken)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((500, {}), "5xx"),
        ((404, {}), "4xx"),
        ((410, {}), "4xx"),
        ((302, {"Location": "http://127.0.0.1:1/elsewhere"}), "3xx"),
        ((307, {"Location": "/elsewhere"}), "3xx"),
        ((308, {"Location": "http://[::1"}), "3xx"),
        ((304, {}), "3xx"),
    ],
)
def test_an_answer_that_is_not_2xx_is_tried_again_and_no_redirect_is_followed(
    system: System, crm: Crm, answer: tuple[int, dict[str, str]], kind: str
) -> None:
    crm.answers.append(answer)

    body = posted(system, notification(system))

    crm.wait_for(body)
    assert [own.path for own in crm.tried] == [PATH, PATH]
    assert f'"kind":"{kind}"' in logged()


def test_a_crm_that_asks_for_time_gets_it(system: System, crm: Crm) -> None:
    crm.answers.append((429, {"Retry-After": "7"}))
    body = posted(system, notification(system))
    crm.wait_for_tries(body)
    first = time.monotonic()

    crm.wait_for(body)

    assert time.monotonic() - first > 6


def test_a_slow_crm_does_not_slow_the_answer_to_meta_and_still_gets_it_once(system: System, crm: Crm) -> None:
    posted(system, notification(system))  # an environment is warm
    crm.delay = 10.0
    began = time.monotonic()

    body = posted(system, notification(system))

    answered = time.monotonic() - began
    crm.wait_for(body)
    while waiting(system):  # a second try would still come
        time.sleep(0.1)
    assert answered < 2
    assert sum(own.body == body for own in crm.tried) == 1


@pytest.mark.timeout(150)
def test_a_crm_that_never_answers_is_not_waited_for_and_is_asked_again(system: System, crm: Crm) -> None:
    crm.awake.clear()

    body = posted(system, notification(system))

    crm.wait_for_tries(body, 2, seconds=90)  # it is given up after 20 seconds, and then waits 20 more at most
    assert '"detail":"The CRM\'s webhook cannot be reached: ReadTimeout."' in logged()
    crm.awake.set()
    crm.wait_for(body)


def test_what_was_refused_too_often_ends_in_the_dead_letter_queue_as_it_came(system: System, crm: Crm) -> None:
    sqs, url, dead = system.client("sqs"), queue(system), queue(system, "ForwardDeadLetterQueue")
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    policy = json.dumps({**json.loads(before), "maxReceiveCount": 2})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    crm.down = (500, {})

    body = posted(system, notification(system))

    end = time.monotonic() + 40
    while not waiting(system, "ForwardDeadLetterQueue"):
        assert time.monotonic() < end
        time.sleep(0.2)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": before})
    (letter,) = sqs.receive_message(QueueUrl=dead)["Messages"]
    sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])
    assert len(crm.tried) == 2
    crm.down = None
    sqs.send_message(QueueUrl=url, MessageBody=letter["Body"])  # a redrive, which moto does not know
    crm.wait_for(body)


@contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """Give the address of a server that says the same to everybody, and then hangs up; or says nothing at all."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve_all() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        Thread(target=serve_all, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


def record(system: System, **fields: Any) -> Json:
    """Give an event of the queue with one notification, `{}` unless fields of the parcel say something else."""
    place = {"body": "e30=", **fields}
    return {
        "Records": [
            {
                "messageId": "m1",
                "receiptHandle": "unknown",
                "body": json.dumps({"delivery_id": "1", "headers": {}, **place}),
                "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": str(int(time.time() * 1000) - 90_000)},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:forward",
                "awsRegion": system.stack.access.region,
            }
        ]
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 99999 Hm\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 5\r\n\r\nx",
        b"\x00" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ],
    ids=["nothing", "no status", "no number", "no such status", "bad redirect", "zeros", "headers without end"],
)
def test_an_answer_that_makes_no_sense_is_no_success(system: System, answer: bytes) -> None:
    with listening(answer) as url:
        report = system.run("ForwardFunction", record(system), FORWARD_URL=url)

    assert report["answers"] == [{"batchItemFailures": [{"itemIdentifier": "m1"}]}]
    assert report["metrics"]["ForwardDelay"][0] >= 90
    assert "Forwarded" not in report["metrics"]


def test_an_answer_whose_body_never_ends_is_a_success_when_its_status_says_so(system: System) -> None:
    with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx") as url:
        report = system.run("ForwardFunction", record(system), FORWARD_URL=url)

    assert report["answers"] == [{"batchItemFailures": []}]
    assert report["metrics"]["Forwarded"] == [1]


def test_nobody_there_is_no_success_and_is_counted(system: System) -> None:
    (one,) = record(system)["Records"]
    event = {"Records": [one | {"messageId": f"m{n}"} for n in range(10)]}

    report = system.run("ForwardFunction", event, FORWARD_URL="http://127.0.0.1:1/")

    assert report["answers"] == [{"batchItemFailures": [{"itemIdentifier": f"m{n}"} for n in range(10)]}]
    assert report["metrics"]["ForwardFailed_network"] == [1] * 10
    lines = [own for own in report["log"] if own.get("message") == "forward_failed"]
    assert {(line["kind"], line["tries"]) for line in lines} == {("network", 3)}
    assert 5 < max(line["wait"] for line in lines) <= 100  # they were queued 90 seconds ago


def test_a_crm_whose_certificate_nobody_vouches_for_is_told_nothing(system: System, tmp_path: Path) -> None:
    heard: list[bytes] = []
    with pretender(tmp_path, heard) as url:
        report = system.run("ForwardFunction", record(system), FORWARD_URL=url)

    (line,) = [own for own in report["log"] if own.get("message") == "forward_failed"]
    assert line["detail"] == "The CRM's webhook cannot be reached: SSLError."
    assert report["metrics"]["ForwardFailed_network"] == [1]
    assert heard == []


@contextmanager
def pretender(folder: Path, heard: list[bytes]) -> Iterator[str]:
    """Give the https address of a server with a certificate that it has made itself; `heard` is what it is told."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "crm.pem").write_bytes(key.private_bytes(*plain) + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crm.pem")
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve_one() -> None:
            connection, _ = server.accept()
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                heard.append(tls.recv(65536))
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        thread = Thread(target=serve_one, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(5)


def test_the_event_for_developers_reaches_a_crm(system: System, crm: Crm) -> None:
    event = json.loads((events.FOLDER / "forward-batch.json").read_text("utf-8"))

    assert system.stack.functions.invoke("ForwardFunction", event) == {"batchItemFailures": []}

    assert crm.taken[0].is_signed_with(system.stack.app_secret)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"body": None}, "unreadable"), ({"body": None, "s3_key": "forward/gone"}, "body")],
    ids=["no parcel", "no object"],
)
def test_what_cannot_be_sent_stays_for_the_dead_letter_queue(system: System, crm: Crm, fields: Json, kind: str) -> None:
    report = system.run("ForwardFunction", record(system, **fields))

    assert report["answers"] == [{"batchItemFailures": [{"itemIdentifier": "m1"}]}]
    assert report["metrics"][f"ForwardFailed_{kind}"] == [1]
    assert crm.tried == []


def test_one_notification_that_fails_costs_its_batch_nothing(system: System, crm: Crm) -> None:
    good, bad = record(system), record(system, body=None)
    bad["Records"][0]["messageId"] = "m2"

    report = system.run("ForwardFunction", {"Records": [*bad["Records"], *good["Records"]]})

    assert report["answers"] == [{"batchItemFailures": [{"itemIdentifier": "m2"}]}]
    assert crm.bodies() == [b"{}"]


def test_a_bug_is_logged_and_costs_only_its_own_notification(system: System, crm: Crm) -> None:
    good, bad = record(system), record(system)
    bad["Records"][0] |= {"messageId": "m2", "attributes": {}}

    report = system.run("ForwardFunction", {"Records": [*bad["Records"], *good["Records"]]})

    assert report["answers"] == [{"batchItemFailures": [{"itemIdentifier": "m2"}]}]
    assert [own["message"] for own in report["log"] if own.get("level") == "ERROR"] == ["forward_broken"]
    assert crm.bodies() == [b"{}"]


# --- our own stores in trouble -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "name"), [("SendMessage", "as Meta writes"), ("PutObject", "large"), ("SendMessage", "large")]
)
def test_what_cannot_be_queued_is_answered_503_and_the_redelivery_brings_everything(
    system: System, crm: Crm, operation: str, name: str
) -> None:
    message = builders.image_message()
    number = system.stack.phone_number_id
    body = builders.wire(builders.notification(message, phone_number_id=number))
    body += b" " * (LARGE if name == "large" else 0)
    system.aws.fail(operation, "ServiceUnavailable", status=503)

    refused = system.post(body)

    system.aws.forget()
    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert crm.tried == []
    posted(system, body)
    crm.wait_for(body)
    assert system.message(message_id(number, message["id"]))["type"] == "image"


def test_what_could_not_be_stored_is_forwarded_only_once_it_is(system: System, crm: Crm) -> None:
    body = builders.wire(notification(system))
    system.aws.fail("BatchWriteItem", "InternalServerError", status=500)

    refused = system.post(body)

    system.aws.forget()
    assert refused.status_code == 503
    posted(system, body)
    crm.wait_for(body)
    assert crm.bodies() == [body]


def test_a_wait_that_cannot_be_set_costs_nothing_but_the_wait(system: System, crm: Crm) -> None:
    system.aws.fail("ChangeMessageVisibility", "ServiceUnavailable", status=503)

    report = system.run("ForwardFunction", record(system), FORWARD_URL="http://127.0.0.1:1/")

    assert report["answers"] == [{"batchItemFailures": [{"itemIdentifier": "m1"}]}]
    assert [own["message"] for own in report["log"] if own.get("level") == "ERROR"] == ["wait_not_set"]
    assert crm.tried == []


# --- what is written down ----------------------------------------------------------------------------------------


def test_no_log_holds_what_customers_wrote_who_they_are_or_where_it_goes(system: System, crm: Crm) -> None:
    phone = builders.any_phone()
    crm.answers += [(500, {}), (302, {"Location": f"/{phone}"})]
    words = "secret words of a customer"

    body = posted(system, notification(system, sender=phone, body=words))

    crm.wait_for(body)
    assert len(crm.tried) == 3
    assert "forward_failed" in logged()
    for private in (phone, words, "key=1", "/hooks/whatsapp", crm.taken[0].headers["x-hub-signature-256"]):
        assert private not in logged()


def test_what_the_forwarder_raises_reaches_the_runtime_as_a_name_only(system: System) -> None:
    with pytest.raises(FunctionFailed, match=r"^InternalError: [A-Za-z]+$"):
        system.stack.functions.invoke("ForwardFunction", {"Records": 5})


def test_no_switch_of_a_library_makes_the_forwarder_print_what_it_sends(system: System, crm: Crm) -> None:
    body = base64.b64encode(b'{"text":"Wedding in Porto"}').decode()
    crm.down = (500, {})

    report = system.run("ForwardFunction", record(system, body=body), **SWITCHES, PYTHONWARNINGS="ignore")

    assert report["printed"]
    assert [line for line in report["printed"] for word in ("Wedding", body, "eventSource") if word in line] == []


def test_the_forwarder_writes_no_file_and_needs_no_client_of_aws_when_all_goes_well(system: System, crm: Crm) -> None:
    report = system.run("ForwardFunction", record(system))

    assert report["answers"] == [{"batchItemFailures": []}]
    assert (report["written"], report["clients"]) == ([], [])
    assert crm.bodies() == [b"{}"]
