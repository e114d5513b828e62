"""S3: bytes in, counted, hashed and sniffed on the way; visible only once they are what Meta declared."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypedDict, cast

from botocore.exceptions import BotoCoreError, ClientError

from inbound.errors import InternalError, MediaCorrupt, MediaTooLarge, MediaUrlDead
from inbound.media import object_key
from inbound.observability import logger
from media_proxy import content
from media_proxy.content import Content

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, ObjectIdentifierTypeDef

# S3 wants 5 MiB or more in all parts but the last. One part at a time is all the memory that a download takes.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_SIZE = 8 * 1024 * 1024
MOST_DELETED = 1000  # objects, https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
SNIFFED = 512  # bytes; enough to tell what a file is
MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


class _Object(TypedDict):
    Bucket: str
    Key: str
    ContentType: str
    ContentDisposition: str


class _Upload(TypedDict):
    Bucket: str
    Key: str
    UploadId: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What the bytes must be: type, size in bytes and SHA-256 in hex as Meta declared them, and our limit in bytes."""

    mime_type: str | None
    size: int | None
    sha256: str | None
    limit: int


class Address(NamedTuple):
    """Where the object goes: number, message, the fence of this attempt; and the name that it is saved under."""

    phone_number_id: str
    message_id: str
    fence: int
    file_name: str = ""

    def key(self, prefix: str) -> str:
        """Give the object key under a class."""
        return object_key(prefix, self.phone_number_id, self.message_id, str(self.fence))


class Stored(NamedTuple):
    """A verified object: key, size in bytes, SHA-256 in hex, Content-Type."""

    key: str
    size: int
    sha256: str
    content_type: str


class Cache:
    """The bucket."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def store(self, chunks: Iterable[bytes], expected: Expected, address: Address) -> Stored:
        """Stream bytes into an object that becomes visible only when they are what was expected.

        Raises `MediaTooLarge`, `MediaCorrupt`, `MediaUrlDead` (a page came instead of the file), what `chunks`
        raises, or `InternalError` when S3 fails. Nothing is visible after any of them.
        """
        measured = _Measured(chunks, expected.limit)
        parts = _parts(measured)
        head = next(parts, bytearray())
        start = bytes(head[:SNIFFED])
        kind = content.classify(expected.mime_type, start)
        where = self._object(address.key(kind.prefix), kind, address.file_name)
        with _s3_faults():
            if len(head) < PART_SIZE:
                measured.verify(expected, start)
                self._s3.put_object(**where, Body=cast("bytes", head))
            else:
                self._store_in_parts(where, head, parts, lambda: measured.verify(expected, start))
        return Stored(where["Key"], measured.size, measured.sha256, kind.content_type)

    def exists(self, key: str) -> bool:
        """Tell whether the object is there. Raises `InternalError` when S3 fails."""
        with _s3_faults():
            try:
                self._s3.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response["Error"].get("Code") in MISSING:
                    return False
                raise
        return True

    def delete(self, key: str) -> None:
        """Delete an object that another attempt has made superfluous."""
        with _s3_faults():
            self._s3.delete_object(Bucket=self._bucket, Key=key)

    def delete_earlier(self, address: Address) -> None:
        """Delete what earlier attempts have stored and could not publish, the last ones that fit into one call."""
        earlier = range(max(1, address.fence - MOST_DELETED // len(content.PREFIXES)), address.fence)
        keys = [address._replace(fence=fence).key(prefix) for fence in earlier for prefix in content.PREFIXES]
        with _s3_faults():
            objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys]
            self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})

    def _object(self, key: str, kind: Content, file_name: str) -> "_Object":
        return {
            "Bucket": self._bucket,
            "Key": key,
            "ContentType": kind.content_type,
            "ContentDisposition": content.content_disposition(kind.disposition, file_name),
        }

    def _store_in_parts(
        self,
        where: "_Object",
        head: bytearray,
        rest: Iterator[bytearray],
        verify: Callable[[], None],
    ) -> None:
        """Upload part by part; complete the upload once the whole is verified, or abort it."""
        upload_id = self._s3.create_multipart_upload(**where)["UploadId"]
        upload: _Upload = {"Bucket": where["Bucket"], "Key": where["Key"], "UploadId": upload_id}
        try:
            done: list[CompletedPartTypeDef] = []
            for number, part in enumerate(chain([head], rest), start=1):
                answer = self._s3.upload_part(**upload, PartNumber=number, Body=cast("bytes", part))
                done.append({"PartNumber": number, "ETag": answer["ETag"]})
            verify()
            self._s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
        except BaseException:
            self._abandon(upload)
            raise

    def _abandon(self, upload: "_Upload") -> None:
        """End an upload. Why it is abandoned is told, not what fails here: that is left to the bucket's lifecycle."""
        try:
            self._s3.abort_multipart_upload(**upload)
        except (BotoCoreError, ClientError) as error:
            logger.warning("upload_not_aborted", error=type(error).__name__)


class _Measured:
    """Chunks as they pass: counted against the limit, and hashed."""

    def __init__(self, chunks: Iterable[bytes], limit: int) -> None:
        self._chunks = chunks
        self._limit = limit
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Give the hash so far, in hex."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._limit:
                raise MediaTooLarge(f"More than {self._limit} bytes came.")
            self._hash.update(chunk)
            yield chunk

    def verify(self, expected: Expected, start: bytes) -> None:
        """Compare what came with what was declared. Raises `MediaCorrupt`, or `MediaUrlDead` where a page came.

        The hash decides: a sender may well send a web page as a picture, and then it is what Meta declared.
        """
        same_size = expected.size is None or expected.size == self.size
        same_hash = expected.sha256 is None or expected.sha256 == self.sha256
        proven = expected.sha256 is not None and same_hash and same_size
        if not proven and content.is_answer_instead(expected.mime_type, start):
            raise MediaUrlDead("A page came instead of the media.")
        if self.size == 0 and not proven:
            raise MediaCorrupt("Nothing came.")
        if not same_size:
            raise MediaCorrupt(f"{self.size} bytes came, {expected.size} were declared.")
        if not same_hash:
            raise MediaCorrupt("The SHA-256 of the bytes is not the declared one.")


def _parts(chunks: Iterable[bytes]) -> Iterator[bytearray]:
    """Gather chunks into parts of PART_SIZE; the last may be shorter.

    All parts are the same buffer, filled anew when the next one is asked for: memory holds one part and no copy.
    (boto3 sends a bytearray as it sends bytes; only its annotations do not know.)
    """
    part, filled = bytearray(PART_SIZE), 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            taken = min(len(rest), PART_SIZE - filled)
            part[filled : filled + taken] = rest[:taken]
            rest, filled = rest[taken:], filled + taken
            if filled == PART_SIZE:
                yield part
                filled = 0
    if filled:
        del part[filled:]
        yield part


@contextmanager
def _s3_faults() -> Iterator[None]:
    """Whatever S3 refuses is our fault, not the media's."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise InternalError("Storing the media failed.") from error
