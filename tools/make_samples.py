# /// script
# requires-python = ">=3.11"
# dependencies = ["av==18.1.0", "fpdf2==2.8.9", "numpy==2.4.6", "pillow==13.0.0", "python-docx==1.2.0"]
# ///
"""Make the small, real media files in tests/samples/.

    uv run tools/make_samples.py            # all of them
    uv run tools/make_samples.py voice.ogg  # only some

The files are committed, so this is needed only to change them. Everything is drawn and composed here; nothing
is random: the same package versions give the same bytes. tests/samples/README.md says what each file is for.
"""

import io
import math
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

import av
import docx
import fpdf
import numpy as np
from docx.shared import Cm
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "samples"
MADE = datetime(2026, 10, 1, 12, 0, tzinfo=UTC)
FINE = 2
"""Pictures are drawn this many times larger and then reduced, which smooths their edges."""

Point = tuple[float, float]
Colour = tuple[int, int, int]
Samples: TypeAlias = NDArray[np.float32]

SKY: tuple[Colour, Colour] = ((52, 86, 142), (255, 202, 140))
SEA: tuple[Colour, Colour] = ((196, 148, 132), (20, 62, 98))
INK: Colour = (24, 38, 58)


# The scene: a harbour at sunset. `moment` runs from 0 to 1 and then starts again.


def harbour(size: tuple[int, int], moment: float, label: str) -> Image.Image:
    """Draw the harbour in RGB, with a label in its lower left corner."""
    width, height = (side * FINE for side in size)
    horizon = round(height * 0.6)
    picture = gradient((width, height), *SKY)
    picture.paste(gradient((width, height - horizon), *SEA), (0, horizon))
    shine(picture, (width * 0.68, horizon * 0.72), height * 0.075)
    draw = ImageDraw.Draw(picture, "RGBA")
    hills(draw, width, horizon)
    glitter(draw, width * 0.68, horizon, height, moment)
    lighthouse(draw, width * 0.17, horizon, height * 0.34)
    waves(draw, width, horizon, height, moment)
    boat(draw, (width * 0.47, height * (0.735 + 0.008 * swing(moment))), height * 0.26, swing(moment + 0.2))
    gulls(draw, width, height, moment)
    caption(draw, label, width, height)
    return picture.resize(size, Image.Resampling.LANCZOS)


def swing(moment: float) -> float:
    """A slow to and fro, from -1 to 1."""
    return math.sin(math.tau * moment)


def gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    """RGB picture whose colour changes from `top` to `bottom`."""
    shade = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), shade)


def circle(draw: ImageDraw.ImageDraw, centre: Point, radius: float, fill: tuple[int, ...]) -> None:
    """Fill a circle."""
    (x, y) = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def shine(picture: Image.Image, centre: Point, radius: float) -> None:
    """Paint the sun and its glow."""
    glow = Image.new("L", picture.size, 0)
    circle(ImageDraw.Draw(glow), centre, radius * 2, fill=(150,))
    glow = glow.filter(ImageFilter.GaussianBlur(radius))
    picture.paste((255, 226, 160), (0, 0), glow)
    circle(ImageDraw.Draw(picture), centre, radius, fill=(255, 244, 214))


def hills(draw: ImageDraw.ImageDraw, width: int, horizon: int) -> None:
    """Paint two rows of hills behind the water."""
    for rise, length, shift, fill in ((0.21, 0.37, 0.8, (112, 110, 150)), (0.13, 0.23, 2.6, (78, 84, 122))):
        crest = [
            (x, horizon * (1 - rise * (0.6 + 0.4 * math.sin(x / width / length + shift))))
            for x in range(0, width + 8, 8)
        ]
        draw.polygon([(0, horizon), *crest, (width, horizon)], fill=fill)


def glitter(draw: ImageDraw.ImageDraw, x: float, horizon: int, height: int, moment: float) -> None:
    """Paint the sun's light on the water."""
    for row in range(14):
        y = horizon + (height - horizon) * (row + 0.5) / 14
        half = height * (0.02 + 0.006 * row) * (0.75 + 0.25 * swing(moment * 2 + row * 0.37))
        draw.rounded_rectangle((x - half, y, x + half, y + height * 0.006), 4, fill=(255, 232, 180, 130))


