"""Items of the table → what is answered. Pure: time comes from outside."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from inbound.errors import InboundError, InternalError
from inbound.media import MEDIA_TYPES, contact_id
from inbound.media_states import BY_CODE, FAILED, WAITING, known_error, servable
from inbound.metadata import described
from inbound.problems import problem
from inbox import content, shapes

if TYPE_CHECKING:
    from inbound.messages import Conversation, Message, Status
    from inbound.messages import Media as MediaItem
    from inbox.contacts import Contact
    from inbox.reading import Shown
    from inbox.records import Found

# The history's stand-in for media that may still come.
PLACEHOLDER = "media_placeholder"
STATUSES = ("sent", "delivered", "read", "played", "failed")  # in the order in which they happen


@dataclass(frozen=True, slots=True)
class Beside:
    """What is told of a message beside itself.

    `edit` is the newest edit, with the time at which it was made, `revoked_at` when it was deleted (Unix seconds).
    """

    statuses: "Iterable[Status]" = ()
    edit: "Found | None" = None
    revoked_at: int | None = None
    further: "Iterable[Found]" = ()
    quoted: "Found | None" = None


def message_of(found: "Found", beside: Beside, now: int) -> shapes.Message:
    """Give a message as it is answered. `now` is Unix seconds."""
    message = found.message
    answer: dict[str, Any] = {
        "message_id": message.message_id,
        "wamid": message.wamid,
        "phone_number_id": message.phone_number_id,
        "contact_id": message.contact_id or "",
        "direction": message.direction,
        "type": message.type,
        "timestamp": int(message.timestamp),
        **_said(found, now),
        **_parts(message, beside, now),
        "further_media": [_further(one, now) for one in beside.further] or None,
        "edited": None if beside.edit is None else _edited(beside.edit, now),
        "revoked": None if beside.revoked_at is None else {"timestamp": beside.revoked_at},
        **_progress(message, beside.statuses),
        "history": message.history,
        "truncated": (message.raw_s3_key or message.text_s3_key) is not None or None,
    }
    return cast("shapes.Message", _present(answer))


def conversation_of(contact: "Contact", heads: "Sequence[Conversation]", last: "Shown | None") -> shapes.Conversation:
    """Give a conversation as it is answered, from its heads (newest first) and its newest message."""
    head, message = heads[0], None if last is None else last.found.message
    in_group = message is not None and message.group_id is not None
    answer = {
        "contact_id": contact.own_id,
        "phone_number_id": contact.number,
        "kind": "group" if in_group else "person",
        "timestamp": int(head.timestamp),
        "preview": head.preview or "",
        "name": next((one.name for one in heads if one.name), None),
        "phone": None if message is None or in_group else message.contact_phone,
        "last_message": None if last is None else last.answer,
    }
    return cast("shapes.Conversation", _present(answer))


def media_of(found: "Found", now: int) -> shapes.Media:
    """Give what is known of a message's media, and whether it is here."""
    message, media = found
    answer = {
        **described(message, media),
        "voice": message.voice or None,
        "animated": message.animated or None,
        **_state(message, media, now),
    }
    return cast("shapes.Media", _present(answer))


def has_media(message: "Message") -> bool:
    """Tell whether a message carries media, or stands for some that WhatsApp did not hand over."""
    return message.media_kind is not None or message.type in MEDIA_TYPES or message.type == PLACEHOLDER


def answered_id(message: "Message") -> str | None:
    """Give the message that this one answers, by our own id."""
    context = content.context(content.parsed(message.context), message.phone_number_id)
    return None if context is None else context.get("message_id")


def _said(found: "Found", now: int) -> dict[str, Any]:
    """Give who says what: what a quotation shows as well."""
    message = found.message
    media = has_media(message)
    return {
        "from": _sender(message),
        "text": None if message.type == "reaction" else message.text,
        "caption": message.caption,
        "media_src": media_src(message.message_id) if media else None,
        "media": media_of(found, now) if media else None,
    }


def media_src(message_id: str) -> str:
    """Give the path of a message's media."""
    return f"/media/messages/{message_id}"


