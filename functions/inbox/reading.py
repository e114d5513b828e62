"""Messages with all that stands beside them, in as few calls as there are kinds of things to know.

First the messages themselves with their media, tombstones and newest edits; then what these name: statuses, further
media, the messages that they answer. Each step is one BatchGetItem for 100 items, whatever the number of messages.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from inbound.messages import Key
from inbox import facts, shapes
from inbox.entries import UNCHANGED, Changes
from inbox.facts import STATUSES, Beside
from inbox.records import STATUS, Found, Records, Stored, message_keys


class Shown(NamedTuple):
    """A message as the table has it, and as it is answered."""

    found: Found
    answer: shapes.Message


def messages(
    wanted: Mapping[str, Collection[str]], changes: Mapping[str, Changes], records: Records, now: int
) -> dict[str, Shown]:
    """Give messages as they are answered, by id; `wanted` says to which contacts each must belong, or is left out."""
    edits = [changes[one].edited for one in wanted if one in changes]
    stored = records.at(message_keys([*wanted, *(edit[1] for edit in edits if edit is not None)]))
    found = {one: own for one, contacts in wanted.items() if (own := _of(contacts, stored, one)) is not None}
    named = records.at(key for one, own in found.items() for key in _named_keys(own, wanted[one]))
    in_groups = records.statuses([one for one, own in found.items() if _is_to_group(own)])

    def beside(message_id: str, own: Found) -> Beside:
        contacts, known = wanted[message_id], changes.get(message_id, UNCHANGED)
        answered = facts.answered_id(own.message)
        return Beside(
            statuses=[*named.statuses(message_id), *in_groups.statuses(message_id)],
            edit=None if known.edited is None else _of(contacts, stored, known.edited[1]),
            revoked_at=known.revoked,
            further=[more for one in own.message.further_media or () if (more := named.message(str(one))) is not None],
            quoted=None if answered is None else _of(contacts, named, answered),
        )

    return {one: Shown(own, facts.message_of(own, beside(one, own), now)) for one, own in found.items()}


def _of(contacts: Collection[str], stored: Stored, message_id: str) -> Found | None:
    """Give a message if it belongs to one of these contacts: what it names may be anybody's."""
    found = stored.message(message_id)
    return found if found is not None and found.message.contact_id in contacts else None


def _named_keys(found: Found, contacts: Collection[str]) -> list[Key]:
    """Give the keys of what a message names; its statuses stand under who got it, which is one of its contacts."""
    message = found.message
    further = [str(one) for one in message.further_media or ()]
    answered = facts.answered_id(message)
    keys = message_keys([*further, *([] if answered is None else [answered])])
    if message.direction == "outbound" and message.group_id is None:
        keys += [(message.pk, f"{STATUS}{status}#{contact}") for status in STATUSES for contact in contacts]
    return keys


def _is_to_group(found: Found) -> bool:
    return found.message.direction == "outbound" and found.message.group_id is not None
