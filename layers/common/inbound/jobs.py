"""Fetch jobs: a queue of message ids whose media are to be fetched. A job done twice does no harm."""

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from inbound import clients
from inbound.batches import chunks, in_parallel, pauses
from inbound.errors import StoreUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
BATCH_SEND = 10
LONGEST_DELAY = 900  # seconds that SQS can hold a message back


class FetchQueue:
    """The queue of fetch jobs."""

    def __init__(self, url: str, client: "Callable[[], SQSClient]" = clients.sqs) -> None:
        self._url = url
        self._client = client

    def send(self, message_ids: Sequence[str], delay: int = 0) -> None:
        """Queue one job for each message, to be handed out after `delay` seconds (LONGEST_DELAY at most).

        Raises `StoreUnavailable` when SQS does not take them all; some may then be queued.
        """
        if message_ids:
            sqs = self._client()  # made here, before there are threads: making a client is not thread-safe
            batches = list(chunks(message_ids, BATCH_SEND))
            in_parallel(lambda batch: self._send_batch(sqs, batch, delay), batches)

    def _send_batch(self, sqs: "SQSClient", message_ids: Sequence[str], delay: int) -> None:
        """Send up to ten jobs, asking again for those that SQS failed."""
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": message_id, "MessageBody": json.dumps({"message_id": message_id}), "DelaySeconds": delay}
            for message_id in message_ids
        ]
        for pause in pauses():
            try:
                answer = sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
            except (BotoCoreError, ClientError) as error:
                raise StoreUnavailable(f"SQS: {type(error).__name__}.") from error
            failed = {failure["Id"] for failure in answer.get("Failed", [])}
            entries = [entry for entry in entries if entry["Id"] in failed]
            if not entries:
                return
            time.sleep(pause)
        raise StoreUnavailable("SQS failed some jobs.")
