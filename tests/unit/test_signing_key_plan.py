"""Which signing keys there shall be: rotation, going back, leaks; and that no living link ever loses its key."""

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inbound.cached import LIFETIME
from inbound.errors import TooManySigningKeys
from media_proxy import signing
from signing_key.plan import HOUR, KNOWN_EVERYWHERE, LONGEST_LIFE, MOST, SOON, Plan, plan
from signing_key.stored_keys import StoredKey

NOW = 1_790_800_000
calm = settings(deadline=None, max_examples=300)


def key(version: str, active_from: float, key_id: str = "") -> StoredKey:
    return StoredKey(key_id=key_id or f"K{version}", pem="pem", active_from=active_from, version=version)


def wished(keys: list[StoredKey], version: str, now: int = NOW, *, keep_old: bool = True) -> Plan:
    return plan(keys, version, now, keep_old=keep_old)


numbers = itertools.count(1)


def carried_out(keys: list[StoredKey], version: str, now: int, *, keep_old: bool = True) -> list[StoredKey]:
    """Do what a plan says, as the function does."""
    planned = plan(keys, version, now, keep_old=keep_old)
    new = [] if planned.new_from is None else [key(version, planned.new_from, f"K{version}-{next(numbers)}")]
    return [*new, *planned.keys]


def shown(keys: list[StoredKey]) -> list[tuple[str, float]]:
    return [(one.version, one.active_from) for one in keys]


# --- the figures that it rests on ---------------------------------------------------------------------------


def test_a_key_stays_longer_than_any_link_that_it_signed() -> None:
    assert LONGEST_LIFE >= 2 * signing.LONG_WINDOW + LIFETIME + HOUR / 2


def test_a_key_that_functions_may_still_remember_counts_as_used() -> None:
    assert SOON >= 2 * LIFETIME
    assert KNOWN_EVERYWHERE - SOON >= 20 * 60


# --- create and rotate --------------------------------------------------------------------------------------


def test_the_first_key_signs_at_once() -> None:
    assert wished([], "1") == Plan((), 0)


def test_a_new_version_signs_when_every_edge_knows_it_and_the_old_key_stays() -> None:
    old = key("1", 0)

    assert wished([old], "2") == Plan((old,), NOW + KNOWN_EVERYWHERE)


@pytest.mark.parametrize("later", [0, 1, 10 * HOUR, 1000 * HOUR])
def test_the_same_version_again_changes_nothing(later: int) -> None:
    keys = [key("2", NOW + KNOWN_EVERYWHERE), key("1", 0), key("0", -5)]

    assert wished(keys, "2", NOW + later) == Plan(tuple(keys))


def test_the_previous_key_stays_however_long_ago_it_was_active() -> None:
    old = key("1", NOW - 10_000 * HOUR)

    assert wished([old], "2").keys == (old,)


def test_older_keys_go_when_no_link_of_theirs_can_live() -> None:
    just, gone = NOW - LONGEST_LIFE + 1, NOW - LONGEST_LIFE
    keys = [key("3", NOW - 10), key("2", just), key("1", 0)]

    assert [one.version for one in wished(keys, "4").keys] == ["3", "2", "1"]
    keys[1] = key("2", gone)
    assert [one.version for one in wished(keys, "4").keys] == ["3", "2"]


def test_a_key_whose_time_never_came_goes_when_another_version_is_wished() -> None:
    keys = [key("2", NOW + SOON + 1), key("1", 0)]

    assert wished(keys, "3") == Plan((keys[1],), NOW + KNOWN_EVERYWHERE)


def test_a_key_whose_time_is_about_to_come_stays() -> None:
    keys = [key("2", NOW + SOON), key("1", 0)]

    assert wished(keys, "3").keys == tuple(keys)


def test_more_keys_than_cloudfront_takes_are_refused() -> None:
    keys = [key(str(number), NOW - 10 * (6 - number)) for number in range(1, MOST + 1)]

    assert len(wished(keys[1:], "9").keys) == MOST - 1
    with pytest.raises(TooManySigningKeys) as refused:
        wished(keys, "9")
    assert str(MOST) in refused.value.detail


