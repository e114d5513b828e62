"""A progress bar on standard error; silent where that is no terminal."""

import sys
from typing import NoReturn

from tqdm import tqdm


def bar(total: int | None, *, done: int = 0, unit: str = "B") -> "tqdm[NoReturn]":
    """Show a bar for `total` units (None: unknown), `done` of which are behind us. Close it, or use it in a `with`."""
    scale = {"unit_scale": True, "unit_divisor": 1024} if unit == "B" else {"unit_scale": False, "unit_divisor": 1000}
    return tqdm(
        total=total,
        initial=done,
        unit=unit if unit == "B" else f" {unit}",
        unit_scale=scale["unit_scale"],
        unit_divisor=int(scale["unit_divisor"]),
        disable=None,
        file=sys.stderr,
        leave=False,
        mininterval=0.5,
    )
