import json
import time
from collections.abc import Callable

import pytest
import requests

from inbound.media import contact_id, message_id
from tests import builders
from tests.integration import system as systems
from tests.integration.system import System

LIMIT = 3 * 1024 * 1024


def stored(system: System, *messages: builders.Json) -> list[str]:
    """Post messages for the local number; give their ids."""
    number = system.stack.phone_number_id
    answer = system.post(builders.notification(*messages, phone_number_id=number))
    assert answer.status_code == 200, answer.text
    return [message_id(number, message["id"]) for message in messages]


# --- handshake ---------------------------------------------------------------------------------------------------


def test_the_challenge_is_echoed_to_who_knows_the_verify_token(system: System) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "11585 <b>", "hub.verify_token": system.stack.verify_token}

    answer = requests.get(f"{system.stack.api_url}/webhook", query, timeout=10)

    assert (answer.status_code, answer.text) == (200, "11585 <b>")
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_no_answer_can_be_taken_for_a_page(system: System) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "<b>", "hub.verify_token": system.stack.verify_token}
    answers = {
        200: requests.get(f"{system.stack.api_url}/webhook", query, timeout=10),
        401: system.post(b"{}", secret="wrong"),
        403: requests.get(f"{system.stack.api_url}/webhook", timeout=10),
        413: system.post(b"x" * (LIMIT + 1)),
    }

    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    "change",
    [
        {"hub.verify_token": "wrong"},
        {"hub.verify_token": "wröng-✓"},
        {"hub.verify_token": ""},
        {"hub.mode": "unsubscribe"},
        {"hub.mode": None},
        {"hub.verify_token": None},
    ],
)
def test_a_wrong_verification_is_refused(system: System, change: dict[str, str | None]) -> None:
    query = {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": system.stack.verify_token} | change

    answer = requests.get(f"{system.stack.api_url}/webhook", query, timeout=10)

    assert (answer.status_code, answer.json()["code"]) == (403, "verification_failed")


# --- signature and body ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bend",
    [
        lambda _: "",
        lambda _: "sha256=",
        lambda _: "sha256=" + "0" * 64,
        lambda good: good.replace("sha256=", "sha1="),
        lambda good: good.removeprefix("sha256="),
        lambda good: "sha256=" + good.removeprefix("sha256=").upper(),
        lambda good: good[:-1],
        lambda _: "sha256=\u00e4\u00f6",
    ],
    ids=["empty", "no digest", "zeros", "sha1", "no prefix", "upper case", "cut", "not ASCII"],
)
def test_a_missing_or_wrong_signature_stores_nothing(system: System, bend: Callable[[str], str]) -> None:
    message = builders.image_message()
    raw = builders.wire(builders.notification(message, phone_number_id=system.stack.phone_number_id))
    good = builders.signed(raw, system.stack.app_secret)["X-Hub-Signature-256"]

    answer = system.post(raw, **{"X-Hub-Signature-256": bend(good).encode("latin-1")})

    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")
    assert system.items(f"MSG#{message_id(system.stack.phone_number_id, message['id'])}") == {}
    assert system.jobs() == []


def test_no_signature_header_at_all_is_refused(system: System) -> None:
    answer = requests.post(f"{system.stack.api_url}/webhook", b"{}", timeout=10)

    assert answer.status_code == 401


def test_a_signature_over_other_bytes_is_refused(system: System) -> None:
    signed = builders.signed(b'{"entry":[]}', system.stack.app_secret)

    answer = system.post(b'{"entry": []}', **signed)

    assert answer.status_code == 401


