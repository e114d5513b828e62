"""Who a contact is: the ids of one person, who may be known by a phone number and by a user id. Pure.

https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids
"""

from typing import TYPE_CHECKING, NamedTuple

from inbound.media import key_part, link_keys

if TYPE_CHECKING:
    from inbound.messages import Conversation
    from inbox.records import Stored


class Contact(NamedTuple):
    """A contact of a number: the id that the conversation has, and all ids that lead to it."""

    number: str
    own_id: str
    ids: tuple[str, ...]

    def listings(self, kind: str) -> list[str]:
        """Give the listings of this contact: CONV for messages, CHANGES for what was done to them."""
        return [f"{kind}#{key_part(self.number)}#{one}" for one in self.ids]


def contact_of(number: str, contact_id: str, stored: "Stored") -> Contact:
    """Give the contact behind an id, from the items at `link_keys`."""
    of_user, of_phone = (stored.link(key) for key in link_keys(number, contact_id))
    ids = dict.fromkeys(one for one in (contact_id, of_user, of_phone) if one is not None)
    return Contact(number, of_user or contact_id, tuple(ids))


def heads_of(contact: Contact, stored: "Stored") -> "list[Conversation]":
    """Give the heads of a contact's ids, newest first."""
    heads = [head for one in contact.ids if (head := stored.head(contact.number, one)) is not None]
    return sorted(heads, key=lambda head: (int(head.timestamp), head.message_id), reverse=True)
