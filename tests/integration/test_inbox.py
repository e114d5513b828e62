"""Conversations and messages as an agent's page reads them: over HTTP, each answer held against docs/openapi.json."""

import json
from collections import Counter
from typing import Any

import pytest
import requests

from inbound.media import contact_id, message_id
from tests import builders
from tests.builders import Json, any_phone, any_phone_number_id, any_user_id
from tests.integration import system as systems
from tests.integration.system import System, later
from tests.openapi import Route

CONVERSATIONS = Route("get", "/conversations")
THREAD = Route("get", "/conversations/{contact_id}/messages")
MESSAGE = Route("get", "/messages/{message_id}")
MEDIA = Route("get", "/media/messages/{message_id}")
UNKNOWN = "a" * 26
NOW = later(0)  # the times of messages are told exactly


# --- asking -------------------------------------------------------------------------------------------------


def get(system: System, path: str, token: str | None = None, **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {token or system.stack.media_token}"}
    return requests.get(f"{system.stack.api_url}{path}", query, headers=headers, timeout=30)


def conversations(system: System, number: str, token: str | None = None, *, status: int = 200, **query: Any) -> Json:
    answer = get(system, "/conversations", token, phone_number_id=number, **query)
    return told(answer, CONVERSATIONS, status)


def thread(
    system: System, number: str, contact: str, token: str | None = None, *, status: int = 200, **query: Any
) -> Json:
    answer = get(system, f"/conversations/{contact}/messages", token, phone_number_id=number, **query)
    return told(answer, THREAD, status)


def one(system: System, own_id: str, token: str | None = None, *, status: int = 200) -> Json:
    return told(get(system, f"/messages/{own_id}", token), MESSAGE, status)


def told(answer: requests.Response, route: Route, status: int) -> Json:
    assert answer.status_code == status, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    body: Json = route.described(answer)
    return body


def tell(system: System, number: str, *messages: Json, **fields: Any) -> list[str]:
    """Let Meta deliver messages; give their ids."""
    assert system.post(builders.notification(*messages, phone_number_id=number, **fields)).status_code == 200
    return [message_id(number, message["id"]) for message in messages]


def text_at(seconds: int, phone: str, body: str = "Hello", **fields: Any) -> Json:
    return builders.text_message(body, sender=phone, timestamp=str(NOW + seconds), **fields)


def edit_of(original: Json, body: str, phone: str, seconds: int) -> Json:
    content = {"original_message_id": original["id"], "message": {"type": "text", "text": {"body": body}}}
    return builders.message("edit", content, sender=phone, timestamp=str(NOW + seconds))


def revoke_of(original: Json, phone: str, seconds: int) -> Json:
    content = {"original_message_id": original["id"]}
    return builders.message("revoke", content, sender=phone, timestamp=str(NOW + seconds))


def echo(phone: str, seconds: int, **fields: Any) -> Json:
    """Build a message that the business sent from its app."""
    return {**text_at(seconds, "15550100001", "Hi", **fields), "to": phone}


def ids(page: Json) -> list[str]:
    return [message["message_id"] for message in page["messages"]]


def texts(page: Json) -> list[str]:
    return [message["text"] for message in page["messages"]]


# --- pages ---------------------------------------------------------------------------------------------------


def test_pages_of_a_thread_go_on_where_they_ended_while_new_messages_come(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    contact = contact_id(number, phone)
    sent = tell(system, number, *(text_at(-100 + place, phone) for place in range(7)))

    first = thread(system, number, contact, limit=3)
    (new,) = tell(system, number, text_at(0, phone))
    second = thread(system, number, contact, limit=3, cursor=first["cursor"])
    third = thread(system, number, contact, limit=3, cursor=second["cursor"])

    assert [*ids(first), *ids(second), *ids(third)] == sent[::-1]
    assert (third["cursor"], first["more"]) == (None, False)
    assert ids(thread(system, number, contact, limit=1)) == [new]


def test_messages_of_the_same_second_are_neither_lost_nor_told_twice_between_pages(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    moment = str(NOW - 5)
    sent = tell(system, number, *(builders.text_message(sender=phone, timestamp=moment) for _ in range(5)))

    read: list[str] = []
    cursor: Json = {}
    for _ in range(5):
        page = thread(system, number, contact_id(number, phone), limit=1, **cursor)
        read, cursor = [*read, *ids(page)], {"cursor": page["cursor"]}

    assert read == sorted(sent, reverse=True)
    assert cursor == {"cursor": None}


def test_conversations_come_newest_first_page_by_page_with_their_newest_message(system: System) -> None:
    number, phones = any_phone_number_id(), [any_phone() for _ in range(5)]
    sent = tell(system, number, *(text_at(-50 + place, phone, f"to {place}") for place, phone in enumerate(phones)))

    first = conversations(system, number, limit=3)
    tell(system, number, text_at(0, phones[0], "again"))
    second = conversations(system, number, limit=3, cursor=first["cursor"])

    assert [row["contact_id"] for row in first["conversations"]] == [contact_id(number, p) for p in phones[:1:-1]]
    # What moved up meanwhile is not told again; a poll tells it.
    assert [row["contact_id"] for row in second["conversations"]] == [contact_id(number, phones[1])]
    newest = first["conversations"][0]
    assert (newest["kind"], newest["name"], newest["phone"]) == ("person", f"Customer {phones[4]}", phones[4])
    assert (newest["preview"], newest["last_message"]["message_id"]) == ("to 4", sent[4])
    assert [row["preview"] for row in conversations(system, number, since=first["since"])["conversations"]][
        -1
    ] == "again"


def test_fifty_messages_take_as_many_calls_as_five(system: System) -> None:
    number, phone, user = any_phone_number_id(), any_phone(), any_user_id()
    photos = [
        builders.image_message(sender=phone, from_user_id=user, timestamp=str(NOW - 200 + place)) for place in range(50)
    ]
    tell(system, number, *photos)
    contact = contact_id(number, user)
    conversations(system, number)
    taken = []
    for limit in (5, 50):
        system.aws.forget()
        assert len(thread(system, number, contact, limit=limit)["messages"]) == limit
        taken.append(Counter(system.aws.calls))

    # Who it is; two ids' messages, and their changes; the items (3 for each message, 100 in a call).
    assert taken == [Counter(BatchGetItem=2, Query=4), Counter(BatchGetItem=3, Query=4)]


def test_a_page_of_conversations_takes_few_calls_and_never_a_scan(system: System) -> None:
    number = any_phone_number_id()
    tell(system, number, *(text_at(-place, any_phone(), from_user_id=any_user_id()) for place in range(30)))
    conversations(system, number)
    system.aws.forget()

    assert len(conversations(system, number)["conversations"]) == 30

    # The listing; who they are, their heads, and their newest messages.
    assert Counter(system.aws.calls) == Counter(Query=1, BatchGetItem=3)


def test_what_does_not_fit_into_one_answer_is_on_the_next_page(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    sent = [tell(system, number, text_at(-20 + place, phone, "é" * 100_000))[0] for place in range(6)]

    first = thread(system, number, contact_id(number, phone))
    second = thread(system, number, contact_id(number, phone), cursor=first["cursor"])

    assert 0 < len(ids(first)) < 6
    assert [*ids(first), *ids(second)] == sent[::-1]
    polled = thread(system, number, contact_id(number, phone), since=NOW - 100)
    assert polled["more"]
    assert ids(polled) == sent[: len(ids(polled))]


# --- polls ---------------------------------------------------------------------------------------------------


def test_a_poll_tells_what_is_new_what_was_changed_and_what_came_late(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    contact = contact_id(number, phone)
    old, older = text_at(-4000, phone, "old"), text_at(-5000, phone, "older")
    tell(system, number, old, older, text_at(-1000, phone, "known"))
    since = thread(system, number, contact)["since"]

    tell(system, number, text_at(-1200, phone, "late"), text_at(-10, phone, "new"))
    tell(system, number, edit_of(old, "edited", phone, -9), revoke_of(older, phone, -8))
    polled = thread(system, number, contact, since=since)

    assert texts(polled) == ["late", "known", "new", "old", "older"]
    assert polled["messages"][3]["edited"]["text"] == "edited"
    assert polled["messages"][4]["revoked"] == {"timestamp": NOW - 8}
    assert (polled["cursor"], polled["more"]) == (None, False)
    assert texts(thread(system, number, contact, since=polled["since"])) == ["new", "old", "older"]


def test_a_poll_that_finds_much_goes_on_until_it_has_told_all(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    contact = contact_id(number, phone)
    middle = NOW - 26
    sent = tell(system, number, *(text_at(-30 + place, phone) for place in range(7)))

    read: list[str] = []
    since, more = str(NOW - 60), True
    while more:
        page = thread(system, number, contact, since=since, limit=3)
        read, since, more = [*read, *ids(page)], page["since"], page["more"]

    assert read == sent
    assert ids(thread(system, number, contact, since=middle)) == sent[4:]


def test_many_edits_of_one_message_do_not_hold_up_a_poll(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    contact, first = contact_id(number, phone), text_at(-90, phone, "first")
    tell(system, number, first, *(edit_of(first, f"edit {place}", phone, -80 + place) for place in range(9)))
    (last,) = tell(system, number, text_at(-5, phone, "last"))

    read: list[Json] = []
    since, more = str(NOW - 95), True
    while more:
        page = thread(system, number, contact, since=since, limit=2)
        read, since, more = [*read, *page["messages"]], page["since"], page["more"]

    assert read[-1]["message_id"] == last
    assert {message["edited"]["text"] for message in read[:-1]} == {"edit 8"}


def test_conversations_that_moved_are_told_by_a_poll(system: System) -> None:
    number, quiet, lively = any_phone_number_id(), any_phone(), any_phone()
    tell(system, number, text_at(-2000, quiet), text_at(-1000, lively))
    since = conversations(system, number)["since"]
    assert [row["contact_id"] for row in conversations(system, number, since=since)["conversations"]] == [
        contact_id(number, lively)
    ]

    tell(system, number, text_at(-5, quiet, "again"))

    moved = conversations(system, number, since=since)["conversations"]
    assert [row["contact_id"] for row in moved] == [contact_id(number, lively), contact_id(number, quiet)]
    assert moved[1]["preview"] == "again"


# --- what is malformed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {"phone_number_id": ""},
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"limit": "٣"},
        {"cursor": ""},
        {"cursor": "nonsense"},
        {"cursor": "é"},
        {"cursor": "MTc5MDgwMDAwMA"},
        {"since": ""},
        {"since": "yesterday"},
        {"since": "12345678901"},
        {"since": "-1"},
        {"since": "0", "cursor": "nonsense"},
    ],
    ids=str,
)
def test_a_malformed_query_is_refused(running: System, query: Json) -> None:
    asked = {"phone_number_id": running.stack.phone_number_id, **query}

    for path, route in (("/conversations", CONVERSATIONS), (f"/conversations/{UNKNOWN}/messages", THREAD)):
        problem = told(get(running, path, **asked), route, 400)
        assert problem["code"] == "invalid_request"


def test_a_token_of_one_listing_is_none_of_another(system: System) -> None:
    number, other, phones = any_phone_number_id(), any_phone_number_id(), [any_phone(), any_phone()]
    for own in (number, other):
        tell(system, own, *(text_at(-9, phone) for phone in phones for _ in range(2)))
    mine, theirs = (contact_id(number, phone) for phone in phones)
    heads, messages = conversations(system, number, limit=1), thread(system, number, mine, limit=1)

    for token in ({"cursor": messages["cursor"]}, {"since": messages["since"]}, {"cursor": messages["since"]}):
        assert thread(system, number, theirs, status=400, **token)["code"] == "invalid_request"
        assert thread(system, other, contact_id(other, phones[0]), status=400, **token)["code"] == "invalid_request"
        assert conversations(system, number, status=400, **token)["code"] == "invalid_request"
    assert conversations(system, other, status=400, cursor=heads["cursor"])["code"] == "invalid_request"
    assert thread(system, number, mine, cursor=messages["cursor"])["messages"]


# --- who may see what ----------------------------------------------------------------------------------------


def test_a_token_shows_what_it_is_for_and_all_else_looks_unknown(system: System) -> None:
    number, other, phone, stranger = any_phone_number_id(), any_phone_number_id(), any_phone(), any_phone()
    mine, foreign = contact_id(number, phone), contact_id(number, stranger)
    (own_id,), (foreign_id,) = tell(system, number, text_at(-9, phone)), tell(system, number, text_at(-5, stranger))
    (other_id,) = tell(system, other, text_at(-5, phone))
    of_number = system.token(phone_numbers=[number])
    of_contact = system.token(phone_numbers=None, conversation=mine)
    of_message = system.token(phone_numbers=None, message=own_id)
    of_nobody = system.token(phone_numbers=[other], conversation=mine)

    def listed(token: str) -> list[str]:
        return [row["contact_id"] for row in conversations(system, number, token)["conversations"]]

    assert (listed(of_number), listed(of_contact)) == ([foreign, mine], [mine])
    assert ids(thread(system, number, mine, of_number)) == ids(thread(system, number, mine, of_contact)) == [own_id]
    for token in (of_number, of_contact, of_message):
        assert one(system, own_id, token)["message_id"] == own_id
    unknown = conversations(system, other, of_number, status=404)
    assert unknown["code"] == "conversation_not_found"
    assert conversations(system, number, of_message, status=404) == unknown
    assert conversations(system, other, of_contact, status=404) == unknown
    assert conversations(system, number, of_nobody, status=404) == unknown
    assert thread(system, number, mine, of_nobody, status=404) == unknown
    for contact in (foreign, UNKNOWN, "x" * 3000):
        assert thread(system, number, contact, of_contact, status=404) == unknown
    assert thread(system, number, mine, of_message, status=404) == unknown
    assert thread(system, other, contact_id(other, phone), of_number, status=404) == unknown
    assert thread(system, number, UNKNOWN, of_number, status=404) == unknown
    assert one(system, other_id, of_number, status=404) == one(system, UNKNOWN, of_number, status=404)
    assert one(system, foreign_id, of_contact, status=404) == one(system, foreign_id, of_message, status=404)


@pytest.mark.parametrize("contact", ["x", "x" * 3000, UNKNOWN.upper(), "1" * 26])
def test_what_can_be_no_contact_goes_into_no_key(system: System, contact: str) -> None:
    number = any_phone_number_id()
    thread(system, number, UNKNOWN, status=404)
    system.aws.forget()

    assert thread(system, number, contact, status=404)["code"] == "conversation_not_found"
    token = system.token(phone_numbers=None, conversation=contact)
    assert conversations(system, number, token, status=404)["code"] == "conversation_not_found"
    assert system.aws.calls == []


def test_refusing_a_message_takes_the_calls_of_an_unknown_one(system: System) -> None:
    number = any_phone_number_id()
    (foreign,) = tell(system, any_phone_number_id(), text_at(-5, any_phone()))
    (erased,) = tell(system, number, text_at(-5, any_phone()))
    system.put({"pk": f"MSG#{erased}", "sk": "ERASED", "ttl": later(86_400)})
    token = system.token(phone_numbers=[number])
    one(system, UNKNOWN, token, status=404)
    taken = []
    for own_id in (UNKNOWN, foreign, erased):
        system.aws.forget()
        one(system, own_id, token, status=404)
        taken.append(list(system.aws.calls))

    assert taken == [["Query", "Query", "BatchGetItem"]] * 3


@pytest.mark.parametrize(
    "path", ["/conversations?phone_number_id=1", f"/conversations/{UNKNOWN}/messages", "/messages/1"]
)
def test_nobody_comes_without_a_token_and_a_cookie_or_query_is_one_too(running: System, path: str) -> None:
    url, token = f"{running.stack.api_url}{path}", running.stack.media_token

    assert requests.get(url, timeout=30).status_code == 401
    assert requests.get(url, headers={"Authorization": "Bearer x"}, timeout=30).json()["code"] == "unauthenticated"
    assert requests.get(url, headers={"Cookie": f"media_token={token}"}, timeout=30).status_code != 401
    assert requests.get(url, {"token": token}, timeout=30).status_code != 401


# --- one person with two ids -----------------------------------------------------------------------------------


def test_a_person_with_two_ids_has_one_conversation(system: System) -> None:
    number, phone, user = any_phone_number_id(), any_phone(), any_user_id()
    by_phone, by_user = contact_id(number, phone), contact_id(number, user)
    tell(system, number, text_at(-50, phone, "by phone"))
    (hidden,) = tell(system, number, {**text_at(-40, phone, "by user id"), "from_user_id": user, "from": None})
    known_as_two = {row["contact_id"] for row in conversations(system, number)["conversations"]}
    tell(system, number, text_at(-30, phone, "by both", from_user_id=user))
    assert system.post(builders.notification(echo(phone, -20), phone_number_id=number, field="smb_message_echoes")).ok

    (row,) = conversations(system, number)["conversations"]
    threads = [thread(system, number, contact) for contact in (by_phone, by_user)]

    assert known_as_two == {by_phone, by_user}
    assert (row["contact_id"], row["preview"]) == (by_user, "Hi")
    for read in threads:
        assert texts(read) == ["Hi", "by both", "by user id", "by phone"]
        assert (read["contact_id"], set(read["contact_ids"])) == (by_user, {by_phone, by_user})
    for contact in (by_phone, by_user):
        token = system.token(phone_numbers=None, conversation=contact)
        assert [own["contact_id"] for own in conversations(system, number, token)["conversations"]] == [by_user]
        assert len(ids(thread(system, number, by_phone, token))) == 4
        assert one(system, hidden, token)["text"] == "by user id"


def test_either_id_of_a_person_opens_the_media_of_both(system: System) -> None:
    number, phone, user = systems.NUMBER_A, any_phone(), any_user_id()
    by_phone = system.receive(number=number, sender=phone)
    tell(system, number, text_at(-30, phone, from_user_id=user))
    by_user = system.receive(number=number, sender=phone, from_user_id=user)
    tokens = [system.token(phone_numbers=None, conversation=contact_id(number, own)) for own in (phone, user)]
    stranger = system.token(phone_numbers=None, conversation=contact_id(number, any_phone()))

    for own_id in (by_phone, by_user):
        assert [system.get(own_id, token).status_code for token in tokens] == [302, 302]
        system.problem(own_id, 404, "message_not_found", token=stranger)


def test_pages_of_a_merged_conversation_hold_each_message_once(system: System) -> None:
    number, phone, user = any_phone_number_id(), any_phone(), any_user_id()
    sent = []
    for place in range(6):
        whose = {} if place % 2 else {"from_user_id": user}
        sent += tell(system, number, text_at(-60 + place, phone, **whose))

    read: list[str] = []
    cursor: Json = {}
    for _ in range(3):
        page = thread(system, number, contact_id(number, phone), limit=2, **cursor)
        read, cursor = [*read, *ids(page)], {"cursor": page["cursor"]}

    assert read == sent[::-1]
    assert cursor == {"cursor": None}


# --- groups ---------------------------------------------------------------------------------------------------


def test_in_a_group_each_message_says_who_wrote_it(system: System) -> None:
    number, ada, bo = any_phone_number_id(), any_phone(), any_phone()
    group = f"GROUP-{any_phone()}"
    for place, phone in enumerate((ada, bo)):
        tell(system, number, text_at(-9 + place, phone, group_id=group))
    sent = echo(ada, -5, group_id=group)
    assert system.post(builders.notification(sent, phone_number_id=number, field="smb_message_echoes")).ok
    statuses = [
        builders.status(name, sent["id"], recipient_id=group, recipient_type="group", recipient_participant_id=phone)
        for name, phone in (("delivered", ada), ("read", bo))
    ]
    tell(system, number, statuses=statuses)

    (row,) = conversations(system, number)["conversations"]
    read = thread(system, number, contact_id(number, group))["messages"]

    assert (row["kind"], "name" in row, "phone" in row) == ("group", False, False)
    assert [message.get("from") for message in read] == [
        None,
        {"contact_id": contact_id(number, bo), "name": f"Customer {bo}", "phone": bo},
        {"contact_id": contact_id(number, ada), "name": f"Customer {ada}", "phone": ada},
    ]
    assert read[0]["status"] == "read"
    got = {(status["contact_id"], status["status"]) for status in read[0]["statuses"]}
    assert got == {(contact_id(number, ada), "delivered"), (contact_id(number, bo), "read")}


# --- what stands beside a message --------------------------------------------------------------------------------


def test_statuses_come_in_any_order_and_are_told_by_time(system: System) -> None:
    number, phone, user = any_phone_number_id(), any_phone(), any_user_id()
    sent = echo(phone, -60)
    tell(system, number, statuses=[builders.status("read", sent["id"], recipient_id=phone, timestamp=str(NOW - 10))])
    assert system.post(builders.notification(sent, phone_number_id=number, field="smb_message_echoes")).ok
    statuses = [
        builders.status(name, sent["id"], timestamp=str(NOW + seconds), recipient_id=phone, recipient_user_id=user)
        for name, seconds in (("delivered", -20), ("sent", -30))
    ]
    tell(system, number, statuses=statuses)
    own_id = message_id(number, sent["id"])

    (message,) = thread(system, number, contact_id(number, phone))["messages"]

    assert message["status"] == "read"
    assert [status["status"] for status in message["statuses"]] == ["sent", "delivered", "read"]
    assert one(system, own_id) == message
    (row,) = conversations(system, number)["conversations"]
    assert row["last_message"]["status"] == "read"


def test_a_message_that_could_not_be_sent_says_why(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    sent = echo(phone, -60)
    assert system.post(builders.notification(sent, phone_number_id=number, field="smb_message_echoes")).ok
    why = {"code": 131026, "title": "Message undeliverable", "error_data": {"details": "Not on WhatsApp."}}
    tell(system, number, statuses=[builders.status("failed", sent["id"], recipient_id=phone, errors=[why])])

    (message,) = thread(system, number, contact_id(number, phone))["messages"]

    assert message["status"] == "failed"
    errors = [{"code": 131026, "title": "Message undeliverable", "details": "Not on WhatsApp."}]
    assert message["statuses"][0]["errors"] == errors


def test_edits_deletions_reactions_and_answers_are_told_with_what_they_are_about(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    contact = contact_id(number, phone)
    question = text_at(-50, phone, "How much?")
    mistake = text_at(-40, phone, "Wrong chat")
    answer = text_at(-30, phone, "This", context={"id": question["id"], "from": phone})
    said = builders.message(
        "reaction", {"message_id": question["id"], "emoji": "👍"}, sender=phone, timestamp=str(NOW - 20)
    )
    taken_back = builders.message("reaction", {"message_id": question["id"]}, sender=phone, timestamp=str(NOW - 10))
    changes = [edit_of(question, body, phone, at) for body, at in (("How many?", -45), ("How long?", -44))]
    tell(system, number, question, mistake, answer, said, taken_back, *changes, revoke_of(mistake, phone, -35))
    question_id = message_id(number, question["id"])

    back, reaction, reply, wrong, asked = thread(system, number, contact)["messages"]

    assert (asked["text"], asked["edited"]["text"]) == ("How much?", "How long?")
    assert wrong["revoked"] == {"timestamp": NOW - 35}
    assert reply["context"]["message_id"] == question_id
    assert (reply["context"]["quoted"]["text"], reply["context"]["quoted"]["from"]["phone"]) == ("How much?", phone)
    assert reaction["reaction"] == {"message_id": question_id, "emoji": "👍"}
    assert back["reaction"] == {"message_id": question_id, "emoji": None}
    assert [one(system, own["message_id"]) for own in (asked, wrong, reply)] == [asked, wrong, reply]
    assert one(system, asked["edited"]["message_id"])["type"] == "edit"


def test_what_an_answer_quotes_of_another_conversation_is_not_told(system: System) -> None:
    number, phone, stranger = any_phone_number_id(), any_phone(), any_phone()
    secret = text_at(-50, stranger, "A secret")
    answer = text_at(-30, phone, "This", context={"id": secret["id"], "from": stranger})
    forged = edit_of(secret, "forged", phone, -20)
    tell(system, number, secret, answer, forged)

    (message,) = thread(system, number, contact_id(number, phone))["messages"]
    polled = thread(system, number, contact_id(number, phone), since=NOW - 25)

    assert message["context"] == {"message_id": message_id(number, secret["id"])}
    assert polled["messages"] == []
    assert "edited" not in one(system, message_id(number, secret["id"]))


def test_what_is_erased_is_not_told(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    contact = contact_id(number, phone)
    kept, erased = tell(system, number, text_at(-50, phone, "kept"), text_at(-40, phone, "erased"))
    tell(system, number, text_at(-30, phone, "answer", context={"id": system.message(erased)["wamid"]}))
    system.put({"pk": f"MSG#{erased}", "sk": "ERASED", "ttl": later(86_400)})

    read = thread(system, number, contact)

    assert (texts(read), ids(read)[1]) == (["answer", "kept"], kept)
    assert "quoted" not in read["messages"][0]["context"]
    assert one(system, erased, status=404)["code"] == "message_not_found"


def test_an_old_id_leads_to_its_message(system: System) -> None:
    (own_id,) = tell(system, any_phone_number_id(), text_at(-50, any_phone()))
    old_id = builders.any_media_id()
    system.put({"pk": f"MSG#{old_id}", "sk": "ALIAS", "message_id": own_id})

    assert one(system, old_id) == one(system, own_id)


# --- media ------------------------------------------------------------------------------------------------------


def test_a_message_tells_whether_its_media_is_here(system: System) -> None:
    phone = any_phone()
    number = systems.NUMBER_A
    here, coming = (system.receive(builders.VOICE, number=number, sender=phone) for _ in range(2))
    gone = tell(system, number, builders.media_message(builders.BROCHURE, media={"id": None}, sender=phone))[0]
    assert system.get(here).status_code == 302

    def media(own_id: str) -> Json:
        (found,) = [
            own for own in thread(system, number, contact_id(number, phone))["messages"] if own["message_id"] == own_id
        ]
        assert found["media_src"] == f"/media/messages/{own_id}"
        assert one(system, own_id) == found
        told_of: Json = found["media"]
        return told_of

    ready = media(here)
    assert (ready["state"], ready["type"], ready["voice"]) == ("ready", "audio", True)
    assert (ready["size"], ready["mime_type"]) == (len(builders.VOICE.content), builders.VOICE.mime_type)
    assert (media(coming)["state"], "error" in media(coming)) == ("pending", False)
    never = {"code": "media_unavailable", "title": "WhatsApp never delivered this media", "retryable": False}
    assert (media(gone)["state"], media(gone)["error"]) == ("failed", never)
    waiting = {"pk": f"MSG#{coming}", "sk": "MEDIA", "status": "waiting", "fence": 1, "error_code": "rate_limited"}
    system.put({**waiting, "next_attempt_at": NOW + 600})
    assert (media(coming)["state"], media(coming)["retry_at"]) == ("pending", NOW + 600)
    assert media(coming)["error"]["code"] == "rate_limited"
    system.put({**waiting, "status": "failed", "error_code": "media_expired"})
    assert (media(coming)["state"], media(coming)["error"]["retryable"]) == ("failed", False)


def test_a_flow_reply_names_all_its_files(system: System) -> None:
    number = any_phone_number_id()
    body = json.dumps(builders.golden("flow-reply-media")).replace("100000000000001", number)
    assert system.post(body.encode()).ok

    (message,) = thread(system, number, conversations(system, number)["conversations"][0]["contact_id"])["messages"]

    assert message["media"]["filename"] == "deck.jpg"
    assert [own["media"]["filename"] for own in message["further_media"]] == ["ticket.png", "licence.pdf"]
    assert message["interactive"]["answers"] == [{"name": "boats", "values": ["seagull"]}]
    further = message["further_media"][0]
    assert one(system, further["message_id"])["media_src"] == further["media_src"]


def test_a_message_too_large_for_the_table_says_that_it_is_not_all_there(system: System) -> None:
    number, phone = any_phone_number_id(), any_phone()
    tell(system, number, text_at(-5, phone, "x" * 400_000))

    (message,) = thread(system, number, contact_id(number, phone))["messages"]

    assert message["truncated"]
    assert "text" not in message


def test_the_media_proxy_answers_as_the_document_says(system: System) -> None:
    own_id = system.receive()
    for options in ({}, {"headers": {"Accept": "application/json"}}, {"token": "nonsense"}):
        MEDIA.described(system.get(own_id, **options))
    MEDIA.described(system.get(UNKNOWN))
    Route("head", "/media/messages/{message_id}").described(system.get(own_id, method="HEAD"))


# --- when the table fails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["Query", "BatchGetItem"])
def test_when_the_table_does_not_answer_the_page_is_told_to_ask_again(system: System, operation: str) -> None:
    number, phone = any_phone_number_id(), any_phone()
    tell(system, number, text_at(-5, phone))
    before = system.faults("inbox")
    system.aws.fail(operation, "InternalServerError", status=500)

    for problem in (
        conversations(system, number, status=500),
        thread(system, number, contact_id(number, phone), status=500),
        one(system, UNKNOWN, status=500),
    ):
        assert (problem["code"], problem["retryable"]) == ("internal_error", True)
        assert problem["detail"].startswith("Request ")
    assert system.faults("inbox") == before + 3
