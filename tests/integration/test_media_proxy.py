import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests

from inbound.media import contact_id, message_id
from local import faults
from tests import builders
from tests.builders import Json, Sample
from tests.integration import system as systems
from tests.integration.system import System, later

INLINE = {
    "photo.jpg": "image/jpeg",
    "drawing.png": "image/png",
    "sticker.webp": "image/webp",
    "sticker-animated.webp": "image/webp",
    "voice.ogg": "audio/ogg; codecs=opus",
    "tune.m4a": "audio/mp4",
    "video.mp4": "video/mp4",
    "brochure.pdf": "application/pdf",
}


def media_id_of(system: System, own_id: str) -> str:
    found: str = system.message(own_id)["provider_media_id"]
    return found


def break_(system: System, own_id: str, *broken: faults.Fault) -> None:
    system.stack.meta.faults.add(media_id_of(system, own_id), *broken)


def asked(system: System, own_id: str, hop: faults.Hop) -> int:
    return len(system.stack.meta.requests(media_id_of(system, own_id), hop))


# --- the whole way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", builders.ALL_SAMPLES, ids=lambda sample: sample.name)
def test_every_kind_of_media_goes_the_whole_way_and_comes_back_byte_for_byte(system: System, sample: Sample) -> None:
    own_id = system.receive(sample)

    shown = system.bytes_of(own_id)

    assert shown.status_code == 200
    assert shown.content == sample.content
    inline = sample.name in INLINE
    assert shown.headers["Content-Type"] == INLINE.get(sample.name, "application/octet-stream")
    assert shown.headers["Content-Disposition"].startswith("inline" if inline else "attachment")
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert shown.headers["Cache-Control"] == "private, max-age=86400, immutable"
    assert ("sandbox" in shown.headers["Content-Security-Policy"]) == (sample.name != "brochure.pdf")


def test_what_is_known_of_cached_media_stands_in_its_item(system: System) -> None:
    own_id = system.receive(builders.PHOTO)
    before = int(time.time())

    system.bytes_of(own_id)

    media, content = system.media(own_id), builders.PHOTO.content
    assert (media["status"], media["size"]) == ("ready", len(content))
    assert media["sha256"] == hashlib.sha256(content).hexdigest()
    assert (media["content_type"], media["resolved_source"]) == ("image/jpeg", "provider_media_id")
    assert media["s3_key"] == f"inline/{system.stack.phone_number_id}/{own_id}/1"
    assert (media["fence"], media["attempts"]) == (1, 1)
    assert before <= media["cached_at"] <= before + 10
    assert media["expires_at"] == media["cached_at"] + 365 * 24 * 3600
    assert not {"lease_until", "next_attempt_at", "error_code"} & media.keys()
    assert not {"gsi2pk", "gsi2sk"} & system.message(own_id).keys()


def test_a_video_is_served_in_ranges(system: System) -> None:
    own_id, content = system.receive(builders.VIDEO), builders.VIDEO.content
    location = system.get(own_id).headers["Location"]

    part = requests.get(location, headers={"Range": "bytes=200000-299999"}, timeout=10)

    assert part.status_code == 206
    assert part.headers["Content-Range"] == f"bytes 200000-299999/{len(content)}"
    assert part.content == content[200_000:300_000]


def test_the_redirect_is_private_and_shorter_lived_than_the_url(system: System) -> None:
    own_id = system.receive()

    answer = system.get(own_id)

    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "private, max-age=300"
    assert {part.strip() for part in answer.headers["Vary"].split(",")} >= {"Accept", "Authorization", "Cookie"}
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert sorted(query) == ["Expires", "Hash-Algorithm", "Key-Pair-Id", "Signature"]
    assert query["Hash-Algorithm"] == ["SHA256"]
    assert 3600 <= int(query["Expires"][0]) - time.time() <= 7200
    assert system.get(own_id).headers["Location"] == answer.headers["Location"]


