"""What must not leave: through the log when something fails, through switches of a library, through the terminal."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from local.environments import FunctionFailed
from local.options import Options
from local.stack import _greeting
from tests import builders
from tests.builders import Json
from tests.integration import system as systems
from tests.integration.system import System, json_lines
from tests.integration.witness import Witness

# What a developer switches on to see more: the library then prints events, and answers with tracebacks.
SWITCHES = {"POWERTOOLS_DEV": "true", "POWERTOOLS_LOGGER_LOG_EVENT": "true", "POWERTOOLS_LOG_LEVEL": "DEBUG"}


def logged_since(place: int) -> list[Json]:
    """Give the log lines that were written after so many characters."""
    return json_lines(systems.LOGS.read_text()[place:])


def size_of_log() -> int:
    return len(systems.LOGS.read_text())


def notification(system: System) -> Json:
    """Give the event of a POST with a caption."""
    message = builders.image_message(media={"caption": "Wedding in Porto"})
    raw = builders.wire(builders.notification(message, phone_number_id=system.stack.phone_number_id))
    return builders.http_event("POST", "/webhook", headers=builders.signed(raw, system.stack.app_secret), body=raw)


def view(system: System) -> Json:
    """Give the event of a view of a message that is not there."""
    path, route = "/media/messages/abc", "/media/messages/{message_id}"
    headers = {"authorization": f"Bearer {system.stack.media_token}"}
    return builders.http_event("GET", path, headers=headers, route=route) | {"pathParameters": {"message_id": "abc"}}


EVENTS: dict[str, Callable[[System], Json]] = {
    "WebhookFunction": notification,
    "MediaProxyFunction": view,
    "PrefetchFunction": lambda _: builders.sqs_event("a" * 26),
    "SweepFunction": lambda _: {"detail-type": "Scheduled Event", "version": "0", "eventSource": "aws.events"},
}
# The names of what is in those events, and in nothing that is to be printed.
IN_EVENTS = ("requestContext", "rawPath", "eventSource", "Wedding")


@pytest.mark.parametrize("function", EVENTS)
def test_no_switch_of_a_library_makes_a_function_print_its_event(system: System, function: str) -> None:
    report = system.run(function, EVENTS[function](system), **SWITCHES, PYTHONWARNINGS="ignore")

    assert report["printed"]
    assert [name for name in IN_EVENTS for line in report["printed"] if name in line] == []


def test_no_switch_of_a_library_makes_an_answer_hold_a_traceback(system: System) -> None:
    system.aws.fail("Query", "ResourceNotFoundException")

    report = system.run("MediaProxyFunction", view(system), **SWITCHES, PYTHONWARNINGS="ignore")

    (answer,) = report["answers"]
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (500, "internal_error")
    assert "Traceback" not in answer["body"]


@pytest.mark.parametrize("function", EVENTS)
def test_what_a_handler_raises_reaches_the_runtime_as_a_name_only(system: System, function: str) -> None:
    system.aws.fail("Query", "ResourceNotFoundException")  # the sweeper does not mind what its event says
    place = size_of_log()

    with pytest.raises(FunctionFailed, match=r"^InternalError: [A-Za-z]+$"):
        system.stack.functions.invoke(function, {"Records": 5, "requestContext": 5})

    assert [line for line in logged_since(place) if line.get("message") == "handler_failed"]


def test_a_batch_in_which_every_job_fails_is_logged_masked_and_raises_nothing(system: System) -> None:
    phone = builders.any_phone()
    event = builders.sqs_event("one", "two")
    event["Records"][0]["body"] = f"+{phone} is no job"
    event["Records"][1]["body"] = json.dumps({phone: phone})
    place = size_of_log()

    answer = system.stack.functions.invoke("PrefetchFunction", event)

    assert [failure["itemIdentifier"] for failure in answer["batchItemFailures"]] == ["one", "two"]
    failed = [line for line in logged_since(place) if line.get("message") == "job_failed"]
    assert [line["exception_name"] for line in failed] == ["JSONDecodeError", "KeyError"]
    assert phone not in systems.LOGS.read_text()[place:]


def test_the_terminal_shows_addresses_and_no_secret(system: System) -> None:
    text = _greeting(system.stack, Options(), 1.0)

    assert system.stack.api_url in text
    system.witness.settle()
    assert list(system.witness.secrets.found_in(text)) == []


# --- the witness itself ------------------------------------------------------------------------------------------

TOKEN = builders.media_token("a secret of more than thirty-two bytes")
MESSAGE = builders.image_message(media={"caption": 'A "planted" caption: ü', "filename": "planted.jpg"})
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\n-----END PRIVATE KEY-----"
RAW = builders.wire(builders.notification(MESSAGE))
URL = "https://d1.cloudfront.net/inline/1/a/1?Expires=1790000000&Signature=MEUCIQDplantedSignature~_&Key-Pair-Id=K"


def metric(dimension: str, value: str) -> str:
    return json.dumps({"_aws": {"CloudWatchMetrics": [{"Dimensions": [[dimension]]}]}, dimension: value})


@pytest.fixture
def witness() -> Witness:
    """Give a witness that has seen a bit of everything."""
    own = Witness()
    post = builders.http_event("POST", "/webhook", headers=builders.signed(RAW, "planted"), body=RAW)
    view = builders.http_event("GET", "/media/messages/a", headers={"authorization": f"Bearer {TOKEN}"})
    answers = {"POST": {"statusCode": 200}, "GET": {"statusCode": 302, "headers": {"Location": URL}}}
    invoke = own.invoking(lambda _, event, __: answers[event["requestContext"]["http"]["method"]])
    invoke("WebhookFunction", post)
    invoke("MediaProxyFunction", view)
    own.aws_answer("GetSecretValue", json.dumps({"SecretString": json.dumps([{"key_id": "K", "pem": KEY}])}).encode())
    own.graph_url("mid=1337&hash=plantedHashOfMeta")
    own.settle()
    assert own.leaks == []
    return own


LEAKS = {
    "a phone number": f"from {MESSAGE['from']}.",
    "a wamid": f"KeyError: {MESSAGE['id']!r}",
    "a wamid in a URL": MESSAGE["id"].replace("/", "%2F").replace("+", "%2B").replace("=", "%3D"),
    "a caption in JSON": json.dumps({"caption": 'A "planted" caption: ü'}),
    "a caption in JSON as UTF-8": json.dumps({"caption": 'A "planted" caption: ü'}, ensure_ascii=False),
    "a file name": "planted.jpg",
    "a profile name": f"Customer {MESSAGE['from']}",
    "a media token": f"<{TOKEN}>",
    "a signature of Meta's": builders.signed(RAW, "planted")["X-Hub-Signature-256"],
    "a signature of CloudFront's": "MEUCIQDplantedSignature~_",
    "a signature within an address": URL,
    "a line of the signing key": "MIGHAgEAMBMGByqGSM49AgEG",
    "the signing key in JSON": json.dumps(KEY),
    "the hash of a media address": "plantedHashOfMeta",
    "a dimension that nobody knows": metric("contact", "a"),
    "a dimension with a long number": metric("graph_code", "15550100101"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_in_a_log_is_found_and_told_without_repeating_it(
    witness: Witness, tmp_path: Path, name: str
) -> None:
    log = tmp_path / "handlers.log"
    log.write_text(f"one line\n{LEAKS[name]}\n", "utf-8")

    witness.look_at_log(log)

    assert witness.leaks
    assert {leak.place for leak in witness.leaks} == {f"{log}:2"}
    assert all(len(leak.what) < 60 and LEAKS[name] not in leak.what for leak in witness.leaks)


def test_a_planted_leak_on_the_terminal_is_found(witness: Witness, tmp_path: Path) -> None:
    log = tmp_path / "handlers.log"
    log.touch()
    witness.terminal.write(f"all is well\nFunctionFailed: {MESSAGE['from']}\n")

    witness.look_at_log(log)

    assert [leak.place for leak in witness.leaks] == ["the terminal, line 2"]


def test_a_number_within_a_longer_one_and_a_word_of_our_own_are_no_leaks(witness: Witness) -> None:
    witness.personal.add("name", "phone_number_id")

    witness.look_at_line("log", f'{{"Timestamp":1{MESSAGE["from"]}0,"phone_number_id":"a"}}')

    assert witness.leaks == []


@pytest.mark.parametrize(
    ("operation", "target", "body"),
    [
        ("PutItem", "/", {"Item": {"pk": {"S": f"CONV#1#{MESSAGE['from']}"}, "sk": {"S": "a"}}}),
        ("BatchWriteItem", "/", {"RequestItems": {"t": [{"PutRequest": {"Item": {"gsi1pk": {"S": MESSAGE["id"]}}}}]}}),
        ("TransactWriteItems", "/", {"TransactItems": [{"Update": {"Key": {"pk": {"S": TOKEN}}}}]}),
        ("PutObject", f"/bucket/raw/{MESSAGE['from']}/a", {}),
        ("PutObject", "/bucket/raw/1/planted.jpg?x-id=PutObject", {}),
        ("SendMessageBatch", "/", {"Entries": [{"MessageBody": json.dumps({"message_id": "a", "from": "b"})}]}),
        ("SendMessage", "/", {"MessageBody": json.dumps({"message_id": MESSAGE["id"]})}),
        (
            "SendMessageBatch",
            "/",
            {"Entries": [{"MessageBody": f'{{"message_id": "{"a" * 26}"}}', "MessageAttributes": {}}]},
        ),
    ],
)
def test_a_planted_leak_in_a_key_or_a_job_is_found(witness: Witness, operation: str, target: str, body: Json) -> None:
    witness.aws_call(operation, target, json.dumps(body).encode())

    witness.settle()

    assert witness.leaks


def test_what_stands_in_an_item_beside_its_keys_is_none(witness: Witness) -> None:
    item = {"pk": {"S": f"MSG#{'a' * 26}"}, "contact_phone": {"S": MESSAGE["from"]}, "raw": {"S": json.dumps(MESSAGE)}}
    witness.aws_call("PutItem", "/", json.dumps({"Item": item}).encode())
    witness.aws_call("SendMessage", "/", json.dumps({"MessageBody": f'{{"message_id": "{"a" * 26}"}}'}).encode())

    witness.settle()

    assert witness.leaks == []


def test_an_answer_that_repeats_a_secret_is_found(witness: Witness) -> None:
    witness.invoking(lambda *_: {"body": f"no such token: {TOKEN}"})("MediaProxyFunction", {})

    witness.settle()

    assert [leak.place for leak in witness.leaks] == ["an answer of MediaProxyFunction"]
