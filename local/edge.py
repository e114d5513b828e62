"""CloudFront on a laptop: signed addresses checked with the public key, ranges, the template's own headers.

Nothing here is shared with the code that signs: what the one side gets wrong, the other refuses.
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-canned-policy.html

What CloudFront does and this does not: keep objects, compress, take signed cookies and custom policies, speak TLS and
HTTP/2, write access logs. CloudFront adds a policy's headers to every answer of its behaviour; here, what is refused
before the bucket is asked (method, signature) goes without them. What this does more: it takes http.
"""

import base64
import binascii
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from werkzeug.http import http_date, is_resource_modified
from werkzeug.wrappers import Request, Response

from local.template import Behaviour, Cors, Template

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

BLOCK = 256 * 1024
"""Bytes held of an object at a time."""
METHODS = ("GET", "HEAD")
"""AllowedMethods of the template's behaviours, all alike; a preflight would need OPTIONS."""

_SIGNED = frozenset({"Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm"})
_HASHES: Mapping[str | None, hashes.HashAlgorithm] = {None: hashes.SHA1(), "SHA256": hashes.SHA256()}  # noqa: S303  (what CloudFront checks by default)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class Refused(Exception):
    """What CloudFront or S3 answers instead of the object: HTTP status, error code, message, headers."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


class Address(NamedTuple):
    """A request's address: S3 key, the query string of one's own as it came, and the signing parameters."""

    path: str
    query: str
    signed: dict[str, str]

    @property
    def key(self) -> str:
        """The S3 key: the path, decoded."""
        return unquote(self.path.removeprefix("/"))

    def resource(self, origin: str) -> str:
        """The URL that must have been signed: without the signing parameters."""
        return f"{origin}{self.path}" + (f"?{self.query}" if self.query else "")


class Edge:
    """The distribution. `app` is its WSGI application; `url`, where it is served, is set once known.

    `public_keys`: PEM by key id. `behaviours` are tried in order. `readable`: the patterns of keys that the
    bucket's policy lets CloudFront read, see `readable_keys`.
    """

    def __init__(
        self,
        public_keys: Mapping[str, str],
        s3: "S3Client",
        bucket: str,
        behaviours: Sequence[Behaviour],
        readable: Sequence[str],
        *,
        methods: Sequence[str] = METHODS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = ""
        self.app = Request.application(self._answer)
        self._keys = {key_id: _public_key(pem) for key_id, pem in public_keys.items()}
        self._s3 = s3
        self._bucket = bucket
        self._behaviours = behaviours
        self._readable = readable
        self._methods = methods
        self._clock = clock

    def _answer(self, request: Request) -> Response:
        try:
            address = read_address(request.environ["REQUEST_URI"])
            return self._object(request, address, self._behaviour(request, address))
        except Refused as refusal:
            return _error(refusal)

    def _behaviour(self, request: Request, address: Address) -> Behaviour:
        """Give the behaviour of this address, once method and signature are right."""
        behaviour = next(own for own in self._behaviours if matches(own.path_pattern, address.path))
        if request.method not in self._methods:
            raise Refused(403, "AccessDenied", "This distribution does not allow the HTTP request method")
        if behaviour.signed:
            check_signature(address.resource(self.url), address.signed, self._keys, self._clock())
        return behaviour

    def _object(self, request: Request, address: Address, behaviour: Behaviour) -> Response:
        """Answer as S3 does, with the headers of the behaviour."""
        try:
            response = self._preflight(request, behaviour) or self._read(request, address, behaviour)
        except Refused as refusal:
            response = _error(refusal)
        _add_headers(response, request.headers.get("Origin"), behaviour)
        return response

    def _preflight(self, request: Request, behaviour: Behaviour) -> Response | None:
        if request.method != "OPTIONS":
            return None
        if not allows_preflight(behaviour.cors, dict(request.headers)):
            raise Refused(403, "AccessForbidden", "CORSResponse: This CORS request is not allowed")
        return Response(status=200, headers=_preflight_headers(behaviour.cors))

    def _read(self, request: Request, address: Address, behaviour: Behaviour) -> Response:
        self._check_readable(address.key)
        head = self._head(address.key)
        headers = _object_headers(head) | _overrides(address.query, behaviour.query_strings)
        if not is_resource_modified(request.environ, etag=head["ETag"], last_modified=head["LastModified"]):
            return _without_body(304, headers)
        span = requested_span(request, head["ETag"], headers["Last-Modified"], head["ContentLength"])
        if request.method == "HEAD":
            return _without_body(200, headers | {"Content-Length": str(head["ContentLength"])})
        return self._bytes(address.key, headers, span, head["ContentLength"])

    def _check_readable(self, key: str) -> None:
        # The same answer for what is missing and what is not to be seen: CloudFront may not list the bucket.
        if not any(matches(pattern, key) for pattern in self._readable):
            raise Refused(403, "AccessDenied", "Access Denied")

    def _head(self, key: str) -> "HeadObjectOutputTypeDef":
        try:
            return self._s3.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise Refused(503, "ServiceUnavailable", "The origin is unavailable") from error
            raise Refused(403, "AccessDenied", "Access Denied") from error
        except BotoCoreError as error:
            raise Refused(502, "BadGateway", "CloudFront could not reach the origin") from error

    def _bytes(self, key: str, headers: dict[str, str], span: range | None, size: int) -> Response:
        wanted: dict[str, Any] = {} if span is None else {"Range": f"bytes={span.start}-{span.stop - 1}"}
        try:
            body = self._s3.get_object(Bucket=self._bucket, Key=key, **wanted)["Body"]
        except (ClientError, BotoCoreError) as error:
            raise Refused(502, "BadGateway", "CloudFront could not read from the origin") from error
        headers = headers | {"Content-Length": str(size if span is None else len(span))}
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        response = Response(body.iter_chunks(BLOCK), 200 if span is None else 206, headers)
        response.call_on_close(body.close)
        return response


def read_address(uri: str) -> Address:
    """Split a request's raw path and query; a signing parameter given twice is refused."""
    path, _, query = uri.partition("?")
    fields = [field for field in query.split("&") if field]
    own = [field for field in fields if field.partition("=")[0] not in _SIGNED]
    signed = [field.partition("=")[::2] for field in fields if field.partition("=")[0] in _SIGNED]
    if len(dict(signed)) != len(signed):
        raise Refused(403, "AccessDenied", "Access denied")
    return Address(path, "&".join(own), {name: unquote(value) for name, value in signed})


