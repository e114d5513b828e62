"""Do again what was given up: `python -m tools.replay dead-letters`, `python -m tools.replay events`.

Both may be killed at any moment and run again: a job done twice, or a message stored twice, does no harm.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError
from pynamodb.exceptions import PynamoDBException

from inbound import messages
from inbound.batches import chunks
from inbound.credentials import APPS, App
from inbound.errors import StoreUnavailable
from inbound.media import key_part
from tools import deployment as deployments
from tools import plain_items, progress, replayed_events
from tools.deployment import Deployment
from tools.plain_items import plain, typed_key
from tools.replayed_events import StoredEvent
from webhook.intake import Intake
from webhook.payload import Record

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

DEAD_LETTERS = """\
Move jobs from the dead-letter queue back to the fetch queue. A message that is no job ({"message_id": …}) stays where
it is and is counted. A dry run unless --apply is given; it counts, and leaves everything as it was. Messages that a
killed run was holding can be seen again after two minutes.
"""
EVENTS = """\
Give the events that were stored as not understood to the parser of this version, for the apps as they are bound now.
What is understood is stored as if it came when the event came, its media are queued, and the event is deleted. What is
not stays as it is. A dry run unless --apply is given.
"""
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
BATCH = 10
HELD = 120  # seconds that a message is ours while we look at it
BATCH_GET = 100
PROBLEMS = (StoreUnavailable, PynamoDBException, BotoCoreError, ClientError)


class NotUsable(Exception):
    """What was asked for makes no sense here; the message is one line for the terminal."""


# --- dead letters ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DeadLetters:
    """What became of the dead letters; `held` maps the ids of messages that stay to their newest receipts."""

    jobs: int = 0
    moved: int = 0
    no_jobs: int = 0
    held: dict[str, str] = field(default_factory=dict)


def move_dead_letters(deployment: Deployment, *, apply: bool, limit: int | None) -> DeadLetters:
    """Send jobs to the fetch queue, then delete them from the dead-letter queue; `limit` jobs at most.

    Raises botocore's errors. Whatever happens, what stays can be seen by others at once.
    """
    sqs, done = deployment.client("sqs"), DeadLetters()
    try:
        with progress.bar(limit, unit="job") as bar:
            for letters in _letters(sqs, deployment.dead_letter_queue_url, done, limit):
                jobs = [letter for letter in letters if is_job(letter["Body"])]
                done.jobs += len(jobs)
                done.no_jobs += len(letters) - len(jobs)
                if apply:
                    _move(sqs, deployment, jobs, done)
                bar.update(len(jobs))
    finally:
        _release(sqs, deployment.dead_letter_queue_url, list(done.held.values()))
    return done


def is_job(body: str) -> bool:
    """Tell whether a queue's message is a fetch job."""
    try:
        job = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(job, dict) and isinstance(job.get("message_id"), str) and job["message_id"] != ""


def _letters(sqs: "SQSClient", url: str, done: DeadLetters, limit: int | None) -> "Iterator[list[MessageTypeDef]]":
    """Give the messages of the queue, each once, ten at a time, until none comes or there are `limit` jobs."""
    seen: set[str] = set()
    while limit is None or done.jobs < limit:
        answer = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=BATCH if limit is None else min(BATCH, limit - done.jobs),
            VisibilityTimeout=HELD,
            WaitTimeSeconds=1,  # asks all of SQS's servers, where a short poll may miss some
        )
        letters = answer.get("Messages", [])
        done.held |= {letter["MessageId"]: letter["ReceiptHandle"] for letter in letters}
        new = [letter for letter in letters if letter["MessageId"] not in seen]
        if not new:
            return
        seen |= {letter["MessageId"] for letter in new}
        yield new


def _move(sqs: "SQSClient", deployment: Deployment, jobs: "Sequence[MessageTypeDef]", done: DeadLetters) -> None:
    """Send up to ten jobs; those that SQS has taken are deleted where they were."""
    if not jobs:
        return
    sent = sqs.send_message_batch(
        QueueUrl=deployment.queue_url,
        Entries=[{"Id": str(place), "MessageBody": job["Body"]} for place, job in enumerate(jobs)],
    )
    taken = [jobs[int(one["Id"])] for one in sent.get("Successful", [])]
    if not taken:
        return
    gone = sqs.delete_message_batch(
        QueueUrl=deployment.dead_letter_queue_url,
        Entries=[{"Id": str(place), "ReceiptHandle": job["ReceiptHandle"]} for place, job in enumerate(taken)],
    )
    for one in gone.get("Successful", []):
        done.held.pop(taken[int(one["Id"])]["MessageId"], None)
        done.moved += 1


