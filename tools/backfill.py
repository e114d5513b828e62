"""Import an old CRM's message table, JSON lines or CSV, into ours.

    python -m tools.backfill messages.jsonl --local                    # dry run: says what would happen
    python -m tools.backfill messages.csv --stack whatsapp-media --apply

Messages keep their old ids: links with them go on working. Nothing that the webhook stored is overwritten. An
interrupted run goes on where it was when it is started again; starting from the beginning does no harm, either.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, NoReturn, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from inbound.errors import StoreUnavailable
from tools import deployment, exports, progress
from tools.backfill_plan import Decision, Known, Tally, details, plan, report
from tools.backfill_table import BackfillTable, together
from tools.checkpoint import Checkpoint, fingerprint
from tools.exports import Export, ExportRow, Position, UnreadableExport
from tools.legacy_columns import FIELDS, KNOWN_NAMES, Columns, UnknownColumn
from tools.legacy_rows import BadRow, Legacy, legacy
from tools.seen_rows import SeenRows

Result = TypeVar("Result")
STORE_FAULTS = (StoreUnavailable, PynamoDBException, BotoCoreError, ClientError)
# What stays as it is, however long one waits.
HOPELESS = frozenset(
    {
        "AccessDeniedException",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "ValidationException",
    }
)
CHUNK = 250  # rows between two checkpoints
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0  # seconds between tries, with full jitter
RETENTION_DAYS = 365  # the template's default, for when no deployment is asked


@dataclass(slots=True)
class Run:
    """A run: what it works with, how far it is, and what it has counted."""

    columns: Columns
    number: str | None
    retention_days: int
    table: BackfillTable | None
    checkpoint: Checkpoint | None
    details: IO[str] | None
    apply: bool
    patience: float
    now: int
    tally: Tally
    position: Position


class Stopped(Exception):
    """The run cannot go on; the message is one line for the terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Gives 0 when all rows were looked at, 1 when it could not finish; raises SystemExit(2)."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.apply and args.offline:
        parser.error("--apply needs the table: not with --offline")
    if not args.offline and args.stack is None and args.local is None:
        parser.error("say which deployment: --stack NAME or --local (or --offline, for the file alone)")
    try:
        with ExitStack() as closing:
            return _run(args, closing)
    except (UnreadableExport, UnknownColumn, OSError) as error:
        _refuse(_reason(error))


def _refuse(problem: str) -> NoReturn:
    print(problem, file=sys.stderr)
    raise SystemExit(2)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.backfill",
        description=(__doc__ or "").partition("\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Fields and the usual names of their columns, which need no --column (case and punctuation are free):\n"
        + "\n".join(f"  {name:<18}{', '.join(known)}" for name, known in KNOWN_NAMES.items())
        + "\n\nExit codes: 0 all rows were looked at, 1 not finished (run it again) or not one row could be read,"
        + " 2 not usable as it is.",
    )
    parser.add_argument("file", metavar="FILE", help="the exported table, - for standard input")
    parser.add_argument("--format", choices=["jsonl", "csv"], help="when the file's name does not say")
    parser.add_argument("--encoding", default="utf-8", help="of the file, such as cp1252 (utf-8)")
    parser.add_argument(
        "--column",
        metavar="FIELD=COLUMN",
        action="append",
        default=[],
        type=_mapping,
        help="which column holds a field, such as wamid=external_id; FIELD= for none; in JSON a path, as media.url",
    )
    parser.add_argument("--phone-number-id", metavar="ID", help="the number, for rows that do not say")
    parser.add_argument("--apply", action="store_true", help="write; without it nothing is changed")
    parser.add_argument("--offline", action="store_true", help="dry run over the file alone, without reading the table")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, help="where --apply notes how far it is")
    parser.add_argument(
        "--details", metavar="FILE", type=Path, help="JSON lines: each line that is bad or will not load"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="the report for machines")
    parser.add_argument("--patience", metavar="S", type=float, default=120.0, help="seconds to try what fails (120)")
    deployment.add_arguments(parser, required=False)
    return parser


