"""How far a long run has come, in a small file: written whole or not at all, and only read for the same work."""

import hashlib
import json
import os
from pathlib import Path
from typing import IO, Any

SAMPLE = 1024 * 1024  # bytes at either end that tell one file from another


class Checkpoint:
    """The file of one piece of work. `identity` says which: a state of other work is none of ours."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self._identity = identity

    def load(self) -> dict[str, Any] | None:
        """Give the saved state of this work; None when there is none. Raises OSError."""
        try:
            saved = json.loads(self.path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        mine = isinstance(saved, dict) and saved.get("identity") == self._identity
        return saved["state"] if mine and isinstance(saved.get("state"), dict) else None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the saved state. Raises OSError."""
        draft = self.path.with_name(f"{self.path.name}.draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"identity": self._identity, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def remove(self) -> None:
        """Remove the file: the work is done."""
        self.path.unlink(missing_ok=True)


def fingerprint(file: IO[bytes], *about: object) -> str:
    """Tell a file and what is to be done with it from all others: by size, both ends, and the given values."""
    size = os.fstat(file.fileno()).st_size
    digest = hashlib.sha256(json.dumps([size, *about], default=str).encode())
    for start in (0, max(0, size - SAMPLE)):
        file.seek(start)
        digest.update(file.read(SAMPLE))
    file.seek(0)
    return digest.hexdigest()
