"""Erase one contact of one number: `python -m tools.erase --help`.

First tombstones, so that redelivery, jobs, views and fetches in progress stop; then objects, the edge, items. Then it
looks again, until a look finds nothing. The contact's other ids go last, since they lead to all the rest: so a run
that was killed at any moment can be run again, and finishes.
"""

import argparse
import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from inbound.batches import chunks, in_parallel
from inbound.errors import StoreUnavailable
from inbound.media import contact_id, key_part
from tools import deployment as deployments
from tools import erasure, plain_items, progress
from tools.deployment import Deployment
from tools.erasure import Claim, Contact, Found, Item, Key
from tools.plain_items import plain, typed, typed_key
from webhook import payload
from webhook.payload import Record

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, WriteRequestTypeDef
    from tqdm import tqdm

DESCRIPTION = """\
Erase one contact of one number: messages with their media, statuses, edits, old ids and raw copies, the conversation,
events that name the contact, objects and uploads in S3, and copies at CloudFront. A dry run unless --apply is given.
"""
COST = """\
Statuses, edits and events have no index by contact, so each look reads the whole table twice: half a read unit for each
4 KB, twice, and there are at least two looks (table of 10 GB: about 5 million read units in all). Memory holds nothing
but the ids of this contact's messages. An event that holds more than this contact's data goes as a whole.

What is left: tombstones, for 8 days, which hold hashes only; copies in browsers, for up to a day; and the table's
backups: with point-in-time recovery, which the stack switches on, it can be restored as it was up to 35 days ago. After
such a restoration, erase again.

Exit code: 0 done (or nothing there), 1 not finished (run it again), 2 not understood.
"""
TOMBSTONE_DAYS = 8  # one more than Meta delivers again
LOOKS = 8
LONGEST_WAIT = 90  # seconds for attempts in progress; a lease is 45
BATCH_WRITE, BATCH_DELETE = 25, 1000
# What a partition's items are judged by, and where their objects are.
_ATTRIBUTES = (
    *("pk", "sk", "message_id", "phone_number_id", "contact_id", "contact_phone", "contact_user_id", "group_id"),
    *("parent_id", "further_media", "provider_media_id", "s3_key", "raw_s3_key", "text_s3_key", "lease_until"),
)
_RAW = ("raw", "raw_bytes")
_OWN_ID = re.compile(r"[a-z2-7]{26}", re.ASCII)


class NotFinished(Exception):
    """Something is left; the message is one line for the terminal."""


