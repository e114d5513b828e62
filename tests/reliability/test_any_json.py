"""Whatever JSON comes with a valid signature is answered 200 and can be found again, and no message harms its sibling.

Everything goes over real HTTP, against the stack of the whole suite; the examples are the same in each run.
"""

import copy
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inbound.batches import chunks
from inbound.media import message_id
from tests import builders
from tests.builders import Json
from tests.integration.system import System
from tests.reliability.conftest import Count, Observe
from tests.reliability.posts import delete_messages, only_own_jobs
from tests.reliability.report import saw

SECTION = "json"
KEPT = "siblings stored and queued once, the message found again raw"
ALL_OF_THEM = "each of them once, with one job each"
EXAMPLES = 40
DEEP = 200_000
LARGEST_POST = 2_500_000  # bytes of strange messages
DROPPED = object()
# One system serves all examples, as one deployment serves all POSTs; what they share is a table that only grows.
REPEATABLE = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

TEXTS = st.text(st.characters(codec=None), max_size=20)  # half surrogates among them, which JSON can carry
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
# Keys that the parser looks for, so that it goes astray as deeply as it can.
KNOWN = st.sampled_from(
    [
        *("object", "entry", "id", "changes", "field", "value", "metadata", "phone_number_id", "messages", "statuses"),
        *("contacts", "history", "threads", "message_echoes", "type", "image", "from", "timestamp", "errors", "wa_id"),
        *("interactive", "nfm_reply", "response_json", "edit", "message", "original_message_id", "group_id", "status"),
    ]
)
NEARLY_META = st.recursive(
    st.one_of(SCALARS, KNOWN),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(KNOWN, TEXTS), inner, max_size=6)),
    max_leaves=25,
)

MESSAGES = st.fixed_dictionaries(
    {"id": TEXTS.filter(bool), "type": KNOWN},
    optional={"image": NEARLY_META, "from": NEARLY_META, "interactive": NEARLY_META, "edit": NEARLY_META},
)


class Written(str):
    """JSON as text, for what Python itself cannot write."""

    __slots__ = ()


HOSTILE = {
    f"{DEEP} lists in each other": Written("[" * DEEP + "]" * DEEP),
    f"{DEEP} objects in each other": Written('{"a":' * DEEP + "1" + "}" * DEEP),
    "an integer of 5000 digits": Written("9" * 5000),
    "a number that no float holds": Written("1e400"),
    "half a surrogate pair": "\ud83d",
    "half a surrogate pair as a key": {"\udc00": "\ud800"},
    "a string of 300 kB": "x" * 300_000,
    "a string of 300 kB that is not ASCII": "ü" * 150_000,
    "300 kB of keys": {f"key {n}": n for n in range(20_000)},
    "a NUL": "\0",
    "an empty key": {"": {"": [""]}},
}
PLACES: list[tuple[str, ...]] = [
    *(("id",), ("type",), ("timestamp",), ("from",), ("from_user_id",), ("group_id",), ("image",), ("unheard_of",)),
    *(("image", "id"), ("image", "sha256"), ("image", "caption"), ("image", "mime_type"), ("context",), ("errors",)),
]


@pytest.fixture(autouse=True)
def _own_jobs(system: System) -> Iterator[None]:
    with only_own_jobs(system):
        yield


def wire(content: object) -> bytes:
    """Write JSON, with the texts that are JSON already put in as they are."""
    texts: list[str] = []

    def kept(value: object) -> object:
        if isinstance(value, Written):
            texts.append(str(value))
            return f"#written {len(texts) - 1}#"
        if isinstance(value, dict):
            return {key: kept(inner) for key, inner in value.items()}
        return [kept(inner) for inner in value] if isinstance(value, list) else value

    text = json.dumps(kept(content), separators=(",", ":"))
    for place, written in enumerate(texts):
        text = text.replace(f'"#written {place}#"', written, 1)
    return text.encode("ascii")


