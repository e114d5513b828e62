"""The files of a backfill: rows read one by one, a place to go on from, and where the deployment is found."""

import argparse
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inbound.observability import logger
from local.template import load
from tools import backfill, deployment, exports
from tools.checkpoint import Checkpoint, fingerprint
from tools.deployment import NoDeployment, read_variables, stack_deployment
from tools.exports import Export, ExportRow, UnreadableExport


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """A tool silences the functions' logger, as it may in a process of its own; other tests want to hear it."""
    before = logger.log_level
    yield
    logger.setLevel(before)


def rows(content: bytes, form: str = "jsonl", **options: str) -> list[ExportRow]:
    return list(Export(io.BytesIO(content), form, **options).rows())


# --- exports -------------------------------------------------------------------------------------------------


def test_each_line_of_json_is_a_row_and_what_is_none_has_a_reason() -> None:
    content = b'\xef\xbb\xbf{"id":1}\n\n{"id":\n[1]\n' + b"[" * 100_000 + b'\n{"id":"\xff"}\r\n{"id":2}'

    found = rows(content)

    assert [(row.line, row.values, row.problem) for row in found] == [
        (1, {"id": 1}, None),
        (3, {}, "not JSON"),
        (4, {}, "not a JSON object"),
        (5, {}, found[3].problem),
        (6, {}, "not utf-8"),
        (7, {"id": 2}, None),
    ]
    assert found[3].problem in {"nested too deep", "not JSON"}


def test_a_line_longer_than_memory_should_hold_is_bad_and_the_next_one_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exports, "LONGEST", 64)

    found = rows(b'{"id":"' + b"x" * 1000 + b'"}\n{"id":2}\n')

    assert [(row.line, row.problem) for row in found] == [(1, "longer than 64 bytes"), (2, None)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_of_csv_hold_quotes_delimiters_and_lines(delimiter: str) -> None:
    raw = json.dumps({"text": {"body": "a\nb, c; d\te"}}, indent=1)
    quoted = raw.replace('"', '""')
    header, values = delimiter.join(["id", "raw"]), delimiter.join(["1", f'"{quoted}"'])

    found = rows(f"{header}\n{values}\n\n2{delimiter}x\n".encode(), "csv")

    assert [row.values for row in found] == [{"id": "1", "raw": raw}, {"id": "2", "raw": "x"}]
    assert found[0].line == 2
    assert found[1].line == 2 + raw.count("\n") + 2  # behind a blank line


def test_bad_rows_of_csv_have_a_reason_and_cost_no_others() -> None:
    found = rows(b"id,raw\n1\n2,a,b\n3,\xff\n4,ok\n", "csv")

    assert [(row.line, row.problem) for row in found] == [
        (2, "1 fields instead of 2"),
        (3, "3 fields instead of 2"),
        (4, "not utf-8"),
        (5, None),
    ]


def test_fields_of_csv_may_be_large() -> None:
    (found,) = rows(b"id,raw\n1," + b"x" * 5_000_000 + b"\n", "csv")

    assert len(found.values["raw"]) == 5_000_000


def test_another_encoding_is_read_when_it_is_named() -> None:
    (found,) = rows("id,name\n1,Jürgen\n".encode("latin-1"), "csv", encoding="latin-1")

    assert found.values["name"] == "Jürgen"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_spreadsheets_utf_16_is_named_as_such(encoding: str, form: str) -> None:
    content = ("" if encoding == "utf-16" else "\ufeff") + "id,type\n1,image\n"

    with pytest.raises(UnreadableExport, match="UTF-16"):
        list(Export(io.BytesIO(content.encode(encoding)), form).rows())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "no-such"])
def test_an_encoding_that_cannot_be_read_line_by_line_is_refused(encoding: str) -> None:
    with pytest.raises(UnreadableExport):
        rows(b"", "jsonl", encoding=encoding)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=6), st.sampled_from(["csv", "jsonl"]))
@settings(deadline=None, max_examples=60)
def test_reading_goes_on_from_behind_any_row(pairs: list[tuple[str, str]], form: str) -> None:
    lines = [json.dumps({"id": a, "x": b}) if form == "jsonl" else f"{_quoted(a)},{_quoted(b)}" for a, b in pairs]
    content = ("id,x\n" * (form == "csv") + "".join(f"{line}\n" for line in lines)).encode("utf-8", "replace")
    whole = rows(content, form)

    for place, row in enumerate(whole):
        assert list(Export(io.BytesIO(content), form).rows(row.end)) == whole[place + 1 :]
    assert [row.end.offset for row in whole][-1:] in ([], [len(content)])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""').replace("\0", "") + '"'


# --- a place to go on from -----------------------------------------------------------------------------------


