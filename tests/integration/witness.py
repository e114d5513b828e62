"""Watches what goes into a system under test, and tells where any of it comes out that must not.

Nothing is listed by hand: whatever callers present as a secret, whatever handlers read from Secrets Manager, and
whatever Meta's payloads say is remembered as it passes. Of all this, nothing may stand in a log or metric, in a key
of the table or bucket, or in a job; and no answer may repeat a secret.
"""

import base64
import io
import json
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

from local.stack import ROOT, Stack
from tests.builders import Json

WINDOW = 8  # characters: what is shorter says too little, and is found everywhere
LONGEST = 64  # characters that are compared
LEAST_LETTERS = 3  # different ones: a row of the same letter is found in every large text
# What Meta says that is nobody's: the business's own ids, types, times, codes.
IMPERSONAL = frozenset(
    {
        *("animated", "code", "event", "field", "href", "messaging_product", "mime_type", "object", "phone_number_id"),
        *("sha256", "status", "timestamp", "type", "waba_id"),
    }
)
# What our own code, the template and the local run say of themselves is no leak, even where somebody writes it in a
# message: Hypothesis likes to make texts of the constants in our code, such as the name of a Region.
VOCABULARY = (ROOT / "template.yaml").read_text("utf-8") + "".join(
    path.read_text("utf-8")
    for folder in ("functions", "layers/common/inbound", "local")
    for path in sorted((ROOT / folder).rglob("*.py"))
)
PRESENTED = ("authorization", "x-hub-signature-256", "cookie")
IN_QUERY = ("token", "hub.verify_token")
KEYS = re.compile(rb'"(?:pk|sk|gsi1pk|gsi1sk|gsi2pk|gsi2sk)":\s*\{"S":\s*"((?:[^"\\]|\\.)*)"')
FORWARDING = "-forwardqueue"  # the one queue that carries what Meta said, for that is what it is for
PARCEL = {"delivery_id", "headers", "body", "s3_key"}
PASSED_ON = {"content-type", "x-hub-signature", "x-hub-signature-256"}
JOB = re.compile(r'\{"message_id": "[a-z0-9]{26}"\}')
# Meta's codes are short numbers; the function's name comes with Powertools' count of cold starts.
DIMENSIONS = {"service": r"\w+", "graph_code": r"-?\d{1,7}", "function_name": r"\w+"}


class Leak(NamedTuple):
    """Where something came out, and what: a report that does not leak it again."""

    place: str
    what: str


class Planted:
    """Values to look for, in the forms in which a text may repeat them."""

    def __init__(self) -> None:
        self._by_start: dict[str, dict[str, str]] = {}
        self._nobodys: set[str] = set()

    def add(self, name: str, value: str) -> None:
        """Remember a value and what it is called, unless it is too short to be told from anything else."""
        for form in _forms(value):
            tells = len(form) >= WINDOW and len(set(form[:LONGEST])) >= LEAST_LETTERS
            if tells and form[:LONGEST] not in VOCABULARY:
                self._by_start.setdefault(form[:WINDOW], {})[form[:LONGEST]] = name

    def pardon(self, value: str) -> None:
        """Never find a value: a time or an id of the business, wherever else a strange payload repeats it."""
        self._nobodys |= {form[:LONGEST] for form in _forms(value)}

    def found_in(self, text: str) -> Iterator[str]:
        """Tell what a text repeats, by name and beginning; a number is not found within a longer one."""
        for place in range(len(text) - WINDOW + 1):
            for value, name in self._by_start.get(text[place : place + WINDOW], {}).items():
                within_number = value.isdecimal() and _within_number(text, place, value)
                if text.startswith(value, place) and not within_number and value not in self._nobodys:
                    yield f"{name}, {value[:4]}… ({len(value)} characters)"