def read(text: str | bytes) -> object:
    """Read JSON; an integer too long for Python is its digits. None for what is nested too deep, or no JSON."""
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= 1000 else digits)
    except (ValueError, RecursionError):
        return None


def raws(system: System, since: float, *own_ids: str) -> list[str]:
    """Give the raw forms that were kept since a moment: with these messages or statuses, and in events."""
    items = [item for own_id in own_ids for item in system.items(f"MSG#{own_id}").values()]
    kept = [item for item in (*items, *system.events(since=since)) if "raw" in item or "raw_s3_key" in item]
    return [item["raw"] if "raw" in item else system.object(item["raw_s3_key"]).decode() for item in kept]


def is_kept(content: object, kept: list[str]) -> bool:
    """Tell whether something stands somewhere raw; what cannot be read, in the text of a whole body."""
    sent = wire(content).decode()
    whole = read(sent)
    return any(sent in raw if whole is None and content is not None else holds(read(raw), whole) for raw in kept)


def holds(found: object, whole: object) -> bool:
    """Tell whether JSON is, or has somewhere inside, some other JSON."""
    if found == whole:
        return True
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return any(holds(one, whole) for one in inner)


# --- any JSON ----------------------------------------------------------------------------------------------------


def test_any_json_is_answered_200_and_found_again_raw(system: System, observed: Observe, counted: Count) -> None:
    answers: Counter[str] = Counter()

    @REPEATABLE
    @given(content=st.one_of(ANY_JSON, NEARLY_META))
    @example(content={"entry": []})
    @example(content={"entry": [{"changes": [[]]}]})
    def sent(content: object) -> None:
        since = time.time()

        answer = system.post(wire(content))

        answers[saw(answer)] += 1
        assert answer.status_code == 200
        kept = raws(system, since)
        assert all(is_kept(piece, kept) for piece in pieces_of(content)), kept

    sent()

    counted(messages_sent=sum(answers.values()), lost=0)
    observed(SECTION, "any JSON, signed", "webhook", ", ".join(answers), "found again raw")


def pieces_of(content: object) -> Iterator[object]:
    """Give what a body has to say: all of it, or, of an envelope, its changes and what else stands in it."""
    if not isinstance(content, dict) or not isinstance(content.get("entry"), list):
        yield content
        return
    yield from (value for key, value in content.items() if key not in {"object", "entry"})
    for entry in content["entry"]:
        yield from entry["changes"] if isinstance(entry, dict) and isinstance(entry.get("changes"), list) else [entry]


def test_any_value_of_a_change_is_answered_200_and_all_its_messages_are_found_again_raw(
    system: System, observed: Observe, counted: Count
) -> None:
    answers: Counter[str] = Counter()
    lists = st.lists(st.one_of(NEARLY_META, st.just({"id": "?"}), MESSAGES), max_size=3)

    @REPEATABLE
    @given(
        value=st.dictionaries(st.one_of(KNOWN, TEXTS), NEARLY_META, max_size=4),
        named=st.dictionaries(st.sampled_from(["messages", "statuses", "message_echoes", "history"]), lists),
        field=st.sampled_from(["messages", "standby", "history", "message_echoes", "smb_message_echoes", "flows"]),
    )
    def sent(value: Json, named: dict[str, list[Any]], field: str) -> None:
        number, since = builders.any_phone_number_id(), time.time()
        whole = {**value, **named, "metadata": {"phone_number_id": number}}
        pieces = [piece for listed in named.values() for piece in listed if piece not in ({}, [], None, "", 0, False)]

        answer = system.post(wire(builders.envelope([{"field": field, "value": whole}])))

        answers[saw(answer)] += 1
        assert answer.status_code == 200
        kept = raws(system, since, *(message_id(number, name) for piece in pieces for name in names_of(piece)))
        assert all(is_kept(piece, kept) for piece in pieces), kept

    sent()

    counted(messages_sent=sum(answers.values()), lost=0)
    observed(SECTION, "any JSON as the value of a change", "webhook", ", ".join(answers), "each piece found again raw")


