"""What belongs to a contact, and therefore goes with them. Pure: items in, decisions out.

Nothing here holds a phone number or a name: whatever is met, a contact's key or Meta's message id, is hashed and
compared with the ids that are known.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inbound.media import digest, object_key

Item = Mapping[str, Any]
Key = tuple[str, str]

MESSAGE, MEDIA, ALIAS, ERASED = "MESSAGE", "MEDIA", "ALIAS", "ERASED"
CHANGES = ("EDIT#", "REVOKE#")
OF_NUMBER = ("CONV#", "ALIASES#")  # partitions of a number that hold a contact's items
LINK = "ALIAS#"  # a contact's other id, in the partition of the number
CLASSES = ("inline", "pdf", "file")  # what the edge serves
PREFIXES = (*CLASSES, "raw")
# Few paths are named one by one: at most 15 with a wildcard may be in progress at a time.
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/InvalidationLimits.html
FEW_PATHS = 10

# By how the sort key begins.
_KIND_BY_SK = {
    MESSAGE: "messages",
    MEDIA: "media_items",
    "STATUS#": "statuses",
    "EDIT#": "edits_and_revokes",
    "REVOKE#": "edits_and_revokes",
    ALIAS: "aliases",
    "EVENT": "events",
}
KINDS = (*dict.fromkeys(_KIND_BY_SK.values()), "conversations", "contact_aliases", "others")

_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/=:@-]{3,}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{4,}", re.ASCII)
_SLASH = re.compile(r"\\+/")  # Meta escapes it, and in JSON within JSON once more
_NUMBER = re.compile(r'"phone_number_id\\*"\s*:\s*\\*"?([^"\\,}\s]+)')


@dataclass(frozen=True, slots=True)
class Contact:
    """One person or group of a number: the contact id that was asked for, and all ids that lead to the same one."""

    number: str
    asked_id: str
    ids: frozenset[str]

    def has_key(self, key: str | None) -> bool:
        """Tell whether a phone number, user id or group id is this contact's."""
        return key is not None and digest(self.number, key) in self.ids

    def has_message(self, message: Item) -> bool:
        """Tell whether a message is of this contact: in the conversation with them, or theirs in a group."""
        if message.get("phone_number_id") != self.number:
            return False
        return message.get("contact_id") in self.ids or (
            "group_id" in message
            and (self.has_key(message.get("contact_user_id")) or self.has_key(message.get("contact_phone")))
        )

    def has_status(self, sk: str) -> bool:
        """Tell whether a status is about what this contact received."""
        return sk.startswith("STATUS#") and sk.rpartition("#")[2] in self.ids


@dataclass(frozen=True, slots=True)
class Claim:
    """What goes of one partition: all of it (`whole`, then it gets a tombstone) or some items."""

    whole: bool
    items: tuple[Item, ...]