def lighthouse(draw: ImageDraw.ImageDraw, x: float, foot: float, tall: float) -> None:
    """Paint the lighthouse on its rock, `tall` pixels high."""
    rock = [(-0.62, 0.06), (-0.4, -0.08), (0, -0.13), (0.42, -0.07), (0.66, 0.06)]
    draw.polygon([(x + dx * tall, foot + dy * tall) for dx, dy in rock], fill=(58, 56, 76))
    edges = [foot - tall * (0.1 + 0.16 * step) for step in range(6)]
    for band, (low, high) in enumerate(pairwise(edges)):
        half = [tall * (0.13 - 0.06 * (foot - y) / tall) for y in (low, high)]
        corners = [(x - half[0], low), (x + half[0], low), (x + half[1], high), (x - half[1], high)]
        draw.polygon(corners, fill=(248, 244, 236) if band % 2 else (206, 62, 58))
    top, eave = edges[-1], edges[-1] - tall * 0.09
    draw.rectangle((x - tall * 0.05, eave, x + tall * 0.05, top), fill=(255, 240, 170))
    draw.polygon([(x - tall * 0.08, eave), (x + tall * 0.08, eave), (x, eave - tall * 0.09)], fill=INK)


def waves(draw: ImageDraw.ImageDraw, width: int, horizon: int, height: int, moment: float) -> None:
    """Paint four rows of waves which drift against each other."""
    for row in range(4):
        base = horizon + (height - horizon) * (0.3 + 0.2 * row)
        turns, swell = 7 - row, height * 0.008 * (1 + row)
        crest = [
            (x, base + swell * math.sin(math.tau * (turns * x / width + moment * (-1) ** row + 0.3 * row)))
            for x in range(0, width + 8, 8)
        ]
        draw.polygon([(0, height), *crest, (width, height)], fill=(18, 58, 96, 70))


def boat(draw: ImageDraw.ImageDraw, centre: Point, tall: float, roll: float) -> None:
    """Paint a sailing boat, `tall` pixels high, leaning by `roll` (-1 to 1)."""

    def at(x: float, y: float) -> Point:
        turn = 0.05 * roll
        return (
            centre[0] + tall * (x * math.cos(turn) - y * math.sin(turn)),
            centre[1] + tall * (x * math.sin(turn) + y * math.cos(turn)),
        )

    draw.line([at(0, 0), at(0, -1.02)], fill=INK, width=round(tall * 0.022))
    draw.polygon([at(0.03, -0.98), at(0.03, -0.1), at(0.42, -0.1)], fill=(252, 248, 240))
    draw.polygon([at(-0.03, -0.86), at(-0.03, -0.1), at(-0.3, -0.1)], fill=(236, 120, 84))
    draw.polygon([at(-0.44, -0.05), at(0.52, -0.05), at(0.34, 0.14), at(-0.32, 0.14)], fill=(120, 58, 44))
    draw.polygon([at(-0.44, -0.05), at(0.52, -0.05), at(0.49, 0), at(-0.42, 0)], fill=(250, 240, 222))
    draw.polygon([at(0, -1.02), at(0, -0.94), at(-0.13, -0.98)], fill=(206, 62, 58))


def gulls(draw: ImageDraw.ImageDraw, width: int, height: int, moment: float) -> None:
    """Paint three gulls."""
    for x, y, phase in ((0.36, 0.2, 0.0), (0.42, 0.14, 0.3), (0.84, 0.22, 0.6)):
        beat, span = 0.4 + 0.3 * swing(moment * 2 + phase), height * 0.022
        left, right = (
            (x * width - span, y * height - span * beat),
            (x * width + span, y * height - span * beat),
        )
        draw.line([left, (x * width, y * height), right], fill=INK, width=round(height * 0.004), joint="curve")


def caption(draw: ImageDraw.ImageDraw, label: str, width: int, height: int) -> None:
    """Write the label on a dark plate."""
    font = ImageFont.load_default(height * 0.05)
    corner = (width * 0.04, height * 0.955)
    left, top, right, bottom = draw.textbbox(corner, label, font=font, anchor="lb")
    rim = height * 0.018
    draw.rounded_rectangle((left - rim, top - rim, right + rim, bottom + rim), rim, fill=(*INK, 170))
    draw.text(corner, label, font=font, fill=(255, 246, 230), anchor="lb")


