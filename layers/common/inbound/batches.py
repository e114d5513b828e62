"""Many small calls as few large ones: pieces of a size, threads side by side, pauses between tries."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from inbound.clients import CONNECTIONS

Task = TypeVar("Task")
Result = TypeVar("Result")

TRIES = 6
FIRST_PAUSE = 0.05  # seconds; doubles, with full jitter


def chunks(things: Sequence[Task], size: int) -> Iterator[Sequence[Task]]:
    """Give the things in pieces of a size; the last may be smaller."""
    return (things[start : start + size] for start in range(0, len(things), size))


def in_parallel(work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    """Do the tasks, in threads when there are many; the first failure is raised after all have ended.

    Clients that the work uses must have been made before: making one is not thread-safe.
    """
    if len(tasks) <= 1:
        return [work(task) for task in tasks]
    with ThreadPoolExecutor(min(len(tasks), CONNECTIONS)) as threads:
        return list(threads.map(work, tasks))


def pauses() -> Iterator[float]:
    """Give the pause after each try, in seconds: exponential, with full jitter."""
    return (random.uniform(0, FIRST_PAUSE * 2**attempt) for attempt in range(TRIES))
