"""Where a tool finds the deployment that it works on: a CloudFormation stack, or the local run.

    add_arguments(parser)               # --stack NAME [--region R] [--profile P], or --local [FILE]
    deployment = from_arguments(args)   # ends the program with one line and exit code 2 when there is none

From then on this process's environment leads every AWS client of the layer and of the functions there, too.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, overload

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.connection.table import TableConnection

from inbound import messages
from inbound.observability import logger

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudfront import CloudFrontClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient

ROOT = Path(__file__).parent.parent
ANNOUNCEMENT = ROOT / ".local" / "stack.env"
# A tool has more patience than a function, and nobody waits for it.
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 8},
    max_pool_connections=32,
)
_OUTPUTS = ("TableName", "BucketName", "QueueUrl", "DeadLetterQueueUrl")
_VARIABLES = ("TABLE_NAME", "BUCKET_NAME", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "RETENTION_DAYS")
# What else would lead a client to a place or an account, and must not mix with what was asked for.
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
_ENDPOINTS = "AWS_ENDPOINT_URL"


class NoDeployment(Exception):
    """There is no such deployment, or no way to it; the message is one line for the terminal."""


@dataclass(frozen=True, slots=True)
class MetaSide:
    """What a deployment and Meta know of each other: Meta's Graph, the secret of its tokens, our callback URL."""

    graph_url: str
    graph_version: str
    graph_secret_id: str
    webhook_url: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """The resources of a deployment. A local one has no distribution.

    `apps_secret_id` and `meta` are None where the deployment, of an older version, does not tell.
    """

    table_name: str
    bucket_name: str
    queue_url: str
    dead_letter_queue_url: str
    distribution_id: str | None
    apps_secret_id: str | None
    retention_days: int
    meta: MetaSide | None = None

    @overload
    def client(self, service: Literal["cloudfront"]) -> "CloudFrontClient": ...
    @overload
    def client(self, service: Literal["s3"]) -> "S3Client": ...
    @overload
    def client(self, service: Literal["secretsmanager"]) -> "SecretsManagerClient": ...
    @overload
    def client(self, service: Literal["sqs"]) -> "SQSClient": ...
    @overload
    def client(self, service: str) -> Any: ...
    def client(self, service: Any) -> Any:
        """Make an AWS client: patient, and retrying what is throttled or fails with 5xx."""
        return boto3.session.Session().client(service, config=_CONFIG)

    def connect(self) -> TableConnection:
        """Bind the table's items (`inbound.messages`) to this deployment's table; give the connection."""
        return messages.connect(self.table_name)


