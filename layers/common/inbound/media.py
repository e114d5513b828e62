"""Ids, keys, and the one rule that finds media in a message. Pure: bytes and dictionaries in, values out."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from typing_extensions import TypedDict

# https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages/image
# and its siblings: the types whose object holds a media id. A voice note is "audio".
MEDIA_TYPES = frozenset({"image", "audio", "video", "document", "sticker"})

# How long Meta keeps the media of a webhook, seconds; a "No Storage" number has one hour.
# https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media
KEPT_BY_META = 7 * 24 * 3600
KEPT_WITHOUT_STORAGE = 3600

_KEY_PART_BYTES = 128
_ID_LENGTH = 26
# Meta's ids are digits; anything else that cannot change the meaning of a URL path is let through as well.
_MEDIA_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:=-]{0,255}", re.ASCII)
_OBJECT_KEY_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}", re.ASCII)
_CONTACT_ID = re.compile(r"[a-z2-7]{26}", re.ASCII)
_HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class MediaObject(NamedTuple):
    """Where a message carries media: its kind (image, audio, video, document, sticker) and Meta's object as it came."""

    kind: str
    fields: Mapping[str, Any]

    @property
    def media_id(self) -> str | None:
        """The media id, trimmed, or None when the object has none."""
        return media_id_of(self.fields)


class Metadata(TypedDict):
    """What is known of media; `null` is what is not."""

    type: str
    mime_type: str | None
    filename: str
    size: int | None
    caption: str | None
    sha256: str | None


def digest(*parts: str) -> str:
    """Hash parts into 26 characters of lower-case base32: URL-safe, and not to be guessed or read back."""
    hashed = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(hashed)[:_ID_LENGTH].decode("ascii").lower()


def message_id(phone_number_id: str, wamid: str) -> str:
    """Give the id under which a message of a number is stored and addressed; the same for every redelivery."""
    return digest(phone_number_id, wamid)


def contact_id(phone_number_id: str, key: str) -> str:
    """Give the id of a contact of a number; `key` is the group id, else BSUID, else phone number."""
    return digest(phone_number_id, key)


def is_contact_id(text: str) -> bool:
    """Tell whether a text could be a contact's id: what callers name goes into no key before."""
    return _CONTACT_ID.fullmatch(text) is not None


def link_keys(phone_number_id: str, contact: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Give the keys of what leads from a contact to the same person's user id, and to their phone number."""
    number = key_part(phone_number_id)
    return (f"CONV#{number}", f"ALIAS#{contact}"), (f"ALIASES#{number}", contact)


def key_part(text: str) -> str:
    """Make a foreign string fit to stand in a table key: as it is, or hashed when long or not valid UTF-8."""
    try:
        short = len(text.encode("utf-8")) <= _KEY_PART_BYTES
    except UnicodeEncodeError:
        short = False
    return text if short else digest(text)


def object_key(prefix: str, phone_number_id: str, message: str, name: str) -> str:
    """Give the S3 key `prefix/number/message/name`; a number that is not plainly one path segment is hashed."""
    number = phone_number_id if _OBJECT_KEY_PART.fullmatch(phone_number_id) else digest(phone_number_id)
    return f"{prefix}/{number}/{message}/{name}"


def media_id_of(fields: Mapping[str, Any]) -> str | None:
    """Read the `id` of Meta's media object: a string, trimmed (a bare number is accepted)."""
    value = fields.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (value.strip() or None) if isinstance(value, str) else None


def is_media_id(text: str | None) -> bool:
    """Tell whether a text may stand in a Graph URL as a media id."""
    return text is not None and _MEDIA_ID.fullmatch(text) is not None


def media_objects(message: Mapping[str, Any]) -> list[MediaObject]:
    """Find the media of a message: `message[type]`, with a named place of their own for edits and flow replies.

    No other key is looked at. The object of a media type is given even when it has no id.
    """
    kind = message.get("type")
    if kind == "edit":
        edited = _mapping(_mapping(message.get("edit")).get("message"))
        return media_objects(edited) if edited.get("type") != "edit" else []
    if kind == "interactive":
        return list(_flow_media(_mapping(message.get("interactive"))))
    if isinstance(kind, str) and kind in MEDIA_TYPES:
        return [MediaObject(kind, _mapping(message.get(kind)))]
    return []


def kind_of(mime_type: object) -> str:
    """Give the kind that suits a MIME type: image, audio, video, else document."""
    family = mime_type.partition("/")[0].strip().lower() if isinstance(mime_type, str) else ""
    return family if family in {"image", "audio", "video"} else "document"


def sha256_hex(text: object) -> str | None:
    """Read a SHA-256 as Meta writes it, hex (Graph) or base64 (webhooks); None when it is neither."""
    if not isinstance(text, str):
        return None
    text = text.strip()
    if _HEX_SHA256.fullmatch(text):
        return text.lower()
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None
    return raw.hex() if len(raw) == hashlib.sha256().digest_size else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _flow_media(interactive: Mapping[str, Any]) -> Iterator[MediaObject]:
    """Find the media of a flow reply: the answers of `nfm_reply.response_json` that are lists of media objects.

    The names of the answers are the flow author's, so an object counts as media when it has an id and a MIME type.
    """
    reply = _mapping(interactive.get("nfm_reply")).get("response_json")
    try:
        answers = json.loads(reply) if isinstance(reply, str) else reply
    except (ValueError, RecursionError):
        return
    seen: set[str] = set()
    for answer in _mapping(answers).values():
        for item in answer if isinstance(answer, list) else [answer]:
            found = _flow_object(_mapping(item))
            if found and found.media_id not in seen:
                seen.add(str(found.media_id))
                yield found


def _flow_object(item: Mapping[str, Any]) -> MediaObject | None:
    mime_type = item.get("mime_type")
    if media_id_of(item) is None or not isinstance(mime_type, str):
        return None
    fields = {**item, "filename": item.get("filename") or item.get("file_name")}
    return MediaObject(kind_of(mime_type), fields)
