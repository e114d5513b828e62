"""Try a deployed stack as Meta, the worker and an agent use it: `python -m tools.smoke --help`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError

from local.template import load
from tools import deployment as deployments
from tools import story
from tools.deployment import read_variables
from tools.story import Doors, Stage, StoryFailed

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

DESCRIPTION = """\
Tell the whole story to a deployment: Meta's handshake, a picture, its signed notification, the worker's fetch, the
view, the edge's bytes; then erase it. Each step says ok or FAILED, and why.

It reads the secrets `apps` and `graph`, uploads a picture of one dot to Graph for one of your numbers (or takes
--media-id), and writes one message from a number that no country has (+999). Nothing is sent to anybody by WhatsApp;
but where the stack forwards (ForwardUrl) or tells events, your CRM gets the message as any other.

Exit code: 0 all is well, or there are no AWS credentials and nothing was tried; 1 a step failed; 2 not understood.
"""
_OUTPUTS = ("WebhookUrl", "MediaUrl", "AppsSecretArn", "GraphSecretArn")
_PARAMETERS = ("GraphUrl", "GraphVersion")


def stack_doors(name: str) -> Doors:
    """Read a stack's outputs and parameters. Raises `NoDeployment`, and botocore's errors."""
    client: CloudFormationClient = boto3.client("cloudformation")
    (found,) = client.describe_stacks(StackName=name)["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}
    parameters = {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", [])}
    return doors_of(outputs, parameters)


def doors_of(outputs: Mapping[str, str], parameters: Mapping[str, str]) -> Doors:
    """Take the doors out of a stack's outputs and parameters. Raises `NoDeployment` when some are missing."""
    values = {**parameters, **outputs}
    if missing := [name for name in (*_OUTPUTS, *_PARAMETERS) if not values.get(name)]:
        raise deployments.NoDeployment(f"The stack is none of ours, or an old one: it lacks {', '.join(missing)}.")
    return Doors(
        webhook_url=values["WebhookUrl"],
        media_url=values["MediaUrl"],
        graph_url=f"{values['GraphUrl']}/{values['GraphVersion']}",
        apps_secret_id=values["AppsSecretArn"],
        graph_secret_id=values["GraphSecretArn"],
    )


def local_doors(variables: Mapping[str, str]) -> Doors:
    """Read what the local run says of itself."""
    return Doors(
        webhook_url=f"{variables['API_URL']}/webhook",
        media_url=f"{variables['API_URL']}/media/messages",
        graph_url=f"{variables['GRAPH_URL']}/{load().parameter('GraphVersion')}",
        apps_secret_id=variables["APPS_SECRET_ID"],
        graph_secret_id=variables["GRAPH_SECRET_ID"],
    )


def _has_credentials(profile: str | None) -> bool:
    """Whether there is anybody to act as. Raises botocore's errors."""
    return boto3.session.Session(profile_name=profile).get_credentials() is not None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tools.smoke", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phone-number-id", metavar="N", help="the number to use, when it is not an app's first")
    parser.add_argument("--media-id", metavar="ID", help="a picture that Graph has for this number; it stays there")
    deployments.add_arguments(parser)
    return parser


def _stage(args: argparse.Namespace) -> Stage:
    deployment = deployments.from_arguments(args)
    doors = local_doors(read_variables(args.local.read_text("utf-8"))) if args.local else stack_doors(args.stack)
    keys = story.keys_of(deployment, doors, args.phone_number_id)
    return Stage(deployment, doors, keys, requests.Session(), args.media_id)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; give the exit code."""
    args = _parser().parse_args(arguments)
    try:
        if not args.local and not _has_credentials(args.profile):
            print("smoke: SKIPPED, nothing was tried: there are no AWS credentials (aws configure, or AWS_PROFILE)")
            return 0
        story.tell(_stage(args))
    except StoryFailed as error:
        problem, code = f"failed: {error}", 1
    except deployments.NoDeployment as error:
        problem, code = str(error), 2
    except (ClientError, BotoCoreError) as error:
        problem, code = f"AWS cannot be asked: {type(error).__name__}", 2
    else:
        print("smoke: all is well")
        return 0
    print(f"smoke: {problem}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
