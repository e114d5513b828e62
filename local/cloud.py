"""AWS on this machine: moto's server, or the user's own emulators, holding the resources of template.yaml."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from werkzeug.test import run_wsgi_app

from local import template as templates
from local.containers import Door, for_key
from local.server import Server, for_programs, serve
from local.template import Table, Template

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.datastructures import Headers

ENDPOINT = "AWS_ENDPOINT_URL"
SERVICE_IDS = {"secretsmanager": "secrets_manager", "dynamodbstreams": "dynamodb"}
"""What the variables of a service are named after, where that is not boto3's name for it; a stream is where its table
is."""
PREFIX = "whatsapp-media"
DOOR_KEY = "DOOR_KEY"
"""The variable that hands the key of the door over."""
START_TIMEOUT = 30.0
"""Seconds for moto to import itself, on a slow machine."""
INDEX_NAME = 6
"""Where the name of an index stands among the arguments of moto's query, after the hash key."""
TOKENS = 1000
"""Transactions remembered by their token."""
STREAM_RECORDS = 5000
"""Changes of a table, at least, that its stream keeps; DynamoDB keeps those of a day."""
ITERATORS = 1000
"""Places in streams that are remembered; DynamoDB remembers them for a quarter of an hour."""


class CloudError(RuntimeError):
    """The emulator does not start, or holds something that does not fit the template."""


@dataclass(frozen=True)
class Access:
    """How to reach AWS. `endpoints` maps AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE> to origins."""

    endpoints: Mapping[str, str]
    region: str = "us-east-1"
    key_id: str = "local"
    secret: str = field(default="local", repr=False)
    session_token: str | None = field(default=None, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead any AWS SDK to this place, and nowhere else."""
        token = {"AWS_SESSION_TOKEN": self.session_token} if self.session_token else {}
        return {
            **self.endpoints,
            **token,
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def endpoint(self, service: str) -> str | None:
        """Give the origin of a service, under boto3's name for it; None is AWS itself.

        https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
        """
        own = f"{ENDPOINT}_{SERVICE_IDS.get(service, service).upper()}"
        return self.endpoints.get(own, self.endpoints.get(ENDPOINT))

    def client(self, service: str) -> Any:
        """Give a boto3 client for the service, whatever this process's own environment says."""
        return boto3.session.Session(region_name=self.region).client(
            cast("Any", service),
            endpoint_url=self.endpoint(service),
            aws_access_key_id=self.key_id,
            aws_secret_access_key=self.secret,
            aws_session_token=self.session_token,
            config=Config(connect_timeout=3, max_pool_connections=64, retries={"mode": "standard"}),
        )


def access_from(environment: Mapping[str, str]) -> Access:
    """Read from environment variables how to reach AWS; without AWS_ENDPOINT_URL, moto has to be started.

    Credentials are taken over only for emulators that the user names: they may want them. Moto needs none,
    and the real ones of whoever runs this have no business in a local file.
    """
    endpoints = {name: url for name, url in environment.items() if name.startswith(ENDPOINT) and url}
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or Access.region
    if not endpoints or "AWS_ACCESS_KEY_ID" not in environment:
        return Access(endpoints, region)
    return Access(
        endpoints,
        region,
        environment["AWS_ACCESS_KEY_ID"],
        environment.get("AWS_SECRET_ACCESS_KEY", Access.secret),
        environment.get("AWS_SESSION_TOKEN") or None,
    )


class Moto:
    """moto's server in a process of its own: `url` says where. It ends with ours, however that ends.

    `door_port` is where it answers on the address that was asked for, too; 0 without one.
    """

    def __init__(self, scratch: Path, door: Door | None = None) -> None:
        """Start it; files that it needs while running go to `scratch`. Call `wait` before using it."""
        scratch.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.cloud", *((door.host,) if door else ())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(scratch), **({DOOR_KEY: door.key_id} if door else {})},
            cwd=templates.PATH.parent,
            start_new_session=True,  # Ctrl-C is for the stack, which then ends everything in order
        )
        self.url = ""
        self.door_port = 0

    def wait(self) -> None:
        """Wait until it answers. Raises `CloudError`."""
        watchdog = threading.Timer(START_TIMEOUT, self._process.kill)
        watchdog.start()
        ports = cast("IO[str]", self._process.stdout).readline().split()
        watchdog.cancel()
        if not ports:
            raise CloudError("moto's server did not start; its error stands above")
        self.url, self.door_port = f"http://127.0.0.1:{ports[0]}", int(ports[-1])

    @property
    def alive(self) -> bool:
        """Whether the server is running."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the server. Closing twice is harmless."""
        for pipe in (self._process.stdin, self._process.stdout):
            cast("IO[str]", pipe).close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def provision(access: Access, template: Template, secrets: Mapping[str, str]) -> dict[str, str]:
    """Make the template's tables, buckets, queues, buses and secrets, or take those that exist already.

    `secrets` holds the text of each secret by logical id. Gives the physical values: "LogicalId" is what Ref
    gives, "LogicalId.Attribute" what GetAtt gives. Raises `CloudError`, and botocore's errors.
    """
    if missing := set(templates.secrets(template)) - secrets.keys():
        raise CloudError(f"the local run has no value for {', '.join(sorted(missing))}")
    physical: dict[str, str] = {}
    dynamodb, s3, sqs, vault = map(access.client, ("dynamodb", "s3", "sqs", "secretsmanager"))
    for name, table in templates.tables(template).items():
        physical |= _make_table(dynamodb, name, table, access.region)
    for name in templates.buckets(template):
        physical |= _make_bucket(s3, name, access.region)
    for name in templates.queues(template):
        physical |= _make_queue(sqs, name, template.with_physical(physical))
    for name in templates.buses(template):
        physical |= _make_bus(access.client("events"), name)
    for name in templates.secrets(template):
        physical |= _make_secret(vault, name, secrets[name])
    return physical