def test_a_checkpoint_is_only_read_for_the_same_work(tmp_path: Path) -> None:
    mine = Checkpoint(tmp_path / "c", "mine")

    mine.save({"offset": 7})

    assert mine.load() == {"offset": 7}
    assert Checkpoint(tmp_path / "c", "other").load() is None
    mine.remove()
    assert mine.load() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"identity":"mine"}', '{"identity":"mine","state":7}'])
def test_a_damaged_checkpoint_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "c").write_text(content)

    assert Checkpoint(tmp_path / "c", "mine").load() is None


def test_a_file_is_told_from_another_one_and_the_same_work_from_other_work(tmp_path: Path) -> None:
    def told(content: bytes, *about: object) -> str:
        (tmp_path / "f").write_bytes(content)
        with (tmp_path / "f").open("rb") as file:
            return fingerprint(file, *about)

    large = b"x" * 3_000_000
    known = told(large, "a")

    assert told(large, "a") == known
    assert len({known, told(large, "b"), told(large + b"x", "a"), told(b"y" + large[1:], "a")}) == 4
    assert told(large[:-1] + b"y", "a") != known


# --- the deployment ------------------------------------------------------------------------------------------

OUTPUTS = {
    "TableName": "t",
    "BucketName": "b",
    "QueueUrl": "https://q",
    "DeadLetterQueueUrl": "https://d",
    "AppsSecretArn": "arn:s",
    "DistributionId": "E1",
}


@pytest.fixture
def environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def found_with(*words: str) -> deployment.Deployment:
    parser = argparse.ArgumentParser()
    deployment.add_arguments(parser)
    return deployment.from_arguments(parser.parse_args(words))


def test_a_stack_is_read_from_its_outputs_and_parameters() -> None:
    found = stack_deployment("s", OUTPUTS, {"RetentionDays": "30"})

    assert found == deployment.Deployment("t", "b", "https://q", "https://d", "E1", "arn:s", 30)


def test_a_stack_tells_where_graph_and_its_tokens_are_unless_it_is_older() -> None:
    outputs = {**OUTPUTS, "GraphSecretArn": "arn:g", "WebhookUrl": "https://api/webhook"}
    parameters = {"RetentionDays": "30", "GraphUrl": "https://graph", "GraphVersion": "v26.0"}

    found = stack_deployment("s", outputs, parameters)
    older = [
        stack_deployment("s", {**outputs, "GraphSecretArn": ""}, parameters),
        stack_deployment("s", outputs, {**parameters, "GraphVersion": ""}),
    ]

    assert found.meta == deployment.MetaSide("https://graph", "v26.0", "arn:g", "https://api/webhook")
    assert [own.meta for own in older] == [None, None]


def test_the_template_tells_all_that_the_tools_want_to_know() -> None:
    document = load().document
    outputs = dict.fromkeys(document["Outputs"], "told")
    parameters = {name: str(own["Default"]) for name, own in document["Parameters"].items()}

    found = stack_deployment("s", outputs, parameters)

    assert None not in (found.meta, found.apps_secret_id, found.distribution_id)


@pytest.mark.parametrize(
    ("outputs", "parameters", "lacking"),
    [
        ({}, {"RetentionDays": "30"}, "TableName"),
        ({**OUTPUTS, "QueueUrl": ""}, {"RetentionDays": "30"}, "QueueUrl"),
        (OUTPUTS, {}, "RetentionDays"),
    ],
)
def test_a_stack_of_something_else_is_none_of_ours(
    outputs: dict[str, str], parameters: dict[str, str], lacking: str
) -> None:
    with pytest.raises(NoDeployment, match=lacking):
        stack_deployment("s", outputs, parameters)


def test_the_local_run_is_found_through_its_file_and_nothing_else_leads_elsewhere(
    tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "https://sqs.example.com")
    (tmp_path / "stack.env").write_text(
        "TABLE_NAME=t\nBUCKET_NAME=b\nQUEUE_URL=http://127.0.0.1:1/q?a=b\nDEAD_LETTER_QUEUE_URL=d\n"
        "AWS_ENDPOINT_URL=http://127.0.0.1:1\nAWS_REGION=eu-central-1\nAWS_ACCESS_KEY_ID=local\n"
        "AWS_SECRET_ACCESS_KEY=local\nRETENTION_DAYS=30\n"
    )

    found = found_with("--local", str(tmp_path / "stack.env"))

    assert (found.table_name, found.queue_url, found.distribution_id) == ("t", "http://127.0.0.1:1/q?a=b", None)
    assert found.retention_days == 30
    assert {"AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_SQS"}.isdisjoint(os.environ)
    assert os.environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    client = found.client("s3")
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://127.0.0.1:1", "eu-central-1")


