"""The example CRM beside the system, as `make run-example` starts it, and an agent who looks at its page."""

import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import BrowserContext, Page, expect

from examples import run
from examples.crm import store
from local import faults
from local.server import Server
from local.stack import ROOT, STATE
from tests import builders
from tests.builders import Json
from tests.integration.system import LOGS, System, running_system

OUTAGE = 60  # seconds that the CRM is dead
PATIENCE = OUTAGE + 30  # what has come late waits at most as long again


@dataclass(frozen=True)
class Crm:
    """The CRM as its operator has it: a command, settings, and a database file."""

    settings: dict[str, str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def started(self) -> Server:
        return run.started(self.settings, self.port)

    def database(self) -> AbstractContextManager[sqlite3.Connection]:
        return store.opened(self.settings["CRM_DATABASE"])

    def rows(self) -> list[tuple[int, str]]:
        """Give the numeric ids and WhatsApp's ids of all messages."""
        with self.database() as database:
            return [(row["id"], row["wamid"]) for row in store.everything(database)]

    def add_old_row(self, own_id: int, number: str, kind: str, media_id: str) -> None:
        """Add a message from before WhatsApp's ids were kept."""
        row = (own_id, number, "Ada", kind, media_id, int(time.time()))
        with self.database() as database:
            database.execute(
                "INSERT INTO messages (id, phone_number_id, sender, type, media_url, sent_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )

    def wait_for(self, *wamids: str) -> dict[str, int]:
        """Wait until these messages are there; give their numeric ids."""
        end = time.monotonic() + PATIENCE
        while missing := set(wamids) - {wamid for _, wamid in self.rows()}:
            assert time.monotonic() < end, f"{len(missing)} of {len(wamids)} have not come"
            time.sleep(0.1)
        return {wamid: own_id for own_id, wamid in self.rows() if wamid in wamids}


@pytest.fixture(name="port", scope="module")
def _port() -> Iterator[int]:
    """Give a port that only the CRM takes: nobody listens there while it is dead, and nobody else is given it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        yield port


@pytest.fixture(name="system", scope="module")
def _system(port: int) -> Iterator[System]:
    origin = f"http://127.0.0.1:{port}"
    log = STATE / f"example-{LOGS.name}"
    with running_system(log, background=True, ForwardUrl=f"{origin}/webhook", AllowedOrigins=origin) as system:
        yield system


@pytest.fixture(name="installed", scope="module")
def _installed(system: System, port: int, tmp_path_factory: pytest.TempPathFactory) -> Crm:
    return Crm(run.settings(system.stack.environment, tmp_path_factory.mktemp("crm") / "crm.sqlite"), port)


@pytest.fixture(name="crm")
def _crm(installed: Crm) -> Iterator[Crm]:
    with installed.started():
        yield installed


@pytest.fixture(name="agent")
def _agent(context: BrowserContext, crm: Crm) -> Page:
    """Give the page after the login."""
    page = context.new_page()
    page.goto(crm.url)
    page.get_by_label("Name").fill(run.NAME)
    page.get_by_label("Password").fill(run.PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("main")).to_be_visible()
    return page


def sent(system: System, *messages: Json) -> list[str]:
    """Let Meta deliver messages; give WhatsApp's ids."""
    body = builders.notification(*messages, phone_number_id=system.stack.phone_number_id)
    assert system.post(body).status_code == 200
    return [message["id"] for message in messages]


def held(system: System, sample: builders.Sample) -> str:
    return system.stack.meta.add_media(sample.content, sample.mime_type).id


def shown(page: Page, own_id: int) -> Any:
    """Wait until the media of a row is shown."""
    script = """id => {
        const media = document.querySelector(`#message-${id} :is(img, video, audio)`);
        return media && (media.naturalWidth > 100 || media.duration > 5) && media.currentSrc;
    }"""
    return page.wait_for_function(script, arg=own_id, timeout=40_000).json_value()


def test_a_message_is_forwarded_and_its_media_shown_on_the_crms_page_from_another_origin(
    system: System, crm: Crm, agent: Page
) -> None:
    samples = [builders.PHOTO, builders.STICKER, builders.VIDEO, builders.VOICE]
    rows = crm.wait_for(*sent(system, *(builders.media_message(own, held(system, own)) for own in samples)))
    asked = set()
    agent.on("request", lambda request: asked.add(urlsplit(request.url).netloc))

    agent.reload()

    sources = [shown(agent, own_id) for own_id in rows.values()]
    assert len(set(sources)) == len(samples)
    assert all(source.startswith(f"{system.stack.api_url}/media/messages/") for source in sources)
    assert asked == {urlsplit(url).netloc for url in (crm.url, system.stack.api_url, system.stack.edge_url)}


def test_a_document_is_saved_and_what_customers_wrote_stays_text(system: System, crm: Crm, agent: Page) -> None:
    name = "Offer & <b>terms.pdf"
    message = builders.media_message(
        builders.BROCHURE, held(system, builders.BROCHURE), media={"filename": name, "caption": "<img src=x>"}
    )
    crm.wait_for(*sent(system, message))
    agent.reload()

    with agent.expect_download() as download:
        agent.get_by_role("link", name=name).click()

    assert download.value.path().read_bytes() == builders.BROCHURE.content
    assert agent.get_by_text("<img src=x>").is_visible()


def test_rows_from_before_are_shown_under_their_old_numeric_ids_after_a_backfill(
    system: System, crm: Crm, agent: Page, tmp_path: Path
) -> None:
    samples = {4711: builders.PHOTO, 4712: builders.VOICE}
    for own_id, sample in samples.items():
        crm.add_old_row(own_id, system.stack.phone_number_id, sample.kind, held(system, sample))
    export, environment = tmp_path / "messages.jsonl", tmp_path / "stack.env"
    environment.write_text("".join(f"{name}={value}\n" for name, value in system.stack.environment.items()))
    with export.open("wb") as file:
        flask = [sys.executable, "-m", "flask", "--app", "examples.crm.app", "export"]
        subprocess.run(flask, cwd=ROOT, env=crm.settings, stdout=file, check=True)
    backfill = [sys.executable, "-m", "tools.backfill", str(export), "--local", str(environment), "--apply"]
    subprocess.run(backfill, cwd=ROOT, capture_output=True, check=True)

    agent.reload()
    for own_id in samples:
        assert urlsplit(shown(agent, own_id)).path == f"/api/media/messages/{own_id}"


@pytest.mark.timeout(240)
def test_a_crm_that_is_dead_for_a_minute_misses_nothing_and_has_nothing_twice(system: System, installed: Crm) -> None:
    with installed.started():
        installed.wait_for(*sent(system, builders.text_message()))
    photo = builders.media_message(builders.PHOTO, held(system, builders.PHOTO))
    wamids = [wamid for _ in range(5) for wamid in sent(system, builders.text_message(), builders.text_message())]
    wamids += [*sent(system, photo), *sent(system, photo)]  # Meta delivers again, too
    for _ in range(4):
        with pytest.raises(requests.ConnectionError):
            requests.get(installed.url, timeout=1)
        time.sleep(OUTAGE / 4)
        wamids += sent(system, builders.text_message())

    with installed.started():
        installed.wait_for(*wamids)
        end = time.monotonic() + PATIENCE
        while waiting(system):
            assert time.monotonic() < end
            time.sleep(0.2)

    assert sorted(wamid for _, wamid in installed.rows() if wamid in wamids) == sorted(set(wamids))
    assert refusals() >= len(set(wamids))


def refusals() -> int:
    """Count the tries that met nobody."""
    return (STATE / f"example-{LOGS.name}").read_text().count('"kind":"network"')


def waiting(system: System) -> int:
    """Count the notifications that the CRM has not taken yet."""
    counts = [f"ApproximateNumberOfMessages{which}" for which in ("", "Delayed", "NotVisible")]
    asked = {"QueueUrl": system.stack.template.resolve({"Ref": "ForwardQueue"}), "AttributeNames": counts}
    return sum(map(int, system.client("sqs").get_queue_attributes(**asked)["Attributes"].values()))


def test_only_what_meta_has_signed_becomes_a_row(system: System, crm: Crm) -> None:
    before = crm.rows()
    body = builders.wire(builders.notification(builders.text_message()))
    signatures = [{}, builders.signed(body, "other"), builders.signed(body + b" ", system.stack.app_secret)]

    answers = [requests.post(f"{crm.url}/webhook", body, headers=own, timeout=10) for own in signatures]

    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert crm.rows() == before


def test_without_a_session_nobody_sees_a_message_or_gets_a_token(system: System, crm: Crm) -> None:
    refused = requests.post(f"{crm.url}/login", {"name": run.NAME, "password": "guess"}, timeout=10)
    nobody = requests.post(f"{crm.url}/login", {"name": "nobody", "password": ""}, timeout=10)
    away = requests.get(f"{crm.url}/", timeout=10, allow_redirects=False)

    assert [refused.status_code, nobody.status_code] == [403, 403]
    assert (away.status_code, away.headers["Location"]) == (302, "/login")
    assert "token=" not in refused.text + nobody.text + away.text


def test_the_session_and_the_token_are_short_of_power(crm: Crm, agent: Page) -> None:
    (cookie,) = agent.context.cookies()
    text = agent.content()

    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    secrets = [value for name, value in crm.settings.items() if "SECRET" in name or "TOKEN" in name or "AGENTS" in name]
    assert len(secrets) == 5
    assert not [secret for secret in secrets if secret in text]


def test_media_that_is_not_there_yet_appears_by_itself(system: System, crm: Crm, agent: Page) -> None:
    photo = builders.media_message(builders.PHOTO, held(system, builders.PHOTO))
    system.stack.meta.faults.add(photo["image"]["id"], faults.RateLimited(times=4, retry_after=2))
    (own_id,) = crm.wait_for(*sent(system, photo)).values()
    asked = []
    agent.on("response", lambda answer: asked.append(answer.status))

    agent.reload()

    assert shown(agent, own_id)
    assert set(asked) & {202, 503}, "it was there at once"


def test_media_that_is_gone_says_so(system: System, crm: Crm, agent: Page) -> None:
    photo = builders.media_message(builders.PHOTO, held(system, builders.PHOTO))
    system.stack.meta.faults.add(photo["image"]["id"], faults.Gone())
    (own_id,) = crm.wait_for(*sent(system, photo)).values()

    agent.reload()

    told = agent.locator(f"#message-{own_id}").get_by_role("alert")
    expect(told).to_be_visible(timeout=20_000)
    assert told.inner_text() == "WhatsApp no longer has this media"


def test_the_verification_that_meta_asks_for_still_works_for_the_way_back(crm: Crm) -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": crm.settings["VERIFY_TOKEN"], "hub.challenge": "4711"}

    assert requests.get(f"{crm.url}/webhook", asked, timeout=10).text == "4711"
    assert requests.get(f"{crm.url}/webhook", {**asked, "hub.verify_token": "no"}, timeout=10).status_code == 403
