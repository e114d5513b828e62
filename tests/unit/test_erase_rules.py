"""What belongs to a contact, and what to somebody else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound.media import contact_id, message_id
from tests.builders import Json, any_media_id, any_wamid, wire
from tools import erasure
from tools.erasure import Claim, Contact, Found, Item, claimed, concerns, edge_paths, kind_of

NUMBER, OTHER_NUMBER = "100000000000001", "100000000000002"
PHONE, USER, GROUP = "15550100101", "US.90000000000000000101", "GROUP-900000000000000000000000000000001"
STRANGER = "447700900102"
CONTACT = Contact(NUMBER, contact_id(NUMBER, PHONE), frozenset({contact_id(NUMBER, PHONE), contact_id(NUMBER, USER)}))
STRANGERS_ID = contact_id(NUMBER, STRANGER)
OWN = "a" * 26


def item(sk: str, **attributes: Any) -> Item:
    return {"pk": f"MSG#{OWN}", "sk": sk, "phone_number_id": NUMBER, **attributes}


def mine(**more: Any) -> Item:
    return item("MESSAGE", contact_id=contact_id(NUMBER, USER), **more)


def strangers(**more: Any) -> Item:
    return item("MESSAGE", contact_id=STRANGERS_ID, **more)


def read_by(key: str) -> Item:
    return item(f"STATUS#read#{contact_id(NUMBER, key)}")


# --- partitions --------------------------------------------------------------------------------------------------


def test_all_that_stands_beside_a_message_goes_with_it() -> None:
    items = [mine(), item("MEDIA"), read_by(STRANGER), item("EDIT#1#b", message_id="b"), item("ALIAS", message_id="c")]

    assert claimed(items, CONTACT, ()) == Claim(whole=True, items=tuple(items))


@pytest.mark.parametrize("message", [strangers(), {**mine(), "phone_number_id": OTHER_NUMBER}])
def test_of_a_message_of_somebody_else_only_what_is_the_contacts_goes(message: Item) -> None:
    edit = item("EDIT#1#b", message_id="b")

    assert claimed([message, item("MEDIA"), edit, read_by(PHONE), read_by(STRANGER)], CONTACT, {"b"}) == Claim(
        whole=False, items=(edit, read_by(PHONE))
    )


def test_statuses_without_a_message_go_whole_when_all_of_them_are_the_contacts() -> None:
    assert claimed([read_by(PHONE), read_by(USER)], CONTACT, ()).whole
    assert not claimed([read_by(PHONE), read_by(STRANGER)], CONTACT, ()).whole


def test_a_media_item_without_anything_beside_it_is_nobodys() -> None:
    assert claimed([item("MEDIA")], CONTACT, ()) == Claim(whole=False, items=())


def test_what_comes_back_beside_a_tombstone_goes_again() -> None:
    stone = erasure.tombstone(OWN, CONTACT, 1_790_800_000, 8, 0)

    assert claimed([stone, item("MEDIA")], CONTACT, ()).whole
    assert not claimed([{**stone, "contact_id": STRANGERS_ID}, item("MEDIA")], CONTACT, ()).whole
    assert stone["ttl"] == 1_790_800_000 + 8 * 24 * 3600


def test_further_media_of_a_message_go_with_it() -> None:
    assert claimed([strangers(parent_id="b")], CONTACT, {"b"}).whole


@pytest.mark.parametrize(("who", "goes"), [(PHONE, True), (USER, True), (STRANGER, False)])
@pytest.mark.parametrize("attribute", ["contact_phone", "contact_user_id"])
def test_a_group_message_is_of_who_wrote_it(attribute: str, who: str, *, goes: bool) -> None:
    message = item("MESSAGE", contact_id=contact_id(NUMBER, GROUP), group_id=GROUP, **{attribute: who})

    assert claimed([message], CONTACT, ()).whole is goes


def test_outside_of_groups_the_conversation_tells_whose_a_message_is() -> None:
    assert not claimed([strangers(contact_phone=PHONE)], CONTACT, ()).whole


# --- events ------------------------------------------------------------------------------------------------------

WAMID, MEDIA_ID = any_wamid(PHONE), any_media_id()
KEYS = st.sampled_from([PHONE, USER, WAMID, MEDIA_ID, f"+{PHONE}", f"from {PHONE}.", f"see ?mid={MEDIA_ID}&ext=1"])
OWN_IDS = {message_id(NUMBER, WAMID)}

around = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def found(raw: str, contact: Contact = CONTACT) -> bool:
    return concerns(raw, contact, OWN_IDS, {MEDIA_ID})


@settings(deadline=None)
@given(KEYS, around, st.booleans(), st.booleans())
def test_an_event_that_names_the_contact_is_found_however_it_is_written(
    key: str, other: object, nested: bool, escaped: bool
) -> None:
    content: object = {"before": other, "list": [{"who": key}], "after": other}
    if nested:
        content = {"response": wire(content).decode()}

    assert found(wire(content).decode() if escaped else json.dumps(content, ensure_ascii=False))


@settings(deadline=None)
@given(around)
def test_an_event_that_names_nobody_is_nobodys(content: object) -> None:
    assert not found(json.dumps({"who": STRANGER, "what": content, "longer": f"9{PHONE}", "cut": PHONE[:-1]}))


@pytest.mark.parametrize(("number", "is_theirs"), [(NUMBER, True), (OTHER_NUMBER, False)])
@pytest.mark.parametrize("nested", [False, True])
def test_an_event_of_another_number_is_another_contacts(number: str, *, nested: bool, is_theirs: bool) -> None:
    content: Json = {"value": {"metadata": {"phone_number_id": number}, "who": PHONE}}

    assert found(json.dumps({"raw": json.dumps(content)} if nested else content)) is is_theirs


def test_what_cannot_be_read_as_json_is_searched_all_the_same() -> None:
    assert found('{"from":"' + PHONE + '","text":{"body":"cut of')


# --- the report and the edge -------------------------------------------------------------------------------------


def test_what_was_seen_before_counts_once() -> None:
    seen = Found()
    seen.take(OWN, Claim(whole=True, items=(mine(provider_media_id="4"), item("MEDIA", s3_key=f"pdf/1/{OWN}/1"))))
    seen.take_objects([f"pdf/1/{OWN}/1", f"raw/1/{OWN}/x"])
    seen.add(seen)

    counts = {kind: count for kind, count in seen.counts().items() if count}
    assert counts == {"messages": 1, "media_items": 1, "objects_pdf": 1, "objects_raw": 1, "tombstones": 1}
    assert seen.edge == {("pdf", OWN)}
    assert seen.media_ids == {"4"}


def test_a_tombstone_is_nothing_that_is_left() -> None:
    seen = Found()
    seen.take(OWN, Claim(whole=True, items=(erasure.tombstone(OWN, CONTACT, 0, 8, 77),)))

    assert seen.is_empty
    assert (seen.tombstones, seen.lease_until) == ({OWN}, 77)


@pytest.mark.parametrize("name", ["items", "heads", "objects", "uploads"])
def test_anything_else_is_something_that_is_left(name: str) -> None:
    seen = Found()
    setattr(seen, name, {("a", "b"): "c"} if name == "heads" else {("a", "b")})

    assert not seen.is_empty


def test_few_media_are_invalidated_one_by_one_with_all_attempts_and_query_strings() -> None:
    assert edge_paths({("inline", "m1"), ("file", "m2")}, NUMBER) == [
        f"/file/{NUMBER}/m2/*",
        f"/inline/{NUMBER}/m1/*",
    ]


def test_many_media_are_invalidated_by_class_for_wildcards_are_limited() -> None:
    edge = {("inline", f"m{n}") for n in range(10)}

    assert len(edge_paths(edge, NUMBER)) == 10
    assert edge_paths(edge | {("pdf", "m")}, NUMBER) == [f"/inline/{NUMBER}/*", f"/pdf/{NUMBER}/*"]
    assert edge_paths(set(), NUMBER) == []


def test_an_odd_number_is_invalidated_where_its_objects_lie() -> None:
    edge = {("inline", f"m{n}") for n in range(11)}

    (path,) = edge_paths(edge, "../*")
    assert path.startswith("/inline/")
    assert ".." not in path


@pytest.mark.parametrize(
    ("pk", "sk", "kind"),
    [
        ("MSG#1", "MESSAGE", "messages"),
        ("MSG#1", "MEDIA", "media_items"),
        ("MSG#1", "STATUS#read#1", "statuses"),
        ("MSG#1", "EDIT#1#2", "edits_and_revokes"),
        ("MSG#1", "REVOKE#1#2", "edits_and_revokes"),
        ("MSG#1", "ALIAS", "aliases"),
        ("EVENT#1", "EVENT", "events"),
        ("CONV#1", "ALIAS#1", "contact_aliases"),
        ("ALIASES#1", "abc", "contact_aliases"),
        ("CONV#1", "abc", "conversations"),
        ("MSG#1", "SOMETHING", "others"),
    ],
)
def test_every_item_has_a_kind(pk: str, sk: str, kind: str) -> None:
    assert kind_of(pk, sk) == kind
