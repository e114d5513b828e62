"""A notification on its way to the CRM's own webhook: Meta's bytes, the headers that go with them, an id. Pure.

It waits in a queue whose messages are texts of limited size, so the bytes travel as base64, or lie in the bucket.
"""

import hashlib
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from inbound.errors import ForwardFailed

# What the receiver checks, and how it is to read the bytes. Older code may check the first form of the signature.
# https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads
PASSED_ON = ("content-type", "x-hub-signature", "x-hub-signature-256")
LONGEST_HEADER = 200  # characters
# As base64 and with its headers a body then fits into 256 KiB, which every queue takes; SQS allows up to 1 MiB.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
LARGEST_INSIDE = 180_000  # bytes
PREFIX = "forward/"  # of the bodies in the bucket


class Parcel(BaseModel):
    """What one message of the queue says: the headers to send, and the body or its object key."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, ser_json_bytes="base64", val_json_bytes="base64"
    )

    delivery_id: str
    headers: dict[str, str]
    body: bytes | None = None
    s3_key: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Parcel":
        if (self.body is None) == (self.s3_key is None):
            raise ValueError("a parcel has a body, or says where it is")
        return self


def parcel_of(body: bytes, headers: Mapping[str, str]) -> Parcel:
    """Give the parcel of a notification: with its bytes where they fit into the queue, else with their object key.

    The same bytes have the same id and key, however often Meta sends them. Header names are lower case.
    """
    own_id = hashlib.sha256(body).hexdigest()[:32]
    place = {"body": body} if len(body) <= LARGEST_INSIDE else {"s3_key": f"{PREFIX}{own_id}"}
    return Parcel.model_validate({"delivery_id": own_id, "headers": passed_on(headers), **place})


def packed(parcel: Parcel) -> str:
    """Give the queue's message for a parcel."""
    return parcel.model_dump_json(exclude_none=True)


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers that matter. What HTTP would not carry as it is, or is endless, is left out."""
    return {
        name: value
        for name in PASSED_ON
        if (value := headers.get(name)) and value.isascii() and value.isprintable() and len(value) <= LONGEST_HEADER
    }


def unpacked(message: str) -> Parcel:
    """Read a message of the queue. Raises `ForwardFailed` when it is none of ours."""
    try:
        return Parcel.model_validate_json(message)
    except ValidationError as error:
        raise ForwardFailed("A message in the queue is no parcel.", kind="unreadable") from error
