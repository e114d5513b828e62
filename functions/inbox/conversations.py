"""The conversations of a number: which → whose → newest message → answered."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from inbound.errors import ConversationNotFound
from inbound.media import is_contact_id, key_part, link_keys
from inbox import entries, facts, shapes
from inbox.contacts import Contact, contact_of, heads_of
from inbox.entries import Entry
from inbox.places import tokens_after
from inbox.reading import messages
from inbox.records import Records, Stored, head_key
from inbox.request import Window
from inbox.thread import UNKNOWN

if TYPE_CHECKING:
    from inbound.access import Scope
    from inbound.messages import Conversation


class Row(NamedTuple):
    """A contact, and the heads of all its ids, newest first."""

    contact: Contact
    heads: "list[Conversation]"


def listing_of(number: str) -> str:
    """Name the listing of a number's conversations."""
    return f"HEADS#{key_part(number)}"


def conversations(number: str, window: Window, scope: "Scope", records: Records, now: int) -> shapes.Conversations:
    """Give a part of the conversations; who may see one alone gets that one.

    Raises `ConversationNotFound` where the caller may see none of the number's.
    """
    page = entries.page([_listed(number, window, scope, records)], window.limit, newest_first=window.newest_first)
    rows = _rows(number, page.ids, records)
    last = messages({row.heads[0].message_id: row.contact.ids for row in rows.values()}, {}, records, now)
    shown = {
        one: facts.conversation_of(row.contact, row.heads, last.get(row.heads[0].message_id))
        for one, row in rows.items()
    }
    page = entries.fitting(page, {one: len(json.dumps(conversation)) for one, conversation in shown.items()})
    return {
        "conversations": [shown[one] for one in page.ids if one in shown],
        **tokens_after(page, window, listing_of(number), now),
    }


def _listed(number: str, window: Window, scope: "Scope", records: Records) -> list[Entry]:
    """Read what is listed: one entry more than asked for, if there is one."""
    if scope.conversation is not None:
        return _only(scope.conversation, number, window, scope, records)
    if not scope.opens(phone_number_id=number, contact_id=None, message_ids=()):
        raise ConversationNotFound(UNKNOWN)
    if window.after is None:
        return records.newest(listing_of(number), window.before, window.limit + 1)
    return records.after(listing_of(number), window.after, window.limit + 1)


def _only(one: str, number: str, window: Window, scope: "Scope", records: Records) -> list[Entry]:
    """Give the one conversation that a token opens, as the listing has it."""
    if not is_contact_id(one):
        raise ConversationNotFound(UNKNOWN)
    contact = _contacts(number, [one], records)[one]
    heads = heads_of(contact, _heads([contact], records))
    if not heads or not scope.lists(phone_number_id=number, contact_ids=contact.ids):
        raise ConversationNotFound(UNKNOWN)
    entry = Entry(f"{int(heads[0].timestamp):010d}#{heads[0].sk}", (heads[0].pk, heads[0].sk))
    return [entry] if window.holds(entry.place) else []


def _rows(number: str, ids: Iterable[str], records: Records) -> dict[str, Row]:
    """Read who these contacts are; who is listed under two ids is shown where the newer one stands."""
    contacts = _contacts(number, ids, records)
    stored = _heads(contacts.values(), records)
    rows = {one: Row(contact, heads_of(contact, stored)) for one, contact in contacts.items()}
    return {one: row for one, row in rows.items() if row.heads and row.heads[0].sk == one}


def _contacts(number: str, ids: Iterable[str], records: Records) -> dict[str, Contact]:
    wanted = list(ids)
    stored = records.at(key for one in wanted for key in link_keys(number, one))
    return {one: contact_of(number, one, stored) for one in wanted}


def _heads(contacts: Iterable[Contact], records: Records) -> Stored:
    return records.at(head_key(contact.number, one) for contact in contacts for one in contact.ids)