def _named(logical_id: str) -> str:
    return f"{PREFIX}-{logical_id.lower()}"


def _make_table(client: Any, logical_id: str, table: Table, region: str) -> dict[str, str]:
    name = _named(logical_id)
    if _created(lambda: client.create_table(TableName=name, **table.definition), "ResourceInUseException"):
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        if table.ttl_attribute:
            expiry = {"Enabled": True, "AttributeName": table.ttl_attribute}
            client.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)
    else:
        _check_keys(name, client.describe_table(TableName=name)["Table"], table.definition)
    arn = f"arn:aws:dynamodb:{region}:123456789012:table/{name}"
    return {logical_id: name, f"{logical_id}.Arn": arn, **_stream_of(client, logical_id, name, table)}


def _stream_of(client: Any, logical_id: str, name: str, table: Table) -> dict[str, str]:
    """Give the table's stream, if it has one; a table that was there before ours had any gets one now."""
    if "StreamSpecification" not in table.definition:
        return {}
    stream = client.describe_table(TableName=name)["Table"].get("LatestStreamArn")
    if stream is None:
        change = {"TableName": name, "StreamSpecification": table.definition["StreamSpecification"]}
        stream = client.update_table(**change)["TableDescription"]["LatestStreamArn"]
    return {f"{logical_id}.StreamArn": stream}


