"""What containers are told: the same system, under the names by which they reach it."""

import pytest

from local.containers import name_for_containers, variables
from local.template import Function

OUTSIDE = {"http://127.0.0.1:900": "http://172.17.0.1:7", "http://127.0.0.1:901": "http://172.17.0.1:8"}


def made(**environment: str) -> dict[str, str]:
    function = Function("F", "f.handler", environment, 128, 3)
    return variables([function], "http://127.0.0.1:900", OUTSIDE)["F"]


def test_origins_are_replaced_wherever_they_stand_and_nothing_else_is() -> None:
    told = made(
        QUEUE_URL="http://127.0.0.1:900/123/fetch",
        MEDIA_HOSTS="http://127.0.0.1:901,.fbcdn.net",
        EDGE_URL="http://127.0.0.1:9000",
        TABLE_NAME="table",
    )

    assert told == {
        "AWS_ENDPOINT_URL": "http://172.17.0.1:7",
        "QUEUE_URL": "http://172.17.0.1:7/123/fetch",
        "MEDIA_HOSTS": "http://172.17.0.1:8,.fbcdn.net",
        "EDGE_URL": "http://127.0.0.1:9000",
        "TABLE_NAME": "table",
    }


@pytest.mark.parametrize(
    ("listen", "name"),
    [
        (None, "host.docker.internal"),
        ("127.0.0.1", "host.docker.internal"),
        ("0.0.0.0", "host.docker.internal"),  # noqa: S104  (that is what is tried)
        ("172.17.0.1", "172.17.0.1"),
    ],
)
def test_loopback_is_dockers_host_to_a_container(listen: str | None, name: str) -> None:
    assert name_for_containers(listen) == name
