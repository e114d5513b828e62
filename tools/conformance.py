"""Ask for a second opinion: the integration tests against AWS's DynamoDB Local, and SeaweedFS for S3.

    python -m tools.conformance [--install] [pytest's arguments]

--install lets apt-get bring Java and npm where they are missing.

moto forgives what AWS refuses: batches that are too long, filters on keys, wrong key types, any signature. These two
refuse it. SQS and Secrets Manager stay with moto. All is fetched when needed, and kept in .local/conformance.

DynamoDB Local is AWS's own program, free for development and testing, but not to be passed on: it must never be
committed. It needs Java, and comes from a package of npm's.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DynamoDBLocal.html
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import Access
from local.server import HOST

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".local" / "conformance"
PACKAGE, VERSION = "amplify-dynamodb-simulator", "2.9.30"
INTEGRITY = "xTeeRLvzEfqyd5lh3bH4c0kHvSHHmmhD5ZDsHFKAQ5g2Zl6JqlFdutaQhCLHzxEp6Ry1o7TB6niIoXuQAnSewQ=="
"""SHA-512 of the package in base64, as npm states it."""
JAR = "DynamoDBLocal.jar"
SECRET_ACCESS_KEY = "secret-access-key-of-the-tests"  # noqa: S105  (it opens emulators only)
"""What the handlers under test sign with. It must be found nowhere, so it is a word that nothing else holds."""
VENV = FOLDER / "venv"
REQUIREMENTS = ROOT / "requirements" / "conformance.txt"
SUITES = ("tests/integration", "tests/reliability")
DEBIAN_PACKAGES = {"java": "default-jre-headless", "npm": "npm"}
START_TIMEOUT = 60.0
"""Seconds for an emulator to answer, on a slow machine."""
PAUSE = 0.2

# Standard input is a pipe that only this process holds. When it closes, however we end, or when the emulator ends by
# itself, the whole process group goes: what the emulators hold is worth nothing afterwards.
GUARD = '{ "$@"; kill -KILL 0; } </dev/null & read -r _; kill -KILL 0'


class ConformanceError(RuntimeError):
    """The emulators cannot be had, or do not do what they are here for; the message says what helps."""


# ---- What is needed ----


def lacking(found: Callable[[str], str | None]) -> list[str]:
    """Give Debian's packages for the programs that `found` (as shutil.which) does not find."""
    return [package for program, package in DEBIAN_PACKAGES.items() if not found(program)]


def need_programs(*, install: bool) -> None:
    """Check that Java and npm are there, or let apt-get bring them. Raises `ConformanceError`."""
    missing = lacking(shutil.which)
    if missing and not install:
        raise ConformanceError(
            f"DynamoDB Local needs Java and npm. On Debian and Ubuntu: apt-get install {' '.join(missing)}, "
            "or as root: make conformance INSTALL=1"
        )
    if missing and (os.geteuid() != 0 or not shutil.which("apt-get")):
        raise ConformanceError("only root on Debian and Ubuntu can have Java and npm installed")
    if missing:
        subprocess.run(["apt-get", "update", "--quiet"], check=True)
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing], check=True)


def check_integrity(package: Path, integrity: str) -> None:
    """Compare a file with its SHA-512 in base64. Raises `ConformanceError`, and removes the file."""
    with package.open("rb") as content:
        found = base64.b64encode(hashlib.file_digest(content, "sha512").digest()).decode()
    if found != integrity:
        package.unlink()
        raise ConformanceError(f"{package.name} is not what was expected: its SHA-512 is {found}")


def fetch_dynamodb_local() -> Path:
    """Give the folder with DynamoDB Local, fetched by npm unless it is there. Raises `ConformanceError`."""
    package, folder = FOLDER / f"{PACKAGE}-{VERSION}.tgz", FOLDER / f"dynamodb-local-{VERSION}"
    if not package.exists():
        fetch = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--loglevel=error", "--ignore-scripts"]
        subprocess.run([*fetch, "--pack-destination", FOLDER], check=True, stdout=subprocess.DEVNULL)
    check_integrity(package, INTEGRITY)
    if not folder.exists():
        draft = folder.with_suffix(".draft")
        draft.mkdir(exist_ok=True)
        subprocess.run(["tar", "-xzf", package, "-C", draft, "--strip-components=2", "package/emulator"], check=True)
        draft.rename(folder)
    return folder


