"""What the example CRM decides without a server: rows of notifications, ids, addresses."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from examples import run
from examples.crm import media, store, webhook
from examples.crm.app import create_app
from inbound.access import scope_of
from inbound.media import message_id
from tests import builders

SECRET = "a-media-token-secret-of-32-bytes-or-more"
ALL_PAYLOADS = sorted(path.stem for path in builders.PAYLOADS.glob("*.json"))


@pytest.mark.parametrize("name", ALL_PAYLOADS)
def test_whatever_meta_sends_becomes_rows_and_twice_the_same_ones(name: str) -> None:
    body = (builders.PAYLOADS / f"{name}.json").read_bytes()

    with store.opened(":memory:") as database:
        store.add(database, webhook.rows_of(body))
        first = list(store.everything(database))
        store.add(database, webhook.rows_of(body))
        second = list(store.everything(database))

    assert first == second
    assert {row["wamid"] for row in first} == ids_of(json.loads(body))


def ids_of(payload: builders.Json) -> set[str]:
    """Give the ids of the messages that a notification brings in `messages`."""
    values = [change.get("value", {}) for entry in payload["entry"] for change in entry["changes"]]
    return {message["id"] for value in values for message in value.get("messages", []) if "id" in message}


def test_every_message_of_a_large_notification_becomes_a_row() -> None:
    rows = list(webhook.rows_of(builders.wire(builders.batch(300))))

    assert len({(row["phone_number_id"], row["wamid"]) for row in rows}) == 300


def test_half_an_emoji_is_stored_as_a_question_mark() -> None:
    (row,) = webhook.rows_of(builders.wire(builders.notification(builders.text_message("cut \ud83d"))))

    with store.opened(":memory:") as database:
        store.add(database, [row])
        assert [own["text"] for own in store.everything(database)] == ["cut ?"]


@pytest.mark.parametrize("wamid", ["wamid.HBgL/+=", "ünïcödé 👋", ""])
def test_the_id_of_a_message_is_the_one_that_it_is_stored_under(wamid: str) -> None:
    assert media.message_id("200000000000002", wamid) == message_id("200000000000002", wamid)


def test_a_token_opens_the_agents_numbers_and_no_other() -> None:
    scope = scope_of(media.media_token(SECRET, ["1", "2"], now=4e9), [SECRET])

    opened = [scope.opens(phone_number_id=number, contact_id=None, message_ids=[]) for number in ("1", "2", "3")]
    assert opened == [True, True, False]


def test_a_token_lives_for_a_quarter_of_an_hour() -> None:
    claims = jwt.decode(media.media_token(SECRET, ["1"], now=4e9), SECRET, algorithms=["HS256"])

    assert claims["exp"] == 4e9 + 900


def test_the_page_loads_media_from_api_and_edge_and_runs_its_own_scripts_only(settings: dict[str, str]) -> None:
    policy = create_app(settings).test_client().get("/login").headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy


def test_an_old_id_cannot_leave_the_path() -> None:
    row = {"id": "../x?token=y#z", "wamid": None, "phone_number_id": "1"}

    url = urlsplit(media.media_url("https://api.example.com", row, "t&t", download="1"))

    assert url.path == "/api/media/messages/..%2Fx%3Ftoken%3Dy%23z"
    assert parse_qs(url.query) == {"token": ["t&t"], "download": ["1"]}


def test_only_the_newest_messages_of_the_agents_numbers_are_listed() -> None:
    rows = [
        {"phone_number_id": number, "wamid": f"{number}-{n}", "sender": "a", "type": "text", "sent_at": n}
        | {"text": None, "filename": None}
        for number in ("1", "2", "3")
        for n in range(40)
    ]

    with store.opened(":memory:") as database:
        store.add(database, rows)
        found = [row["wamid"] for row in store.newest(database, ["1", "3"])]
        nothing = store.newest(database, [])

    assert (found[:3], len(found), nothing) == (["3-39", "1-39", "3-38"], 50, [])


@pytest.mark.parametrize("name", ["CRM_SECRET_KEY", "CRM_AGENTS", "APP_SECRET", "MEDIA_TOKEN_SECRET"])
def test_without_a_secret_it_does_not_start(settings: dict[str, str], name: str) -> None:
    del settings[name]

    with pytest.raises(KeyError, match=name):
        create_app(settings)


def test_its_session_is_for_https_alone_unless_it_is_told_otherwise(settings: dict[str, str]) -> None:
    del settings["CRM_PLAIN_HTTP"]

    answer = create_app(settings).test_client().post("/login", data={"name": run.NAME, "password": run.PASSWORD})

    assert answer.status_code == 303
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(answer.headers["Set-Cookie"].split("; "))


def test_who_logs_out_sees_nothing_more(settings: dict[str, str]) -> None:
    client = create_app(settings).test_client()
    client.post("/login", data={"name": run.NAME, "password": run.PASSWORD})
    before = client.get("/").status_code

    client.post("/logout")

    assert (before, client.get("/").status_code) == (200, 302)


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> dict[str, str]:
    addresses = {"API_URL": "https://api.example.com", "EDGE_URL": "https://media.example.com"}
    secrets = {"APP_SECRET": "app", "VERIFY_TOKEN": "verify", "MEDIA_TOKEN_SECRET": SECRET, "PHONE_NUMBER_ID": "1"}
    return run.settings({**addresses, **secrets}, tmp_path / "crm.sqlite")