def whale(moment: float) -> Image.Image:
    """Draw the sticker, 512 x 512 pixels on a clear ground."""
    side = 512 * FINE
    picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    lift = 0.012 * swing(moment)

    def at(*points: Point) -> list[Point]:
        return [(x * side, (y + lift) * side) for x, y in points]

    body, belly = (64, 132, 196, 255), (226, 240, 250, 255)
    draw.polygon(at((0.76, 0.6), (0.83, 0.3), (0.7, 0.24), (0.86, 0.26), (0.98, 0.16), (0.93, 0.32), (0.9, 0.62)), body)
    draw.pieslice(at((0.06, 0.3), (0.92, 0.98)), 180, 360, fill=body)
    draw.chord(at((0.06, 0.36), (0.92, 0.92)), 0, 180, fill=body)
    draw.chord(at((0.09, 0.44), (0.78, 0.905)), 12, 168, fill=belly)
    circle(draw, at((0.27, 0.55))[0], side * 0.034, fill=(255, 255, 255, 255))
    circle(draw, at((0.262, 0.554))[0], side * 0.021, fill=(*INK, 255))
    circle(draw, at((0.35, 0.635))[0], side * 0.03, fill=(240, 140, 150, 150))
    draw.arc(at((0.1, 0.5), (0.34, 0.7)), 25, 110, fill=(*INK, 255), width=round(side * 0.011))
    draw.polygon(at((0.47, 0.7), (0.62, 0.72), (0.56, 0.86)), (46, 104, 164, 255))
    spout(draw, side, moment)
    return picture.resize((512, 512), Image.Resampling.LANCZOS)


def spout(draw: ImageDraw.ImageDraw, side: int, moment: float) -> None:
    """Paint the drops which the whale blows out."""
    for drop in range(6):
        age = (moment + drop / 6) % 1
        for direction in (-1, 1):
            x = 0.46 + direction * 0.17 * age
            y = 0.28 - 0.62 * age * (1 - age) + 0.1 * age
            circle(draw, (x * side, y * side), side * 0.022 * (1.1 - age * 0.6), fill=(126, 192, 236, 255))


# The tune: notes of a music box.

NOTES = {"C": 523.25, "D": 587.33, "E": 659.25, "F": 698.46, "G": 783.99, "A": 880.0, "c": 1046.5, "-": 0.0}


def melody(score: str, beat: float, rate: int) -> Samples:
    """Play one letter per beat (in seconds) at `rate` samples per second: mono, from -1 to 1."""
    length = round(beat * rate)
    tune = np.zeros(length * len(score) + rate, dtype=np.float64)
    time = np.arange(rate * 1.2) / rate
    for place, letter in enumerate(score):
        tone = sum(np.sin(math.tau * NOTES[letter] * n * time) / n**2 for n in (1, 2, 3)) * np.exp(-4 * time)
        room = tune[place * length : place * length + len(time)]
        room += tone[: len(room)]
    loud: Samples = (tune / np.abs(tune).max() * 0.7).astype(np.float32)
    return loud


