"""The webhooks that the simulator has sent, byte for byte: to be looked at, and to be sent again."""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from local.notifications import Delivery
from local.outgoing import Told

KEPT = 500
"""Webhooks; older ones are forgotten."""
KEPT_BYTES = 16 * 1024 * 1024
"""Bytes of their bodies; the newest one is kept, whatever its size."""


@dataclass(frozen=True, slots=True)
class Post:
    """A webhook, the messages in it as far as they are known, when it was sent (Unix seconds), and how it went."""

    id: int
    body: bytes
    told: tuple[Told, ...]
    started: float
    ended: float
    delivery: Delivery
    replay_of: int | None

    @property
    def media_ids(self) -> list[str]:
        """The media ids in it."""
        return [media_id for told in self.told for media_id in told.media_ids]


class Posts:
    """The newest webhooks. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Post] = deque()
        self._size = 0
        self._last = 0

    def add(
        self, body: bytes, told: tuple[Told, ...], times: tuple[float, float], delivery: Delivery, replay_of: int | None
    ) -> Post:
        """Keep a webhook that was sent, between these two times; give it with its number."""
        with self._lock:
            self._last += 1
            post = Post(self._last, body, told, *times, delivery, replay_of)
            self._kept.append(post)
            self._size += len(body)
            while len(self._kept) > KEPT or (self._size > KEPT_BYTES and len(self._kept) > 1):
                self._size -= len(self._kept.popleft().body)
        return post

    def after(self, number: int = 0) -> list[Post]:
        """Give those after a number, the oldest first."""
        return [post for post in self._all() if post.id > number]

    def get(self, number: int) -> Post | None:
        """Give a webhook, if it is still kept."""
        return next((post for post in self._all() if post.id == number), None)

    def told(self, *wamids: str | None) -> dict[str, Told]:
        """Give what is known of messages, by wamid, as they were when they came."""
        wanted = set(wamids)
        return {told.wamid: told for told in self._told() if told.wamid in wanted and told.message_id}

    def _told(self) -> Iterator[Told]:
        return (told for post in self._all() for told in post.told)

    def _all(self) -> list[Post]:
        with self._lock:
            return list(self._kept)
