"""What CloudFormation is told. Pure.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

# The same for every answer, or CloudFormation would take an update for a replacement and delete what it replaced.
PHYSICAL_ID = "signing-keys"
LARGEST = 4096  # bytes of a body


class Answer(NamedTuple):
    """The CloudFront ids of the keys, newest first; or the reason why it failed."""

    key_ids: tuple[str, ...] = ()
    reason: str = ""


def reason(error: BaseException, log_group: str) -> str:
    """Tell an error to an operator: its type, and its own detail if it is one of ours. Others may quote secrets."""
    detail = getattr(error, "detail", "") or f"Where it happened stands in the log group {log_group}."
    return f"{type(error).__name__}: {detail}"


def body(answer: Answer, request: Mapping[str, Any]) -> bytes:
    """Give the body of the answer to a request; a reason that does not fit is cut."""
    fields = {
        "Status": "FAILED" if answer.reason else "SUCCESS",
        "PhysicalResourceId": request.get("PhysicalResourceId") or PHYSICAL_ID,
        **{name: request.get(name) for name in ("StackId", "RequestId", "LogicalResourceId")},
        "Data": {"KeyIds": ",".join(answer.key_ids)},
    }
    text = answer.reason
    while len(encoded := json.dumps({**fields, "Reason": text}).encode()) > LARGEST and text:
        text = text[: len(text) * 3 // 4]
    return encoded
