"""What `make deploy-local` does beside the emulator."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from werkzeug.wrappers import Request, Response

from local.cloud import Access, Moto
from local.graph import MetaSimulator
from local.server import serve
from tools.deploy_local import EdgeDoor, Elsewhere, Place, last_release, lose_permission, make_certificate
from tools.story import Unexpected

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
RIGHTS = [
    {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:us-east-1:123456789012:q"},
    {
        "Effect": "Allow",
        "Action": ["dynamodb:PutItem", "dynamodb:BatchGetItem"],
        "Resource": "arn:aws:dynamodb:us-east-1:123456789012:table/t",
    },
]


@Request.application
def echo(request: Request) -> Response:
    return Response(f"{request.host} {request.full_path}")


def test_a_name_that_nobody_serves_is_reached_where_it_is_served_here() -> None:
    with serve(echo) as server, requests.Session() as session:
        session.mount("https://d1.cloudfront.net/", Elsewhere(server.url, "d1.cloudfront.net"))

        answer = session.get("https://d1.cloudfront.net/inline/a%20b?Expires=1&Signature=x~", timeout=10)

    assert answer.text == "d1.cloudfront.net /inline/a b?Expires=1&Signature=x~"


@pytest.fixture
def place(moto: Moto) -> Iterator[Place]:
    """Give a place in moto, with a role."""
    access, door = Access({"AWS_ENDPOINT_URL": moto.url}), EdgeDoor()
    graph = MetaSimulator(app_secret="s", token="t", phone_number_id="1", waba_id="2", display_phone_number="3")
    iam = access.client("iam")
    iam.create_role(RoleName="role", AssumeRolePolicyDocument=TRUST)
    document = json.dumps({"Version": "2012-10-17", "Statement": RIGHTS})
    iam.put_role_policy(RoleName="role", PolicyName="own", PolicyDocument=document)
    with serve(door) as edge:
        yield Place(access, graph, edge, door)
    iam.delete_role_policy(RoleName="role", PolicyName="own")
    iam.delete_role(RoleName="role")


def rights(place: Place) -> list[Any]:
    policy = place.client("iam").get_role_policy(RoleName="role", PolicyName="own")
    statements: list[Any] = policy["PolicyDocument"]["Statement"]
    return statements


def test_a_role_loses_the_permission_and_keeps_the_others(place: Place) -> None:
    lose_permission(place, "role", "sqs:SendMessage")

    assert rights(place) == RIGHTS[1:]


def test_a_permission_that_the_role_does_not_have_cannot_be_lost(place: Place) -> None:
    with pytest.raises(Unexpected, match="s3:PutObject"):
        lose_permission(place, "role", "s3:PutObject")

    assert rights(place) == RIGHTS


def test_before_there_are_keys_the_edge_serves_nothing(place: Place) -> None:
    assert requests.get(place.edge.url, timeout=10).status_code == 503


def test_the_certificate_is_for_this_machine_and_its_key_for_us(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)

    assert key.stat().st_mode & 0o077 == 0
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    names = x509.load_pem_x509_certificate(certificate.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(one.value) for one in names.value] == ["localhost", "127.0.0.1"]


def test_there_is_a_release_to_upgrade_from() -> None:
    assert last_release()
