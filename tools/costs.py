"""What a deployment costs, with the arithmetic: `python -m tools.costs`, with your own figures as options.

`--write` writes the two tables of docs/limits.md anew. Prices are those of us-east-1 without any free tier.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from local.template import Template, load

PAGE = Path(__file__).parents[1] / "docs" / "limits.md"
MONTH = 30 * 24 * 3600  # seconds
MILLION = 1_000_000

# USD; AWS's price list of September 2026 for us-east-1, arm64. CloudWatch: https://aws.amazon.com/cloudwatch/pricing/
API = 1.00 / MILLION
INVOCATION = 0.20 / MILLION
GB_SECOND = 0.0000133334
WRITE = 0.625 / MILLION  # of 1 KB
TABLE_GB_MONTH = 0.25
READ = 0.125 / MILLION  # of 4 KB; half of it where an older state is good enough
QUEUE = 0.40 / MILLION
S3_PUT = 0.005 / 1000
S3_GB_MONTH = 0.023
EDGE_REQUEST = 0.010 / 10_000
EDGE_GB = 0.085
LOG_GB = 0.50
SECRET, ALARM, METRIC, DASHBOARD = 0.40, 0.10, 0.30, 3.00  # a month each; a metric only for hours in which it has data

# What is assumed of the code; docs/limits.md says how to look at your own.
WEBHOOK_SECONDS, WORKER_SECONDS, VIEW_SECONDS, SWEEP_SECONDS = 0.06, 1.2, 0.03, 0.15
LOG_KB = {"webhook": 2.0, "worker": 3.0, "view": 2.0, "sweep": 1.5}
MESSAGE_WRITES = 6  # the message 2, its index 1, the conversation's head 1, its index 2
MEDIA_WRITES = 9  # index of what is unsettled 1, an attempt begins 4, is ready 1, the message leaves the index 3
MEDIA_READS, QUEUE_CALLS = 3, 3
MESSAGE_KB = 3.0  # with its media and its share of conversation and indexes
POLLERS, LONG_POLL = 5, 20  # of Lambda for a queue; seconds
PARTITIONS = 32  # of the index of what is unsettled
METRICS_IN_USE = 30


@dataclass(frozen=True, slots=True)
class Usage:
    """A month of a CRM: messages, the share with media, megabytes of each, views of each, share that is downloaded."""

    messages: float = MILLION
    media: float = 0.3
    megabytes: float = 0.5
    views: float = 3.0
    downloaded: float = 0.5

    @property
    def files(self) -> float:
        """Media in a month."""
        return self.messages * self.media

    @property
    def looks(self) -> float:
        """Views in a month."""
        return self.files * self.views


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the bill: what it is, how many of a unit, and what one costs (USD)."""

    what: str
    count: float
    unit: str
    price: float

    @property
    def cost(self) -> float:
        """What the line comes to."""
        return self.count * self.price


def used(usage: Usage) -> list[Line]:
    """Give what use costs in a month, without what stands idle."""
    files, looks = usage.files, usage.looks
    gb = files * usage.megabytes / 1024
    return [
        Line("API, webhook and views", usage.messages + looks, "requests", API),
        Line("Functions, calls", usage.messages + files + looks, "calls", INVOCATION),
        Line("Webhook, 512 MB", usage.messages * WEBHOOK_SECONDS * 0.5, "GB-seconds", GB_SECOND),
        Line("Worker, 1 GB", files * WORKER_SECONDS, "GB-seconds", GB_SECOND),
        Line("Media proxy, 1 GB", looks * VIEW_SECONDS, "GB-seconds", GB_SECOND),
        Line("Table, writes", usage.messages * MESSAGE_WRITES + files * MEDIA_WRITES, "KB written", WRITE),
        Line("Table, reads", usage.messages + files * MEDIA_READS + looks, "reads", READ),
        Line("Table, kept for a month", usage.messages * MESSAGE_KB / MILLION, "GB", TABLE_GB_MONTH),
        Line("Queue", files * QUEUE_CALLS, "requests", QUEUE),
        Line("Bucket, objects put", files, "requests", S3_PUT),
        Line("Bucket, kept for a month", gb, "GB", S3_GB_MONTH),
        Line("Edge, requests", looks * usage.downloaded, "requests", EDGE_REQUEST),
        Line("Edge, bytes", gb * usage.views * usage.downloaded, "GB", EDGE_GB),
        Line("Logs", _log_gb(usage.messages, files, looks), "GB", LOG_GB),
        Line("Metrics in use", METRICS_IN_USE, "metrics", METRIC),
    ]