@pytest.mark.parametrize("accept", ["application/json", "text/html;q=0.1, application/json"])
def test_a_client_that_asks_for_json_gets_the_url_and_what_is_known(system: System, accept: str) -> None:
    own_id = system.receive(builders.BROCHURE, media={"caption": "Prices"})

    answer = system.get(own_id, headers={"Accept": accept})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    body = answer.json()
    assert set(body) == {"url", "expires_at", "media"}
    assert body["media"] == {
        "type": "document",
        "mime_type": "application/pdf",
        "filename": "brochure.pdf",
        "size": len(builders.BROCHURE.content),
        "caption": "Prices",
        "sha256": hashlib.sha256(builders.BROCHURE.content).hexdigest(),
    }
    assert 6 * 3600 <= body["expires_at"] - time.time() <= 12 * 3600
    assert requests.get(body["url"], timeout=10).content == builders.BROCHURE.content


def test_no_answer_can_be_taken_for_a_page(system: System) -> None:
    ready, gone, (on_its_way, _) = system.receive(), system.receive(), large(system, 17 * builders.MIB)
    break_(system, gone, faults.Gone())
    answers = {
        302: system.get(ready),
        200: system.get(ready, headers={"Accept": "application/json"}),
        202: system.get(on_its_way),
        401: system.get(ready, token="no token"),
        404: system.get("unknown"),
        410: system.get(gone),
    }

    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_head_answers_as_get_without_a_body(system: System) -> None:
    own_id = system.receive()

    answer = system.get(own_id, method="HEAD")

    assert (answer.status_code, answer.content) == (302, b"")
    assert answer.headers["Location"] == system.get(own_id).headers["Location"]


def test_a_download_is_saved_under_its_own_name(system: System) -> None:
    name = "Grüße “aus” Zürich 👋.pdf"
    own_id = system.receive(builders.BROCHURE, media={"filename": name})

    location = system.get(own_id, params={"download": "1"}).headers["Location"]

    saved = requests.get(location, timeout=10)
    assert saved.content == builders.BROCHURE.content
    assert saved.headers["Content-Disposition"].startswith("attachment; filename=")
    assert "filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%E2%80%9Caus%E2%80%9D" in saved.headers["Content-Disposition"]


def test_a_file_whose_type_only_graph_knows_is_named_by_it(system: System) -> None:
    own_id = system.receive(media={"mime_type": None})
    assert "mime_type" not in system.message(own_id)

    location = system.get(own_id, params={"download": "1"}).headers["Location"]

    assert '.jpg"' in requests.get(location, timeout=10).headers["Content-Disposition"]
    assert '.jpg"' in system.bytes_of(own_id).headers["Content-Disposition"]
    assert system.get(own_id, headers={"Accept": "application/json"}).json()["media"]["filename"].endswith(".jpg")


def test_the_old_path_leads_to_the_same_media(system: System) -> None:
    own_id = system.receive()
    url = f"{system.stack.api_url}/api/media/messages/{own_id}"

    answer = requests.get(url, {"token": system.stack.media_token}, allow_redirects=False, timeout=20)

    assert answer.status_code == 302


def test_an_old_id_leads_to_its_message(system: System) -> None:
    own_id = system.receive()
    system.put({"pk": "MSG#4711", "sk": "ALIAS", "message_id": own_id})

    assert system.bytes_of("4711").content == builders.PHOTO.content


def test_an_erased_message_is_not_found(system: System) -> None:
    own_id = system.receive()
    system.put({"pk": f"MSG#{own_id}", "sk": "ERASED"})

    system.problem(own_id, 404, "message_not_found")


# --- the cache ---------------------------------------------------------------------------------------------------