def _release(sqs: "SQSClient", url: str, receipts: Sequence[str]) -> None:
    """Let others see these messages at once."""
    for some in chunks(receipts, BATCH):
        sqs.change_message_visibility_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(place), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for place, receipt in enumerate(some)
            ],
        )


# --- events ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Replayed:
    """What became of the events: counts by reason, and of what they were."""

    understood: Counter[str] = field(default_factory=Counter)
    not_understood: Counter[str] = field(default_factory=Counter)
    stored: Counter[str] = field(default_factory=Counter)

    def note(self, event: StoredEvent, records: Sequence[Record], *, settled: bool) -> None:
        """Count an event and, when it is settled, what it became."""
        (self.understood if settled else self.not_understood)[event.reason] += 1
        if settled:
            self.stored.update(record.model for record in records)
            self.stored["media queued"] += sum(record.has_media_id for record in records)


class EventReplay:
    """The events of a deployment, read again for the apps as they are bound now."""

    def __init__(self, deployment: Deployment, apps: Mapping[str, App]) -> None:
        self._deployment = deployment
        self._apps = apps
        self._dynamodb = plain_items.client()
        self._s3 = deployment.client("s3")
        self._table = deployment.connect()
        self._intake = Intake(self._table, bucket=deployment.bucket_name, queue_url=deployment.queue_url)

    def replay(self, app_ids: Sequence[str], reasons: Sequence[str], since: int, *, apply: bool) -> Replayed:
        """Read again the events of these apps that came at `since` (Unix ms) or later, for all reasons or some."""
        done = Replayed()
        with progress.bar(None, unit="event") as bar:
            for item in (item for app_id in app_ids for item in self._items(app_id, since)):
                bar.update()
                if not reasons or item["reason"] in reasons:
                    self._replay(item, done, apply=apply)
        return done

    def _replay(self, item: Mapping[str, Any], done: Replayed, *, apply: bool) -> None:
        event = self._event(item)
        if event is None:
            done.not_understood[item["reason"]] += 1
            return
        judged = replayed_events.judged(event, self._apps, self._deployment.retention_days)
        settled = judged.settled and (not apply or self._settle(event, judged.records))
        done.note(event, judged.records, settled=settled)
        if settled and apply:
            self._delete(event, item.get("raw_s3_key"))

    def _settle(self, event: StoredEvent, records: Sequence[Record]) -> bool:
        """Store what an event was; tell whether all of it is in good hands. Raises `StoreUnavailable`."""
        delivery = event.delivery(event.content, self._deployment.retention_days)
        self._intake.accept(records, delivery)
        wanted = [replayed_events.proofs(record, event, delivery) for record in records if record.model != "Event"]
        found = messages.items_at(self._table, [key for proofs in wanted for key in proofs]).keys()
        return all(proofs & found for proofs in wanted)

    def _items(self, app_id: str, since: int) -> Iterator[dict[str, Any]]:
        """Give the events of an app, oldest first. What is deleted meanwhile does not disturb the listing."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._deployment.table_name,
            IndexName="GSI1",
            KeyConditionExpression="gsi1pk = :app AND gsi1sk >= :since",
            ExpressionAttributeValues={
                ":app": {"S": f"EVENTS#{key_part(app_id)}"},
                ":since": {"S": f"{since:013d}"},
            },
            PaginationConfig={"PageSize": BATCH_GET},
        )
        for page in pages:
            for key in page["Items"]:
                asked = {"pk": key["pk"], "sk": key["sk"]}
                answer = self._dynamodb.get_item(TableName=self._deployment.table_name, Key=asked, ConsistentRead=True)
                if "Item" in answer:
                    yield plain(answer["Item"])

    def _event(self, item: Mapping[str, Any]) -> StoredEvent | None:
        """Give an event with what it holds, from the bucket if need be; None when that is gone."""
        content = item.get("raw") or item.get("raw_bytes")
        if content is None and item.get("raw_s3_key"):
            content = self._object(item["raw_s3_key"])
        if content is None:
            return None
        raw = content.encode() if isinstance(content, str) else bytes(content)
        return StoredEvent((item["pk"], item["sk"]), item["app_id"], int(item["received"]), item["reason"], raw)

    def _object(self, key: str) -> bytes | None:
        try:
            return self._s3.get_object(Bucket=self._deployment.bucket_name, Key=key)["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return None

    def _delete(self, event: StoredEvent, raw_s3_key: str | None) -> None:
        """Delete an event, then what it holds: the other way round a killed run would leave one without content."""
        self._dynamodb.delete_item(TableName=self._deployment.table_name, Key=typed_key(event.key))
        if raw_s3_key is not None:
            self._s3.delete_object(Bucket=self._deployment.bucket_name, Key=raw_s3_key)


def read_apps(deployment: Deployment) -> dict[str, App]:
    """Read the apps and the numbers that they are bound to. Raises `NotUsable`."""
    if deployment.apps_secret_id is None:
        raise NotUsable("This deployment does not say where the secret of its apps is.")
    try:
        answer = deployment.client("secretsmanager").get_secret_value(SecretId=deployment.apps_secret_id)
        return APPS.validate_json(answer.get("SecretString", ""))
    except ClientError as error:
        raise NotUsable(f"The secret of the apps cannot be read: {error.response['Error'].get('Code')}.") from error
    except ValidationError as error:
        raise NotUsable("The secret of the apps is not what it should be.") from error


# --- the command line --------------------------------------------------------------------------------------------


def _dead_letters(args: argparse.Namespace, deployment: Deployment) -> int:
    done = move_dead_letters(deployment, apply=args.apply, limit=args.limit)
    report = {"applied": args.apply, "jobs": done.jobs, "moved": done.moved, "no_jobs": done.no_jobs}
    left = done.jobs - done.moved if args.apply else 0
    verb = f"{done.moved} jobs moved to the fetch queue" if args.apply else f"{done.jobs} jobs would be moved"
    _finish(args, report, [f"{verb}; {done.no_jobs} messages are no jobs and stay."])
    if left:
        _tell(f"Not finished. {left} jobs were not moved, or not deleted behind. Run it again.")
    return 1 if left else 0


def _events(args: argparse.Namespace, deployment: Deployment) -> int:
    apps = read_apps(deployment)
    if unknown := set(args.app) - apps.keys():
        raise NotUsable(f"The secret of the apps does not know {', '.join(sorted(unknown))}.")
    replay = EventReplay(deployment, apps)
    done = replay.replay(args.app or sorted(apps), args.reason, args.since, apply=args.apply)
    reasons = sorted({*done.understood, *done.not_understood})
    counts = {
        reason: {"understood": done.understood[reason], "not_understood": done.not_understood[reason]}
        for reason in reasons
    }
    stored = {
        "messages": done.stored["Message"],
        "statuses": done.stored["Status"],
        "media_queued": done.stored["media queued"],
    }
    lines = [f"{'reason':<20}{'understood':>12}{'still not':>12}"]
    lines += [f"{name:<20}{one['understood']:>12}{one['not_understood']:>12}" for name, one in counts.items()]
    lines.append(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in stored.items()) + ".")
    if not counts:
        lines = ["No events were kept" + (f" for {' or '.join(args.reason)}." if args.reason else ".")]
    _finish(args, {"applied": args.apply, "reasons": counts, **stored}, lines)
    return 0


def _finish(args: argparse.Namespace, report: Mapping[str, Any], lines: Sequence[str]) -> None:
    print("\n".join(lines))
    if not args.apply:
        print("This was a dry run: nothing was changed. Do it with --apply.")
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tools.replay", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True, metavar="dead-letters | events")
    letters = commands.add_parser("dead-letters", description=DEAD_LETTERS, help="jobs that were given up")
    letters.add_argument("--limit", type=_positive, metavar="N", help="so many jobs at most")
    letters.set_defaults(run=_dead_letters)
    events = commands.add_parser("events", description=EVENTS, help="what the parser did not understand")
    events.add_argument("--app", action="append", default=[], metavar="ID", help="an app's events (all apps)")
    events.add_argument("--reason", action="append", default=[], metavar="R", help="why they were kept (all reasons)")
    events.add_argument(
        "--since", type=_moment, default=0, metavar="TIME", help="received then or later: 2026-09-30, or with time"
    )
    events.set_defaults(run=_events)
    for command in (letters, events):
        command.add_argument("--apply", action="store_true", help="do it; without it, only look and count")
        command.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON, too")
        deployments.add_arguments(command)
    return parser


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError("a number from 1")
    return int(text)


def _moment(text: str) -> int:
    """Read a date or a date and time, UTC unless it says otherwise; give Unix ms."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("a date such as 2026-09-30 or 2026-09-30T20:15") from error
    return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; give the exit code: 0 done, 1 not finished, 2 not understood."""
    args = _parser().parse_args(arguments)
    try:
        code: int = args.run(args, deployments.from_arguments(args))
    except NotUsable as error:
        _tell(str(error))
        return 2
    except PROBLEMS as error:
        _tell(f"Not finished. {_reason(error)} Run it again.")
        return 1
    except OSError as error:
        _tell(f"{args.json}: {error.strerror}")
        return 2
    except KeyboardInterrupt:
        _tell("Not finished. Stopped. Run it again.")
        return 1
    return code


def _reason(error: Exception) -> str:
    if isinstance(error, ClientError):
        return f"AWS refuses {error.operation_name}: {error.response['Error'].get('Code')}."
    return str(error) if isinstance(error, StoreUnavailable) else f"AWS does not answer: {type(error).__name__}."


if __name__ == "__main__":
    sys.exit(main())
