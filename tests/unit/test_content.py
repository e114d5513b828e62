"""What a stranger's bytes are, how they may be served, and under which name."""

import re
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from inbound.messages import Message
from inbound.metadata import LONGEST_NAME, base_type, clean_name, file_name, kind_of
from media_proxy.content import UNKNOWN_TYPE, Content, classify, content_disposition, is_answer_instead, sniff
from tests.builders import ALL_SAMPLES, BROCHURE, DOCX, DRAWING, PHOTO, STICKER, TUNE, VIDEO, VOICE, Sample

JPEG, PNG, WEBP = PHOTO.content[:512], DRAWING.content[:512], STICKER.content[:512]
OGG, MP4, M4A, PDF = VOICE.content[:512], VIDEO.content[:512], TUNE.content[:512], BROCHURE.content[:512]
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00"
HTML = b"<!DOCTYPE html><html><script>alert(1)</script></html>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
SCRIPT = b"alert(document.domain)"
DOWNLOAD = Content("file", UNKNOWN_TYPE)

calm = settings(deadline=None, max_examples=150)
names = st.text(st.characters(), max_size=300)


def message(**fields: Any) -> Message:
    return Message("MSG#m", "MESSAGE", **{"type": "document", "timestamp": 1_790_800_000, **fields})


# --- type and class -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "prefix", "content_type"),
    [
        ("photo.jpg", "inline", "image/jpeg"),
        ("drawing.png", "inline", "image/png"),
        ("sticker.webp", "inline", "image/webp"),
        ("sticker-animated.webp", "inline", "image/webp"),
        ("voice.ogg", "inline", "audio/ogg; codecs=opus"),
        ("tune.m4a", "inline", "audio/mp4"),
        ("video.mp4", "inline", "video/mp4"),
        ("brochure.pdf", "pdf", "application/pdf"),
        ("letter.docx", "file", UNKNOWN_TYPE),
        ("note.txt", "file", UNKNOWN_TYPE),
    ],
)
def test_each_sample_is_served_as_what_it_is(sample: str, prefix: str, content_type: str) -> None:
    found = next(one for one in ALL_SAMPLES if one.name == sample)

    assert classify(found.mime_type, found.content[:512]) == (prefix, content_type)


