"""The CloudFront stand-in, over real HTTP, with the template's own behaviours in front of moto's S3."""

import base64
import http.client
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Response

from local import template as templates
from local.edge import METHODS, Edge, byte_range, matches, readable_keys
from local.server import serve

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "media"
KEY = "inline/106540352242922/abc/1"
CONTENT = bytes(range(256)) * 4000
PAGE = "http://127.0.0.1:8123"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


KEYS = {"KEC": pem(EC_KEY), "KRSA": pem(RSA_KEY)}


def a_client(url: str) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(name="s3", scope="module")
def _s3() -> Iterator["S3Client"]:
    with serve(DomainDispatcherApplication(create_backend_app)) as moto:
        client = a_client(moto.url)
        client.create_bucket(Bucket=BUCKET)
        for key, content_type in (
            (KEY, "video/mp4"),
            ("pdf/1/2/3", "application/pdf"),
            ("file/1/2/3", "application/octet-stream"),
            ("raw/1/2/3", "application/json"),
        ):
            client.put_object(Bucket=BUCKET, Key=key, Body=CONTENT, ContentType=content_type)
        client.put_object(Bucket=BUCKET, Key="inline/1/empty/1", Body=b"", ContentType="image/png")
        client.put_object(Bucket=BUCKET, Key="inline/1/ação b/1", Body=b"x", ContentDisposition='inline; filename="x"')
        yield client
        client.close()


@pytest.fixture(name="template", scope="module")
def _template() -> templates.Template:
    return templates.load({"AllowedOrigins": f"{PAGE},https://crm.example.org"})


def an_edge(s3: "S3Client", template: templates.Template, **settings: Any) -> Edge:
    return Edge(KEYS, s3, BUCKET, templates.edge_behaviours(template), readable_keys(template), **settings)


@pytest.fixture(name="edge", scope="module")
def _edge(s3: "S3Client", template: templates.Template) -> Iterator[str]:
    edge = an_edge(s3, template)
    with serve(edge.app) as server:
        edge.url = server.url
        yield server.url


def signature(policy: str, key: ec.EllipticCurvePrivateKey = EC_KEY) -> str:
    raw = base64.b64encode(key.sign(policy.encode(), ec.ECDSA(hashes.SHA256()))).decode()
    return raw.replace("+", "-").replace("=", "_").replace("/", "~")


def signed(resource: str, *, key_id: str = "KEC", expires: int | None = None, **key: Any) -> str:
    expires = int(time.time()) + 60 if expires is None else expires
    condition = f'{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}'
    policy = f'{{"Statement":[{{"Resource":"{resource}","Condition":{condition}}}]}}'
    joint = "&" if "?" in resource else "?"
    query = f"Expires={expires}&Signature={signature(policy, **key)}&Key-Pair-Id={key_id}"
    return f"{resource}{joint}{query}&Hash-Algorithm=SHA256"


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=5)


def refusal(response: requests.Response) -> tuple[int, str]:
    found = re.search("<Error><Code>(.*)</Code><Message>.+</Message></Error>", response.text)
    assert found, response.text
    assert response.headers["Content-Type"].startswith("text/xml")
    return response.status_code, found[1]


# --- signatures -----------------------------------------------------------------------------------------------


def test_a_signed_address_gives_the_object(edge: str) -> None:
    got = get(signed(f"{edge}/{KEY}"))

    assert (got.status_code, got.content) == (200, CONTENT)
    assert got.headers["Content-Type"] == "video/mp4"
    assert got.headers["Content-Length"] == str(len(CONTENT))
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["ETag"].startswith('"')
    assert "Last-Modified" in got.headers


def test_the_order_of_the_signing_parameters_does_not_matter(edge: str) -> None:
    path, _, query = signed(f"{edge}/{KEY}").partition("?")

    assert get(f"{path}?{'&'.join(reversed(query.split('&')))}").status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("Expires=", "Expires=1"), "AccessDenied"),
        (("Signature=", "Signature=A"), "AccessDenied"),
        (("Signature=", "Signature=%"), "AccessDenied"),
        (("Signature=", "Ignored="), "AccessDenied"),
        (("Expires=", "Expires=x"), "AccessDenied"),
        (("Expires=", "Ignored="), "AccessDenied"),
        (("Key-Pair-Id=KEC", "Key-Pair-Id="), "MissingKey"),
        (("Key-Pair-Id=KEC&", ""), "MissingKey"),
        (("Key-Pair-Id=KEC", "Key-Pair-Id=KOTHER"), "InvalidKey"),
        (("Key-Pair-Id=KEC", "Key-Pair-Id=KRSA"), "AccessDenied"),
        (("&Hash-Algorithm=SHA256", ""), "AccessDenied"),
        (("Hash-Algorithm=SHA256", "Hash-Algorithm=SHA512"), "AccessDenied"),
        (("Hash-Algorithm=SHA256", "Hash-Algorithm=SHA256&Expires=9999999999"), "AccessDenied"),
        (("Hash-Algorithm=SHA256", "Hash-Algorithm=SHA256&Hash-Algorithm=SHA256"), "AccessDenied"),
        (("Hash-Algorithm=SHA256", "Hash-Algorithm=SHA256&Policy=e30_"), "AccessDenied"),
        (("Hash-Algorithm=SHA256", "Hash-Algorithm=SHA256&added=later"), "AccessDenied"),
        (("/abc/1", "/abc/2"), "AccessDenied"),
        (("/abc/1", "//abc/1"), "AccessDenied"),
        (("/abc/1", "/abc%2F1"), "AccessDenied"),
    ],
)
def test_anything_changed_is_refused(edge: str, change: tuple[str, str], code: str) -> None:
    good = signed(f"{edge}/{KEY}")
    changed = good.replace(*change, 1)

    assert changed != good
    assert refusal(get(changed)) == (403, code)


