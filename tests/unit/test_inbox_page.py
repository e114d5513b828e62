"""What the page's server gives for the inbox: the files of web/ as they are, but for the settings."""

import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import requests

from local.graph import MetaSimulator
from local.page import FILES, Page
from local.server import Server, serve
from local.stack import ROOT

SCRIPTS = [*(ROOT / "web").glob("*.js"), *(ROOT / "local").glob("*.js")]
# An import, a style sheet, a script, a frame: how one file names another.
NAMED = re.compile(r'(?:from |import |src=|href=|href: |src = )"(\.?/?[\w-]+(?:\.(?:js|css))?)"')


@pytest.fixture(name="page", scope="module")
def _page() -> Iterator[Server]:
    meta = MetaSimulator(
        app_secret="secret",
        token="token",
        phone_number_id="200000000000002",
        waba_id="300000000000003",
        display_phone_number="15550001234",
    )
    access = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    page = Page(
        meta=meta,
        dynamodb=boto3.client("dynamodb", **access),  # type: ignore[call-overload]
        table_name="messages",
        api_url="http://127.0.0.1:1",
        edge_url="http://127.0.0.1:2",
        media_token="the-media-token",
    )
    with serve(page.app) as server:
        page.url = server.url
        yield server


def test_all_that_the_inbox_names_is_served_and_nothing_else_of_the_folders(page: Server) -> None:
    wanted, seen = ["/"], set[str]()
    while wanted:
        path = wanted.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = requests.get(page.url + path, timeout=5)
        assert answer.status_code == 200, path
        wanted += ["/" + name.lstrip("./") for name in NAMED.findall(answer.text)]

    assert {"/inbox.js", "/inbox.css", "/inbox-settings.js", "/whatsapp-media.js", "/simulator"} <= seen
    assert seen - {"/"} == FILES.keys() - {"/", "/inbox.html"}
    for path in ("/page.py", "/../local/page.py", "/whatsapp-media.d.ts", "/local/inbox-settings.js"):
        assert requests.get(page.url + path, timeout=5).status_code == 404


def test_only_the_settings_are_the_local_run_s_own(page: Server) -> None:
    for file in (ROOT / "web").glob("inbox*"):
        same = requests.get(f"{page.url}/{file.name}", timeout=5).content == file.read_bytes()
        assert same == (file.name != "inbox-settings.js"), file.name


def test_the_policy_forbids_what_the_inbox_does_without(page: Server) -> None:
    policy = requests.get(page.url, timeout=5).headers["Content-Security-Policy"]

    for directive in ("default-src 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"):
        assert directive in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: f"{script.parent.name}/{script.name}")
def test_no_script_parses_what_it_is_given(script: Path) -> None:
    text = script.read_text("utf-8")

    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser", "Function("):
        assert risky not in text