class Witness:
    """Sees a system's requests, answers and calls to AWS as they pass, and thinks about them later (`settle`)."""

    def __init__(self) -> None:
        self.secrets = Planted()
        self.signatures = Planted()
        self.personal = Planted()
        self.leaks: list[Leak] = []
        self.terminal = io.StringIO()
        self._unsettled: deque[Callable[[], None]] = deque()

    # --- what passes -----------------------------------------------------------------------------------------

    def invoking(self, invoke: Callable[..., Any]) -> Callable[..., Any]:
        """Give an `invoke` that is watched."""

        def watched(function: str, event: Json, patience: float | None = None) -> Any:
            self._unsettled.append(partial(self._request, event))
            result = invoke(function, event, patience)
            self._unsettled.append(partial(self._answer, function, result))
            return result

        return watched

    def handler_ran(self, events: Iterable[Json], printed: Iterable[str]) -> None:
        """See what a handler in a process of its own was given, and the lines that it printed."""
        self._unsettled += [partial(self._request, event) for event in events]
        self._unsettled += [partial(self.look_at_line, "a handler's output", line) for line in printed]

    def aws_call(self, operation: str, target: str, body: bytes) -> None:
        """See a call of a handler: an AWS operation, the URL's path and query, and the body."""
        # The bytes of a media file are looked at by nobody, and need not be kept.
        looked_at = target == "/" or operation.startswith("SendMessage")
        self._unsettled.append(partial(self._call, operation, target, body if looked_at else b""))

    def aws_answer(self, operation: str, body: bytes) -> None:
        """See what a handler is told."""
        if operation == "GetSecretValue":
            self._unsettled.append(partial(self._secret_answer, body))

    def graph_url(self, query: str) -> None:
        """See the query of a media URL: who has it has the media. Numbers in it are ids and times."""
        for name, value in parse_qsl(query):
            if not value.isdecimal():
                self.secrets.add(name, value)

    def secret_value(self, text: str) -> None:
        """See a secret of Secrets Manager."""
        try:
            content = json.loads(text)
        except ValueError:
            return
        for name, value in _leaves(content):
            if name not in {"key_id", "phone_number_ids"}:
                for line in str(value).splitlines():
                    self.secrets.add(name, line)

    # --- what is thought of it -------------------------------------------------------------------------------

    def settle(self) -> None:
        """Think about what has passed since the last time."""
        while self._unsettled:
            self._unsettled.popleft()()

    def look_at_log(self, path: Path) -> None:
        """Look for everything in a log, and at the dimensions of its metrics."""
        self.settle()
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
            self.look_at_line(f"{path}:{number}", line)
        for number, line in enumerate(self.terminal.getvalue().splitlines(), start=1):
            self.look_at_line(f"the terminal, line {number}", line)

    def look_at_line(self, place: str, line: str) -> None:
        """Look for everything in a line of a log."""
        self._look(place, line, self.secrets, self.signatures, self.personal)
        for name, value in _dimensions(line):
            if re.fullmatch(DIMENSIONS.get(name, "(?!)"), value) is None:
                self.leaks.append(Leak(place, f"the dimension {name[:20]}"))

    def _look(self, place: str, text: str, *kinds: Planted) -> None:
        for kind in kinds:
            self.leaks += [Leak(place, what) for what in kind.found_in(text)]

    def _secret_answer(self, body: bytes) -> None:
        self.secret_value(json.loads(body).get("SecretString", ""))

    def _request(self, event: Json) -> None:
        headers, query = event.get("headers") or {}, event.get("queryStringParameters") or {}
        for name in PRESENTED:
            self._presented(name, headers.get(name, "").rpartition(" ")[2])
        for cookie in event.get("cookies") or ():
            self._presented("a cookie", cookie.partition("=")[2])
        for name in IN_QUERY:
            self._presented(name, query.get(name, ""))
        body = event.get("body") or ""
        self.webhook_body(base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "replace"))

    def _presented(self, name: str, value: str) -> None:
        """Remember a secret that a caller presents; what is not ASCII was never one, and may be a challenge, too."""
        if value.isascii():
            self.secrets.add(name, value)

    def webhook_body(self, body: bytes) -> None:
        """Remember all that a payload says of people."""
        try:
            content = json.loads(body.decode("utf-8", "replace"), parse_int=str)
        except (ValueError, RecursionError):
            return
        for name, value in _leaves(content):
            if name in IMPERSONAL or (name == "id" and value.isdecimal()):
                self.personal.pardon(value)
            else:
                self.personal.add(name, value)

    def _answer(self, function: str, result: Any) -> None:
        text = json.dumps(result)
        for url in re.findall(r"https?://[^\s\"\\]+Signature=[^\s\"\\]+", text):
            self.signatures.add("Signature", dict(parse_qsl(urlsplit(url).query))["Signature"])
        self._look(f"an answer of {function}", text, self.secrets)

    def _call(self, operation: str, target: str, body: bytes) -> None:
        if operation.startswith("SendMessage"):
            self._look_at_jobs(body)
        elif body:
            for key in KEYS.findall(body):
                self._look(f"a key in {operation}", key.decode(), self.secrets, self.personal)
        else:
            key = unquote_to_bytes(target.partition("?")[0]).decode("utf-8", "replace")
            self._look(f"the object key in {operation}", key, self.secrets, self.personal)

    def _look_at_jobs(self, body: bytes) -> None:
        sent = json.loads(body)
        if sent.get("QueueUrl", "").endswith(FORWARDING):
            self._look_at_parcel(json.loads(sent["MessageBody"]))
            return
        for entry in sent.get("Entries", [sent]):
            if JOB.fullmatch(entry["MessageBody"]) is None or "MessageAttributes" in entry:
                self.leaks.append(Leak("a job", f"{len(entry['MessageBody'])} characters that are not a message id"))

    def _look_at_parcel(self, parcel: Json) -> None:
        if not parcel.keys() <= PARCEL or not parcel["headers"].keys() <= PASSED_ON:
            self.leaks.append(Leak("a parcel", "more than the body and its headers"))
        around = json.dumps({**parcel, "body": None, "headers": parcel["headers"].get("content-type")})
        self._look("a parcel, around its body", around, self.secrets, self.personal)


