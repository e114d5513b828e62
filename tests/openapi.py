"""docs/openapi.json as a judge of answers: what it does not describe must not be answered."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import requests
from jsonschema import Draft202012Validator

from tests.builders import Json

PAGE = Path(__file__).parents[1] / "docs" / "openapi.json"
DOCUMENT: Json = json.loads(PAGE.read_bytes())


class Route(NamedTuple):
    """A route of the document, such as "get /messages/{message_id}"."""

    method: str
    path: str

    def described(self, answer: requests.Response) -> Any:
        """Give the body of an answer that is as the document says: status, type, headers, and every member."""
        responses: Json = DOCUMENT["paths"][self.path][self.method]["responses"]
        response = responses[str(answer.status_code)]
        missing = response.get("headers", {}).keys() - {name.title() for name in answer.headers}
        assert not missing, missing
        if "content" not in response:
            assert answer.content == b""
            return None
        ((kind, content),) = response["content"].items()
        assert answer.headers["Content-Type"].partition(";")[0] == kind
        body = answer.json()
        schema_of(content["schema"]["$ref"].rpartition("/")[2]).validate(body)
        return body


@cache
def schema_of(name: str) -> Draft202012Validator:
    """Give a schema of the document, closed."""
    reference = f"#/components/schemas/{name}"
    return Draft202012Validator({"$ref": reference, "components": _closed(DOCUMENT["components"])})


def _closed(schema: Any) -> Any:
    """Forbid what is not described. Callers must take more: a later version may say it."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: _closed(part) for name, part in schema.items()}
    return {"additionalProperties": False, **parts} if isinstance(schema.get("properties"), dict) else parts