BESIDE = [
    ("contacts that are no list", {"contacts": {"odd": "contacts"}}, {"odd": "contacts"}),
    ("a contact that is no object", {"contacts": ["odd contact"]}, "odd contact"),
    ("contacts without any message", {"contacts": [{"wa_id": "1", "new": "key"}]}, {"wa_id": "1", "new": "key"}),
    ("an unknown key of the metadata", {"metadata": {"new_key": {"a": 1}}}, {"a": 1}),
    ("a number that no float holds", {"new_key": [Written("1e400")]}, [Written("1e400")]),
]


@pytest.mark.parametrize(("name", "more", "piece"), BESIDE, ids=[case[0] for case in BESIDE])
def test_what_stands_beside_the_messages_is_found_again_raw(
    system: System, observed: Observe, name: str, more: Json, piece: object
) -> None:
    number, since = builders.any_phone_number_id(), time.time()
    metadata = {"phone_number_id": number, **more.get("metadata", {})}

    answer = system.post(wire(builders.envelope([{"field": "messages", "value": {**more, "metadata": metadata}}])))

    assert answer.status_code == 200
    assert is_kept(piece, raws(system, since))
    observed(SECTION, name, "webhook", saw(answer), "found again raw")


def names_of(piece: object) -> Iterator[str]:
    """Give all ids in a piece, as text, wherever they stand."""
    if isinstance(piece, dict):
        if isinstance(piece.get("id"), str | int):
            yield str(piece["id"])
        for inner in piece.values():
            yield from names_of(inner)
    if isinstance(piece, list):
        for inner in piece:
            yield from names_of(inner)


# --- one field of one message ------------------------------------------------------------------------------------


def changed(message: Json, place: Sequence[str], value: object) -> Json:
    """Give a message with something else at a place, or, for DROPPED, with nothing there."""
    result = copy.deepcopy(message)
    *way, last = place
    inner = result
    for step in way:
        inner = inner[step]
    if value is DROPPED:
        inner.pop(last, None)
    else:
        inner[last] = value
    return result


