"""What is known of a message's media, whether or not its bytes are there: kind, name, type, size. Pure."""

import re
import time
import unicodedata
from typing import TYPE_CHECKING

from inbound import media as rules
from inbound.media import MEDIA_TYPES, Metadata

if TYPE_CHECKING:
    from inbound.messages import Media, Message

EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "video/3gpp": "3gp",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "application/pdf": "pdf",
    "text/plain": "txt",
    "application/zip": "zip",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
}
LONGEST_NAME = 120  # characters; browsers shorten further what their file system cannot hold

# Path separators, what Windows forbids, and quotes.
_FORBIDDEN = re.compile(r"[\\/:*?\"<>|]")
# Names of devices to Windows, whatever the extension.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file#naming-conventions
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)", re.IGNORECASE)
# Cc: control, Cf: format (right-to-left override and its kin), Cs: halves of surrogate pairs, Zl/Zp: line breaks.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# The two of them that words need: Persian and Indic scripts, and emoji of several parts.
_JOINERS = "\u200c\u200d"
# What looks like nothing: spaces (Zs), and fillers that count as letters or signs. A row of them pushes an extension
# out of sight.
_BLANKS = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_BLANKS += "\u115f\u1160\u2800\u3164\uffa0"
_GAP = re.compile(f"[{_BLANKS}]{{2,}}")
_AT_NO_EDGE = _BLANKS + _JOINERS + "."


def described(message: "Message", media: "Media | None") -> Metadata:
    """Give what is known of a message's media, whether or not its bytes are there."""
    return {
        "type": kind_of(message),
        "mime_type": message.mime_type or (media.content_type if media else None),
        "filename": file_name(message, media.content_type if media else None),
        "size": int(media.size) if media and media.size is not None else None,
        "caption": message.caption,
        "sha256": (media.sha256 if media else None) or rules.sha256_hex(message.sha256),
    }


def base_type(mime_type: str | None) -> str:
    """Give a MIME type without its parameters, in lower case."""
    return (mime_type or "").partition(";")[0].strip().lower()


def kind_of(message: "Message") -> str:
    """Give the kind of a message's media: image, audio, video, document or sticker."""
    return message.media_kind or (message.type if message.type in MEDIA_TYPES else rules.kind_of(message.mime_type))


def file_name(message: "Message", mime_type: str | None = None) -> str:
    """Give a safe file name for a message's media: the sender's, cleaned, or one made of kind and time.

    `mime_type` is what is known of the file besides, for a message that does not say.
    """
    cleaned = clean_name(message.filename or "")
    if cleaned:
        return cleaned
    moment = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime(int(message.timestamp)))
    return f"{kind_of(message)}-{moment}.{EXTENSIONS.get(base_type(message.mime_type or mime_type), 'bin')}"


def clean_name(name: str) -> str:
    """Drop path, control and direction characters, and shorten in the middle so that the extension stays."""
    name = name.replace("\\", "/").rpartition("/")[2]
    visible = "".join(char for char in name if char in _JOINERS or unicodedata.category(char) not in _HIDDEN)
    tidy = _GAP.sub(" ", _FORBIDDEN.sub("_", visible)).strip(_AT_NO_EDGE)
    return _shortened(f"_{tidy}" if _RESERVED.match(tidy) else tidy).rstrip(_AT_NO_EDGE)


def _shortened(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > 10:
        return name[:LONGEST_NAME]
    return f"{stem[: LONGEST_NAME - len(extension) - 1]}.{extension}"