def check_signature(resource: str, signed: Mapping[str, str], keys: Mapping[str, PublicKey], now: float) -> None:
    """Check a canned policy's signature and expiry (Unix seconds). Raises `Refused`.

    Without Hash-Algorithm, CloudFront takes the signature to be one over SHA-1.
    """
    if not signed.get("Key-Pair-Id"):
        raise Refused(403, "MissingKey", "Missing Key-Pair-Id query parameter or cookie value")
    key = keys.get(signed["Key-Pair-Id"])
    if key is None:
        raise Refused(403, "InvalidKey", "Unknown Key")
    algorithm = _HASHES.get(signed.get("Hash-Algorithm"))
    expires = signed.get("Expires", "")
    if algorithm is None or "Policy" in signed or not re.fullmatch(r"[0-9]{1,12}", expires):
        raise Refused(403, "AccessDenied", "Access denied")
    policy = (
        f'{{"Statement":[{{"Resource":"{resource}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}'
    )
    genuine = _is_genuine(key, signed.get("Signature", ""), policy.encode(), algorithm)
    if not genuine or now >= int(expires):
        raise Refused(403, "AccessDenied", "Access denied")


def _is_genuine(key: PublicKey, signature: str, policy: bytes, algorithm: hashes.HashAlgorithm) -> bool:
    try:
        raw = base64.b64decode(signature.translate(str.maketrans("-_~", "+=/")), validate=True)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(raw, policy, padding.PKCS1v15(), algorithm)
        else:
            key.verify(raw, policy, ec.ECDSA(algorithm))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _public_key(pem: str) -> PublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise TypeError("CloudFront takes ECDSA P-256 and RSA 2048 keys only")
    return key


def matches(pattern: str, path: str) -> bool:
    """Tell whether a path pattern (`*` any characters, `?` any one) fits; a leading slash says nothing."""
    parts = (re.escape(part).replace(r"\?", ".") for part in pattern.removeprefix("/").split("*"))
    return re.fullmatch(".*".join(parts), path.removeprefix("/"), re.DOTALL) is not None