def test_a_second_view_asks_the_table_once_and_nobody_else(system: System) -> None:
    own_id = system.receive()
    system.get(own_id)
    for _ in range(20):
        system.get(own_id)  # every process of the pool has read its secrets
    system.aws.forget()
    system.stack.meta.forget_requests()

    assert system.get(own_id).status_code == 302

    assert system.aws.calls == ["Query"]
    assert system.stack.meta.requests() == []


def test_a_hit_makes_no_client_but_for_the_table_and_the_secrets(system: System) -> None:
    own_id = system.receive()
    system.get(own_id)

    report = system.run("MediaProxyFunction", event(system, own_id), event(system, own_id))

    assert [answer["statusCode"] for answer in report["answers"]] == [302, 302]
    assert report["clients"] == ["dynamodb", "secretsmanager"]
    assert report["heavy"] == []


def test_an_object_past_its_life_is_fetched_anew(system: System) -> None:
    own_id = system.receive()
    system.get(own_id)
    system.change(own_id, "MEDIA", expires_at=later(-1))

    assert system.bytes_of(own_id).content == builders.PHOTO.content

    assert asked(system, own_id, "download") == 2
    assert system.media(own_id)["s3_key"].endswith("/2")


def test_a_retry_fetches_anew_what_is_gone_from_the_bucket_and_is_not_stored(system: System) -> None:
    own_id = system.receive()
    system.get(own_id)
    system.client("s3").delete_object(Bucket=system.stack.bucket_name, Key=system.media(own_id)["s3_key"])

    answer = system.get(own_id, params={"retry": "1"})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (302, "no-store")
    assert requests.get(answer.headers["Location"], timeout=10).content == builders.PHOTO.content


def test_a_retry_of_what_is_there_asks_graph_nothing(system: System) -> None:
    own_id = system.receive()
    system.get(own_id)
    system.stack.meta.forget_requests()

    assert system.get(own_id, params={"retry": "2"}).status_code == 302

    assert system.stack.meta.requests() == []


def test_many_first_views_at_once_make_one_download(system: System) -> None:
    own_id = system.receive()
    system.aws.delay("UpdateItem", 0.4)  # all have read that nobody is fetching before anybody takes the lease

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: system.get(own_id), range(10)))

    assert {answer.status_code for answer in answers} <= {202, 302}
    pending = [answer for answer in answers if answer.status_code == 202]
    assert all(answer.json()["status"] == "pending" and answer.headers["Retry-After"] for answer in pending)
    assert all(answer.json()["media"]["type"] == "image" for answer in pending)
    assert asked(system, own_id, "download") == 1


# --- where the id comes from -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drop", "values", "source"),
    [
        ((), {}, "provider_media_id"),
        (("provider_media_id",), {}, "media_url"),
        (("provider_media_id",), {"media_url": "https://lookaside.fbsbx.com/x?mid=1"}, "raw"),
        (("provider_media_id", "media_url"), {}, "raw"),
    ],
    ids=["stored id", "media_url is an id", "media_url is a URL", "raw message"],
)
def test_the_media_id_has_three_sources(
    system: System, drop: tuple[str, ...], values: dict[str, str], source: str
) -> None:
    own_id = system.receive()
    item = {**system.message(own_id), **values}
    system.put({name: value for name, value in item.items() if name not in drop})

    answer = system.get(own_id)

    assert answer.status_code == 302
    assert system.media(own_id)["resolved_source"] == source


def test_a_message_without_media_says_so(system: System) -> None:
    message = builders.text_message()
    system.post(builders.notification(message, phone_number_id=system.stack.phone_number_id))

    problem = system.problem(message_id(system.stack.phone_number_id, message["id"]), 404, "no_media")

    assert problem["retryable"] is False
    assert "media" not in problem


@pytest.mark.parametrize("golden", ["too-large-unsupported", "unsupported-unavailable", "image-without-id"])
def test_media_that_meta_never_gave_are_unavailable(system: System, golden: str) -> None:
    body = builders.golden(golden)
    value = body["entry"][0]["changes"][0]["value"]
    assert system.post(body).status_code == 200

    own_id = message_id(value["metadata"]["phone_number_id"], value["messages"][0]["id"])

    assert system.problem(own_id, 410, "media_unavailable")["retryable"] is False


