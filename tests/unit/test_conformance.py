"""What `make conformance` checks, starts and ends."""

import base64
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import Access, Moto
from tools.conformance import (
    ConformanceError,
    check_integrity,
    check_signatures_matter,
    check_used,
    free_ports,
    lacking,
    seaweedfs_command,
    start,
    store_something,
    wait,
)

# Opens the pipe `alive`, which nobody else writes to. Opening it for reading waits for the program to run, and
# reading it waits for it to end.
PROGRAM = ["sh", "-c", "exec sleep 600 >alive"]


@pytest.fixture
def moto(tmp_path: Path) -> Iterator[Access]:
    server = Moto(tmp_path)
    server.wait()
    yield Access({"AWS_ENDPOINT_URL": server.url})
    server.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "alive")
    return tmp_path


def test_debians_packages_are_named_for_the_programs_that_are_missing_only() -> None:
    assert lacking(lambda _: None) == ["default-jre-headless", "npm"]
    assert lacking({"npm": "/usr/bin/npm"}.get) == ["default-jre-headless"]
    assert lacking(str) == []


def test_a_package_that_is_what_npm_states_is_taken(tmp_path: Path) -> None:
    package = tmp_path / "package.tgz"
    package.write_bytes(b"content")

    check_integrity(package, base64.b64encode(hashlib.sha512(b"content").digest()).decode())

    assert package.exists()


def test_a_package_that_is_something_else_is_refused_and_removed(tmp_path: Path) -> None:
    package = tmp_path / "package.tgz"
    package.write_bytes(b"other content")

    with pytest.raises(ConformanceError, match="is not what was expected"):
        check_integrity(package, base64.b64encode(hashlib.sha512(b"content").digest()).decode())

    assert not package.exists()


def test_free_ports_are_all_different() -> None:
    assert len(set(free_ports(50))) == 50


def test_s3_listens_at_the_first_port_and_everything_on_loopback(tmp_path: Path) -> None:
    command = seaweedfs_command(tmp_path / "weed", list(range(8001, 9000))[:8], tmp_path / "identities.json")

    assert {"-s3.port=8001", "-s3.port.grpc=8002", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"} <= set(command)
    assert "-s3.config=identities.json" in command


def test_a_started_program_ends_when_it_is_closed(folder: Path) -> None:
    program = start(PROGRAM, folder)
    with (folder / "alive").open("rb") as alive:
        with program:
            pass

        assert alive.read() == b""


def test_a_started_program_ends_with_its_starter_even_when_that_is_killed(folder: Path) -> None:
    starting = f"from tools.conformance import *; start({PROGRAM!r}, Path({str(folder)!r})); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", starting]) as starter, (folder / "alive").open("rb") as alive:
        starter.send_signal(signal.SIGKILL)

        assert alive.read() == b""


def test_a_program_that_ends_by_itself_is_not_waited_for(tmp_path: Path) -> None:
    access = Access({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"})

    with (
        start(["sh", "-c", "echo no memory; exit 1"], tmp_path) as process,
        pytest.raises(ConformanceError, match="does not start"),
    ):
        wait(process, tmp_path, access.client("dynamodb").list_tables)

    assert (tmp_path / "log").read_text() == "no memory\n"


def test_an_s3_that_takes_any_signature_is_no_second_opinion(moto: Access) -> None:
    with pytest.raises(ConformanceError, match="wrong signature"):
        check_signatures_matter(moto)


def test_emulators_in_which_the_tests_left_nothing_were_not_used(moto: Access) -> None:
    store_something(moto)

    with pytest.raises(ConformanceError, match="did not use the emulators"):
        check_used(moto)


def test_emulators_that_hold_a_table_and_a_bucket_were_used(moto: Access) -> None:
    moto.client("s3").create_bucket(Bucket="bucket")
    moto.client("dynamodb").create_table(
        TableName="table",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )

    check_used(moto)
