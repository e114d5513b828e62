"""Logger and metrics of the function. Neither may ever see a phone number, a name, a text, a token or a media URL.

Code that logs names what it logs, and names none of those. Should one slip in all the same, inside an exception's
text for instance, each line is masked before it leaves (`inbound.masking`): ours, those of libraries, which Lambda's
runtime writes through the root logger, and what a handler raises, which the runtime prints.
"""

import json
import logging
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from inbound.errors import InternalError
from inbound.masking import masked, masked_text

Outcome = TypeVar("Outcome")
Handler = Callable[[dict[str, Any], LambdaContext], Outcome]

# What Powertools and Lambda say in each line, and nobody else: to mask it would cost more than all the rest.
OF_THE_RUNTIME = frozenset(
    {
        *("cold_start", "correlation_id", "function_arn", "function_memory_size", "function_name"),
        *("function_request_id", "level", "location", "service", "timestamp", "xray_trace_id"),
    }
)


class _Masked(logging.Formatter):
    """A formatter whose lines are masked."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Give the line of a record."""
        return masked_text(self._inner.format(record))


def mask_root() -> None:
    """Mask what libraries log, and Python's warnings, in whatever form the root logger's handlers give it.

    Lambda's runtime has set them up before it imports a handler:
    https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
    """
    logging.captureWarnings(capture=True)
    # A run that counts nothing is no news.
    warnings.filterwarnings("ignore", message="No application metrics to publish")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Masked(handler.formatter or logging.Formatter()))


def _line(log: dict[str, Any]) -> str:
    """Write a line as ASCII: half a surrogate pair, which Meta's JSON can carry, would cost the whole line."""
    shown = {name: value if name in OF_THE_RUNTIME else masked(value, name) for name, value in log.items()}
    return json.dumps(shown, separators=(",", ":"))


# Service and namespace come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_METRICS_NAMESPACE (template.yaml).
logger = Logger(json_serializer=_line)
metrics = Metrics()
mask_root()


def reticent(handler: Handler[Outcome]) -> Handler[Outcome]:
    """Let a handler's failure be logged, masked, and raise no more of it than its name.

    What a handler raises is printed by Lambda's runtime as it is. Raises `InternalError`.
    """

    @wraps(handler)
    def wrapped(event: dict[str, Any], context: LambdaContext) -> Outcome:
        try:
            return handler(event, context)
        except Exception as error:
            logger.exception("handler_failed")
            raise InternalError(type(error).__name__) from None

    return wrapped


def count_graph_code(code: int | None) -> None:
    """Count a refusal of Graph by its code: there are some dozens of them, so they may be a dimension."""
    if code is not None:
        with single_metric(name="GraphErrors", unit=MetricUnit.Count, value=1) as metric:
            metric.add_dimension("graph_code", str(code))
