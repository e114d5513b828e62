"""What Meta sent → the queue of what is to be forwarded, by way of the bucket when it is large."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from inbound import clients
from inbound.errors import StoreUnavailable
from inbound.observability import logger
from webhook.parcel import packed, parcel_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient


class Outbox:
    """The queue to the CRM's own webhook, and the bucket for bodies that are too large for it."""

    def __init__(
        self,
        queue_url: str,
        bucket: str,
        *,
        sqs: "Callable[[], SQSClient]" = clients.sqs,
        s3: "Callable[[], S3Client]" = clients.s3,
    ) -> None:
        self._queue_url = queue_url
        self._bucket = bucket
        self._sqs = sqs
        self._s3 = s3

    def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Queue a notification as Meta sent it. Header names are lower case.

        Raises `StoreUnavailable` when it is not queued; doing it again makes a duplicate at most.
        """
        parcel = parcel_of(body, headers)
        try:
            if parcel.s3_key is not None:
                self._s3().put_object(Bucket=self._bucket, Key=parcel.s3_key, Body=body)
            self._sqs().send_message(QueueUrl=self._queue_url, MessageBody=packed(parcel))
        except (BotoCoreError, ClientError) as error:
            logger.error("forward_not_queued", error=type(error).__name__)
            raise StoreUnavailable(f"Forwarding: {type(error).__name__}.") from error
