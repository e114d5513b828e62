"""Deploy to an emulator of AWS that enforces IAM, tell the story, upgrade, tell it again: `make deploy-local`.

MiniStack takes the unmodified `sam deploy`. The release before is deployed first and stores a message with its media;
then this one is deployed over it, and must give back what is stored, and pass the whole story of `make smoke`. At last
a permission is taken away, which must be noticed.

What the emulator cannot do is done from outside, and never by another template:
- resource types that it lacks: `tools.emulator`;
- routes: it does not read the OpenAPI document of an HTTP API, so they are made through API Gateway's own calls;
- signed addresses: its CloudFront looks at no signature, so the local run's edge stands in its place, with the public
  keys that the stack's key group names there;
- Graph is the local run's simulator, to whose address the two functions that ask Graph are pointed.
Not seen here: the canary's traffic (CodeDeploy), throttling, alarms, TLS, and whatever else stands in docs/deploy.md.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from requests.adapters import HTTPAdapter

from local import template as templates
from local.cloud import Access
from local.edge import Edge, readable_keys
from local.graph import MetaSimulator
from local.options import APP_ID, APP_SECRET, GRAPH_TOKEN, MEDIA_TOKEN_SECRET, PHONE_NUMBER_ID, VERIFY_TOKEN, WABA_ID
from local.server import HOST, Server, serve
from local.template import Template
from tools import deployment as deployments
from tools import smoke, story
from tools.conformance import ConformanceError, free_ports, start, wait
from tools.interpreter import find_interpreter
from tools.story import Message, Stage, StoryFailed, Unexpected, step

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ROOT = Path(__file__).parent.parent
STATE = ROOT / ".local" / "ministack"
BUILD = ROOT / ".local" / "sam" / "build"
SAM = ROOT / ".venv-sam" / "bin" / "sam"
PYTHON = ROOT / ".venv-ministack" / "bin" / "python"
STACK = "media"
ACCOUNT_ROOT = "test"
"""The key that the emulator takes for the account's own."""
FIRST_RELEASE = "a8d55a2"
"""What is upgraded from while no release has a tag."""
DEPLOY_TIMEOUT = 600
GRAPH_FUNCTIONS = ("PrefetchFunction", "MediaProxyFunction")
ANOTHER_RETENTION = "400"
LOG_LINES = 12
"""Lines of each function's log that are shown at a failure."""
STORED = ("MESSAGE", "MEDIA")


@dataclass(frozen=True, slots=True)
class Place:
    """The emulator, and what stands beside it: Graph, and (once there are keys) the edge."""

    access: Access
    graph: MetaSimulator
    edge: Server
    doorman: "EdgeDoor"

    def client(self, service: str) -> Any:
        """Give a client of the account's own user."""
        return self.access.client(service)


class EdgeDoor:
    """A WSGI application that is put in place once the stack has its keys; until then, nothing is there."""

    def __init__(self) -> None:
        self.edge: Edge | None = None

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer as the edge does, or 503."""
        if self.edge is not None:
            return self.edge.app(environ, start_response)
        start_response("503 Service Unavailable", [("Content-Length", "0")])
        return []


class Elsewhere(HTTPAdapter):
    """The way to an address that no name server knows: to `origin` instead, with the name in the Host header."""

    def __init__(self, origin: str, name: str) -> None:
        super().__init__()
        self._origin = origin
        self._name = name

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send the request where the name is served here."""
        path = urlsplit(str(request.url))._replace(scheme="", netloc="").geturl()
        request.url = f"{self._origin}{path}"
        request.headers["Host"] = self._name
        return super().send(request, *args, **options)


# ---- The emulator and its neighbours ----