def test_a_key_that_an_operator_made_is_a_key_like_others() -> None:
    by_hand = StoredKey.model_validate({"key_id": "K0", "pem": "pem", "active_from": 0})

    assert wished([by_hand], "1") == Plan((by_hand,), NOW + KNOWN_EVERYWHERE)


def test_the_order_in_the_secret_does_not_matter() -> None:
    keys = [key("1", 0), key("2", NOW - 10)]

    assert wished(keys, "2").keys == (keys[1], keys[0])


# --- go back ------------------------------------------------------------------------------------------------


def test_going_back_before_the_new_key_was_active_restores_what_was() -> None:
    before = [key("1", 0)]
    rotated = carried_out(before, "2", NOW)

    assert carried_out(rotated, "1", NOW + 60) == before


def test_going_back_later_lets_the_old_key_sign_at_once_and_keeps_the_other_for_its_links() -> None:
    rotated = [key("2", NOW - HOUR), key("1", 0)]

    assert shown(carried_out(rotated, "1", NOW)) == [("1", NOW), ("2", NOW - HOUR)]


def test_going_back_when_functions_may_just_begin_to_sign_keeps_the_other_and_it_never_signs_again() -> None:
    rotated = [key("2", NOW + 60), key("1", 0)]

    keys = carried_out(rotated, "1", NOW)

    assert shown(keys) == [("1", NOW), ("2", NOW - 1)]
    assert all(signing.active_key(keys, NOW + later).version == "1" for later in (0, 61, HOUR))  # type: ignore[attr-defined]


def test_going_forth_again_makes_a_new_key_of_that_version() -> None:
    keys = carried_out(carried_out(carried_out([key("1", 0)], "2", NOW), "1", NOW + 1), "2", NOW + 2)

    assert shown(keys) == [("2", NOW + 2 + KNOWN_EVERYWHERE), ("1", 0)]


# --- a leak -------------------------------------------------------------------------------------------------


def test_a_leaked_key_goes_at_once_and_the_new_one_signs_at_once() -> None:
    assert wished([key("1", 0)], "2", keep_old=False) == Plan((), 0)


def test_a_leak_after_a_rotation_leaves_the_key_of_the_rotation_alone() -> None:
    pending = [key("2", NOW + 900), key("1", 0)]

    assert shown(list(wished(pending, "2", keep_old=False).keys)) == [("2", NOW)]
    assert wished(pending, "2", keep_old=False).new_from is None


def test_going_back_does_not_bring_a_leaked_key_back() -> None:
    keys = carried_out([key("1", 0)], "2", NOW, keep_old=False)

    back = carried_out(keys, "1", NOW + 60)

    assert shown(back) == [("1", NOW + 60 + KNOWN_EVERYWHERE), ("2", 0)]
    assert back[0].key_id != "K1"


# --- without a key that signs -------------------------------------------------------------------------------


def test_a_key_that_is_left_alone_does_not_wait_for_its_time() -> None:
    assert shown(list(wished([key("2", NOW + 900)], "2").keys)) == [("2", NOW)]


# --- whatever happens ---------------------------------------------------------------------------------------


