"""Logger and metrics of the function. Neither may ever see a phone number, a name, a text, a token or a media URL."""

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

# Service and namespace come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_METRICS_NAMESPACE (template.yaml).
logger = Logger()
metrics = Metrics()


def count_graph_code(code: int | None) -> None:
    """Count a refusal of Graph by its code: there are some dozens of them, so they may be a dimension."""
    if code is not None:
        with single_metric(name="GraphErrors", unit=MetricUnit.Count, value=1) as metric:
            metric.add_dimension("graph_code", str(code))
