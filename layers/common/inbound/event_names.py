"""Events that other systems hear of: the value of an item's attribute `event`.

Nothing here sends them: the pipe in template.yaml reads the table's stream, and puts the events on a bus.
"""

MESSAGE_STORED = "message.stored"
MEDIA_READY = "media.ready"
MEDIA_FAILED = "media.failed"
