"""Entry point: fetch jobs from the queue, so that media are here before anybody looks and before Meta deletes them."""

import json
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from inbound import messages
from inbound.config import FetchSettings
from inbound.credentials import GRAPH, CachedSecret
from inbound.errors import MediaError
from inbound.jobs import FetchQueue
from inbound.media_states import servable
from inbound.observability import logger, metrics, reticent
from media_proxy.deadline import Deadline
from media_proxy.fetch import Fetcher
from media_proxy.media_items import DAY, MediaItems
from media_proxy.single_flight import Desk, Patience, ensure_cached

RESERVE = 5.0  # seconds of the function's time that are kept for noting what happened
ENOUGH = 30.0  # seconds that a job is begun with; one that finds less is queued again

settings = FetchSettings.from_environment()
# A batch in which every job fails would else be raised, with the text of each failure, past our logger.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@cache
def desk() -> Desk:
    """Give the process's desk."""
    fetcher = Fetcher.connected(settings, CachedSecret(settings.graph_secret_id, GRAPH))
    return Desk(
        items=MediaItems(messages.connect(settings.table_name)),
        jobs=FetchQueue(settings.queue_url),
        fetcher=lambda: fetcher,
        retention=settings.retention_days * DAY,
        no_storage_numbers=settings.no_storage_numbers,
    )


def job(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """Do one job; what it raises stays in the queue, comes again, and ends in the dead-letter queue."""
    try:
        prefetch(record, lambda_context)
    except Exception:
        logger.exception("job_failed", queue_message_id=record.message_id)
        raise


def prefetch(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """Do what a job asks for, `{"message_id": …}`.

    An attempt that fails has noted when the next one is due and is done with this job. What else fails
    raises: it is no job, the table does not answer, or a bug.
    """
    message_id = json.loads(record.body)["message_id"]
    left = lambda_context.get_remaining_time_in_millis() / 1000 - RESERVE
    if left < ENOUGH:
        desk().jobs.send([message_id])
        return
    found = desk().items.find(message_id)
    if found is None:
        logger.warning("job_without_message", message_id=message_id)
        return
    if found.media is not None and servable(found.media, desk().now()):
        return
    try:
        ensure_cached(found, desk(), Patience(Deadline.after(left)))
    except MediaError as error:
        logger.info("job_done_without_media", message_id=message_id, code=error.code)


@logger.inject_lambda_context(log_event=False)
@reticent
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Lambda's entry point: an SQS batch in, the jobs that failed out."""
    return process_partial_response(event=event, record_handler=job, processor=processor, context=context)
