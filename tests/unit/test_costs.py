"""The bill: its arithmetic, and the page that shows it."""

import json
from pathlib import Path

import pytest

from local.template import load
from tools import costs
from tools.costs import PAGE, Line, Usage, idle, tables, total, used, with_tables


def of(lines: list[Line], what: str) -> Line:
    (line,) = (line for line in lines if line.what == what)
    return line


def test_a_line_is_how_many_times_what_one_costs() -> None:
    lines = used(Usage(messages=2_000_000, media=0.5, megabytes=1.024, views=4, downloaded=0.25))

    assert of(lines, "API, webhook and views").cost == pytest.approx(6.0)
    assert of(lines, "Bucket, objects put").cost == pytest.approx(5.0)
    assert of(lines, "Bucket, kept for a month").cost == pytest.approx(1000 * 0.023)
    assert of(lines, "Edge, bytes").cost == pytest.approx(1000 * 4 * 0.25 * 0.085)
    assert of(lines, "Worker, 1 GB").count == pytest.approx(1_200_000)
    assert total(lines) == pytest.approx(sum(line.count * line.price for line in lines))


def test_a_month_without_messages_costs_its_metrics_at_most() -> None:
    assert {line.what for line in used(Usage(messages=0)) if line.cost} == {"Metrics in use"}


def test_the_idle_bill_counts_what_the_template_has() -> None:
    template = load()
    lines = idle(template)

    assert of(lines, "Secrets").count == len(template.of_type("AWS::SecretsManager::Secret")) > 0
    assert of(lines, "Dashboard").count == 1
    single = [own for own in template.of_type("AWS::CloudWatch::Alarm").values() if "Metrics" not in own]
    watched = json.dumps(template.of_type("AWS::CloudWatch::Alarm")).count('"MetricStat"')
    assert of(lines, "Alarms, by what they watch").count == len(single) + watched
    assert total(idle(load({"ForwardUrl": "https://crm.example.com/"}))) > total(lines)


def test_the_sizes_of_the_functions_are_the_templates() -> None:
    memory = {name: own["MemorySize"] for name, own in load().of_type("AWS::Serverless::Function").items()}

    assert [memory[f"{name}Function"] for name in ("Webhook", "Prefetch", "MediaProxy", "Sweep")] == [
        512,
        1024,
        1024,
        512,
    ]


def test_the_page_shows_what_the_script_says() -> None:
    text = PAGE.read_text("utf-8")

    assert with_tables(text, tables(Usage())) == text, "Write it anew: python -m tools.costs --write"


@pytest.mark.parametrize("text", ["nothing", "<!-- costs: used -->\n\n\n\n<!-- end -->\n" * 2])
def test_a_page_without_its_place_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="places for the table used"):
        with_tables(text, {"used": "x"})


def test_ones_own_figures_make_another_bill(capsys: pytest.CaptureFixture[str]) -> None:
    assert costs.main(["--messages", "50000", "--media", "0"]) == 0

    shown = capsys.readouterr().out
    assert "| Queue | 0 requests |" in shown
    assert "| API, webhook and views | 50,000 requests | 1 a million | 0.05 |" in shown


@pytest.mark.parametrize("odd", ["-1", "many", "inf", "nan"])
def test_a_figure_that_is_none_is_refused(odd: str) -> None:
    with pytest.raises(SystemExit):
        costs.main(["--messages", odd])


def test_writing_changes_the_tables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "limits.md"
    page.write_text(PAGE.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(costs, "PAGE", page)

    assert costs.main(["--write", "--messages", "7"]) == 0

    before, after = (path.read_text("utf-8").splitlines() for path in (PAGE, page))
    assert [line for line in before if not line.startswith("|")] == [line for line in after if not line.startswith("|")]
    assert before != after
