"""Meta delivers again, in any order, and at once: everything is there once."""

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inbound.media import contact_id, message_id
from tests import builders
from tests.builders import Json
from tests.integration.system import System
from tests.reliability.conftest import Count, Observe
from tests.reliability.report import saw, stored


def picture(system: System, **fields: Any) -> Json:
    """Give a message whose file Meta holds."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(builders.PHOTO.content, "image/jpeg", phone_number_id=number)
    return builders.image_message(media.id, **fields)


def stand_in(message: Json) -> Json:
    """Give the placeholder that the chat history has for a message."""
    return {name: value for name, value in message.items() if name != "image"} | {"type": "media_placeholder"}


def id_of(system: System, message: Json) -> str:
    return message_id(system.stack.phone_number_id, message["id"])


def delivered(system: System, *messages: Json, field: str = "messages") -> int:
    body = builders.notification(*messages, phone_number_id=system.stack.phone_number_id, field=field)
    return system.post(body).status_code


def snapshot(system: System) -> dict[tuple[str, str], Json]:
    """Give all items but the state of media, and when events were received."""
    changing = {"received", "gsi1sk", "ttl"}
    return {
        (item["pk"], item["sk"]): {n: v for n, v in item.items() if item["sk"] != "EVENT" or n not in changing}
        for item in system.everything()
        if item["sk"] != "MEDIA"
    }


def test_the_same_post_many_times_at_once_stores_everything_once(
    system: System, observed: Observe, counted: Count
) -> None:
    messages = [picture(system) for _ in range(5)]
    body = builders.notification(
        *messages, phone_number_id=system.stack.phone_number_id, statuses=[builders.status() for _ in range(3)]
    )
    system.post(body)
    once = snapshot(system)

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: system.post(body), range(32)))

    assert {answer.status_code for answer in answers} == {200}
    assert snapshot(system) == once
    counted(messages_sent=5 * 33, lost=0, duplicated=0)
    observed(
        "again",
        "the same POST 33 times, 16 at once",
        "webhook",
        saw(answers[0]),
        stored(system, id_of(system, messages[0])),
    )


def test_messages_edits_and_statuses_may_come_in_any_order(system: System, observed: Observe, counted: Count) -> None:
    chance = random.Random(7)  # the same orders in each run
    ends = []
    sender = builders.any_phone()
    originals = [picture(system, sender=sender, timestamp=str(1_795_000_000 + place)) for place in range(4)]
    edit = builders.message(
        "edit",
        {"original_message_id": originals[0]["id"], "message": {"type": "image", "image": originals[0]["image"]}},
        sender=sender,
    )
    revoke = builders.message("revoke", {"original_message_id": originals[1]["id"]}, sender=sender)
    seen = builders.status("read", originals[2]["id"])
    for _ in range(6):
        number = builders.any_phone_number_id()  # a number of its own for each order
        posts: list[tuple[list[Json], list[Json]]] = [([one], []) for one in [*originals, edit, revoke]] + [
            ([], [seen])
        ]
        chance.shuffle(posts)
        for messages, statuses in posts:
            body = builders.notification(*messages, phone_number_id=number, statuses=statuses)
            assert system.post(body).status_code == 200
        ends.append(of_number(system, number))

    assert all(end == ends[0] for end in ends)
    assert len(ends[0]) == 4 + 2 + 2 + 1 + 1  # messages, edit and revoke, their marks, status, conversation
    counted(messages_sent=6 * 7, lost=0, duplicated=0)
    observed(
        "again",
        "messages, an edit, a deletion and a status in 6 orders",
        "webhook",
        "200",
        "the same items in each order",
    )


def of_number(system: System, number: str) -> list[str]:
    """Give all items of a number, without what differs from number to number."""
    own = [item for item in system.everything() if item.get("phone_number_id") == number]
    ids = {"pk", "sk", "message_id", "contact_id", "phone_number_id", "gsi1pk", "gsi1sk", "gsi2pk"}
    return sorted(str(sorted((n, str(v)) for n, v in item.items() if n not in ids)) for item in own)


def test_parts_of_an_album_that_come_at_once_are_all_there_in_one_conversation(
    system: System, observed: Observe, counted: Count
) -> None:
    sender, number = builders.any_phone(), system.stack.phone_number_id
    album = [picture(system, sender=sender, timestamp=str(1_795_000_000 + place)) for place in range(20)]

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(lambda one: delivered(system, one), album)) == {200}
    with ThreadPoolExecutor(8) as threads:
        views = list(threads.map(lambda one: system.bytes_of(id_of(system, one)), album))

    assert all(view.content == builders.PHOTO.content for view in views)
    heads = [sk for sk in system.items(f"CONV#{number}") if sk == contact_id(number, sender)]
    assert len(heads) == 1
    delivered(system, builders.text_message(sender=sender))  # the next message heals a head that lost a race
    head = system.items(f"CONV#{number}")[heads[0]]
    assert head["preview"] == "Hello"
    counted(messages_sent=21, views=20, served=20, lost=0, duplicated=0)
    observed("again", "20 pictures of one sender at once", "webhook", "200", stored(system, id_of(system, album[0])))


@pytest.mark.parametrize("order", list(itertools.permutations(["real", "placeholder", "placeholder again"])), ids=str)
def test_a_placeholder_never_costs_a_media_id_whenever_it_comes(system: System, order: tuple[str, ...]) -> None:
    real = picture(system)

    for kind in order:
        message, field = (real, "messages") if kind == "real" else (stand_in(real), "history")
        assert delivered(system, message, field=field) == 200

    assert system.message(id_of(system, real))["provider_media_id"] == real["image"]["id"]
    assert system.bytes_of(id_of(system, real)).content == builders.PHOTO.content


def test_a_placeholder_that_was_looked_at_does_not_settle_what_comes_later(system: System, observed: Observe) -> None:
    real = picture(system)
    own_id = id_of(system, real)
    delivered(system, stand_in(real), field="history")
    system.problem(own_id, 410, "media_unavailable")
    system.sweep()

    delivered(system, real)

    assert system.bytes_of(own_id).content == builders.PHOTO.content
    delivered(system, stand_in(real), field="history")
    assert system.bytes_of(own_id).content == builders.PHOTO.content
    observed(
        "again",
        "a placeholder, looked at; then the message; then the placeholder",
        "webhook",
        "410 `media_unavailable`, then 302",
        stored(system, own_id),
    )


def test_an_erased_message_does_not_come_back(system: System, observed: Observe) -> None:
    erased, other = picture(system), picture(system)
    own_id = id_of(system, erased)
    system.put({"pk": f"MSG#{own_id}", "sk": "ERASED"})
    status = builders.status("read", erased["id"])

    answer = system.post(
        builders.notification(erased, other, phone_number_id=system.stack.phone_number_id, statuses=[status])
    )

    assert answer.status_code == 200
    assert system.items(f"MSG#{own_id}").keys() == {"ERASED"}
    assert contact_id(system.stack.phone_number_id, erased["from"]) not in system.items(
        f"CONV#{system.stack.phone_number_id}"
    )
    assert system.jobs() == [id_of(system, other)]
    assert system.work(own_id) == []
    system.problem(own_id, 404, "message_not_found")
    observed(
        "again", "an erased message is delivered again, with a status", "webhook", saw(answer), stored(system, own_id)
    )


def test_an_attempt_whose_message_is_erased_meanwhile_publishes_nothing(system: System, observed: Observe) -> None:
    own_id = id_of(system, message := picture(system))
    delivered(system, message)
    system.aws.delay("TransactWriteItems", 1.0)

    with ThreadPoolExecutor(1) as threads:
        view = threads.submit(system.get, own_id)
        while "Query" not in system.aws.calls:
            pass
        system.put({"pk": f"MSG#{own_id}", "sk": "ERASED"})
        answer = view.result()

    assert (answer.status_code, answer.json()["code"]) == (404, "message_not_found")
    assert "MEDIA" not in system.items(f"MSG#{own_id}")
    assert not [key for key in system.objects() if own_id in key]
    observed(
        "again", "a message is erased just before an attempt begins", "DynamoDB", saw(answer), "the tombstone alone"
    )