@pytest.mark.parametrize("own_id", ["a/../b", "%2e%2e%2f", "100%25", "x" * 10_000, "ä", "'\"<script>", "%00", "%ff"])
def test_an_odd_id_is_not_found(system: System, own_id: str) -> None:
    answer = system.get(own_id)

    # API Gateway itself refuses what is no route, what cannot be decoded, and a request line that is too long.
    assert answer.status_code in {400, 404, 414, 431}
    assert answer.json().get("code", "message_not_found") == "message_not_found"


@pytest.mark.parametrize("media_id", ["../../me", "1?access_token=x", "1/../2", "%2e%2e", "x" * 10_000, "1 2"])
def test_a_media_id_that_could_change_the_url_never_reaches_graph(system: System, media_id: str) -> None:
    message = builders.image_message(media_id)
    system.post(builders.notification(message, phone_number_id=system.stack.phone_number_id))

    own_id = message_id(system.stack.phone_number_id, message["id"])
    system.problem(own_id, 410, "media_unavailable")

    assert system.stack.meta.requests() == []
    # Nothing is left to be fetched, so nobody need look at it again.
    assert not {"gsi2pk", "gsi2sk"} & system.message(own_id).keys()
    assert system.work(own_id) == []


# --- who may see it ----------------------------------------------------------------------------------------------


def test_a_token_is_taken_from_header_cookie_and_query_in_this_order(system: System) -> None:
    own_id, good = system.receive(), system.stack.media_token
    url = f"{system.stack.api_url}/media/messages/{own_id}"

    def ask(bearer: str | None, cookie: str | None, query: str | None) -> int:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        cookies = {"other": "1", "media_token": cookie} if cookie else {}
        params = {"token": query} if query else {}
        return requests.get(
            url, headers=headers, cookies=cookies, params=params, allow_redirects=False, timeout=20
        ).status_code

    assert ask(good, None, None) == ask(None, good, None) == ask(None, None, good) == 302
    assert ask(good, "bad", "bad") == ask(None, good, "bad") == 302
    assert ask("bad", good, good) == ask(None, "bad", good) == ask(None, None, None) == 401


@pytest.mark.parametrize(
    "bend",
    [
        lambda system: system.token(expires_in=-60),
        lambda system: system.token(exp=None),
        lambda _: builders.media_token("another secret of more than 32 bytes"),
        lambda _: jwt.encode({"exp": later(60), "phone_numbers": ["*"]}, "", "none"),
        lambda system: system.token(phone_numbers="*"),
        lambda system: system.token() + "x",
        lambda _: "not.a.token",
        lambda _: "\u00e4",
    ],
    ids=["expired", "no expiry", "other secret", "alg none", "wrong claims", "tampered", "nonsense", "not ASCII"],
)
def test_a_bad_token_is_401(system: System, bend: Callable[[System], str]) -> None:
    own_id = system.receive()

    answer = system.get(own_id, bend(system).encode("utf-8").decode("latin-1"))

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_opens_what_its_scope_says_and_all_else_is_unknown(system: System) -> None:
    sender, number = builders.any_phone(), system.stack.phone_number_id
    own_id, other = system.receive(sender=sender), system.receive()
    conversation = contact_id(number, sender)

    def ask(**claims: Any) -> int:
        token = builders.media_token(system.stack.media_token_secret, **{"phone_numbers": None, **claims})
        return system.get(own_id, token).status_code

    assert ask(phone_numbers=["*"]) == ask(phone_numbers=["1", number]) == 302
    assert ask(conversation=conversation) == ask(message=own_id) == 302
    assert ask(phone_numbers=[number], conversation=conversation, message=own_id) == 302
    assert ask(phone_numbers=["1"]) == ask(phone_numbers=[]) == ask() == 404
    assert ask(phone_numbers=[number], conversation="other") == ask(phone_numbers=["1"], message=own_id) == 404
    assert ask(message=other) == 404


