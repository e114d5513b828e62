"""Write what only Meta's dashboard knows into the deployment's secrets: `python -m tools.credentials --stack NAME`.

It asks for an app's id and secret, a verify token, the app's phone number ids and an access token; secrets are not
shown, and never stand among the arguments. Empty answers keep what is there. It asks Meta whether all of it fits,
and writes nothing when it does not. A new secret or token stands before the one that was, which stays valid: that is
a rotation. A dry run unless --apply is given. Answers may also come from a pipe, a line each.
"""

import argparse
import getpass
import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from inbound.errors import MediaError
from media_proxy.deadline import Deadline
from media_proxy.graph import Graph
from tools import credential_plan as plans
from tools import deployment as deployments
from tools.credential_plan import Answers, Finding, NotUsable, Plan, Wishes
from tools.deployment import Deployment, MetaSide

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

PATIENCE = 20.0  # seconds for each question to Graph


class NotFinished(Exception):
    """Something does not fit, or does not answer; the message is one line for the terminal."""


# --- questions ---------------------------------------------------------------------------------------------------


def ask(apps: dict[str, Any]) -> Answers:
    """Ask the operator. Raises `NotUsable` for an answer that makes no sense."""
    known = next(iter(apps)) if len(apps) == 1 else ""
    app_id = plans.app_id(_shown("App id (App settings, Basic)", known) or known)
    present = apps.get(app_id, {})
    bound = present.get("phone_number_ids", "")
    kept = ": empty keeps it" if present else ""
    return Answers(
        app_id=app_id,
        app_secret=plans.hidden(_unseen(f"App secret (same page; not shown{kept})"), "app secret"),
        verify_token=plans.hidden(
            _unseen(f"Verify token (not shown; empty {'keeps' if present else 'makes'} one)"), "verify token"
        ),
        numbers=plans.numbers(
            _shown("Phone number ids, with commas, or * for all", bound if isinstance(bound, str) else ",".join(bound))
        ),
        token=plans.hidden(_unseen("Access token of a system user (not shown; empty keeps it)"), "access token"),
    )


def _shown(question: str, known: str = "") -> str:
    print(f"{question}{f' [{known}]' if known else ''}: ", end="", flush=True)
    return _line()


def _unseen(question: str) -> str:
    """Ask without an echo. Raises `NotUsable` where a terminal cannot be kept from showing what is typed."""
    if not sys.stdin.isatty():
        print(f"{question}: ", end="", flush=True)
        return _line()
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(f"{question}: ").strip()
        except getpass.GetPassWarning as error:
            raise NotUsable("This terminal cannot hide what is typed.") from error
        except EOFError as error:
            raise NotUsable("The answers end too early.") from error


def _line() -> str:
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        print()
    if not line:
        raise NotUsable("The answers end too early.")
    return line.strip()


# --- Graph -------------------------------------------------------------------------------------------------------


def check(graph: Graph, planned: Plan) -> Iterator[Finding]:
    """Ask Graph whether app, token and numbers fit together."""
    names = planned.numbers or (plans.DEFAULT,)
    by_token: dict[str, list[str]] = {}
    for name in names:
        if token := planned.token_of(name):
            by_token.setdefault(token, []).append(name)
        else:
            yield Finding(f"There is no access token for {name}.")
    for token, own in by_token.items():
        yield from _check_token(graph, planned, token)
        yield from _check_numbers(graph, token, [name for name in own if name != plans.DEFAULT])


def _check_token(graph: Graph, planned: Plan, token: str) -> Iterator[Finding]:
    asker = f"{planned.app_id}|{planned.app['secrets'][0]}"
    try:
        state = graph.token_state(token, asker, Deadline.after(PATIENCE))
    except MediaError as error:
        yield plans.of_the_app(error)
        return
    yield from plans.of_the_token(state, planned.app_id, time.time())


def _check_numbers(graph: Graph, token: str, numbers: Sequence[str]) -> Iterator[Finding]:
    for number in numbers:
        try:
            graph.sees(number, token, Deadline.after(PATIENCE))
        except MediaError as error:
            yield plans.of_a_number(number, error)
        else:
            yield Finding(f"The access token sees the number {number}.", is_problem=False)


# --- secrets -----------------------------------------------------------------------------------------------------


def read(client: "SecretsManagerClient", name: str, secret_id: str) -> dict[str, Any]:
    """Read a secret with all that it holds. Raises `NotUsable`, and botocore's errors."""
    return plans.read(name, client.get_secret_value(SecretId=secret_id).get("SecretString", ""))


