"""What is to become of each row of an old table, and the sum of it. Pure: what is stored comes from outside."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

from inbound.media import KEPT_BY_META, key_part
from tools.legacy_rows import Legacy, settled
from webhook.payload import Record

# new: not stored yet; completed: stored, but without the media id that this row has; already: stored;
# repeated: an earlier row is the same message; erased: must not come back; past_retention: would be deleted at once.
Fate = Literal["new", "completed", "already", "repeated", "erased", "past_retention"]
# cached: in our bucket; loadable: Meta still has it; expired: Meta kept it for 7 days; failed: tried and given up;
# missing: no id in any of the three places.
Outcome = Literal["cached", "loadable", "expired", "failed", "missing"]
AliasFate = Literal["made", "there", "collision"]

KEPT: frozenset[Fate] = frozenset({"new", "completed", "already", "repeated"})
STORED = "stored before"  # where the media id comes from when only the table has it
FIRST_FEW = 20  # lines that the report names; --details names all


class Stored(NamedTuple):
    """What is known of a message: in the table, or planned because of an earlier row of the file."""

    has_media_id: bool = False
    media: Literal["cached", "failed"] | None = None
    erased: bool = False
    earlier_row: bool = False


@dataclass(slots=True)
class Known:
    """What is known beforehand: messages by message id, and which message id an old id stands for."""

    messages: dict[str, Stored] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the message of one row. `before` tells whether the old system would have shown its media."""

    line: int
    legacy: Legacy
    fate: Fate
    media: Outcome | None
    alias: AliasFate | None
    before: bool

    @property
    def records(self) -> tuple[Record, ...]:
        """What to write: nothing, or the message; without a fetch job when there is nothing left to fetch."""
        if self.fate not in KEPT:
            return ()
        return settled(self.legacy.records) if _is_settled(self) else self.legacy.records


def _is_settled(decision: Decision) -> bool:
    return decision.media in {"cached", "failed", "expired"}


def plan(rows: Iterable[tuple[int, Legacy]], known: Known, now: int) -> list[Decision]:
    """Decide about rows (each with its line), in order: what an earlier one does is known to the later ones.

    `now` is in Unix seconds. `known` is brought up to date.
    """
    decisions = []
    for line, legacy in rows:
        decision = _decision(line, legacy, known, now)
        _note(decision, known)
        decisions.append(decision)
    return decisions


def _decision(line: int, legacy: Legacy, known: Known, now: int) -> Decision:
    stored = known.messages.get(legacy.message_id)
    fate = _fate(legacy, stored, now)
    kept = fate in KEPT
    fresh = _is_fresh(legacy, now)
    return Decision(
        line=line,
        legacy=legacy,
        fate=fate,
        media=_outcome(legacy, stored or Stored(), fresh=fresh) if kept else None,
        alias=_alias_fate(legacy, known) if kept else None,
        before=kept and legacy.column and fresh,
    )


def _fate(legacy: Legacy, stored: Stored | None, now: int) -> Fate:
    if stored is not None and stored.erased:
        return "erased"
    if legacy.ttl is not None and legacy.ttl <= now:
        return "past_retention"
    if stored is None:
        return "new"
    if stored.earlier_row:
        return "repeated"
    return "completed" if legacy.source is not None and not stored.has_media_id else "already"


def _is_fresh(legacy: Legacy, now: int) -> bool:
    """Tell whether Meta still has the media; what has no time may be young."""
    return not legacy.timestamp or now - legacy.timestamp < KEPT_BY_META


def _outcome(legacy: Legacy, stored: Stored, *, fresh: bool) -> Outcome | None:
    if stored.media is not None:
        return stored.media
    if not legacy.is_media and not stored.has_media_id:
        return None
    if legacy.source is None and not stored.has_media_id:
        return "missing"
    return "loadable" if fresh else "expired"


def _alias_fate(legacy: Legacy, known: Known) -> AliasFate | None:
    if legacy.old_id is None or key_part(legacy.old_id) == legacy.message_id:
        return None
    target = known.aliases.get(legacy.old_id)
    if target is None:
        return "made"
    return "there" if target == legacy.message_id else "collision"


def _note(decision: Decision, known: Known) -> None:
    """Let later rows know of this one."""
    legacy = decision.legacy
    if decision.fate in KEPT:
        other = known.messages.get(legacy.message_id, Stored())
        has_media_id = other.has_media_id or legacy.source is not None
        known.messages[legacy.message_id] = other._replace(has_media_id=has_media_id, earlier_row=True)
    if decision.alias == "made" and legacy.old_id is not None:
        known.aliases[legacy.old_id] = legacy.message_id


