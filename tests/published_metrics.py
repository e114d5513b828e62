"""The metrics that the functions publish, read from their sources: alarms and dashboard are held against them."""

import ast
from collections.abc import Iterator
from pathlib import Path

from inbound.errors import (
    ConversationNotFound,
    InboxError,
    InvalidRequest,
    MediaError,
    MessageNotFound,
    NoMedia,
    Unauthenticated,
)
from inbound.problems import TABLE
from media_proxy.success import counted
from webhook.payload import COUNTED_TYPES

ROOT = Path(__file__).parents[1]
ANSWERED = {error.code for error in TABLE if issubclass(error, MediaError | InboxError)}
# Who may not see media, or asks for none, makes no attempt to fetch.
NO_FETCH = (Unauthenticated, MessageNotFound, NoMedia, InvalidRequest, ConversationNotFound)
FAILED = ANSWERED - {error.code for error in NO_FETCH}
# What stands in the name after these, each written out.
ENDINGS = {
    "Answered_": ANSWERED,
    "Failed_": FAILED,
    "ForwardFailed_": {"1xx", "3xx", "4xx", "5xx", "network", "body", "unreadable"},
    "Source_": {"provider_media_id", "media_url", "raw"},
    "Stored_": {*COUNTED_TYPES, "other"},
}
# Where the name is a variable: the values that it has.
VARIABLES = {
    "media_proxy/app.py": {
        *(name for error in TABLE for name in counted(error())),
        *("MediaPending", "MediaRequests", "MediaServed"),
    },
    "media_proxy/sweep.py": {"MediaLost", "MediaExpired"},
}
POWERTOOLS = {"ColdStart"}  # capture_cold_start_metric


def published() -> set[str]:
    """Give the names of all metrics that the functions publish. Raises KeyError for a name that nobody can tell."""
    sources = [path for folder in ("functions", "layers/common/inbound") for path in (ROOT / folder).rglob("*.py")]
    return POWERTOOLS.union(*(_names(path) for path in sources))


def _names(path: Path) -> set[str]:
    named = set[str]()
    for argument in _arguments(ast.parse(path.read_text("utf-8"))):
        match argument:
            case ast.Constant(str(name)):
                named.add(name)
            case ast.JoinedStr([ast.Constant(str(beginning)), _]):
                named |= {beginning + ending for ending in ENDINGS[beginning]}
            case _:
                named |= VARIABLES["/".join(path.parts[-2:])]
    return named


def _arguments(tree: ast.Module) -> Iterator[ast.expr]:
    """Give what stands for the name of a metric in each call that adds one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_metric":
            yield node.args[0]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "single_metric":
            yield next(one.value for one in node.keywords if one.arg == "name")
