"""The bucket, on a real S3 server: an object is visible only once it is what Meta declared."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from werkzeug.http import parse_options_header
from werkzeug.wrappers import Request, Response

from inbound.errors import GraphTimeout, InternalError, MediaCorrupt, MediaError, MediaTooLarge, MediaUrlDead
from local.server import serve
from media_proxy.cache import PART_SIZE, Address, Cache, Expected, Stored
from tests.builders import ALL_SAMPLES, MIB, PHOTO, Sample

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LIMIT = 100 * MIB
ADDRESS = Address("100000000000001", "m" * 26, 7, "請求書.jpg")
HTML = b"<!DOCTYPE html><html><body>Sorry, something went wrong</body></html>"
GRAPH_ERROR = b'{"error":{"message":"Application request limit reached","code":4}}'


def connected(url: str) -> "S3Client":
    return boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=1),
    )


@pytest.fixture(name="s3", scope="module")
def _s3() -> "Iterator[S3Client]":
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield connected(f"http://{host}:{port}")
    server.stop()


@pytest.fixture(name="bucket")
def _bucket(s3: "S3Client", request: pytest.FixtureRequest) -> str:
    name = f"b-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:32]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(name="cache")
def _cache(s3: "S3Client", bucket: str) -> Cache:
    return Cache(s3, bucket)


def expected(
    mime_type: str | None = "image/jpeg", *, content: bytes | None = None, size: int | None = None, limit: int = LIMIT
) -> Expected:
    """Say what Meta declared; with `content`, its size and hash."""
    if content is None:
        return Expected(mime_type, size, None, limit)
    return Expected(mime_type, len(content), hashlib.sha256(content).hexdigest(), limit)


def visible(s3: "S3Client", bucket: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def unfinished(s3: "S3Client", bucket: str) -> int:
    return len(s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def in_chunks(content: bytes, size: int = 256 * 1024) -> Iterator[bytes]:
    return (content[place : place + size] for place in range(0, len(content), size))


def some_bytes(size: int) -> bytes:
    return (PHOTO.content[:1000] * (size // 1000 + 1))[:size]


# --- what arrives whole -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", ALL_SAMPLES, ids=lambda sample: sample.name)
def test_each_sample_is_stored_as_it_came(s3: "S3Client", bucket: str, cache: Cache, sample: Sample) -> None:
    content = sample.content

    stored = cache.store(in_chunks(content, 1000), expected(sample.mime_type, content=content), ADDRESS)

    found = s3.get_object(Bucket=bucket, Key=stored.key)
    assert found["Body"].read() == content
    assert found["ContentType"] == stored.content_type
    assert (stored.size, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    prefix, number, message_id, fence = stored.key.split("/")
    assert (number, message_id, fence) == ("100000000000001", "m" * 26, "7")
    shown = "attachment" if prefix == "file" else "inline"
    assert parse_options_header(found["ContentDisposition"]) == (shown, {"filename": "請求書.jpg"})


@pytest.mark.parametrize(
    "size", [1, 511, 512, PART_SIZE - 1, PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE, 2 * PART_SIZE + 3]
)
def test_bytes_of_any_length_arrive_unchanged(s3: "S3Client", bucket: str, cache: Cache, size: int) -> None:
    content = some_bytes(size)

    stored = cache.store(in_chunks(content), expected(content=content), ADDRESS)

    assert s3.get_object(Bucket=bucket, Key=stored.key)["Body"].read() == content
    assert stored == Stored(f"{stored.key}", size, hashlib.sha256(content).hexdigest(), stored.content_type)
    assert unfinished(s3, bucket) == 0


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=700), max_size=8))
def test_it_does_not_matter_how_the_bytes_are_cut(
    s3: "S3Client", bucket: str, cache: Cache, chunks: list[bytes]
) -> None:
    content = PHOTO.content[:300] + b"".join(chunks)

    stored = cache.store([*in_chunks(PHOTO.content[:300], 1), *chunks], expected(content=content), ADDRESS)

    assert stored.key == f"inline/100000000000001/{'m' * 26}/7"
    assert s3.get_object(Bucket=bucket, Key=stored.key)["Body"].read() == content


def test_each_attempt_has_an_object_of_its_own(s3: "S3Client", bucket: str, cache: Cache) -> None:
    first = cache.store([PHOTO.content], expected(), ADDRESS)
    second = cache.store([PHOTO.content], expected(), ADDRESS._replace(fence=8))

    assert sorted(visible(s3, bucket)) == [first.key, second.key]
    assert first.key != second.key


def test_what_is_not_declared_is_not_compared(cache: Cache) -> None:
    assert cache.store([PHOTO.content], Expected("image/jpeg", None, None, LIMIT), ADDRESS).size == len(PHOTO.content)


def test_a_page_that_was_declared_is_stored_but_never_shown(s3: "S3Client", bucket: str, cache: Cache) -> None:
    stored = cache.store([HTML], expected("text/html", content=HTML), ADDRESS._replace(file_name="page.html"))

    found = s3.head_object(Bucket=bucket, Key=stored.key)
    assert stored.key.startswith("file/")
    assert found["ContentType"] == "application/octet-stream"
    assert found["ContentDisposition"].startswith("attachment;")


def test_the_declared_hash_proves_that_a_page_is_what_was_sent(s3: "S3Client", bucket: str, cache: Cache) -> None:
    stored = cache.store([HTML], expected("image/jpeg", content=HTML), ADDRESS)

    assert stored.key.startswith("file/")
    assert visible(s3, bucket) == [stored.key]


# --- what does not ------------------------------------------------------------------------------------------


def breaking(after: int, error: BaseException) -> Iterator[bytes]:
    yield some_bytes(after)
    raise error


def hashed(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


SMALL, LARGE = some_bytes(2000), some_bytes(PART_SIZE + 5)
REFUSED: list[tuple[str, Iterable[bytes], Expected, type[BaseException]]] = [
    ("too short", [SMALL], expected(size=2001), MediaCorrupt),
    ("too long", [SMALL], expected(size=1999), MediaCorrupt),
    ("nothing", [], expected(size=5), MediaCorrupt),
    ("another hash", [SMALL], Expected("image/jpeg", 2000, "0" * 64, LIMIT), MediaCorrupt),
    ("the right hash but another size", [SMALL], Expected("image/jpeg", 5, hashed(SMALL), LIMIT), MediaCorrupt),
    ("over the limit", [SMALL], expected(limit=1999), MediaTooLarge),
    ("a page", [HTML], expected(), MediaUrlDead),
    ("a page of unknown type", [HTML], expected(None), MediaUrlDead),
    ("a page of the declared size", [HTML], expected(size=len(HTML)), MediaUrlDead),
    ("a page instead of another file", [HTML], expected(content=SMALL), MediaUrlDead),
    ("an error of Graph", [GRAPH_ERROR], expected("video/mp4"), MediaUrlDead),
    ("large and too short", [LARGE], expected(size=PART_SIZE + 6), MediaCorrupt),
    ("large and of another hash", [LARGE], Expected("image/jpeg", len(LARGE), "0" * 64, LIMIT), MediaCorrupt),
    ("large and over the limit", in_chunks(LARGE), expected(limit=PART_SIZE + 4), MediaTooLarge),
    ("a large page", [HTML, LARGE], expected(size=len(HTML) + len(LARGE)), MediaUrlDead),
    ("breaks off", breaking(100, GraphTimeout("late")), expected(), GraphTimeout),
    ("breaks off late", breaking(PART_SIZE + 5, GraphTimeout("late")), expected(), GraphTimeout),
    ("the process ends", breaking(PART_SIZE + 5, KeyboardInterrupt()), expected(), KeyboardInterrupt),
]


@pytest.mark.parametrize(("chunks", "declared", "error"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_nothing_that_is_wrong_ever_becomes_visible(
    s3: "S3Client",
    bucket: str,
    cache: Cache,
    chunks: Iterable[bytes],
    declared: Expected,
    error: type[BaseException],
) -> None:
    with pytest.raises(error):
        cache.store(chunks, declared, ADDRESS)

    assert visible(s3, bucket) == []
    assert unfinished(s3, bucket) == 0


def test_the_limit_itself_is_allowed(cache: Cache) -> None:
    assert cache.store([SMALL], expected(limit=2000), ADDRESS).size == 2000


def test_reading_ends_where_the_limit_is_passed(cache: Cache) -> None:
    given_out = []

    def endless() -> Iterator[bytes]:
        while True:
            given_out.append(1)
            yield some_bytes(1000)

    with pytest.raises(MediaTooLarge):
        cache.store(endless(), expected(limit=5000), ADDRESS)

    assert len(given_out) == 6


def test_an_object_that_fails_leaves_an_older_one_alone(s3: "S3Client", bucket: str, cache: Cache) -> None:
    older = cache.store([SMALL], expected(), ADDRESS)

    with pytest.raises(MediaError):
        cache.store([LARGE], expected(size=5), ADDRESS)

    assert s3.get_object(Bucket=bucket, Key=older.key)["Body"].read() == SMALL


# --- S3 itself ----------------------------------------------------------------------------------------------


def test_an_object_is_there_until_it_is_deleted(cache: Cache) -> None:
    key = cache.store([SMALL], expected(), ADDRESS).key

    assert cache.exists(key)
    cache.delete(key)
    assert not cache.exists(key)
    cache.delete(key)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_what_s3_refuses_is_our_fault_not_the_medias(s3: "S3Client", content: bytes) -> None:
    nowhere = Cache(s3, "no-such-bucket")

    with pytest.raises(InternalError):
        nowhere.store([content], expected(), ADDRESS)
    with pytest.raises(InternalError):
        nowhere.delete("x")


@pytest.mark.parametrize("status", [400, 403, 500, 503])
def test_an_s3_that_does_not_say_whether_an_object_is_there_is_our_fault(status: int) -> None:
    with serve(Request.application(lambda _: Response(status=status))) as server, pytest.raises(InternalError):
        Cache(connected(server.url), "bucket").exists("x")


def test_an_s3_that_cannot_be_reached_is_our_fault_as_well() -> None:
    cache = Cache(connected("http://127.0.0.1:9"), "bucket")

    for call in (lambda: cache.store([SMALL], expected(), ADDRESS), lambda: cache.exists("x")):
        with pytest.raises(InternalError):
            call()
