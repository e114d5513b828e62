"""The worker, with a clock for its secret that can be put forward: a secret is read again only after a minute.

An event is `{"message_id", "passed"}`, `passed` being the seconds since the last one; the answer is how it ended.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

from inbound.credentials import GRAPH, CachedSecret
from inbound.errors import MediaError
from media_proxy import prefetch
from media_proxy.deadline import Deadline
from media_proxy.fetch import Fetcher
from media_proxy.single_flight import Patience, ensure_cached


@dataclass
class Clock:
    """The monotonic clock, so many seconds ahead."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


clock = Clock()
fetcher = Fetcher.connected(prefetch.settings, CachedSecret(prefetch.settings.graph_secret_id, GRAPH, clock=clock))
desk = replace(prefetch.desk(), fetcher=lambda: fetcher)


def handler(event: dict[str, Any], _: object) -> str:
    clock.ahead += event["passed"]
    found = desk.items.find(event["message_id"])
    assert found is not None
    try:
        ensure_cached(found, desk, Patience(Deadline.after(10)))
    except MediaError as error:
        return error.code
    return "ready"
