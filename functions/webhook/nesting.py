"""JSON nested deeper than the interpreter can read: the deep part becomes text, so that its siblings live. Pure."""

import json
import re

DEEPEST = 64  # Meta's own messages need a dozen

# A string as a whole, for brackets inside one mean nothing; possessive, so that a hostile one is read once.
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


def flattened(text: str) -> str:
    """Replace every array or object that is nested deeper than DEEPEST by the JSON string of its own text."""
    kept: list[str] = []
    depth = taken = start = 0
    for token in _TOKENS.finditer(text):
        if token[0] in "[{":
            depth += 1
            start = token.start() if depth == DEEPEST + 1 else start
        elif token[0] in "]}":
            depth -= 1
            if depth == DEEPEST:
                kept += [text[taken:start], json.dumps(text[start : token.end()], ensure_ascii=False)]
                taken = token.end()
    # What is never closed is no JSON, and stays none when it is cut off.
    return "".join([*kept, text[taken:start] if depth > DEEPEST else text[taken:]])
