"""CloudFront's API for public keys, over HTTP, as strict as AWS where moto is not.

moto takes a name twice, deletes a key that a group names, does not look at If-Match, and fails (500) for an id that it
does not know. https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_Operations.html
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NAMESPACE = "http://cloudfront.amazonaws.com/doc/2020-05-31/"
PATH = "/2020-05-31/public-key"
LONGEST_HOLD = 20.0  # seconds, so that a test that fails does not hold on for ever


@dataclass
class PublicKey:
    name: str
    pem: str
    etag: str = field(default_factory=lambda: f"E{secrets.token_hex(6).upper()}")


class Refused(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class CloudFront:
    """A WSGI application. `group` holds the ids that a key group names; `failures` what is answered to coming calls.

    A failure is the operation, and an HTTP status with a code; `held` operations wait until `go` is set.
    """

    keys: dict[str, PublicKey] = field(default_factory=dict)
    group: set[str] = field(default_factory=set)
    failures: deque[tuple[str, int, str]] = field(default_factory=deque)
    calls: list[str] = field(default_factory=list)
    references: set[str] = field(default_factory=set)
    sent: dict[str, str] = field(default_factory=dict)
    after_add: Callable[[], None] = lambda: None
    held: set[str] = field(default_factory=set)
    reached: Event = field(default_factory=Event)
    go: Event = field(default_factory=Event)
    page: int = 2

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self._answer(request)
        except Refused as error:
            text = f"<Type>Sender</Type><Code>{error.code}</Code><Message>no</Message>"
            body = f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{text}</Error><RequestId>r</RequestId></ErrorResponse>'
            response = Response(body, error.status, content_type="text/xml")
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        key_id = request.path.removeprefix(PATH).strip("/")
        operation = {
            ("POST", False): self._add,
            ("GET", False): self._list,
            ("GET", True): self._get,
            ("DELETE", True): self._delete,
        }[request.method, bool(key_id)]
        self.calls.append(operation.__name__)
        self._strike(operation.__name__)
        return operation(request, key_id)

    def _strike(self, operation: str) -> None:
        if operation in self.held:
            self.reached.set()
            self.go.wait(LONGEST_HOLD)
        if self.failures and self.failures[0][0] == operation:
            _, status, code = self.failures.popleft()
            raise Refused(status, code)

    def _add(self, request: Request, _: str) -> Response:
        config = ET.fromstring(request.get_data())  # noqa: S314  (botocore made it)
        name, pem, reference = (
            config.findtext(f"{{{NAMESPACE}}}{tag}") or "" for tag in ("Name", "EncodedKey", "CallerReference")
        )
        check_public_key(pem)
        if reference in self.references or name in {own.name for own in self.keys.values()}:
            raise Refused(409, "PublicKeyAlreadyExists")
        key_id = f"K{secrets.token_hex(6).upper()}"
        self.references.add(reference)
        self.keys[key_id] = PublicKey(name, pem)
        self.sent[key_id] = pem
        answer = self._shown(key_id, 201)
        self.after_add()
        return answer

    def _get(self, _: Request, key_id: str) -> Response:
        return self._shown(key_id, 200)

    def _delete(self, request: Request, key_id: str) -> Response:
        key = self._known(key_id)
        if request.headers.get("If-Match") != key.etag:
            raise Refused(412, "PreconditionFailed")
        if key_id in self.group:
            raise Refused(409, "PublicKeyInUse")
        del self.keys[key_id]
        return Response(status=204)

    def _list(self, request: Request, _: str) -> Response:
        ids = sorted(self.keys)
        rest = [key_id for key_id in ids if key_id > request.args.get("Marker", "")]
        items = "".join(
            f"<PublicKeySummary><Id>{key_id}</Id>{_fields(self.keys[key_id])}</PublicKeySummary>"
            for key_id in rest[: self.page]
        )
        more = f"<NextMarker>{rest[self.page - 1]}</NextMarker>" if len(rest) > self.page else ""
        count = f"<MaxItems>{self.page}</MaxItems><Quantity>{len(rest[: self.page])}</Quantity>"
        shown = f"<Items>{items}</Items>" if items else ""
        return Response(
            f'<PublicKeyList xmlns="{NAMESPACE}">{more}{count}{shown}</PublicKeyList>', content_type="text/xml"
        )

    def _known(self, key_id: str) -> PublicKey:
        if key_id not in self.keys:
            raise Refused(404, "NoSuchPublicKey")
        return self.keys[key_id]

    def _shown(self, key_id: str, status: int) -> Response:
        key = self._known(key_id)
        config = f"<PublicKeyConfig><CallerReference>c</CallerReference>{_fields(key, time=False)}</PublicKeyConfig>"
        body = f'<PublicKey xmlns="{NAMESPACE}"><Id>{key_id}</Id>{TIME}{config}</PublicKey>'
        return Response(body, status, {"ETag": key.etag}, content_type="text/xml")


TIME = "<CreatedTime>2026-11-24T09:00:00Z</CreatedTime>"


def _fields(key: PublicKey, *, time: bool = True) -> str:
    return f"<Name>{escape(key.name)}</Name>{TIME if time else ''}<EncodedKey>{escape(key.pem)}</EncodedKey>"


def check_public_key(pem: str) -> None:
    """Refuse what CloudFront refuses: anything but a P-256 key in PEM, with its last line end."""
    try:
        key = load_pem_public_key(pem.encode())
    except ValueError as error:
        raise Refused(400, "InvalidArgument") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1" or not pem.endswith("-----\n"):
        raise Refused(400, "InvalidArgument")