# --- what Graph says ---------------------------------------------------------------------------------------------

FAULTS = [
    (faults.Expired(), 410, "media_expired", True),
    (faults.Gone(), 410, "media_expired", False),
    (faults.BadToken(), 502, "access_token_invalid", False),
    (faults.GraphError(code=368, status=403), 502, "graph_refused", False),
    (faults.GraphError(code=10, status=403), 502, "graph_refused", False),
    (faults.GraphError(code=100, status=400), 502, "graph_refused", False),
    (faults.GraphError(code=80008, status=400), 503, "rate_limited", True),
    (faults.GraphError(code=131016, status=400), 503, "graph_unavailable", True),
    (faults.RateLimited(), 503, "rate_limited", True),
    (faults.ServerError(), 503, "graph_unavailable", True),
    (faults.NoUrl(), 503, "graph_unavailable", True),
    (faults.HtmlPage(hop="resolve"), 503, "graph_unavailable", True),
    (faults.Corrupt(), 502, "media_corrupt", True),
    (faults.HashAs(form="wrong"), 502, "media_corrupt", True),
    (faults.HtmlPage(), 502, "media_corrupt", True),
    (faults.MetadataInsteadOfFile(), 502, "media_corrupt", True),
    (faults.Redirect(location="http://127.0.0.1:9/stolen"), 502, "media_host_refused", False),
    (faults.UrlHost(origin="http://169.254.169.254"), 502, "media_host_refused", False),
    (faults.DeadUrl(), 410, "media_expired", True),
]


@pytest.mark.parametrize(
    ("fault", "status", "code", "retryable"),
    FAULTS,
    ids=[f"{f.fault} {f.hop} {c}-{n}" for n, (f, _, c, _) in enumerate(FAULTS)],
)
def test_each_failure_of_graph_has_its_own_answer(
    system: System, fault: faults.Fault, status: int, code: str, retryable: bool
) -> None:
    own_id = system.receive(media={"caption": "Kitchen"})
    break_(system, own_id, fault)
    objects = system.objects()

    problem = system.problem(own_id, status, code)

    assert problem["retryable"] is retryable
    assert problem["media"]["caption"] == "Kitchen"
    assert ("retry_after" in problem) == (code != "media_expired" or retryable)
    assert system.media(own_id)["error_code"] == code
    assert system.objects() == objects
    assert system.stack.media_token not in problem["detail"]


def test_until_the_next_attempt_is_due_the_last_error_is_told_and_graph_is_left_alone(system: System) -> None:
    own_id = system.receive()
    break_(system, own_id, faults.ServerError())
    first = system.problem(own_id, 503, "graph_unavailable")
    system.stack.meta.forget_requests()

    second = system.get(own_id)

    assert second.json()["code"] == "graph_unavailable"
    assert 1 <= int(second.headers["Retry-After"]) <= first["retry_after"]
    assert system.stack.meta.requests() == []
    system.stack.meta.faults.clear()
    system.change(own_id, "MEDIA", next_attempt_at=later(-1))
    assert system.bytes_of(own_id).content == builders.PHOTO.content


def test_a_transient_failure_is_tried_again_at_once_and_nobody_notices(system: System) -> None:
    for fault in (
        faults.RateLimited(times=2),
        faults.ServerError(times=2),
        faults.CutOff(times=1),
        faults.GraphError(code=4, status=400, times=1),
    ):
        own_id = system.receive()
        break_(system, own_id, fault)
        assert system.bytes_of(own_id).content == builders.PHOTO.content


