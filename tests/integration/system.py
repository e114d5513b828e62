"""The whole system under test, as its users reach it: over HTTP, through the table, and through the queue."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests

from inbound.batches import chunks
from inbound.media import message_id
from local.cloud import ENDPOINT, Access, Moto, access_from
from local.options import APP_ID, Options
from local.server import serve
from local.stack import STATE, Stack, running_stack
from tests import builders
from tests.builders import Json, Sample
from tests.integration.aws_proxy import AwsProxy
from tests.integration.witness import Witness, report, watched
from tests.permissions import Permission, granted, lacking, with_names
from tools.conformance import SECRET_ACCESS_KEY

HERE = Path(__file__).parent
# Tests may run in several processes at once, each with a system of its own.
LOGS = STATE / f"tests-{os.getpid()}.log"
# Apps and tokens beside the local ones, for what needs several.
APP_A, APP_B, SHARED = "app-a-secret", "app-b-secret", "app-of-two-secret"
NUMBER_A, NUMBER_B = "700000000000001", "700000000000002"
STALE_TOKEN_NUMBER = "700000000000003"


@dataclass(frozen=True)
class System:
    stack: Stack
    aws: AwsProxy
    direct: Access
    witness: Witness

    # --- Meta's side -----------------------------------------------------------------------------------------

    def post(self, body: bytes | Json, secret: str | bytes | None = None, **headers: str | bytes) -> requests.Response:
        """POST a webhook, signed with the local app's secret unless another one is given."""
        raw = body if isinstance(body, bytes) else builders.wire(body)
        sent = {**builders.signed(raw, str(secret or self.stack.app_secret)), **headers}
        return requests.post(f"{self.stack.api_url}/webhook", raw, headers=sent, timeout=30)

    def receive(self, sample: Sample = builders.PHOTO, *, number: str | None = None, **fields: Any) -> str:
        """Let Meta hold a file and deliver a message with it; give the id that it is stored under."""
        number = number or self.stack.phone_number_id
        media = self.stack.meta.add_media(sample.content, sample.mime_type, phone_number_id=number)
        message = builders.media_message(sample, media.id, **fields)
        answer = self.post(builders.notification(message, phone_number_id=number))
        assert answer.status_code == 200, answer.text
        return message_id(number, message["id"])

    # --- the browser's side ----------------------------------------------------------------------------------

    def get(self, own_id: str, token: str | None = None, *, method: str = "GET", **options: Any) -> requests.Response:
        """Ask for media without following the redirect."""
        headers = {"Authorization": f"Bearer {token or self.stack.media_token}", **options.pop("headers", {})}
        url = f"{self.stack.api_url}/media/messages/{own_id}"
        return requests.request(method, url, headers=headers, allow_redirects=False, timeout=40, **options)

    def bytes_of(self, own_id: str) -> requests.Response:
        """Follow the redirect, as an <img> does."""
        answer = self.get(own_id)
        assert answer.status_code == 302, answer.text
        return requests.get(answer.headers["Location"], timeout=30)

    def link(self, own_id: str) -> str:
        """Give the address that an agent's page uses in a bare <img>: with the token in it."""
        return f"{self.stack.api_url}/media/messages/{own_id}?token={self.stack.media_token}"

    def problem(self, own_id: str, status: int, code: str, **options: Any) -> Json:
        """Ask for media that cannot be had; give the problem."""
        answer = self.get(own_id, **options)
        assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"
        problem: Json = answer.json()
        return problem

    def token(self, **claims: Any) -> str:
        return builders.media_token(self.stack.media_token_secret, **claims)

    # --- the cloud's side ------------------------------------------------------------------------------------

    def client(self, service: str) -> Any:
        """Give a client that neither counts as a call of the handlers nor meets their faults."""
        return _client(str(self.direct.endpoint(service)), self.direct.region, service)

    def items(self, pk: str) -> dict[str, Json]:
        """Give the items of a partition by sort key, with plain values."""
        answer = self.client("dynamodb").query(
            TableName=self.stack.table_name,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": pk}},
        )
        return {item["sk"]["S"]: plain(item) for item in answer["Items"]}

    def message(self, own_id: str) -> Json:
        return self.items(f"MSG#{own_id}")["MESSAGE"]

    def media(self, own_id: str) -> Json:
        return self.items(f"MSG#{own_id}")["MEDIA"]

    def everything(self) -> list[Json]:
        """Give all items of the table."""
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.stack.table_name)
        return [plain(item) for page in pages for item in page["Items"]]

    def events(self, since: float = 0, app_id: str = APP_ID) -> list[Json]:
        """Give the events of an app, received since a moment (Unix seconds), as the index lists them."""
        table = self.client("dynamodb")
        pages = table.get_paginator("query").paginate(
            TableName=self.stack.table_name,
            IndexName="GSI1",
            KeyConditionExpression="gsi1pk = :app AND gsi1sk >= :since",
            ExpressionAttributeValues={
                ":app": {"S": f"EVENTS#{app_id}"},
                ":since": {"S": f"{int(since * 1000):013d}"},
            },
        )
        keys = [found["pk"]["S"] for page in pages for found in page["Items"]]
        return [self.items(key)["EVENT"] for key in keys]

    def empty_table(self) -> None:
        """Delete all items: who reads all of the table need not read what other tests have left.

        The table stays, for the pipe reads its stream.
        """
        keys = [{"pk": {"S": item["pk"]}, "sk": {"S": item["sk"]}} for item in self.everything()]
        for batch in chunks([{"DeleteRequest": {"Key": key}} for key in keys], 25):
            answer = self.client("dynamodb").batch_write_item(RequestItems={self.stack.table_name: batch})
            assert answer["UnprocessedItems"] == {}

    def put(self, item: Mapping[str, Any]) -> None:
        self.client("dynamodb").put_item(TableName=self.stack.table_name, Item=typed(item))

    def change(self, own_id: str, sk: str, **values: Any) -> None:
        """Set attributes of an item, as time or another program would."""
        self.put({**self.items(f"MSG#{own_id}")[sk], **values})

    def objects(self) -> list[str]:
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.stack.bucket_name)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def object(self, key: str) -> bytes:
        body: bytes = self.client("s3").get_object(Bucket=self.stack.bucket_name, Key=key)["Body"].read()
        return body

    def queued(self) -> int:
        """Count the jobs in the queue, with those that are to be seen later."""
        counts = [f"ApproximateNumberOfMessages{which}" for which in ("", "Delayed", "NotVisible")]
        asked = {"QueueUrl": self.stack.queue_url, "AttributeNames": counts}
        return sum(map(int, self.client("sqs").get_queue_attributes(**asked)["Attributes"].values()))

    def jobs(self) -> list[str]:
        """Give the message ids of the jobs that were sent to the queue since the test began."""
        return list(self.aws.jobs)

    def logs(self) -> str:
        """Give what all handlers have logged."""
        return LOGS.read_text()

    def log_lines(self) -> list[Json]:
        """Give what handlers have logged as JSON: log lines and metrics."""
        return json_lines(self.logs())

    def faults(self, service: str) -> float:
        """Give how many requests a service has counted as failed by our fault."""
        lines = [line for line in self.log_lines() if "Faults" in line and line["service"] == service]
        return sum(sum(line["Faults"]) for line in lines)

    def work(self, *own_ids: str) -> list[str]:
        """Let the worker do the jobs of these messages, in one batch; give those that it leaves in the queue."""
        answer = self.stack.functions.invoke("PrefetchFunction", builders.sqs_event(*own_ids))
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    def not_granted(self) -> dict[str, set[Permission]]:
        """Give what functions have used although their roles do not grant it."""
        template = with_names(self.stack.template)
        names = {name for name, _ in self.aws.used}
        found = {name: lacking(granted(template, name), self.used_by(name)) for name in names}
        return {name: needs for name, needs in found.items() if needs}

    def used_by(self, function: str) -> set[Permission]:
        """Give what a function has needed to be granted."""
        return {permission for name, permission in self.aws.used if name == function}

    def sweep(self) -> Json:
        """Let the sweeper look at all media; give what it did."""
        done: Json = self.stack.functions.invoke("SweepFunction", {})
        return done

    # --- a handler in a process of its own -------------------------------------------------------------------

    def run(self, function: str, *events: Json, **variables: str) -> Json:
        """Run a handler on events in a fresh interpreter; give its answers, log, and what it did (see probe.py).

        `variables` are added to the function's environment.
        """
        declared = self.stack.functions._functions[function]
        environment = {**declared.environment, **self.stack.access.environment, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, str(HERE / "probe.py"), declared.handler, str(declared.timeout)],
            input=json.dumps(events),
            env={**environment, **variables, **_paths()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        *logged, last = done.stdout.splitlines()
        printed = [*logged, *done.stderr.splitlines()]
        self.witness.handler_ran(events, printed)
        told: Json = json.loads(last)
        return {**told, "metrics": _metrics(logged), "log": json_lines("\n".join(logged)), "printed": printed}


def _paths() -> dict[str, str]:
    """Give where this interpreter was told to look for modules, so that a copy of the tree tests itself."""
    return {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


def _metrics(lines: list[str]) -> dict[str, list[float]]:
    """Give the values of the metrics that were published, by name.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    found: dict[str, list[float]] = {}
    for record in (json.loads(line) for line in lines if line.startswith('{"_aws"')):
        for metric in record["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            value = record[metric["Name"]]
            found.setdefault(metric["Name"], []).extend(value if isinstance(value, list) else [value])
    return found


def json_lines(log: str) -> list[Json]:
    """Read the objects of a log; processes that write at once may put several on a line."""
    found, decoder = [], json.JSONDecoder()
    for line in log.splitlines():
        place = 0
        while line.startswith("{", place):
            value, place = decoder.raw_decode(line, place)
            found.append(value)
    return found


@cache
def _client(endpoint: str, region: str, service: str) -> Any:
    return Access({ENDPOINT: endpoint}, region, secret=SECRET_ACCESS_KEY).client(service)


def plain(item: Mapping[str, Any]) -> Json:
    """Turn DynamoDB's typed values into plain ones."""
    return {name: _value(value) for name, value in item.items()}


def typed(item: Mapping[str, Any]) -> dict[str, Any]:
    """Turn plain values into DynamoDB's typed ones."""
    return {name: {"N": str(v)} if isinstance(v, int | float) else {"S": v} for name, v in item.items()}


def _value(value: Mapping[str, Any]) -> Any:
    (kind, content), *_ = value.items()
    if kind == "N":
        return float(content) if "." in content else int(content)
    return [_value(part) for part in content] if kind == "L" else content


def later(seconds: int) -> int:
    return int(time.time()) + seconds


@contextmanager
def running_system(
    logs: Path, *, background: bool = False, region: str = Access.region, **parameters: str
) -> Iterator[System]:
    """Start a whole system whose handlers log to a file, and end it; fail when a secret or a person's data came out.

    `parameters` are the template's. A table of DynamoDB Local's is another one in another Region.
    """
    moto = Moto(STATE / "tmp")
    try:
        moto.wait()
        # Stricter emulators for some services (make conformance) are named as for any AWS SDK.
        direct = Access({**access_from(os.environ).endpoints, ENDPOINT: moto.url}, region, secret=SECRET_ACCESS_KEY)
        witness = Witness()
        proxy = AwsProxy(direct, witness)
        server = serve(proxy, 0)
        access = replace(direct, endpoints={ENDPOINT: server.url})
        options = Options(api_port=0, access=access, logs=logs, background=background, parameters=parameters)
        with running_stack(options) as stack, watched(stack, witness):
            yield System(stack, proxy, direct, witness)
        server.close()
        witness.look_at_log(logs)
        if witness.leaks:  # the log is kept, to be looked at
            pytest.fail(f"secrets or personal data came out:\n{report(witness.leaks)}", pytrace=False)
        logs.unlink()
    finally:
        moto.close()