def idle(template: Template) -> list[Line]:
    """Give what a stack costs in a month in which nobody writes."""
    sweeps = MONTH / 60
    return [
        Line("Secrets", len(template.of_type("AWS::SecretsManager::Secret")), "secrets", SECRET),
        Line("Alarms, by what they watch", _watched(template), "metrics", ALARM),
        Line("Dashboard", len(template.of_type("AWS::CloudWatch::Dashboard")), "dashboards", DASHBOARD),
        Line("The sweeper's metrics", 4, "metrics", METRIC),
        Line("The sweeper, every minute", sweeps, "calls", INVOCATION),
        Line("The sweeper, 512 MB", sweeps * SWEEP_SECONDS * 0.5, "GB-seconds", GB_SECOND),
        Line("The sweeper's look at the index", sweeps * PARTITIONS / 2, "reads", READ),
        Line("The worker's look at the queue", POLLERS * MONTH / LONG_POLL, "requests", QUEUE),
        Line("The sweeper's log", sweeps * LOG_KB["sweep"] / MILLION, "GB", LOG_GB),
    ]


def _watched(template: Template) -> int:
    alarms = template.of_type("AWS::CloudWatch::Alarm").values()
    return sum(sum("MetricStat" in one for one in alarm["Metrics"]) if "Metrics" in alarm else 1 for alarm in alarms)


def _log_gb(messages: float, files: float, looks: float) -> float:
    return (messages * LOG_KB["webhook"] + files * LOG_KB["worker"] + looks * LOG_KB["view"]) / MILLION


def total(lines: Iterable[Line]) -> float:
    """Add a bill up (USD)."""
    return sum(line.cost for line in lines)


def table(lines: Sequence[Line]) -> str:
    """Give a bill in Markdown."""
    rows = [
        f"| {line.what} | {line.count:,.{0 if line.count >= 10 or line.count == int(line.count) else 2}f} {line.unit} "
        f"| {_price(line.price)} | {line.cost:,.2f} |"
        for line in lines
    ]
    return "\n".join(
        [
            "| what | how many | USD each | USD |",
            "|---|---|---|---|",
            *rows,
            f"| **all** | | | **{total(lines):,.2f}** |",
        ]
    )


def _price(price: float) -> str:
    return f"{price:.3g}" if price >= 0.001 else f"{price * MILLION:.3g} a million"


def with_tables(text: str, tables: dict[str, str]) -> str:
    """Put each table between its marks: `<!-- costs: NAME -->` and `<!-- end -->`."""
    for name, made in tables.items():
        pattern = rf"(<!-- costs: {name} -->\n\n).*?(\n\n<!-- end -->)"
        text, found = re.subn(pattern, lambda match: match[1] + made + match[2], text, flags=re.DOTALL)  # noqa: B023
        if found != 1:
            raise ValueError(f"The page has {found} places for the table {name}.")
    return text


def tables(usage: Usage) -> dict[str, str]:
    """Give both bills in Markdown, by name."""
    return {"used": table(used(usage)), "idle": table(idle(load()))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both bills, or write them into the page; give the exit code."""
    parser = argparse.ArgumentParser("python -m tools.costs", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--write", action="store_true", help="write the tables of docs/limits.md anew")
    defaults: Any = Usage()
    for own in fields(Usage):
        default = getattr(defaults, own.name)
        parser.add_argument(f"--{own.name}", type=_not_negative, default=default, help=f"{default:g} unless given")
    args = parser.parse_args(arguments)
    usage = Usage(**{own.name: getattr(args, own.name) for own in fields(Usage)})
    made = tables(usage)
    if args.write:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), made), "utf-8")
    else:
        print(f"A month of use\n\n{made['used']}\n\nA month idle\n\n{made['idle']}")
    return 0


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError("a number from 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
