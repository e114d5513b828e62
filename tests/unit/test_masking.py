import io
import itertools
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aws_lambda_powertools import Logger
from hypothesis import given
from hypothesis import strategies as st

from inbound import observability
from inbound.errors import InternalError
from inbound.masking import HIDDEN_KEYS, MASK, OUR_NUMBERS, masked, masked_text
from tests import builders

PHONE = "15550100101"
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\nByqGSM49AgEG\n-----END PRIVATE KEY-----"
TOKEN = builders.media_token("a secret of more than thirty-two bytes")
WAMID = builders.any_wamid(PHONE)
SIGNED = "https://d1.cloudfront.net/inline/1/a/1?Expires=1790000000&Signature=MEUCIQ~Dx-_&Key-Pair-Id=K2"
PRESIGNED = "/b/k?X-Amz-Credential=AKIAEXAMPLE%2F20261124&X-Amz-Security-Token=IQoJ%2Fb3&X-Amz-Signature=5f3e"
LOOKASIDE = "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=133743&source=webhook&ext=17&hash=ATvV9k"
GRAPH_TOKEN = "EAAGm0PX4ZCpsBAKZCVZBxyz0123456789"

_count = itertools.count()

# what a line says → what must not be left of it
SECRETS = {
    "a phone number": (f"no such contact: {PHONE}.", [PHONE]),
    "with a plus": (f"+{PHONE}", [PHONE]),
    "as people write it": ("call +1 (555) 010-0101 now", ["010-0101", "555"]),
    "in a name": (f"contact_{PHONE}_1", [PHONE]),
    "of eight digits": ("from 29012345", ["29012345"]),
    "after an escaped line end": (rf"one\n{PHONE}", [PHONE]),
    "a business-scoped user id": ("US.13491208655302741918", ["13491208655302741918"]),
    "a wamid": (f"KeyError: '{WAMID}'", [WAMID.removeprefix("wamid.")]),
    "a wamid as Meta writes JSON": (WAMID.replace("/", "\\/"), [WAMID.rpartition("/")[2]]),
    "a wamid in a URL": (WAMID.replace("+", "%2B").replace("/", "%2F"), [WAMID.removeprefix("wamid.")[-8:]]),
    "a bearer token": ("{'Authorization': 'Bearer abc.def-1'}", ["abc.def-1"]),
    "a bearer token alone": ("said bearer abc.def-1", ["abc.def-1"]),
    "a JSON Web Token": (f"<{TOKEN}>", [TOKEN, TOKEN.rpartition(".")[2]]),
    "a token of Graph": (f"refused {GRAPH_TOKEN} at", [GRAPH_TOKEN]),
    "a token in a query": ("GET /media/messages/a?token=abc&x=def HTTP/1.1", ["abc", "def"]),
    "a verify token": ("hub.mode=subscribe&hub.verify_token=my-word", ["my-word"]),
    "a verify token in JSON": ('{"hub.verify_token": "my-word"}', ["my-word"]),
    "an access token in a dictionary": ("{'access_token': 'my-word'}", ["my-word"]),
    "a token in JSON within JSON": (r"{\"access_token\": \"my-word\"}", ["my-word"]),
    "a signature of Meta's": ("X-Hub-Signature-256: sha256=0123456789abcdef", ["0123456789abcdef"]),
    "a signature alone": ("wrong: sha256=0123456789abcdef", ["0123456789abcdef"]),
    "a signed address": (SIGNED, ["MEUCIQ", "1790000000"]),
    "a presigned address": (PRESIGNED, ["AKIAEXAMPLE", "IQoJ", "5f3e"]),
    "a media address": (LOOKASIDE, ["ATvV9k", "133743"]),
    "a path that urllib3 names": ("url: /v26.0/41?access_token=abc (Caused by", ["abc"]),
    "a private key": (f"pem: {KEY} end", ["MIGHAgEAMBMG", "ByqGSM49AgEG"]),
    "a private key that breaks off": (KEY[:50], ["MIGHAgEAMBMG"]),
    "a private key in JSON": (json.dumps(KEY), ["MIGHAgEAMBMG", "ByqGSM49AgEG"]),
}
OURS = [
    "csgl3wuhbm2x4vjx7tzk5e2p3q",  # a message id
    "22222222222222222222222222a",
    "12345678-1234-4234-8234-123456789012",  # a request id
    "1-57598888-123456789012345678901234",  # a trace id
    "Root=1-57598888-123456789012345678901234;Sampled=1",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:graph-AbCdEf",
    "2026-11-24 08:49:49,123+0000",
    "2026-11-24T08:49:49.123456+00:00",
    "Graph answered HTTP 400 with code 131052.",
    "subcode 2494010",
    "took 0.123456789012 s",
    "inline/a/csgl3wuhbm2x4vjx7tzk5e2p3q/17",
    "127.0.0.1:54321",
    "<function f at 0x7f0123456789>",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "Send a media token, the cookie media_token, or ?retry=",
    "AbCdEfGhIjK0123456789",  # fbtrace_id
    "An error occurred (ThrottlingException) when calling the Query operation (reached max retries: 2): Rate exceeded",
]


