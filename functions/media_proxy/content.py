"""What bytes are, and how they may be served: type, class, disposition. Pure.

The sender controls the declared type and the bytes. Only what is on the allow-list *and* begins
like what it claims to be is shown inline; all else is a download of unknown type.
"""

import re
from typing import Final, Literal, NamedTuple, get_args
from urllib.parse import quote

from inbound.metadata import base_type

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
UNKNOWN_TYPE = "application/octet-stream"

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


class Content(NamedTuple):
    """How an object is stored and served: class (the first part of its key), Content-Type, inline or not."""

    prefix: Prefix
    content_type: str

    @property
    def disposition(self) -> Literal["inline", "attachment"]:
        """Say whether a browser shows the object or saves it."""
        return "attachment" if self.prefix == "file" else "inline"


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
