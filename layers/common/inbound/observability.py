"""Logger and metrics of the function. Neither may ever see a phone number, a name, a text, a token or a media URL."""

from aws_lambda_powertools import Logger, Metrics

# Service and namespace come from POWERTOOLS_SERVICE_NAME and POWERTOOLS_METRICS_NAMESPACE (template.yaml).
logger = Logger()
metrics = Metrics()