@pytest.mark.parametrize(
    ("declared", "head", "served"),
    [
        ("audio/aac", b"\xff\xf1\x50\x80", "audio/aac"),
        ("audio/aac", b"\xff\xf9\x50\x80", "audio/aac"),
        ("audio/aac", M4A, "audio/aac"),
        ("audio/mpeg", b"ID3\x04\0\0", "audio/mpeg"),
        ("audio/mpeg", b"\xff\xfb\x90\x64", "audio/mpeg"),
        ("audio/amr", b"#!AMR\n", "audio/amr"),
        ("audio/opus", OGG, "audio/opus"),
        ("video/3gpp", MP4, "video/3gpp"),
        ("video/quicktime", MP4, "video/quicktime"),
        ("image/gif", GIF, "image/gif"),
        ("IMAGE/JPEG ; x=y", JPEG, "image/jpeg"),
        (" Video/MP4", MP4, "video/mp4"),
        ("image/jpeg", PNG, "image/png"),
        ("image/png", WEBP, "image/webp"),
        ("image/webp", b"RIFF\n\n\n\nWEBP", "image/webp"),
        ("video/mp4", b"\0\0\n\nftyp", "video/mp4"),
        ("image/x-unheard-of", JPEG, "image/jpeg"),
    ],
)
def test_what_may_be_shown_is_shown(declared: str, head: bytes, served: str) -> None:
    assert classify(declared, head) == ("inline", served)


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("text/html", HTML),
        ("application/xhtml+xml", HTML),
        ("image/svg+xml", SVG),
        ("image/png", SVG),
        ("text/xml", SVG),
        ("application/xml", SVG),
        ("text/javascript", SCRIPT),
        ("application/javascript", GIF + b"=1;" + SCRIPT),
        ("text/html", GIF + HTML),
        ("text/html", JPEG[:20] + HTML),
        ("text/html", PDF[:20] + HTML),
        ("application/pdf", HTML + PDF),
        ("application/pdf", b"\n" + PDF),
        ("image/jpeg", HTML + JPEG),
        ("image/jpeg", PDF),
        ("application/pdf", JPEG),
        ("video/mp4", HTML),
        ("video/mp4", OGG),
        ("audio/ogg", MP4),
        ("audio/mpeg", b"<html>"),
        ("image/webp", b"RIFF\0\0\0\0WAVE"),
        ("image/webp", b"JUNK\0\0\0\0WEBP" + HTML),
        ("image/heic", b"\0\0\0\x18ftypheic"),
        ("application/x-shockwave-flash", b"FWS\x09"),
        ("application/vnd.android.package-archive", b"PK\x03\x04"),
        ("multipart/mixed", HTML),
        ("", JPEG),
        (None, JPEG),
        (None, HTML),
        ("image/jpeg", b""),
        ("audio/mpeg", b"\xff"),
        ("video/mp4", MP4[4:]),
        ("video/mp4", b"<!--ftyp-->" + HTML),
        ("audio/aac", b"<p> ftyp" + HTML),
        ("audio/aac", b"\xff\xe1\x50\x80"),
        ("audio/mpeg", b"\xff\xfe" + "<html>".encode("utf-16-le")),
        ("image/gif", b"GIF88a" + HTML),
        ("image/bmp", b"BM" + HTML),
        ("image/png", "\ufeff<svg onload=alert(1)>".encode("utf-16-le")),
        ("image/png", b" " * 512 + SVG),
        ("application/pdf", b"<!--%PDF-1.7-->" + HTML),
        ("message/rfc822", b"MIME-Version: 1.0\r\n"),
        ("application/pdf; name=x/html", HTML),
        ("image/jpeg\r\nSet-Cookie: a=b", b""),
    ],
)
def test_all_else_is_a_download_of_unknown_type(declared: str | None, head: bytes) -> None:
    found = classify(declared, head)

    assert found == DOWNLOAD
    assert found.disposition == "attachment"


@pytest.mark.parametrize(
    ("declared", "head", "served"),
    [
        ("image/gif", GIF + b"=1;" + SCRIPT, ("inline", "image/gif")),
        ("image/svg+xml", GIF + SVG, ("inline", "image/gif")),
        ("application/pdf", PDF[:20] + HTML, ("pdf", "application/pdf")),
        ("image/jpeg", JPEG[:20] + HTML, ("inline", "image/jpeg")),
    ],
)
def test_a_polyglot_is_only_ever_served_as_the_harmless_half(
    declared: str, head: bytes, served: tuple[str, str]
) -> None:
    found = classify(declared, head)

    assert found == served
    assert found.disposition == "inline"


TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
MEDIA_TYPE = re.compile(rf'{TOKEN}/{TOKEN}(; {TOKEN}=({TOKEN}|"[^"\\\r\n]*"))?', re.ASCII)
"""https://www.rfc-editor.org/rfc/rfc9110#name-media-type."""

ALLOWED = {
    *("image/jpeg", "image/png", "image/gif", "image/webp"),
    *("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/opus"),
    *("video/3gpp", "video/mp4", "video/quicktime"),
    *("application/pdf", UNKNOWN_TYPE),
}


@calm
@given(
    st.sampled_from(["video/mp4", "audio/ogg", "image/png", "text/html", "application/pdf", "image/svg+xml"]) | names,
    st.sampled_from(["", "; codecs=", '; codecs="', ";codecs=", "; charset="]),
    names | st.sampled_from(["opus", "avc1.42E01E,mp4a.40.2", "avc1.42E01E, mp4a.40.2", 'x"; y=z', "a\r\nb: c"]),
    st.sampled_from([MP4, OGG, PNG, PDF, HTML, SVG, GIF]) | st.binary(max_size=32),
)
@example("video/mp4", '; codecs="', 'avc1.42E01E,mp4a.40.2"', MP4)
@example("video/mp4", '; codecs="', 'avc1.42E01E, mp4a.40.2"', MP4)
def test_a_content_type_is_always_well_formed_and_on_the_list(
    declared: str, parameter: str, value: str, head: bytes
) -> None:
    prefix, content_type = classify(declared + parameter + value, head)

    assert MEDIA_TYPE.fullmatch(content_type)
    assert base_type(content_type) in ALLOWED
    assert (prefix == "file") == (content_type == UNKNOWN_TYPE)
    assert (prefix == "pdf") == (content_type == "application/pdf")


