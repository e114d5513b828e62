"""An app writes to its own numbers, and nothing is lost of a number that nobody is bound to."""

import json

import pytest

from inbound.credentials import App
from tests.builders import (
    Json,
    change_of,
    envelope,
    golden,
    image_message,
    message,
    notification,
    status,
    text_message,
    wire,
)
from webhook.binding import Permitted, permitted
from webhook.payload import Delivery, Record, parse

OURS, THEIRS, NOBODYS = "100000000000001", "100000000000002", "100000000000003"
APPS = {
    "ours": App(secrets=("a" * 32,), verify_token="v", phone_number_ids=frozenset({OURS})),
    "theirs": App(secrets=("b" * 32,), verify_token="v", phone_number_ids=frozenset({THEIRS})),
}
ANY = App(secrets=("c" * 32,), verify_token="v", phone_number_ids="*")


def judged(body: Json, *signed_by: str, apps: dict[str, App] | None = None) -> Permitted:
    delivery = Delivery(wire(body), min(signed_by), 1_790_800_005_000, 365)
    return permitted(parse(delivery), frozenset(signed_by), apps or APPS, delivery)


def models(records: list[Record]) -> set[str]:
    return {record.model for record in records}


def test_an_app_writes_to_its_own_number() -> None:
    body = notification(image_message(), statuses=[status()], phone_number_id=OURS)

    kept, foreign = judged(body, "ours")

    assert models(kept) == {"Message", "Status"}
    assert foreign == 0


def test_an_app_never_writes_to_the_number_of_another() -> None:
    body = notification(image_message(), statuses=[status()], phone_number_id=THEIRS)

    kept, foreign = judged(body, "ours")

    assert kept == []
    assert foreign == 2


@pytest.mark.parametrize("kind", ["image", "something_new"])
def test_neither_messages_nor_events_of_a_foreign_number_are_kept(kind: str) -> None:
    body = notification(message(kind, {"id": "1"}), phone_number_id=THEIRS)

    assert judged(body, "ours").kept == []


def test_what_is_foreign_does_not_hurt_its_siblings() -> None:
    mine = image_message()
    body = envelope(
        [change_of(text_message(), phone_number_id=THEIRS), change_of(mine, phone_number_id=OURS)],
        [change_of(text_message(), phone_number_id=THEIRS)],
    )

    kept, foreign = judged(body, "ours")

    assert [record.attributes["wamid"] for record in kept] == [mine["id"]]
    assert foreign == 2


def test_a_message_of_a_number_that_nobody_is_bound_to_is_kept_as_an_event() -> None:
    new = text_message("first words")

    kept, foreign = judged(notification(new, phone_number_id=NOBODYS), "ours")

    assert models(kept) == {"Event"}
    assert foreign == 0
    assert {record.attributes["reason"] for record in kept} == {"number_not_bound"}
    assert any(new["id"] in record.attributes["raw"] for record in kept)


def test_all_that_came_is_in_the_event_of_an_unbound_number() -> None:
    body = notification(image_message(), statuses=[status()], phone_number_id=NOBODYS)
    delivery = Delivery(wire(body), "ours", 1_790_800_005_000, 365)
    parsed = parse(delivery)

    kept = permitted(parsed, frozenset({"ours"}), APPS, delivery).kept

    assert len(kept) == len(parsed)
    for record, event in zip(parsed, kept, strict=True):
        assert json.loads(event.attributes["raw"]) == json.loads(json.dumps(record.attributes))


def test_an_event_of_an_unbound_number_stays_the_event_that_it_is() -> None:
    body = notification(phone_number_id=NOBODYS, field="a_new_field")

    kept, _ = judged(body, "ours")

    assert {record.model for record in kept} == {"Event"}
    assert "number_not_bound" not in {record.attributes["reason"] for record in kept}


def test_an_app_bound_to_all_numbers_writes_everywhere() -> None:
    apps = {**APPS, "any": ANY}

    for number in (OURS, THEIRS, NOBODYS):
        kept, foreign = judged(notification(image_message(), phone_number_id=number), "any", apps=apps)
        assert models(kept) == {"Message"}
        assert foreign == 0


def test_where_another_app_is_bound_to_all_numbers_every_other_number_is_foreign() -> None:
    kept, foreign = judged(notification(image_message(), phone_number_id=NOBODYS), "ours", apps={**APPS, "any": ANY})

    assert (kept, foreign) == ([], 1)


def test_apps_that_share_a_secret_write_to_the_numbers_of_both() -> None:
    for number in (OURS, THEIRS):
        kept, foreign = judged(notification(image_message(), phone_number_id=number), "ours", "theirs")
        assert models(kept) == {"Message"}
        assert foreign == 0


@pytest.mark.parametrize("apps", [APPS, {**APPS, "any": ANY}], ids=["bound", "one bound to all"])
def test_what_names_no_number_is_kept(apps: dict[str, App]) -> None:
    kept, foreign = judged(golden("account-update"), "ours", apps=apps)

    assert models(kept) == {"Event"}
    assert foreign == 0