def audio_frames(tune: Samples, rate: int) -> Iterator[av.AudioFrame]:
    """Cut the tune into frames of 20 ms, the last one filled up with silence."""
    length = rate // 50
    padded = np.pad(tune, (0, -len(tune) % length))
    for start in range(0, len(padded), length):
        frame = av.AudioFrame.from_ndarray(padded[None, start : start + length], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield frame


def sound(kind: Literal["ogg", "ipod"], codec: str, rate: int, bit_rate: int, tune: Samples) -> bytes:
    """Encode a mono tune with constant meta data. `bit_rate` in bits per second."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind, options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono", options={"flags": "+bitexact"})
        stream.bit_rate = bit_rate
        for frame in audio_frames(tune, rate):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


# The files.


def photo() -> bytes:
    """The JPEG of a phone's camera."""
    return saved(grain(harbour((1280, 960), 0.1, "Harbour, six in the evening"), 5, seed=1), "JPEG", quality=82)


def drawing() -> bytes:
    """A small PNG with a palette."""
    picture = harbour((480, 360), 0.6, "Sketch of the harbour").convert("P", palette=Image.Palette.ADAPTIVE, colors=96)
    return saved(picture, "PNG", optimize=True)


def sticker() -> bytes:
    """A still sticker."""
    return saved(whale(0.1), "WEBP", quality=85, method=6)


def animated_sticker() -> bytes:
    """A sticker of twelve frames, about a second long."""
    first, *others = [whale(step / 12) for step in range(12)]
    return saved(
        first,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=80,
        loop=0,
        quality=70,
        method=4,
        minimize_size=True,
    )


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode a picture."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def grain(picture: Image.Image, strength: float, seed: int) -> Image.Image:
    """Add the noise of a small camera: without it a drawn picture compresses to almost nothing."""
    pixels = np.asarray(picture, dtype=np.float32)
    noise = np.random.default_rng(seed).normal(0, strength, pixels.shape[:2])
    return Image.fromarray(np.clip(pixels + noise[..., None], 0, 255).astype(np.uint8))


def voice() -> bytes:
    """A voice note as a phone records it: Opus in Ogg, mono."""
    return sound("ogg", "libopus", 48_000, 24_000, melody("EDCDEEE-DDD-EGG-EDCDEEE-DDEDC---", 0.22, 48_000))


def tune() -> bytes:
    """Music: AAC in an MPEG-4 container."""
    return sound("ipod", "aac", 44_100, 64_000, melody("CEGcGECEGcGE-FAcAFGGEEDDC---", 0.25, 44_100))


def video() -> bytes:
    """H.264 with AAC, the index in front (so that a player can start, and seek, before it has all)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "video.mp4")  # on a disk, since moving the index reads the file back
        record(file, rate=25, seconds=6, pitch=44_100)
        return file.read_bytes()


def record(file: Path, rate: int, seconds: int, pitch: int) -> None:
    """Write `seconds` of film at `rate` pictures and `pitch` sound samples per second."""
    encoding = {
        "preset": "slow",
        "profile": "main",
        "bf": "0",
        "g": "50",
        "threads": "1",
        "flags": "+bitexact",
    }
    with av.open(file, "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        pictures = container.add_stream("libx264", rate=rate, options=encoding)
        pictures.width, pictures.height, pictures.pix_fmt, pictures.bit_rate = 640, 360, "yuv420p", 760_000
        music = container.add_stream("aac", rate=pitch, layout="mono", options={"flags": "+bitexact"})
        music.bit_rate = 64_000
        for number in range(rate * seconds):
            scene = harbour((640, 360), number / (rate * 3), f"Harbour  0:0{number // rate}")
            picture = np.asarray(grain(scene, 3, seed=number))
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for sound_frame in audio_frames(melody("CEGcGECEFAcAFGEDC---", 0.25, pitch)[: pitch * seconds], pitch):
            container.mux(music.encode(sound_frame))
        container.mux([*pictures.encode(None), *music.encode(None)])


TIMES = (("Boat", "Leaves", "Back"), ("Seagull", "09:15", "11:45"), ("Old Whale", "13:00", "16:30"))


def brochure() -> bytes:
    """A PDF of two pages."""
    pdf = fpdf.FPDF(format=(148, 210))
    pdf.set_creation_date(MADE)
    pdf.set_title("Harbour tours")
    pdf.add_page()
    pdf.set_font("Helvetica", "B", 24)
    pdf.cell(text="Harbour tours", new_x="LMARGIN", new_y="NEXT")
    pdf.image(io.BytesIO(saved(harbour((720, 480), 0.3, "Pier 4"), "JPEG", quality=80)), w=pdf.epw)
    pdf.set_font("Helvetica", size=11)
    pdf.multi_cell(0, 7, "\nTwo boats, two tours a day from Pier 4. Tickets are sold on board. Dogs are welcome.\n\n")
    with pdf.table() as table:
        for row in TIMES:
            table.row(row)
    pdf.add_page()
    pdf.multi_cell(0, 7, "The second page is here so that a viewer has something to turn.")
    return bytes(pdf.output())


def letter() -> bytes:
    """A Word document with a picture and a table."""
    document = docx.Document()
    properties = document.core_properties
    properties.author, properties.title, properties.comments = "The harbour office", "Your booking", ""
    properties.created = properties.modified = MADE.replace(tzinfo=None)
    document.add_heading("Your booking", level=1)
    document.add_paragraph("Two places on the Old Whale, 13:00 from Pier 4. Please be there ten minutes early.")
    document.add_picture(io.BytesIO(saved(harbour((480, 320), 0.5, "Pier 4"), "JPEG", quality=80)), width=Cm(12))
    table = document.add_table(rows=0, cols=3, style="Light Grid Accent 1")
    for row in TIMES:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    file = io.BytesIO()
    document.save(file)
    return undated(file.getvalue())


def undated(archive: bytes) -> bytes:
    """Pack a ZIP archive again with one fixed time for all of its members."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, MADE.timetuple()[:6]), old.read(name), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def note() -> bytes:
    """One line of UTF-8."""
    return "Gate code 4711. Ring twice, and mind the cat. ⚓\n".encode()


FILES: Mapping[str, Callable[[], bytes]] = {
    "photo.jpg": photo,
    "drawing.png": drawing,
    "sticker.webp": sticker,
    "sticker-animated.webp": animated_sticker,
    "voice.ogg": voice,
    "tune.m4a": tune,
    "video.mp4": video,
    "brochure.pdf": brochure,
    "letter.docx": letter,
    "note.txt": note,
}


def main(names: list[str]) -> None:
    """Write the named samples, or all."""
    if unknown := set(names) - FILES.keys():
        sys.exit(f"no such sample: {', '.join(sorted(unknown))} (there are: {', '.join(FILES)})")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or FILES:
        size = (FOLDER / name).write_bytes(FILES[name]())
        print(f"{name:24}{size:>9,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
