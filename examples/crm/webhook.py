"""Meta's webhook, as this CRM read it before there was a media service, and still does. Pure."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any


def is_signed(body: bytes, signature: str, app_secret: str) -> bool:
    """Tell whether Meta has signed these bytes (`X-Hub-Signature-256`).

    https://developers.facebook.com/docs/graph-api/webhooks/getting-started#event-notifications
    """
    wanted = "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), signature.encode())


def rows_of(body: bytes) -> Iterator[dict[str, Any]]:
    """Give the message table's rows for all messages of a notification; one may hold several of everything."""
    for entry in json.loads(body).get("entry", []):
        for change in entry.get("changes", []):
            value = change.get("value", {})
            names = {own.get("wa_id"): own.get("profile", {}).get("name") for own in value.get("contacts", [])}
            for message in value.get("messages", []):
                if "id" in message:
                    yield _row(message, value["metadata"]["phone_number_id"], names.get(message.get("from")))


def _row(message: dict[str, Any], phone_number_id: str, name: str | None) -> dict[str, Any]:
    kind = message.get("type", "unknown")
    content = message.get(kind)
    content = content if isinstance(content, dict) else {}
    row = {
        "phone_number_id": phone_number_id,
        "wamid": message["id"],
        "sender": name or message.get("from") or "unknown",
        "type": kind,
        "text": content.get("body") or content.get("caption"),
        "filename": content.get("filename"),
        "sent_at": int(message.get("timestamp", 0)),
    }
    return {column: _storable(value) for column, value in row.items()}


def _storable(value: Any) -> Any:
    """Replace halves of surrogate pairs, which JSON can hold and a database cannot: text that was cut in an emoji."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
