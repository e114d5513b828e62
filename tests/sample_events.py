"""The events of events/: which function each is for, and what it is answered, wherever the function runs."""

import json
from collections.abc import Callable
from typing import Any

from tests.integration.system import System
from tools import events

Check = Callable[[Any], bool]


def status(code: int) -> Check:
    return lambda answer: bool(answer["statusCode"] == code)


def all_done(answer: Any) -> bool:
    return bool(answer == {"batchItemFailures": []})


def nothing(answer: Any) -> bool:
    return answer is None


OUTCOMES: dict[str, tuple[str, Check]] = {
    "webhook-verify": ("WebhookFunction", status(200)),
    "webhook-post": ("WebhookFunction", status(200)),
    "webhook-post-base64": ("WebhookFunction", status(200)),
    "webhook-batch": ("WebhookFunction", status(200)),
    "webhook-status": ("WebhookFunction", status(200)),
    "webhook-unsigned": ("WebhookFunction", status(401)),
    "media-redirect": ("MediaProxyFunction", status(302)),
    "media-head": ("MediaProxyFunction", status(302)),
    "media-cookie": ("MediaProxyFunction", status(302)),
    "media-json": ("MediaProxyFunction", status(200)),
    "media-download": ("MediaProxyFunction", status(302)),
    "media-old-path": ("MediaProxyFunction", status(302)),
    "media-without-token": ("MediaProxyFunction", status(401)),
    "inbox-conversations": ("InboxFunction", status(200)),
    "inbox-messages": ("InboxFunction", status(200)),
    "inbox-message": ("InboxFunction", status(200)),
    "forward-batch": ("ForwardFunction", all_done),
    "prefetch-batch": ("PrefetchFunction", all_done),
    "sweep-schedule": ("SweepFunction", lambda answer: answer["waits"] >= 0),
    "expiry-schedule": ("ExpiryFunction", lambda answer: answer["checked"] >= 1),
    "signing-key-create": ("SigningKeyFunction", nothing),
}


def read(name: str) -> events.Event:
    event: events.Event = json.loads((events.FOLDER / f"{name}.json").read_text("utf-8"))
    return event


def of(function: str) -> list[str]:
    """Give the names of the events for a function."""
    return [name for name, (own, _) in OUTCOMES.items() if own == function]


def prepare(system: System) -> None:
    """Store the message of the events, whose media nobody has tried."""
    key = {"pk": {"S": f"MSG#{events.MESSAGE_ID}"}, "sk": {"S": "MEDIA"}}
    system.client("dynamodb").delete_item(TableName=system.stack.table_name, Key=key)
    system.stack.functions.invoke("WebhookFunction", read("webhook-post"))
