"""The published events: their schemas, and what their details look like."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parent.parent / "docs" / "events"
NAMES = ("message.stored", "media.ready", "media.failed")
SCHEMAS: dict[str, dict[str, Any]] = {
    name: json.loads((FOLDER / f"{name}.schema.json").read_text("utf-8")) for name in NAMES
}


def check(event: dict[str, Any]) -> None:
    """Check an event against the schema of its type. Raises jsonschema's `ValidationError`, or `KeyError`."""
    Draft202012Validator(SCHEMAS[event["detail-type"]]).validate(event)


def read(text: str) -> dict[str, Any]:
    """Read an event."""
    event: dict[str, Any] = json.loads(text)
    return event