def write(client: "SecretsManagerClient", planned: Plan, apps_id: str, graph_id: str) -> None:
    """Write what has changed; tokens first, so that what the webhook takes can be fetched. Raises botocore's errors."""
    for secret_id, before, after in (
        (graph_id, planned.graph_before, planned.graph),
        (apps_id, planned.apps_before, planned.apps),
    ):
        if before != after:
            client.put_secret_value(SecretId=secret_id, SecretString=json.dumps(after))


# --- the command line --------------------------------------------------------------------------------------------


def run(args: argparse.Namespace, deployment: Deployment) -> None:
    """Ask, check, write and tell. Raises `NotUsable`, `NotFinished`, and botocore's errors."""
    apps_id, meta = deployment.apps_secret_id, deployment.meta
    if apps_id is None or meta is None:
        raise NotUsable(
            "This deployment does not say where its secrets and Graph are. Deploy the present version first."
        )
    client = deployment.client("secretsmanager")
    apps, graph = read(client, "apps", apps_id), read(client, "graph", meta.graph_secret_id)
    wishes = Wishes(args.per_number, args.forget_previous, args.new_media_token_secret)
    planned = plans.plan(ask(apps), apps, graph, wishes)
    found = _checked(args, meta, planned)
    problems = [one.text for one in found if one.is_problem]
    if args.apply and not problems:
        write(client, planned, apps_id, meta.graph_secret_id)
    _tell(args, planned, found, meta)
    if problems:
        raise NotFinished("Nothing was written, for what is said above.")


def _checked(args: argparse.Namespace, meta: MetaSide, planned: Plan) -> list[Finding]:
    version = list(plans.of_the_version(meta.graph_version, time.time()))
    if args.unchecked:
        return [*version, Finding("Meta was not asked.", is_problem=False)]
    return [*version, *check(Graph(meta.graph_url, meta.graph_version), planned)]


def _tell(args: argparse.Namespace, planned: Plan, found: Sequence[Finding], meta: MetaSide) -> None:
    told = plans.changes(planned)
    print(f"\nApp {planned.app_id}")
    print("\n".join(f"  {name:<32}{what}" for name, what in told.items()))
    print("\n".join(f"{'PROBLEM' if one.is_problem else 'note':<9}{one.text}" for one in found))
    is_bad = any(one.is_problem for one in found)
    if args.apply and not is_bad:
        print(_for_the_dashboard(planned, meta))
    elif not is_bad:
        print("This was a dry run: nothing was changed. Do it with --apply.")
    if args.json:
        report = {
            "applied": args.apply and not is_bad,
            "changes": told,
            "problems": [one.text for one in found if one.is_problem],
            "notes": [one.text for one in found if not one.is_problem],
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def _for_the_dashboard(planned: Plan, meta: MetaSide) -> str:
    return f"""
Written. Functions use it within five minutes, a new stack at once. Enter in Meta's App Dashboard, WhatsApp,
Configuration, and subscribe to `messages`:

  Callback URL   {meta.webhook_url}
  Verify token   {planned.app["verify_token"]}

Your CRM signs media tokens with the first of media_token_secrets in the secret
{meta.graph_secret_id}"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tools.credentials", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apply", action="store_true", help="write; without it, only ask and check")
    parser.add_argument(
        "--per-number", action="store_true", help="the token is for the app's numbers alone, not for all"
    )
    parser.add_argument(
        "--forget-previous", action="store_true", help="a value has leaked: the ones before are void at once"
    )
    parser.add_argument("--new-media-token-secret", action="store_true", help="make another secret for media tokens")
    parser.add_argument("--unchecked", action="store_true", help="do not ask Meta whether it fits")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON, too; it holds no secret")
    deployments.add_arguments(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; give the exit code: 0 done, 1 not finished, 2 not understood."""
    args = _parser().parse_args(arguments)
    try:
        run(args, deployments.from_arguments(args))
    except (NotUsable, NotFinished, BotoCoreError, ClientError, OSError, KeyboardInterrupt) as error:
        print(_reason(error, args), file=sys.stderr)
        return 2 if isinstance(error, NotUsable | OSError) else 1
    return 0


def _reason(error: BaseException, args: argparse.Namespace) -> str:
    if isinstance(error, NotUsable | NotFinished):
        return str(error)
    if isinstance(error, ClientError):
        return f"Not finished. AWS refuses {error.operation_name}: {error.response['Error'].get('Code')}."
    if isinstance(error, BotoCoreError):
        return f"Not finished. AWS does not answer: {type(error).__name__}."
    return f"{args.json}: {error.strerror}" if isinstance(error, OSError) else "Stopped."


if __name__ == "__main__":
    sys.exit(main())
