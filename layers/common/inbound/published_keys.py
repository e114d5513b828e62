"""The identity provider's keys, read over HTTP and remembered."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from inbound import jwks
from inbound.cached import Cached
from inbound.errors import InternalError, Unauthenticated
from inbound.jwks import NotAKeySet, PublishedKey
from inbound.observability import logger, metrics
from inbound.outbound import NETWORK_FAULTS, Session

if TYPE_CHECKING:
    from inbound.jwks import PublicKey

TIMEOUTS = (2.0, 2.0)  # seconds to connect, and of silence
LONGEST = 5.0  # seconds for the whole document
LARGEST = 512 * 1024  # bytes of it
CHUNK = 64 * 1024
TRUSTED = 6 * 3600.0  # seconds that keys are used while the provider does not give them again
REST = 5.0  # seconds between two tries while there are none


class KeysUnreadable(Exception):
    """The provider does not give its keys now."""


class PublishedKeys:
    """The keys behind a JWKS address, for as long as the process lives.

    A key id that is not known makes us read them again, at most once a minute, whatever ids tokens make up. While
    they cannot be read, the last ones go on being used, for hours: a provider that is down locks nobody out, and
    one that withdrew a key is believed in the end.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._session = Session()
        self._keys = Cached(self._read, (KeysUnreadable,), _note, endures=TRUSTED, rest=REST, clock=clock)

    def key(self, algorithm: str, key_id: str | None) -> "PublicKey":
        """Give the key for tokens that name this algorithm and key id.

        Raises `Unauthenticated` when the provider has none such, `InternalError` when it has told us nothing yet.
        """
        try:
            for known in (self._keys.get, self._keys.refreshed):
                if (found := jwks.chosen(known(), algorithm, key_id)) is not None:
                    return found.key
        except KeysUnreadable as error:
            raise InternalError("The identity provider's keys cannot be read.") from error
        raise Unauthenticated("The media token is not valid.")

    def _read(self) -> tuple[PublishedKey, ...]:
        try:
            return jwks.published(self._document())
        except (*NETWORK_FAULTS, NotAKeySet) as error:
            metrics.add_metric("JwksUnreadable", "Count", 1)
            # From none: what the network's errors say may hold the address, and would stand in the log.
            raise KeysUnreadable(str(error) if isinstance(error, NotAKeySet) else type(error).__name__) from None

    def _document(self) -> bytes:
        """Get the document from this address and no other: a redirect is not one."""
        ends = time.monotonic() + LONGEST
        with self._session.get(self._url, timeout=TIMEOUTS, allow_redirects=False, stream=True) as response:
            if response.status_code != 200:
                raise NotAKeySet(f"HTTP {response.status_code}.")
            document = bytearray()
            while chunk := response.raw.read1(CHUNK):
                document += chunk
                if len(document) > LARGEST or time.monotonic() > ends:
                    raise NotAKeySet("The key set is too large, or comes too slowly.")
            return bytes(document)


def _note(fault: Exception) -> None:
    logger.error("jwks_not_readable", error=str(fault))
