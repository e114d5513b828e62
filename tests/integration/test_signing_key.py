"""The custom resource that makes the signing keys: every request answered, nothing lost, nothing left behind."""

import base64
import io
import json
import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import boto3
import pytest
import tenacity
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from inbound.credentials import SIGNING_KEYS
from inbound.observability import logger
from local.cloud import ENDPOINT, Access, Moto
from local.server import serve
from media_proxy import signing
from signing_key import app, ceremony
from signing_key.answer import PHYSICAL_ID
from signing_key.plan import HOUR, KNOWN_EVERYWHERE, MOST
from tests.integration.aws_proxy import AwsProxy
from tests.integration.cloudformation import GIVEN_ID, SIGNATURE, AnswerPlace, Deployment, Json
from tests.integration.cloudfront import CloudFront, PublicKey
from tests.integration.witness import Witness

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

URL = "https://d1.cloudfront.net/inline/1/abcdefghijklmnopqrstuvwxyz/1"
START = 1_790_800_000


@pytest.fixture(name="cloudfront")
def _cloudfront() -> CloudFront:
    return CloudFront()


@pytest.fixture(name="clock")
def _clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=START)
    monkeypatch.setattr(ceremony, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


@pytest.fixture(name="proxy")
def _proxy(moto: Moto) -> AwsProxy:
    return AwsProxy(Access({ENDPOINT: moto.url}), Witness())


@pytest.fixture(name="aws", autouse=True)
def _aws(
    moto: Moto, proxy: AwsProxy, cloudfront: CloudFront, monkeypatch: pytest.MonkeyPatch
) -> "Iterator[SecretsManagerClient]":
    """The tests' own way to the secret. The function's leads through a proxy, and to a stricter CloudFront."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(ceremony, "PAUSES", tenacity.wait_none())
    monkeypatch.setattr(app, "TRIES", app.TRIES.new(backoff_factor=0))
    vault = boto3.client("secretsmanager", endpoint_url=moto.url)
    arn = vault.create_secret(Name=f"signing-key-{uuid.uuid4()}", SecretString="[]")["ARN"]
    monkeypatch.setenv("SIGNING_KEY_SECRET_ID", arn)
    with serve(cloudfront) as edge, serve(proxy) as rest:
        monkeypatch.setenv(ENDPOINT, rest.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFRONT", edge.url)
        yield vault
    vault.close()


@pytest.fixture(name="place")
def _place() -> Iterator[AnswerPlace]:
    place = AnswerPlace()
    with serve(place) as server:
        place.url = server.url
        yield place


@pytest.fixture(name="stack")
def _stack(place: AnswerPlace, cloudfront: CloudFront, clock: SimpleNamespace) -> Deployment:
    assert clock.now == START
    return Deployment(app.handler, place, cloudfront)


def stored(aws: "SecretsManagerClient") -> list[Json]:
    text = aws.get_secret_value(SecretId=os.environ["SIGNING_KEY_SECRET_ID"])["SecretString"]
    keys: list[Json] = json.loads(text)
    return keys


def put(aws: "SecretsManagerClient", text: str) -> None:
    aws.put_secret_value(SecretId=os.environ["SIGNING_KEY_SECRET_ID"], SecretString=text)


def versions(aws: "SecretsManagerClient") -> list[tuple[str, float]]:
    return [(key["version"], key["active_from"]) for key in stored(aws)]


def link_at(aws: "SecretsManagerClient", now: float) -> str:
    """Sign as the media proxy does."""
    keys = SIGNING_KEYS.validate_json(json.dumps(stored(aws)))
    return signing.sign(URL, signing.active_key(keys, now), START + HOUR).url


def check(url: str, cloudfront: CloudFront) -> str:
    """Verify a signed URL with what CloudFront was sent, if the key group names the key."""
    query = dict(parse_qsl(url.partition("?")[2]))
    key_id = query["Key-Pair-Id"]
    if key_id not in cloudfront.group:
        raise InvalidSignature
    public = load_pem_public_key(cloudfront.sent[key_id].encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = base64.b64decode(query["Signature"].replace("-", "+").replace("_", "=").replace("~", "/"))
    condition = f'{{"DateLessThan":{{"AWS:EpochTime":{query["Expires"]}}}}}'
    policy = f'{{"Statement":[{{"Resource":"{URL}","Condition":{condition}}}]}}'
    public.verify(signature, policy.encode(), ec.ECDSA(SHA256()))
    return key_id


# --- create -------------------------------------------------------------------------------------------------


def test_a_new_stack_has_a_key_that_signs_at_once(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    (key_id,) = stack.deploy("1")

    assert check(link_at(aws, START), cloudfront) == key_id
    assert versions(aws) == [("1", 0)]
    assert cloudfront.keys[key_id].name.startswith("media_us-east-1_1_")
    assert stack.physical_id == PHYSICAL_ID


def test_the_secret_has_the_form_that_readers_rely_on(stack: Deployment, aws: "SecretsManagerClient") -> None:
    (key_id,) = stack.deploy("1")

    (key,) = stored(aws)
    assert key.keys() == {"key_id", "pem", "active_from", "version"}
    assert key["key_id"] == key_id
    assert key["pem"].startswith("-----BEGIN PRIVATE KEY-----\n")


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_request_that_comes_twice_is_done_once(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", proxy: AwsProxy, kind: str
) -> None:
    request = stack.request(kind, KeyVersion="1", KeepOldSigningKeys="true")
    first, before = stack.send(request), stored(aws)

    assert stack.send(request)["Data"] == first["Data"]
    assert stored(aws) == before
    assert len(cloudfront.keys) == 1
    assert proxy.calls.count("PutSecretValue") == 1


def test_two_executions_of_one_request_agree(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    request = stack.request("Create", KeyVersion="1", KeepOldSigningKeys="true")
    others: list[Json] = []

    def other_first() -> None:
        cloudfront.after_add = lambda: None
        others.append(stack.send(request))

    cloudfront.after_add = other_first
    stack.handler(request, stack.context())

    assert [answer["Status"] for answer in stack.place.answers] == ["SUCCESS", "SUCCESS"]
    assert stack.place.answers[0]["Data"] == stack.place.answers[1]["Data"]
    assert list(cloudfront.keys) == [key["key_id"] for key in stored(aws)] == [others[0]["Data"]["KeyIds"]]


def test_a_public_key_that_a_crash_left_behind_is_removed_and_made_anew(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    cloudfront.keys["KLEFT"] = PublicKey("media_us-east-1_1_0123456789ab", "lost")

    (key_id,) = stack.deploy("1")

    assert cloudfront.keys.keys() == {key_id} == {key["key_id"] for key in stored(aws)}


def test_keys_of_others_are_left_alone(stack: Deployment, cloudfront: CloudFront) -> None:
    others = {"KA": "media", "KB": "media_eu-west-1_1_0123456789ab", "KC": "media-b_us-east-1_1_0123456789ab"}
    cloudfront.keys |= {key_id: PublicKey(name, "theirs") for key_id, name in others.items()}

    stack.deploy("1")
    stack.delete()

    assert cloudfront.keys.keys() == others.keys()


# --- rotate -------------------------------------------------------------------------------------------------


def test_a_rotation_breaks_no_link_and_takes_effect_after_half_an_hour(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", clock: SimpleNamespace
) -> None:
    (old,) = stack.deploy("1")
    link = link_at(aws, clock.now)
    clock.now += 1000 * HOUR

    new, kept = stack.deploy("2")

    assert kept == old
    assert check(link, cloudfront) == old
    assert check(link_at(aws, clock.now + KNOWN_EVERYWHERE - 1), cloudfront) == old
    assert check(link_at(aws, clock.now + KNOWN_EVERYWHERE), cloudfront) == new


def test_a_key_that_is_no_longer_needed_goes_once_no_group_names_it(
    stack: Deployment, cloudfront: CloudFront, clock: SimpleNamespace
) -> None:
    ids = []
    for version in ("1", "2", "3", "4"):
        ids.append(stack.deploy(version)[0])
        clock.now += 100 * HOUR

    # The first went out of the group with the third rotation, when the group still named it until after the answer.
    assert cloudfront.group == {ids[3], ids[2]}
    assert cloudfront.keys.keys() == {ids[3], ids[2], ids[1]}


def test_more_keys_than_a_group_takes_are_refused_and_nothing_changes(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", clock: SimpleNamespace
) -> None:
    for version in range(MOST):
        stack.deploy(str(version))
        clock.now += HOUR
    before = stored(aws)

    answer = stack.asked("Update", "one-more")

    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("TooManySigningKeys: CloudFront takes 5 keys")
    assert stored(aws) == before
    assert len(cloudfront.keys) == MOST


def test_a_leaked_key_is_void_as_soon_as_the_group_is_updated(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    stack.deploy("1")
    link = link_at(aws, START)

    (new,) = stack.deploy("2", keep_old="false")

    with pytest.raises(InvalidSignature):
        check(link, cloudfront)
    assert check(link_at(aws, START), cloudfront) == new
    assert stack.deploy("2", keep_old="true") == [new]
    assert cloudfront.keys.keys() == {new}


# --- roll back ----------------------------------------------------------------------------------------------


def test_a_rollback_restores_what_was(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", clock: SimpleNamespace
) -> None:
    (old,) = stack.deploy("1")
    before = stored(aws)
    stack.asked("Update", "2")  # then the group, or something else in the stack, fails
    clock.now += 120

    assert stack.deploy("1") == [old]
    assert stored(aws) == before
    assert cloudfront.keys.keys() == {old}


def test_a_rollback_after_the_group_was_updated_leaves_nothing_behind_in_the_end(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", clock: SimpleNamespace
) -> None:
    (old,) = stack.deploy("1")
    stack.deploy("2")
    clock.now += 300

    assert stack.deploy("1") == [old]
    assert check(link_at(aws, clock.now + HOUR), cloudfront) == old
    again = stack.deploy("2")
    assert cloudfront.keys.keys() == set(again)


def test_going_back_to_the_version_before_signs_with_its_key_at_once(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", clock: SimpleNamespace
) -> None:
    (old,) = stack.deploy("1")
    new, _ = stack.deploy("2")
    clock.now += 10 * HOUR
    link = link_at(aws, clock.now)

    assert stack.deploy("1") == [old, new]
    assert check(link_at(aws, clock.now), cloudfront) == old
    assert check(link, cloudfront) == new


def test_a_failed_creation_is_rolled_back_by_a_delete_with_an_id_that_we_never_gave(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    stack.asked("Create")  # the answer is lost

    answer = stack.delete()

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", GIVEN_ID)
    assert cloudfront.keys == {}
    assert stored(aws) == []


# --- delete -------------------------------------------------------------------------------------------------


def test_a_deletion_leaves_nothing(stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient") -> None:
    for version in ("1", "2", "3"):
        stack.deploy(version)

    assert stack.delete()["Status"] == "SUCCESS"

    assert cloudfront.keys == {}
    assert stored(aws) == []
    assert stack.delete()["Status"] == "SUCCESS"


@pytest.mark.parametrize("held", ["no JSON", '{"a": 1}', '[{"key_id": "K"}]'])
def test_a_deletion_does_not_mind_what_the_secret_holds(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", held: str
) -> None:
    stack.deploy("1")
    put(aws, held)

    assert stack.delete()["Status"] == "SUCCESS"
    assert cloudfront.keys == {}
    assert stored(aws) == []


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidRequestException"], ids=["gone", "about to go"])
def test_a_deletion_does_not_mind_that_the_secret_is_gone(
    stack: Deployment, cloudfront: CloudFront, proxy: AwsProxy, code: str
) -> None:
    stack.deploy("1")
    proxy.fail("PutSecretValue", code)

    assert stack.delete()["Status"] == "SUCCESS"
    assert cloudfront.keys == {}


def test_a_deletion_minds_that_the_secret_keeps_its_keys(stack: Deployment, proxy: AwsProxy) -> None:
    stack.deploy("1")
    proxy.fail("PutSecretValue", "AccessDeniedException")

    answer = stack.delete()

    assert answer["Reason"] == "AwsCallFailed: PutSecretValue was answered with AccessDeniedException."


def test_a_deletion_does_not_mind_properties_that_made_the_creation_fail(stack: Deployment) -> None:
    stack.physical_id = PHYSICAL_ID

    assert stack.send(stack.request("Delete", KeyVersion="a/b"))["Status"] == "SUCCESS"
    request = stack.request("Delete")
    del request["ResourceProperties"]
    assert stack.send(request)["Status"] == "SUCCESS"


def test_a_deletion_waits_for_cloudfront_to_forget_the_group(stack: Deployment, cloudfront: CloudFront) -> None:
    stack.deploy("1")
    cloudfront.failures.extend([("_delete", 409, "PublicKeyInUse")] * 3)

    assert stack.delete()["Status"] == "SUCCESS"
    assert cloudfront.keys == {}


@pytest.mark.parametrize("operation", ["_get", "_delete"])
def test_a_deletion_does_not_mind_who_deletes_a_key(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", operation: str
) -> None:
    stack.deploy("1")
    cloudfront.failures.append((operation, 404, "NoSuchPublicKey"))

    assert stack.delete()["Status"] == "SUCCESS"
    assert stored(aws) == []


def test_a_deletion_that_cannot_finish_says_so_and_leaves_the_secret(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    (key_id,) = stack.deploy("1")

    answer = stack.asked("Delete")  # the group is still there

    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == (
        f"SigningKeysInUse: A key group at CloudFront still names {key_id}. Delete it, then the stack again."
    )
    assert check(link_at(aws, START), cloudfront) == key_id
    assert cloudfront.calls.count("_delete") == ceremony.TRIES


# --- failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        ("_add", 403, "AccessDenied"),
        ("_list", 403, "AccessDenied"),
        ("_add", 500, "InternalError"),
        ("_add", 400, "Throttling"),
    ],
    ids=lambda own: f"{own[0]}-{own[2]}",
)
def test_what_passes_by_itself_is_tried_again(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", failure: tuple[str, int, str]
) -> None:
    # Rights of a role that was made a moment ago, a server that is not well, too many calls.
    cloudfront.failures.extend([failure] * 2)

    (key_id,) = stack.deploy("1")

    assert cloudfront.keys.keys() == {key_id} == {key["key_id"] for key in stored(aws)}


def test_what_does_not_pass_is_told_with_the_call_and_its_code(stack: Deployment, cloudfront: CloudFront) -> None:
    cloudfront.failures.extend([("_add", 400, "TooManyPublicKeys")] * ceremony.TRIES)

    answer = stack.asked("Create")

    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == "AwsCallFailed: CreatePublicKey was answered with TooManyPublicKeys."
    assert answer["PhysicalResourceId"] == PHYSICAL_ID


def test_when_aws_cannot_be_reached_that_is_told(stack: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceremony, "TRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFRONT", "http://127.0.0.1:9")

    assert stack.asked("Create")["Reason"] == "AwsCallFailed: AWS could not be asked (EndpointConnectionError)."


def test_a_key_whose_creation_was_not_heard_of_is_found_by_its_name(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    def lost() -> None:
        cloudfront.after_add = lambda: None
        cloudfront.failures.append(("_add", 500, "InternalError"))
        raise ConnectionAbortedError

    cloudfront.after_add = lost

    (key_id,) = stack.deploy("1")

    assert cloudfront.keys.keys() == {key_id} == {key["key_id"] for key in stored(aws)}
    assert check(link_at(aws, START), cloudfront) == key_id


@pytest.mark.parametrize("times", [1, 5])
def test_when_the_secret_cannot_be_written_the_key_of_the_first_try_is_used(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", proxy: AwsProxy, times: int
) -> None:
    proxy.fail("PutSecretValue", "DecryptionFailure", times=times)

    (key_id,) = stack.deploy("1")

    assert cloudfront.keys.keys() == {key_id} == {key["key_id"] for key in stored(aws)}
    assert cloudfront.calls.count("_add") == 1


def test_a_secret_that_was_written_without_our_hearing_of_it_is_not_written_over(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", proxy: AwsProxy
) -> None:
    proxy.lose("PutSecretValue", times=4)

    (key_id,) = stack.deploy("1")

    assert cloudfront.keys.keys() == {key_id} == {key["key_id"] for key in stored(aws)}
    assert check(link_at(aws, START), cloudfront) == key_id


def test_a_secret_that_cannot_be_read_is_told_with_the_code(
    stack: Deployment, cloudfront: CloudFront, proxy: AwsProxy
) -> None:
    proxy.fail("GetSecretValue", "AccessDeniedException")

    answer = stack.asked("Create")

    assert answer["Reason"] == "AwsCallFailed: GetSecretValue was answered with AccessDeniedException."
    assert cloudfront.keys == {}


@pytest.mark.parametrize("held", ["", "no JSON", '{"a": 1}', '[{"key_id": "K", "pem": 5, "active_from": 0}]', "null"])
def test_a_secret_that_holds_no_keys_is_left_for_somebody_to_look_at(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", held: str
) -> None:
    put(aws, held or "\n")

    answer = stack.asked("Create")

    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("SigningKeysUnreadable: The signing-key secret holds no list of keys.")
    assert cloudfront.keys == {}


def test_a_key_that_somebody_deleted_at_cloudfront_is_made_anew(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    (gone,) = stack.deploy("1")
    del cloudfront.keys[gone]

    (key_id,) = stack.deploy("1")

    assert key_id != gone
    assert check(link_at(aws, START), cloudfront) == key_id


def test_a_key_that_an_operator_had_made_goes_on_checking_links(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    cloudfront.keys["KOLD"] = PublicKey("media-us-east-1", "theirs")
    put(aws, '[{"key_id": "KOLD", "pem": "x", "active_from": 0}]')

    new, old = stack.deploy("1")

    assert (old, new in cloudfront.keys) == ("KOLD", True)
    assert versions(aws) == [("1", START + KNOWN_EVERYWHERE), ("", 0)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"RequestType": "Replace"}, "RequestType"),
        ({"RequestType": None}, "RequestType"),
        ({"StackId": "media"}, "StackId is not the ARN of a stack"),
        ({"StackId": None}, "StackId"),
        ({"RequestId": 5}, "RequestId"),
        ({"ResourceProperties": None}, "properties"),
        ({"ResourceProperties": {"KeyVersion": "1"}}, "KeepOldSigningKeys"),
        ({"ResourceProperties": {"KeyVersion": "1/2", "KeepOldSigningKeys": "true"}}, "KeyVersion"),
        ({"ResourceProperties": {"KeyVersion": "1\n", "KeepOldSigningKeys": "true"}}, "KeyVersion"),
        ({"ResourceProperties": {"KeyVersion": "1", "KeepOldSigningKeys": "perhaps"}}, "KeepOldSigningKeys"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_by_name(
    stack: Deployment, cloudfront: CloudFront, change: Json, said: str
) -> None:
    request = {**stack.request("Create", KeyVersion="1", KeepOldSigningKeys="true"), **change}

    answer = stack.send(request)

    assert answer["Status"] == "FAILED"
    assert answer["Reason"].startswith("RequestInvalid: ")
    assert said in answer["Reason"]
    assert cloudfront.keys == {}


# --- there is always an answer ------------------------------------------------------------------------------


def test_a_call_that_does_not_end_is_given_up_before_the_function_is_killed(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient"
) -> None:
    cloudfront.held.add("_list")
    stack.seconds = app.RESERVE + 1
    began = time.monotonic()

    answer = stack.asked("Create")

    assert time.monotonic() - began < 5
    assert (answer["Status"], answer["Reason"].partition(":")[0]) == ("FAILED", "TimedOut")
    assert cloudfront.reached.is_set()
    cloudfront.go.set()
    time.sleep(1)
    assert cloudfront.calls == ["_list"]
    assert stored(aws) == []


def test_a_process_that_wakes_after_it_was_given_up_sends_nothing_more(
    stack: Deployment, cloudfront: CloudFront, aws: "SecretsManagerClient", proxy: AwsProxy
) -> None:
    held = proxy.hold("PutSecretValue")
    stack.seconds = app.RESERVE + 3

    answer = stack.asked("Create")

    assert answer["Reason"].startswith("TimedOut: ")
    held.wait()
    held.drop()  # the SDK would send it again
    time.sleep(2)
    assert proxy.calls.count("PutSecretValue") == 1
    assert cloudfront.calls == ["_list", "_add"]
    assert stored(aws) == []
    # What it left behind is removed by the rollback.
    assert stack.delete()["Status"] == "SUCCESS"
    assert cloudfront.keys == {}


def test_a_function_with_no_time_left_answers_all_the_same(stack: Deployment, cloudfront: CloudFront) -> None:
    cloudfront.held.add("_list")
    stack.seconds = 1

    assert stack.asked("Create")["Reason"].startswith("TimedOut: ")
    cloudfront.go.set()


@pytest.mark.parametrize("broken", ["signing_key.ceremony", "inbound.config", "cryptography", "boto3", "pydantic"])
def test_a_library_that_cannot_be_imported_is_told(broken: str, place: AnswerPlace, tmp_path: Path) -> None:
    deployment = Deployment(lambda *_: None, place, CloudFront())
    program = tmp_path / "lambda.py"
    program.write_text(
        "import json, sys, types\n"
        f"sys.modules[{broken!r}] = None\n"
        "from signing_key.app import handler\n"
        "handler(json.loads(sys.argv[1]), types.SimpleNamespace(\n"
        "    get_remaining_time_in_millis=lambda: 120_000, log_group_name='the-log-group'))\n"
    )
    request = json.dumps(deployment.request("Create", KeyVersion="1", KeepOldSigningKeys="true"))

    result = subprocess.run([sys.executable, program, request], capture_output=True, text=True, check=False, timeout=50)

    assert result.returncode == 0, result.stderr
    (answer,) = place.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == "ModuleNotFoundError: Where it happened stands in the log group the-log-group."
    assert SIGNATURE not in result.stdout + result.stderr


def test_what_does_the_work_does_not_know_where_the_answer_goes(
    stack: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Json] = []

    def look(request: Json, *_: object) -> tuple[str, ...]:
        seen.append(request)
        return ("K",)

    monkeypatch.setattr(ceremony, "carry_out", look)

    assert stack.asked("Create")["Data"] == {"KeyIds": "K"}
    assert SIGNATURE not in json.dumps(seen)


def test_a_variable_that_is_missing_is_told(stack: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIGNING_KEY_SECRET_ID")

    assert stack.asked("Create")["Reason"].startswith("ValidationError: ")


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(1), KeyboardInterrupt(), RuntimeError("PRIVATE KEY")])
def test_whatever_is_raised_is_told_by_its_type(
    stack: Deployment, monkeypatch: pytest.MonkeyPatch, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ceremony, "carry_out", fail)

    answer = stack.asked("Create")

    assert answer["Status"] == "FAILED"
    assert answer["Reason"].partition(":")[0] == type(error).__name__
    assert "PRIVATE KEY" not in answer["Reason"] + caplog.text


def test_a_process_that_can_start_no_thread_is_told(stack: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThread(Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(app, "Thread", NoThread)

    assert stack.asked("Create")["Reason"].startswith("RuntimeError: ")


def test_nothing_is_done_where_nobody_is_to_be_answered(stack: Deployment, cloudfront: CloudFront) -> None:
    request = stack.request("Create", KeyVersion="1", KeepOldSigningKeys="true")
    del request["ResponseURL"]

    with pytest.raises(KeyError, match="ResponseURL"):
        stack.handler(request, stack.context())
    assert cloudfront.calls == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_answer_that_is_not_taken_is_given_again(stack: Deployment, place: AnswerPlace, status: int) -> None:
    place.failures = [status, status]
    began = time.monotonic()

    assert stack.asked("Create")["Status"] == "SUCCESS"
    assert place.tries == 3
    assert time.monotonic() - began < 15  # whatever Retry-After says


def test_an_answer_that_is_taken_slowly_is_given_once(stack: Deployment, place: AnswerPlace) -> None:
    place.pause = 1

    assert stack.asked("Create")["Status"] == "SUCCESS"
    assert place.tries == 1


def test_a_place_for_answers_that_does_not_answer_is_not_waited_for(
    stack: Deployment, place: AnswerPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "ONE_TRY", 0.2)
    place.pause = 1

    with pytest.raises(app.AnswerNotDelivered, match="MaxRetryError"):
        stack.asked("Create")
    assert place.tries == 5


@pytest.mark.parametrize("failures", [[403], [307], [500] * 9], ids=["refused", "sent elsewhere", "always failing"])
def test_an_answer_that_is_never_taken_is_an_error_of_the_function(
    stack: Deployment, place: AnswerPlace, failures: list[int]
) -> None:
    place.failures = list(failures)

    with pytest.raises(app.AnswerNotDelivered, match=f"HTTP {failures[0]}"):
        stack.asked("Create")
    assert place.tries == min(len(failures), 5)
    assert place.answers == []


def test_where_nobody_listens_the_error_does_not_tell_the_address(stack: Deployment, place: AnswerPlace) -> None:
    place.url = "http://127.0.0.1:9"

    with pytest.raises(app.AnswerNotDelivered) as raised:
        stack.asked("Create")
    assert SIGNATURE not in str(raised.value)
    assert raised.value.__suppress_context__
    assert raised.value.__cause__ is None


def test_neither_keys_nor_the_address_of_the_answer_are_logged(
    stack: Deployment,
    place: AnswerPlace,
    aws: "SecretsManagerClient",
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    written = io.StringIO()
    (handler,) = logger.handlers
    monkeypatch.setattr(handler, "stream", written)
    place.failures = [500]
    stack.deploy("1")
    stack.deploy("2")
    secrets = [key["pem"].splitlines()[1] for key in stored(aws)]
    put(aws, json.dumps([{"key_id": "K", "pem": stored(aws)[0]["pem"]}]))
    place.failures = [500]
    assert stack.asked("Update", "3")["Status"] == "FAILED"
    place.failures, place.url = [], "http://127.0.0.1:9"
    with pytest.raises(app.AnswerNotDelivered):
        stack.asked("Update", "3")

    said = caplog.text + written.getvalue() + b"".join(place.bodies).decode()
    assert '"message":"signing_keys"' in said
    assert "SigningKeysUnreadable" in said
    for secret in (*secrets, SIGNATURE, "PRIVATE KEY"):
        assert secret not in said


# --- the same against moto ----------------------------------------------------------------------------------


def test_moto_takes_the_same_calls(
    stack: Deployment, aws: "SecretsManagerClient", monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_CLOUDFRONT")
    moto: Any = boto3.client("cloudfront")

    def at_moto() -> dict[str, str]:
        found = moto.list_public_keys()["PublicKeyList"].get("Items", [])
        return {item["Id"]: item["EncodedKey"] for item in found}

    first = stack.asked("Create", "1")
    clock.now += HOUR
    second = stack.asked("Update", "2")

    new, old = second["Data"]["KeyIds"].split(",")
    assert first["Data"]["KeyIds"] == old
    assert at_moto().keys() == {new, old}
    stack.cloudfront.sent, stack.cloudfront.group = at_moto(), {new, old}
    assert check(link_at(aws, clock.now), stack.cloudfront) == old
    assert check(link_at(aws, clock.now + KNOWN_EVERYWHERE), stack.cloudfront) == new
    assert stack.asked("Update", "1")["Data"]["KeyIds"] == old
    assert at_moto().keys() == {old}
    assert stack.asked("Delete")["Status"] == "SUCCESS"
    assert at_moto() == {}
    moto.close()
