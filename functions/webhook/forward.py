"""Entry point: what Meta sent → the CRM's own webhook, with Meta's signature, so that existing code goes on working.

At least once, in no order: what the CRM does not take comes again, later and later, and at last ends in the dead-letter
queue.
"""

import random
import time
from functools import cache
from typing import Any

import urllib3
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from inbound import clients
from inbound.config import ForwardSettings
from inbound.errors import ForwardFailed
from inbound.observability import logger, metrics, reticent
from inbound.outbound import NETWORK_FAULTS, Session
from inbound.retry_after import seconds_asked
from webhook.parcel import Parcel, unpacked
from webhook.patience import kind_of, wait_after

TIMEOUTS = (3.0, 20.0)  # seconds to connect, and to wait for the answer

settings = ForwardSettings.from_environment()
# A batch that fails as a whole is no failure of the function: each message has the time of its next try.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@cache
def session() -> Session:
    """Give the process's session."""
    return Session()


def forward(record: SQSRecord) -> None:
    """Send one notification. What raises stays in the queue, and comes again when its time has come."""
    try:
        metrics.add_metric("ForwardDelay", MetricUnit.Seconds, age(record))
        parcel = unpacked(record.body)
        post(parcel, body_of(parcel))
    except ForwardFailed as error:
        metrics.add_metric(f"ForwardFailed_{error.kind}", MetricUnit.Count, 1)
        tries = int(record.attributes.approximate_receive_count)
        wait = wait_after(age(record), random.random(), error.retry_after)
        logger.warning("forward_failed", kind=error.kind, detail=error.detail, tries=tries, wait=wait)
        hold_back(record, wait)
        raise
    except Exception:
        logger.exception("forward_broken", queue_message_id=record.message_id)
        raise
    metrics.add_metric("Forwarded", MetricUnit.Count, 1)


def age(record: SQSRecord) -> float:
    """Give the seconds since the notification was queued."""
    return max(0.0, time.time() - int(record.attributes.sent_timestamp) / 1000)


def body_of(parcel: Parcel) -> bytes:
    """Give Meta's bytes, from the bucket where they are there. Raises `ForwardFailed`."""
    if parcel.body is not None:
        return parcel.body
    try:
        found = clients.s3().get_object(Bucket=settings.bucket_name, Key=parcel.s3_key or "")
        return found["Body"].read()
    except (BotoCoreError, ClientError, urllib3.exceptions.HTTPError) as error:
        raise ForwardFailed(f"The body cannot be read: {type(error).__name__}.", kind="body") from error


def post(parcel: Parcel, body: bytes) -> None:
    """Send the bytes as they are. Raises `ForwardFailed` unless the CRM answers 2xx; a redirect is no answer."""
    headers = {**parcel.headers, "X-Delivery-Id": parcel.delivery_id}
    try:
        # Streamed, so that nothing of the answer but its status and headers is waited for.
        with session().post(
            settings.forward_url, data=body, headers=headers, timeout=TIMEOUTS, allow_redirects=False, stream=True
        ) as answer:
            status, asked = answer.status_code, seconds_asked(answer.headers.get("Retry-After", ""), time.time())
            if answer.raw.length_remaining == 0:
                _ = answer.content  # nothing is left to wait for: the connection serves the next one
    except NETWORK_FAULTS as error:
        raise ForwardFailed(f"The CRM's webhook cannot be reached: {type(error).__name__}.", kind="network") from error
    if kind_of(status) != "2xx":
        raise ForwardFailed(f"The CRM's webhook answered {status}.", kind=kind_of(status), retry_after=asked)


def hold_back(record: SQSRecord, wait: int) -> None:
    """Let the queue hand the notification out again after so many seconds; failing that, after its usual time."""
    try:
        clients.sqs().change_message_visibility(
            QueueUrl=settings.forward_queue_url, ReceiptHandle=record.receipt_handle, VisibilityTimeout=wait
        )
    except (BotoCoreError, ClientError) as error:
        logger.error("wait_not_set", error=type(error).__name__)


@logger.inject_lambda_context(log_event=False)
@reticent
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Lambda's entry point: an SQS batch in, the notifications that the CRM did not take out."""
    return process_partial_response(event=event, record_handler=forward, processor=processor, context=context)