def test_graph_says_how_long_to_wait_in_seconds_or_as_a_date(system: System) -> None:
    for asked_for in ("120", formatdate(time.time() + 120, usegmt=True)):
        own_id = system.receive()
        break_(system, own_id, faults.GraphError(code=4, status=429, headers={"Retry-After": asked_for}))

        problem = system.problem(own_id, 503, "rate_limited")

        assert 110 <= problem["retry_after"] <= 125
        assert asked(system, own_id, "resolve") == 1


def test_a_url_that_dies_between_the_two_calls_is_resolved_anew(system: System) -> None:
    own_id = system.receive()
    break_(system, own_id, faults.DeadUrl(times=1))

    assert system.bytes_of(own_id).content == builders.PHOTO.content
    assert asked(system, own_id, "resolve") == 2


def test_gone_at_meta_is_settled_and_never_asked_again(system: System) -> None:
    own_id = system.receive()
    break_(system, own_id, faults.Gone())
    system.problem(own_id, 410, "media_expired")
    system.stack.meta.faults.clear()
    system.stack.meta.forget_requests()

    assert system.problem(own_id, 410, "media_expired")["retryable"] is False

    assert system.stack.meta.requests() == []
    assert system.media(own_id)["status"] == "failed"
    assert "gsi2pk" not in system.message(own_id)


def test_a_missing_object_is_settled_once_the_message_is_past_its_seven_days(system: System) -> None:
    own_id = system.receive(timestamp=str(later(-8 * 24 * 3600)))
    break_(system, own_id, faults.Expired())

    assert system.problem(own_id, 410, "media_expired")["retryable"] is False
    assert system.media(own_id)["status"] == "failed"


def test_a_file_over_the_limit_is_refused_before_and_while_it_comes(system: System) -> None:
    number, limit = system.stack.phone_number_id, 100 * builders.MIB
    declared = system.stack.meta.add_media(b"%PDF-", "application/pdf", phone_number_id=number, size=limit + 1)
    lying = system.stack.meta.add_media(b"%PDF-", "application/pdf", phone_number_id=number, size=limit + 1)
    system.stack.meta.faults.add(lying.id, faults.LyingLength())
    objects = system.objects()

    for media in (declared, lying):
        message = builders.media_message(builders.BROCHURE, media.id)
        system.post(builders.notification(message, phone_number_id=number))
        own_id = message_id(number, message["id"])
        assert system.problem(own_id, 413, "media_too_large")["retryable"] is False
        assert system.media(own_id)["status"] == "failed"

    assert len(system.stack.meta.requests(declared.id, "download")) == 0
    assert system.objects() == objects


@pytest.mark.parametrize("form", ["hex", "base64", "absent"])
def test_the_hash_may_come_in_hex_or_base64_or_not_at_all(
    system: System, form: Literal["hex", "base64", "absent"]
) -> None:
    own_id = system.receive()
    break_(system, own_id, faults.HashAs(form=form))

    assert system.bytes_of(own_id).content == builders.PHOTO.content


def test_without_a_hash_of_graph_the_hash_of_the_webhook_decides(system: System) -> None:
    own_id = system.receive(media={"sha256": builders.VOICE.sha256})
    break_(system, own_id, faults.HashAs(form="absent"))

    system.problem(own_id, 502, "media_corrupt")


def test_the_second_token_is_tried_when_graph_refuses_the_first(system: System) -> None:
    own_id = system.receive(number=systems.STALE_TOKEN_NUMBER)

    assert system.bytes_of(own_id).content == builders.PHOTO.content


def test_the_token_goes_to_no_host_that_is_not_on_the_list(system: System) -> None:
    own_id = system.receive()
    # The page's origin is a stranger to the list; it would answer.
    break_(system, own_id, faults.Redirect(location=f"{system.stack.page_url}/config"))

    system.problem(own_id, 502, "media_host_refused")


