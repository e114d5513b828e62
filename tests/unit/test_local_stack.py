"""The local run as a program, and as a library: real processes, real ports."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from local.options import PHONE_NUMBER_ID, Options
from local.outgoing import Outgoing
from local.server import serve
from local.stack import ROOT, Stack, running_stack
from tests import builders

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
ADDRESSES = {"API_URL", "PAGE_URL", "EDGE_URL", "GRAPH_URL", "AWS_ENDPOINT_URL"}
CONTRACT = ADDRESSES | {
    "AWS_REGION",
    "TABLE_NAME",
    "BUCKET_NAME",
    "QUEUE_URL",
    "DEAD_LETTER_QUEUE_URL",
    "APP_SECRET",
    "VERIFY_TOKEN",
    "PHONE_NUMBER_ID",
    "WABA_ID",
    "MEDIA_TOKEN",
    "MEDIA_TOKEN_SECRET",
}


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    """Give a project folder of its own: a run must not disturb the one that a developer has going."""
    for name in ("local", "web", "examples", "template.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture(name="program")
def _program(checkout: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(checkout)
    yield process
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def start(checkout: Path, module: str = "local.stack", **variables: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GRAPH_"))}
    return subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=checkout,
        env={**kept, "API_PORT": "0", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def announced(checkout: Path, process: subprocess.Popen[str], name: str = "stack.env") -> dict[str, str]:
    file = checkout / ".local" / name
    end = time.monotonic() + 40
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def descendants(pid: int) -> list[int]:
    """Give the processes that a process has started, and those that these have."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        if parent == pid:
            found += [int(status.parent.name), *descendants(int(status.parent.name))]
    return found