@pytest.mark.parametrize("size", [LIMIT + 1, 4 * 1024 * 1024])
@pytest.mark.parametrize("content_type", ["application/json", "application/octet-stream"])
def test_a_body_over_three_mebibytes_is_refused_before_it_is_hashed(
    system: System, size: int, content_type: str
) -> None:
    answer = system.post(b"x" * size, **{"Content-Type": content_type})

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_body_of_exactly_three_mebibytes_is_accepted(system: System) -> None:
    answer = system.post(b'{"entry":[]}' + b" " * (LIMIT - 12))

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "application/octet-stream", "text/plain"]
)
def test_the_bytes_that_were_signed_are_checked_whatever_the_content_type(system: System, content_type: str) -> None:
    message = builders.text_message("Grüße 👋 https://example.com/<a>@b")
    body = builders.notification(message, phone_number_id=system.stack.phone_number_id)

    answer = system.post(json.dumps(body, ensure_ascii=False).encode(), **{"Content-Type": content_type})

    assert answer.status_code == 200
    own_id = message_id(system.stack.phone_number_id, message["id"])
    assert system.message(own_id)["text"] == "Grüße 👋 https://example.com/<a>@b"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b"42",
        b"null",
        b"{}",
        b'{"entry": {}}',
        b'{"entry": [1, null, "x", {"changes": 7}]}',
        b"\xff\xfe\x00 invalid utf-8 \xc3\x28",
        b"[" * 100_000,
        b'{"entry":[' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"]}",
        b'{"entry":[],"more":' + b"9" * 5000 + b"}",
    ],
    ids=[
        "empty",
        "text",
        "list",
        "string",
        "number",
        "null",
        "object",
        "entry",
        "entries",
        "utf8",
        "deep",
        "deep2",
        "int",
    ],
)
def test_a_signed_body_that_makes_no_sense_is_kept_raw_and_answered_200(system: System, raw: bytes) -> None:
    before = time.time()

    answer = system.post(raw)

    assert answer.status_code == 200
    event, *_ = system.events(since=before)
    assert event["gsi1pk"] == f"EVENTS#{event['app_id']}"
    assert "raw" in event or "raw_bytes" in event


def test_a_body_that_is_not_utf8_is_kept_byte_for_byte(system: System) -> None:
    raw, before = b"\xff\xfe invalid \xc3\x28 " + str(time.time_ns()).encode(), time.time()

    assert system.post(raw).status_code == 200

    assert raw in [event.get("raw_bytes") for event in system.events(since=before)]


def test_one_byte_that_is_not_utf8_costs_no_message(system: System) -> None:
    message, before = builders.image_message(media={"caption": "caption"}), time.time()
    raw = builders.wire(builders.notification(message, phone_number_id=system.stack.phone_number_id))
    raw = raw.replace(b'"caption":"caption"', b'"caption":"capt\xffion"')

    assert system.post(raw).status_code == 200

    own_id = message_id(system.stack.phone_number_id, message["id"])
    assert system.message(own_id)["caption"] == "capt\ufffdion"
    assert raw in [event.get("raw_bytes") for event in system.events(since=before)]


def test_without_any_app_secret_nothing_is_accepted_and_meta_shall_try_again(system: System) -> None:
    empty = system.client("secretsmanager").create_secret(Name=f"empty-{time.time_ns()}", SecretString="{}")["ARN"]
    raw = builders.wire(builders.notification(builders.image_message()))
    post = builders.http_event("POST", "/webhook", headers=builders.signed(raw, ""), body=raw)
    get = builders.http_event("GET", "/webhook", query={"hub.mode": "subscribe", "hub.verify_token": ""})

    report = system.run("WebhookFunction", post, get, APPS_SECRET_ID=empty)

    assert [answer["statusCode"] for answer in report["answers"]] == [503, 403]
    assert json.loads(report["answers"][0]["body"])["code"] == "not_configured"
    assert report["clients"] == ["secretsmanager"]


def test_messages_are_counted_by_type_and_what_nobody_knows_together(system: System) -> None:
    messages = [builders.image_message(), builders.image_message(), builders.text_message()]
    messages += [builders.message(kind, {}) for kind in ("location", "a-type-of-tomorrow")]
    raw = builders.wire(builders.notification(*messages, phone_number_id=system.stack.phone_number_id))
    headers = builders.signed(raw, system.stack.app_secret)

    report = system.run("WebhookFunction", builders.http_event("POST", "/webhook", headers=headers, body=raw))

    stored = {name: value for name, value in report["metrics"].items() if name.startswith("Stored_")}
    assert stored == {"Stored_image": [2.0], "Stored_text": [1.0], "Stored_other": [2.0]}
    assert report["metrics"]["Messages"] == [5.0]


