"""Entry point: an agent's page asks for conversations and messages."""

import json
import time
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.utilities.typing import LambdaContext

from inbound import messages
from inbound.answers import with_precautions
from inbound.callers import Callers
from inbound.config import InboxSettings
from inbound.credentials import GRAPH, CachedSecret
from inbound.errors import InboundError, InternalError, MessageNotFound, StoreUnavailable
from inbound.observability import logger, metrics, reticent
from inbound.problems import problem
from inbox import conversations, thread
from inbox.records import Records
from inbox.request import number_in, window_in

settings = InboxSettings.from_environment()
app = APIGatewayHttpResolver(debug=False)  # whatever POWERTOOLS_DEV says: it would print events, and answer tracebacks
callers = Callers(settings, CachedSecret(settings.graph_secret_id, GRAPH))
records = Records(messages.connect(settings.table_name))


@app.get("/conversations")
def list_conversations() -> Response[str]:
    """List a number's conversations."""
    scope, query = callers.scope(app.current_event), app.current_event.query_string_parameters
    number = number_in(query)
    window = window_in(query, conversations.listing_of(number))
    return answered(conversations.conversations(number, window, scope, records, now()))


@app.get("/conversations/<contact_id>/messages")
def list_messages(contact_id: str) -> Response[str]:
    """List the messages of a conversation."""
    scope, query = callers.scope(app.current_event), app.current_event.query_string_parameters
    number, asked_id = number_in(query), parameter("contact_id", contact_id)
    window = window_in(query, thread.listing_of(number, asked_id))
    return answered(thread.thread(number, asked_id, window, scope, records, now()))


@app.get("/messages/<message_id>")
def one_message(message_id: str) -> Response[str]:
    """Give one message."""
    scope = callers.scope(app.current_event)
    return answered(thread.message(parameter("message_id", message_id), scope, records, now()))


def parameter(name: str, matched: str) -> str:
    """Give a path parameter as API Gateway decoded it; the resolver matches the path as it came."""
    return app.current_event.path_parameters.get(name, matched)


def now() -> int:
    """Give Unix seconds."""
    return int(time.time())


def answered(body: object) -> Response[str]:
    """Answer with JSON that nobody may keep: it is private, and soon old."""
    return Response(200, content_types.APPLICATION_JSON, json.dumps(body), {"Cache-Control": "no-store"})


def refuse(error: InboundError) -> Response[str]:
    """Answer an error of the tree; each is logged once, here."""
    if isinstance(error, StoreUnavailable):
        return fail(error)
    if isinstance(error, InternalError):
        metrics.add_metric("Faults", "Count", 1)
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
