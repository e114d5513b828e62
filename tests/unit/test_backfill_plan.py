"""What becomes of a row, given what is stored already, and what the report says of it."""

from typing import Any

import pytest

from tests.builders import Json, any_media_id, image_message
from tools.backfill_plan import Decision, Known, Stored, Tally, details, plan, report
from tools.legacy_columns import Columns
from tools.legacy_rows import Legacy, legacy
from tools.seen_rows import SeenRows

NUMBER = "100000000000001"
NOW = 1_790_800_000
DAY = 24 * 3600


def row(values: Json | None = None, **more: Any) -> Legacy:
    return legacy(Columns().row({"id": 1, "type": "image", "timestamp": NOW, **(values or {}), **more}), NUMBER, 365)


def decided(*rows: Legacy, known: Known | None = None) -> list[Decision]:
    return plan(enumerate(rows, 1), known or Known(), NOW)


def one(legacy_row: Legacy, stored: Stored | None = None) -> Decision:
    known = Known({legacy_row.message_id: stored} if stored else {})
    (decision,) = decided(legacy_row, known=known)
    return decision


def tally_of(*rows: Legacy, known: Known | None = None) -> Tally:
    tally = Tally()
    for decision in decided(*rows, known=known):
        tally.add(decision)
    return tally


@pytest.mark.parametrize(
    ("values", "stored", "fate", "media"),
    [
        ({"providerMediaId": "41"}, None, "new", "loadable"),
        ({"providerMediaId": "41", "timestamp": NOW - 7 * DAY + 1}, None, "new", "loadable"),
        ({"providerMediaId": "41", "timestamp": NOW - 7 * DAY}, None, "new", "expired"),
        ({"providerMediaId": "41", "timestamp": None}, None, "new", "loadable"),
        ({"mediaUrl": "https://example.com/x.jpg"}, None, "new", "missing"),
        ({"type": "text", "body": "Hello"}, None, "new", None),
        ({"providerMediaId": "41"}, Stored(has_media_id=True), "already", "loadable"),
        ({"providerMediaId": "41"}, Stored(), "completed", "loadable"),
        ({}, Stored(has_media_id=True), "already", "loadable"),
        ({"providerMediaId": "41", "timestamp": NOW - 9 * DAY}, Stored(True, "cached"), "already", "cached"),
        ({"providerMediaId": "41"}, Stored(True, "failed"), "already", "failed"),
        ({"providerMediaId": "41"}, Stored(erased=True), "erased", None),
        ({"providerMediaId": "41"}, Stored(True, erased=True), "erased", None),
        ({"providerMediaId": "41", "timestamp": NOW - 365 * DAY}, None, "past_retention", None),
        ({"providerMediaId": "41", "timestamp": NOW - 364 * DAY}, None, "new", "expired"),
    ],
)
def test_a_message_is_stored_unless_it_must_not_and_its_media_loads_while_meta_has_it(
    values: Json, stored: Stored | None, fate: str, media: str | None
) -> None:
    decision = one(row(values), stored)

    assert (decision.fate, decision.media) == (fate, media)
    assert bool(decision.records) is (fate not in {"erased", "past_retention"})


@pytest.mark.parametrize(
    ("media", "fetched"),
    [("loadable", True), ("expired", False), ("cached", False), ("failed", False)],
)
def test_a_fetch_job_is_only_made_for_what_can_still_be_fetched(media: str, fetched: bool) -> None:
    stored = {"cached": Stored(True, "cached"), "failed": Stored(True, "failed")}.get(media)

    decision = one(row(providerMediaId="41", timestamp=NOW - (9 * DAY if media == "expired" else 0)), stored)

    assert decision.media == media
    assert [record.is_unsettled for record in decision.records] == [fetched]


@pytest.mark.parametrize(
    ("values", "before"),
    [
        ({"providerMediaId": "41"}, True),
        ({"providerMediaId": "41", "timestamp": NOW - 7 * DAY}, False),
        ({"mediaUrl": "41"}, False),
        ({"raw": image_message("41")}, False),
        ({"providerMediaId": "https://example.com/x"}, False),
    ],
)
def test_the_old_system_would_have_shown_what_its_own_column_names_and_meta_still_has(
    values: Json, before: bool
) -> None:
    assert one(row(values)).before is before


