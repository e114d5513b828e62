"""What earlier rows of a file have planned, on disk: a file of any size, and no more memory."""

import sqlite3
from collections.abc import Sequence
from typing import Self

from tools.backfill_plan import Known, Stored


class SeenRows:
    """A temporary database that goes with the process. Also a context manager."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a temporary file: https://www.sqlite.org/inmemorydb.html
        self._database.execute("CREATE TABLE messages (id TEXT PRIMARY KEY, has_media_id INTEGER) WITHOUT ROWID")
        self._database.execute("CREATE TABLE aliases (old_id TEXT PRIMARY KEY, message_id TEXT) WITHOUT ROWID")

    def known(self, message_ids: Sequence[str], old_ids: Sequence[str]) -> Known:
        """Give what earlier rows said about these ids."""
        found = self._found("SELECT id, has_media_id FROM messages WHERE id", message_ids)
        aliases = self._found("SELECT old_id, message_id FROM aliases WHERE old_id", old_ids)
        return Known({own_id: Stored(has_media_id=bool(has), earlier_row=True) for own_id, has in found}, dict(aliases))

    def _found(self, query: str, ids: Sequence[str]) -> list[tuple[str, str]]:
        return self._database.execute(f"{query} IN ({','.join('?' * len(ids))})", ids).fetchall()

    def add(self, known: Known) -> None:
        """Remember what has been planned by now."""
        planned = [(own_id, one.has_media_id) for own_id, one in known.messages.items() if one.earlier_row]
        self._database.executemany("INSERT OR REPLACE INTO messages VALUES (?, ?)", planned)
        self._database.executemany("INSERT OR IGNORE INTO aliases VALUES (?, ?)", known.aliases.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