def readable_keys(template: Template) -> tuple[str, ...]:
    """Give the patterns of keys that the bucket policy of the template lets CloudFront read."""
    (policy,) = template.of_type("AWS::S3::BucketPolicy").values()
    known = template.with_physical({f"{policy['Bucket']['Ref']}.Arn": "arn"})
    return tuple(
        resource.removeprefix("arn/")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for resource in known.resolve(statement["Resource"])
    )


def requested_span(request: Request, etag: str, last_modified: str, size: int) -> range | None:
    """Give the bytes that a GET asks for, or None for all of them. Raises `Refused` (416)."""
    only_if = request.headers.get("If-Range")
    header = request.headers.get("Range", "") if request.method == "GET" else ""
    return byte_range(header, size) if only_if in (None, etag, last_modified) else None


def byte_range(header: str, size: int) -> range | None:
    """Read a Range header: one range, or None where S3 sends everything. Raises `Refused` (416).

    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/RangeGETs.html
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found.groups()
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        message = "The requested range is not satisfiable"
        raise Refused(416, "InvalidRange", message, {"Content-Range": f"bytes */{size}"})
    return range(start, stop)


def allows_preflight(cors: Cors | None, headers: Mapping[str, str]) -> bool:
    """Tell whether a preflight's origin, method and headers are allowed."""
    if cors is None or not cors.allows(headers.get("Origin", "")):
        return False
    wanted = {name.strip().lower() for name in headers.get("Access-Control-Request-Headers", "").split(",")}
    allowed = {name.lower() for name in cors.headers}
    method = headers.get("Access-Control-Request-Method", "")
    return method in cors.methods and ("*" in allowed or wanted - {""} <= allowed)


def _preflight_headers(cors: Cors | None) -> dict[str, str]:
    if cors is None:
        return {}
    named = {
        "Access-Control-Allow-Methods": ", ".join(cors.methods),
        "Access-Control-Allow-Headers": ", ".join(cors.headers),
        "Access-Control-Max-Age": "" if cors.max_age is None else str(cors.max_age),
    }
    return {name: value for name, value in named.items() if value}


def _add_headers(response: Response, origin: str | None, behaviour: Behaviour) -> None:
    for name, value in behaviour.default_headers.items():
        response.headers.setdefault(name, value)
    for name, value in behaviour.headers.items():
        response.headers[name] = value
    response.headers.setdefault("X-Cache", "Miss from cloudfront")
    for name, value in _cors_headers(behaviour.cors, origin):
        response.headers[name] = value


def _cors_headers(cors: Cors | None, origin: str | None) -> Iterator[tuple[str, str]]:
    """Give the headers for a page of another origin.

    A fetch that the API redirects here carries `Origin: null`: only a policy for every origin lets it read.
    """
    if cors is None or origin is None:
        return
    anyone = "*" in cors.origins
    if not anyone:
        yield "Vary", "Origin"
    if anyone or cors.allows(origin):
        yield "Access-Control-Allow-Origin", "*" if anyone and not cors.credentials else origin
        if cors.credentials:
            yield "Access-Control-Allow-Credentials", "true"
        if cors.expose:
            yield "Access-Control-Expose-Headers", ", ".join(cors.expose)


def _object_headers(head: "HeadObjectOutputTypeDef") -> dict[str, str]:
    named = {
        "Content-Type": head.get("ContentType"),
        "Content-Disposition": head.get("ContentDisposition"),
        "Cache-Control": head.get("CacheControl"),
    }
    present = {name: value for name, value in named.items() if value}
    modified = http_date(head["LastModified"])
    return {**present, "ETag": head["ETag"], "Last-Modified": modified, "Accept-Ranges": "bytes"}


def _overrides(query: str, forwarded: Sequence[str]) -> dict[str, str]:
    """Give the headers that S3 takes from the query string, of those parameters that reach it."""
    wanted = dict(parse_qsl(query)).get("response-content-disposition")
    if wanted is None or "response-content-disposition" not in forwarded:
        return {}
    if not wanted.isprintable() or not _is_latin1(wanted):
        raise Refused(400, "InvalidArgument", "Header value cannot be represented using ISO-8859-1")
    return {"Content-Disposition": wanted}


def _is_latin1(text: str) -> bool:
    return all(ord(character) < 256 for character in text)


def _without_body(status: int, headers: dict[str, str]) -> Response:
    return Response(status=status, headers=headers)


def _error(refusal: Refused) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message></Error>"
    )
    headers = {"X-Cache": "Error from cloudfront", **refusal.headers}
    return Response(body, refusal.status, headers, content_type="text/xml")
