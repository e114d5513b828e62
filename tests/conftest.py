"""Which tests may run side by side: `make test` uses all processors."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares a running system, and what starts and stops processes of its own."""
    for item in items:
        if item.path.is_relative_to(HERE / "integration"):
            item.add_marker(pytest.mark.xdist_group("system"))
        elif item.path.name.startswith("test_local_"):
            item.add_marker(pytest.mark.xdist_group("local"))
