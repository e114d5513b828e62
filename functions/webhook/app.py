"""Entry point: Meta's verification GET and its notifications.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint
"""

import base64
import hmac
import json
import time
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response, content_types
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from inbound import messages
from inbound.answers import with_precautions
from inbound.config import WebhookSettings
from inbound.credentials import APPS, CachedSecret
from inbound.errors import (
    BodyTooLarge,
    InboundError,
    NotConfigured,
    SignatureInvalid,
    StoreUnavailable,
    VerificationFailed,
)
from inbound.observability import logger, metrics, reticent
from inbound.problems import problem
from webhook import binding, payload, signature
from webhook.intake import Intake

if TYPE_CHECKING:
    from webhook.outbox import Outbox

# Meta sends at most 3 MB: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/overview
LARGEST_BODY = 3 * 1024 * 1024

settings = WebhookSettings.from_environment()
apps = CachedSecret(settings.apps_secret_id, APPS)
app = APIGatewayHttpResolver(debug=False)  # whatever POWERTOOLS_DEV says: it would print events, and answer tracebacks


@cache
def intake() -> Intake:
    """Give the process's intake; the verification GET does without."""
    return Intake(messages.connect(settings.table_name), bucket=settings.bucket_name, queue_url=settings.queue_url)


@cache
def outbox() -> "Outbox | None":
    """Give the process's way to the CRM's own webhook, if there is one; else it is not even imported."""
    if not settings.forward_queue_url:
        return None
    from webhook.outbox import Outbox

    return Outbox(settings.forward_queue_url, settings.bucket_name)


@app.get("/webhook")
def verify() -> Response[str]:
    """Echo Meta's challenge when the verify token is one of an app's."""
    query = app.current_event.query_string_parameters
    token = query.get("hub.verify_token", "").encode("utf-8", "surrogatepass")
    known = [hmac.compare_digest(token, one.verify_token.encode()) for one in apps.get().values()]
    if query.get("hub.mode") != "subscribe" or not any(known):
        raise VerificationFailed("hub.mode must be subscribe and hub.verify_token an app's verify token.")
    return Response(200, content_types.TEXT_PLAIN, query.get("hub.challenge", ""))


@app.post("/webhook")
def receive() -> Response[str]:
    """Store a notification and queue its media, and itself where it is forwarded; 200 means that all is done."""
    body, headers = raw_body(app.current_event.raw_event), app.current_event.headers
    signed_by = authenticate(body, headers.get("x-hub-signature-256", ""))
    delivery = payload.Delivery(body, min(signed_by), time.time_ns() // 1_000_000, settings.retention_days)
    records = binding.permitted(payload.parse(delivery), signed_by, apps.get(), delivery)
    intake().accept(records.kept, delivery)
    if to_crm := outbox():
        to_crm.send(body, headers)
    count(records)
    return Response(200, content_types.TEXT_PLAIN, "")


def raw_body(event: dict[str, Any]) -> bytes:
    """Give the bytes that Meta sent and signed. Raises `BodyTooLarge` before anything is decoded or hashed.

    API Gateway hands over text, or base64 where it takes the content type for binary.
    """
    body = event.get("body") or ""
    encoded = bool(event.get("isBase64Encoded"))
    if len(body) > (LARGEST_BODY * 4 // 3 + 4 if encoded else LARGEST_BODY):
        raise BodyTooLarge(f"More than {LARGEST_BODY} bytes.")
    try:
        raw = base64.b64decode(body) if encoded else body.encode("utf-8", "surrogatepass")
    except ValueError as error:
        raise SignatureInvalid("The body is not base64, so nobody can have signed it.") from error
    if len(raw) > LARGEST_BODY:
        raise BodyTooLarge(f"More than {LARGEST_BODY} bytes.")
    return raw


def authenticate(body: bytes, header: str) -> frozenset[str]:
    """Give the apps that signed the body; the secrets are read again before a signature is called wrong.

    Raises `SignatureInvalid`, or `NotConfigured` when there is no secret to check it with.
    """
    for known in (apps.get, apps.refreshed):
        secrets = {app_id: one.secrets for app_id, one in known().items()}
        if signed_by := signature.signers(body, header, secrets):
            return signed_by
    if not secrets:
        raise NotConfigured("The secret of the apps is empty.")
    metrics.add_metric("SignatureInvalid", MetricUnit.Count, 1)
    raise SignatureInvalid("X-Hub-Signature-256 is missing or wrong.")


def count(records: binding.Permitted) -> None:
    """Publish what was stored, and what Meta sent without a media id."""
    kinds = Counter(record.model for record in records.kept)
    metrics.add_metric("Messages", MetricUnit.Count, kinds["Message"])
    types = Counter(payload.counted_type(record) for record in records.kept if record.model == "Message")
    for name, stored in types.items():
        metrics.add_metric(f"Stored_{name}", MetricUnit.Count, stored)
    metrics.add_metric("Statuses", MetricUnit.Count, kinds["Status"])
    metrics.add_metric("Events", MetricUnit.Count, kinds["Event"])
    if records.foreign:
        metrics.add_metric("ForeignNumber", MetricUnit.Count, records.foreign)
        logger.warning("foreign_number", count=records.foreign)
    missing = [record.attributes for record in records.kept if payload.lacks_media_id(record)]
    if missing:
        metrics.add_metric("MediaIdMissing", MetricUnit.Count, len(missing))
    for message in missing:
        logger.warning("media_id_missing", message_id=message["message_id"], keys=payload.media_keys(message))


def refuse(error: InboundError) -> Response[str]:
    """Answer an error of the tree; each is logged once, here."""
    if isinstance(error, StoreUnavailable):
        metrics.add_metric("Faults", MetricUnit.Count, 1)
    answer = problem(error)
    logger.warning("refused", code=error.code, status=answer.status)
    return Response(answer.status, body=json.dumps(answer.body), headers=answer.headers)


def fail(error: Exception) -> Response[str]:
    """Answer what nobody foresaw, such as a secret that cannot be read: Meta shall try again."""
    logger.exception("unforeseen")
    return refuse(StoreUnavailable(type(error).__name__))


app.exception_handler(InboundError)(refuse)
app.exception_handler(Exception)(fail)


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP, log_event=False)
@reticent
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Lambda's entry point: an HTTP API event (payload 2.0) in, its answer out."""
    return with_precautions(app.resolve(event, context))
