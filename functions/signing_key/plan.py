"""Which keys there shall be, given those that there are. Pure: keys, version and time come from outside.

The function is asked again whenever CloudFormation repeats itself, goes back, or was cut off. So nothing is counted
and no step is remembered: the same wish for the same keys changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from inbound.errors import TooManySigningKeys

if TYPE_CHECKING:
    from signing_key.stored_keys import StoredKey

HOUR = 3600
KNOWN_EVERYWHERE = HOUR // 2  # seconds until every edge of CloudFront surely knows a new key
# Functions remember the secret for five minutes: so long they may sign with a key that has left it.
SOON = 600  # seconds
# Two windows of six hours (media_proxy.signing), and an hour for what is remembered and for clocks.
LONGEST_LIFE = 13 * HOUR  # seconds that an address may outlive its key's last signature
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-key-groups
MOST = 5


class Plan(NamedTuple):
    """Keys that stay, newest first, and from when one that is to be made signs (Unix seconds; None: none is made)."""

    keys: "tuple[StoredKey, ...]"
    new_from: int | None = None


def plan(keys: "Iterable[StoredKey]", version: str, now: int, *, keep_old: bool) -> Plan:
    """Give the keys for a version. `now` is in Unix seconds.

    A version that is not there gets a new key. A version that others have followed signs again at once. With
    `keep_old` false only the key of this version is left. Raises `TooManySigningKeys`.
    """
    known = sorted(keys, key=lambda key: key.active_from, reverse=True)
    wanted = next((key for key in known if key.version == version), None)
    others = [key for key in known if key is not wanted] if keep_old else []
    if wanted is None or wanted is not known[0]:
        others = _still_trusted(others, now)
    if wanted is None:
        return _with_new(others, now)
    return _led_by(wanted, others, now)


def _with_new(others: "Sequence[StoredKey]", now: int) -> Plan:
    """Add a key: it signs once every edge knows it, or at once where there is no other."""
    if len(others) >= MOST:
        raise TooManySigningKeys(
            f"CloudFront takes {MOST} keys, and each of {len(others)} may have signed addresses that are still in use. "
            f"Try again {LONGEST_LIFE // HOUR} hours after the last change of KeyVersion."
        )
    if not others:
        return Plan((), 0)
    return Plan(_led_by(others[0], others[1:], now).keys, now + KNOWN_EVERYWHERE)


def _led_by(wanted: "StoredKey", others: "Sequence[StoredKey]", now: int) -> Plan:
    """Let a key that is there be the newest. Nothing changes when it is, and some key signs."""
    leads = not others or others[0].active_from <= wanted.active_from
    if leads and _one_signs((wanted, *others), now):
        return Plan((wanted, *others))
    return Plan((_since(wanted, now), *(_since(key, min(key.active_from, now - 1)) for key in others)))


def _still_trusted(keys: "Sequence[StoredKey]", now: int) -> "list[StoredKey]":
    """Give those of the keys, newest first, that may have signed an address in use; the newest of them always."""
    used = [key for key in keys if key.active_from <= now + SOON]
    followers = [float("inf"), *(key.active_from for key in used)]
    return [key for key, followed in zip(used, followers, strict=False) if followed + LONGEST_LIFE > now]


def _one_signs(keys: "Iterable[StoredKey]", now: int) -> bool:
    return any(key.active_from <= now for key in keys)


def _since(key: "StoredKey", active_from: float) -> "StoredKey":
    return key.model_copy(update={"active_from": active_from})