def _sender(message: "Message") -> shapes.Person | None:
    if message.direction != "inbound":
        return None
    key = message.contact_user_id or message.contact_phone
    person = {
        "contact_id": None if key is None else contact_id(message.phone_number_id, key),
        "name": message.profile_name,
        "phone": message.contact_phone,
    }
    return cast("shapes.Person", _present(person)) or None


def _parts(message: "Message", beside: Beside, now: int) -> dict[str, Any]:
    number = message.phone_number_id
    context = content.context(content.parsed(message.context), number)
    if context is not None and beside.quoted is not None:
        context["quoted"] = _quoted(beside.quoted, now)
    return {
        "context": context,
        "referral": content.referral(content.parsed(message.referral)),
        "errors": content.faults(content.parsed(message.errors)),
        **content.part_of(message.type, content.parsed(message.raw), number),
    }


def _quoted(found: "Found", now: int) -> shapes.Quoted:
    message = found.message
    shown = {"message_id": message.message_id, "direction": message.direction, "type": message.type}
    said = {name: value for name, value in _said(found, now).items() if name != "media_src"}
    return cast("shapes.Quoted", _present({**shown, **said}))


def _further(found: "Found", now: int) -> shapes.FurtherMedia:
    own_id = found.message.message_id
    return {"message_id": own_id, "media_src": media_src(own_id), "media": media_of(found, now)}


def _edited(found: "Found", now: int) -> shapes.Edited:
    """Give an edit; of media only where it brings some, for most edits change a text."""
    message = found.message
    own_id, brings_media = message.message_id, message.provider_media_id is not None
    answer = {
        "message_id": own_id,
        "timestamp": int(message.timestamp),
        "text": message.text,
        "caption": message.caption,
        "media_src": media_src(own_id) if brings_media else None,
        "media": media_of(found, now) if brings_media else None,
    }
    return cast("shapes.Edited", _present(answer))


def _progress(message: "Message", statuses: "Iterable[Status]") -> dict[str, Any]:
    """Give how far an outbound message came: of each recipient, and the furthest of all."""
    ordered = sorted(statuses, key=lambda one: (int(one.timestamp), _rank(one.status)))
    if not ordered:
        return {}
    furthest = max((one.status for one in ordered), key=_rank)
    return {
        "status": furthest if furthest in STATUSES else None,
        "statuses": [_status(one, of_group=message.group_id is not None) for one in ordered],
    }


def _rank(status: str) -> int:
    return STATUSES.index(status) if status in STATUSES else -1


def _status(status: "Status", *, of_group: bool) -> shapes.Status:
    answer = {
        "status": status.status,
        "timestamp": int(status.timestamp),
        "contact_id": status.sk.rpartition("#")[2] if of_group else None,
        "errors": content.faults(content.parsed(status.errors)),
    }
    return cast("shapes.Status", _present(answer))


def _state(message: "Message", media: "MediaItem | None", now: int) -> dict[str, Any]:
    """Say whether media is here, may still come by itself, or will not."""
    if media is not None and servable(media, now):
        return {"state": "ready"}
    if message.media_unavailable is not None:
        error = BY_CODE.get(message.error_code or "", InternalError)()
        return {"state": "failed", "error": _fault(error, settled=True)}
    error = None if media is None else known_error(media)
    if media is not None and error is not None and media.status == FAILED:
        return {"state": "failed", "error": _fault(error, settled=True)}
    if media is not None and error is not None and media.status == WAITING:
        at = media.next_attempt_at
        retry_at = None if at is None else int(at)
        return {"state": "pending", "error": _fault(error, settled=False), "retry_at": retry_at}
    return {"state": "pending"}


def _fault(error: InboundError, *, settled: bool) -> shapes.MediaFault:
    answer = problem(error).body
    return {"code": answer["code"], "title": answer["title"], "retryable": not settled and bool(answer["retryable"])}


def _present(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what has nothing to say."""
    return {name: value for name, value in answer.items() if value is not None}
