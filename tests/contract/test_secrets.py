"""Secrets live in Secrets Manager, and personal data in table and bucket: the template puts neither anywhere else."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.test_template import TEMPLATE

DOCUMENT: dict[str, Any] = TEMPLATE.document
RESOURCES: dict[str, dict[str, Any]] = DOCUMENT["Resources"]
SECRETS = {name for name, own in RESOURCES.items() if own["Type"] == "AWS::SecretsManager::Secret"}
# What CloudFormation replaces with a secret's value: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
DYNAMIC = re.compile(r"\{\{resolve:(secretsmanager|ssm|ssm-secure):")
SOUNDS_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|PRIVATE|PEM|CREDENTIAL", re.IGNORECASE)


def variables() -> Iterator[tuple[str, str, Any]]:
    """Give function, name and value of each environment variable, as they are written."""
    shared = DOCUMENT.get("Globals", {}).get("Function", {}).get("Environment", {}).get("Variables", {})
    for function, own in RESOURCES.items():
        if own["Type"] in {"AWS::Serverless::Function", "AWS::Lambda::Function"}:
            declared = own["Properties"].get("Environment", {}).get("Variables", {})
            yield from ((function, name, value) for name, value in {**shared, **declared}.items())


@pytest.mark.parametrize(("function", "name", "value"), list(variables()))
def test_no_environment_variable_holds_a_secret(function: str, name: str, value: Any) -> None:
    assert DYNAMIC.search(json.dumps(value)) is None
    if isinstance(value, dict) and value.get("Ref") in SECRETS:
        assert name.endswith("_SECRET_ID")  # a reference gives the ARN
    else:
        assert SOUNDS_SECRET.search(name) is None
        assert not SECRETS & set(re.findall(r"\w+", json.dumps(value)))


def test_no_secret_comes_by_a_parameter_or_leaves_by_an_output() -> None:
    assert not [name for name, own in DOCUMENT["Parameters"].items() if "NoEcho" in own]
    assert not [name for name in DOCUMENT["Parameters"] if SOUNDS_SECRET.search(name)]
    assert DYNAMIC.search(json.dumps(DOCUMENT.get("Outputs", {}))) is None
    assert DYNAMIC.search(json.dumps(RESOURCES)) is None


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_begins_without_a_value(name: str) -> None:
    properties = RESOURCES[name]["Properties"]

    assert list(_texts(json.loads(properties["SecretString"]))) == []
    assert "GenerateSecretString" not in properties


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    else:
        yield str(value)
