"""Entry point: every day, ask Graph how long our tokens are good, and look how long our version of it is served.

What ends is an alarm weeks before it ends. A run that could not ask for all tokens fails, so that Lambda repeats it.
"""

import time
from functools import cache
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from inbound.batches import in_parallel
from inbound.config import GraphSettings
from inbound.credentials import GRAPH, CachedSecret
from inbound.errors import AccessTokenInvalid, GraphUnavailable, MediaError
from inbound.observability import logger, metrics, reticent
from media_proxy import graph_versions, token_state
from media_proxy.deadline import Deadline
from media_proxy.graph import Graph

RESERVE = 5.0  # seconds of the function's time that are kept for saying what was found
TRIED = 2  # tokens of a number that fetching tries
SOON = 30  # days, from which on the log says whose token ends

settings = GraphSettings.from_environment()
credentials = CachedSecret(settings.graph_secret_id, GRAPH)


@cache
def graph() -> Graph:
    """Give the process's session with Graph."""
    return Graph(settings.graph_url, settings.graph_version)


def days_of(token: str, deadline: Deadline) -> float | None:
    """Ask Graph, as the token itself, how many days a token is good; None when it cannot be asked."""
    try:
        state = graph().token_state(token, token, deadline)
    except AccessTokenInvalid:
        return 0.0
    except MediaError as error:
        logger.warning("token_not_checked", code=error.code, detail=error.detail, graph_code=error.graph_code)
        return None
    return token_state.days_left(state, time.time())


def days_by_number(tokens: dict[str, tuple[str, ...]], deadline: Deadline) -> dict[str, float | None]:
    """Give the days that each number has a good token (None: not known). A token of several is asked for once."""
    wanted = {number: own[:TRIED] for number, own in tokens.items() if own}
    every = sorted({token for own in wanted.values() for token in own})
    days = dict(zip(every, in_parallel(lambda token: days_of(token, deadline), every), strict=True))
    return {number: token_state.of_a_number(days[token] for token in own) for number, own in wanted.items()}


def publish(number: str, days: float | None) -> None:
    """Publish how long a number has a good token. The log names a number by its last four digits."""
    if days is None:
        return
    metrics.add_metric("TokenDaysLeft", MetricUnit.Count, days)
    if days < SOON:
        logger.warning("token_ends", number=number if number == "default" else f"…{number[-4:]}", days=round(days, 1))


@logger.inject_lambda_context(log_event=False)
@reticent
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(_event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Lambda's entry point: the clock's event in, the numbers that were checked out.

    Raises when a number's tokens could not be checked.
    """
    metrics.add_metric(
        "GraphVersionDaysLeft", MetricUnit.Count, graph_versions.days_left(settings.graph_version, time.time())
    )
    deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000 - RESERVE)
    found = days_by_number(credentials.get().tokens, deadline)
    for number, days in found.items():
        publish(number, days)
    unchecked = sum(days is None for days in found.values())
    if unchecked:
        raise GraphUnavailable(f"Graph says nothing of the tokens of {unchecked} numbers.")
    return {"checked": len(found)}
