"""What the local run says of something that fails for a while: one line when it begins, one when it is over."""

import logging

from local.environments import FunctionFailed

log = logging.getLogger(__name__)


class Trouble:
    """Logs that something fails, and that it works again: one line for each, however long it lasts."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lasting = False

    def met(self, error: Exception) -> None:
        """Note a failure."""
        if not self._lasting:
            log.warning("%s does not work (%s): tried again until it does", self._name, kind_of(error))
        self._lasting = True

    def over(self) -> None:
        """Note that it works."""
        if self._lasting:
            log.warning("%s works again", self._name)
        self._lasting = False


def kind_of(error: Exception) -> str:
    """Name an error without its text, which may repeat what customers wrote."""
    return error.kind if isinstance(error, FunctionFailed) else type(error).__name__