# --- the rules ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SECRETS)
def test_what_is_secret_or_personal_does_not_stay_in_a_text(name: str) -> None:
    text, secrets = SECRETS[name]

    shown = masked_text(text)

    assert MASK in shown
    assert [secret for secret in secrets if secret in shown] == []


@pytest.mark.parametrize("text", OURS)
def test_what_is_ours_to_log_stays_as_it_is(text: str) -> None:
    assert masked_text(text) == text
    assert masked({"message": text}) == {"message": text}


def test_the_path_of_an_address_stays_for_whoever_looks_for_the_cause() -> None:
    assert masked_text(SIGNED).startswith("https://d1.cloudfront.net/inline/1/a/1?")
    assert masked_text(LOOKASIDE).startswith("https://lookaside.fbsbx.com/whatsapp_business/attachments/?")


@pytest.mark.parametrize("key", sorted(HIDDEN_KEYS))
def test_what_stands_under_a_personal_key_is_hidden_whatever_it_looks_like(key: str) -> None:
    assert masked({key: "Ana"}) == {key: MASK}
    assert masked({"inside": [{key.title(): ["Ana"]}]}) == {"inside": [{key.title(): MASK}]}


@pytest.mark.parametrize("key", sorted(OUR_NUMBERS))
def test_measures_and_dates_may_be_long_numbers(key: str) -> None:
    assert masked({key: 104857600}) == {key: 104857600}
    assert masked({key: "200000000000002"}) == {key: "200000000000002"}
    assert masked({key: f"Bearer {TOKEN}"}) == {key: f"Bearer {MASK}"}


def test_a_number_is_hidden_also_where_it_is_none_in_python() -> None:
    assert masked({"seen": int(PHONE), "also": [float(PHONE)], "code": 131052, "on": True, "no": None}) == {
        "seen": MASK,
        "also": [MASK],
        "code": 131052,
        "on": True,
        "no": None,
    }


def test_other_objects_and_names_of_keys_are_masked_as_text() -> None:
    error = ValueError(f"no contact {PHONE}")

    assert masked({"error": error, PHONE: {PHONE}, "bytes": PHONE.encode()}) == {
        "error": f"no contact {MASK}",
        MASK: [MASK],
        "bytes": f"b'{MASK}'",
    }


@given(st.text(), st.integers(10**7, 10**15 - 1), st.text())
def test_a_phone_number_beside_anything_but_letters_and_digits_never_stays(before: str, phone: int, after: str) -> None:
    shown = masked_text(f"{before} {phone}\n{after}")

    assert f" {phone}\n" not in shown


@given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()), st.lists))
def test_masking_is_total_and_what_is_masked_stays_masked(value: object) -> None:
    once = masked(value)

    assert repr(masked(once)) == repr(once)
    json.dumps(once)


# --- the lines that leave ----------------------------------------------------------------------------------------


class Lines(io.StringIO):
    """What was written, line by line."""

    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.getvalue().splitlines()[-1])
        return line


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Give what the functions' logger writes."""
    written = Lines()
    name = f"masking-{next(_count)}"  # Powertools configures the logger of a name once
    own = Logger(name, json_serializer=observability._line, stream=written)
    monkeypatch.setattr(observability, "logger", own)
    return written


