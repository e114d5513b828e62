"""Run a handler (and its timeout in seconds) on the events of standard input, as Lambda does; report what it did.

Prints one line of JSON: `answers`, `written` (files opened for writing), `clients` (AWS clients in memory),
`peak` (bytes that the last event's memory peak lies above the memory before it).
"""

import gc
import importlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
written: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING and arguments[0] != os.devnull:
        written.append(str(arguments[0]))


def memory(field: str) -> int:
    """Read this process's memory in bytes: VmRSS is now, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def forget_peak() -> None:
    descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
    os.write(descriptor, b"5")
    os.close(descriptor)


def main() -> None:
    module, _, name = sys.argv[1].rpartition(".")
    sys.addaudithook(watch)
    handler = getattr(importlib.import_module(module), name)
    context = SimpleNamespace(
        function_name="probe",
        function_version="1",
        memory_limit_in_mb=1024,
        invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:probe",
        aws_request_id="00000000-0000-4000-8000-000000000000",
        get_remaining_time_in_millis=lambda: round(1000 * float(sys.argv[2])),
    )
    answers = []
    before = peak = 0
    for event in json.load(sys.stdin):
        gc.collect()
        seen = len(written)
        forget_peak()
        del written[seen:]
        before = memory("VmRSS")
        answers.append(handler(event, context))
        peak = memory("VmHWM")
    botocore = sys.modules.get("botocore.client")
    clients = [
        thing.meta.service_model.service_name
        for thing in gc.get_objects()
        if botocore is not None and isinstance(thing, botocore.BaseClient)
    ]
    heavy = [name for name in ("requests", "tenacity", "media_proxy.graph") if name in sys.modules]
    report = {"answers": answers, "written": written, "clients": sorted(clients), "peak": peak - before, "heavy": heavy}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
