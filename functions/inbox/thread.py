"""The messages of one conversation, and single ones: whose → which → read → answered."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from inbound.batches import in_parallel
from inbound.errors import ConversationNotFound, MessageNotFound
from inbound.media import is_contact_id, link_keys
from inbox import entries, shapes
from inbox.contacts import Contact, contact_of, heads_of
from inbox.entries import Entry, Page
from inbox.places import tokens_after
from inbox.reading import messages
from inbox.records import Found, Records, head_key
from inbox.request import Window

if TYPE_CHECKING:
    from inbound.access import Scope

UNKNOWN = "There is no such conversation."
NOBODY = "nobody"


def listing_of(number: str, contact_id: str) -> str:
    """Name the listing of a conversation, for its tokens."""
    return f"CONV#{number}#{contact_id}"


def thread(number: str, asked_id: str, window: Window, scope: "Scope", records: Records, now: int) -> shapes.Thread:
    """Give a part of a conversation. Raises `ConversationNotFound` for unknown and foreign ones alike."""
    if not is_contact_id(asked_id):
        raise ConversationNotFound(UNKNOWN)
    stored = records.at([*link_keys(number, asked_id), head_key(number, asked_id)])
    contact = contact_of(number, asked_id, stored)
    if not scope.lists(phone_number_id=number, contact_ids=contact.ids):
        raise ConversationNotFound(UNKNOWN)
    page = _page(contact, window, records)
    if not page.entries and not heads_of(contact, stored) and not _has_head(contact, records):
        raise ConversationNotFound(UNKNOWN)
    changes = entries.changes_of(_changes(contact, page, records))
    shown = messages(dict.fromkeys(page.ids, contact.ids), changes, records, now)
    page = entries.fitting(page, {one: len(json.dumps(own.answer)) for one, own in shown.items()})
    return {
        "contact_id": contact.own_id,
        "contact_ids": list(contact.ids),
        "messages": [shown[one].answer for one in page.ids if one in shown],
        **tokens_after(page, window, listing_of(number, asked_id), now),
    }


def message(asked_id: str, scope: "Scope", records: Records, now: int) -> shapes.Message:
    """Give one message, by its id or an old one. Raises `MessageNotFound` for unknown and foreign ones alike.

    Refusing takes the same calls, whatever the reason: from how long it takes nobody can tell whether there is one.
    """
    stored = records.partition(asked_id)
    found = stored.message(asked_id)
    if found is None or not _opens(scope, found, (found.message.contact_id,), asked_id):
        meant = stored.meant(asked_id)
        stored = records.partition(meant)
        found = stored.message(meant)
    contact = _contact_behind(found, records)
    if found is not None and _opens(scope, found, contact.ids, asked_id):
        own_id = found.message.message_id
        changes = entries.changes_of(stored.entries(own_id))
        shown = messages({own_id: contact.ids}, changes, records, now)
        if own_id in shown:
            return shown[own_id].answer
    raise MessageNotFound("There is no such message.")


def _page(contact: Contact, window: Window, records: Records) -> Page:
    """Read what is listed; a poll hears of changes as well."""
    after, one_more = window.after, window.limit + 1
    if after is None:
        listed = in_parallel(lambda one: records.newest(one, window.before, one_more), contact.listings("CONV"))
    else:
        listings = [*contact.listings("CONV"), *contact.listings("CHANGES")]
        listed = in_parallel(lambda one: records.after(one, after, one_more), listings)
    return entries.page(listed, window.limit, newest_first=window.newest_first)


def _changes(contact: Contact, page: Page, records: Records) -> list[Entry]:
    """Read what was done to the messages of a page."""
    span = entries.when_changed(page.entries)
    if span is None:
        return []
    listed = in_parallel(lambda one: records.between(one, *span), contact.listings("CHANGES"))
    return [entry for some in listed for entry in some]


def _has_head(contact: Contact, records: Records) -> bool:
    stored = records.at(head_key(contact.number, one) for one in contact.ids)
    return bool(heads_of(contact, stored))


def _contact_behind(found: Found | None, records: Records) -> Contact:
    """Give the contact that a message belongs to; of nobody's, one that leads nowhere."""
    number, own_id = (found.message.phone_number_id, found.message.contact_id) if found else (NOBODY, NOBODY)
    own_id = own_id or NOBODY
    return contact_of(number, own_id, records.at(link_keys(number, own_id)))


def _opens(scope: "Scope", found: Found, contact_ids: Iterable[str | None], asked_id: str) -> bool:
    """Tell whether a message may be seen under any of these ids of its contact."""
    number, ids = found.message.phone_number_id, (asked_id, found.message.message_id)
    return any(scope.opens(phone_number_id=number, contact_id=one, message_ids=ids) for one in contact_ids)
