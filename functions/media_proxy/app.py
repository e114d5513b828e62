"""Entry point: a browser, or a back end, asks for the media of a message."""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.utilities.typing import LambdaContext

from inbound import messages
from inbound.answers import with_precautions
from inbound.callers import Callers
from inbound.config import ProxySettings
from inbound.credentials import GRAPH, SIGNING_KEYS, CachedSecret
from inbound.errors import InboundError, InternalError, MessageNotFound, StoreUnavailable
from inbound.jobs import FetchQueue
from inbound.observability import logger, metrics, reticent
from inbound.problems import problem
from media_proxy import responses, signing
from media_proxy.deadline import Deadline
from media_proxy.delivery import Asked, Pending, Ready, deliver
from media_proxy.media_items import DAY, MediaItems
from media_proxy.single_flight import Desk, Patience
from media_proxy.success import counted

if TYPE_CHECKING:
    from inbound.credentials import SigningKey
    from media_proxy.fetch import Fetcher

METHODS = ["GET", "HEAD"]
RESERVE = 2.0  # seconds of the function's time that are kept for noting what happened
FOR_OTHERS = 8.0  # seconds that a view waits for somebody else's attempt
LARGEST_AT_ONCE = 16 * 1000 * 1000  # bytes that a view waits for; what is larger is the worker's to fetch

settings = ProxySettings.from_environment()
graph_credentials = CachedSecret(settings.graph_secret_id, GRAPH)
signing_keys = CachedSecret(settings.signing_key_secret_id, SIGNING_KEYS)
app = APIGatewayHttpResolver(debug=False)  # whatever POWERTOOLS_DEV says: it would print events, and answer tracebacks


@cache
def fetcher() -> "Fetcher":
    """Give the process's fetcher; it is imported on the first miss, for a hit needs neither Graph nor S3."""
    from media_proxy.fetch import Fetcher

    return Fetcher.connected(settings, graph_credentials)


callers = Callers(settings, graph_credentials)
desk = Desk(
    items=MediaItems(messages.connect(settings.table_name)),
    jobs=FetchQueue(settings.queue_url),
    fetcher=fetcher,
    retention=settings.retention_days * DAY,
    no_storage_numbers=settings.no_storage_numbers,
)


@app.route("/media/messages/<message_id>", method=METHODS)
@app.route("/api/media/messages/<message_id>", method=METHODS)
def media(message_id: str) -> Response[str]:
    """Redirect to the media of a message, or say in JSON where it is."""
    event = app.current_event
    query, headers = event.query_string_parameters, event.headers
    asked = Asked(
        message_id=event.path_parameters.get("message_id", message_id),
        scope=callers.scope(event),
        retry="retry" in query,
        download=query.get("download", "") == "1",
    )
    left = app.lambda_context.get_remaining_time_in_millis() / 1000 - RESERVE
    patience = Patience(Deadline.after(left), for_others=FOR_OTHERS, largest=LARGEST_AT_ONCE)
    outcome = deliver(asked, desk, settings.edge_url, signing_key, patience)
    count(outcome)
    as_json = responses.wants_json(headers.get("accept", ""))
    answer = responses.answer_of(outcome, as_json=as_json, retry=asked.retry, now=desk.now())
    return Response(answer.status, body=answer.body, headers=answer.headers)


def signing_key() -> "SigningKey":
    """Give the key to sign with now."""
    return signing.active_key(signing_keys.get(), desk.now())


def count(outcome: Ready | Pending | InboundError) -> None:
    """Count a request for the success rate."""
    for name in counted(outcome):
        metrics.add_metric(name, "Count", 1)


def refuse(error: InboundError) -> Response[str]:
    """Answer an error of the tree; each is logged once, here."""
    if isinstance(error, StoreUnavailable):
        return fail(error)
    count(error)
    if isinstance(error, InternalError):
        logger.error("internal_error", detail=error.detail, exc_info=error)
        error.detail = f"Request {app.lambda_context.aws_request_id}."
    answer = problem(error)
    logger.info("refused", code=error.code, status=answer.status)
    metrics.add_metric(f"Answered_{error.code}", "Count", 1)
    return Response(answer.status, body=json.dumps(answer.body), headers=answer.headers)


def fail(error: Exception) -> Response[str]:
    """Answer what nobody foresaw: the request id, and nothing else."""
    logger.exception("unforeseen")
    return refuse(InternalError(type(error).__name__))


def not_found(_: Exception) -> Response[str]:
    """Answer a path that is no route of ours, such as an id with a slash in it."""
    return refuse(MessageNotFound("There is no such message."))


app.exception_handler(InboundError)(refuse)
app.exception_handler(Exception)(fail)
app.not_found(not_found)


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP, log_event=False)
@reticent
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Lambda's entry point: an HTTP API event (payload 2.0) in, its answer out."""
    return with_precautions(app.resolve(event, context))