def test_without_signature_nothing_is_given(edge: str) -> None:
    assert refusal(get(f"{edge}/{KEY}")) == (403, "MissingKey")
    assert refusal(get(f"{edge}/")) == (403, "MissingKey")


def test_another_s_signature_is_refused(edge: str) -> None:
    assert refusal(get(signed(f"{edge}/{KEY}", key=ec.generate_private_key(ec.SECP256R1()))))[0] == 403


def test_an_expired_address_is_refused(edge: str) -> None:
    now = int(time.time())

    assert refusal(get(signed(f"{edge}/{KEY}", expires=now))) == (403, "AccessDenied")
    assert get(signed(f"{edge}/{KEY}", expires=now + 30)).status_code == 200


def test_an_address_signed_for_another_host_is_refused(edge: str) -> None:
    elsewhere = signed(f"https://d111111abcdef8.cloudfront.net/{KEY}")

    assert refusal(get(elsewhere.replace("https://d111111abcdef8.cloudfront.net", edge)))[0] == 403


def test_what_amazon_s_own_signer_signs_is_accepted(edge: str) -> None:
    sha1 = hashes.SHA1()  # noqa: S303  (all that botocore's signer knows)
    signer = CloudFrontSigner("KRSA", lambda policy: RSA_KEY.sign(policy, padding.PKCS1v15(), sha1))
    expiry = datetime.now(UTC) + timedelta(seconds=60)

    url = signer.generate_presigned_url(f"{edge}/{KEY}", date_less_than=expiry)

    assert "Hash-Algorithm" not in url
    assert get(url).status_code == 200
    assert refusal(get(f"{url}&Hash-Algorithm=SHA256"))[0] == 403


# --- what is served -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "raw/1/2/3",
        "inline/1/missing/1",
        "other",
        "",
        "Inline/1/2/3",
        "inline/../raw/1/2/3",
        "inline/%2e%2e/raw/1/2/3",
        f"inline/.{KEY.removeprefix('inline')}",
    ],
)
def test_other_prefixes_and_missing_objects_look_the_same(edge: str, path: str) -> None:
    assert refused_raw(edge, signed(f"{edge}/{path}")) == (403, "AccessDenied")


def refused_raw(edge: str, url: str) -> tuple[int, str]:
    """Ask without tidying the path, as requests would."""
    connection = http.client.HTTPConnection(edge.removeprefix("http://"), timeout=5)
    connection.request("GET", url.removeprefix(edge))
    response = connection.getresponse()
    found = re.search("<Code>(.*)</Code>", response.read().decode())
    connection.close()
    return response.status, found[1] if found else ""


def test_a_key_outside_ascii_is_found(edge: str) -> None:
    got = get(signed(f"{edge}/inline/1/{quote('ação b')}/1"))

    assert (got.content, got.headers["Content-Disposition"]) == (b"x", 'inline; filename="x"')