def _check_keys(name: str, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if _keys(found) != _keys(wanted):
        raise CloudError(f"the emulator has a table {name} with other keys than template.yaml: delete it there")


def _keys(table: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    schemas = {"": table["KeySchema"]}
    schemas |= {index["IndexName"]: index["KeySchema"] for index in table.get("GlobalSecondaryIndexes", ())}
    return {name: [(part["KeyType"], part["AttributeName"]) for part in schema] for name, schema in schemas.items()}


def _make_bucket(client: Any, logical_id: str, region: str) -> dict[str, str]:
    name = _named(logical_id)
    # us-east-1 is the one region that CreateBucket refuses to be told.
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    _created(lambda: client.create_bucket(Bucket=name, **place), "BucketAlreadyOwnedByYou", "BucketAlreadyExists")
    domain = f"{name}.s3.{region}.amazonaws.com"
    return {
        logical_id: name,
        f"{logical_id}.Arn": f"arn:aws:s3:::{name}",
        f"{logical_id}.DomainName": f"{name}.s3.amazonaws.com",
        f"{logical_id}.RegionalDomainName": domain,
    }


def _make_queue(client: Any, logical_id: str, template: Template) -> dict[str, str]:
    name = _named(logical_id)
    attributes = templates.queue_attributes(template, logical_id)
    created = _created(
        lambda: client.create_queue(QueueName=name, Attributes=attributes),
        "QueueAlreadyExists",
        "QueueNameExists",
    )
    url = client.get_queue_url(QueueName=name)["QueueUrl"]
    if not created:
        client.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return {logical_id: url, f"{logical_id}.Arn": arn, f"{logical_id}.QueueName": name}


def _make_bus(client: Any, logical_id: str) -> dict[str, str]:
    name = _named(logical_id)
    _created(lambda: client.create_event_bus(Name=name), "ResourceAlreadyExistsException")
    return {logical_id: name, f"{logical_id}.Arn": client.describe_event_bus(Name=name)["Arn"]}


def _make_secret(client: Any, logical_id: str, text: str) -> dict[str, str]:
    name = _named(logical_id)
    if not _created(lambda: client.create_secret(Name=name, SecretString=text), "ResourceExistsException"):
        client.put_secret_value(SecretId=name, SecretString=text)
    return {logical_id: client.describe_secret(SecretId=name)["ARN"]}


def _created(create: Callable[[], object], *exists: str) -> bool:
    """Tell whether the call created something: False when it fails with one of these error codes."""
    try:
        create()
    except ClientError as error:
        code = error.response["Error"]["Code"].rpartition("#")[2]
        if not any(code.endswith(known) for known in exists):
            raise
        return False
    return True


def one_at_a_time(app: WSGIApplication) -> WSGIApplication:
    """Serve DynamoDB's calls one after the other.

    moto reads an item, checks the condition and writes as separate steps, without a lock: two conditional
    updates at once could both win, which DynamoDB never allows.
    """
    lock = threading.Lock()

    def serialised(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
            return app(environ, start_response)
        with lock:
            return app(environ, start_response)

    return serialised


def once_for_each_token(app: WSGIApplication) -> WSGIApplication:
    """Answer a transaction that is sent again under its ClientRequestToken as it was answered the first time.

    An SDK sends it again when an answer comes late; moto would find the conditions broken by the first time.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
    """
    answers: OrderedDict[str, tuple[bytes, str, Headers]] = OrderedDict()

    def answered(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("HTTP_X_AMZ_TARGET", "").endswith(".TransactWriteItems"):
            return app(environ, start_response)
        sent = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        token = json.loads(sent).get("ClientRequestToken", "")
        if token not in answers:
            blocks, status, headers = run_wsgi_app(app, {**environ, "wsgi.input": BytesIO(sent)}, buffered=True)
            body = b"".join(blocks)
            if not token or not status.startswith("200"):
                start_response(status, list(headers))
                return [body]
            answers[token] = (body, status, headers)
            if len(answers) > TOKENS:
                answers.popitem(last=False)
        body, status, headers = answers[token]
        start_response(status, list(headers))
        return [body]

    return answered


def queue_without_counting() -> None:
    """Let moto send to a queue, and receive from it, without counting its messages.

    For each message it reads all attributes of the queue, among them three counts over all messages: a thousand jobs
    would take a minute. When sending, it only wants to know whether the queue is a FIFO queue that deduplicates; when
    receiving, how long messages are kept.
    """
    from moto.sqs.models import Queue, SQSBackend

    sending = threading.local()
    queues: Any = Queue
    backends: Any = SQSBackend
    all_attributes, send = queues.attributes.fget, backends.send_message

    def attributes(queue: Queue) -> dict[str, Any]:
        quick = getattr(sending, "now", False) and not queue.fifo_queue
        return {} if quick else dict(all_attributes(queue))

    def send_message(backend: SQSBackend, *arguments: Any, **options: Any) -> Any:
        sending.now = True
        try:
            return send(backend, *arguments, **options)
        finally:
            sending.now = False

    def is_kept(backend: SQSBackend, queue_name: str, message: Any) -> bool:
        queue: Any = backend.get_queue(queue_name)
        return bool(queue.message_retention_period + message.sent_timestamp / 1000 > time.time())

    queues.attributes = property(attributes)
    backends.send_message = send_message
    backends.is_message_valid_based_on_retention_period = is_kept


def query_one_partition() -> None:
    """Let moto read a partition without sorting the whole table first.

    It puts all items of the table in order, comparing them in Python, for each query of one partition. Keys are texts
    in all our tables: those are compared as such.
    """
    from moto.dynamodb.models.table import Table

    tables: Any = Table
    query = tables.query

    def all_items(table: Any) -> list[Any]:
        items = [item for partition in table.items.values() for item in partition.values()]
        return sorted(items, key=lambda item: (item.hash_key.value, item.range_key.value))

    def query_table(table: Any, hash_key: Any, *arguments: Any, **options: Any) -> Any:
        if len(arguments) > INDEX_NAME and arguments[INDEX_NAME] is None:
            own = SimpleNamespace(all_items=lambda: list(table.items.get(hash_key, {}).values()))
            return query(_Narrowed(table, own), hash_key, *arguments, **options)
        return query(table, hash_key, *arguments, **options)

    tables.all_items, tables.query = all_items, query_table


class _Narrowed:
    """An object, but for what another one has under the same name."""

    def __init__(self, whole: Any, own: Any) -> None:
        self._whole = whole
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own if hasattr(self._own, name) else self._whole, name)


def undo_by_item() -> None:
    """Let moto undo a failed transaction item by item.

    It copies the whole table three times before each transaction of three items, to have something to go back to: with
    some thousands of items that takes a second, and gigabytes.
    """
    import moto.dynamodb.models
    from moto.dynamodb.models.table import Table

    models: Any = moto.dynamodb.models
    backends = models.DynamoDBBackend
    transact = backends.transact_write_items
    # Tables are copied for this alone; items go on being copied.
    models.copy = SimpleNamespace(deepcopy=lambda thing: thing if isinstance(thing, Table) else copy.deepcopy(thing))

    def transact_write_items(backend: Any, transact_items: list[dict[str, Any]]) -> None:
        touched = [_touched(backend, next(iter(one.values()))) for one in transact_items]
        before = [(table, hash_key, range_key, copy.deepcopy(item)) for table, hash_key, range_key, item in touched]
        streams = [(table.stream_shard, _end_of(table.stream_shard)) for table, *_ in touched if table.stream_shard]
        try:
            transact(backend, transact_items)
        except Exception:
            for shard, end in streams:
                del shard.items[end - shard.starting_sequence_number :]
            for table, hash_key, range_key, item in before:
                table.items[hash_key].pop(range_key, None)
                if item is not None:
                    table.items[hash_key][range_key] = item
            raise

    backends.transact_write_items = transact_write_items


def _touched(backend: Any, operation: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Give table, hash key, range key and item of what an operation of a transaction is about, as moto has them."""
    table = backend.get_table(operation["TableName"])
    hash_key, range_key = backend.get_keys_value(table, operation.get("Key") or operation["Item"])
    return table, hash_key, range_key, table.get_item(hash_key, range_key)


def _end_of(shard: Any) -> int:
    """Give the number that the next record of a stream will have."""
    return int(shard.starting_sequence_number) + len(shard.items)


def stream_what_changes() -> None:
    """Let moto's streams hold what DynamoDB's do: changes, the last ones of them.

    moto notes a write that changes nothing as well, keeps all records for ever, and imports its Lambda for each of
    them. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    """
    from moto.dynamodb.models.table import StreamRecord, StreamShard
    from moto.dynamodbstreams.models import DynamoDBStreamsBackend

    def add(shard: Any, old: Any, new: Any) -> None:
        if old is not None and new is not None and old.attrs == new.attrs:
            return
        kind = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        view = shard.table.stream_specification["StreamViewType"]
        shard.items.append(StreamRecord(shard.table, view, kind, old, new, _end_of(shard)))
        if len(shard.items) >= 2 * STREAM_RECORDS:
            del shard.items[:STREAM_RECORDS]
            shard.starting_sequence_number += STREAM_RECORDS

    def get(shard: Any, start: int, quantity: int) -> list[dict[str, Any]]:
        # Who comes too late goes on with the oldest record that is left.
        first = max(0, start - shard.starting_sequence_number)
        return [own.to_json() for own in shard.items[first : first + quantity]]

    shards: Any = StreamShard
    backends: Any = DynamoDBStreamsBackend
    get_records = backends.get_records

    def get_remembered(backend: Any, *arguments: Any, **options: Any) -> Any:
        answer = get_records(backend, *arguments, **options)
        while len(backend.shard_iterators) > ITERATORS:
            del backend.shard_iterators[next(iter(backend.shard_iterators))]
        return answer

    shards.add, shards.get, backends.get_records = add, get, get_remembered


def delete_under_lock() -> None:
    """Let moto delete from a queue while nothing is added to it.

    Deleting writes the list of messages anew, adding appends to it under a lock that deleting does not take: a job that
    is sent at that moment would vanish.
    """
    from moto.sqs.models import Queue

    queues: Any = Queue
    delete = queues.delete_message

    def delete_message(queue: Any, receipt_handle: str) -> None:
        with queue._messages_lock:  # noqa: SLF001  (it is moto's own lock for this)
            delete(queue, receipt_handle)

    queues.delete_message = delete_message


def main(host: str | None = None) -> None:
    """Serve moto on a free port of loopback, and on one of another address for who has the key in DOOR_KEY.

    Prints the ports (the second is 0 without another address), and ends with standard input: with the parent process.
    """
    # Imported here: moto takes most of a second, and only this process needs it.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    queue_without_counting()
    delete_under_lock()
    undo_by_item()
    query_one_partition()
    stream_what_changes()
    aws = DomainDispatcherApplication(create_backend_app)
    app = for_programs(one_at_a_time(once_for_each_token(aws)))
    with serve(app) as server, _door(app, host) as door:
        print(server.port, door.port if door else 0, flush=True)
        sys.stdin.read()


def _door(app: WSGIApplication, host: str | None) -> AbstractContextManager[Server | None]:
    return serve(for_key(app, os.environ[DOOR_KEY]), host=host) if host else nullcontext()


if __name__ == "__main__":
    main(*sys.argv[1:])