class Eraser:
    """One contact of one number, and the places where something of them may be."""

    def __init__(self, deployment: Deployment, contact: Contact) -> None:
        self._deployment = deployment
        self._contact = contact
        self._dynamodb = plain_items.client()
        self._s3 = deployment.client("s3")
        self.invalidations: list[str] = []

    # --- looking -----------------------------------------------------------------------------------------------

    def look(self) -> Found:
        """Find everything that there is of the contact now: first what names them, then what points to that."""
        found = Found()
        mine, touched = self._naming(found)
        self._take_partitions(found, mine | touched, mine)
        self._take_partitions(found, self._pointing(found), found.messages)
        folders = [
            erasure.folder(prefix, self._contact.number, message_id)
            for message_id in found.messages
            if _OWN_ID.fullmatch(message_id)
            for prefix in erasure.PREFIXES
        ]
        with _progress("objects", len(folders), "folder") as bar:
            for some in chunks(folders, BATCH_DELETE):
                found.take_objects(key for keys in in_parallel(self._objects, some) for key in keys)
                bar.update(len(some))
        found.uploads |= set(self._uploads(found.messages))
        return found

    def _naming(self, found: Found) -> tuple[set[str], set[str]]:
        """Take the conversation and the other ids of the contact; give the messages that are theirs, or may be."""
        mine: set[str] = set()
        touched: set[str] = set()
        for item in self._scan("naming the contact", *_naming_filter(self._contact)):
            key, sk = (item["pk"], item["sk"]), item["sk"]
            if key[0].startswith(erasure.OF_NUMBER):
                (found.links if sk.startswith(erasure.LINK) else found.items).add(key)
            elif erasure.is_mine(item, self._contact):
                (mine if sk in {erasure.MESSAGE, erasure.ERASED} else touched).add(_message_id(item))
                touched.update(item.get("further_media", ()))
        return mine, touched

    def _pointing(self, found: Found) -> set[str]:
        """Take the events and previews that show the contact; give the partitions that point to their messages."""
        ids: set[str] = set()
        for item in self._scan("pointing to them", *_pointing_filter(self._contact)):
            key = (item["pk"], item["sk"])
            if item["sk"] == "EVENT":
                if self._is_event_of_theirs(item, found):
                    found.take(_message_id(item), Claim(whole=False, items=(item,)))
            elif key[0].startswith("CONV#"):
                if item.get("message_id") in found.messages and key not in found.items:
                    found.heads[key] = item["message_id"]
            elif item.get("message_id") in found.messages or item.get("parent_id") in found.messages:
                ids.add(_message_id(item))
        return ids - found.messages

    def _is_event_of_theirs(self, event: Item, found: Found) -> bool:
        raw = event.get("raw") or event.get("raw_bytes") or b""
        if event.get("raw_s3_key"):
            raw = self._object(event["raw_s3_key"])
        text = raw if isinstance(raw, str) else bytes(raw).decode("utf-8", "replace")
        return erasure.concerns(text, self._contact, found.messages, found.media_ids)

    def _take_partitions(self, found: Found, message_ids: set[str], own: set[str]) -> None:
        """Read the partitions of these messages and take what is the contact's, or points to a message of `own`."""
        with _progress("messages", len(message_ids), "message") as bar:
            for some in chunks(sorted(message_ids), BATCH_DELETE):
                for message_id, items in zip(some, in_parallel(self._partition, some), strict=True):
                    found.take(message_id, erasure.claimed(items, self._contact, own))
                bar.update(len(some))

    def _partition(self, message_id: str) -> list[Item]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._deployment.table_name,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"MSG#{message_id}"}},
            **plain_items.projection(_ATTRIBUTES),
        )
        return [plain(one) for page in pages for one in page["Items"]]

    def _scan(self, what: str, condition: str, values: Mapping[str, "AttributeValueTypeDef"]) -> Iterator[Item]:
        """Read the table; give what fits."""
        table = self._deployment.table_name
        total = self._dynamodb.describe_table(TableName=table)["Table"].get("ItemCount", 0)
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=table,
            FilterExpression=condition,
            ExpressionAttributeValues=values,
            **plain_items.projection((*_ATTRIBUTES, *_RAW)),
        )
        with _progress(what, total, "item") as bar:
            for page in pages:
                yield from map(plain, page["Items"])
                bar.update(page["ScannedCount"])

    def _object(self, key: str) -> bytes:
        """Read an object; nothing when it is gone: then its event tells of nobody any more."""
        try:
            return self._s3.get_object(Bucket=self._deployment.bucket_name, Key=key)["Body"].read()
        except self._s3.exceptions.NoSuchKey:
            return b""

    def _objects(self, folder: str) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._deployment.bucket_name, Prefix=folder)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def _uploads(self, message_ids: set[str]) -> Iterator[tuple[str, str]]:
        """Give the multipart uploads in progress of these messages: key and upload id. A number has few at a time."""
        pages = self._s3.get_paginator("list_multipart_uploads")
        for prefix in erasure.CLASSES:
            of_number = erasure.number_folder(prefix, self._contact.number)
            for page in pages.paginate(Bucket=self._deployment.bucket_name, Prefix=of_number):
                for upload in page.get("Uploads", []):
                    if upload["Key"].removeprefix(of_number).partition("/")[0] in message_ids:
                        yield upload["Key"], upload["UploadId"]

    # --- removing ----------------------------------------------------------------------------------------------

    def remove(self, found: Found, now: int) -> None:
        """Remove what was found. Raises `NotFinished`, and botocore's errors; all of it may be done again."""
        self._bury(found, now)
        self._delete_objects(sorted(found.objects))
        for key, upload_id in found.uploads:
            self._abort(key, upload_id)
        self._invalidate(found)
        # Events are found through the media ids of messages, so they go before these.
        self._delete_items(sorted(found.items, key=lambda key: (not key[0].startswith("EVENT#"), key)))
        for head, erased in found.heads.items():
            self._mend(head, erased)

    def remove_links(self, found: Found) -> None:
        """Remove what leads from one id of the contact to another, the asked one last."""
        asked = erasure.LINK + self._contact.asked_id
        self._delete_items(sorted(found.links, key=lambda key: (key[1] == asked, key)))

    def _bury(self, found: Found, now: int) -> None:
        """Put a tombstone in each partition that has none yet, or that has come back."""
        alive = {key[0].removeprefix("MSG#") for key in found.items}
        wanted = [one for one in found.messages if one in alive or one not in found.tombstones]
        stones = (
            erasure.tombstone(one, self._contact, now, TOMBSTONE_DAYS, found.lease_until) for one in sorted(wanted)
        )
        self._write("tombstones", [{"PutRequest": {"Item": typed(stone)}} for stone in stones])

    def _delete_items(self, keys: Iterable[Key]) -> None:
        self._write("items", [{"DeleteRequest": {"Key": typed_key(key)}} for key in keys])

    def _write(self, what: str, requests: Sequence["WriteRequestTypeDef"]) -> None:
        """Write in order, 25 at a time."""
        with _progress(what, len(requests), "item") as bar:
            for some in chunks(requests, BATCH_WRITE):
                plain_items.write_batch(self._dynamodb, self._deployment.table_name, some)
                bar.update(len(some))

    def _delete_objects(self, keys: Sequence[str]) -> None:
        with _progress("objects", len(keys), "object") as bar:
            for some in chunks(keys, BATCH_DELETE):
                answer = self._s3.delete_objects(
                    Bucket=self._deployment.bucket_name,
                    Delete={"Objects": [{"Key": key} for key in some], "Quiet": True},
                )
                if errors := answer.get("Errors"):
                    raise NotFinished(f"S3 did not delete {len(errors)} objects: {errors[0].get('Code')}.")
                bar.update(len(some))

    def _abort(self, key: str, upload_id: str) -> None:
        """Abort an upload in progress, if nobody else has."""
        try:
            self._s3.abort_multipart_upload(Bucket=self._deployment.bucket_name, Key=key, UploadId=upload_id)
        except self._s3.exceptions.NoSuchUpload:
            return

    def _invalidate(self, found: Found) -> None:
        """Let the edge forget what it may hold. Before the items go: a run that is killed finds the paths again."""
        paths = erasure.edge_paths(found.edge, self._contact.number)
        if not paths or self._deployment.distribution_id is None:
            return
        answer = self._deployment.client("cloudfront").create_invalidation(
            DistributionId=self._deployment.distribution_id,
            InvalidationBatch={
                "Paths": {"Quantity": len(paths), "Items": paths},
                "CallerReference": str(uuid.uuid4()),
            },
        )
        self.invalidations.append(answer["Invalidation"]["Id"])

    def _mend(self, head: Key, erased: str) -> None:
        """Let another conversation show its newest message that is left, unless a newer one has come meanwhile."""
        left = self._newest("#".join(head))
        still: dict[str, Any] = {
            "ConditionExpression": "message_id = :erased",
            "ExpressionAttributeValues": {":erased": {"S": erased}},
        }
        table = self._deployment.table_name
        try:
            if left is None:
                self._dynamodb.delete_item(TableName=table, Key=typed_key(head), **still)
            else:
                (newer,) = payload.heads([Record("Message", left)])
                self._dynamodb.put_item(TableName=table, Item=typed(newer.attributes), **still)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return

    def _newest(self, listing: str) -> dict[str, Any] | None:
        """Give the newest message of a conversation. The index may still list what is gone."""
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._deployment.table_name,
            IndexName="GSI1",
            KeyConditionExpression="gsi1pk = :listing",
            ExpressionAttributeValues={":listing": {"S": listing}},
            ScanIndexForward=False,
        )
        for key in (one for page in pages for one in page["Items"]):
            answer = self._dynamodb.get_item(
                TableName=self._deployment.table_name,
                Key={"pk": key["pk"], "sk": key["sk"]},
                ConsistentRead=True,
            )
            if "Item" in answer:
                message = plain(answer["Item"])
                return {**message, "timestamp": int(message["timestamp"])}
        return None