def test_head_says_everything_and_sends_nothing(edge: str) -> None:
    got = requests.head(signed(f"{edge}/{KEY}"), headers={"Range": "bytes=0-9"}, timeout=5)

    assert (got.status_code, got.content) == (200, b"")
    assert got.headers["Content-Length"] == str(len(CONTENT))
    assert got.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(edge: str, method: str) -> None:
    assert refusal(requests.request(method, signed(f"{edge}/{KEY}"), timeout=5))[0] == 403


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=1000-", 1000, len(CONTENT)),
        ("bytes=-100", len(CONTENT) - 100, len(CONTENT)),
        ("bytes=-99999999", 0, len(CONTENT)),
        ("bytes=1023990-99999999", 1023990, len(CONTENT)),
    ],
)
def test_a_range_is_served(edge: str, header: str, start: int, stop: int) -> None:
    got = get(signed(f"{edge}/{KEY}"), Range=header)

    assert (got.status_code, got.content) == (206, CONTENT[start:stop])
    assert got.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert got.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("header", ["bytes=1024000-", "bytes=9999999-99999999", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(edge: str, header: str) -> None:
    got = get(signed(f"{edge}/{KEY}"), Range=header)

    assert refusal(got) == (416, "InvalidRange")
    assert got.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=a-b", "bytes=-", "items=0-1", "bytes=0-1,5-6", "bytes=٣-"])
def test_a_range_that_makes_no_sense_gives_everything(edge: str, header: str) -> None:
    got = requests.get(signed(f"{edge}/{KEY}"), headers={"Range": header.encode()}, timeout=5)

    assert (got.status_code, len(got.content)) == (200, len(CONTENT))


def test_if_range_serves_the_range_only_of_the_same_object(edge: str) -> None:
    url = signed(f"{edge}/{KEY}")
    known = get(url).headers

    assert get(url, Range="bytes=0-9", If_Range=known["ETag"]).status_code == 206
    assert get(url, Range="bytes=0-9", If_Range=known["Last-Modified"]).status_code == 206
    assert get(url, Range="bytes=0-9", If_Range='"other"').status_code == 200


def test_what_the_browser_has_is_not_sent_again(edge: str) -> None:
    url = signed(f"{edge}/{KEY}")
    known = get(url).headers

    unchanged = get(url, If_None_Match=known["ETag"])
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", known["ETag"])
    assert unchanged.headers["Cache-Control"] == "private, max-age=86400, immutable"
    assert get(url, If_Modified_Since=known["Last-Modified"]).status_code == 304
    assert get(url, If_None_Match='"other"').status_code == 200


def test_an_empty_object_has_no_ranges(edge: str) -> None:
    url = signed(f"{edge}/inline/1/empty/1")

    assert (get(url).status_code, get(url).content) == (200, b"")
    assert get(url, Range="bytes=0-").status_code == 416


def test_the_name_to_save_under_is_part_of_what_is_signed(edge: str) -> None:
    wanted = "attachment; filename=\"o.mp4\"; filename*=UTF-8''ol%C3%A1.mp4"
    url = signed(f"{edge}/{KEY}?response-content-disposition={quote(wanted, safe='')}")

    assert get(url).headers["Content-Disposition"] == wanted
    assert requests.head(url, timeout=5).headers["Content-Disposition"] == wanted
    assert refusal(get(url.replace("o.mp4", "p.mp4")))[0] == 403


@pytest.mark.parametrize(
    "wanted", ["inline", "inline; filename=x.html", 'attachment; filename="x.html"; type=text/html']
)
def test_the_name_to_save_under_changes_neither_type_nor_precautions(edge: str, wanted: str) -> None:
    plain = get(signed(f"{edge}/file/1/2/3")).headers

    named = get(signed(f"{edge}/file/1/2/3?response-content-disposition={quote(wanted, safe='')}")).headers

    differing = {name for name in {*plain, *named} if plain.get(name) != named.get(name)}
    assert differing - {"Date"} == {"Content-Disposition"}


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x=y", "ол\u0451", "\x00"])
def test_a_name_that_no_header_can_hold_is_refused(edge: str, value: str) -> None:
    url = signed(f"{edge}/{KEY}?response-content-disposition={quote(value, safe='')}")

    assert refusal(get(url)) == (400, "InvalidArgument")


def test_query_strings_off_the_cache_policy_do_not_reach_the_object(edge: str) -> None:
    url = signed(f"{edge}/{KEY}?response-content-type=text/html&versionId=1")

    assert get(url).headers["Content-Type"] == "video/mp4"


def test_without_a_cache_policy_that_lets_it_through_the_name_is_ignored(
    s3: "S3Client", template: templates.Template
) -> None:
    behaviours = [replace(own, query_strings=()) for own in templates.edge_behaviours(template)]
    edge = Edge(KEYS, s3, BUCKET, behaviours, readable_keys(template))
    with serve(edge.app) as server:
        edge.url = server.url
        got = get(signed(f"{edge.url}/{KEY}?response-content-disposition=attachment"))

    assert got.status_code == 200
    assert "Content-Disposition" not in got.headers


# --- headers --------------------------------------------------------------------------------------------------


def test_each_prefix_has_its_own_headers(edge: str) -> None:
    inline, pdf, file = (get(signed(f"{edge}/{key}")).headers for key in (KEY, "pdf/1/2/3", "file/1/2/3"))

    assert "sandbox" in inline["Content-Security-Policy"]
    assert "sandbox" not in pdf["Content-Security-Policy"]
    assert "sandbox" in file["Content-Security-Policy"]
    for headers in (inline, pdf, file):
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert headers["Cache-Control"] == "private, max-age=86400, immutable"
        assert "Access-Control-Allow-Origin" not in headers


def test_refusals_by_s3_carry_the_headers_too(edge: str) -> None:
    got = get(signed(f"{edge}/inline/1/missing/1"), Origin=PAGE)

    assert got.headers["Access-Control-Allow-Origin"] == PAGE
    assert got.headers["X-Cache"] == "Error from cloudfront"


@pytest.mark.parametrize("path", ["inline/1/missing/1", "raw/1/2/3", "other", ""])
def test_what_is_refused_behind_a_signature_is_no_page_either(edge: str, path: str) -> None:
    got = get(signed(f"{edge}/{path}"))

    assert got.status_code == 403
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Content-Security-Policy"].endswith("sandbox allow-same-origin")


def test_pages_of_the_allowed_origins_may_read(edge: str) -> None:
    url = signed(f"{edge}/{KEY}")

    allowed = get(url, Origin=PAGE).headers
    assert allowed["Access-Control-Allow-Origin"] == PAGE
    assert "Content-Range" in allowed["Access-Control-Expose-Headers"]
    assert allowed["Vary"] == "Origin"
    for origin in ("https://evil.example", "null", f"{PAGE}.evil.example"):
        assert "Access-Control-Allow-Origin" not in get(url, Origin=origin).headers


def test_a_fetch_that_was_redirected_here_may_read_when_all_origins_may(s3: "S3Client") -> None:
    edge = an_edge(s3, templates.load({"AllowedOrigins": "*"}))
    with serve(edge.app) as server:
        edge.url = server.url
        got = get(signed(f"{edge.url}/{KEY}"), Origin="null")

    assert got.headers["Access-Control-Allow-Origin"] == "*"


def preflight(url: str, origin: str, method: str, headers: str = "") -> requests.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return requests.options(url, headers=asked, timeout=5)


def test_a_preflight_is_answered_where_options_is_allowed(s3: "S3Client", template: templates.Template) -> None:
    edge = an_edge(s3, template, methods=(*METHODS, "OPTIONS"))
    with serve(edge.app) as server:
        edge.url = server.url
        url = signed(f"{edge.url}/{KEY}")

        granted = preflight(url, PAGE, "GET", "range")
        assert granted.status_code == 200
        assert granted.headers["Access-Control-Allow-Origin"] == PAGE
        assert granted.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
        assert granted.headers["Access-Control-Allow-Headers"] == "Range"
        assert granted.headers["Access-Control-Max-Age"] == "600"
        for request in [("https://evil.example", "GET"), (PAGE, "DELETE"), (PAGE, "GET", "x-other"), ("null", "GET")]:
            assert preflight(url, *request).status_code == 403
        assert refusal(preflight(f"{edge.url}/{KEY}", PAGE, "GET")) == (403, "MissingKey")


# --- the template, and what can go wrong behind ---------------------------------------------------------------


def test_the_methods_are_those_of_the_template(template: templates.Template) -> None:
    config = template.of_type("AWS::CloudFront::Distribution")["Distribution"]["DistributionConfig"]

    for behaviour in (config["DefaultCacheBehavior"], *config["CacheBehaviors"]):
        assert tuple(behaviour["AllowedMethods"]) == METHODS


def test_the_bucket_policy_says_what_may_be_read(template: templates.Template) -> None:
    assert set(readable_keys(template)) == {"inline/*", "pdf/*", "file/*"}


def answer_over(origin: str, template: templates.Template) -> tuple[int, str]:
    s3 = a_client(origin)
    edge = an_edge(s3, template)
    with serve(edge.app) as server:
        edge.url = server.url
        answer = get(signed(f"{edge.url}/{KEY}"))
    s3.close()
    return refusal(answer)


def test_an_origin_that_is_away_is_502(template: templates.Template) -> None:
    with serve(Response(status=500)) as away:
        pass

    assert answer_over(away.url, template) == (502, "BadGateway")


def test_an_origin_that_fails_is_503(template: templates.Template) -> None:
    with serve(Response(status=500)) as failing:
        assert answer_over(failing.url, template) == (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("inline/*", "/inline/a/b", True),
        ("/inline/*", "/inline/a/b", True),
        ("inline/*", "/inlinex/a", False),
        ("*", "/", True),
        ("a?c", "/abc", True),
        ("a?c", "/ac", False),
        ("[ab]", "/a", False),
        ("*.jpg", "/a/b.jpg", True),
    ],
)
def test_path_patterns_know_two_wildcards(pattern: str, path: str, fits: bool) -> None:
    assert matches(pattern, path) is fits


def test_a_range_of_a_large_object_is_arithmetic() -> None:
    assert byte_range("bytes=5000000000-", 10**10) == range(5 * 10**9, 10**10)