# --- what is stored ----------------------------------------------------------------------------------------------


def test_an_image_is_stored_with_all_that_the_contract_names(system: System) -> None:
    sender, number = builders.any_phone(), system.stack.phone_number_id
    message = builders.image_message(" 4711 ", sender=sender, media={"caption": "Kitchen"}, context={"id": "wamid.X"})

    (own_id,) = stored(system, message)

    item = system.message(own_id)
    contact = contact_id(number, sender)
    timestamp = int(message["timestamp"])
    assert {
        name: item[name] for name in ("pk", "sk", "message_id", "wamid", "phone_number_id", "direction", "type")
    } == {
        "pk": f"MSG#{own_id}",
        "sk": "MESSAGE",
        "message_id": own_id,
        "wamid": message["id"],
        "phone_number_id": number,
        "direction": "inbound",
        "type": "image",
    }
    assert (item["provider_media_id"], item["media_url"], item["caption"]) == ("4711", "4711", "Kitchen")
    assert (item["mime_type"], item["sha256"]) == ("image/jpeg", builders.PHOTO.sha256)
    assert item["timestamp"] == timestamp
    assert json.loads(item["raw"]) == message
    assert (item["gsi1pk"], item["gsi1sk"]) == (f"CONV#{number}#{contact}", f"{timestamp}#{own_id}")
    assert (item["gsi2pk"], item["gsi2sk"]) == (f"UNSETTLED#{own_id[0]}", str(timestamp))
    head = system.items(f"CONV#{number}")[contact]
    assert (head["gsi1pk"], head["gsi1sk"]) == (f"HEADS#{number}", f"{timestamp}#{contact}")
    assert (head["name"], head["preview"]) == (f"Customer {sender}", "Kitchen")
    assert system.jobs() == [own_id]


def test_the_same_post_twice_leaves_the_same_items(system: System) -> None:
    message = builders.image_message()
    body = builders.notification(message, phone_number_id=system.stack.phone_number_id)
    own_id = message_id(system.stack.phone_number_id, message["id"])
    system.post(body)
    first = system.items(f"MSG#{own_id}")

    assert system.post(body).status_code == 200

    assert system.items(f"MSG#{own_id}") == first
    assert set(system.jobs()) == {own_id}


def test_a_placeholder_never_overwrites_a_media_id_whatever_the_order(system: System) -> None:
    real = builders.image_message()
    stand_in = {**real, "type": "media_placeholder"}
    del stand_in["image"]

    stored(system, real)
    (own_id,) = stored(system, stand_in)
    other = {**real, "id": builders.any_wamid()}
    stored(system, {**stand_in, "id": other["id"]})
    (late_id,) = stored(system, other)

    assert system.message(own_id)["provider_media_id"] == real["image"]["id"]
    assert system.message(late_id)["provider_media_id"] == real["image"]["id"]


def test_of_one_message_twice_in_a_post_the_one_with_a_media_id_is_kept(system: System) -> None:
    real = builders.image_message()
    bare = {**real, "image": {"mime_type": "image/jpeg"}}

    for pair in ([real, bare], [bare, real]):
        own_id, _ = stored(system, *pair)
        assert system.message(own_id)["provider_media_id"] == real["image"]["id"]


def test_an_image_without_an_id_is_stored_as_unavailable_and_not_queued(system: System) -> None:
    message = builders.image_message()
    del message["image"]["id"]

    (own_id,) = stored(system, message)

    item = system.message(own_id)
    assert item["media_unavailable"] == "no media id"
    assert "provider_media_id" not in item
    assert "gsi2pk" not in item
    assert system.jobs() == []


def test_a_status_may_precede_its_message(system: System) -> None:
    wamid, number = builders.any_wamid(), system.stack.phone_number_id
    status = builders.status("read", wamid)

    assert system.post(builders.notification(statuses=[status], phone_number_id=number)).status_code == 200

    ((sk, item),) = system.items(f"MSG#{message_id(number, wamid)}").items()
    assert sk == f"STATUS#read#{contact_id(number, status['recipient_id'])}"
    assert item["status"] == "read"


