"""What an answer must be, whatever was asked. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.fuzz.strange import Strange

LONGEST = 30.0  # seconds
OPENED = frozenset({200, 202, 206, 301, 302, 303, 307, 308})
# What keeps a browser from making more of an answer than it is.
PRECAUTIONS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
PROBLEM = frozenset({"type", "title", "status", "code", "detail", "retryable", "retry_after", "media"})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: status, headers by lower-case name, body, and how long it took (seconds)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took: float

    @property
    def by_a_function(self) -> bool:
        """Tell whether the request came through the gateway to a handler."""
        return "apigw-requestid" in self.headers


def flaws(asked: Strange, answer: Answer, codes: Mapping[str, int]) -> list[str]:
    """Say what is wrong with an answer; `codes` are the documented errors, each with its status."""
    found = [
        (answer.status >= 500, f"status {answer.status}"),
        (answer.took > LONGEST, f"took {answer.took:.0f} s"),
        (answer.status in OPENED and not asked.may, f"opened: {answer.status}"),
        (asked.must not in {None, answer.status}, f"status {answer.status} instead of {asked.must}"),
        ("x-injected" in answer.headers, "a header was injected"),
        (asked.method == b"HEAD" and answer.body != b"", "an answer to HEAD has a body"),
    ]
    own = _flaws_of_ours(asked, answer, codes) if answer.by_a_function else []
    return [text for is_so, text in found if is_so] + own


def _flaws_of_ours(asked: Strange, answer: Answer, codes: Mapping[str, int]) -> list[str]:
    """Say what is wrong with a handler's answer."""
    headers = answer.headers
    found = [f"without {name}" for name, value in PRECAUTIONS.items() if headers.get(name) != value]
    if answer.status >= 400:
        found += [] if asked.method == b"HEAD" else _flaws_of_problem(asked, answer, codes)
        if headers.get("content-type") != "application/problem+json":
            found.append(f"an error as {headers.get('content-type')}")
        if headers.get("cache-control") != "no-store":
            found.append("an error that may be stored")
    elif "/media/" in asked.aim:
        private = "no-store" if answer.status != 302 else "private, max-age="
        if not headers.get("cache-control", "").startswith(("no-store", private)):
            found.append("media that may be stored by anybody")
    elif asked.aim.startswith(("GET /conversations", "GET /messages")):
        if (headers.get("content-type"), headers.get("cache-control")) != ("application/json", "no-store"):
            found.append(f"the read API answers {headers.get('content-type')}, {headers.get('cache-control')}")
    elif headers.get("content-type", "").partition(";")[0] != "text/plain":
        found.append(f"the webhook answers {headers.get('content-type')}")
    return found


def _flaws_of_problem(asked: Strange, answer: Answer, codes: Mapping[str, int]) -> list[str]:
    try:
        problem = json.loads(answer.body)
    except ValueError:
        return ["an error that is no JSON"]
    found = []
    if problem.keys() - PROBLEM:
        found.append(f"an error with {sorted(problem.keys() - PROBLEM)}")
    if codes.get(problem.get("code")) != answer.status or problem.get("status") != answer.status:
        found.append(f"{problem.get('code')} with status {answer.status} is documented nowhere")
    if "media" in problem and not asked.may:
        found.append("an error tells of media to who may not know")
    return found