BEGINNINGS = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
    "audio/aac": (b"\xff", b"\0\0"),
    "audio/amr": (b"#!AMR",),
    "audio/mpeg": (b"ID3", b"\xff"),
    "audio/mp4": (b"\0\0",),
    "audio/ogg": (b"OggS",),
    "audio/opus": (b"OggS",),
    "video/3gpp": (b"\0\0",),
    "video/mp4": (b"\0\0",),
    "video/quicktime": (b"\0\0",),
    "application/pdf": (b"%PDF-",),
}

MAGIC = [b"", b"<!--", b"\0\0\0 ftyp", b"<p> ftyp", b"RIFF1234WEBP", b"<!--1234WEBP", b"GIF89a", b"OggS", b"ID3"]
MAGIC += [b"\xff\xfb", b"\xff\xf1", b"#!AMR\n", b"%PDF-", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xfe<\0"]
heads = st.tuples(st.sampled_from(MAGIC), st.binary(max_size=16)).map(b"".join)


@calm
@given(st.sampled_from(sorted({"text/html", "image/svg+xml", *BEGINNINGS})) | names, heads)
def test_what_is_shown_is_on_the_list_and_begins_like_what_it_is_served_as(declared: str, head: bytes) -> None:
    found = classify(declared, head)

    assert found == DOWNLOAD or head.startswith(BEGINNINGS[base_type(found.content_type)])


@calm
@given(st.binary(max_size=64))
def test_sniffing_never_fails(head: bytes) -> None:
    assert sniff(head) is None or isinstance(sniff(head), str)


# --- an answer instead of the file --------------------------------------------------------------------------

GRAPH_ERROR = b'{"error":{"message":"(#4) Application request limit reached","code":4}}'
LOCATION = b'{\n  "messaging_product": "whatsapp",\n  "url": "https://lookaside.fbsbx.com/"}'


@pytest.mark.parametrize("declared", ["image/jpeg", "video/mp4", "application/pdf", DOCX, None, ""])
@pytest.mark.parametrize(
    "head",
    [
        HTML,
        b"\xef\xbb\xbf\r\n\t <HTML>",
        b"<html lang=en>",
        b"<head>",
        b"<body class=x>",
        b"<script>",
        b"<!-- sorry -->",
        SVG,
        GRAPH_ERROR,
        LOCATION,
        b'{"id":"1"}',
    ],
)
def test_a_page_or_graphs_json_is_not_the_file(declared: str | None, head: bytes) -> None:
    assert is_answer_instead(declared, head)


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("text/html", HTML),
        ("application/xhtml+xml; charset=utf-8", HTML),
        ("image/svg+xml", SVG),
        ("text/xml", SVG),
        ("application/xml", SVG),
        ("application/json", GRAPH_ERROR),
        ("text/plain", b"<3 you"),
        ("text/plain", b"<htmlish>"),
        ("text/plain", b"{}"),
        ("text/plain", b'{"name": "x"}'),
        ("image/jpeg", b""),
    ],
)
def test_what_is_declared_as_such_or_only_looks_alike_is_the_file(declared: str, head: bytes) -> None:
    assert not is_answer_instead(declared, head)


@pytest.mark.parametrize("sample", ALL_SAMPLES, ids=lambda sample: sample.name)
def test_no_sample_looks_like_an_answer(sample: Sample) -> None:
    assert not is_answer_instead(sample.mime_type, sample.content[:512])


