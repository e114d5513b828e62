"""The shared vocabulary of inbound WhatsApp media: only what more than one function uses.

config         the environment of each entry point, read once
credentials    secrets, cached for minutes, read again when they seem stale
clients        AWS clients, each made on first use
batches        many small calls as few large ones
jobs           the queue of fetch jobs
messages       the table's items (PynamoDB)
media          ids, keys and the one rule that finds a media id (pure)
cached         what is read from elsewhere and remembered
event_names    what other systems hear of
errors         what can go wrong, as facts (pure)
problems       errors as HTTP answers: the one table (pure)
answers        what every answer carries (pure)
outbound       how we ask others over HTTP
retry_after    the header of that name (pure)
masking        what no log line may show (pure)
observability  logger and metrics
"""