@contextmanager
def running_place() -> Iterator[Place]:
    """Start the emulator, empty, with Graph and the edge beside it. Raises `ConformanceError`."""
    STATE.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    access = Access({"AWS_ENDPOINT_URL": f"https://{HOST}:{port}"}, key_id=ACCOUNT_ROOT, secret=ACCOUNT_ROOT)
    certificate, key = make_certificate(STATE)
    os.environ["AWS_CA_BUNDLE"] = str(certificate)  # of every client of AWS in this process, and of sam
    settings = {
        "AUTH": "true",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        # Queues and bucket refuse whoever comes without TLS.
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificate),
        "MINISTACK_SSL_KEY": str(key),
        "SSL_CERT_FILE": str(certificate),  # for the functions, one of which answers CloudFormation
    }
    with ExitStack() as closing:
        emulator = closing.enter_context(start([str(PYTHON), str(ROOT / "tools" / "emulator.py")], STATE, **settings))
        wait(emulator, STATE, access.client("sts").get_caller_identity)
        graph, door = _graph(), EdgeDoor()
        graph_server = closing.enter_context(serve(graph.app))
        graph.url = graph_server.url
        edge = closing.enter_context(serve(door))
        yield Place(access, graph, edge, door)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for this machine's own addresses, for a day; give it and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address(HOST))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    written = folder / "certificate.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    written[0].write_bytes(certificate.public_bytes(pem))
    written[1].touch(mode=0o600)
    written[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return written


def _graph() -> MetaSimulator:
    return MetaSimulator(
        app_secret=APP_SECRET,
        token=GRAPH_TOKEN,
        phone_number_id=PHONE_NUMBER_ID,
        waba_id=WABA_ID,
        display_phone_number="0",
    )


# ---- Building and deploying ----


def build_release(commit: str) -> Path:
    """Build a release as it stood; give the folder that holds its template. Raises `Unexpected`."""
    tree, archive = STATE / "previous", STATE / "previous.tar"
    _run(["git", "archive", f"--output={archive}", commit])
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    _run(["tar", "-xf", str(archive), "-C", str(tree)])
    version = _build_version()
    # The same variables as in the Makefile.
    build = {
        "LAMBDA_ARCH": _arch(),
        "LAMBDA_PYTHON": version,
        "LAMBDA_INTERPRETER": find_interpreter(version) or "",
        "LAMBDA_BUILDER": sys.executable,
    }
    where = ["--template", "template.yaml", "--build-dir", ".aws-sam/build", "--cache-dir", ".aws-sam/cache"]
    _run([str(SAM), "build", *where, "--parameter-overrides", f"Arch={_arch()}"], build, cwd=tree)
    return tree / ".aws-sam" / "build"


def _build_version() -> str:
    """Give the minor version that functions run in here: the emulator's own."""
    asked = [str(PYTHON), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def _arch() -> str:
    return "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"


def deploy(place: Place, build: Path, **parameters: str) -> None:
    """Run `sam deploy`, as docs/deploy.md has it. Raises `Unexpected`."""
    command = [str(SAM), "deploy", "--template", str(build / "template.yaml"), "--stack-name", STACK, "--resolve-s3"]
    command += ["--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"]
    given = [f"{name}={value}" for name, value in {"Arch": _arch(), **parameters}.items()]
    _run([*command, "--parameter-overrides", *given], place.access.environment)


def _run(command: Sequence[str], variables: Mapping[str, str] | None = None, cwd: Path = ROOT) -> None:
    """Run a program quietly; keep what it says when it fails. Raises `Unexpected`."""
    # make's own variables would reach the makefiles that sam runs.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, "SAM_CLI_TELEMETRY": "0", **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEPLOY_TIMEOUT,
        check=False,
    )
    if done.returncode:
        output = STATE / "output"
        output.write_text(done.stdout, "utf-8")
        raise Unexpected(f"{Path(command[0]).name} {command[1]} ended with {done.returncode}: see {output}")


# ---- What the emulator cannot do ----


def complete(place: Place, template: Template) -> dict[str, str]:
    """Do from outside what the emulator leaves undone; give the stack's outputs."""
    stack = place.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}
    physical = _physical(place)
    _make_routes(place, template, physical)
    for function in GRAPH_FUNCTIONS:
        _point_to_graph(place, physical[function], has_alias=f"{function}Aliaslive" in physical)
    place.doorman.edge = _edge(place, template, outputs)
    return outputs


def _physical(place: Place) -> dict[str, str]:
    pages = place.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    found = (one for page in pages for one in page["StackResourceSummaries"])
    return {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in found}


