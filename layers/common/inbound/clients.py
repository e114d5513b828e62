"""AWS clients, each made on first use: a client costs a cold start about 60 ms or more."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

CONNECTIONS = 16

# botocore's defaults (60 s, four retries) would outlast the function; Meta and the browser both ask again.
_BRISK = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=CONNECTIONS,
)
# A part of 8 MiB may take S3 longer than a small request.
_PATIENT = _BRISK.merge(Config(read_timeout=15))


@cache
def sqs() -> "SQSClient":
    """Give the process's SQS client."""
    return boto3.client("sqs", config=_BRISK)


@cache
def secretsmanager() -> "SecretsManagerClient":
    """Give the process's Secrets Manager client."""
    return boto3.client("secretsmanager", config=_BRISK)


@cache
def s3() -> "S3Client":
    """Give the process's S3 client."""
    return boto3.client("s3", config=_PATIENT)
