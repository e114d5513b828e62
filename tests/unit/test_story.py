"""Which keys the story takes, where it finds its doors, and when it tries nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inbound.credentials import App, GraphCredentials
from tools.deployment import NoDeployment
from tools.smoke import doors_of
from tools.story import Picture, Unexpected, choose_keys, new_message

LONG = "a-media-token-secret-of-more-than-32-bytes"
GRAPH = GraphCredentials(tokens={"default": ("t1", "t2"), "22": ("t22",)}, media_token_secrets=(LONG,))
BOUND = App(secrets=("s1", "old"), verify_token="v1", phone_number_ids=frozenset({"22", "11"}))
ANY = App(secrets=("s2",), verify_token="v2", phone_number_ids="*")
OUTPUTS = {"WebhookUrl": "https://a/webhook", "MediaUrl": "https://a/media/messages"}
OUTPUTS |= {"AppsSecretArn": "arn:apps", "GraphSecretArn": "arn:graph"}
PARAMETERS = {"GraphUrl": "https://graph.facebook.com", "GraphVersion": "v26.0"}


def test_the_first_number_that_an_app_is_bound_to_is_taken_with_the_newest_keys() -> None:
    keys = choose_keys({"any": ANY, "bound": BOUND}, GRAPH, None)

    assert (keys.phone_number_id, keys.graph_token, keys.media_token_secret) == ("11", "t1", LONG)


@pytest.mark.parametrize(("number", "secret", "token"), [("22", "s1", "t22"), ("33", "s2", "t1")])
def test_a_number_of_ones_own_choice_is_taken_with_the_app_that_it_belongs_to(
    number: str, secret: str, token: str
) -> None:
    keys = choose_keys({"bound": BOUND, "any": ANY}, GRAPH, number)

    assert (keys.phone_number_id, keys.app_secret, keys.graph_token) == (number, secret, token)


@pytest.mark.parametrize(
    ("apps", "graph", "number", "why"),
    [
        ({}, GRAPH, None, "`apps` is empty"),
        ({"any": ANY}, GRAPH, None, "--phone-number-id"),
        ({"bound": BOUND}, GRAPH, "33", "bound to this number"),
        ({"bound": BOUND}, GraphCredentials(media_token_secrets=(LONG,)), None, "`graph` lacks"),
        ({"bound": BOUND}, GraphCredentials(tokens={"default": ("t",)}), None, "`graph` lacks"),
    ],
)
def test_what_is_missing_is_said_before_anything_begins(
    apps: dict[str, App], graph: GraphCredentials, number: str | None, why: str
) -> None:
    with pytest.raises(Unexpected, match=why):
        choose_keys(apps, graph, number)


def test_each_message_comes_from_a_number_that_no_country_has() -> None:
    picture = Picture("1", "image/png", "00", uploaded=True)
    made = [new_message("11", picture) for _ in range(50)]

    assert {(one.wa_id[:3], len(one.wa_id)) for one in made} == {("999", 12)}
    assert len({one.message_id for one in made}) == 50


def test_a_stack_tells_where_its_doors_are() -> None:
    doors = doors_of(OUTPUTS, PARAMETERS)

    assert doors.graph_url == "https://graph.facebook.com/v26.0"
    assert (doors.webhook_url, doors.graph_secret_id) == ("https://a/webhook", "arn:graph")


@pytest.mark.parametrize("missing", [*OUTPUTS, *PARAMETERS])
def test_another_stack_is_none_of_ours(missing: str) -> None:
    with pytest.raises(NoDeployment, match=missing):
        doors_of({**OUTPUTS, missing: ""}, {**PARAMETERS, missing: ""})


def test_without_credentials_nothing_is_tried_and_that_is_said(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "eu-west-1"}

    done = subprocess.run(
        [sys.executable, "-m", "tools.smoke", "--stack", "media"],
        env={**own, **nowhere},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("smoke: SKIPPED, nothing was tried: there are no AWS credentials")
    assert done.stdout.count("\n") == 1