def find_contact(deployment: Deployment, number: str, asked_id: str) -> Contact:
    """Follow the links between a person's phone numbers and user id, both ways, and give the contact."""
    dynamodb = plain_items.client()
    ids, unseen = {asked_id}, True
    while unseen:
        pages = dynamodb.get_paginator("query").paginate(
            TableName=deployment.table_name,
            KeyConditionExpression="pk = :number AND begins_with(sk, :link)",
            ExpressionAttributeValues={":number": {"S": f"CONV#{key_part(number)}"}, ":link": {"S": erasure.LINK}},
            ProjectionExpression="sk, contact_id",
            ConsistentRead=True,
        )
        links = (
            {one["sk"]["S"].removeprefix(erasure.LINK), one["contact_id"]["S"]} for p in pages for one in p["Items"]
        )
        unseen = bool(more := {one for ends in links if ends & ids for one in ends} - ids)
        ids |= more
    return Contact(number, asked_id, frozenset(ids))


def erase(
    deployment: Deployment,
    contact: Contact,
    *,
    apply: bool,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Erase a contact, or only look (`apply` false); give the report.

    Raises `NotFinished` when something goes on coming, and botocore's errors.
    """
    eraser, all_found = Eraser(deployment, contact), Found()
    for _ in range(LOOKS):
        found = eraser.look()
        all_found.add(found)
        if not apply:
            return _report(contact, all_found, eraser.invalidations, applied=False)
        wait = min(found.lease_until + 1 - clock(), LONGEST_WAIT)
        if found.is_empty and wait <= 0:
            eraser.remove_links(all_found)
            return _report(contact, all_found, eraser.invalidations, applied=True)
        eraser.remove(found, int(clock()))
        if wait > 0:
            tell(f"An attempt to fetch is in progress; looking again in {wait:.0f} s.")
            time.sleep(wait)
    raise NotFinished("New messages of this contact go on coming.")


def _report(contact: Contact, found: Found, invalidations: list[str], *, applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "phone_number_id": contact.number,
        "contact_ids": sorted(contact.ids),
        **found.counts(),
        "invalidations": invalidations,
    }


def _text(report: Mapping[str, Any], deployment: Deployment) -> str:
    lines = [f"{name.replace('_', ' '):<18} {report[name]}" for name in report if isinstance(report[name], int)]
    lines[0] = "Erased:" if report["applied"] else "Would be erased:"
    if not report["applied"]:
        return "\n".join([*lines, "This was a dry run: nothing was changed. Erase with --apply."])
    if report["invalidations"]:
        lines.append(f"CloudFront forgets its copies: {', '.join(report['invalidations'])}.")
    elif deployment.distribution_id is None:
        lines.append("This deployment has no CloudFront distribution: nothing to invalidate.")
    return "\n".join([*lines, "Browsers may keep copies for up to a day."])


# --- which items to read -----------------------------------------------------------------------------------------


def _naming_filter(contact: Contact) -> tuple[str, dict[str, "AttributeValueTypeDef"]]:
    """Fit what names the contact. Group messages are looked at one by one: who wrote them is a key, not a hash."""
    values: dict[str, AttributeValueTypeDef] = {f":c{n}": {"S": one} for n, one in enumerate(sorted(contact.ids))}
    statuses = " OR ".join(f"contains(sk, {name})" for name in values)
    condition = f"contact_id IN ({', '.join(values)}) OR {statuses} OR attribute_exists(group_id)"
    return f"phone_number_id = :number AND ({condition})", {**values, ":number": {"S": contact.number}}


def _pointing_filter(contact: Contact) -> tuple[str, dict[str, "AttributeValueTypeDef"]]:
    """Fit events, old ids, edits and revokes, further media of a message, and previews."""
    marks = "begins_with(sk, :edit) OR begins_with(sk, :revoke)"
    others = "attribute_exists(parent_id) OR begins_with(gsi1pk, :heads)"
    return f"sk IN (:event, :alias) OR (phone_number_id = :number AND ({marks} OR {others}))", {
        ":event": {"S": "EVENT"},
        ":alias": {"S": erasure.ALIAS},
        ":edit": {"S": "EDIT#"},
        ":revoke": {"S": "REVOKE#"},
        ":heads": {"S": "HEADS#"},
        ":number": {"S": contact.number},
    }


def _message_id(item: Item) -> str:
    """Give what stands behind `MSG#` (or `EVENT#`) in the partition key."""
    return str(item["pk"]).partition("#")[2]


# --- the command line --------------------------------------------------------------------------------------------


def _progress(what: str, total: int, unit: str) -> "tqdm[NoReturn]":
    bar = progress.bar(total, unit=unit)
    bar.set_description(what)
    return bar


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tools.erase",
        description=DESCRIPTION,
        epilog=COST,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--phone-number-id", required=True, metavar="N", help="the business's number, as Meta's id")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--phone", metavar="P", type=_digits, help="the contact's phone number; blanks and + are left out")
    who.add_argument("--user-id", metavar="BSUID", help="the contact's business-scoped user id")
    who.add_argument("--group", metavar="G", help="a group's id: the whole group conversation")
    who.add_argument("--contact-id", metavar="HASH", type=_contact_id, help="the contact's id in table and API")
    parser.add_argument("--apply", action="store_true", help="erase; without it, only look and count")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON, too")
    deployments.add_arguments(parser)
    return parser


def _digits(text: str) -> str:
    digits = "".join(char for char in text if char.isascii() and char.isdigit())
    if not digits:
        raise argparse.ArgumentTypeError("a phone number has digits")
    return digits


def _contact_id(text: str) -> str:
    if not _OWN_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("a contact id is 26 characters of a-z and 2-7")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; give the exit code."""
    args = _parser().parse_args(arguments)
    deployment = deployments.from_arguments(args)
    key = args.phone or args.user_id or args.group
    asked_id = args.contact_id or contact_id(args.phone_number_id, key)
    try:
        contact = find_contact(deployment, args.phone_number_id, asked_id)
        report = erase(deployment, contact, apply=args.apply, tell=_tell)
        print(_text(report, deployment))
        if args.json:
            args.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    except (NotFinished, StoreUnavailable) as error:
        problem = str(error)
    except ClientError as error:
        problem = f"AWS refuses {error.operation_name}: {error.response['Error'].get('Code')}."
    except BotoCoreError as error:
        problem = f"AWS does not answer: {type(error).__name__}."
    except KeyboardInterrupt:
        problem = "Stopped."
    except OSError as error:
        _tell(f"{args.json}: {error.strerror}")
        return 2
    else:
        return 0
    _tell(f"Not finished. {problem} Run it again.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
