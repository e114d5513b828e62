"""What environments are forked with: the libraries of the handlers, imported and used once, and nothing of ours.

Imported by the server that environments are forked from, and there alone. It halves what a start costs.
"""

import gc

import aws_lambda_powertools.event_handler
import aws_lambda_powertools.metrics
import aws_lambda_powertools.utilities.batch
import boto3.session
import cryptography.hazmat.primitives.asymmetric.ec
import cryptography.hazmat.primitives.serialization
import jwt
import pydantic
import pynamodb.models
import requests

import local.runtime

IMPORTED = (
    aws_lambda_powertools.event_handler.APIGatewayHttpResolver,
    aws_lambda_powertools.metrics.Metrics,
    aws_lambda_powertools.utilities.batch.BatchProcessor,
    cryptography.hazmat.primitives.asymmetric.ec.ECDSA,
    cryptography.hazmat.primitives.serialization.load_pem_private_key,
    jwt.decode,
    local.runtime.run,
    pynamodb.models.Model,
    requests.Session,
)


def _use_once() -> None:
    """Make what the libraries import only when they are used; it is thrown away, no setting of it remains."""
    pydantic.TypeAdapter(tuple[int, ...]).validate_json("[1]")
    session = boto3.session.Session("local", "local", region_name="us-east-1")
    session.client("dynamodb")
    session.client("s3")
    session.client("secretsmanager")
    session.client("sqs")


_use_once()
# All this stays for good: no collection in an environment needs to look at it, or copy its memory pages.
gc.collect()
gc.freeze()
