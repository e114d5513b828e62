"""Which app may write to which number. Pure."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from webhook import payload
from webhook.payload import Delivery, Record

if TYPE_CHECKING:
    from inbound.credentials import App


class Permitted(NamedTuple):
    """Records to store, and how many were dropped because their number belongs to another app only."""

    kept: list[Record]
    foreign: int


def permitted(
    records: Iterable[Record], signed_by: frozenset[str], apps: "Mapping[str, App]", delivery: Delivery
) -> Permitted:
    """Let an app write to its own numbers.

    What it says of another app's number is dropped. What it says of a number that no app is bound to is kept as an
    event: most likely the number is new and its binding was forgotten, and then nothing may be lost.
    """
    kept: list[Record] = []
    foreign = 0
    for record in records:
        if record.number is None or any(apps[app_id].owns(record.number) for app_id in signed_by):
            kept.append(record)
        elif any(app.owns(record.number) for app in apps.values()):
            foreign += 1
        elif record.model == "Event":
            kept.append(record)
        else:
            kept.append(payload.event(record.attributes, "number_not_bound", delivery))
    return Permitted(kept, foreign)
