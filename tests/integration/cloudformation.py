"""CloudFormation, as a custom resource sees it: requests, a place for answers, the key group that it updates."""

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Request, Response

from tests.integration.cloudfront import CloudFront

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Json = dict[str, Any]

STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/media/51af3dc0-da77-11e4-872e-1234567db123"
SIGNATURE = "X-Amz-Signature=5ecre7" + "ab" * 20
GIVEN_ID = "media-SigningKeys-1ABCDEFGHIJKL"
"""What CloudFormation calls a resource whose creation was never answered."""


@dataclass
class AnswerPlace:
    """The presigned URL, as a WSGI application: takes PUTs, after `failures` (HTTP statuses) and `pause` (seconds)."""

    answers: list[Json] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    tries: int = 0
    failures: list[int] = field(default_factory=list)
    pause: float = 0
    url: str = ""

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        self.tries += 1
        Event().wait(self.pause)
        # S3 may ask for patience, or send us elsewhere: the one has no time, the other no right.
        headers = {"Retry-After": "20", "Location": f"{self.url}/elsewhere?{SIGNATURE}"}
        return Response(status=self._take(request), headers=headers)(environ, start_response)

    def _take(self, request: Request) -> int:
        if request.method != "PUT" or SIGNATURE not in request.query_string.decode():
            return 403
        if request.headers.get("Content-Type", "") != "":  # the URL's signature is over an empty one
            return 403
        if self.failures:
            return self.failures.pop(0)
        self.bodies.append(request.get_data())
        self.answers.append(json.loads(self.bodies[-1]))
        return 200


@dataclass
class Deployment:
    """A stack with signing keys. After a success the key group names what was answered, as in template.yaml."""

    handler: Callable[[Json, Any], None]
    place: AnswerPlace
    cloudfront: CloudFront
    stack_id: str = STACK_ID
    physical_id: str = ""
    seconds: float = 120

    def request(self, kind: str, **properties: Any) -> Json:
        own = {"PhysicalResourceId": self.physical_id} if kind != "Create" else {}
        return {
            "RequestType": kind,
            "ResponseURL": f"{self.place.url}/answers/1?{SIGNATURE}",
            "StackId": self.stack_id,
            "RequestId": str(uuid.uuid4()),
            "ResourceType": "Custom::SigningKeys",
            "LogicalResourceId": "SigningKeys",
            "ResourceProperties": {"ServiceToken": "arn:f", "ServiceTimeout": "300", **properties},
            **own,
        }

    def send(self, request: Json) -> Json:
        """Invoke the function, and give what it answered."""
        before = len(self.place.answers)
        self.handler(request, self.context())
        assert len(self.place.answers) == before + 1
        answer = self.place.answers[-1]
        assert {key: answer[key] for key in ("StackId", "RequestId", "LogicalResourceId")} == {
            key: request[key] for key in ("StackId", "RequestId", "LogicalResourceId")
        }
        return answer

    def asked(self, kind: str, version: str = "1", *, keep_old: str = "true") -> Json:
        return self.send(self.request(kind, KeyVersion=version, KeepOldSigningKeys=keep_old))

    def update_group(self, answer: Json) -> list[str]:
        assert answer["Status"] == "SUCCESS", answer["Reason"]
        ids: list[str] = answer["Data"]["KeyIds"].split(",")
        unknown = [key_id for key_id in ids if key_id not in self.cloudfront.keys]
        assert unknown == [], "CloudFront refuses a key group with unknown keys"
        self.cloudfront.group = set(ids)
        return ids

    def deploy(self, version: str = "1", *, keep_old: str = "true") -> list[str]:
        """Create or update; give the ids in the key group."""
        kind = "Update" if self.physical_id else "Create"
        answer = self.asked(kind, version, keep_old=keep_old)
        assert self.physical_id in ("", answer["PhysicalResourceId"]), "CloudFormation takes this for a replacement"
        self.physical_id = answer["PhysicalResourceId"]
        return self.update_group(answer)

    def delete(self) -> Json:
        """Delete the stack: the key group goes first."""
        self.cloudfront.group = set()
        self.physical_id = self.physical_id or GIVEN_ID
        return self.asked("Delete")

    def context(self) -> Any:
        return SimpleNamespace(
            function_name="SigningKeyFunction",
            memory_limit_in_mb="512",
            invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:SigningKeyFunction",
            aws_request_id=str(uuid.uuid4()),
            log_group_name="the-log-group",
            get_remaining_time_in_millis=lambda: round(1000 * self.seconds),
        )