def test_a_refused_host_is_counted_and_named_in_the_log(system: System) -> None:
    own_id = system.receive()
    break_(system, own_id, faults.Redirect(location="https://evil.example/stolen?secret=1"))

    report = system.run("MediaProxyFunction", event(system, own_id))

    assert report["answers"][0]["statusCode"] == 502
    assert report["metrics"]["Failed_media_host_refused"] == [1.0]
    assert "Faults" not in report["metrics"]  # Meta's, not ours: no reason to take a version back
    (line,) = [line for line in report["log"] if line.get("message") == "fetch_failed"]
    assert line["detail"] == "The host evil.example is not on the list of media hosts."


def test_a_failing_bucket_is_our_fault_and_leaves_nothing_behind(system: System) -> None:
    own_id = system.receive()
    objects = system.objects()
    before = system.faults("media_proxy")
    system.aws.fail("PutObject", "SlowDown", status=503)

    problem = system.problem(own_id, 500, "internal_error")

    assert "SlowDown" not in problem["detail"]
    assert problem["retryable"] is True
    assert system.objects() == objects
    assert system.faults("media_proxy") == before + 1


# --- what is counted ---


def test_each_view_counts_as_served_pending_failed_or_gone(system: System) -> None:
    served, pending, failed, gone = (
        system.receive(),
        large(system, 17 * builders.MIB)[0],
        system.receive(),
        system.receive(),
    )
    break_(system, failed, faults.ServerError())
    break_(system, gone, faults.Gone())
    text = builders.text_message()
    system.post(builders.notification(text, phone_number_id=system.stack.phone_number_id))
    events = [event(system, own_id) for own_id in (served, pending, failed, gone)]
    events.append(event(system, message_id(system.stack.phone_number_id, text["id"])))
    events.append(event(system, "unknown"))

    report = system.run("MediaProxyFunction", *events)

    assert [answer["statusCode"] for answer in report["answers"]] == [302, 202, 503, 410, 404, 404]
    assert {name: sum(values) for name, values in report["metrics"].items() if name in COUNTED} == {
        "MediaRequests": 3,
        "MediaServed": 1,
        "MediaPending": 1,
        "MediaFailed": 1,
        "MediaGone": 1,
    }


COUNTED = {"MediaRequests", "MediaServed", "MediaPending", "MediaFailed", "MediaGone"}


def test_hits_and_misses_are_counted_and_what_is_fetched_is_measured(system: System) -> None:
    own_id = system.receive()

    miss, hit = (system.run("MediaProxyFunction", event(system, own_id))["metrics"] for _ in range(2))

    assert (miss["CacheMiss"], miss["FetchedBytes"]) == ([1.0], [float(len(builders.PHOTO.content))])
    assert 0 < miss["FetchDuration"][0] < 30_000
    assert "CacheHit" not in miss
    assert hit["CacheHit"] == [1.0]
    assert not {"CacheMiss", "FetchedBytes", "FetchDuration"} & hit.keys()


# --- large files -------------------------------------------------------------------------------------------------