def test_an_old_id_that_stands_for_another_message_is_a_collision() -> None:
    rows = [row(id=7, wamid="wamid.1"), row(id=7, wamid="wamid.2"), row(id=7, wamid="wamid.1"), row(id=8)]
    known = Known(aliases={"8": "somebody-elses"})

    decisions = decided(*rows, known=known)

    assert [decision.alias for decision in decisions] == ["made", "collision", "there", "collision"]
    assert [found["line"] for found in details(decisions) if found["problem"] == "collision"] == [2, 4]


def test_an_old_id_that_is_the_message_id_itself_needs_no_alias() -> None:
    found = row(wamid="wamid.1")

    assert one(row(id=found.message_id, wamid="wamid.1")).alias is None


@pytest.mark.parametrize("stored", [Stored(erased=True), None])
def test_no_alias_is_made_for_what_is_not_stored(stored: Stored | None) -> None:
    found = row(providerMediaId="41", timestamp=NOW if stored else NOW - 400 * DAY)

    assert one(found, stored).alias is None


def test_a_message_that_stands_in_the_file_twice_is_counted_once_and_both_its_old_ids_work() -> None:
    rows = [row(id=1, wamid="wamid.1", providerMediaId="41"), row(id=2, wamid="wamid.1", providerMediaId="41")]

    counts = tally_of(*rows).counts

    assert (counts["rows"], counts["new"], counts["repeated"]) == (2, 1, 1)
    assert (counts["media_messages"], counts["alias_made"]) == (1, 2)


def test_what_an_earlier_part_of_the_file_planned_is_known_to_the_later_one() -> None:
    with SeenRows() as seen:
        known = Known()
        plan([(1, row(id=7, wamid="wamid.1"))], known, NOW)
        seen.add(known)

        later = row(id=7, wamid="wamid.2")
        again = row(id=9, wamid="wamid.1", providerMediaId="41")
        found = seen.known([later.message_id, again.message_id], ["7", "9"])

    assert [d.alias for d in decided(later, again, known=found)] == ["collision", "made"]
    assert found.messages[again.message_id].earlier_row


def test_every_message_with_media_has_one_outcome_and_the_sums_agree() -> None:
    rows = [
        row(id=1, providerMediaId=any_media_id()),
        row(id=2, mediaUrl=any_media_id()),
        row(id=3, raw=image_message()),
        row(id=4, raw=image_message(), timestamp=None),
        row(id=5, providerMediaId=any_media_id(), timestamp=NOW - 8 * DAY),
        row(id=6),
        row(id=7, type="text", body="Hello"),
        row(id=8),
    ]
    known = Known({rows[7].message_id: Stored(True, "cached")})

    tally = tally_of(*rows, known=known)

    counts = tally.counts
    assert (counts["rows"], counts["messages"], counts["media_messages"]) == (8, 8, 7)
    assert counts["cached"] + counts["loadable"] + counts["expired"] + counts["missing"] == 7
    assert (counts["before"], counts["after"]) == (1, 5)
    assert (counts["expired"], counts["missing"], counts["cached"]) == (1, 1, 1)
    assert dict(tally.loadable_by_source) == {
        "provider_media_id": 1,
        "media_url": 1,
        "raw": 2,
        "stored before": 0,
    }


def test_a_tally_goes_on_where_it_was_saved() -> None:
    tally = tally_of(row(providerMediaId="41"), row(id=1, wamid="wamid.2"))
    tally.add_bad(3, "not JSON")

    assert Tally.of(tally.state()).state() == tally.state()


def test_the_report_says_what_loads_before_and_after_and_names_the_first_bad_lines() -> None:
    tally = tally_of(*(row(id=place, providerMediaId="41") for place in range(1500)))
    for line in range(30):
        tally.add_bad(line, "not JSON")

    text = report(tally, applied=False, offline=True)

    assert "Dry run: nothing was written" in text
    assert "The table was not asked" in text
    assert any(line.split() == ["would", "load", "after", "1", "500", "100.0", "%"] for line in text.splitlines())
    assert "  0: not JSON" in text
    assert "… and 10 more" in text
