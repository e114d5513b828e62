"""Listings of the read API: places as tokens, pages, polls, changes; and what is asked for."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbound.access import Scope
from inbound.errors import InvalidRequest
from inbox import entries
from inbox.entries import LARGEST_ANSWER, OVERLAP, Changes, Entry, Page
from inbox.places import Kind, place_of, token_of, tokens_after
from inbox.request import Window, number_in, window_in

NOW = 1_000_000
HERE, THERE = "CONV#1#a", "CONV#1#b"
ID = "abcdefghijklmnopqrstuvwxyz"  # base32, as it happens


def entry(seconds: int, letter: str = "a", sk: str = "MESSAGE", *, about: str | None = None) -> Entry:
    own_id = letter * 26
    return Entry(f"{seconds:010d}#{own_id}", (f"MSG#{about or own_id}", sk))


# --- places ---


@given(st.integers(0, 9_999_999_999), st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26))
def test_a_token_gives_its_place_back_in_its_own_listing_and_nowhere_else(seconds: int, own_id: str) -> None:
    place = f"{seconds:010d}#{own_id}"

    assert place_of("cursor", HERE, token_of("cursor", HERE, place)) == place
    for kind, listing in (("cursor", THERE), ("since", HERE)):
        with pytest.raises(InvalidRequest):
            place_of(kind, listing, token_of("cursor", HERE, place))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "place", ["", "1", "~", f"{1:010d}", f"{1:010d}#", f"{1:010d}#{ID}#", f"{1:010d}#{ID.upper()}"]
)
def test_a_forged_place_that_could_be_none_is_refused(place: str) -> None:
    with pytest.raises(InvalidRequest):
        place_of("cursor", HERE, token_of("cursor", HERE, place))


def test_a_place_without_its_listings_mark_is_no_token() -> None:
    bare = base64.urlsafe_b64encode(f"{1:010d}#{ID}".encode()).decode().rstrip("=")

    with pytest.raises(InvalidRequest):
        place_of("cursor", HERE, bare)


@given(st.text(), st.sampled_from(["cursor", "since"]))
def test_no_text_breaks_reading_a_token(text: str, kind: Kind) -> None:
    try:
        place = place_of(kind, HERE, text)
    except InvalidRequest:
        return
    assert (kind, place) == ("since", text.zfill(10))


def test_unix_seconds_are_a_place_to_poll_from() -> None:
    assert place_of("since", HERE, "0") == "0" * 10
    assert place_of("since", HERE, "1790800000") == "1790800000"


def test_a_token_shows_no_more_than_a_sort_key() -> None:
    text = base64.urlsafe_b64decode(token_of("since", "CONV#15550100101#x", f"{7:010d}") + "==").decode()

    assert text.endswith(f"{7:010d}")
    assert "15550100101" not in text


# --- pages and polls ---


def test_two_listings_are_read_as_one() -> None:
    one, other = [entry(5, "a"), entry(3, "b")], [entry(4, "c"), entry(2, "d")]

    page = entries.page([one, other], 3, newest_first=True)

    assert ([own.timestamp for own in page.entries], page.more) == ([5, 4, 3], True)
    assert entries.page([one, other], 4, newest_first=True).more is False


def test_an_answer_says_how_to_go_on() -> None:
    first = tokens_after(Page([entry(1000, "b"), entry(900)], more=True), Window(2), HERE, NOW)
    assert place_of("cursor", HERE, str(first["cursor"])) == entry(900).place
    assert place_of("since", HERE, first["since"]) == f"{1000 - OVERLAP:010d}"
    assert tokens_after(Page([entry(1000)], more=False), Window(2), HERE, NOW)["cursor"] is None
    assert place_of("since", HERE, tokens_after(Page([], more=False), Window(2), HERE, NOW)["since"]) == "0" * 10


@pytest.mark.parametrize(
    ("page", "after", "goes_on"),
    [
        (Page([entry(1000), entry(1001)], more=True), f"{900:010d}", entry(1001).place),
        (Page([entry(1000), entry(1001)], more=False), f"{600:010d}", f"{1001 - OVERLAP:010d}"),
        (Page([entry(1000)], more=False), f"{900:010d}", f"{900:010d}"),
        (Page([], more=False), f"{900:010d}", f"{900:010d}"),
        (Page([entry(5)], more=False), f"{0:010d}", f"{0:010d}"),
    ],
)
def test_a_poll_goes_on_where_it_must_and_never_goes_back(page: Page, after: str, goes_on: str) -> None:
    told = tokens_after(page, Window(2, after=after), HERE, NOW)

    assert place_of("since", HERE, told["since"]) == goes_on
    assert (told["cursor"], told["more"]) == (None, page.more)


def test_a_message_of_the_future_hides_nothing_that_comes_now() -> None:
    told = tokens_after(Page([entry(NOW + 10**8)], more=False), Window(2), HERE, NOW)

    assert place_of("since", HERE, told["since"]) == f"{NOW - OVERLAP:010d}"


def test_a_page_is_cut_where_it_would_not_fit_but_never_to_nothing() -> None:
    page = Page([entry(3, "c"), entry(2, "b"), entry(1, "a")], more=False)
    half = LARGEST_ANSWER // 2

    assert entries.fitting(page, dict.fromkeys(page.ids, 10)) == page
    assert entries.fitting(page, dict.fromkeys(page.ids, half)) == Page(page.entries[:2], more=True)
    assert entries.fitting(page, dict.fromkeys(page.ids, LARGEST_ANSWER * 2)) == Page(page.entries[:1], more=True)


# --- changes ---


def test_the_newest_edit_and_the_deletion_of_each_message_count() -> None:
    about = "z" * 26
    listed = [
        entry(7, "b", f"EDIT#{7:010d}#", about=about),
        entry(5, "a", f"EDIT#{5:010d}#", about=about),
        entry(9, "c", f"REVOKE#{9:010d}#", about=about),
        entry(9, "d", "STATUS#read#x", about="y" * 26),
    ]

    assert entries.changes_of(listed) == {about: Changes((7, "b" * 26), 9), "y" * 26: Changes()}


def test_changes_are_looked_for_from_the_oldest_message_of_a_page_on() -> None:
    span = entries.when_changed([entry(1000, "b"), entry(900)])

    assert span is not None
    assert span[0] <= entry(900).place
    assert entry(1000 + 3 * 24 * 3600, "z").place <= span[1]
    assert entries.when_changed([]) is None
    assert entries.when_changed([entry(9_999_999_999)]) == ("9999999999", "9999999999#~")


# --- requests and scopes ---


def test_a_request_without_more_asks_for_a_page_of_fifty() -> None:
    assert window_in({}, HERE) == Window(50)
    assert window_in({"limit": "100"}, HERE).limit == 100


def test_a_number_is_needed() -> None:
    assert number_in({"phone_number_id": "1"}) == "1"
    for query in ({}, {"phone_number_id": ""}):
        with pytest.raises(InvalidRequest):
            number_in(query)


@pytest.mark.parametrize(
    ("scope", "lists"),
    [
        (Scope(phone_numbers=["1"]), True),
        (Scope(phone_numbers=["*"]), True),
        (Scope(phone_numbers=["2"]), False),
        (Scope(conversation="b"), True),
        (Scope(conversation="c"), False),
        (Scope(phone_numbers=["1"], conversation="a"), True),
        (Scope(phone_numbers=["2"], conversation="a"), False),
        (Scope(phone_numbers=["1"], message="m"), False),
        (Scope(message="m"), False),
        (Scope(), False),
    ],
)
def test_a_conversation_is_seen_by_who_may_see_all_of_it(scope: Scope, lists: bool) -> None:
    assert scope.lists(phone_number_id="1", contact_ids=("a", "b")) is lists