def add_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the options that say which deployment."""
    group = parser.add_argument_group("the deployment")
    where = group.add_mutually_exclusive_group(required=required)
    where.add_argument("--stack", metavar="NAME", help="CloudFormation stack, as deployed with sam deploy")
    where.add_argument(
        "--local",
        metavar="FILE",
        nargs="?",
        type=Path,
        const=ANNOUNCEMENT,
        help="the local run (make run), found through the file that it writes: .local/stack.env",
    )
    group.add_argument("--region", help="AWS region, when it is not the configured one")
    group.add_argument("--profile", help="AWS profile, when it is not the configured one")


def from_arguments(args: argparse.Namespace) -> Deployment:
    """Find the deployment, and let this process's environment lead there.

    Raises SystemExit with code 2, after one line on standard error, when there is none or it cannot be reached.
    """
    # What functions log as JSON for CloudWatch, tools say themselves.
    logger.setLevel("CRITICAL")
    try:
        return _local(args.local) if args.stack is None else _stack(args.stack, args.region, args.profile)
    except NoDeployment as error:
        _refuse(str(error))


def _refuse(problem: str) -> NoReturn:
    print(" ".join(problem.split()), file=sys.stderr)
    raise SystemExit(2)


# --- a stack ---------------------------------------------------------------------------------------------------


def _stack(name: str, region: str | None, profile: str | None) -> Deployment:
    if profile:
        _forget([*_CREDENTIALS, *_PROFILES])
        os.environ["AWS_PROFILE"] = profile
    try:
        region = region or boto3.session.Session().region_name
        if not region:
            raise NoDeployment("No AWS region is configured. Say which: --region eu-central-1")
        os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = region
        boto3.setup_default_session()  # the layer's clients come from it: it must not remember another place
        client: CloudFormationClient = boto3.client("cloudformation", config=_CONFIG)
        found: Mapping[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        raise NoDeployment(_why_refused(name, region or "", error)) from error
    except BotoCoreError as error:
        raise NoDeployment(f"AWS cannot be asked for the stack {name}: {error}") from error
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])}
    return stack_deployment(name, outputs, parameters)


def _why_refused(name: str, region: str, error: ClientError) -> str:
    code = error.response["Error"].get("Code", "")
    if code == "ValidationError":
        return f"There is no stack {name} in {region}."
    return f"AWS does not tell about the stack {name}: {code}"


def stack_deployment(name: str, outputs: Mapping[str, str], parameters: Mapping[str, str]) -> Deployment:
    """Read a stack's outputs and parameters. Raises `NoDeployment` when it is another kind of stack."""
    retention = parameters.get("RetentionDays", "")
    missing = [output for output in _OUTPUTS if not outputs.get(output)]
    if missing or not retention.isdecimal():
        raise NoDeployment(f"The stack {name} is none of ours: it lacks {', '.join(missing or ['RetentionDays'])}.")
    table, bucket, queue, dead_letters = (outputs[output] for output in _OUTPUTS)
    return Deployment(
        table_name=table,
        bucket_name=bucket,
        queue_url=queue,
        dead_letter_queue_url=dead_letters,
        distribution_id=outputs.get("DistributionId"),
        apps_secret_id=outputs.get("AppsSecretArn"),
        retention_days=int(retention),
        meta=_meta_side(
            parameters.get("GraphUrl"),
            parameters.get("GraphVersion"),
            outputs.get("GraphSecretArn"),
            outputs.get("WebhookUrl"),
        ),
    )


def _meta_side(*values: str | None) -> MetaSide | None:
    known = [value for value in values if value]
    return MetaSide(*known) if len(known) == len(values) else None


# --- the local run ---------------------------------------------------------------------------------------------


def _local(path: Path) -> Deployment:
    try:
        variables = read_variables(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise NoDeployment(f"There is no local run: {path} cannot be read. Start one with: make run") from error
    missing = [name for name in _VARIABLES if not variables.get(name)]
    if missing or not any(name.startswith(_ENDPOINTS) for name in variables):
        raise NoDeployment(f"{path} is not the file of a local run: it lacks {', '.join(missing or [_ENDPOINTS])}.")
    _forget([*_CREDENTIALS, *_PROFILES, *(name for name in os.environ if name.startswith(_ENDPOINTS))])
    os.environ.update({name: value for name, value in variables.items() if name.startswith("AWS_")})
    os.environ["AWS_DEFAULT_REGION"] = variables.get("AWS_REGION", "us-east-1")  # the one that boto3 reads
    boto3.setup_default_session()
    table, bucket, queue, dead_letters, _ = (variables[name] for name in _VARIABLES)
    return Deployment(
        table_name=table,
        bucket_name=bucket,
        queue_url=queue,
        dead_letter_queue_url=dead_letters,
        distribution_id=None,
        apps_secret_id=variables.get("APPS_SECRET_ID"),
        retention_days=int(variables["RETENTION_DAYS"]),
        meta=_meta_side(
            variables.get("GRAPH_URL"),
            variables.get("GRAPH_VERSION"),
            variables.get("GRAPH_SECRET_ID"),
            f"{variables['API_URL']}/webhook" if "API_URL" in variables else None,
        ),
    )


def read_variables(text: str) -> dict[str, str]:
    """Read KEY=VALUE lines; a value may hold further equal signs."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value for name, _, value in pairs}


def _forget(names: Iterable[str]) -> None:
    for name in list(names):
        os.environ.pop(name, None)
