"""What a cold start costs: importing a handler and its first answer in a fresh process, and each library's share.

    python -m benchmarks.cold_start

Wall time on the machine at hand, against the local run's emulators; medians of several processes. Compare shares
and ratios, not milliseconds: Lambda's processors, bytecode and network are others.
"""

import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter

from local.options import Options
from local.stack import Stack, running_stack
from local.template import Function, functions
from tools import events

ROUNDS = 7
FIRST_ANSWER = """
import importlib, json, sys, time
from types import SimpleNamespace
started = time.perf_counter()
module, _, name = sys.argv[1].rpartition(".")
handler = getattr(importlib.import_module(module), name)
imported = time.perf_counter()
context = SimpleNamespace(function_name="f", memory_limit_in_mb=1, invoked_function_arn="a", aws_request_id="r",
                          get_remaining_time_in_millis=lambda: 29000)
event = json.load(sys.stdin)
answer = handler(event, context)
first = time.perf_counter()
handler(event, context)
print(json.dumps([imported - started, first - imported, time.perf_counter() - first, answer["statusCode"]]))
"""
PACKAGES = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


def main() -> None:
    """Measure the functions that the API calls, and print a table for each."""
    made = dict(events.events(int(time.time())))
    with running_stack(Options(background=False)) as stack:
        for logical_id, name in (("WebhookFunction", "webhook-post"), ("MediaProxyFunction", "media-without-token")):
            function = functions(stack.template)[logical_id]
            times = [first_answer(stack, function, made[name]) for _ in range(ROUNDS)]
            imported, first, warm = (1000 * statistics.median(column) for column in list(zip(*times, strict=True))[:3])
            print(f"\n{logical_id}: import {imported:.0f} ms, first answer {first:.0f} ms, second {warm:.1f} ms")
            print(f"{'':2}{'share of import':16} {'ms':>6}  package (its own modules only)")
            shares = import_shares(stack, function)
            for package, micros in shares.most_common(14):
                print(f"{'':2}{micros / shares.total():15.0%} {micros / 1000:7.1f}  {package}")


def environment(stack: Stack, function: Function) -> dict[str, str]:
    """Give the environment that the function has in the local run."""
    return {**function.environment, **stack.access.environment}


def first_answer(stack: Stack, function: Function, event: events.Event) -> list[float]:
    """Give the seconds of importing, of the first and of the second answer, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_ANSWER, function.handler],
        input=json.dumps(event),
        env=environment(stack, function),
        capture_output=True,
        text=True,
        check=True,
    )
    times: list[float] = json.loads(done.stdout.splitlines()[-1])
    return times


def import_shares(stack: Stack, function: Function) -> Counter[str]:
    """Give the microseconds that importing the handler spends in each package's own modules."""
    module = function.handler.rpartition(".")[0]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        env=environment(stack, function),
        capture_output=True,
        text=True,
        check=True,
    )
    shares: Counter[str] = Counter()
    for micros, name in PACKAGES.findall(done.stderr):
        package = name.partition(".")[0]
        shares["standard library" if package in sys.stdlib_module_names else package] += int(micros)
    return shares


if __name__ == "__main__":
    main()