@pytest.mark.parametrize("content", [None, b"\xff", b"", b"TABLE_NAME=t\n"], ids=["none", "bytes", "empty", "part"])
def test_without_a_local_run_the_tool_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "stack.env").write_bytes(content)

    with pytest.raises(SystemExit) as ended:
        found_with("--local", str(tmp_path / "stack.env"))

    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["--stack", "s"], ["--stack", "s", "--region", "eu-central-1"], ["--stack", "s", "--profile", "none"]]
)
def test_without_region_profile_or_credentials_the_tool_says_so_in_one_line(
    capsys: pytest.CaptureFixture[str],
    environment: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    with pytest.raises(SystemExit) as ended:
        found_with(*words)

    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_value_of_the_environment_file_may_hold_equal_signs() -> None:
    assert read_variables("A=b=c\n\n# no\nD=\n") == {"A": "b=c", "D": ""}


# --- the command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none.jsonl", "--offline"], "No such file"),
        (["table", "--offline"], "--format"),
        (["-", "--offline"], "--format"),
        (["f.jsonl"], "--stack NAME or --local"),
        (["f.jsonl", "--offline", "--apply"], "--offline"),
        (["f.jsonl", "--offline", "--column", "wamids=x"], "the fields are"),
        (["f.csv", "--offline", "--column", "wamid=x"], "no column x"),
        (["empty.csv", "--offline"], "no header"),
        (["other.csv", "--offline"], "No column says"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in {"f.jsonl": "", "table": "", "f.csv": "id\n", "empty.csv": "", "other.csv": "a,b\n"}.items():
        Path(name).write_text(content)

    with pytest.raises(SystemExit) as ended:
        backfill.main(words)

    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_dry_run_over_the_file_alone_reports_for_people_and_for_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['{"id":1,"type":"image","mediaUrl":"41"}', '{"id":1,"type":"text"}', '{"secret":"4915550100101"}', "{"]
    (tmp_path / "f.jsonl").write_text("\n".join(lines))
    words = ["--offline", "--phone-number-id", "100", "--json", str(tmp_path / "report")]

    code = backfill.main([str(tmp_path / "f.jsonl"), *words, "--details", str(tmp_path / "details")])

    out = capsys.readouterr().out
    whole = json.loads((tmp_path / "report").read_text())
    named = [json.loads(line) for line in (tmp_path / "details").read_text().splitlines()]
    assert code == 0
    assert (whole["counts"]["rows"], whole["counts"]["bad_lines"], whole["counts"]["messages"]) == (4, 2, 2)
    assert whole["first_bad_lines"] == [[3, "neither an id nor a wamid"], [4, "not JSON"]]
    assert [one["line"] for one in named] == [3, 4]
    assert whole["loadable_by_source"]["media_url"] == 1
    assert "3: neither an id nor a wamid" in out
    assert "4915550100101" not in out


HEAD = "id,contact,caption\n"


@pytest.mark.parametrize(
    ("row", "bad"),
    [
        ('2,1555,"see attached\n', "a quote is never closed"),
        ('"2,1555,see attached\n', "a quote is never closed"),
    ],
    ids=["in the last column", "in the first column"],
)
@pytest.mark.parametrize("count", [3, 25_000])
def test_a_quote_that_is_never_closed_costs_its_own_row_and_no_other(row: str, bad: str, count: int) -> None:
    others = "".join(f"{place},1555,text\n" for place in range(3, 3 + count))
    export = Export(io.BytesIO((HEAD + "1,1555,first\n" + row + others).encode()), "csv")

    rows = list(export.rows())

    assert [(one.line, one.problem) for one in rows if one.problem] == [(3, bad)]
    assert [one.values["id"] for one in rows if not one.problem] == ["1", *map(str, range(3, 3 + count))]


def test_a_quote_that_another_row_closes_costs_no_row_behind_it() -> None:
    text = HEAD + '1,1555,"open\n2,1555,b\n3,1555,"c, d"\n4,1555,e\n'

    rows = list(Export(io.BytesIO(text.encode()), "csv").rows())

    assert [one.values["id"] for one in rows if not one.problem] == ["2", "3", "4"]


def test_a_caption_of_many_lines_is_one_row() -> None:
    text = HEAD + '1,1555,"a\n\n""b"", c\nd"\n2,1555,e'

    rows = list(Export(io.BytesIO(text.encode()), "csv").rows())

    assert [one.values for one in rows] == [
        {"id": "1", "contact": "1555", "caption": 'a\n\n"b", c\nd'},
        {"id": "2", "contact": "1555", "caption": "e"},
    ]


@pytest.mark.parametrize(("line", "code"), [('{"id": "1"}', 1), ('{"id": "1", "phoneNumberId": "55"}', 0)])
def test_a_file_of_which_no_row_can_be_read_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, code: int
) -> None:
    (tmp_path / "old.jsonl").write_text(f"{line}\n")

    assert backfill.main([str(tmp_path / "old.jsonl"), "--offline", "--column", "wamid=external"]) == code

    shown = capsys.readouterr()
    assert "none of the first 1 rows has a column external" in shown.err
    assert ("--phone-number-id" in shown.out) == (code == 1)