def test_a_user_id_and_a_number_seen_together_make_an_alias(system: System) -> None:
    phone, user, number = builders.any_phone(), builders.any_user_id(), system.stack.phone_number_id

    stored(system, builders.text_message(sender=phone, from_user_id=user))

    alias = system.items(f"CONV#{number}")[f"ALIAS#{contact_id(number, phone)}"]
    assert alias["contact_id"] == contact_id(number, user)


def test_neither_keys_nor_jobs_nor_logs_hold_a_phone_number(system: System) -> None:
    phone = builders.any_phone()
    (own_id,) = stored(system, builders.image_message(sender=phone, media={"caption": f"call {phone}"}))

    keys = ("pk", "sk", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk")
    items = [item for item in system.everything() if own_id in json.dumps(item, default=str)]
    assert items
    assert not [item for item in items for key in keys if phone in item.get(key, "")]
    assert phone not in "".join(system.jobs())
    assert phone not in system.logs()


# --- sizes and hostile strings -----------------------------------------------------------------------------------


def test_a_thousand_images_in_one_post_take_at_most_160_calls(system: System) -> None:
    body = builders.batch(1000, contacts=20, numbers=3, entries=2)
    queued = system.queued()

    answer = system.post(body)

    assert answer.status_code == 200, answer.text
    calls = list(system.aws.calls)
    assert len(calls) <= 160, len(calls)
    assert set(calls) <= {"BatchWriteItem", "BatchGetItem", "SendMessageBatch", "GetSecretValue"}
    expected = {
        message_id(change["value"]["metadata"]["phone_number_id"], message["id"])
        for entry in body["entry"]
        for change in entry["changes"]
        for message in change["value"]["messages"]
    }
    assert len(expected) == 1000
    # Not all jobs are this POST's: an attempt of another test may just now queue its next one.
    assert sorted(job for job in system.jobs() if job in expected) == sorted(expected)
    assert system.queued() >= queued + 1000
    assert expected <= {item["message_id"] for item in system.everything() if item["sk"] == "MESSAGE"}


def test_a_caption_too_large_for_an_item_goes_to_the_bucket_and_its_sibling_is_stored(system: System) -> None:
    caption = "ü" * 300_000
    large = builders.image_message(media={"caption": caption})
    small = builders.image_message()

    large_id, small_id = stored(system, large, small)

    item = system.message(large_id)
    assert json.loads(system.object(item["raw_s3_key"])) == large
    assert system.object(item["text_s3_key"]).decode() == caption
    assert item["provider_media_id"] == large["image"]["id"]
    assert item["raw_s3_key"].startswith("raw/")
    assert system.message(small_id)["provider_media_id"] == small["image"]["id"]


def test_a_raw_body_too_large_for_an_item_goes_to_the_bucket(system: System) -> None:
    raw, before = b"garbage " + str(time.time_ns()).encode() + b"x" * 500_000, time.time()

    assert system.post(raw).status_code == 200

    read = [system.object(event["raw_s3_key"]) for event in system.events(since=before) if "raw_s3_key" in event]
    assert raw in read


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"from": "1" * 70_000}, id="70 kB sender"),
        pytest.param({"from": "\ud800 half"}, id="half a surrogate pair as sender"),
        pytest.param({"id": "wamid." + "x" * 5_000}, id="endless id"),
        pytest.param({"id": "wamid.\ud83d"}, id="half a surrogate pair in the id"),
        pytest.param({"timestamp": "9" * 40}, id="far future"),
        pytest.param({"timestamp": "-5"}, id="before time"),
        pytest.param({"timestamp": None}, id="no time"),
        pytest.param({"type": "t" * 5_000}, id="endless type"),
        pytest.param({"from_user_id": "u" * 3_000}, id="endless user id"),
        pytest.param({"context": {"": {"": [1e308, -0.0, None]}}}, id="odd context"),
    ],
)
def test_a_strange_message_is_stored_and_its_sibling_does_not_suffer(system: System, change: dict[str, object]) -> None:
    strange = {**builders.image_message(), **change}
    sibling = builders.image_message()

    strange_id, sibling_id = stored(system, strange, sibling)

    assert system.message(sibling_id)["provider_media_id"] == sibling["image"]["id"]
    item = system.message(strange_id)
    raw = item["raw"] if "raw" in item else system.object(item["raw_s3_key"])
    assert json.loads(raw) == strange
    assert item["type"] != "image" or strange_id in system.jobs()