def _mapping(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not equals or name not in FIELDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=COLUMN; the fields are {', '.join(FIELDS)}")
    return name, column


# --- a run -----------------------------------------------------------------------------------------------------


def _run(args: argparse.Namespace, closing: ExitStack) -> int:
    file = closing.enter_context(_opened(args.file))
    form = args.format or (exports.form_of(Path(args.file)) if args.file != "-" else None)
    if form is None:
        raise UnreadableExport("Say what the file is: --format jsonl or --format csv")
    run = _prepared(args, file, closing)
    export = Export(file, form, args.encoding)
    if export.columns is not None:
        run.columns.check(export.columns)
    try:
        _walk(run, export, exports.size_of(file) if args.file != "-" else None)
    except (Stopped, KeyboardInterrupt) as stopped:
        return _end_early(run, str(stopped) or "Interrupted.")
    if run.checkpoint is not None:
        run.checkpoint.remove()
    _tell(run, args.json)
    nothing = run.tally.counts["rows"] > 0 and run.tally.counts["rows"] == run.tally.counts["bad_lines"]
    return 1 if nothing else 0


def _opened(path: str) -> AbstractContextManager[IO[bytes]]:
    return nullcontext(sys.stdin.buffer) if path == "-" else Path(path).open("rb")


def _prepared(args: argparse.Namespace, file: IO[bytes], closing: ExitStack) -> Run:
    """Find the deployment, and the state of an earlier run that did not come to its end."""
    columns = Columns(dict(args.column))
    there = None if args.offline else deployment.from_arguments(args)
    checkpoint, state = None, None
    if args.apply and there is not None and args.file != "-":
        about = (args.column, args.phone_number_id, args.format, args.encoding, there.table_name, there.queue_url)
        path = args.checkpoint or Path(f"{args.file}.checkpoint")
        checkpoint = Checkpoint(path, fingerprint(file, *about))
        state = checkpoint.load()
    if state is not None:
        print(f"Going on behind line {state['line']}, where the last run ended.", file=sys.stderr)
    run = Run(
        columns=columns,
        number=args.phone_number_id,
        retention_days=there.retention_days if there else RETENTION_DAYS,
        table=BackfillTable(there) if there else None,
        checkpoint=checkpoint,
        details=closing.enter_context(args.details.open("a" if state else "w")) if args.details else None,
        apply=args.apply,
        patience=args.patience,
        now=int(time.time()),
        tally=Tally.of(state["tally"]) if state else Tally(),
        position=Position(state["offset"], state["line"]) if state else Position(),
    )
    _save(run)
    return run


def _walk(run: Run, export: Export, size: int | None) -> None:
    """Go through the rows, a chunk at a time. Raises `Stopped` when the table does not answer in time."""
    rows = export.rows(run.position)
    total, unit = (size, "B") if size is not None else (None, "row")
    with SeenRows() as seen, progress.bar(total, done=run.position.offset, unit=unit) as bar:
        while chunk := list(islice(rows, CHUNK)):
            if run.position == Position():
                _note_absent(run, chunk)
            decisions, bad = _decided(run, chunk, seen)
            _count(run, decisions, bad)
            done = chunk[-1].end
            bar.update(done.offset - run.position.offset if unit == "B" else len(chunk))
            run.position = done
            _save(run)


def _note_absent(run: Run, chunk: Sequence[ExportRow]) -> None:
    """Say when a column that was named is in none of the first rows: rows of JSON have no header to check."""
    for column in run.columns.absent([row.values for row in chunk if row.problem is None]):
        print(f"Note: none of the first {len(chunk)} rows has a column {column}.", file=sys.stderr)


def _decided(run: Run, chunk: Sequence[ExportRow], seen: SeenRows) -> tuple[list[Decision], list[tuple[int, str]]]:
    """Decide about some rows, and write them if this is no dry run."""
    rows, bad = _read(run, chunk)
    known = _patiently(run.patience, lambda: _known(run, rows, seen))
    decisions = plan(rows, known, run.now)
    if run.apply and run.table is not None:
        table, planned = run.table, decisions
        decisions = _patiently(run.patience, lambda: table.write(planned))
    seen.add(known)
    return decisions, bad


def _read(run: Run, chunk: Iterable[ExportRow]) -> tuple[list[tuple[int, Legacy]], list[tuple[int, str]]]:
    """Tell the messages among the rows from what is none, each with its line."""
    rows: list[tuple[int, Legacy]] = []
    bad: list[tuple[int, str]] = []
    for one in chunk:
        try:
            rows.append((one.line, _message(run, one)))
        except BadRow as problem:
            bad.append((one.line, str(problem)))
    return rows, bad


def _message(run: Run, row: ExportRow) -> Legacy:
    if row.problem is not None:
        raise BadRow(row.problem)
    return legacy(run.columns.row(row.values), run.number, run.retention_days)


def _known(run: Run, rows: Sequence[tuple[int, Legacy]], seen: SeenRows) -> Known:
    messages = [row for _, row in rows]
    stored = run.table.known(messages, run.now) if run.table else Known()
    old_ids = [row.old_id for row in messages if row.old_id is not None]
    return together(stored, [seen.known([row.message_id for row in messages], old_ids)])


def _count(run: Run, decisions: Sequence[Decision], bad: Sequence[tuple[int, str]]) -> None:
    for line, problem in bad:
        run.tally.add_bad(line, problem)
    for decision in decisions:
        run.tally.add(decision)
    if run.details is not None:
        found = [*({"line": line, "problem": problem} for line, problem in bad), *details(decisions)]
        run.details.writelines(f"{json.dumps(one)}\n" for one in found)
        run.details.flush()


def _save(run: Run) -> None:
    if run.checkpoint is not None:
        offset, line = run.position
        run.checkpoint.save({"offset": offset, "line": line, "tally": run.tally.state()})


# --- ends ------------------------------------------------------------------------------------------------------


def _tell(run: Run, path: Path | None) -> None:
    offline = run.table is None
    print(report(run.tally, applied=run.apply, offline=offline))
    if path is not None:
        whole = {"applied": run.apply, "offline": offline, **run.tally.state()}
        path.write_text(json.dumps(whole, indent=2) + "\n", "utf-8")


def _end_early(run: Run, reason: str) -> int:
    goes_on = "The same command goes on from there." if run.checkpoint else "Start it again; that does no harm."
    print(f"{reason} {run.tally.counts['rows']} rows are done. {goes_on}", file=sys.stderr)
    return 1


def _patiently(patience: float, work: Callable[[], Result]) -> Result:
    """Do something, again and again for so many seconds while the store is throttled or down. Raises `Stopped`."""
    given_up = time.monotonic() + patience
    for pause in _pauses():
        try:
            return work()
        except STORE_FAULTS as error:
            if _code(error) in HOPELESS or time.monotonic() + pause > given_up:
                raise Stopped(f"AWS does not do it: {_code(error) or type(error).__name__}.") from error
            time.sleep(pause)
    raise AssertionError("there is always another pause")


def _pauses() -> Iterator[float]:
    longest = FIRST_PAUSE
    while True:
        yield random.uniform(0, longest)
        longest = min(2 * longest, LONGEST_PAUSE)


def _code(error: BaseException) -> str | None:
    """Give AWS's code for what went wrong, which may stand behind the error that it caused."""
    if isinstance(error, PynamoDBException):
        return error.cause_response_code
    if isinstance(error, ClientError):
        return error.response["Error"].get("Code")
    return _code(error.__cause__) if error.__cause__ is not None else None


if __name__ == "__main__":
    sys.exit(main())
