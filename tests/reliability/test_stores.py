"""DynamoDB, SQS, S3 and Secrets Manager fail: on each call in turn, partly, for ever, or after having done it."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import requests

from inbound.media import message_id
from local import faults
from local.environments import FunctionFailed
from tests import builders
from tests.integration.aws_proxy import AwsProxy
from tests.integration.system import System, later
from tests.reliability.conftest import Count, Observe
from tests.reliability.posts import (
    OF_MIXED,
    Post,
    about,
    compared,
    delete_messages,
    is_whole,
    kinds,
    let_time_pass,
    mixed,
    only_own_jobs,
    side_by_side,
    stored_of,
)
from tests.reliability.report import saw, stored

TABLE_FAULTS = [
    ("ProvisionedThroughputExceededException", 400),
    ("ThrottlingException", 400),
    ("InternalServerError", 500),
]
SECTION = {"SendMessageBatch": "queue", "PutObject": "bucket"}
# How often each call is made for a POST with one of each; reading secrets comes with a new process.
OF_A_POST = {"BatchGetItem": 1, "BatchWriteItem": 2, "PutItem": 2, "PutObject": 2, "SendMessageBatch": 3}

# By how many answers are lost: an SDK repeats a call twice.
ANSWER_LOST = {1: "done, but the answer is lost once", 3: "done, but all answers are lost"}

Break = Callable[[AwsProxy, Post], None]


class Delivered(NamedTuple):
    """How a POST was answered while something was broken, and again when Meta repeated it; what there is then."""

    first: requests.Response
    again: requests.Response | None
    left: str

    @property
    def saw(self) -> str:
        return f"{saw(self.first)}, then {saw(self.again)}" if self.again is not None else saw(self.first)


def delivered(system: System, damage: Break) -> Delivered:
    """Post something of each kind while something is broken; as Meta does, repeat it when it is not answered 200."""
    post = mixed()
    damage(system.aws, post)
    first = system.post(post.body)
    again = system.post(post.body) if first.status_code != 200 else None
    return Delivered(first, again, compared(system, post))


def agreed(found: list[Delivered]) -> tuple[str, str]:
    """Give what all of them saw, and what was left: the same, or the test fails."""
    ((words, left),) = {(one.saw, one.left) for one in found}
    assert left.startswith("everything once"), left
    return words, left


@pytest.fixture(autouse=True)
def _own_jobs(system: System) -> Iterator[None]:
    with only_own_jobs(system):
        yield


# --- a POST, each call in turn -----------------------------------------------------------------------------------


def test_what_is_broken_in_turn_are_all_calls_that_a_post_makes(system: System) -> None:
    post = mixed()
    system.aws.forget()

    assert system.post(post.body).status_code == 200

    calls = Counter(system.aws.calls)
    del calls["GetSecretValue"]
    assert calls == OF_A_POST
    assert kinds(stored_of(system, post)) == OF_MIXED
    delete_messages(system, post.ids)


@pytest.mark.parametrize(("code", "status"), TABLE_FAULTS)
@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem", "PutItem"])
def test_whichever_call_to_the_table_fails_during_a_post_the_redelivery_stores_everything_once(
    system: System, observed: Observe, counted: Count, operation: str, code: str, status: int
) -> None:
    def fails(nth: int) -> Break:
        # The second POST would make the same calls; so the fault passes once the SDK has repeated it twice.
        return lambda aws, post: aws.fail(operation, code, status=status, nth=nth, strikes=post.is_in, times=3)

    found = side_by_side(lambda nth: delivered(system, fails(nth)), range(OF_A_POST[operation]))

    words, left = agreed(found)
    assert words == "503 `store_unavailable`, then 200"
    counted(messages_sent=30 * len(found), faults_injected=len(found), lost=0, duplicated=0)
    observed("table", f"{code}, on each in turn", f"webhook, {operation}", words, left)


@pytest.mark.parametrize("operation", ["SendMessageBatch", "PutObject"])
def test_whichever_call_to_queue_or_bucket_fails_during_a_post_the_redelivery_stores_everything_once(
    system: System, observed: Observe, counted: Count, operation: str
) -> None:
    def fails(nth: int) -> Break:
        return lambda aws, post: aws.fail(operation, "SlowDown", status=503, nth=nth, strikes=post.is_in, times=3)

    found = side_by_side(lambda nth: delivered(system, fails(nth)), range(OF_A_POST[operation]))

    words, left = agreed(found)
    assert words == "503 `store_unavailable`, then 200"
    counted(messages_sent=30 * len(found), faults_injected=len(found), lost=0, duplicated=0)
    observed(SECTION[operation], "503, on each in turn", f"webhook, {operation}", words, left)


def test_a_fault_that_passes_before_the_sdk_gives_up_is_not_noticed(
    system: System, observed: Observe, counted: Count
) -> None:
    def fails(operation: str) -> Break:
        return lambda aws, post: aws.fail(operation, "InternalError", status=500, strikes=post.is_in, times=1)

    found = side_by_side(lambda operation: delivered(system, fails(operation)), list(OF_A_POST))

    words, left = agreed(found)
    assert words == "200"
    counted(messages_sent=30 * len(found), faults_injected=len(found), lost=0, duplicated=0)
    observed("table", "500 once, then it works", f"webhook, {', '.join(OF_A_POST)}, in turn", words, left)


def test_a_call_whose_answer_is_lost_although_it_was_done_leaves_everything_once(
    system: System, observed: Observe, counted: Count
) -> None:
    def loses(operation: str, times: int) -> Break:
        return lambda aws, post: aws.lose(operation, nth=0, strikes=post.is_in, times=times)

    cases = [(operation, times) for operation in OF_A_POST if operation != "BatchGetItem" for times in (1, 3)]
    found = side_by_side(lambda case: delivered(system, loses(*case)), cases)

    for (operation, times), one in zip(cases, found, strict=True):
        assert one.saw == ("200" if times == 1 else "503 `store_unavailable`, then 200"), operation
        assert one.left == "everything once, a job for each media"
        counted(messages_sent=30, faults_injected=1, lost=0, duplicated=0)
        observed(SECTION.get(operation, "table"), ANSWER_LOST[times], f"webhook, {operation}", one.saw, one.left)


PARTLY = [
    ("some left undone each time", 10, 1000, "200"),
    ("all left undone, twice", 0, 2, "200"),
    ("all left undone, for ever", 0, 6, "503 `store_unavailable`, then 200"),
]


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem", "SendMessageBatch"])
def test_what_a_batch_leaves_undone_is_asked_for_again_and_never_forgotten(
    system: System, observed: Observe, counted: Count, operation: str
) -> None:
    def leaves(does: int, times: int) -> Break:
        # A batch of SQS has ten entries, so that "some" are four of them.
        some = min(does, 4) if operation == "SendMessageBatch" else does
        return lambda aws, post: aws.leave(operation, does=some, times=times, strikes=first_batch(operation, post))

    found = side_by_side(lambda case: delivered(system, leaves(case[1], case[2])), PARTLY)

    for (fault, *_, expected), one in zip(PARTLY, found, strict=True):
        assert one.saw == expected
        assert one.left == "everything once, a job for each media"
        counted(messages_sent=30, faults_injected=1, lost=0, duplicated=0)
        observed(SECTION.get(operation, "table"), fault, f"webhook, {operation}", one.saw, one.left)


def first_batch(operation: str, post: Post) -> Callable[[bytes], bool]:
    """Strike the batch with the first message only, so that a fault lasts as long as its retries."""
    # The conversation's head may name the same message, in another batch.
    return about(post.ids[0] if operation == "SendMessageBatch" else f"MSG#{post.ids[0]}")


def test_when_secrets_cannot_be_read_at_first_meta_tries_again_and_it_works(system: System, observed: Observe) -> None:
    post = mixed()
    raw = builders.wire(post.body)
    event = builders.http_event("POST", "/webhook", headers=builders.signed(raw, system.stack.app_secret), body=raw)
    system.aws.fail("GetSecretValue", "InternalServiceError", status=500, times=3)

    first, again = system.run("WebhookFunction", event, event)["answers"]

    assert (first["statusCode"], again["statusCode"]) == (503, 200)
    left = compared(system, post)
    assert left.startswith("everything once")
    words = f"{first['statusCode']} `{json.loads(first['body'])['code']}`, then {again['statusCode']}"
    observed("table", "Secrets Manager is down at the first request of a process", "webhook", words, left)


def test_a_view_that_cannot_read_secrets_at_first_is_served_the_next_time(system: System, observed: Observe) -> None:
    own_id = system.receive()
    event = builders.http_event(
        "GET",
        f"/media/messages/{own_id}",
        headers={"Authorization": f"Bearer {system.stack.media_token}"},
        route="/media/messages/{message_id}",
    )
    system.aws.fail("GetSecretValue", "InternalServiceError", status=500, times=3)

    first, again = system.run("MediaProxyFunction", event, event)["answers"]

    assert (first["statusCode"], again["statusCode"]) == (500, 302)
    assert is_whole(system, own_id)
    words = f"{first['statusCode']} `{json.loads(first['body'])['code']}`, then {again['statusCode']}"
    observed(
        "table",
        "Secrets Manager is down at the first request of a process",
        "media proxy",
        words,
        stored(system, own_id),
    )


# --- a first view and a job, each call in turn -------------------------------------------------------------------


class Call(NamedTuple):
    """One of the calls that bring media, how it fails, and what a view and a job come to."""

    operation: str
    nth: int
    purpose: str
    code: str
    status: int
    view: str
    job: str


STAYS, DONE = "the job stays in the queue", "the job is done"
CALLS = [
    *(
        Call(operation, nth, purpose, code, status, view, job)
        for code, status in (TABLE_FAULTS[0], TABLE_FAULTS[2])
        for operation, nth, purpose, view, job in [
            ("Query", 0, "what is known", "500 `internal_error`", STAYS),
            ("TransactWriteItems", 0, "the lease", "500 `internal_error`", STAYS),
            ("UpdateItem", 0, "ready", "500 `internal_error`", STAYS),
            ("UpdateItem", 1, "out of the index", "302", DONE),
        ]
    ),
    Call("PutObject", 0, "the file", "SlowDown", 503, "500 `internal_error`, `Retry-After`", DONE),
]


def test_what_is_broken_in_turn_are_all_calls_that_a_first_view_makes(system: System) -> None:
    own_id = system.receive()
    system.aws.forget()

    system.get(own_id)

    calls = Counter(system.aws.calls)
    del calls["GetSecretValue"]
    assert calls == Counter(call.operation for call in CALLS if call.code in {"SlowDown", "InternalServerError"})


def test_whichever_call_of_a_first_view_fails_a_later_view_gets_the_right_bytes(
    system: System, observed: Observe, counted: Count
) -> None:
    def view(call: Call) -> tuple[str, str]:
        own_id = system.receive()
        broken(system, call, own_id)
        first = system.get(own_id)
        let_time_pass(system, own_id)
        assert is_whole(system, own_id)
        return saw(first), own_id

    found = side_by_side(view, CALLS)

    system.sweep()
    for call, (words, own_id) in zip(CALLS, found, strict=True):
        assert words == call.view, call
        left = stored(system, own_id)
        assert "media `ready`" in left
        counted(messages_sent=1, faults_injected=1, views=2, served=1, lost=0, duplicated=0)
        observed(
            SECTION.get(call.operation, "table"), call.code, f"media proxy, {named(call)}", f"{words}, then 302", left
        )


def test_whichever_call_of_a_job_fails_a_later_one_brings_the_right_bytes(
    system: System, observed: Observe, counted: Count
) -> None:
    def job(call: Call) -> tuple[str, str]:
        own_id = system.receive()
        broken(system, call, own_id)
        words = worked(system, own_id)
        let_time_pass(system, own_id)
        assert system.work(own_id) == []
        return words, own_id

    found = side_by_side(job, CALLS)

    system.sweep()
    for call, (words, own_id) in zip(CALLS, found, strict=True):
        assert words == call.job, call
        left = stored(system, own_id)
        assert "media `ready`" in left
        assert is_whole(system, own_id)
        counted(messages_sent=1, faults_injected=1, jobs=2, served=1, lost=0, duplicated=0)
        observed(SECTION.get(call.operation, "table"), call.code, f"prefetch, {named(call)}", words, left)


def worked(system: System, own_id: str) -> str:
    """Let the worker do a job; say what becomes of it. A batch in which every job fails comes again as a whole."""
    try:
        return STAYS if system.work(own_id) else DONE
    except FunctionFailed:
        return STAYS


def broken(system: System, call: Call, own_id: str) -> None:
    """Break one call about a message until the SDK has given up."""
    system.aws.fail(call.operation, call.code, status=call.status, nth=call.nth, strikes=about(own_id), times=3)


def named(call: Call) -> str:
    return f"{call.operation} ({call.purpose})"


LOST = [
    ("TransactWriteItems", 1, "302"),
    ("TransactWriteItems", 3, "500 `internal_error`"),
    ("UpdateItem", 1, "302"),
    ("UpdateItem", 3, "500 `internal_error`"),
    ("PutObject", 1, "302"),
    ("PutObject", 3, "500 `internal_error`, `Retry-After`"),
]


def test_a_write_of_a_view_whose_answer_is_lost_although_it_was_done_does_no_harm(
    system: System, observed: Observe, counted: Count
) -> None:
    def view(case: tuple[str, int, str]) -> tuple[str, str]:
        operation, times, _ = case
        own_id = system.receive()
        system.aws.lose(operation, nth=0, strikes=about(own_id), times=times)
        first = system.get(own_id)
        let_time_pass(system, own_id)
        assert is_whole(system, own_id)
        return saw(first), own_id

    found = side_by_side(view, LOST)

    system.sweep()
    for (operation, times, expected), (words, own_id) in zip(LOST, found, strict=True):
        assert words == expected, operation
        left = stored(system, own_id)
        assert "media `ready`" in left
        counted(messages_sent=1, faults_injected=1, views=2, served=1, lost=0, duplicated=0)
        fault, section = ANSWER_LOST[times], SECTION.get(operation, "table")
        observed(section, fault, f"media proxy, {operation}", f"{words}, then 302", left)


# --- a sweep, each call in turn ----------------------------------------------------------------------------------


class Unsettled(NamedTuple):
    """Media for the sweeper: one whose job was lost, one that is ready but in the index, one that is past its time."""

    forgotten: str
    ready: str
    late: str


SWEPT = [
    ("Query", "forgotten", 0, "the index"),
    ("BatchGetItem", "forgotten", 0, "media"),
    ("BatchGetItem", "forgotten", 1, "messages"),
    ("SendMessageBatch", "forgotten", 0, "the job"),
    ("TransactWriteItems", "forgotten", 0, "queued"),
    ("UpdateItem", "ready", 0, "out of the index"),
    ("UpdateItem", "late", 0, "given up"),
    ("UpdateItem", "late", 1, "out of the index"),
]


@pytest.mark.parametrize(
    ("operation", "which", "nth", "purpose"), SWEPT, ids=[f"{case[0]} {case[1]} {case[3]}" for case in SWEPT]
)
def test_whichever_call_of_a_sweep_fails_the_next_sweep_does_what_is_to_be_done(
    system: System, observed: Observe, counted: Count, operation: str, which: str, nth: int, purpose: str
) -> None:
    media = unsettled(system)
    own_id = getattr(media, which)
    strikes = about(f'"UNSETTLED#{own_id[0]}"' if operation == "Query" else own_id)
    system.aws.fail(operation, "InternalServerError", status=500, nth=nth, strikes=strikes, times=3)

    first = swept(system)

    after = [system.items(f"MSG#{one}").get("MEDIA", {}).get("status") for one in media]
    assert after[0] in {None, "queued"}
    assert after[1] == "ready"
    assert after[2] in {"waiting", "failed"}
    assert swept(system) == "the run ends"
    assert system.media(media.forgotten)["status"] == "queued"
    assert media.forgotten in system.jobs()
    assert (system.media(media.late)["status"], system.media(media.late)["error_code"]) == ("failed", "media_expired")
    assert not [one for one in (media.ready, media.late) if "gsi2pk" in system.message(one)]
    assert system.work(media.forgotten) == []
    assert is_whole(system, media.forgotten)
    assert is_whole(system, media.ready)
    counted(messages_sent=3, faults_injected=1, lost=0, duplicated=0)
    observed(SECTION.get(operation, "table"), "500", f"sweep, {operation} ({purpose})", first, stored(system, own_id))


def unsettled(system: System) -> Unsettled:
    forgotten, ready, late = system.receive(timestamp=str(later(-700))), system.receive(), system.receive()
    index = {name: system.message(ready)[name] for name in ("gsi2pk", "gsi2sk")}
    assert is_whole(system, ready)
    system.change(ready, "MESSAGE", **index)
    week = str(later(-8 * 24 * 3600))
    system.change(late, "MESSAGE", timestamp=int(week), gsi2sk=week)
    tried = {"status": "waiting", "fence": 1, "attempts": 1, "next_attempt_at": later(-100)}
    system.put({"pk": f"MSG#{late}", "sk": "MEDIA", "error_code": "media_expired", **tried})
    system.aws.forget()
    return Unsettled(forgotten, ready, late)


def swept(system: System) -> str:
    """Let the sweeper run; say how that ended."""
    try:
        system.sweep()
    except FunctionFailed:
        return "the run fails"
    return "the run ends"


# --- S3 and large files ------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """How S3 fails a large file: what is broken, in which call, and what stays behind until the next attempt."""

    fault: str
    operation: str
    nth: int = 0
    lost: bool = False
    behind: str = "no object"


PARTS = [
    Part("503", "CreateMultipartUpload"),
    Part("503 on the first part", "UploadPart", 0),
    Part("503 on the second part", "UploadPart", 1),
    Part("503 on the third part", "UploadPart", 2),
    Part("503", "CompleteMultipartUpload"),
    Part("done, but all answers are lost", "CompleteMultipartUpload", lost=True, behind="one object"),
    Part("503, after a part has failed", "AbortMultipartUpload", behind="no object, an upload open"),
]


def test_whichever_call_of_a_large_upload_fails_nothing_is_visible_and_a_later_job_brings_the_right_bytes(
    system: System, observed: Observe, counted: Count
) -> None:
    def upload(part: Part) -> tuple[str, str, str, str]:
        own_id, sha256 = document(system, 20 * builders.MIB)
        damage(system.aws, part, own_id)
        assert system.work(own_id) == []
        behind, shown = stored(system, own_id), saw(system.get(own_id))
        let_time_pass(system, own_id)
        assert system.work(own_id) == []
        assert hashlib.sha256(system.bytes_of(own_id).content).hexdigest() == sha256
        return own_id, behind, shown, stored(system, own_id)

    found = side_by_side(upload, PARTS, at_once=4)

    for part, (_, behind, shown, left) in zip(PARTS, found, strict=True):
        assert behind == f"message once, media `waiting` (`internal_error`), {part.behind}", part
        assert shown == "500 `internal_error`, `Retry-After`", part
        assert "media `ready`" in left
        counted(messages_sent=1, faults_injected=1, jobs=2, served=1, lost=0, duplicated=0)
        observed("bucket", part.fault, f"prefetch, {part.operation}", f"{shown}, then 302", f"{behind}; then {left}")


def damage(aws: AwsProxy, part: Part, own_id: str) -> None:
    if part.lost:
        aws.lose(part.operation, strikes=about(own_id), times=3)
    else:
        aws.fail(part.operation, "SlowDown", status=503, nth=part.nth, strikes=about(own_id), times=3)
    if part.operation == "AbortMultipartUpload":
        aws.fail("UploadPart", "InternalError", status=500, nth=1, strikes=about(own_id), times=3)


def document(system: System, size: int) -> tuple[str, str]:
    """Receive a document of this size; give the message's id and the hash in hex."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(b"%PDF-1.7\n", "application/pdf", phone_number_id=number, size=size)
    message = builders.media_message(builders.BROCHURE, media.id)
    assert system.post(builders.notification(message, phone_number_id=number)).status_code == 200
    return message_id(number, message["id"]), media.sha256


def test_an_upload_that_cannot_be_aborted_is_still_refused_when_the_bytes_are_wrong(
    system: System, observed: Observe
) -> None:
    own_id, _ = document(system, 20 * builders.MIB)
    system.stack.meta.faults.add(system.message(own_id)["provider_media_id"], faults.Corrupt())
    system.aws.fail("AbortMultipartUpload", "SlowDown", status=503, strikes=about(own_id))

    assert system.work(own_id) == []

    answer = system.get(own_id)
    assert answer.status_code in {500, 502}
    left = stored(system, own_id)
    assert "no object" in left
    observed("bucket", "503, after wrong bytes came", "prefetch, AbortMultipartUpload", saw(answer), left)