# --- tenancy -----------------------------------------------------------------------------------------------------


def test_an_app_never_writes_to_a_number_of_another_app(system: System) -> None:
    theirs, own = builders.image_message(), builders.image_message()
    body = builders.envelope(
        [builders.change_of(theirs, phone_number_id=systems.NUMBER_B)],
        [builders.change_of(own, phone_number_id=systems.NUMBER_A)],
    )
    before = system.items(f"CONV#{systems.NUMBER_B}")

    answer = system.post(body, secret=systems.APP_A)

    assert answer.status_code == 200
    assert system.items(f"MSG#{message_id(systems.NUMBER_B, theirs['id'])}") == {}
    assert system.items(f"CONV#{systems.NUMBER_B}") == before
    assert theirs["id"] not in json.dumps(system.events(app_id="app-a"))
    own_id = message_id(systems.NUMBER_A, own["id"])
    assert system.message(own_id)["type"] == "image"
    assert system.jobs() == [own_id]


# --- faults of the store -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "code", "status"),
    [
        ("BatchWriteItem", "ProvisionedThroughputExceededException", 400),
        ("BatchWriteItem", "InternalServerError", 500),
        ("BatchGetItem", "ThrottlingException", 400),
        ("SendMessageBatch", "ServiceUnavailable", 503),
    ],
)
def test_a_failing_store_is_answered_503_and_the_redelivery_stores_everything(
    system: System, operation: str, code: str, status: int
) -> None:
    message = builders.image_message()
    body = builders.notification(message, phone_number_id=system.stack.phone_number_id)
    before = system.faults("webhook")
    system.aws.fail(operation, code, status=status)

    answer = system.post(body)

    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert system.faults("webhook") == before + 1
    system.aws.forget()
    assert system.post(body).status_code == 200
    assert system.faults("webhook") == before + 1
    own_id = message_id(system.stack.phone_number_id, message["id"])
    assert system.message(own_id)["type"] == "image"
    assert own_id in system.jobs()


def test_what_dynamodb_leaves_unprocessed_is_written_again(system: System) -> None:
    message = builders.image_message()
    own_id = message_id(system.stack.phone_number_id, message["id"])
    system.aws.leave("BatchWriteItem", does=0, times=2)

    stored(system, message)

    assert system.message(own_id)["type"] == "image"
    assert system.aws.calls.count("BatchWriteItem") == 3


def test_one_item_that_dynamodb_refuses_does_not_poison_its_batch(system: System) -> None:
    poison, *siblings = [builders.image_message() for _ in range(5)]
    poison_id = message_id(system.stack.phone_number_id, poison["id"])
    key = f'"MSG#{poison_id}"'.encode()
    system.aws.fail(
        "BatchWriteItem", "ValidationException", strikes=lambda body: key in body and b'"EVENT"' not in body
    )

    before = time.time()

    ids = stored(system, poison, *siblings)

    assert system.items(f"MSG#{poison_id}") == {}
    assert all(system.message(own_id) for own_id in ids[1:])
    refused = [event for event in system.events(since=before) if event["reason"] == "refused"]
    assert poison["id"] in json.dumps([json.loads(event["raw"])["wamid"] for event in refused])
    assert sorted(system.jobs()) == sorted(ids[1:])


def test_jobs_that_sqs_failed_are_sent_again(system: System) -> None:
    message = builders.image_message()
    own_id = message_id(system.stack.phone_number_id, message["id"])
    failed = {"Successful": [], "Failed": [{"Id": own_id, "SenderFault": False, "Code": "InternalError"}]}
    system.aws.answer("SendMessageBatch", 200, json.dumps(failed).encode())

    stored(system, message)

    assert system.jobs() == [own_id]
    assert system.aws.calls.count("SendMessageBatch") == 2