def _make_routes(place: Place, template: Template, physical: Mapping[str, str]) -> None:
    """Make the routes of the template, to where its HTTP API would lead: the alias, if the function has one."""
    gateway, functions = place.client("apigatewayv2"), place.client("lambda")
    api = physical["HttpApi"]
    for old in gateway.get_routes(ApiId=api)["Items"]:
        gateway.delete_route(ApiId=api, RouteId=old["RouteId"])
    for route in templates.routes(template):
        alias = physical.get(f"{route.function}Aliaslive")
        target = alias or functions.get_function(FunctionName=physical[route.function])["Configuration"]["FunctionArn"]
        made = gateway.create_integration(
            ApiId=api, IntegrationType="AWS_PROXY", IntegrationUri=target, PayloadFormatVersion="2.0"
        )
        gateway.create_route(ApiId=api, RouteKey=route.key, Target=f"integrations/{made['IntegrationId']}")


def _point_to_graph(place: Place, function: str, *, has_alias: bool) -> None:
    client = place.client("lambda")
    variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    variables |= {"GRAPH_URL": place.graph.url, "MEDIA_HOSTS": place.graph.url}
    client.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    if has_alias:
        version = client.publish_version(FunctionName=function)["Version"]
        client.update_alias(FunctionName=function, Name="live", FunctionVersion=version)


def _edge(place: Place, template: Template, outputs: Mapping[str, str]) -> Edge:
    """Make an edge that knows the public keys of the stack's key group, as CloudFront has them."""
    cloudfront = place.client("cloudfront")
    (group,) = cloudfront.list_key_groups()["KeyGroupList"]["Items"]
    keys = {
        key_id: cloudfront.get_public_key(Id=key_id)["PublicKey"]["PublicKeyConfig"]["EncodedKey"]
        for key_id in group["KeyGroup"]["KeyGroupConfig"]["Items"]
    }
    edge = Edge(
        keys,
        place.client("s3"),
        outputs["BucketName"],
        templates.edge_behaviours(template),
        readable_keys(template),
    )
    edge.url = f"https://{outputs['EdgeDomain']}"
    return edge


# ---- The story ----


def fill_secrets(place: Place, outputs: Mapping[str, str]) -> None:
    """Do what an operator does with `python -m tools.credentials`."""
    app = {"secrets": [APP_SECRET], "verify_token": VERIFY_TOKEN, "phone_number_ids": [PHONE_NUMBER_ID]}
    graph = {"tokens": {"default": [GRAPH_TOKEN]}, "media_token_secrets": [MEDIA_TOKEN_SECRET]}
    vault = place.client("secretsmanager")
    vault.put_secret_value(SecretId=outputs["AppsSecretArn"], SecretString=json.dumps({APP_ID: app}))
    vault.put_secret_value(SecretId=outputs["GraphSecretArn"], SecretString=json.dumps(graph))


def stage_of(place: Place, outputs: Mapping[str, str]) -> Stage:
    """Give the stage as `make smoke` finds it, with a way to names that exist in the emulator only."""
    parser = argparse.ArgumentParser()
    deployments.add_arguments(parser)
    deployment = deployments.from_arguments(parser.parse_args(["--stack", STACK, "--region", place.access.region]))
    version = templates.load().parameter("GraphVersion")
    doors = replace(smoke.stack_doors(STACK), graph_url=f"{place.graph.url}/{version}")
    http = requests.Session()
    http.trust_env, http.verify = False, os.environ["AWS_CA_BUNDLE"]
    api = urlsplit(outputs["WebhookUrl"])
    emulator = str(place.access.endpoint("apigatewayv2"))
    http.mount(f"{api.scheme}://{api.netloc}/", Elsewhere(emulator, api.netloc))
    http.mount(f"https://{outputs['EdgeDomain']}/", Elsewhere(place.edge.url, outputs["EdgeDomain"]))
    return Stage(deployment, doors, story.keys_of(deployment, doors, None), http)


def stored(stage: Stage, message: Message) -> list[Any]:
    """Give what the table holds of a message, and the names of its objects."""
    table, bucket = stage.deployment.table_name, stage.deployment.bucket_name
    dynamodb, s3 = stage.deployment.client("dynamodb"), stage.deployment.client("s3")
    keys = [{"pk": {"S": f"MSG#{message.message_id}"}, "sk": {"S": sort}} for sort in STORED]
    items = [dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item") for key in keys]
    return [*items, sorted(one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []))]


