"""What is remembered: for how long, what covers up a failure, and for how long that."""

import traceback
from collections.abc import Callable

import pytest

from inbound.cached import LIFETIME, PAUSE, Cached
from tests.clock import Clock


class Unreadable(Exception):
    pass


class Source:
    """Gives the number of the reading, unless it is down."""

    def __init__(self) -> None:
        self.count = 0
        self.down = False
        self.noted: list[str] = []

    def read(self) -> int:
        self.count += 1
        if self.down:
            raise Unreadable(self.count)
        return self.count

    def note(self, fault: Exception) -> None:
        self.noted.append(str(fault))


@pytest.fixture(name="source")
def _source() -> Source:
    return Source()


def cached(source: Source, clock: Clock, **options: float) -> Cached[int]:
    return Cached(source.read, (Unreadable,), source.note, clock=clock, **options)


def test_a_value_covers_up_as_long_as_it_endures_and_no_longer(source: Source, clock: Clock) -> None:
    value = cached(source, clock, endures=3 * LIFETIME)
    assert value.get() == 1
    source.down = True

    for _ in range(2):
        clock.passes(LIFETIME + 1)
        assert value.get() == 1
    assert source.noted == ["2", "3"]

    clock.passes(LIFETIME)
    with pytest.raises(Unreadable, match="4"):
        value.refreshed()
    with pytest.raises(Unreadable, match="5"):
        value.get()
    source.down = False
    assert value.get() == 6


def test_it_endures_from_its_own_reading_not_from_the_last_try(source: Source, clock: Clock) -> None:
    value = cached(source, clock, endures=2 * LIFETIME)
    value.get()
    source.down = True
    for _ in range(6):
        clock.passes(PAUSE + 1)
        assert value.refreshed() == 1

    clock.passes(2 * LIFETIME - 6 * (PAUSE + 1) + 1)
    with pytest.raises(Unreadable):
        value.refreshed()


def test_without_a_limit_it_covers_up_for_ever(source: Source, clock: Clock) -> None:
    value = cached(source, clock)
    value.get()
    source.down = True

    clock.passes(1e9)
    assert value.get() == 1


@pytest.mark.parametrize("use", [Cached.get, Cached.refreshed])
def test_a_failure_that_nothing_covers_up_is_told_again_for_a_while_without_asking(
    source: Source, clock: Clock, use: Callable[[Cached[int]], int]
) -> None:
    value = cached(source, clock, rest=5)
    source.down = True

    for _ in range(10):
        with pytest.raises(Unreadable, match="1"):
            use(value)
        clock.passes(0.4)
    assert source.count == 1

    clock.passes(1)
    source.down = False
    assert use(value) == 2
    assert source.noted == []


def test_a_failure_that_is_told_often_does_not_grow(source: Source, clock: Clock) -> None:
    value = cached(source, clock, rest=5)
    source.down = True
    lengths = set()

    for _ in range(5):
        with pytest.raises(Unreadable) as caught:
            value.get()
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))

    assert len(lengths) == 1


def test_what_is_no_fault_of_the_source_is_not_covered_up(clock: Clock) -> None:
    def bug() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Cached(bug, (Unreadable,), lambda _: None, clock=clock).get()
