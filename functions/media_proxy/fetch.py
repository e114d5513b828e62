"""One attempt to bring a medium from Graph into S3, with its quick tries."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import tenacity

from inbound import clients, metadata
from inbound.credentials import CachedSecret, GraphCredentials
from inbound.errors import (
    AccessTokenInvalid,
    GraphRefused,
    GraphTimeout,
    MediaCorrupt,
    MediaError,
    MediaExpired,
    MediaTooLarge,
    MediaUrlDead,
)
from inbound.media import sha256_hex
from inbound.messages import Message
from inbound.observability import logger
from media_proxy import retries
from media_proxy.attempt import Attempt, TakesTooLong
from media_proxy.cache import Address, Cache, Expected, Stored
from media_proxy.graph import Graph
from media_proxy.graph_errors import Located

if TYPE_CHECKING:
    from inbound.config import FetchSettings

TRIES = 3
JITTER = tenacity.wait_random_exponential(multiplier=0.3, max=2)  # seconds; "full jitter"
LONGEST_PAUSE = 10  # seconds between two quick tries; what asks for more gets its attempt later

# What a download that stays dead with a fresh URL means.
STILL_DEAD: dict[int | None, Callable[..., MediaError]] = {
    400: GraphRefused,
    401: AccessTokenInvalid,
    403: GraphRefused,
    404: MediaExpired,
    410: partial(MediaExpired, final=True),
}


class Fetcher:
    """What bringing media takes: Graph, its tokens, the bucket, and the limit in bytes."""

    def __init__(self, graph: Graph, credentials: CachedSecret[GraphCredentials], cache: Cache, limit: int) -> None:
        self._graph = graph
        self._credentials = credentials
        self.cache = cache
        self._limit = limit

    @classmethod
    def connected(cls, settings: "FetchSettings", credentials: CachedSecret[GraphCredentials]) -> "Fetcher":
        """Make one from a function's settings."""
        cache = Cache(clients.s3(), settings.bucket_name)
        graph = Graph(settings.graph_url, settings.graph_version, settings.media_hosts)
        return cls(graph, credentials, cache, settings.max_media_bytes)

    def fetch(self, attempt: Attempt) -> Stored:
        """Bring the media into S3, with three quick tries for what is transient, inside the time left.

        Raises the `MediaError` of the last try, `TakesTooLong`, or `LeaseLost`.
        """
        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(retries.TRANSIENT),
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(TRIES),
                tenacity.stop_before_delay(attempt.deadline.left()),
                _StopBeforeLongPause(),
            ),
            wait=_pause,
            before_sleep=_note,
            reraise=True,
        )
        return tries(self._with_tokens, attempt)

    def _with_tokens(self, attempt: Attempt) -> Stored:
        """Try with the number's token; when Graph refuses it, once with another."""
        refused = AccessTokenInvalid("No access token is configured for this number.")
        for token in self._tokens(attempt.message.phone_number_id):
            try:
                return self._download(attempt, token)
            except AccessTokenInvalid as error:
                refused = error
        raise refused

    def _tokens(self, phone_number_id: str) -> Iterator[str]:
        """Give the current token; then, from the secret as it is by now, one that is different."""
        known = self._credentials.get().tokens_of(phone_number_id)[:1]
        yield from known
        yield from [t for t in self._credentials.refreshed().tokens_of(phone_number_id) if t not in known][:1]

    def _download(self, attempt: Attempt, token: str) -> Stored:
        """Locate and download; a URL that dies in between is resolved anew, once."""
        try:
            return self._download_once(attempt, token)
        except MediaUrlDead as error:
            logger.info("media_url_dead", message_id=attempt.message.message_id, status=error.http_status)
        try:
            return self._download_once(attempt, token)
        except MediaUrlDead as error:
            meaning = STILL_DEAD.get(error.http_status, MediaCorrupt)
            raise meaning(error.detail, http_status=error.http_status) from error

    def _download_once(self, attempt: Attempt, token: str) -> Stored:
        message, deadline = attempt.message, attempt.deadline
        attempt.lease.keep()
        place = self._graph.locate(attempt.source.media_id, message.phone_number_id, token, deadline)
        if place.size is not None and place.size > self._limit:
            raise MediaTooLarge(f"{place.size} bytes are declared, {self._limit} are allowed.")
        if attempt.largest is not None and (place.size or 0) > attempt.largest:
            raise TakesTooLong
        try:
            return self._stored(attempt, place, token)
        except GraphTimeout as error:
            if attempt.largest is not None and deadline.over:
                raise TakesTooLong from error
            raise

    def _stored(self, attempt: Attempt, place: Located, token: str) -> Stored:
        message = attempt.message
        name = metadata.file_name(message, place.mime_type)
        address = Address(message.phone_number_id, message.message_id, attempt.lease.fence, name)
        with self._graph.download(place, token, attempt.deadline) as chunks:
            return self.cache.store(attempt.lease.over(chunks), _expected(message, place, self._limit), address)


def _pause(state: tenacity.RetryCallState) -> float:
    """Wait as long as Graph asks, but never less than the jittered backoff."""
    return max(JITTER(state), getattr(_error(state), "retry_after", None) or 0)


class _StopBeforeLongPause(tenacity.stop.stop_base):
    """Stop when the pause would be so long that the time of a function is better spent on others."""

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        return retry_state.upcoming_sleep > LONGEST_PAUSE


def _note(state: tenacity.RetryCallState) -> None:
    logger.info("fetch_tried", attempt=state.attempt_number, code=getattr(_error(state), "code", None))


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _expected(message: Message, place: Located, limit: int) -> Expected:
    """Say what must come: Graph's word about the media first, else the webhook's."""
    return Expected(
        mime_type=place.mime_type or message.mime_type,
        size=place.size,
        sha256=place.sha256 or sha256_hex(message.sha256),
        limit=limit,
    )