def ended(pid: int) -> bool:
    """Tell whether a process is gone, or only waits for its parent to notice."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True


def soon_ended(pids: list[int]) -> bool:
    """Tell whether all are gone within five seconds: Python's own resource tracker ends just after its parent."""
    end = time.monotonic() + 5
    while not all(map(ended, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return all(map(ended, pids))


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize(
    ("name", "whole_group"), [pytest.param("SIGINT", True, id="ctrl-c"), pytest.param("SIGTERM", False, id="sigterm")]
)
@linux
def test_a_run_announces_itself_answers_and_ends_without_a_trace(
    checkout: Path, program: subprocess.Popen[str], name: str, whole_group: bool
) -> None:
    values = announced(checkout, program)
    for_sam = json.loads((checkout / ".local" / "env-vars.json").read_text())
    assert (checkout / ".local" / "stack.env").stat().st_mode & 0o777 == 0o600
    assert for_sam["WebhookFunction"]["TABLE_NAME"] == values["TABLE_NAME"]
    own_host = values["AWS_ENDPOINT_URL"].replace("127.0.0.1", "host.docker.internal")
    assert for_sam["WebhookFunction"]["AWS_ENDPOINT_URL"] == own_host
    handshake = {
        "hub.mode": "subscribe",
        "hub.verify_token": values["VERIFY_TOKEN"],
        "hub.challenge": "4711",
    }
    assert values.keys() >= CONTRACT
    assert requests.get(f"{values['API_URL']}/webhook", params=handshake, timeout=10).text == "4711"
    assert requests.get(values["PAGE_URL"], timeout=10).status_code == 200
    assert requests.get(f"{values['EDGE_URL']}/inline/1/2/3", timeout=10).status_code == 403

    children = descendants(program.pid)
    (os.killpg if whole_group else os.kill)(program.pid, getattr(signal, name))
    output, _ = program.communicate(timeout=20)

    assert program.returncode == 0
    assert "Traceback" not in output
    assert output.endswith("Stopped.\n")
    assert len(children) >= 4
    assert soon_ended(children)
    assert not (checkout / ".local" / "stack.env").exists()
    assert not (checkout / ".local" / "env-vars.json").exists()
    assert (checkout / ".local" / "handlers.log").exists()


@linux
def test_when_the_emulator_dies_the_run_says_so_and_ends(checkout: Path, program: subprocess.Popen[str]) -> None:
    announced(checkout, program)
    children = descendants(program.pid)
    moto = [pid for pid in children if "local.cloud" in Path(f"/proc/{pid}/cmdline").read_text()]

    os.kill(moto[0], signal.SIGKILL)
    output, _ = program.communicate(timeout=20)

    assert program.returncode == 1
    assert "moto's server has ended" in output
    assert "Traceback" not in output
    assert soon_ended(children)


@linux
def test_a_run_that_is_killed_takes_its_processes_along(checkout: Path, program: subprocess.Popen[str]) -> None:
    announced(checkout, program)
    children = descendants(program.pid)

    program.kill()
    program.communicate(timeout=20)

    assert soon_ended(children)
    assert not (checkout / ".local" / "stack.env").exists()


@linux
def test_the_example_crm_runs_beside_it_gets_what_meta_sends_and_ends_with_it(checkout: Path) -> None:
    with serve(lambda *_: []) as free:
        port = free.port
    program = start(checkout, "examples.run", CRM_PORT=str(port))
    values = announced(checkout, program)
    body = builders.wire(builders.notification(builders.text_message("Bom dia"), phone_number_id=PHONE_NUMBER_ID))
    headers = builders.signed(body, values["APP_SECRET"])
    agent, end = requests.Session(), time.monotonic() + 30
    answer = requests.post(f"{values['API_URL']}/webhook", body, headers=headers, timeout=30)
    while "Bom dia" not in log_in(agent, f"http://127.0.0.1:{port}/login"):
        assert time.monotonic() < end
        time.sleep(0.2)
    origin = {"Origin": f"http://127.0.0.1:{port}"}
    allowed = requests.get(f"{values['API_URL']}/media/messages/unknown", headers=origin, timeout=30).headers
    children = descendants(program.pid)

    program.terminate()
    output, _ = program.communicate(timeout=20)

    agent.close()
    assert answer.status_code == 200
    assert allowed["Access-Control-Allow-Origin"] == origin["Origin"]
    assert f"The example CRM: http://127.0.0.1:{port} " in output
    assert (program.returncode, "Traceback" in output) == (0, False)
    assert soon_ended(children)
    assert not list((checkout / ".local").glob("*.sqlite*"))


def log_in(agent: requests.Session, url: str) -> str:
    """Log in as an agent, once somebody answers; give the page that is shown."""
    try:
        return agent.post(url, {"name": "agent", "password": "agent"}, timeout=10).text
    except requests.ConnectionError:
        return ""


def test_an_example_crm_whose_port_is_taken_says_so(checkout: Path) -> None:
    with serve(lambda *_: []) as taken:
        program = start(checkout, "examples.run", CRM_PORT=str(taken.port))
        output, _ = program.communicate(timeout=40)

    assert program.returncode == 1
    assert f"port {taken.port} is taken. Choose another one: CRM_PORT={taken.port + 1} make run-example" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("text", ["0", "65536", "crm"])
def test_an_example_crm_on_a_port_that_is_none_says_so(checkout: Path, text: str) -> None:
    program = start(checkout, "examples.run", CRM_PORT=text)
    output, _ = program.communicate(timeout=40)

    assert (program.returncode, output) == (1, f"CRM_PORT must be a number from 1 to 65535, not {text!r}\n")


def test_a_second_run_beside_the_first_has_files_of_its_own(checkout: Path, program: subprocess.Popen[str]) -> None:
    first = announced(checkout, program)
    with serve(lambda *_: []) as free:
        port = free.port
    second = start(checkout, API_PORT=str(port))
    files = [checkout / ".local" / name for name in (f"stack-{port}.env", f"handlers-{port}.log")]

    values = announced(checkout, second, f"stack-{port}.env")
    appeared = [file.exists() for file in files]
    second.terminate()
    output, _ = second.communicate(timeout=20)

    assert values["API_URL"] == f"http://127.0.0.1:{port}"
    assert appeared == [True, True]
    assert f"stack-{port}.env" in output
    assert [file.exists() for file in files] == [False, True]
    assert announced(checkout, program) == first
    assert (checkout / ".local" / "handlers.log").exists()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"API_PORT": "eighty"}, "API_PORT must be a number"),
        ({"GRAPH_URL": "http://127.0.0.1:1/v26.0"}, "GRAPH_URL must be an origin"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "AWS_ENDPOINT_URL must be an origin"),
        ({"LISTEN": "nowhere"}, "LISTEN must be an IPv4 address"),
        ({"LISTEN": "240.0.0.1"}, "This machine has no address 240.0.0.1"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(checkout: Path, variables: dict[str, str], message: str) -> None:
    process = start(checkout, **variables)
    output, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert message in output
    assert len(output.splitlines()) == 1
    assert not (checkout / ".local" / "stack.env").exists()


def test_a_taken_port_is_named_with_a_way_out_and_a_running_stack_is_not_disturbed(checkout: Path) -> None:
    announcement = checkout / ".local" / "stack.env"
    announcement.parent.mkdir()
    announcement.write_text("API_URL=the one that runs\n")
    with serve(lambda *_: []) as taken:
        process = start(checkout, API_PORT=str(taken.port))
        output, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    expected = f"Port {taken.port} is taken. Choose another one: API_PORT={taken.port + 1} make run\n"
    assert output == expected
    assert announcement.read_text() == "API_URL=the one that runs\n"


def test_a_handler_that_does_not_start_is_named(tmp_path: Path) -> None:
    options = Options(logs=tmp_path / "handlers.log", variables={"RETENTION_DAYS": "many"})

    with pytest.raises(Exception, match="retention_days"), running_stack(options):
        pass
    assert "retention_days" in (tmp_path / "handlers.log").read_text()


def test_as_a_library_it_gives_the_same_values_and_runs_functions_by_name(tmp_path: Path) -> None:
    options = Options(logs=tmp_path / "handlers.log", parameters={"MaxMediaBytes": "2000000"})

    with running_stack(options) as stack:
        assert stack.environment.keys() >= CONTRACT
        assert stack.environment["API_URL"] == stack.api_url
        assert stack.template.parameter("MaxMediaBytes") == "2000000"
        job = {"messageId": "1", "eventSource": "aws:sqs", "body": '{"message_id": "unknown"}'}
        assert "batchItemFailures" in stack.functions.invoke("PrefetchFunction", {"Records": [job]})
        answer = requests.get(f"{stack.api_url}/media/messages/unknown", timeout=10)
        assert answer.json()["code"] == "unauthenticated"

    with pytest.raises(requests.ConnectionError):
        requests.get(stack.api_url, timeout=1)


def test_a_medium_that_is_sent_becomes_ready_without_anybody_looking(tmp_path: Path) -> None:
    with running_stack(Options(logs=tmp_path / "handlers.log")) as stack:
        send_picture(stack)

        wait_for(lambda: statuses(stack) == ["ready"])
        assert len(stack.meta.requests(hop="download")) == 1
        wait_for(lambda: len(stack.events()) == 2)
        events = requests.get(f"{stack.page_url}/simulator/events", timeout=10).json()
        assert [event["detail-type"] for event in events] == ["message.stored", "media.ready"]


def test_without_events_there_is_no_bus(tmp_path: Path) -> None:
    with running_stack(Options(logs=tmp_path / "handlers.log", parameters={"Events": "off"})) as stack:
        assert stack.event_bus_name == ""
        assert stack.relays == ()
        assert stack.events() == []


def test_background_work_can_be_switched_on_and_off(tmp_path: Path) -> None:
    with running_stack(Options(logs=tmp_path / "handlers.log", background=False)) as stack:
        send_picture(stack)
        time.sleep(1.5)
        untouched = statuses(stack), stack.meta.requests()
        with stack.background():
            wait_for(lambda: statuses(stack) == ["ready"])
        send_picture(stack)
        time.sleep(1.5)

        assert untouched == ([None], [])
        assert statuses(stack) == [None, "ready"]


def send_picture(stack: Stack) -> None:
    media = stack.meta.add_media(PNG, "image/png")
    assert stack.meta.send(Outgoing(kind="image", media_id=media.id)).delivery.status == 200


def statuses(stack: Stack) -> list[str | None]:
    """Give the states of the media of all messages, the newest first, as the simulator page sees them."""
    messages = requests.get(f"{stack.page_url}/simulator/messages", timeout=10).json()
    return [message["media"].get("status") for message in messages]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
