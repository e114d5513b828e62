"""What the local run can be told by environment variables, and the credentials that it makes up."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.cloud import Access, access_from
from local.options import (
    GRAPH_TOKEN,
    MEDIA_TOKEN_SECRET,
    BadSetting,
    Options,
    graph_parameters,
    make_key_pair,
    make_media_token,
    options_from,
    secret_values,
    with_keys_of_its_own,
)


def test_without_variables_port_8080_and_the_simulator_are_chosen() -> None:
    options = options_from({})

    assert options.api_port == 8080
    assert options.graph_url is None
    assert options.graph_token == GRAPH_TOKEN
    assert options.access == Access({})


def test_empty_variables_count_as_absent() -> None:
    names = ("API_PORT", "GRAPH_URL", "GRAPH_TOKEN", "FORWARD_URL", "ALLOWED_ORIGINS", "AWS_ENDPOINT_URL", "AWS_REGION")

    assert options_from(dict.fromkeys((*names, "LISTEN"), "")) == options_from({})


def test_beside_loopback_is_listened_where_it_is_asked_for_only() -> None:
    assert options_from({}).listen is None
    assert options_from({"LISTEN": "172.17.0.1"}).listen == "172.17.0.1"


@pytest.mark.parametrize("text", ["docker0", "172.17.0", "172.17.0.1:80", "::1", " 172.17.0.1", "1"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="LISTEN"):
        options_from({"LISTEN": text})


def test_a_run_that_listens_beside_loopback_has_keys_that_nobody_knows() -> None:
    first, second = (with_keys_of_its_own(Options(listen="172.17.0.1")) for _ in range(2))

    assert len({Options().access.key_id, first.access.key_id, second.access.key_id}) == 3
    assert len({GRAPH_TOKEN, first.graph_token, second.graph_token}) == 3
    assert min(len(first.access.key_id), len(first.graph_token)) >= 32


def test_keys_that_the_user_has_given_stay_and_so_do_those_of_loopback() -> None:
    own = Access({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    given = Options(listen="172.17.0.1", graph_token="theirs", access=own)

    assert with_keys_of_its_own(given) == given
    assert with_keys_of_its_own(Options()) == Options()


@pytest.mark.parametrize("text", ["x", "-1", "65536", "80.5", "٨٠", " 80"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="API_PORT"):
        options_from({"API_PORT": text})


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:9000",
        "ftp://h",
        "http://",
        "http://h/v1",
        "http://h?x=1",
        "http://h#x",
        "http://h:99999",
        "http://h:0",
    ],
)
def test_a_graph_that_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="GRAPH_URL"):
        options_from({"GRAPH_URL": text})


def test_another_graph_may_send_media_from_its_own_origin_only() -> None:
    options = options_from({"GRAPH_URL": "http://127.0.0.1:9000/", "GRAPH_TOKEN": "theirs"})

    assert options.graph_url == "http://127.0.0.1:9000"
    assert options.graph_token == "theirs"
    assert graph_parameters("http://127.0.0.1:9000") == {
        "GraphUrl": "http://127.0.0.1:9000",
        "MediaHosts": "http://127.0.0.1:9000",
    }


def test_metas_own_graph_keeps_metas_hosts() -> None:
    assert graph_parameters("https://graph.facebook.com") == {"GraphUrl": "https://graph.facebook.com"}


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9000/hooks?key=1", "http://localhost", "http://[::1]:9000/", "https://crm.example.com/hook"],
)
def test_a_crms_own_webhook_becomes_the_templates_parameter(url: str) -> None:
    assert options_from({"FORWARD_URL": url}).parameters == {"ForwardUrl": url}
    assert options_from({}).parameters == {}


@pytest.mark.parametrize(
    "url",
    [
        "crm.example.com/hook",
        "http://crm.example.com/hook",
        "http://127.0.0.1.example.com/",
        "http://[::1",
        "https://user:hush@crm.example.com/",
        "https://crm.example.com/#there",
        "ftp://127.0.0.1/",
    ],
)
def test_what_customers_wrote_goes_nowhere_in_the_open(url: str) -> None:
    with pytest.raises(BadSetting, match="FORWARD_URL") as told:
        options_from({"FORWARD_URL": url})
    assert "hush" not in str(told.value)


def test_further_origins_may_call_us_and_are_written_as_browsers_write_them() -> None:
    text = "http://127.0.0.1:9000/,https://crm.example.com"

    assert options_from({"ALLOWED_ORIGINS": text}).origins == ("http://127.0.0.1:9000", "https://crm.example.com")
    assert options_from({}).origins == ()


@pytest.mark.parametrize("text", ["*", "crm.example.com", "https://crm.example.com/page", "http://127.0.0.1:9000,"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="ALLOWED_ORIGINS"):
        options_from({"ALLOWED_ORIGINS": text})


def test_emulators_are_taken_over_with_their_credentials() -> None:
    environment = {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL": "",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "session",
    }

    access = access_from(environment)

    assert access == Access({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, "eu-west-1", "key", "secret", "session")
    assert access.environment == {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_SESSION_TOKEN": "session",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def test_real_credentials_are_not_taken_over_for_moto() -> None:
    access = access_from({"AWS_ACCESS_KEY_ID": "real", "AWS_SECRET_ACCESS_KEY": "real", "AWS_SESSION_TOKEN": "real"})

    assert "real" not in access.environment.values()


def test_a_single_service_may_live_elsewhere() -> None:
    access = Access({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:2"})

    assert access.client("sqs").meta.endpoint_url == "http://127.0.0.1:1"
    assert access.client("s3").meta.endpoint_url == "http://127.0.0.1:2"


def test_a_stream_is_where_its_table_is() -> None:
    access = Access({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:2"})

    assert access.client("dynamodbstreams").meta.endpoint_url == "http://127.0.0.1:2"


def test_secrets_of_an_access_do_not_show_when_it_is_printed() -> None:
    assert "hush" not in repr(Access({}, secret="hush", session_token="hush"))


def test_the_key_pair_belongs_together_and_is_new_each_time() -> None:
    private_pem, public_pem = make_key_pair()
    private = serialization.load_pem_private_key(private_pem.encode(), None)
    public = serialization.load_pem_public_key(public_pem.encode())

    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(private.sign(b"x", ec.ECDSA(hashes.SHA256())), b"x", ec.ECDSA(hashes.SHA256()))
    assert make_key_pair()[0] != private_pem


def test_the_secrets_bind_the_app_to_all_numbers_and_the_key_works_at_once() -> None:
    values = {name: json.loads(text) for name, text in secret_values("token", "PEM", 1000.9).items()}

    (app,) = values["AppsSecret"].values()
    assert app["phone_number_ids"] == "*"
    assert values["GraphSecret"]["tokens"] == {"default": ["token"]}
    assert values["SigningKeySecret"][0]["active_from"] == 999


def test_the_media_token_opens_all_numbers_for_30_days() -> None:
    assert len(MEDIA_TOKEN_SECRET) >= 32

    claims = jwt.decode(make_media_token(4e9), MEDIA_TOKEN_SECRET, algorithms=["HS256"])

    assert claims == {"exp": 4_002_592_000, "phone_numbers": ["*"]}


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "127.0.0.1:4566",
        "http://h:99999",
        "http://h:x",
        "http://[::1",
        "http://:1",
        "http://user:pw@127.0.0.1:1",
    ],
)
def test_an_emulator_that_is_no_origin_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=f"{name} must be an origin") as refusal:
        options_from({name: text})

    assert text not in str(refusal.value)


def test_emulators_may_be_named_with_a_slash_at_the_end() -> None:
    assert options_from({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/"}).access.endpoints.keys() == {"AWS_ENDPOINT_URL"}


def test_the_worker_and_the_schedules_run_unless_somebody_objects() -> None:
    assert options_from({}).background
