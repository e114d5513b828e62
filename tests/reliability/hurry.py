"""The system once more, with a proxy in a hurry, a number in "No Storage" mode, and a worker with a clock."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from local import template as templates
from local.environments import Environments
from local.gateway import Gateway
from local.server import serve
from tests.integration import system as systems
from tests.integration.system import System

PROXY, WORKER, CLOCKED = "MediaProxyFunction", "PrefetchFunction", "ClockedWorker"
SHORT_TIME = 5  # seconds that the proxy has in all; two are its reserve
NO_STORAGE = "700000000000004"


@pytest.fixture(name="hurried", scope="module")
def hurried_system(running: System) -> Iterator[System]:
    """Give the same table, queue and bucket behind other processes, which differ as their environments say."""
    mode = {"NO_STORAGE_NUMBERS": NO_STORAGE}
    declared = running.stack.functions._functions.values()
    own = {one.logical_id: replace(one, environment={**one.environment, **mode}) for one in declared}
    changed = [replace(own[PROXY], timeout=SHORT_TIME)]
    # It does the worker's work, and needs no more than the worker's role grants.
    clocked = replace(own[WORKER], environment={**own[WORKER].environment, "AWS_SDK_UA_APP_ID": WORKER})
    changed += [replace(clocked, logical_id=CLOCKED, handler="tests.reliability.clocked_worker.handler")]
    changed += [one for name, one in own.items() if name != PROXY]
    template = running.stack.template
    with Environments(changed, running.stack.access.environment, logs=systems.LOGS) as functions:
        gateway = Gateway(templates.routes(template), templates.api_cors(template), functions)
        functions.warm(PROXY)  # the import would take its part of the short time
        with serve(gateway.app) as server:
            yield replace(running, stack=replace(running.stack, functions=functions, api_url=server.url))
