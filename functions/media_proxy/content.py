"""What bytes are, and how they may be served: type, class, disposition, file name. Pure.

The sender controls the file name, the declared type and the bytes. Only what is on the allow-list *and* begins
like what it claims to be is shown inline; all else is a download of unknown type.
"""

import re
import time
import unicodedata
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args
from urllib.parse import quote

from inbound import media
from inbound.media import MEDIA_TYPES

if TYPE_CHECKING:
    from inbound.messages import Message

Prefix = Literal["inline", "pdf", "file"]
PREFIXES: Final[tuple[Prefix, ...]] = get_args(Prefix)

ISO_MEDIA, OGG, MPEG_AUDIO, AAC, AMR, PDF = "iso-media", "ogg", "mpeg-audio", "aac", "amr", "pdf"
IMAGES = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})

# declared type → what its first bytes must be. Images are served as what their bytes are.
PLAYABLE = {
    "audio/aac": {AAC, ISO_MEDIA},
    "audio/amr": {AMR},
    "audio/mpeg": {MPEG_AUDIO},
    "audio/mp4": {ISO_MEDIA},
    "audio/ogg": {OGG},
    "audio/opus": {OGG},
    "video/3gpp": {ISO_MEDIA},
    "video/mp4": {ISO_MEDIA},
    "video/quicktime": {ISO_MEDIA},
}
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
UNKNOWN_TYPE = "application/octet-stream"
LONGEST_NAME = 120  # characters; browsers shorten further what their file system cannot hold

# The first bytes, and what they say. Where letters alone would do, a page can begin with them; so they must be as
# the format has them: "<!--ftyp" is no box of a sane length.
_SIGNATURES = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF.{4}WEBP", "image/webp"),
        (rb"\0\0..ftyp", ISO_MEDIA),
        (rb"OggS", OGG),
        (rb"ID3", MPEG_AUDIO),
        # The sync word of both; then version and layer, of which AAC has 0. Layer I looks like a byte order mark.
        (rb"\xff[\xe2-\xe5\xf2-\xf5\xfa-\xfd]", MPEG_AUDIO),
        (rb"\xff[\xf0\xf1\xf8\xf9]", AAC),
        (rb"#!AMR", AMR),
        (rb"%PDF-", PDF),
    )
)
_PAGE = re.compile(rb"<(!doctype|html|head|body|script|svg|\?xml)\b|<!--", re.IGNORECASE)
_GRAPH_JSON = re.compile(rb'\{\s*"(error|messaging_product|url|mime_type|sha256|file_size|id)"\s*:')
_CODECS = re.compile(r";\s*codecs=\"?([A-Za-z0-9.,-]{1,40})\"?", re.ASCII)
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


class Content(NamedTuple):
    """How an object is stored and served: class (the first part of its key), Content-Type, inline or not."""

    prefix: Prefix
    content_type: str

    @property
    def disposition(self) -> Literal["inline", "attachment"]:
        """Say whether a browser shows the object or saves it."""
        return "attachment" if self.prefix == "file" else "inline"


def base_type(mime_type: str | None) -> str:
    """Give a MIME type without its parameters, in lower case."""
    return (mime_type or "").partition(";")[0].strip().lower()


def sniff(head: bytes) -> str | None:
    """Tell from its first bytes what a file is: an image's MIME type or a family name; None when not known."""
    return next((kind for signature, kind in _SIGNATURES if signature.match(head)), None)


def classify(mime_type: str | None, head: bytes) -> Content:
    """Decide from the declared type and the first bytes how a file may be served."""
    declared, found = base_type(mime_type), sniff(head)
    if declared.startswith("image/") and found in IMAGES:
        return Content("inline", str(found))
    if found in PLAYABLE.get(declared, ()):
        return Content("inline", declared + _codecs(mime_type))
    if declared == "application/pdf" and found == PDF:
        return Content("pdf", declared)
    return Content("file", UNKNOWN_TYPE)


def is_answer_instead(mime_type: str | None, head: bytes) -> bool:
    """Tell whether bytes begin like a web page or Graph's JSON although the media is declared as neither."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if _PAGE.match(start):
        return not base_type(mime_type).endswith(("/html", "/xml", "+xml"))
    return _GRAPH_JSON.match(start) is not None and base_type(mime_type) != "application/json"


def kind_of(message: "Message") -> str:
    """Give the kind of a message's media: image, audio, video, document or sticker."""
    return message.media_kind or (message.type if message.type in MEDIA_TYPES else media.kind_of(message.mime_type))


def file_name(message: "Message", mime_type: str | None = None) -> str:
    """Give a safe file name for a message's media: the sender's, cleaned, or one made of kind and time.

    `mime_type` is what is known of the file besides, for a message that does not say.
    """
    cleaned = clean_name(message.filename or "")
    if cleaned:
        return cleaned
    moment = time.strftime("%Y-%m-%d-%H%M%S", time.gmtime(int(message.timestamp)))
    return f"{kind_of(message)}-{moment}.{EXTENSIONS.get(base_type(message.mime_type or mime_type), 'bin')}"


def content_disposition(disposition: str, name: str) -> str:
    """Write the header with the name in both forms.

    https://www.rfc-editor.org/rfc/rfc6266 and https://www.rfc-editor.org/rfc/rfc8187
    """
    plain = "".join(char if char.isascii() and char.isprintable() and char not in '"%\\' else "_" for char in name)
    return f"{disposition}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def _codecs(mime_type: str | None) -> str:
    found = _CODECS.search(mime_type or "")
    if not found:
        return ""
    return f'; codecs="{found[1]}"' if "," in found[1] else f"; codecs={found[1]}"


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
