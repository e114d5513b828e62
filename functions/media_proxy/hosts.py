"""Which URLs we may ask for media: the list `MEDIA_HOSTS`. Pure.

An entry is a host suffix (".fbsbx.com": https, default port) or an exact origin ("http://127.0.0.1:8091").
"""

import re
from collections.abc import Iterable
from urllib.parse import urljoin

from inbound.errors import MediaHostRefused

UNUSUAL = "Graph gave a URL of an unusual form."

# Narrower than RFC 3986 on purpose: no userinfo, no backslash, no control characters, nothing outside ASCII, so that
# no two parsers can differ on which host is meant.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?P<port>:[0-9]{1,5})?"
    r"(?P<rest>[/?][!#-\[\]-~]*)?",
    re.ASCII,
)


def checked(url: str, allowed: Iterable[str], base: str | None = None) -> str:
    """Give the URL (resolved against `base`) when it is on the list. Raises `MediaHostRefused` otherwise."""
    try:
        target = urljoin(base, url) if base else url
    except ValueError as error:
        raise MediaHostRefused(UNUSUAL) from error
    parts = _URL.fullmatch(target)
    if parts is None:
        raise MediaHostRefused(UNUSUAL)
    scheme, host, port = parts["scheme"].lower(), parts["host"].lower(), parts["port"] or ""
    origin = f"{scheme}://{host}{port}"
    for entry in allowed:
        if "://" in entry:
            if origin == entry.lower().rstrip("/"):
                return target
        elif scheme == "https" and port in {"", ":443"} and f".{host}".endswith(f".{entry.lower().lstrip('.')}"):
            return target
    raise MediaHostRefused(f"The host {host} is not on the list of media hosts.")
