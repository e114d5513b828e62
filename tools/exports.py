"""Files that a table was exported to, JSON lines or CSV, read row by row: memory stays flat however large they are."""

import codecs
import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

LONGEST = 16 * 1024 * 1024  # bytes of a line, characters of a field; what is longer is no row of messages
MOST_LINES = 10_000  # of one row: a customer's text may have many, a quote that is never closed has all
END = ""  # no line is empty: each has its line end, or is what stands behind the last one
DELIMITERS = ",;\t|"
FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


class UnreadableExport(Exception):
    """A file that cannot be read as a table; the message is one line for the terminal."""


class Position(NamedTuple):
    """Between two rows: bytes and lines before it."""

    offset: int = 0
    line: int = 0


class ExportRow(NamedTuple):
    """A row, or why there is none: the line that it begins on, and where the next one begins."""

    line: int
    values: dict[str, Any]
    problem: str | None
    end: Position


class Export:
    """An open file of rows. `columns` are those of a CSV file; rows of JSON each have their own."""

    def __init__(self, file: IO[bytes], form: str, encoding: str = "utf-8") -> None:
        """Take a file at its beginning and its form, "csv" or "jsonl". Raises `UnreadableExport`."""
        self._lines = _Lines(file, _checked(encoding))
        self._rows = self._csv_rows if form == "csv" else self._json_rows
        self._delimiter = ","
        self.columns: tuple[str, ...] | None = None
        if form == "csv":
            self._read_header()

    def rows(self, start: Position = Position()) -> Iterator[ExportRow]:  # noqa: B008  (a tuple, and never changed)
        """Give all rows behind a position; one before the first row is the beginning."""
        if start.offset > self._lines.position.offset:
            self._lines.seek(start)
        return self._rows()

    def _read_header(self) -> None:
        first = next(self._lines, "")
        if first is None or not first.strip():
            raise UnreadableExport("The file has no header line with the names of its columns.")
        self._delimiter = max(DELIMITERS, key=first.count)
        csv.field_size_limit(LONGEST)
        self.columns = tuple(name.strip() for name in next(csv.reader([first], delimiter=self._delimiter)))

    def _json_rows(self) -> Iterator[ExportRow]:
        for text in self._lines:
            if text is None or text.strip():
                values, problem = ({}, self._lines.taken_problem()) if text is None else json_object(text)
                yield ExportRow(self._lines.position.line, values, problem, self._lines.position)

    def _csv_rows(self) -> Iterator[ExportRow]:
        while True:
            own = _RowLines(self._lines)
            line = self._lines.position.line + 1
            fields, problem = self._csv_row(own)
            if fields is None:
                return
            if problem and own.count > 1:
                # Most likely a quote that is never closed: the lines behind it are rows of their own.
                self._lines.seek(own.after_first)
            if fields or problem:
                values = {} if problem else dict(zip(self.columns or (), fields, strict=True))
                yield ExportRow(line, values, problem, self._lines.position)

    def _csv_row(self, own: "_RowLines") -> tuple[list[str] | None, str | None]:
        """Read one row; None at the end. The second value says what is wrong with it."""
        try:
            fields = next(csv.reader(own, delimiter=self._delimiter), None)
        except csv.Error as error:
            self._lines.taken_problem()
            return [], f"not CSV: {error}"
        problem = self._lines.taken_problem()
        if own.is_open:
            return [], "a quote is never closed"
        if fields and problem is None and len(fields) != len(self.columns or ()):
            problem = f"{len(fields)} fields instead of {len(self.columns or ())}"
        return fields, problem


class _Lines:
    """The lines of a file as text, None for one that cannot be read; knows where it is, and what was wrong last."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        self._encoding = encoding
        self.position = Position()
        self._problem: str | None = None

    def taken_problem(self) -> str | None:
        """Say what was wrong since this was last asked."""
        problem, self._problem = self._problem, None
        return problem

    def seek(self, position: Position) -> None:
        """Go on from a position; what cannot go back (a pipe) goes on from where it is."""
        if self._file.seekable():
            self._file.seek(position.offset)
            self.position = position

    def __iter__(self) -> Iterator[str | None]:
        return self

    def __next__(self) -> str | None:
        line = self._file.readline(LONGEST)
        if not line:
            raise StopIteration
        rest = self._skipped() if len(line) == LONGEST and not line.endswith(b"\n") else 0
        first = self.position.offset == 0
        self.position = Position(self.position.offset + len(line) + rest, self.position.line + 1)
        if not rest:
            return self._decoded(line, first=first)
        self._problem = f"longer than {LONGEST} bytes"
        return None

    def _skipped(self) -> int:
        """Skip the rest of a line, a piece at a time; give its length."""
        length = 0
        while piece := self._file.readline(LONGEST):
            length += len(piece)
            if piece.endswith(b"\n"):
                break
        return length

    def _decoded(self, line: bytes, *, first: bool) -> str | None:
        if first and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise UnreadableExport("The file is in UTF-16, which is not read; convert it to UTF-8, say with iconv.")
        if first and line.startswith(codecs.BOM_UTF8):
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            return line.decode(self._encoding)
        except UnicodeDecodeError:
            self._problem = f"not {self._encoding}"
            return None


class _RowLines:
    """The lines of one CSV row, as its reader takes them: what cannot be read is a blank one, and its row is bad.

    `is_open` tells that the file ended, or went on for too long, in the middle of the row.
    """

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self.count = 0
        self.after_first = lines.position
        self.is_open = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        text = next(self._lines, END) if self.count < MOST_LINES else END
        if text is END:
            self.is_open = self.count > 0
            raise StopIteration
        self.count += 1
        if self.count == 1:
            self.after_first = self._lines.position
        return text if text is not None else "\n"


def _checked(encoding: str) -> str:
    try:
        if "\n".encode(encoding) == b"\n":
            return encoding
    except LookupError:
        raise UnreadableExport(f"There is no encoding {encoding}.") from None
    raise UnreadableExport(f"Files in {encoding} are not read; convert it to UTF-8, say with iconv.")


def json_object(text: str) -> tuple[dict[str, Any], str | None]:
    """Read a JSON object; the second value says what is wrong with it."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}, "not JSON"
    except RecursionError:
        return {}, "nested too deep"
    return (found, None) if isinstance(found, dict) else ({}, "not a JSON object")


def form_of(path: Path) -> str | None:
    """Tell the form from a file's name; None when it does not say."""
    return FORMATS.get(path.suffix.lower())


def size_of(file: IO[bytes]) -> int | None:
    """Give a file's size in bytes, None for what is no file on a disk."""
    return os.fstat(file.fileno()).st_size if file.seekable() else None