# --- the sum ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """Counts over all rows, and the first few lines that somebody should look at."""

    counts: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    loadable_by_source: Counter[str] = field(default_factory=Counter)
    first_bad_lines: list[tuple[int, str]] = field(default_factory=list)
    first_collisions: list[int] = field(default_factory=list)

    def add_bad(self, line: int, problem: str) -> None:
        """Count a line that is no message."""
        self.counts["rows"] += 1
        self.counts["bad_lines"] += 1
        if len(self.first_bad_lines) < FIRST_FEW:
            self.first_bad_lines.append((line, problem))

    def add(self, decision: Decision) -> None:
        """Count a message."""
        self.counts["rows"] += 1
        self.counts["messages"] += 1
        self.counts[decision.fate] += 1
        if decision.alias is not None:
            self.counts[f"alias_{decision.alias}"] += 1
        if decision.alias == "collision" and len(self.first_collisions) < FIRST_FEW:
            self.first_collisions.append(decision.line)
        if decision.legacy.timestamp == 0:
            self.counts["without_time"] += 1
        if decision.media is not None and decision.fate != "repeated":
            self._add_media(decision, decision.media)

    def _add_media(self, decision: Decision, media: Outcome) -> None:
        self.counts["media_messages"] += 1
        self.counts[media] += 1
        self.counts["before"] += decision.before
        self.counts["after"] += media in {"cached", "loadable"}
        if media != "missing":
            source = decision.legacy.source or STORED
            self.sources[source] += 1
            self.loadable_by_source[source] += media == "loadable"

    def state(self) -> dict[str, Any]:
        """Give all of it as JSON can hold it."""
        return {
            "counts": {name: self.counts[name] for name in COUNTS},
            "sources": {name: self.sources[name] for name in SOURCES},
            "loadable_by_source": {name: self.loadable_by_source[name] for name in SOURCES},
            "first_bad_lines": self.first_bad_lines,
            "first_collisions": self.first_collisions,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Tally":
        """Make a tally go on where another one was saved."""
        return cls(
            Counter(state["counts"]),
            Counter(state["sources"]),
            Counter(state["loadable_by_source"]),
            [(line, problem) for line, problem in state["first_bad_lines"]],
            list(state["first_collisions"]),
        )


SOURCES = ("provider_media_id", "media_url", "raw", STORED)
COUNTS = (
    "rows",
    "bad_lines",
    "messages",
    *get_args(Fate),
    "without_time",
    "media_messages",
    "before",
    "after",
    *get_args(Outcome),
    *(f"alias_{fate}" for fate in get_args(AliasFate)),
)


def details(decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    """Name each message whose media will not load, and each old id that is taken."""
    found = []
    for decision in decisions:
        about = {"line": decision.line, "message_id": decision.legacy.message_id}
        if decision.media in {"missing", "expired", "failed"}:
            found.append({**about, "problem": decision.media})
        if decision.alias == "collision":
            found.append({**about, "problem": "collision"})
    return found


def without_alias_race(decision: Decision, target: str) -> Decision:
    """Correct a decision when its old id was taken between reading and writing; `target` is what it stands for now."""
    return replace(decision, alias="there" if target == decision.legacy.message_id else "collision")


def report(tally: Tally, *, applied: bool, offline: bool) -> str:
    """Tell the sum in words."""
    c, verb = tally.counts, "were" if applied else "would be"
    return "\n".join(
        [
            "Written." if applied else "Dry run: nothing was written (--apply writes).",
            *(["The table was not asked: what is stored already is not known."] if offline else []),
            "",
            _line("rows", c["rows"]),
            _line("  bad lines", c["bad_lines"]),
            _line("  messages", c["messages"]),
            _line(f"    that {verb} stored", c["new"]),
            _line(f"    that {verb} given the media id they lacked", c["completed"]),
            _line("    stored already", c["already"]),
            _line("    repeated in the file", c["repeated"]),
            _line("    erased, and left so", c["erased"]),
            _line("    past the retention, not stored", c["past_retention"]),
            _line("    without a time that makes sense", c["without_time"]),
            "",
            _line("messages with media", c["media_messages"]),
            _line("  would load before", c["before"], c["media_messages"]),
            _line("  would load after", c["after"], c["media_messages"]),
            _line("    in our bucket already", c["cached"]),
            *(_line(f"    from {source}", tally.loadable_by_source[source]) for source in SOURCES),
            _line("  past the 7 days that Meta keeps media", c["expired"]),
            _line("  tried before, and given up", c["failed"]),
            _line("  without a media id in any of the three places", c["missing"]),
            "media ids found in",
            *(_line(f"  {source}", tally.sources[source]) for source in SOURCES),
            "",
            _line(f"old ids that {verb} made to work", c["alias_made"]),
            _line("  that worked already", c["alias_there"]),
            _line("  that stand for another message: collisions", c["alias_collision"]),
            *_named("bad lines", [f"{line}: {problem}" for line, problem in tally.first_bad_lines], c["bad_lines"]),
            *_named("collisions on lines", [str(line) for line in tally.first_collisions], c["alias_collision"]),
        ]
    )


def _line(label: str, count: int, of: int | None = None) -> str:
    share = f"  {100 * count / of:5.1f} %" if of else ""
    return f"{label:<52}{f'{count:,}'.replace(',', ' '):>11}{share}"


def _named(title: str, lines: list[str], count: int) -> list[str]:
    if not lines:
        return []
    more = [f"  … and {count - len(lines)} more (--details names all)"] if count > len(lines) else []
    return ["", title, *(f"  {line}" for line in lines), *more]