def large(system: System, size: int) -> tuple[str, str]:
    """Let Meta hold a PDF of this size; give the message's id and the hash in hex."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(b"%PDF-1.7\n", "application/pdf", phone_number_id=number, size=size)
    message = builders.media_message(builders.BROCHURE, media.id)
    system.post(builders.notification(message, phone_number_id=number))
    return message_id(number, message["id"]), media.sha256


def event(system: System, own_id: str) -> Json:
    return builders.http_event(
        "GET",
        f"/media/messages/{own_id}",
        headers={"Authorization": f"Bearer {system.stack.media_token}"},
        route="/media/messages/{message_id}",
    )


def test_a_hundred_mebibytes_take_at_most_32_mebibytes_of_memory_and_no_file(system: System) -> None:
    small, _ = large(system, 9 * builders.MIB)
    own_id, sha256 = large(system, 100 * builders.MIB)

    report = system.run("PrefetchFunction", builders.sqs_event(small), builders.sqs_event(own_id))

    assert report["answers"] == [{"batchItemFailures": []}] * 2
    assert report["peak"] <= 32 * builders.MIB, report["peak"]
    assert report["written"] == []
    media = system.media(own_id)
    assert (media["status"], media["size"], media["sha256"]) == ("ready", 100 * builders.MIB, sha256)


def test_a_document_that_explodes_when_unpacked_is_stored_as_it_is(system: System) -> None:
    bomb = builders.zip_bomb(128 * builders.MIB)
    media = system.stack.meta.add_media(bomb, builders.DOCX)
    ready, own_id = system.receive(), system.receive(media={"id": media.id, "mime_type": builders.DOCX, "sha256": None})

    report = system.run("PrefetchFunction", builders.sqs_event(ready), builders.sqs_event(own_id))

    assert report["answers"] == [{"batchItemFailures": []}] * 2
    assert report["peak"] <= 8 * builders.MIB, report["peak"]
    assert system.bytes_of(own_id).content == bomb
    assert system.media(own_id)["content_type"] == "application/octet-stream"


def test_a_large_file_that_breaks_off_or_is_wrong_is_never_visible(system: System) -> None:
    for fault in (faults.Corrupt(), faults.CutOff(), faults.HashAs(form="wrong")):
        own_id, _ = large(system, 20 * builders.MIB)
        break_(system, own_id, fault)

        assert system.work(own_id) == []

        assert system.media(own_id)["status"] == "waiting"
        assert not [key for key in system.objects() if own_id in key]
        uploads = system.client("s3").list_multipart_uploads(Bucket=system.stack.bucket_name)
        assert not [upload for upload in uploads.get("Uploads", []) if own_id in upload["Key"]]


def test_what_is_too_large_for_a_browser_to_wait_for_is_left_to_the_worker(system: System) -> None:
    own_id, sha256 = large(system, 17 * builders.MIB)
    system.aws.forget()

    answer = system.get(own_id)

    assert (answer.status_code, answer.json()["status"], answer.headers["Retry-After"]) == (202, "pending", "2")
    assert system.media(own_id)["status"] == "queued"
    assert system.jobs() == [own_id]
    assert asked(system, own_id, "download") == 0
    assert (system.get(own_id).status_code, asked(system, own_id, "resolve")) == (202, 1)
    assert system.work(own_id) == []
    assert hashlib.sha256(system.bytes_of(own_id).content).hexdigest() == sha256


def test_the_webhook_opens_no_file_for_writing_and_makes_no_client_of_the_bucket(system: System) -> None:
    raw = builders.wire(builders.notification(builders.image_message(), phone_number_id="1"))
    headers = builders.signed(raw, system.stack.app_secret)
    post = builders.http_event("POST", "/webhook", headers=headers, body=raw)

    report = system.run("WebhookFunction", post)

    assert report["answers"][0]["statusCode"] == 200
    assert report["written"] == []
    assert report["clients"] == ["dynamodb", "secretsmanager", "sqs"]
    assert report["heavy"] == []


def test_the_worker_fetches_what_nobody_has_viewed_and_every_job_is_done(system: System) -> None:
    good, bad, gone = system.receive(), system.receive(), system.receive()
    break_(system, bad, faults.ServerError())
    break_(system, gone, faults.Gone())
    system.aws.forget()

    assert system.work(good, bad, gone, "unknown") == []

    assert system.media(good)["status"] == "ready"
    assert system.media(bad)["status"] == "waiting"
    assert system.media(gone)["status"] == "failed"
    # The one that may still succeed has sent itself a job for then.
    assert system.jobs() == [bad]


def test_a_job_that_is_none_stays_in_the_queue_and_ends_with_the_dead_letters(system: System) -> None:
    good = system.receive()
    event = builders.sqs_event(good, "broken")
    event["Records"][1]["body"] = "no job"

    answer = system.stack.functions.invoke("PrefetchFunction", event)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "broken"}]}
    assert system.media(good)["status"] == "ready"
