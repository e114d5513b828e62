"""What the simulator sends as Meta: each kind has the shape of Meta's own, and is understood by the webhook."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbound.media import contact_id, message_id
from local import notifications
from local.contents import KINDS, MEDIA_KINDS, UNSUPPORTED, Attachment, Product
from local.notifications import STATUSES, Contact, Number
from local.outgoing import BY_BUSINESS, TARGETED, WITH_FILE, Outgoing, Told, payload, written
from local.panel import CONTACTS, GROUPS
from local.posts import KEPT, Posts
from tests.builders import golden
from webhook.payload import Delivery, Record, parse

NUMBER = Number("100000000000001", "200000000000001", "15550100001")
ADA = Contact("Ada Example", "15550100101", "US.90000000000000000101")
TARGET = "wamid.HBgLMTU1NTAxMDAxMDEVAgASGBQ5ODJEOUUzRUI5OTZGNTU5RTYzMwA="
NOW = 1_790_800_000.7
FILE = Attachment("410000000000099", "image/jpeg", "YOlHnxLH6CVzmKSVwtSa5vuXsq6yeKvFw7slQix42XE=", filename="a.jpg")


def said(kind: str, **fields: Any) -> Outgoing:
    needed: dict[str, Any] = {"contact": ADA}
    needed |= {"media_id": FILE.media_id} if kind in MEDIA_KINDS else {}
    needed |= {"target": TARGET} if kind in TARGETED else {}
    return Outgoing.model_validate({"kind": kind, **needed, **fields})


def sent(outgoing: Outgoing, known: dict[str, Told] | None = None) -> tuple[dict[str, Any], Told | None]:
    """Give the webhook, and what is remembered of it."""
    attachment = FILE if outgoing.kind in WITH_FILE else None
    found = written(outgoing, NUMBER, attachment, known or {}, NOW)
    return payload(NUMBER, outgoing, [found.element]), found.told


def records(body: dict[str, Any]) -> list[Record]:
    return parse(Delivery(notifications.encode(body), "app", int(NOW * 1000), 365))


def paths(value: Any, place: str = "") -> set[str]:
    """Give every place in a JSON value, with the type that stands there; elements of a list share one."""
    if isinstance(value, dict):
        return {path for name, inner in value.items() for path in paths(inner, f"{place}.{name}")}
    if isinstance(value, list):
        return {path for inner in value for path in paths(inner, f"{place}[]")}
    if place.endswith("response_json"):
        return {f"{place}: a JSON object"} if isinstance(json.loads(value), dict) else set()
    return {f"{place}: {'number' if isinstance(value, int | float) else type(value).__name__}"}


# kind, what is said besides, and the golden payload that Meta's documents and captures gave; without its `lacking`.
SHAPES = [
    ("image", {"forwarded": "forwarded"}, "image-forwarded", ""),
    ("image", {"forwarded": "frequently_forwarded"}, "image-frequently-forwarded", ""),
    ("image", {"reply_to": TARGET}, "image-reply", ".caption"),
    ("image", {"group_id": "G"}, "image-group", ""),
    ("image", {"contact": Contact("Ada", None, "US.9", "ada")}, "image-user-id-only", ""),
    ("image", {"contact": Contact("Ada", None, "US.9", "ada"), "echo": True}, "echo-image-user-id-only", ""),
    ("voice", {}, "voice", ".url"),
    ("document", {}, "document", ""),
    ("sticker", {}, "sticker", ""),
    ("animated_sticker", {}, "sticker-animated", ".url"),
    ("too_large", {}, "too-large-video", ""),
    ("text", {"text": "hi"}, "text", ""),
    ("text", {"text": "hi", "group_id": "G"}, "text-group", ""),
    ("text", {"text": "hi", "contact": Contact("Ada", "15550100101")}, "text-phone-only", ""),
    ("text", {"text": "hi", "contact": Contact("Ada", None, "US.9", "ada")}, "text-user-id-only", ""),
    ("text", {"text": "hi", "echo": True, "contact": Contact("Ada", "15550100101")}, "echo-text", ""),
    ("text", {"text": "hi", "reply_to": TARGET}, "text-reply", ""),
    ("location", {"place": {"name": "Pier", "address": "1 Quay"}}, "location", ".url"),
    ("location", {}, "location-bare", ""),
    ("contacts", {}, "contacts", ".emails .vcard .origin"),
    ("order", {"text": "Gift wrapped"}, "order", ""),
    ("button_reply", {"text": "13:00"}, "button-reply", ""),
    ("list_reply", {"text": "Whale", "description": "slow"}, "list-reply", ""),
    ("flow_reply", {"answers": {"seats": "2"}}, "flow-reply-plain", ""),
    ("button", {"text": "Book"}, "button", ""),
    ("reaction", {"text": "👍"}, "reaction", ""),
    ("reaction", {}, "reaction-removed", ""),
    ("edit", {"text": "new"}, "edit-text", ""),
    ("revoke", {}, "revoke", ""),
    ("revoke", {"echo": True, "contact": Contact("Ada", "15550100101")}, "echo-revoke", ""),
    ("unsupported", {}, "unsupported-poll-creation", ""),
    ("unsupported", {"unsupported": "errors"}, "unsupported-unavailable", ""),
    ("status", {"status": "delivered"}, "status-delivered", ".pricing"),
    ("status", {"status": "read", "contact": Contact("Ada", None, "US.9", "ada")}, "status-read-user-id-only", ""),
    ("status", {"status": "failed", "contact": Contact("Ada", "15550100101")}, "status-failed", ".href"),
    ("status", {"group_id": "G", "contact": ADA}, "status-group", ""),
    ("other_field", {}, "phone-number-quality-update", ""),
]


@pytest.mark.parametrize(("kind", "fields", "name", "lacking"), SHAPES, ids=lambda value: str(value)[:40])
def test_each_kind_has_the_shape_that_meta_gives_it(kind: str, fields: dict[str, Any], name: str, lacking: str) -> None:
    body, _ = sent(said(kind, **fields))

    mine, metas = paths(body), paths(golden(name))
    left_out = {path for path in metas if any(f"{part}:" in path or f"{part}[" in path for part in lacking.split())}
    left_out |= {path for path in metas if ".pricing." in path and ".pricing" in lacking}
    # A group's status tells no contacts in the capture; Meta says that they may be there.
    mine -= {path for path in mine if ".contacts[]" in path and name == "status-group"}
    assert mine == metas - left_out


def test_every_kind_is_compared_with_meta_s() -> None:
    compared = {kind for kind, *_ in SHAPES}

    assert set(KINDS) - compared == {"video", "audio"}  # as an image, and as a voice note


def everyone() -> st.SearchStrategy[Contact]:
    return st.sampled_from([*CONTACTS, ADA])


@given(
    kind=st.sampled_from(KINDS),
    contact=everyone(),
    group_id=st.sampled_from([None, *GROUPS]),
    echo=st.booleans(),
    words=st.text(max_size=20),
    reply_to=st.sampled_from([None, TARGET]),
    what=st.sampled_from(UNSUPPORTED),
    status=st.sampled_from(STATUSES),
)
def test_what_the_simulator_offers_is_understood_by_the_webhook(
    kind: str,
    contact: Contact,
    group_id: str | None,
    *,
    echo: bool,
    words: str,
    reply_to: str | None,
    what: str,
    status: str,
) -> None:
    outgoing = said(
        kind,
        contact=contact,
        group_id=group_id,
        echo=echo and kind in BY_BUSINESS,
        text=words,
        reply_to=reply_to,
        unsupported=what,
        status=status,
    )
    body, told = sent(outgoing)

    found = Counter(record.model for record in records(body))

    del found["ContactAlias"]
    changes = {"Change": 1} if kind in ("edit", "revoke") else {}
    expected = {"status": {"Status": 1}, "other_field": {"Event": 1}}.get(kind, {"Message": 1, **changes})
    assert found == expected
    assert (told is None) == (kind == "other_field")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"other_field"}))
def test_what_is_remembered_says_where_it_is_stored(kind: str) -> None:
    body, told = sent(said(kind, text="x"))

    assert told is not None
    partitions = {record.partition for record in records(body) if record.partition.startswith("MSG#")}
    assert partitions == {f"MSG#{own_id}" for own_id in (told.message_id, told.about) if own_id} - {
        # A reaction changes nothing at its message: whoever reads puts them together.
        f"MSG#{told.about}" if kind == "reaction" else ""
    }
    media = {found for record in records(body) if (found := record.attributes.get("provider_media_id"))}
    assert media == set(told.media_ids)


def test_an_edit_of_media_repeats_them_with_the_new_caption() -> None:
    _, original = sent(said("image", caption="old"))
    assert original is not None

    body, told = sent(said("edit", target=original.wamid, text="new"), {original.wamid: original})

    message = body["entry"][0]["changes"][0]["value"]["messages"][0]
    assert message["edit"]["message"]["image"] == {**original.content["image"], "caption": "new"}
    assert told is not None
    assert told.media_ids == (FILE.media_id,)
    assert paths(message) <= paths(golden("edit-image")["entry"][0]["changes"][0]["value"]["messages"][0])


def test_the_photo_of_a_flow_reply_is_named_in_it() -> None:
    body, told = sent(said("flow_reply", media_id=FILE.media_id, answers={"seats": "2"}))

    reply = body["entry"][0]["changes"][0]["value"]["messages"][0]["interactive"]["nfm_reply"]
    answers = json.loads(reply["response_json"])
    photo = {"id": FILE.media_id, "mime_type": "image/jpeg", "sha256": FILE.sha256, "file_name": "a.jpg"}
    assert (answers["seats"], answers["photos"]) == ("2", [photo])
    assert told is not None
    assert told.media_ids == (FILE.media_id,)


def test_a_reply_names_the_author_of_what_it_answers() -> None:
    _, theirs = sent(said("text", text="hello"))
    _, ours = sent(said("text", text="hello", echo=True))
    assert theirs is not None
    assert ours is not None
    known = {told.wamid: told for told in (theirs, ours)}

    authors = [
        sent(said("text", text="x", reply_to=told.wamid), known)[0]["entry"][0]["changes"][0]["value"]["messages"][0]
        for told in (theirs, ours)
    ]

    assert [message["context"]["from"] for message in authors] == [ADA.wa_id, NUMBER.display_phone_number]


def test_a_group_s_message_belongs_to_the_group() -> None:
    body, told = sent(said("text", text="x", group_id="GROUP-1"))

    (record,) = [record for record in records(body) if record.model == "Message"]
    assert record.attributes["contact_id"] == contact_id(NUMBER.phone_number_id, "GROUP-1")
    assert told is not None
    assert told.chat == "GROUP-1"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "image"}, "needs a media_id"),
        ({"kind": "reaction"}, "needs a target"),
        ({"kind": "status"}, "needs a target"),
        ({"kind": "order", "echo": True}, "does not send"),
        ({"kind": "text", "group_id": "a/b"}, "group_id"),
        ({"kind": "text", "contact": {"name": "A", "wa_id": "5" * 300}}, "wa_id"),
        ({"kind": "text", "contact": {"name": "A", "user_id": "nobody"}}, "user_id"),
        ({"kind": "location", "place": {"latitude": "nan"}}, "latitude"),
        ({"kind": "location", "place": {"longitude": 181}}, "longitude"),
        ({"kind": "order", "product": {"price": "inf"}}, "price"),
        ({"kind": "text", "timestamp": "nan"}, "timestamp"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Outgoing.model_validate(fields)


def test_prices_and_places_are_numbers_as_meta_s() -> None:
    body, _ = sent(said("order", product=Product("x", 3, 1.5, "USD")))

    order = body["entry"][0]["changes"][0]["value"]["messages"][0]["order"]
    assert order["product_items"] == [{"product_retailer_id": "x", "quantity": 3, "item_price": 1.5, "currency": "USD"}]


# --- what was sent -------------------------------------------------------------------------------------------------

DONE = notifications.Delivery(200, 1, "")


def told(wamid: str, kind: str = "text") -> Told:
    found = written(said(kind, wamid=wamid, text="x"), NUMBER, None, {}, NOW).told
    assert found is not None
    return found


def test_webhooks_are_kept_in_order_and_the_oldest_are_forgotten() -> None:
    posts = Posts()
    for _ in range(KEPT + 3):
        posts.add(b"x", (), (1, 2), DONE, None)

    kept = posts.after()

    assert [post.id for post in kept] == list(range(4, KEPT + 4))
    assert [post.id for post in posts.after(KEPT)] == [KEPT + 1, KEPT + 2, KEPT + 3]
    assert (posts.get(3), posts.get(4)) == (None, kept[0])


def test_large_webhooks_push_out_earlier_ones_and_the_newest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.posts.KEPT_BYTES", 10)
    posts = Posts()
    kept = []
    for size in (4, 5, 6, 50, 7, 3):
        posts.add(b"x" * size, (), (1, 2), DONE, None)
        kept.append([len(post.body) for post in posts.after()])

    assert kept == [[4], [4, 5], [6], [50], [7], [7, 3]]


def test_messages_are_found_again_by_wamid_and_statuses_are_none() -> None:
    posts = Posts()
    message, status = told("wamid.1"), told("wamid.2", "status")
    posts.add(b"x", (message,), (1, 2), DONE, None)
    posts.add(b"y", (status,), (1, 2), DONE, None)

    assert posts.told("wamid.1", TARGET, None) == {"wamid.1": message}
    assert message.message_id == message_id(NUMBER.phone_number_id, "wamid.1")