# --- file names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_name", "clean"),
    [
        ("report.pdf", "report.pdf"),
        ("Überweisung März.pdf", "Überweisung März.pdf"),
        ("請求書.pdf", "請求書.pdf"),
        ("👩‍👩‍👧.jpg", "👩‍👩‍👧.jpg"),
        ("../../etc/passwd", "passwd"),
        (r"C:\Users\me\report.pdf", "report.pdf"),
        ("a/b\\c.txt", "c.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\u2066b\u2069\u200f.txt", "ab.txt"),
        ("a\r\nSet-Cookie: x=y.txt", "aSet-Cookie_ x=y.txt"),
        ("a\u2028b\u2029c\x85d\x00e.txt", "abcde.txt"),
        ('say "hi".txt', "say _hi_.txt"),
        ("a<b>|c?*:.txt", "a_b__c___.txt"),
        ("invoice.pdf\u00a0\u2003 \u3000\u3164\u3164\u2800.exe", "invoice.pdf .exe"),
        ("«\u00a0Prix\u00a0».pdf", "«\u00a0Prix\u00a0».pdf"),
        ("می\u200cرویم.pdf", "می\u200cرویم.pdf"),
        ("עברית.pdf", "עברית.pdf"),
        ("a\u202a\u202b\u202c\u202d\u2067\u2068\u061c\u200e\u200b\ufeff\u00adb.txt", "ab.txt"),
        ("\u200d.bashrc", "bashrc"),
        ("\u3164\u00a0.\u200c\u3000", ""),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("com1 .pdf", "_com1 .pdf"),
        ("LPT³.pdf", "_LPT³.pdf"),
        (" . aux.h", "_aux.h"),
        ("console.log", "console.log"),
        ("com10.pdf", "com10.pdf"),
        ("..%2f..%2fetc%2fpasswd", "%2f..%2fetc%2fpasswd"),
        ("x.pdf'; filename*=UTF-8''y.html", "x.pdf'; filename_=UTF-8''y.html"),
        ("~/.ssh/id", "id"),
        ("  .hidden. ", "hidden"),
        ("half \ud83d pair.txt", "half pair.txt"),
        ("..", ""),
        ("///", ""),
        ("\u202e", ""),
        ("", ""),
    ],
)
def test_a_name_keeps_its_words_and_loses_its_tricks(given_name: str, clean: str) -> None:
    assert clean_name(given_name) == clean


