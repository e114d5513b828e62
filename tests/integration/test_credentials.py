"""An operator answers questions, and the deployment has its secrets: against Secrets Manager and Graph."""

import io
import json
import os
import pty
import select
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from inbound.observability import logger
from local import faults
from local.options import APP_ID, APP_SECRET, GRAPH_TOKEN, PHONE_NUMBER_ID
from tests import builders
from tests.builders import Json
from tests.integration.system import System
from tools import credentials

EMPTY_GRAPH: Json = {"tokens": {}, "media_token_secrets": []}
GOOD = (APP_ID, APP_SECRET, "a-verify-token", PHONE_NUMBER_ID, GRAPH_TOKEN)
DAY = 24 * 3600


class Done(NamedTuple):
    """How the tool ended, and what it showed."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Office:
    """Where an operator works: two secrets of a deployment, and the file through which tools find it."""

    client: Any
    apps: str
    graph: str
    file: Path

    def put(self, apps: Json, graph: Json) -> None:
        self.client.put_secret_value(SecretId=self.apps, SecretString=json.dumps(apps))
        self.client.put_secret_value(SecretId=self.graph, SecretString=json.dumps(graph))

    def there(self) -> tuple[Json, Json]:
        """Give what the secrets hold."""
        both = (self.client.get_secret_value(SecretId=one)["SecretString"] for one in (self.apps, self.graph))
        apps, graph = map(json.loads, both)
        return apps, graph

    def versions(self) -> int:
        """Count how often the secrets were written."""
        return sum(
            len(self.client.list_secret_version_ids(SecretId=one, IncludeDeprecated=True)["Versions"])
            for one in (self.apps, self.graph)
        )

    def arguments(self, *more: str) -> list[str]:
        return ["--local", str(self.file), *more]

    def run(self, answers: tuple[str, ...], *arguments: str) -> Done:
        """Run the tool in this process, which is quicker than in one of its own."""
        said, out, err = (io.StringIO(text) for text in ("".join(f"{answer}\n" for answer in answers), "", ""))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "stdin", said)
            code = credentials.main(self.arguments(*arguments))
        return Done(code, out.getvalue(), err.getvalue())

    def report(self, answers: tuple[str, ...], *arguments: str, code: int = 0) -> Json:
        """Run the tool to its end; give its report."""
        file = self.file.with_name("report.json")
        done = self.run(answers, *arguments, "--json", str(file))
        assert done.returncode == code, done.stdout + done.stderr
        report: Json = json.loads(file.read_text("utf-8"))
        return report


@pytest.fixture
def environment() -> Iterator[None]:
    """Undo what a tool does to its process, so that its clients find the deployment."""
    before, level = dict(os.environ), logger.log_level
    yield
    os.environ.clear()
    os.environ.update(before)
    boto3.DEFAULT_SESSION = None
    logger.setLevel(level)


@pytest.fixture
def office(system: System, environment: None, tmp_path: Path) -> Iterator[Office]:
    """Give a place with secrets as a new stack has them."""
    client, name = system.client("secretsmanager"), time.time_ns()
    apps, graph = (
        client.create_secret(Name=f"own-{kind}-{name}", SecretString=json.dumps(value))["ARN"]
        for kind, value in (("a", {}), ("g", EMPTY_GRAPH))
    )
    file = tmp_path / "stack.env"
    variables = {**system.stack.environment, "APPS_SECRET_ID": apps, "GRAPH_SECRET_ID": graph}
    file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()), "utf-8")
    yield Office(client, apps, graph, file)
    for one in (apps, graph):
        client.delete_secret(SecretId=one, ForceDeleteWithoutRecovery=True)


@pytest.fixture
def meta(system: System) -> Iterator[Any]:
    """Give the simulator, with tokens that it forgets afterwards."""
    known = dict(system.stack.meta._tokens)
    yield system.stack.meta
    system.stack.meta._tokens = known


# --- from nothing to a working system ----------------------------------------------------------------------------


def test_a_new_stack_has_its_secrets_and_the_operator_what_meta_wants(office: Office, system: System) -> None:
    done = office.run((APP_ID, APP_SECRET, "", PHONE_NUMBER_ID, GRAPH_TOKEN), "--apply")

    apps, graph = office.there()
    assert (done.returncode, done.stderr) == (0, "")
    verify_token = apps[APP_ID]["verify_token"]
    assert apps == {
        APP_ID: {"secrets": [APP_SECRET], "verify_token": verify_token, "phone_number_ids": [PHONE_NUMBER_ID]}
    }
    assert graph["tokens"] == {"default": [GRAPH_TOKEN]}
    assert len(graph["media_token_secrets"][0]) >= 32
    assert f"Callback URL   {system.stack.api_url}/webhook\n" in done.stdout
    assert f"Verify token   {verify_token}\n" in done.stdout
    assert f"sees the number {PHONE_NUMBER_ID}" in done.stdout


def test_meta_is_answered_with_the_verify_token_that_was_printed(office: Office, system: System) -> None:
    office.report(GOOD, "--apply")
    query = {"hub.mode": "subscribe", "hub.challenge": "42", "hub.verify_token": "a-verify-token"}
    event = builders.http_event("GET", "/webhook", query=query)

    told = system.run("WebhookFunction", event, APPS_SECRET_ID=office.apps)

    assert [(one["statusCode"], one["body"]) for one in told["answers"]] == [(200, "42")]


def test_a_dry_run_asks_and_changes_nothing(office: Office) -> None:
    report = office.report(GOOD)

    assert office.there() == ({}, EMPTY_GRAPH)
    assert report["applied"] is False
    assert report["changes"]["app secret"] == "new"
    assert report["problems"] == []


def test_done_twice_is_done_once(office: Office) -> None:
    office.report(GOOD, "--apply")
    before, versions = office.there(), office.versions()

    report = office.report(GOOD, "--apply")

    assert office.there() == before
    assert office.versions() == versions
    assert set(report["changes"].values()) == {"stays"}


def test_empty_answers_keep_everything_and_check_it(office: Office) -> None:
    office.report(GOOD, "--apply")
    before = office.there()

    report = office.report(("", "", "", "", ""), "--apply")

    assert office.there() == before
    assert any("sees the number" in note for note in report["notes"])


def test_a_rotation_keeps_the_value_before_and_a_leak_does_not(office: Office, meta: Any) -> None:
    meta.accept_token("next-token")
    office.put({APP_ID: {"secrets": [APP_SECRET, "older"], "verify_token": "v", "phone_number_ids": "*"}}, EMPTY_GRAPH)

    office.report(("", "", "", "", GRAPH_TOKEN), "--apply")
    office.report(("", "", "", "", "next-token"), "--apply")
    assert office.there()[1]["tokens"] == {"default": ["next-token", GRAPH_TOKEN]}
    assert office.there()[0][APP_ID]["secrets"] == [APP_SECRET, "older"]

    office.report(("", "", "", "", ""), "--apply", "--forget-previous")
    assert office.there()[1]["tokens"] == {"default": ["next-token"]}
    assert office.there()[0][APP_ID]["secrets"] == [APP_SECRET]


def test_other_apps_and_their_tokens_stay(office: Office) -> None:
    other = {"secrets": ["other"], "verify_token": "other", "phone_number_ids": ["70009"]}
    office.put({"99999": other}, {"tokens": {"70009": ["elsewhere"]}, "media_token_secrets": ["m" * 40]})

    office.report(GOOD, "--apply", "--per-number")

    apps, graph = office.there()
    assert apps["99999"] == other
    assert graph == {
        "tokens": {"70009": ["elsewhere"], PHONE_NUMBER_ID: [GRAPH_TOKEN]},
        "media_token_secrets": ["m" * 40],
    }


# --- what does not fit -------------------------------------------------------------------------------------------


def test_a_token_that_meta_does_not_accept_is_told_and_nothing_written(office: Office) -> None:
    report = office.report((*GOOD[:4], "EAAunknown"), "--apply", code=1)

    assert office.there() == ({}, EMPTY_GRAPH)
    assert "is not valid" in report["problems"][0]
    assert report["applied"] is False


def test_a_token_that_has_ended_is_told_as_such(office: Office, meta: Any) -> None:
    meta.accept_token("ended", expires_at=int(time.time()) - DAY)

    (token, *_) = office.report((*GOOD[:4], "ended"), code=1)["problems"]

    assert "it has ended" in token


def test_a_token_that_ends_is_told_with_its_day(office: Office, meta: Any) -> None:
    meta.accept_token("sixty", expires_at=int(time.time()) + 60 * DAY - 60)

    report = office.report((*GOOD[:4], "sixty"))

    assert any("in 60 days" in note for note in report["notes"])


def test_a_token_without_the_permission_is_told(office: Office, meta: Any) -> None:
    meta.accept_token("narrow", scopes=("public_profile",))

    assert "whatsapp_business_messaging" in office.report((*GOOD[:4], "narrow"), code=1)["problems"][0]


@pytest.mark.parametrize("number", ["15550001234", "700000000000042"])
def test_a_number_that_is_none_of_the_tokens_is_told(office: Office, number: str) -> None:
    report = office.report((*GOOD[:3], number, GRAPH_TOKEN), "--apply", code=1)

    (problem,) = report["problems"]
    assert number in problem
    assert "phone number id is wrong" in problem
    assert office.there() == ({}, EMPTY_GRAPH)


def test_a_wrong_app_secret_is_told(office: Office) -> None:
    report = office.report((APP_ID, "another-secret", *GOOD[2:]), "--apply", code=1)

    assert "does not know this app id with this app secret" in report["problems"][0]
    assert office.there() == ({}, EMPTY_GRAPH)


@pytest.mark.parametrize("fault", [faults.ServerError(), faults.HtmlPage(hop="resolve"), faults.GraphError(code=4)])
@pytest.mark.parametrize("asked", ["debug_token", PHONE_NUMBER_ID])
def test_a_graph_that_does_not_answer_is_told_and_nothing_written(
    office: Office, system: System, fault: faults.Fault, asked: str
) -> None:
    system.stack.meta.faults.add(asked, fault)

    report = office.report(GOOD, "--apply", code=1)

    assert "Graph cannot be asked now" in " ".join(report["problems"])
    assert office.there() == ({}, EMPTY_GRAPH)


def test_without_a_network_nothing_is_written_unless_that_is_wanted(office: Office) -> None:
    lines = office.file.read_text("utf-8").splitlines()
    office.file.write_text("\n".join(["GRAPH_URL=http://127.0.0.1:9" if "GRAPH_URL" in one else one for one in lines]))

    assert "Graph cannot be asked now" in office.report(GOOD, "--apply", code=1)["problems"][0]
    assert office.there() == ({}, EMPTY_GRAPH)
    assert office.report(GOOD, "--apply", "--unchecked")["notes"][-1] == "Meta was not asked."
    assert office.there()[1]["tokens"] == {"default": [GRAPH_TOKEN]}


def test_a_number_without_a_token_is_told(office: Office) -> None:
    assert "There is no access token" in office.report((*GOOD[:4], ""), code=1)["problems"][0]


def test_a_secret_that_was_spoilt_by_hand_is_not_overwritten(office: Office) -> None:
    office.client.put_secret_value(SecretId=office.apps, SecretString="{,}")

    done = office.run(GOOD, "--apply")

    assert done.returncode == 2
    assert done.stderr == "The secret apps is not what it must be, at its JSON. Mend it first (docs/deploy.md).\n"
    assert office.client.get_secret_value(SecretId=office.apps)["SecretString"] == "{,}"


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (("not-an-id",), "An app id has digits only"),
        ((APP_ID, "two words"), "app secret holds characters"),
        ((APP_ID, APP_SECRET, "", "+1 555"), "not the phone number"),
        ((APP_ID, APP_SECRET), "The answers end too early"),
    ],
)
def test_an_answer_that_makes_no_sense_is_told_in_one_line(office: Office, answers: tuple[str, ...], told: str) -> None:
    done = office.run(answers, "--apply")

    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert office.there() == ({}, EMPTY_GRAPH)


def test_a_deployment_that_does_not_tell_enough_is_not_touched(office: Office) -> None:
    lines = [one for one in office.file.read_text("utf-8").splitlines() if "GRAPH_SECRET_ID" not in one]
    office.file.write_text("\n".join(lines))

    done = office.run(GOOD, "--apply")

    assert (done.returncode, "Deploy the present version first" in done.stderr) == (2, True)


def test_a_write_that_fails_is_told_and_done_by_the_next_run(office: Office, system: System) -> None:
    system.aws.fail("PutSecretValue", "AccessDeniedException", strikes=lambda call: office.apps.encode() in call)

    done = office.run(GOOD, "--apply")

    assert (done.returncode, done.stderr) == (1, "Not finished. AWS refuses PutSecretValue: AccessDeniedException.\n")
    # What the webhook takes must be possible to fetch: tokens come first.
    assert office.there() == ({}, {**office.there()[1], "tokens": {"default": [GRAPH_TOKEN]}})
    system.aws.forget()
    office.report(GOOD, "--apply")
    assert office.there()[0][APP_ID]["secrets"] == [APP_SECRET]


# --- what is shown -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1])
def test_no_output_holds_a_secret(office: Office, code: int) -> None:
    secret = APP_SECRET if code == 0 else "another-secret-of-an-app"
    file = office.file.with_name("shown.json")

    done = office.run((APP_ID, secret, "", PHONE_NUMBER_ID, GRAPH_TOKEN), "--apply", "--json", str(file))

    assert done.returncode == code
    shown = done.stdout + done.stderr + file.read_text("utf-8")
    made = office.there()[1]["media_token_secrets"]
    assert [one for one in (secret, GRAPH_TOKEN, *made) if one in shown] == []


def test_what_is_typed_is_not_shown(office: Office) -> None:
    shown, code = typed([sys.executable, "-m", "tools.credentials", *office.arguments("--apply")], GOOD)

    assert code == 0, shown
    assert office.there()[1]["tokens"] == {"default": [GRAPH_TOKEN]}
    assert APP_ID in shown  # the terminal does echo, where it may
    assert [one for one in (APP_SECRET, GRAPH_TOKEN) if one in shown] == []


def typed(command: list[str], answers: tuple[str, ...]) -> tuple[str, int]:
    """Run a program in a terminal and answer each of its questions; give what the terminal shows, and the exit code."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(command[0], command)  # noqa: S606  (this interpreter, with arguments of this test)
    shown, left, end = "", list(answers), time.monotonic() + 50
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                part = os.read(terminal, 4096).decode()
            except OSError:
                break  # Linux's way to say that nobody holds the other end
            shown += part
            if left and part.rstrip(" ").endswith(":"):
                os.write(terminal, f"{left.pop(0)}\n".encode())
    os.close(terminal)
    return shown, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