def lose_permission(place: Place, role: str, action: str) -> None:
    """Take an action out of a role's own policies. Raises `Unexpected` when it is in none."""
    iam, lost = place.client("iam"), False
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        kept = [one for one in document["Statement"] if one["Action"] != action]
        lost |= len(kept) < len(document["Statement"])
        document["Statement"] = kept
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
    if not lost:
        raise Unexpected(f"the role does not have {action}")


def run(place: Place, previous: str) -> None:
    """Deploy the release before, then this one; tell the story. Raises `StoryFailed`."""
    os.environ.update(place.access.environment)
    stage, message = with_previous_release(place, previous)
    before = stored(stage, message)
    with step("this release is deployed over it"):
        deploy(place, BUILD)
        outputs = complete(place, templates.load())
    stage = stage_of(place, outputs)
    with step("all that was stored is as it was"):
        if stored(stage, message) != before or None in before:
            raise Unexpected("items or objects have changed")
    story.look(stage, message)
    story.tell(stage)
    story.clear(stage, message)
    with_another_parameter(place)
    without_a_permission(place, stage)


def with_previous_release(place: Place, commit: str) -> tuple[Stage, Message]:
    """Deploy the release before, and let it store a message with its media."""
    with step(f"the release before ({commit}) is built"):
        build = build_release(commit)
    with step("it is deployed"):
        deploy(place, build)
        outputs = complete(place, templates.load(path=STATE / "previous" / "template.yaml"))
        fill_secrets(place, outputs)
    stage = stage_of(place, outputs)
    message = story.new_message(stage.keys.phone_number_id, story.at_graph(stage))
    story.send(stage, message)
    story.look(stage, message)
    return stage, message


def with_another_parameter(place: Place) -> None:
    """Show that what is called hears of a changed parameter. Raises `StoryFailed`."""
    with step("a changed parameter reaches what is called"):
        deploy(place, BUILD, RetentionDays=ANOTHER_RETENTION)
        asked = {"FunctionName": _physical(place)["WebhookFunction"], "Qualifier": "live"}
        called = place.client("lambda").get_function_configuration(**asked)
        if called["Environment"]["Variables"]["RETENTION_DAYS"] != ANOTHER_RETENTION:
            raise Unexpected("`live` goes on with the old value")


def without_a_permission(place: Place, stage: Stage) -> None:
    """Show that IAM is enforced: without one of its permissions the webhook takes nothing. Raises `StoryFailed`."""
    with step("the webhook loses sqs:SendMessage"):
        lose_permission(place, _physical(place)["WebhookRole"], "sqs:SendMessage")
    print("        The next step must fail:")
    message = story.new_message(stage.keys.phone_number_id, story.at_graph(stage))
    with step("that is noticed"):
        try:
            story.send(stage, message)
        except StoryFailed:
            return
        raise Unexpected("everything works without it: IAM is not enforced")


@contextmanager
def logs_at_failure(place: Place) -> Iterator[None]:
    """Show the last that the functions have logged when the story fails."""
    try:
        yield
    except StoryFailed:
        logs = place.client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            events = logs.filter_log_events(logGroupName=group["logGroupName"])["events"][-LOG_LINES:]
            print("".join(f"{one['message'].rstrip()}\n" for one in events), end="", file=sys.stderr)
        raise


def last_release() -> str:
    """Give the newest tag, or the commit that stands for it while there is none."""
    asked = ["git", "describe", "--tags", "--abbrev=0"]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else FIRST_RELEASE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; give the exit code."""
    parser = argparse.ArgumentParser("python -m tools.deploy_local", description=__doc__)
    parser.add_argument("--from", dest="previous", metavar="COMMIT", help="what to upgrade from; else the newest tag")
    args = parser.parse_args(arguments)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda number, _: sys.exit(128 + number))
    started = time.monotonic()
    try:
        with running_place() as place, logs_at_failure(place):
            run(place, args.previous or last_release())
    except StoryFailed as error:
        problem = f"failed: {error}. What the emulator says is in {STATE / 'log'}"
    except (ConformanceError, ClientError, BotoCoreError) as error:
        problem = str(error)
    else:
        print(f"deploy-local: all is well, after {time.monotonic() - started:.0f} s")
        return 0
    print(f"deploy-local: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
