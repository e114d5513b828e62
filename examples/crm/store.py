"""The CRM's one table, in SQLite."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

SCHEMA = (Path(__file__).parent / "schema.sql").read_text("utf-8")
PAGE = 50


@contextmanager
def opened(path: str) -> Iterator[sqlite3.Connection]:
    """Open the database, made when it is not there; commit at the end, unless something was raised."""
    with closing(sqlite3.connect(path)) as database, database:
        database.row_factory = sqlite3.Row
        database.executescript(SCHEMA)
        yield database


def add(database: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add messages; those that are there already stay as they are, for a webhook comes at least once."""
    database.executemany(
        "INSERT INTO messages (phone_number_id, wamid, sender, type, text, filename, sent_at)"
        " VALUES (:phone_number_id, :wamid, :sender, :type, :text, :filename, :sent_at)"
        " ON CONFLICT (phone_number_id, wamid) DO NOTHING",
        rows,
    )


def newest(database: sqlite3.Connection, phone_numbers: Sequence[str]) -> list[sqlite3.Row]:
    """Give the newest messages of these numbers, the newest first."""
    query = (
        "SELECT * FROM messages WHERE phone_number_id IN (SELECT value FROM json_each(?))"
        " ORDER BY sent_at DESC, id DESC LIMIT ?"
    )
    return database.execute(query, (json.dumps(list(phone_numbers)), PAGE)).fetchall()


def everything(database: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Give all rows, the oldest first: what the media service's backfill reads."""
    return map(dict, database.execute("SELECT * FROM messages ORDER BY id"))
