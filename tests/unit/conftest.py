"""What several unit tests stand on."""

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inbound import observability
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What our logger writes, in the form in which it leaves."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(observability.logger.registered_formatter)
    observability.logger.addHandler(handler)
    yield written
    logging.getLogger(observability.logger.name).removeHandler(handler)


@pytest.fixture
def mislead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Make the environment lead HTTP clients to a proxy, with a password of its own for this machine."""

    def lead_to(proxy: str) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password else\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)

    return lead_to
