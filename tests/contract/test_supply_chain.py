"""No Python package is installed, and no action is run, but what was locked."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCKS = sorted([*ROOT.glob("requirements/*.txt"), ROOT / "layers/common/requirements.txt"])
MAKEFILES = [ROOT / "Makefile", ROOT / "layers/common/Makefile", ROOT / "functions/Makefile"]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
EVERY_LOCK = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
PINNED = r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
UV = Path(sys.executable).parent / "uv"


def entries(lock: Path) -> list[str]:
    """Give the entries of a lock, each a requirement with its hashes, without comments."""
    text = re.sub(r"(?m)^ *#.*\n", "", lock.read_text("utf-8"))
    return re.split(r"\n(?! )", text.strip())


@EVERY_LOCK
def test_every_entry_of_a_lock_is_a_version_with_hashes_and_no_address(lock: Path) -> None:
    assert len(entries(lock)) > 0
    for entry in entries(lock):
        first, *hashes = entry.split(" \\\n    ")
        assert re.fullmatch(r"[a-z0-9._-]+==[A-Za-z0-9.!+_-]+( ; [^@]+)?", first)
        assert hashes
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", one) for one in hashes)


def test_every_input_has_its_lock_and_every_lock_its_input() -> None:
    inputs = [*ROOT.glob("requirements/*.in"), ROOT / "layers/common/requirements.in"]

    assert {path.with_suffix("") for path in inputs} == {path.with_suffix("") for path in LOCKS}


def installs(makefile: Path) -> list[str]:
    """Give the commands of a makefile that install something, each in one line."""
    return [line for line in makefile.read_text("utf-8").replace("\\\n", " ").splitlines() if "pip install" in line]


def test_whatever_make_installs_is_held_against_its_hashes() -> None:
    found = [line for makefile in MAKEFILES for line in installs(makefile)]
    # The project itself is installed as it lies here, and brings nothing.
    own = [line for line in found if line.endswith("--no-deps --no-build-isolation --editable .")]

    assert len(found) >= 4
    assert len(own) == 1
    for line in set(found) - set(own):
        assert "--require-hashes" in line
        assert "--no-deps" in line
        assert "--index" not in line


# --- it really refuses ---


def as_locked(entry: str) -> str:
    return entry


def tampered(entry: str) -> str:
    """Change the first digit of each hash."""
    return re.sub("sha256:(.)", lambda match: f"sha256:{'0' if match[1] != '0' else '1'}", entry)


def bare(entry: str) -> str:
    """Leave the hashes out."""
    return entry.partition(" \\\n")[0]


def cut_down(lock: Path, package: str, bend: Callable[[str], str], place: Path) -> None:
    """Write a lock with one small package of another."""
    (entry,) = [own for own in entries(lock) if own.startswith(f"{package}==")]
    place.write_text(bend(entry) + "\n", "utf-8")


BENDS = pytest.mark.parametrize(
    ("bend", "why"),
    [(as_locked, ""), (tampered, "hash"), (bare, "hash")],
    ids=["as locked", "another hash", "no hash"],
)


@BENDS
def test_an_install_takes_nothing_but_what_is_locked(tmp_path: Path, bend: Callable[[str], str], why: str) -> None:
    lock, to = tmp_path / "lock.txt", tmp_path / "to"
    cut_down(ROOT / "requirements/dev.txt", "annotated-types", bend, lock)
    command: list[str | Path] = [UV, "pip", "install", "--quiet", "--python", sys.executable, "--target", to]

    done = subprocess.run(
        [*command, "--require-hashes", "--no-deps", "-r", lock], capture_output=True, text=True, check=False
    )

    assert (done.returncode == 0) is (to / "annotated_types").is_dir() is (bend is as_locked), done.stderr
    assert why in done.stderr.lower()


@BENDS
def test_the_build_of_the_layer_takes_nothing_but_what_is_locked(
    tmp_path: Path, bend: Callable[[str], str], why: str
) -> None:
    layer, to = tmp_path / "layer", tmp_path / "to"
    (layer / "inbound").mkdir(parents=True)
    (layer / "Makefile").write_bytes((ROOT / "layers/common/Makefile").read_bytes())
    cut_down(ROOT / "layers/common/requirements.txt", "annotated-types", bend, layer / "requirements.txt")

    done = subprocess.run(
        ["make", "build-CommonLayer", f"ARTIFACTS_DIR={to}", f"LAMBDA_BUILDER={sys.executable}", "LAMBDA_INTERPRETER="],
        cwd=layer,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode == 0) is (to / "python/annotated_types").is_dir() is (bend is as_locked), done.stderr
    assert why in done.stderr.lower()


def test_the_audit_looks_at_every_lock_and_takes_no_silence_for_an_answer(tmp_path: Path) -> None:
    audit = tmp_path / ".venv-audit/bin/pip-audit"
    audit.parent.mkdir(parents=True)
    audit.write_text('#!/bin/sh\necho "$@"\nexit 1\n', "utf-8")
    audit.chmod(0o755)
    recipe: list[str | Path] = [
        "make",
        "--file",
        ROOT / "Makefile",
        "audit",
        f"AUDIT_VENV={audit.parents[1]}",
        "AUDIT_READY=/dev/null",
    ]

    done = subprocess.run(recipe, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if "--requirement" in line and "--strict" not in line] == []
    for lock in LOCKS:
        assert f"--requirement {lock.relative_to(ROOT)}" in done.stdout
        assert str(lock.relative_to(ROOT)) in done.stderr.partition("not proved clean")[2]


# --- workflows ---


def steps(workflow: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load(workflow.read_text("utf-8"))
    return [step for job in document["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_actions_by_commit_and_may_only_read(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    used = re.findall(r"uses: *(.+)", text)

    assert used
    for action in used:
        assert re.fullmatch(PINNED, action)
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert not [job for job in yaml.safe_load(text)["jobs"].values() if "permissions" in job]
    checkouts = [step for step in steps(workflow) if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_workflow_for_deploying_pins_its_actions_too() -> None:
    used = re.findall(r"uses: *(.+)", (ROOT / "docs/deploy.md").read_text("utf-8"))

    assert len(used) == 3
    assert all(re.fullmatch(PINNED, action) for action in used)


def test_there_is_a_workflow() -> None:
    assert [path.name for path in WORKFLOWS] == ["test.yml"]


def test_the_workflow_runs_the_commands_that_people_run() -> None:
    jobs = yaml.safe_load(WORKFLOWS[0].read_text("utf-8"))["jobs"]
    run = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}

    assert run == {"test": ["make test"], "audit": ["make audit"]}
    assert "schedule" in jobs["audit"]["if"]


def test_make_test_holds_the_template_against_checkov() -> None:
    (recipe,) = re.findall(r"^test:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)

    assert "$(MAKE) --no-print-directory checkov\n" in recipe
