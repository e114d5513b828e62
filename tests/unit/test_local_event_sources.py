"""The queue worker and the scheduler: real queues in moto, in front of functions that are plain Python."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from local import event_sources
from local.cloud import ENDPOINT, Access, Moto
from local.environments import EnvironmentCrashed, FunctionFailed, FunctionTimedOut
from local.event_sources import (
    WAIT,
    Scheduler,
    background_functions,
    failed_ids,
    next_run,
    scheduled_event,
)
from local.server import serve
from local.template import Schedule, Template

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

REGION = "us-east-1"
Answer = Callable[[list[dict[str, Any]]], Any]


class Function:
    """A function that answers what it is told to, and remembers what it got, and how often at once."""

    def __init__(self, *answers: Answer) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.most = 0
        self._answers = list(answers)
        self._running = 0
        self._lock = threading.Lock()

    def invoke(self, function_id: str, event: Mapping[str, Any], patience: float | None = None) -> Any:
        with self._lock:
            self.events.append(event)
            self._running += 1
            self.most = max(self.most, self._running)
            answer = self._answers.pop(0) if self._answers else all_done
        try:
            return answer(event.get("Records", []))
        finally:
            with self._lock:
                self._running -= 1

    @property
    def batches(self) -> list[list[str]]:
        return [[record["body"] for record in event["Records"]] for event in list(self.events)]

    @property
    def bodies(self) -> list[str]:
        return [body for batch in self.batches for body in batch]


def all_done(_: list[dict[str, Any]]) -> Any:
    return {"batchItemFailures": []}


def failing(*bodies: str) -> Answer:
    def answer(records: list[dict[str, Any]]) -> Any:
        failed = [{"itemIdentifier": record["messageId"]} for record in records if record["body"] in bodies]
        return {"batchItemFailures": failed}

    return answer


def raising(error: Exception) -> Answer:
    def answer(_: list[dict[str, Any]]) -> Any:
        raise error

    return answer


@pytest.fixture(name="access", scope="module")
def _access(moto: Moto) -> Access:
    return Access({ENDPOINT: moto.url})


@pytest.fixture(name="sqs", scope="module")
def _sqs(access: Access) -> Iterator["SQSClient"]:
    client = access.client("sqs")
    yield client
    client.close()


@pytest.fixture(name="queue")
def _queue(sqs: "SQSClient", request: pytest.FixtureRequest) -> str:
    """Give a queue that hides what it hands out for a second only."""
    name = f"q{abs(hash(request.node.name))}"
    return sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "1"})["QueueUrl"]


def fed_by(queue_url: str, **properties: Any) -> Template:
    event = {
        "Type": "SQS",
        "Properties": {
            "Queue": {"Fn::GetAtt": "Queue.Arn"},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            **properties,
        },
    }
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Worker": {"Type": "AWS::Serverless::Function", "Properties": {"Events": {"Jobs": event}}},
    }
    return Template({"Resources": resources}, None, {"Queue": queue_url, "Queue.Arn": "arn:aws:sqs:::queue"})


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def left(sqs: "SQSClient", queue: str) -> tuple[int, int]:
    """Give how many messages are in the queue, and how many of them are hidden.

    Looks twice: the counts are made one after the other, and miss a message that stops being hidden in between.
    """
    return max(_counted(sqs, queue), _counted(sqs, queue))


def _counted(sqs: "SQSClient", queue: str) -> tuple[int, int]:
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    hidden = int(found["ApproximateNumberOfMessagesNotVisible"])
    return int(found["ApproximateNumberOfMessages"]) + hidden, hidden


def send(sqs: "SQSClient", queue: str, *bodies: str) -> None:
    for body in bodies:
        sqs.send_message(QueueUrl=queue, MessageBody=body)


# --- the queue worker ---------------------------------------------------------------------------------------


def test_a_message_is_handed_over_as_lambda_does_it_and_deleted(access: Access, sqs: "SQSClient", queue: str) -> None:
    function = Function()
    sent = sqs.send_message(
        QueueUrl=queue,
        MessageBody='{"λ": 1}',
        MessageAttributes={
            "text": {"DataType": "String", "StringValue": "é"},
            "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
        },
    )

    with event_sources.running(fed_by(queue), access, function):
        wait_for(lambda: left(sqs, queue) == (0, 0))

    ((record,),) = [event["Records"] for event in function.events]
    attributes = record.pop("attributes")
    assert record.pop("receiptHandle")
    assert record == {
        "messageId": sent["MessageId"],
        "body": '{"λ": 1}',
        "messageAttributes": {
            "text": {"stringValue": "é", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
            "bytes": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        },
        "md5OfBody": sent["MD5OfMessageBody"],
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:::queue",
        "awsRegion": REGION,
    }
    assert attributes["ApproximateReceiveCount"] == "1"
    assert abs(int(attributes["SentTimestamp"]) / 1000 - time.time()) < 60
    assert attributes.keys() >= {"SenderId", "ApproximateFirstReceiveTimestamp"}


def test_what_the_function_reports_as_failed_comes_again_and_the_rest_does_not(
    access: Access, sqs: "SQSClient", queue: str
) -> None:
    function = Function(failing("b"))
    send(sqs, queue, "a", "b", "c")

    with event_sources.running(fed_by(queue), access, function):
        wait_for(lambda: left(sqs, queue) == (0, 0))

    assert sorted(function.bodies) == ["a", "b", "b", "c"]
    assert function.events[-1]["Records"][0]["attributes"]["ApproximateReceiveCount"] == "2"


@pytest.mark.parametrize(
    "error",
    [FunctionFailed("ValueError", "+5511987654321"), EnvironmentCrashed("died"), FunctionTimedOut("120 s")],
    ids=["raised", "crashed", "timed-out"],
)
def test_a_function_without_an_answer_gets_the_whole_batch_again_and_no_text_is_logged(
    access: Access, sqs: "SQSClient", queue: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    function = Function(raising(error))
    send(sqs, queue, "a", "b")

    with event_sources.running(fed_by(queue), access, function):
        wait_for(lambda: left(sqs, queue) == (0, 0))

    assert sorted(function.bodies) == ["a", "a", "b", "b"]
    assert [own.getMessage().partition(" (")[0] for own in caplog.records] == ["Worker failed on a batch of 2"]
    assert "5511987654321" not in caplog.text


def test_an_answer_counts_only_where_the_template_says_so(access: Access, sqs: "SQSClient", queue: str) -> None:
    function = Function(failing("a"))
    send(sqs, queue, "a")

    with event_sources.running(fed_by(queue, FunctionResponseTypes=[]), access, function):
        wait_for(lambda: left(sqs, queue) == (0, 0))

    assert function.bodies == ["a"]


def test_no_more_batches_run_at_once_than_the_template_allows(access: Access, sqs: "SQSClient", queue: str) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "60"})

    def slow(_: list[dict[str, Any]]) -> None:
        time.sleep(0.2)

    function = Function(*[slow] * 8)
    send(sqs, queue, *"abcdefgh")

    limits = {"BatchSize": 1, "ScalingConfig": {"MaximumConcurrency": 2}}
    with event_sources.running(fed_by(queue, **limits), access, function):
        wait_for(lambda: left(sqs, queue) == (0, 0))

    assert sorted(function.batches) == [[body] for body in "abcdefgh"]
    assert function.most == 2


def test_a_batch_waits_within_its_window_to_become_full(access: Access, sqs: "SQSClient", queue: str) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "60"})
    function = Function()
    send(sqs, queue, *"abcdefgh")

    window = {"BatchSize": 12, "MaximumBatchingWindowInSeconds": 20}
    with event_sources.running(fed_by(queue, **window), access, function):
        wait_for(lambda: left(sqs, queue) == (8, 8))
        send(sqs, queue, *"ijkl")
        wait_for(lambda: left(sqs, queue) == (0, 0))

    assert [sorted(batch) for batch in function.batches] == [list("abcdefghijkl")]


def test_a_batch_in_progress_at_the_end_is_finished_by_its_function_and_stays_in_the_queue_until_then(
    access: Access, sqs: "SQSClient", queue: str
) -> None:
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "60"})
    release = threading.Event()
    function = Function(lambda _: release.wait(20) and None)
    send(sqs, queue, "a")

    with event_sources.running(fed_by(queue), access, function):
        wait_for(lambda: function.events)
    after = left(sqs, queue)
    release.set()

    assert after == (1, 1)
    wait_for(lambda: left(sqs, queue) == (0, 0))


def test_after_the_end_no_message_is_taken(access: Access, sqs: "SQSClient", queue: str) -> None:
    function = Function()
    with event_sources.running(fed_by(queue), access, function):
        send(sqs, queue, "before")
        wait_for(lambda: left(sqs, queue) == (0, 0))

    send(sqs, queue, "after")
    time.sleep(WAIT + 0.3)

    assert left(sqs, queue) == (1, 0)
    assert function.bodies == ["before"]


def test_a_worker_outlasts_an_emulator_that_does_not_answer_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serve(lambda *_: []) as taken:
        port = taken.port
    access, function = Access({ENDPOINT: f"http://127.0.0.1:{port}"}), Function()
    queue = f"http://127.0.0.1:{port}/123456789012/late"

    with ExitStack() as late, event_sources.running(fed_by(queue), access, function):
        wait_for(lambda: "does not work" in caplog.text)
        late.enter_context(serve(DomainDispatcherApplication(create_backend_app), port))
        sqs = access.client("sqs")
        sqs.create_queue(QueueName="late")
        send(sqs, queue, "a")
        wait_for(lambda: function.bodies == ["a"] and left(sqs, queue) == (0, 0))
        sqs.close()

    messages = [own.getMessage() for own in caplog.records]
    assert [message for message in messages if "works again" in message] == ["The queue of Worker works again"]
    assert sum("The queue of Worker does not work" in message for message in messages) == 1


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": None}, {"batchItemFailures": []}, {"other": 1}])
def test_an_answer_without_failures_is_a_success_of_all(answer: Any) -> None:
    assert failed_ids(answer, ["1", "2"]) == frozenset()


@pytest.mark.parametrize(
    "answer",
    [
        "done",
        [],
        True,
        {"batchItemFailures": "1"},
        {"batchItemFailures": {}},
        {"batchItemFailures": ["1"]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"itemIdentifier": ["1"]}]},
        {"batchItemFailures": [{"messageId": "1"}]},
        {"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "unknown"}]},
    ],
)
def test_an_answer_that_makes_no_sense_is_a_failure_of_all(answer: Any) -> None:
    assert failed_ids(answer, ["1", "2"]) == {"1", "2"}


def test_failures_that_are_named_are_those_that_count() -> None:
    assert failed_ids({"batchItemFailures": [{"itemIdentifier": "2"}]}, ["1", "2"]) == {"2"}


# --- the scheduler ------------------------------------------------------------------------------------------


@contextmanager
def scheduled(function: Function, period: float) -> Iterator[None]:
    stopping = threading.Event()
    scheduler = Scheduler(Schedule("Sweep", "SweepMinute", "events", period, None), function, REGION, stopping)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(10)
    assert not thread.is_alive()


def test_a_schedule_runs_at_the_start_and_then_once_in_each_period() -> None:
    once, often = Function(), Function()

    with scheduled(once, 3600):
        wait_for(lambda: once.events)
    with scheduled(often, 0.01):
        wait_for(lambda: len(often.events) >= 4)

    assert len(once.events) == 1
    assert once.events[0]["detail-type"] == "Scheduled Event"


def test_a_schedule_never_runs_twice_at_once_however_long_a_run_takes() -> None:
    function = Function(*[lambda _: time.sleep(0.1)] * 3)

    with scheduled(function, 0.02):
        wait_for(lambda: len(function.events) == 3)

    assert function.most == 1


def test_a_schedule_goes_on_after_failures_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    failure = raising(FunctionFailed("ClientError", "secret"))
    function = Function(failure, failure, failure)

    with scheduled(function, 0.01):
        wait_for(lambda: len(function.events) >= 5)

    assert [own.getMessage() for own in caplog.records] == [
        "The schedule of Sweep does not work (ClientError): tried again until it does",
        "The schedule of Sweep works again",
    ]


@pytest.mark.parametrize(
    ("now", "expected"), [(100.0, 160.0), (130.0, 160.0), (160.0, 160.0), (161.0, 220.0), (1000.0, 1000.0)]
)
def test_runs_that_were_missed_are_left_out(now: float, expected: float) -> None:
    assert next_run(100.0, 60.0, now) == expected


def test_a_rule_sends_the_event_that_eventbridge_sends() -> None:
    schedule = Schedule("Sweep", "SweepMinute", "events", 60.0, None)

    assert scheduled_event(schedule, REGION, datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC), "an-id") == {
        "version": "0",
        "id": "an-id",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-05-04T03:02:01Z",
        "region": REGION,
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/SweepMinute"],
        "detail": {},
    }


def test_a_schedule_of_the_scheduler_names_itself_and_an_input_replaces_the_event() -> None:
    now = datetime(2026, 5, 4, tzinfo=UTC)

    event = scheduled_event(Schedule("F", "FDaily", "scheduler", 60.0, None), REGION, now, "an-id")
    own = scheduled_event(Schedule("F", "FDaily", "events", 60.0, {"dry": True}), REGION, now, "an-id")

    assert (event["source"], event["detail"]) == ("aws.scheduler", "{}")
    assert event["resources"] == ["arn:aws:scheduler:us-east-1:123456789012:schedule/default/FDaily"]
    assert own == {"dry": True}


def test_functions_that_run_in_the_background_are_those_of_queues_and_schedules() -> None:
    template = fed_by("http://queue")
    minute = {"Type": "Schedule", "Properties": {"Schedule": "rate(1 minute)"}}
    template.document["Resources"]["Sweep"] = {
        "Type": "AWS::Serverless::Function",
        "Properties": {"Events": {"Minute": minute}},
    }

    assert background_functions(template) == {"Worker", "Sweep"}
