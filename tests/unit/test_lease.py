"""A lease is renewed while bytes come, and lost to a later attempt."""

from collections.abc import Iterator

import pytest

from inbound.errors import StoreUnavailable
from media_proxy.lease import SECONDS, Lease, LeaseLost


class Table:
    """What renews leases: it remembers by whom it was asked, and may refuse or fail."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.holds = True
        self.fails = False

    def renew(self, fence: int) -> bool:
        self.asked.append(fence)
        if self.fails:
            raise StoreUnavailable
        return self.holds


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def chunks(clock: Clock, count: int, pause: float) -> Iterator[bytes]:
    for _ in range(count):
        clock.now += pause
        yield b"x"


def test_a_lease_is_not_renewed_before_half_of_it_is_gone(table: Table, clock: Clock) -> None:
    lease = Lease(7, table.renew, clock)

    clock.now += SECONDS / 2 - 0.1
    lease.keep()

    assert table.asked == []


def test_a_lease_is_renewed_each_time_that_half_of_it_is_gone(table: Table, clock: Clock) -> None:
    lease = Lease(7, table.renew, clock)

    read = list(lease.over(chunks(clock, count=100, pause=1)))

    assert len(read) == 100
    assert table.asked == [7] * 4  # every 23 s


def test_a_lost_lease_stops_the_reading(table: Table, clock: Clock) -> None:
    lease = Lease(7, table.renew, clock)
    table.holds = False

    with pytest.raises(LeaseLost):
        list(lease.over(chunks(clock, count=100, pause=1)))

    assert table.asked == [7]


def test_a_table_that_does_not_answer_costs_no_download(table: Table, clock: Clock) -> None:
    lease = Lease(7, table.renew, clock)
    table.fails = True

    assert len(list(lease.over(chunks(clock, count=50, pause=1)))) == 50