def fetch_seaweedfs() -> Path:
    """Give SeaweedFS's program, installed by uv in an environment of its own. uv checks the hashes."""
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, VENV], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(VENV), "--require-hashes", "--no-deps"]
    subprocess.run([*install, "-r", REQUIREMENTS], check=True)
    return VENV / "bin" / "weed"


# ---- Running it ----


def free_ports(count: int) -> list[int]:
    """Give ports of loopback that nobody listens on."""
    with ExitStack() as closing:
        listeners = [closing.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((HOST, 0))
        return [listener.getsockname()[1] for listener in listeners]


def dynamodb_command(folder: Path, port: int) -> list[str]:
    """Give the command that starts DynamoDB Local. It has no option to listen on loopback only."""
    java = [
        "java",
        "-XX:-UsePerfData",
        f"-Djava.library.path={folder / 'DynamoDBLocal_lib'}",
        "-jar",
        str(folder / JAR),
    ]
    return [*java, "-port", str(port), "-inMemory", "-disableTelemetry"]


def seaweedfs_command(weed: Path, ports: list[int], config: Path) -> list[str]:
    """Give the command that starts SeaweedFS, S3 at the first of the eight ports, in the working folder."""
    named = (
        "s3",
        "s3.port.grpc",
        "master",
        "master.port.grpc",
        "volume",
        "volume.port.grpc",
        "filer",
        "filer.port.grpc",
    )
    options = {name if "." in name else f"{name}.port": str(port) for name, port in zip(named, ports, strict=True)}
    options |= {
        "dir": ".",
        "ip": HOST,
        "ip.bind": HOST,
        "s3.config": config.name,
        "volume.max": "300",  # a bucket takes several volumes
        "master.telemetry": "false",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.localSocket": "s3.sock",  # not in /tmp, where it would stay
        "filer.localSocket": "filer.sock",
    }
    return [str(weed), "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]


def s3_identities(access: Access) -> str:
    """Give SeaweedFS's list of who may do what: the tests may do everything, nobody else anything."""
    credentials = [{"accessKey": access.key_id, "secretKey": access.secret}]
    return json.dumps({"identities": [{"name": "tests", "credentials": credentials, "actions": ["Admin"]}]})


def start(command: list[str], folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Start a program that ends with us, in `folder`, where its output goes to a file `log`."""
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            ["sh", "-c", GUARD, "sh", *command],
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait(process: subprocess.Popen[bytes], folder: Path, probe: Callable[[], object]) -> None:
    """Wait until the probe meets an emulator that answers. Raises `ConformanceError`."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            probe()
        except (BotoCoreError, ClientError):
            time.sleep(PAUSE)
        else:
            return
    raise ConformanceError(f"{folder.name} does not start; what it says is in {folder / 'log'}")


@contextmanager
def emulators(dynamodb_local: Path, weed: Path) -> Iterator[Access]:
    """Run both, with nothing in them; give access to them. Raises `ConformanceError`."""
    dynamodb_port, s3_port, *others = ports = free_ports(9)
    access = Access(
        {
            "AWS_ENDPOINT_URL_DYNAMODB": f"http://{HOST}:{dynamodb_port}",
            "AWS_ENDPOINT_URL_S3": f"http://{HOST}:{s3_port}",
        },
        secret=SECRET_ACCESS_KEY,
    )
    tables, objects = _emptied(FOLDER / "dynamodb"), _emptied(FOLDER / "seaweedfs")
    config = objects / "identities.json"
    config.write_text(s3_identities(access), "utf-8")
    with ExitStack() as closing:
        closing.callback(_remove_sockets, ports)
        dynamodb = closing.enter_context(start(dynamodb_command(dynamodb_local, dynamodb_port), tables))
        # Without a key, each encrypted object is a 500.
        key = secrets.token_hex(32)
        seaweedfs = closing.enter_context(
            start(seaweedfs_command(weed, [s3_port, *others], config), objects, WEED_S3_SSE_KEY=key)
        )
        wait(dynamodb, tables, access.client("dynamodb").list_tables)
        wait(seaweedfs, objects, lambda: store_something(access))
        check_signatures_matter(access)
        yield access


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _remove_sockets(ports: list[int]) -> None:
    """Remove what SeaweedFS leaves in /tmp, whatever TMPDIR says."""
    for port in ports:
        for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):  # noqa: S108  (SeaweedFS decides where)
            path.unlink(missing_ok=True)


def store_something(access: Access) -> None:
    """Put an object and remove it: S3 answers before its volumes can store anything. Raises botocore's errors."""
    s3 = access.client("s3")
    s3.create_bucket(Bucket="probe")
    s3.put_object(Bucket="probe", Key="probe", Body=b"probe")
    s3.delete_object(Bucket="probe", Key="probe")
    s3.delete_bucket(Bucket="probe")


def check_signatures_matter(access: Access) -> None:
    """Call S3 with a wrong secret. Raises `ConformanceError` when that works: then its opinion is worth nothing."""
    try:
        replace(access, secret=f"not-{access.secret}").client("s3").list_buckets()
    except ClientError as error:
        if error.response["Error"]["Code"] == "SignatureDoesNotMatch":
            return
        raise
    raise ConformanceError("SeaweedFS takes a wrong signature")


def check_used(access: Access) -> None:
    """Look for what the tests left. Raises `ConformanceError` when they were somewhere else."""
    tables = access.client("dynamodb").list_tables()["TableNames"]
    buckets = access.client("s3").list_buckets()["Buckets"]
    if not tables or not buckets:
        raise ConformanceError("the tests passed, but did not use the emulators")


def versions(dynamodb_local: Path, weed: Path) -> str:
    """Ask the emulators what they are."""
    java = _output("java", "-jar", str(dynamodb_local / JAR), "-version").split()[0]
    seaweedfs = _output(str(weed), "version").split()[2]
    return (
        f"DynamoDB Local {java} ({PACKAGE} {VERSION}), SeaweedFS {seaweedfs} for S3, "
        f"moto {version('moto')} for SQS and Secrets Manager"
    )


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def run_tests(access: Access, arguments: list[str]) -> int:
    """Run pytest with the emulators' addresses; give its exit code. However we end, it ends first."""
    chosen = arguments or [suite for suite in SUITES if (ROOT / suite).exists()]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *chosen],
        cwd=ROOT,
        env={**os.environ, **access.endpoints},
        process_group=0,  # Ctrl-C is for us, and reaches it once
    ) as tests:
        try:
            return tests.wait()
        except BaseException:
            tests.send_signal(signal.SIGINT)  # so that its fixtures end what they started
            raise


def ask(arguments: list[str], *, install: bool) -> int:
    """Fetch, start, test. Gives pytest's exit code. Raises `ConformanceError`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    need_programs(install=install)
    dynamodb_local, weed = fetch_dynamodb_local(), fetch_seaweedfs()
    print(f"conformance: {versions(dynamodb_local, weed)}", flush=True)
    with emulators(dynamodb_local, weed) as access:
        if failed := run_tests(access, arguments):
            return failed
        check_used(access)
    return 0


def main(arguments: list[str]) -> int:
    """Give pytest's exit code, or 1 when it does not come to that."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, lambda number, _: sys.exit(128 + number))
    install = arguments[:1] == ["--install"]
    try:
        return ask(arguments[install:], install=install)
    except ConformanceError as error:
        problem = str(error)
    except subprocess.CalledProcessError as error:
        problem = f"{error.cmd[0]} failed, and says above why"
    print(f"conformance: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
