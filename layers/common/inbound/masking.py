"""What no log line may show: phone numbers, tokens, signatures, keys. Pure: a value in, the same without them out.

What is ours to log stays as it is, or nobody could work with the log: message ids, request ids, trace ids, dates,
codes, sizes. A number counts as a phone number from eight digits on, where neither a letter nor another digit stands
beside it: E.164 has fifteen at most, but Meta's ids are longer and no less a person's.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

MASK = "***"

# What stands under these keys is a person's or a secret, whatever it looks like.
HIDDEN_KEYS = frozenset(
    {
        *("access_token", "authorization", "body", "caption", "contact", "contact_phone", "contact_user_id"),
        *("contacts", "cookie", "cookies", "filename", "from", "from_user_id", "group_id", "hub.verify_token"),
        *("media_token", "media_token_secrets", "pem", "phone", "profile", "profile_name", "raw", "recipient_id"),
        *("recipient_user_id", "secrets", "text", "to", "to_user_id", "token", "tokens", "user_id", "verify_token"),
        *("wa_id", "wamid", "x-hub-signature-256"),
    }
)
# Long numbers under these keys are ours.
OUR_NUMBERS = frozenset({"oldest", "size"})
LARGEST = 9_999_999  # that a number may be under other keys; Graph's subcodes have seven digits

_NAMES = "|".join(
    re.escape(name)
    for name in (
        *("access_token", "authorization", "cookie", "media_token", "pem", "signature", "token", "verify_token"),
        *("x-amz-security-token", "x-amz-signature", "x-hub-signature", "x-hub-signature-256"),
    )
)
_HEX = "[0-9a-f]"
_FORBIDDEN = rf"""
      (?P<kept>                                                       # ours, although it holds long numbers:
          \b{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}\b   # a request id
        | \b1-{_HEX}{{8}}-{_HEX}{{24}}\b                              # a trace id
        | \barn:[\w-]+:[\w-]+:[\w-]*:\d*:                             # an account, within an ARN
      )
    | -----BEGIN\ [A-Z ]+-----.*?(?:-----END\ [A-Z ]+-----|\Z)        # a key
    | \beyJ[\w-]{{6,}}(?:\.[\w-]*)*                                   # a JSON Web Token
    | \bEAA[A-Za-z0-9]{{12,}}                                         # a token of Graph
    | \bwamid\.[\w+/=%\\-]+                                           # it holds the phone number, in base64
    | \bsha256={_HEX}+                                                # a signature of Meta's
    | (?P<named>                                                      # name=value, name: value, "name": "value"
          (?:(?<=[?&])[\w.~%-]+=                                      # in a query, any name
            | (?:\b|(?<=[_.-]))(?:{_NAMES})\\?["']?\s*[=:]\s*\\?["']?(?:bearer\s+)?
            | \bbearer\s+
          )
      )(?!-----BEGIN)[^\s"'\\&,;<>(){{}}\[\]]+
    | \+\d[\d\ ().-]{{6,}}\d                                          # a phone number, as people write it
    | (?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?<!\d\.)\d{{8,}}(?![A-Za-z0-9])   # and as programs do
    """


def masked(value: Any, key: str = "") -> Any:
    """Give a value as it may be logged under a key; mappings and lists are gone through, other objects become text."""
    if key.lower() in HIDDEN_KEYS:
        return MASK
    if isinstance(value, Mapping):
        return {masked_text(str(name)): masked(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(inner, key) for inner in value]
    return _masked_scalar(value, ours=key in OUR_NUMBERS)


def masked_text(text: str) -> str:
    """Give a text as it may be logged."""
    return _forbidden().sub(_replacement, text)


@cache
def _forbidden() -> re.Pattern[str]:
    """Compile the pattern when there is something to log: a cold start that logs nothing does not pay for it."""
    return re.compile(_FORBIDDEN, re.VERBOSE | re.DOTALL | re.IGNORECASE)


def _replacement(found: re.Match[str]) -> str:
    return found["kept"] or (found["named"] or "") + MASK


def _masked_scalar(value: Any, *, ours: bool) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if ours or abs(value) <= LARGEST else MASK
    text = str(value)
    return text if ours and text.isdecimal() else masked_text(text)