@dataclass
class Life:
    """A stack: its secret over time, and what its key group holds over time."""

    secret: list[tuple[int, list[StoredKey]]] = field(default_factory=list)
    group: list[tuple[int, set[str]]] = field(default_factory=list)

    def ask(self, version: str, now: int) -> None:
        known = self.secret[-1][1] if self.secret else []
        try:
            keys = carried_out(known, version, now)
        except TooManySigningKeys:
            return
        self.secret.append((now, keys))
        self.group.append((now, {one.key_id for one in keys}))

    def signers(self, moment: int) -> set[str]:
        """Give the keys that functions may sign with at a moment: some have read the secret just now, some long ago."""
        seen = [keys for start, keys in self.secret if start <= moment]
        read_lately = [keys for start, keys in self.secret if moment - LIFETIME < start <= moment]
        before = seen[: len(seen) - len(read_lately)][-1:]
        return {signing.active_key(keys, moment).key_id for keys in [*before, *read_lately]}

    def accepted(self, key_id: str, start: int, end: int) -> bool:
        """Tell whether the key group holds a key all the time."""
        begins = [moment for moment, _ in self.group]
        ends = [*begins[1:], end + 1]
        spans = zip(begins, ends, (keys for _, keys in self.group), strict=True)
        return all(key_id in keys for begin, stop, keys in spans if stop > start and begin < end)

    def known_since(self, key_id: str, moment: int) -> int:
        since = moment
        for begin, keys in reversed([own for own in self.group if own[0] <= moment]):
            if key_id not in keys:
                break
            since = begin
        return since


steps = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "3", "4"]),
        st.integers(1, 40 * HOUR)
        | st.integers(1, 2400)
        | st.sampled_from([1, 60, 300, 1500, 1790, 1800, 1801, 46_800]),
    ),
    min_size=1,
    max_size=9,
)


def lived(story: list[tuple[str, int]]) -> Life:
    life, now = Life(), NOW
    for version, pause in story:
        life.ask(version, now)
        now += pause
    return life


def moments(life: Life) -> set[int]:
    """Give the moments at which something changes, and those beside them."""
    changes = {start for start, _ in life.secret} | {int(one.active_from) for _, keys in life.secret for one in keys}
    beside = (-1, 0, 1, 30, int(LIFETIME) - 1, int(LIFETIME), 600, HOUR)
    return {change + step for change in changes for step in beside if change + step >= NOW}


@calm
@given(steps)
def test_every_link_is_accepted_as_long_as_it_lives(story: list[tuple[str, int]]) -> None:
    life = lived(story)

    for moment in moments(life):
        for key_id in life.signers(moment):
            assert life.accepted(key_id, moment, moment + 2 * signing.LONG_WINDOW), (story, moment - NOW, key_id)


@calm
@given(steps)
def test_no_key_signs_before_the_edges_know_it(story: list[tuple[str, int]]) -> None:
    life = lived(story)
    first = life.secret[0][1][0].key_id

    for moment in moments(life):
        for key_id in life.signers(moment) - {first}:
            assert moment - life.known_since(key_id, moment) >= KNOWN_EVERYWHERE - SOON, (story, moment - NOW, key_id)


@calm
@given(steps, st.booleans(), st.integers(0, 100 * HOUR))
def test_asking_again_changes_nothing(story: list[tuple[str, int]], keep_old: bool, later: int) -> None:
    known = lived(story).secret[-1][1]
    version, now = story[-1][0], NOW + 10**7
    keys = carried_out(known, version, now, keep_old=keep_old)

    assert plan(keys, version, now + later, keep_old=keep_old) == Plan(tuple(keys))


@calm
@given(
    st.lists(
        st.tuples(st.sampled_from("123456"), st.integers(0, 2 * NOW) | st.integers(NOW - 900, NOW + 2400)), max_size=7
    ),
    st.sampled_from("123456"),
    st.booleans(),
)
@example([("1", NOW + 1), ("1", NOW + 1)], "1", True)
def test_whatever_the_secret_holds_one_key_signs_and_the_wished_one_leads(
    held: list[tuple[str, int]], version: str, keep_old: bool
) -> None:
    known = [key(one, active_from, f"K{place}") for place, (one, active_from) in enumerate(held)]
    try:
        keys = carried_out(known, version, NOW, keep_old=keep_old)
    except TooManySigningKeys:
        return

    assert keys[0].version == version
    assert [one.active_from for one in keys] == sorted((one.active_from for one in keys), reverse=True)
    assert any(one.active_from <= NOW for one in keys)
    assert keep_old or len(keys) == 1
    assert len({one.key_id for one in keys}) == len(keys)
