"""Meta's Graph API: a media id → a location → the bytes; and what it says of a token. The token stays on the list.

https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any
from urllib.parse import quote

import requests
import urllib3

from inbound.errors import AccessTokenInvalid, GraphTimeout, GraphUnavailable, MediaUrlDead
from inbound.outbound import NETWORK_FAULTS, Session
from media_proxy import graph_errors, hosts, token_state
from media_proxy.deadline import Deadline
from media_proxy.graph_errors import Located
from media_proxy.token_state import TokenState

CONNECT_TIMEOUT, READ_TIMEOUT = 3.0, 8.0  # seconds
LARGEST_ANSWER = 64 * 1024  # of JSON; a location has some 500 bytes
CHUNK = 256 * 1024
MOST_REDIRECTS = 3
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What a media URL answers once it is dead, although the media may well be there.
DEAD = frozenset({400, 401, 403, 404, 410})


class Graph:
    """A session with a version of Graph: keeps connections open between requests.

    `media_hosts` may be sent the token to download media; without any, nothing is downloaded.
    """

    def __init__(self, graph_url: str, version: str, media_hosts: tuple[str, ...] = ()) -> None:
        self._base = f"{graph_url}/{version}"
        self._allowed = media_hosts
        self._session = Session()

    def locate(self, media_id: str, phone_number_id: str, token: str, deadline: Deadline) -> Located:
        """Ask where the media of a number is; `media_id` must have been validated. Raises `MediaError`."""
        url = f"{self._base}/{media_id}?phone_number_id={quote(phone_number_id, safe='')}"
        with self._get(url, token, deadline) as response:
            body = b"".join(_limited(_chunks(response, deadline)))
            return graph_errors.located(response.status_code, response.headers, body, time.time())

    def token_state(self, token: str, asker: str, deadline: Deadline) -> TokenState:
        """Ask what Graph knows of a token. Raises `MediaError` when it does not answer, or not this asker.

        `asker` is a token of the same app: the token itself, or the app's own, `<app id>|<app secret>`.
        https://developers.facebook.com/docs/graph-api/reference/debug_token
        """
        url = f"{self._base}/debug_token?input_token={quote(token, safe='')}"
        with self._get(url, asker, deadline) as response:
            body = b"".join(_limited(_chunks(response, deadline)))
            return token_state.read(response.status_code, response.headers, body, time.time())

    def sees(self, phone_number_id: str, token: str, deadline: Deadline) -> None:
        """Look whether the token may see a business number (digits). Raises `MediaError` when it may not.

        https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/phone-numbers
        """
        with self._get(f"{self._base}/{phone_number_id}", token, deadline) as response:
            body = b"".join(_limited(_chunks(response, deadline)))
            if response.status_code != 200:
                raise graph_errors.error_of(response.status_code, response.headers, body, time.time())
            if graph_errors.json_object(body).get("id") != phone_number_id:
                raise GraphUnavailable("Graph's answer is not about the number.", http_status=200)

    @contextmanager
    def download(self, place: Located, token: str, deadline: Deadline) -> Iterator[Iterator[bytes]]:
        """Open the media itself and give its bytes as they come.

        Raises `MediaUrlDead` when the URL no longer serves it, else the `MediaError` of the answer; while reading,
        `GraphUnavailable` when the bytes break off and `GraphTimeout` when they come too late.
        """
        with self._follow(place.url, token, deadline) as response:
            if response.status_code != 200:
                body = b"".join(_limited(_chunks(response, deadline)))
                if response.status_code in DEAD and not graph_errors.has_known_code(body):
                    raise MediaUrlDead("The media URL is dead.", http_status=response.status_code)
                raise graph_errors.error_of(response.status_code, response.headers, body, time.time())
            yield _chunks(response, deadline)

    @contextmanager
    def _follow(self, url: str, token: str, deadline: Deadline) -> Iterator[requests.Response]:
        """Get a URL from the list, and what it redirects to as long as that is on the list as well."""
        for _ in range(MOST_REDIRECTS + 1):
            url = hosts.checked(url, self._allowed)
            with self._get(url, token, deadline) as response:
                if response.status_code not in REDIRECTS:
                    yield response
                    return
                url = hosts.checked(response.headers.get("Location", ""), self._allowed, base=url)
        raise GraphUnavailable("The media URL redirects in circles.")

    @contextmanager
    def _get(self, url: str, token: str, deadline: Deadline) -> Iterator[requests.Response]:
        # requests takes urllib3's own kind as well, which alone knows a total; only its annotations do not.
        timeout: Any = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT, total=deadline.left())
        if not (token.isascii() and token.isprintable()):
            raise AccessTokenInvalid("The access token holds characters that no token has.")
        headers = {"Authorization": f"Bearer {token}"}
        with _network_faults(deadline):
            response = self._session.get(url, headers=headers, timeout=timeout, allow_redirects=False, stream=True)
        # A peer that falls silent must not hold us beyond the deadline: its socket is then shut from outside.
        with response:
            watchdog = Timer(deadline.left(), _shut, [response])
            watchdog.daemon = True
            watchdog.start()
            try:
                yield response
            finally:
                watchdog.cancel()


def _shut(response: requests.Response) -> None:
    """Shut a response's socket, unless its body has been read already."""
    with suppress(RuntimeError, ValueError, OSError):
        response.raw.shutdown()


def _chunks(response: requests.Response, deadline: Deadline) -> Iterator[bytes]:
    """Read what is there, a socket's worth at a time: a drip must not hold us beyond the deadline."""
    with _network_faults(deadline):
        while chunk := response.raw.read1(CHUNK):
            deadline.left()
            yield chunk
        deadline.left()


def _limited(chunks: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST_ANSWER:
            raise GraphUnavailable("Graph's answer is too long to be one.")
        yield chunk


@contextmanager
def _network_faults(deadline: Deadline) -> Iterator[None]:
    """Turn the network's many exceptions into two of ours."""
    try:
        yield
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        deadline.left()
        raise GraphTimeout("WhatsApp did not answer in time.") from error
    except NETWORK_FAULTS as error:
        deadline.left()
        raise GraphUnavailable(f"The connection to WhatsApp failed ({type(error).__name__}).") from error