def fail_because_of(cause: Exception | None, text: str) -> None:
    raise ValueError(text) from cause


def test_the_loggers_lines_are_masked_the_exception_its_causes_and_its_stack_included(
    lines: Lines,
) -> None:
    try:
        fail_because_of(KeyError(WAMID), f"contact {PHONE} with {TOKEN}")
    except ValueError:
        observability.logger.exception("unforeseen", size=104857600, caption="Wedding", keys=[PHONE, "id"])

    line = lines.last()
    assert not [secret for secret in (PHONE, TOKEN, WAMID, "Wedding") if secret in lines.getvalue()]
    assert (line["message"], line["size"], line["keys"]) == ("unforeseen", 104857600, [MASK, "id"])
    assert line["exception_name"] == "ValueError"
    assert line["stack_trace"]["value"] == f"contact {MASK} with {MASK}"
    assert "Traceback" in line["exception"]
    assert line["stack_trace"]["frames"][0]["line"] > 0


def test_half_a_surrogate_pair_does_not_cost_the_line(lines: Lines) -> None:
    observability.logger.warning("media_id_missing", keys=["\ud83d"])

    assert lines.last()["keys"] == ["\ud83d"]
    assert lines.getvalue().isascii()  # so that any stream takes it


@pytest.fixture
def runtime() -> Iterator[Lines]:
    """Give what Lambda's runtime writes through the root logger, which it sets up before it imports a handler."""
    written = Lines()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logging.Formatter("[%(levelname)s]\t%(message)s"))
    root = logging.getLogger()
    before = [(own, own.formatter) for own in root.handlers]
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)
    for own, formatter in before:
        own.setFormatter(formatter)
    logging.captureWarnings(capture=False)


def test_what_libraries_log_is_masked_in_the_form_that_the_runtime_gives_it(
    runtime: Lines,
) -> None:
    observability.mask_root()

    logging.getLogger("requests.sessions").warning("Retrying after %r: %s", OSError(PHONE), LOOKASIDE)
    try:
        fail_because_of(None, TOKEN)
    except ValueError:
        logging.getLogger("botocore").exception("sent %s", {"Authorization": f"Bearer {GRAPH_TOKEN}"})

    written = runtime.getvalue()
    assert not [secret for secret in (PHONE, "ATvV9k", TOKEN, GRAPH_TOKEN) if secret in written]
    assert f"[WARNING]\tRetrying after OSError('{MASK}'): https://lookaside.fbsbx.com/" in written
    assert f"ValueError: {MASK}" in written


def test_to_import_the_logger_is_enough() -> None:
    code = (
        "import logging; logging.basicConfig(); import inbound.observability; "
        f"logging.getLogger('urllib3').warning('to {PHONE}')"
    )
    place = {**os.environ, "POWERTOOLS_METRICS_NAMESPACE": "a"}

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=place, check=True)

    assert "WARNING" in done.stderr
    assert PHONE not in done.stderr


def test_pythons_warnings_go_through_the_log_and_not_past_it(runtime: Lines) -> None:
    with warnings.catch_warnings():  # which puts back what shows them
        warnings.simplefilter("default")
        logging.captureWarnings(capture=False)
        observability.mask_root()
        warnings.warn(f"strange number {PHONE}", stacklevel=1)

    assert f"strange number {MASK}" in runtime.getvalue()


def test_a_handlers_failure_is_logged_masked_and_the_runtime_hears_its_name_only(
    lines: Lines,
) -> None:
    @observability.reticent
    def failing(event: dict[str, Any], context: Any) -> None:
        raise LookupError(f"{event['body']} of {PHONE}")

    with pytest.raises(InternalError) as failure:
        failing({"body": "Wedding"}, cast("Any", SimpleNamespace()))

    assert str(failure.value) == "LookupError"
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__
    line = lines.last()
    assert (line["message"], line["exception_name"], line["stack_trace"]["value"]) == (
        "handler_failed",
        "LookupError",
        f"Wedding of {MASK}",
    )
