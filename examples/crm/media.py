"""All that this CRM had to learn about the media service: where a message's media is, and how to be let in. Pure."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

import jwt

TOKEN_LIFE = 15 * 60
"""Seconds. It stands in the page's addresses, so it lives little longer than an agent looks at the page."""


def message_id(phone_number_id: str, wamid: str) -> str:
    """Give the id under which the media service knows a message."""
    digest = hashlib.sha256(f"{phone_number_id}\n{wamid}".encode()).digest()
    return base64.b32encode(digest).decode().lower()[:26]


def media_token(secret: str, phone_numbers: Sequence[str], now: float) -> str:
    """Mint a token that opens the media of these numbers for a quarter of an hour."""
    return jwt.encode({"exp": int(now) + TOKEN_LIFE, "phone_numbers": list(phone_numbers)}, secret, algorithm="HS256")


def media_url(api_url: str, row: Mapping[str, object], token: str, **query: str) -> str:
    """Give the address of a row's media. Rows from before WhatsApp's ids were kept are known by their old id."""
    if row["wamid"]:
        path = f"/media/messages/{message_id(str(row['phone_number_id']), str(row['wamid']))}"
    else:
        path = f"/api/media/messages/{quote(str(row['id']), safe='')}"
    return f"{api_url}{path}?{urlencode({'token': token, **query})}"