@contextmanager
def watched(stack: Stack, witness: Witness) -> Iterator[None]:
    """Let a witness see what passes through a stack, and what the local run logs, which would be on the terminal."""
    witness.secrets.add("AWS_SECRET_ACCESS_KEY", stack.access.secret)
    stack.functions.invoke = witness.invoking(stack.functions.invoke)  # type: ignore[method-assign]
    terminal = logging.StreamHandler(witness.terminal)
    logging.getLogger("local").addHandler(terminal)
    try:
        yield
    finally:
        logging.getLogger("local").removeHandler(terminal)


def report(leaks: Iterable[Leak]) -> str:
    """Say what leaked, a line for each place."""
    return "\n".join(sorted({f"{leak.place}: {leak.what}" for leak in leaks}))


def _forms(value: str) -> set[str]:
    """Give a value as it is, and as it stands in JSON and in a URL."""
    head = value[:LONGEST]
    return {
        head,
        json.dumps(head)[1:-1],
        json.dumps(head, ensure_ascii=False)[1:-1],
        quote(head, safe="", errors="replace"),
    }


def _within_number(text: str, place: int, value: str) -> bool:
    end = place + len(value)
    return text[place - 1 : place].isdecimal() or text[end : end + 1].isdecimal()


def _leaves(content: object) -> Iterator[tuple[str, str]]:
    """Give the texts in JSON, each with the name under which it stands; without recursion, for it may be deep."""
    todo: list[tuple[str, object]] = [("", content)]
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += value.items()
        elif isinstance(value, list):
            todo += [(name, inner) for inner in value]
        elif isinstance(value, str):
            yield name, value


def _dimensions(line: str) -> Iterator[tuple[str, str]]:
    """Give the dimensions of a metric, name and value.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    if line.startswith('{"_aws"'):
        metric, _ = json.JSONDecoder().raw_decode(line)
        names = {name for one in metric["_aws"]["CloudWatchMetrics"] for own in one["Dimensions"] for name in own}
        yield from ((name, str(metric[name])) for name in names)
