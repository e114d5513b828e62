"""Items of the table as the read API answers them: every golden payload, and what nobody should send."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from inbound.media import message_id
from inbound.messages import Media, Message, Status
from inbox import content, facts
from inbox.facts import Beside
from inbox.records import Found
from tests.builders import PAYLOADS, Json, golden, message, notification, wire
from tests.openapi import schema_of
from webhook import payload
from webhook.payload import Delivery

NUMBER = "100000000000001"
NOW = 1_790_900_000
ANSWERED = "wamid.HBgLMTU1NTAxMDAxMDEVAgARGBREMjUwNEU1MkI4QjA3NDg0QTJCNgA="
FILES = sorted(path.stem for path in PAYLOADS.glob("*.json"))
JUDGE: Draft202012Validator = schema_of("Message")


def stored(body: Json) -> list[Found]:
    """Give the messages of a body as they are stored."""
    records = payload.parse(Delivery(wire(body), "app", NOW * 1000, 365))
    return [Found(Message(**record.attributes), None) for record in records if record.model == "Message"]


def shown(*messages: Json, media: Media | None = None, **beside: Any) -> Json:
    """Give the only one of these messages as it is answered."""
    (found,) = stored(notification(*messages, phone_number_id=NUMBER))
    answer = facts.message_of(found._replace(media=media), Beside(**beside), NOW)
    JUDGE.validate(answer)
    return dict(answer)


# --- every payload ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_message_of_every_payload_is_answered_as_described_and_with_nothing_else(name: str) -> None:
    for found in stored(golden(name)):
        answer = facts.message_of(found, Beside(edit=found, quoted=found, further=[found], revoked_at=1), NOW)
        JUDGE.validate(answer)
        assert json.loads(json.dumps(answer, allow_nan=False)) == answer


def one(name: str) -> Json:
    (found, *_) = stored(golden(name))
    return dict(facts.message_of(found, Beside(), NOW))


@pytest.mark.parametrize(
    ("name", "member", "value"),
    [
        ("text", "text", "Is the 13:00 tour still free? Grüße ⚓ me@example.com"),
        ("reaction", "text", None),
        ("location-bare", "location", {"latitude": 0.0, "longitude": -1.234e-05}),
        ("button", "button", {"text": "Book now", "payload": "BOOK"}),
        ("button", "text", "Book now"),
        (
            "list-reply",
            "interactive",
            {
                "type": "list_reply",
                "id": "boat-2",
                "title": "Old Whale",
                "description": "For those who like it slow",
            },
        ),
        (
            "flow-reply-plain",
            "interactive",
            {
                "type": "nfm_reply",
                "body": "Sent",
                "answers": [{"name": "seats", "values": ["2"]}, {"name": "remarks", "values": ["Window, please"]}],
            },
        ),
        (
            "contacts",
            "contacts",
            [
                {
                    "name": "Bo Example",
                    "phones": [{"phone": "+44 7700 900102", "type": "CELL"}],
                    "emails": [{"email": "bo@example.com", "type": "WORK"}],
                }
            ],
        ),
        (
            "order",
            "order",
            {
                "catalog_id": "500000000000001",
                "text": "Gift wrapped, please",
                "items": [{"product_id": "life-jacket-m", "quantity": 2, "price": 49.95, "currency": "EUR"}],
            },
        ),
        ("unsupported-poll-creation", "unsupported", {"type": "poll_creation"}),
        (
            "unsupported-gif",
            "errors",
            [
                {
                    "code": 131051,
                    "title": "Message type unknown",
                    "details": "Message type is currently not supported.",
                }
            ],
        ),
        ("system-user-changed-number", "system", {"type": "user_changed_number"}),
        ("unsupported-image", "media", None),
        ("text-from-nobody", "from", None),
        ("echo-text", "from", None),
        ("history-threads", "history", True),
        ("image-forwarded", "context", {"forwarded": True}),
        (
            "text-about-product",
            "context",
            {
                "message_id": message_id(NUMBER, ANSWERED),
                "product": {"catalog_id": "500000000000001", "product_id": "life-jacket-m"},
            },
        ),
    ],
)
def test_what_a_message_says(name: str, member: str, value: object) -> None:
    assert one(name).get(member) == value


def test_where_a_person_came_from_is_told_without_the_tracking_id() -> None:
    assert one("text-referral")["referral"] == {
        "source_type": "ad",
        "source_url": "https://fb.me/example1",
        "headline": "Harbour tours",
        "body": "Two boats, two tours a day",
    }


def test_a_type_of_the_future_is_told_and_shows_nothing_raw() -> None:
    answer = one("future-type")

    assert answer["type"] not in answer
    assert answer.keys() <= {*Message._attributes, "from", "errors", "context"}


# --- what nobody should send ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["message_id", "media", "media_src", "from", "statuses", "revoked", "contact_id", "wamid"]
)
def test_a_type_that_is_called_like_a_member_replaces_none(kind: str) -> None:
    answer = shown(message(kind, "x"))

    assert answer["type"] == kind
    assert len(answer["message_id"]) == len(answer["contact_id"]) == 26
    assert "media" not in answer


@pytest.mark.parametrize(
    "strange",
    [
        {"latitude": float("nan"), "longitude": 0},
        {"latitude": 0, "longitude": float("-inf")},
        {"latitude": 91, "longitude": 0},
        {"latitude": 0, "longitude": -181},
        {"latitude": True, "longitude": 0},
        {"latitude": "1", "longitude": "2"},
        {"latitude": 1},
        None,
        [],
    ],
    ids=str,
)
def test_what_is_no_place_on_earth_is_left_out(strange: object) -> None:
    assert "location" not in shown({**message("location"), "location": strange})


@pytest.mark.parametrize(
    ("kind", "strange"),
    [
        ("order", {"product_items": [{"quantity": 10**400, "item_price": float("inf")}]}),
        ("order", {"product_items": "none"}),
        ("contacts", [{"name": "Bo", "phones": [7, {"phone": {}}], "emails": {}}, 7]),
        ("contacts", {"name": "Bo"}),
        ("interactive", {"type": {"a": 1}}),
        ("interactive", {"type": "nfm_reply", "nfm_reply": {"response_json": "{"}}),
        ("interactive", {"type": "nfm_reply", "nfm_reply": {"response_json": '{"a": NaN, "b": {"c": 1}, "d": [[1]]}'}}),
        ("interactive", {"type": "nfm_reply", "nfm_reply": {"response_json": "[" * 100_000}}),
        ("reaction", {"message_id": 7, "emoji": "👍"}),
        ("reaction", "👍"),
        ("button", []),
        ("system", {"type": 7}),
        ("unsupported", "poll"),
    ],
    ids=lambda own: str(own)[:60],
)
def test_what_has_another_shape_is_left_out(kind: str, strange: object) -> None:
    answer = shown({**message(kind), kind: strange, "context": {"id": 7}, "errors": [{"code": float("inf")}, 7]})

    assert answer["type"] == kind
    json.dumps(answer, allow_nan=False)


def test_a_flows_token_and_nested_answers_stay_here() -> None:
    response = {"flow_token": "secret", "yes": True, "many": [1, "two", {"id": 3}], "deep": {"a": 1}, "empty": ""}
    reply = {"type": "nfm_reply", "nfm_reply": {"response_json": json.dumps(response)}}

    answers = shown(message("interactive", reply))["interactive"]["answers"]

    assert answers == [{"name": "yes", "values": ["true"]}, {"name": "many", "values": ["1", "two"]}]


def test_what_is_stored_as_no_json_says_nothing() -> None:
    assert content.parsed("{") is None
    assert content.parsed(None) is None
    assert content.parsed("[" * 200_000) is None


# --- statuses and media ---------------------------------------------------------------------------------------------


def status(name: str, timestamp: int) -> Status:
    return Status("MSG#x", f"STATUS#{name}#{'c' * 26}", status=name, timestamp=timestamp)


@pytest.mark.parametrize(
    ("names", "furthest"),
    [(["sent"], "sent"), (["read", "delivered", "sent"], "read"), (["failed", "sent"], "failed"), (["savoured"], None)],
)
def test_the_furthest_status_counts_whatever_the_order(names: list[str], furthest: str | None) -> None:
    answer = shown(message("text", {"body": "x"}), statuses=[status(name, place) for place, name in enumerate(names)])

    assert answer.get("status") == furthest
    assert [own["status"] for own in answer["statuses"]] == names


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (None, {"state": "pending"}),
        ({"status": "fetching", "error_code": "rate_limited"}, {"state": "pending"}),
        ({"status": "queued"}, {"state": "pending"}),
        ({"status": "ready", "expires_at": NOW + 1, "size": 5}, {"state": "ready", "size": 5}),
        ({"status": "ready", "expires_at": NOW}, {"state": "pending"}),
        (
            {"status": "waiting", "error_code": "rate_limited", "next_attempt_at": NOW + 9},
            {
                "state": "pending",
                "retry_at": NOW + 9,
                "error": {"code": "rate_limited", "title": "WhatsApp limits the rate of requests", "retryable": True},
            },
        ),
        (
            {"status": "failed", "error_code": "media_expired"},
            {
                "state": "failed",
                "error": {"code": "media_expired", "title": "WhatsApp no longer has this media", "retryable": False},
            },
        ),
    ],
)
def test_the_state_of_media(item: Json | None, told: Json) -> None:
    media = None if item is None else Media("MSG#x", "MEDIA", **item)

    answer = shown(message("image", {"id": "1", "mime_type": "image/jpeg"}), media=media)["media"]

    assert {name: answer.get(name) for name in ("state", "size", "retry_at", "error") if name in answer} == told


def test_media_that_came_without_an_id_failed_for_good() -> None:
    answer = shown(message("image", {"mime_type": "image/jpeg"}))

    assert answer["media"]["state"] == "failed"
    assert answer["media"]["error"]["code"] == "media_unavailable"
