"""What our public keys are called at CloudFront, where names are unique in an account for all Regions. Pure.

CloudFront takes letters, digits, hyphens and underscores, 128 at most. Stacks and Regions have no underscore, so it
tells them apart: the keys of a stack `media` are never taken for those of a stack `media-eu`.
"""

import hashlib
import re

from inbound.errors import RequestInvalid

# 70 + 20 (Region) + 20 (version) + 12 (token) and three underscores.
LONGEST_STACK = 70
_STACK_ID = re.compile(
    r"arn:[a-z-]+:cloudformation:(?P<region>[a-z0-9-]{1,20}):[0-9]{12}:stack/(?P<stack>[A-Za-z][A-Za-z0-9-]{0,127})/.+",
    re.ASCII,
)


def owner(stack_id: str) -> str:
    """Give what the names of a stack's keys begin with. Raises `RequestInvalid` for what is no stack's ARN."""
    match = _STACK_ID.fullmatch(stack_id)
    if match is None:
        raise RequestInvalid("StackId is not the ARN of a stack.")
    return f"{_short(match['stack'])}_{match['region']}"


def name(owner: str, version: str, token: str) -> str:
    """Give the name of a key; the token makes each a new one, since a name may still be taken by a discarded key."""
    return f"{owner}_{version}_{token}"


def belongs(name: str, owner: str) -> bool:
    """Tell whether a public key is one of the owner's."""
    return name.startswith(f"{owner}_")


def _short(stack: str) -> str:
    if len(stack) <= LONGEST_STACK:
        return stack
    digest = hashlib.sha256(stack.encode()).hexdigest()[:12]
    return f"{stack[: LONGEST_STACK - 13]}-{digest}"