def assert_no_sibling_suffers(system: System, strange: Sequence[Json]) -> None:
    """Post strange messages between two good ones; both good ones are stored and queued, each strange one is kept."""
    number, since = builders.any_phone_number_id(), time.time()
    good = [builders.image_message(), builders.image_message()]
    body = builders.notification(good[0], *strange, good[1], phone_number_id=number, contacts=[])
    system.aws.forget()

    answer = system.post(wire(body))

    assert answer.status_code == 200, answer.text
    for message in good:
        own_id = message_id(number, message["id"])
        assert json.loads(system.message(own_id)["raw"]) == message
        assert system.message(own_id)["provider_media_id"] == message["image"]["id"]
        assert system.jobs().count(own_id) == 1
    kept = raws(system, since, *(message_id(number, name) for one in strange for name in names_of(one)))
    lost = [one for one in strange if not is_kept(one, kept)]
    assert not lost, str(lost)[:500]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_value_anywhere_in_a_message_costs_no_sibling_and_is_found_again_raw(
    system: System, observed: Observe, counted: Count, name: str
) -> None:
    strange = [changed(builders.image_message(), place, HOSTILE[name]) for place in PLACES]
    room = max(1, LARGEST_POST // max(len(wire(one)) for one in strange))

    for some in chunks(strange, room):
        assert_no_sibling_suffers(system, some)

    counted(messages_sent=len(strange), faults_injected=len(strange), lost=0)
    observed(SECTION, f"{name}, in turn in {len(PLACES)} fields of a message", "webhook", "200", KEPT)


def test_dropping_any_field_of_a_message_costs_no_sibling_and_what_is_left_is_found_again_raw(
    system: System, observed: Observe, counted: Count
) -> None:
    strange = [changed(builders.image_message(), place, DROPPED) for place in PLACES]

    assert_no_sibling_suffers(system, strange)

    counted(messages_sent=len(strange), faults_injected=len(strange), lost=0)
    observed(SECTION, f"each of {len(PLACES)} fields dropped in turn", "webhook", "200", KEPT)


def test_any_json_in_any_field_of_a_message_costs_no_sibling_and_is_found_again_raw(
    system: System, observed: Observe, counted: Count
) -> None:
    @REPEATABLE
    @given(st.lists(st.tuples(st.sampled_from(PLACES), st.one_of(ANY_JSON, NEARLY_META)), min_size=1, max_size=4))
    def sent(changes: list[tuple[tuple[str, ...], object]]) -> None:
        assert_no_sibling_suffers(system, [changed(builders.image_message(), place, value) for place, value in changes])

    sent()

    counted(messages_sent=EXAMPLES, faults_injected=EXAMPLES, lost=0)
    observed(SECTION, "any JSON in any field of a message", "webhook", "200", KEPT)


# --- a thousand --------------------------------------------------------------------------------------------------


def thousand() -> tuple[bytes, dict[str, Json]]:
    """Build a POST of 2.9 MB with 1000 images of 3 numbers in 2 entries; give its bytes, and the messages by id."""
    body = builders.batch(1000, contacts=20, numbers=3, entries=2)
    changes = [change["value"] for entry in body["entry"] for change in entry["changes"]]
    listed = [(value["metadata"]["phone_number_id"], message) for value in changes for message in value["messages"]]
    room = (2_900_000 - len(builders.wire(body))) // len(listed) - len(',"caption":""')
    for _, message in listed:
        message["image"]["caption"] = "x" * room
    return builders.wire(body), {message_id(number, message["id"]): message for number, message in listed}


def stored_of(system: System, own_ids: Iterable[str]) -> dict[str, Json]:
    """Give the raw messages that are stored under these ids."""
    found: dict[str, Json] = {}
    for some in chunks(sorted(own_ids), 100):
        keys = [{"pk": {"S": f"MSG#{own_id}"}, "sk": {"S": "MESSAGE"}} for own_id in some]
        answer = system.client("dynamodb").batch_get_item(RequestItems={system.stack.table_name: {"Keys": keys}})
        for item in answer["Responses"][system.stack.table_name]:
            found[item["message_id"]["S"]] = json.loads(item["raw"]["S"])
    return found


def test_a_thousand_messages_of_several_entries_and_tenants_in_one_post_of_2_9_mb_are_all_stored_once(
    system: System, observed: Observe, counted: Count
) -> None:
    raw, messages = thousand()
    assert 2_890_000 < len(raw) <= 2_900_000

    answer = system.post(raw)

    assert answer.status_code == 200
    assert stored_of(system, messages) == messages
    assert sorted(system.jobs()) == sorted(messages)
    delete_messages(system, messages)
    counted(messages_sent=1000, lost=0, duplicated=0)
    observed(SECTION, "1000 messages of 3 numbers in one POST of 2.9 MB", "webhook", saw(answer), ALL_OF_THEM)


def test_when_the_store_dies_in_the_midst_of_a_thousand_messages_the_redelivery_stores_everything_once(
    system: System, observed: Observe, counted: Count
) -> None:
    raw, messages = thousand()
    calls = count()
    system.aws.fail("BatchWriteItem", "InternalServerError", status=500, strikes=lambda _: next(calls) >= 20)

    first = system.post(raw)

    assert first.status_code == 503
    before = len(stored_of(system, messages))
    assert 0 < before < 1000
    assert system.jobs() == []
    system.aws.forget()
    again = system.post(raw)
    assert again.status_code == 200
    assert stored_of(system, messages) == messages
    assert sorted(system.jobs()) == sorted(messages)
    delete_messages(system, messages)
    counted(messages_sent=1000, faults_injected=1, lost=0, duplicated=0)
    words = f"{saw(first)}, then {saw(again)}"
    observed(SECTION, "the table dies in the midst of 1000 messages", "webhook, BatchWriteItem", words, ALL_OF_THEM)
