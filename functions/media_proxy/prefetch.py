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
from inbound.errors import GraphTimeout, MediaError
from inbound.observability import logger, metrics
from media_proxy import retries
from media_proxy.deadline import Deadline
from media_proxy.delivery import Desk, ensure_cached, servable
from media_proxy.fetch import Fetcher
from media_proxy.media_items import MediaItems

RESERVE = 5.0  # seconds of the function's time that are kept for noting what happened

settings = FetchSettings.from_environment()
processor = BatchProcessor(event_type=EventType.SQS)


@cache
def desk() -> Desk:
    """Give the process's desk."""
    credentials = CachedSecret(settings.graph_secret_id, GRAPH)
    fetcher = Fetcher.connected(settings, credentials)
    items = MediaItems(messages.connect(settings.table_name), settings.retention_days)
    return Desk(items, lambda: fetcher, settings.no_storage_numbers)


def prefetch(record: SQSRecord, lambda_context: LambdaContext) -> None:
    """Do one job, `{"message_id": …}`. What raises stays in the queue and comes again."""
    message_id = json.loads(record.body)["message_id"]
    found = desk().items.find(message_id)
    if found is None:
        logger.warning("job_without_message", message_id=message_id)
        return
    if found.media is not None and servable(found.media, desk().now()):
        return
    try:
        left = lambda_context.get_remaining_time_in_millis() / 1000 - RESERVE
        media = ensure_cached(found, desk(), Deadline.after(left))
    except MediaError as error:
        if retries.is_final(error):
            return
        raise
    if media is None:
        raise GraphTimeout("Somebody else is still fetching it.")


@logger.inject_lambda_context
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Lambda's entry point: an SQS batch in, the jobs that failed out."""
    return process_partial_response(event=event, record_handler=prefetch, processor=processor, context=context)