NAMES_OF_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
NAMES_OF_DEVICES |= {f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"}


@calm
@given(names | st.tuples(st.sampled_from(sorted(NAMES_OF_DEVICES)), names).map("".join))
@example("x" * (LONGEST_NAME - 1) + " .y")
@example("x" * (LONGEST_NAME - 1) + ". " + "y" * 20)
def test_a_clean_name_is_harmless_and_short(name: str) -> None:
    clean = clean_name(name)

    assert len(clean) <= LONGEST_NAME
    assert not set(clean) & set('/\\"<>|?*:\r\n\0')
    assert not clean or (clean[0] + clean[-1]).strip(". \u00a0\u3000\u3164\u200c\u200d") == clean[0] + clean[-1]
    assert "  " not in clean
    assert not NAMES_OF_DEVICES & {clean.partition(".")[0].rstrip().lower()}
    seen = {unicodedata.category(char) for char in clean if char not in "\u200c\u200d"}
    assert seen.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


@pytest.mark.parametrize("filler", [".", "\u200d", " ", "\u3164", "x", "/", "\u202e", "con."])
def test_a_name_of_a_webhooks_whole_size_is_cleaned_at_once(filler: str) -> None:
    name = filler * (300_000 // len(filler)) + "x.pdf"
    started = time.process_time()

    clean = clean_name(name)

    assert len(clean) <= LONGEST_NAME
    assert clean.endswith(".pdf")
    assert time.process_time() - started < 2


@calm
@given(
    st.text(st.characters(categories=["L", "N"]), min_size=LONGEST_NAME, max_size=400),
    st.sampled_from(["pdf", "docx", "jpeg", "tar-gz-x"]),
)
def test_a_name_is_shortened_before_its_extension(stem: str, extension: str) -> None:
    clean = clean_name(f"{stem}.{extension}")

    assert len(clean) == LONGEST_NAME
    assert clean.endswith(f".{extension}")
    assert stem.startswith(clean.removesuffix(f".{extension}"))


@pytest.mark.parametrize("name", ["x" * 500, "x." + "y" * 500, "x" * 500 + "." + "y" * 11])
def test_a_long_name_without_an_extension_is_cut(name: str) -> None:
    assert clean_name(name) == name[:LONGEST_NAME]


def test_the_senders_name_is_used_first() -> None:
    assert file_name(message(filename="../report.pdf", mime_type="image/png")) == "report.pdf"


@pytest.mark.parametrize(
    ("fields", "made"),
    [
        ({"type": "image", "mime_type": "image/jpeg"}, "image-2026-09-30-202640.jpg"),
        ({"type": "audio", "mime_type": "audio/ogg; codecs=opus"}, "audio-2026-09-30-202640.ogg"),
        ({"type": "video", "mime_type": "VIDEO/MP4"}, "video-2026-09-30-202640.mp4"),
        ({"type": "sticker", "mime_type": "image/webp"}, "sticker-2026-09-30-202640.webp"),
        ({"type": "document", "mime_type": DOCX}, "document-2026-09-30-202640.docx"),
        ({"type": "document", "mime_type": "application/x-unheard-of"}, "document-2026-09-30-202640.bin"),
        ({"type": "image"}, "image-2026-09-30-202640.bin"),
        ({"type": "document", "filename": "..", "mime_type": "application/pdf"}, "document-2026-09-30-202640.pdf"),
        ({"type": "image", "timestamp": 0, "mime_type": "image/png"}, "image-1970-01-01-000000.png"),
    ],
)
def test_a_medium_without_a_name_is_named_after_its_kind_and_time(fields: dict[str, object], made: str) -> None:
    assert file_name(message(**fields)) == made


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"type": "sticker", "mime_type": "image/webp"}, "sticker"),
        ({"type": "interactive", "media_kind": "image"}, "image"),
        ({"type": "edit", "media_kind": "video", "mime_type": "image/png"}, "video"),
        ({"type": "unsupported", "mime_type": "audio/ogg"}, "audio"),
        ({"type": "text"}, "document"),
    ],
)
def test_the_kind_is_what_the_message_says_then_what_its_type_suits(fields: dict[str, object], kind: str) -> None:
    assert kind_of(message(**fields)) == kind


# --- Content-Disposition ------------------------------------------------------------------------------------


def test_a_plain_name_stands_in_both_forms() -> None:
    header = content_disposition("inline", "report 1.pdf")

    assert header == "inline; filename=\"report 1.pdf\"; filename*=UTF-8''report%201.pdf"


def test_what_a_parameter_may_not_hold_is_escaped_even_if_a_name_should_hold_it() -> None:
    assert content_disposition("inline", "a/b c'd").endswith("; filename*=UTF-8''a%2Fb%20c%27d")


def test_a_name_in_any_script_arrives_unchanged_with_a_plain_stand_in() -> None:
    header = content_disposition("attachment", "請求書 Ü.pdf")

    assert 'filename="___ _.pdf"' in header
    assert parse_options_header(header) == ("attachment", {"filename": "請求書 Ü.pdf"})


@calm
@given(names, st.sampled_from(["inline", "attachment"]))
@example("a\r\nSet-Cookie: b\0", "inline")
@example("half \ud83d pair", "attachment")
def test_no_name_at_all_brings_anything_but_printable_ascii_into_the_header(name: str, disposition: str) -> None:
    header = content_disposition(disposition, name)

    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2


@calm
@given(names.map(clean_name).filter(bool), st.sampled_from(["inline", "attachment"]))
@example('100% "real"\\ ; filename=evil.html', "inline")
@example("a'b;c,d=e&f#g.pdf", "attachment")
def test_no_name_breaks_the_header_and_each_arrives_unchanged(name: str, disposition: str) -> None:
    header = content_disposition(disposition, name)

    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert "\\" not in header
    kind, options = parse_options_header(header)
    assert (kind, options) == (disposition, {"filename": name})
    assert re.fullmatch(r"[!#$&+.^_`|~0-9A-Za-z%-]*", header.partition("UTF-8''")[2])