@dataclass(slots=True)
class Found:
    """What there is of a contact, keys and ids only.

    `items` are those to delete by key; `links` (a contact's other ids) go last, because they lead to the rest.
    `heads` are other conversations that show a message of this contact, with its id. `edge` holds class and message
    id of what CloudFront may still hold. `lease_until` is when the last attempt in progress ends (Unix seconds).
    """

    items: set[Key] = field(default_factory=set)
    links: set[Key] = field(default_factory=set)
    heads: dict[Key, str] = field(default_factory=dict)
    messages: set[str] = field(default_factory=set)
    tombstones: set[str] = field(default_factory=set)
    media_ids: set[str] = field(default_factory=set)
    objects: set[str] = field(default_factory=set)
    uploads: set[tuple[str, str]] = field(default_factory=set)
    edge: set[tuple[str, str]] = field(default_factory=set)
    lease_until: int = 0

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is left but tombstones and links."""
        return not (self.items or self.heads or self.objects or self.uploads)

    def take(self, message_id: str, claim: Claim) -> None:
        """Add what was claimed of a partition."""
        self.items |= {(one["pk"], one["sk"]) for one in claim.items if one["sk"] != ERASED}
        for item in claim.items:
            self.lease_until = max(self.lease_until, int(item.get("lease_until") or 0))
            self.media_ids |= {str(item["provider_media_id"])} if item.get("provider_media_id") else set()
            self.objects |= {str(item[name]) for name in ("raw_s3_key", "text_s3_key") if item.get(name)}
            if item.get("s3_key"):
                self.edge.add((str(item["s3_key"]).partition("/")[0], message_id))
        if claim.whole:
            self.messages.add(message_id)
        if any(item["sk"] == ERASED for item in claim.items):
            self.tombstones.add(message_id)

    def take_objects(self, keys: Iterable[str]) -> None:
        """Add objects of the bucket."""
        for key in keys:
            self.objects.add(key)
            prefix, _, message_id, _ = key.split("/", 3)
            if prefix in CLASSES:
                self.edge.add((prefix, message_id))

    def add(self, later: "Found") -> None:
        """Add what a later look has found; what was seen before counts once."""
        for name in ("items", "links", "heads", "messages", "objects", "uploads"):
            setattr(self, name, getattr(self, name) | getattr(later, name))

    def counts(self) -> dict[str, int]:
        """Count everything, by kind."""
        kinds = Counter(kind_of(*key) for key in self.items | self.links)
        prefixes = Counter(key.partition("/")[0] for key in self.objects)
        return {
            **{kind: kinds[kind] for kind in KINDS},
            **{f"objects_{prefix}": prefixes[prefix] for prefix in PREFIXES},
            "uploads_aborted": len(self.uploads),
            "group_previews": len(self.heads),
            "tombstones": len(self.messages),
        }


def claimed(items: Iterable[Item], contact: Contact, own: Collection[str]) -> Claim:
    """Say what of a partition `MSG#<id>` goes; `own` holds the ids of messages that are known to be the contact's.

    The message decides over all that stands beside it. Where it never came, or is erased already, the partition goes
    when everything in it is the contact's: a group message has statuses of others.
    """
    listed = list(items)
    by_sk = {item["sk"]: item for item in listed}
    mine = [item for item in listed if is_mine(item, contact, own)]
    decisive = [by_sk[sk] for sk in (MESSAGE, ERASED) if sk in by_sk]
    if decisive:
        whole = any(item in mine for item in decisive)
    else:
        whole = bool(mine) and all(item in mine or item["sk"] == MEDIA for item in listed)
    return Claim(whole, tuple(listed if whole else mine))


def is_mine(item: Item, contact: Contact, own: Collection[str] = ()) -> bool:
    """Tell whether an item of a partition `MSG#<id>` is the contact's by itself, or points to one of `own`."""
    sk: str = item["sk"]
    if sk == MESSAGE:
        return contact.has_message(item) or item.get("parent_id") in own
    if sk == ERASED:
        return item.get("phone_number_id") == contact.number and item.get("contact_id") in contact.ids
    if sk.startswith("STATUS#"):
        return contact.has_status(sk) and item.get("phone_number_id") == contact.number
    return (sk == ALIAS or sk.startswith(CHANGES)) and item.get("message_id") in own


def concerns(raw: str, contact: Contact, own: Collection[str], media_ids: Collection[str]) -> bool:
    """Tell whether what Meta sent names the contact, a message or a medium of theirs.

    It need not be JSON. What names other numbers only is none of this contact's, whoever is in it.
    """
    text = _SLASH.sub("/", raw)
    numbers = set(_NUMBER.findall(text))
    if numbers and contact.number not in numbers:
        return False
    tokens = {token.rstrip(".:,-") for token in _TOKEN.findall(text)} | set(_DIGITS.findall(text))
    return any(
        token in media_ids or (hashed := digest(contact.number, token)) in contact.ids or hashed in own
        for token in tokens
    )


def tombstone(message_id: str, contact: Contact, now: int, days: int, lease_until: int) -> dict[str, Any]:
    """Make the item that keeps a message from coming back, and lets a later run find what comes all the same."""
    return {
        "pk": f"MSG#{message_id}",
        "sk": ERASED,
        "ttl": now + days * 24 * 3600,
        "phone_number_id": contact.number,
        "contact_id": contact.asked_id,
        "lease_until": lease_until,
    }


def folder(prefix: str, number: str, message_id: str) -> str:
    """Give the S3 prefix under which all objects of a message lie, whichever attempt stored them."""
    return object_key(prefix, number, message_id, "")


def number_folder(prefix: str, number: str) -> str:
    """Give the S3 prefix of all objects of a class and number."""
    return folder(prefix, number, "x").removesuffix("x/")


def edge_paths(edge: Collection[tuple[str, str]], number: str) -> list[str]:
    """Give the paths to invalidate at CloudFront for these classes and message ids.

    The file name of a download is part of the cache key, so every path needs a wildcard; under a message's folder
    it covers all attempts as well.
    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/invalidation-specifying-objects.html
    """
    if len(edge) <= FEW_PATHS:
        return sorted(f"/{folder(prefix, number, message_id)}*" for prefix, message_id in edge)
    classes = {prefix for prefix, _ in edge}
    return sorted(f"/{number_folder(prefix, number)}*" for prefix in classes)


def kind_of(pk: str, sk: str) -> str:
    """Name what the item at a key is: one of KINDS."""
    if pk.startswith(OF_NUMBER):
        return "contact_aliases" if sk.startswith(LINK) or pk.startswith("ALIASES#") else "conversations"
    return next((kind for start, kind in _KIND_BY_SK.items() if sk.startswith(start)), "others")
