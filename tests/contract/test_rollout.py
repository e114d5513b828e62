"""A new version takes over by and by, whatever was changed, and an alarm takes it back."""

import re
import tomllib
from typing import Any

import pytest

from local.template import load
from tests.contract.test_protection import KEY, WITH_KEY
from tests.contract.test_template import FORWARD, PHYSICAL, RESOURCES, ROOT, TEMPLATE

DOCUMENT = TEMPLATE.document
FUNCTIONS: dict[str, dict[str, Any]] = {
    name: own["Properties"] for name, own in RESOURCES.items() if own["Type"] == "AWS::Serverless::Function"
}
ONCE_A_DAY = {"ExpiryFunction"}  # no canary would see it run
CALLED = sorted(name for name, own in FUNCTIONS.items() if own.get("Events") and name not in ONCE_A_DAY)
EVERY_CALLED = pytest.mark.parametrize("name", CALLED)
TYPES: list[str] = DOCUMENT["Parameters"]["Rollout"]["AllowedValues"]


@EVERY_CALLED
def test_whatever_calls_a_function_calls_its_alias_which_goes_over_by_and_by(name: str) -> None:
    own = FUNCTIONS[name]

    assert own["AutoPublishAlias"] == "live"
    assert own["DeploymentPreference"]["Type"] == {"Ref": "Rollout"}
    assert own["DeploymentPreference"]["Role"] == {"Fn::GetAtt": "RolloutRole.Arn"}
    # Else CodeDeploy would be given a function that is not there.
    assert own["DeploymentPreference"].get("PassthroughCondition", False) is ("Condition" in RESOURCES[name])


@EVERY_CALLED
def test_an_alarm_on_the_alias_takes_a_version_back(name: str) -> None:
    alarms = [one["Ref"] for one in FUNCTIONS[name]["DeploymentPreference"]["Alarms"]]
    own = f"{name.removesuffix('Function')}ErrorAlarm"
    watched = RESOURCES[own]["Properties"]

    assert own in alarms
    assert (watched["Namespace"], watched["MetricName"], watched["Threshold"]) == ("AWS/Lambda", "Errors", 0)
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html: an alias has both dimensions.
    assert watched["Dimensions"] == [
        {"Name": "FunctionName", "Value": {"Ref": name}},
        {"Name": "Resource", "Value": {"Fn::Sub": f"${{{name}}}:live"}},
    ]
    assert watched["Period"] * watched["EvaluationPeriods"] < 300  # within the shortest canary


def test_what_answers_requests_goes_back_when_they_fail_although_no_function_does() -> None:
    answering = {name for name in CALLED if any(e["Type"] == "HttpApi" for e in FUNCTIONS[name]["Events"].values())}

    assert answering
    for name in answering:
        assert {"Ref": "FaultAlarm"} in FUNCTIONS[name]["DeploymentPreference"]["Alarms"]


@EVERY_CALLED
def test_any_change_makes_a_version_a_changed_parameter_too(name: str) -> None:
    own = FUNCTIONS[name]

    assert own["AutoPublishAliasAllProperties"] is True
    assert own["VersionDescription"] == {"Fn::GetAtt": "Settings.VersionNumber"}
    # Lambda publishes nothing when nothing has changed in the function itself: CloudFormation would call that an error.
    assert DOCUMENT["Globals"]["Function"]["Description"] == {"Fn::Sub": "Settings ${Settings.VersionNumber}"}
    assert "Description" not in own
    assert RESOURCES["CommonLayer"]["Properties"]["PublishLambdaVersion"] is True


def test_the_settings_hold_every_parameter() -> None:
    content = RESOURCES["Settings"]["Properties"]["Content"]["Fn::Sub"]

    assert content == "".join(f"{name}=${{{name}}}\n" for name in DOCUMENT["Parameters"])


def test_the_settings_are_encrypted_with_the_customers_key_when_there_is_one() -> None:
    declared = {"KmsKeyIdentifier": RESOURCES["SettingsProfile"]["Properties"]["KmsKeyIdentifier"]}

    assert WITH_KEY.resolve(declared) == {"KmsKeyIdentifier": KEY}
    assert TEMPLATE.resolve(declared) == {}


def test_a_function_that_no_event_calls_or_hardly_ever_has_no_alias() -> None:
    # SAM would tie how SigningKeys is invoked to the alias, and CloudFormation invokes the function itself.
    assert [name for name in FUNCTIONS.keys() - set(CALLED) if "AutoPublishAlias" in FUNCTIONS[name]] == []


@pytest.mark.parametrize("forward", ["", FORWARD])
def test_codedeploy_moves_these_aliases_and_no_others(forward: str) -> None:
    arns = {f"{name}.Arn": f"arn:{name}" for name in FUNCTIONS}
    template = load({"ForwardUrl": forward}, {**PHYSICAL, **arns})
    there = template.of_type("AWS::Serverless::Function")
    (policy,) = template.resolve(RESOURCES["RolloutRole"]["Properties"]["Policies"])
    aliases, alarms = policy["PolicyDocument"]["Statement"]

    assert sorted(aliases["Resource"]) == sorted(
        f"arn:{name}{end}" for name in CALLED if name in there for end in ("", ":*")
    )
    assert aliases["Action"] == ["lambda:GetAlias", "lambda:UpdateAlias", "lambda:GetProvisionedConcurrencyConfig"]
    assert (alarms["Action"], alarms["Resource"]) == ("cloudwatch:DescribeAlarms", "*")
    trust = RESOURCES["RolloutRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [one["Principal"] for one in trust] == [{"Service": "codedeploy.amazonaws.com"}]


def test_all_at_once_is_for_development_only() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
    said = {
        name: re.fullmatch("Rollout=(.+)", config[name]["deploy"]["parameters"]["parameter_overrides"])[1]  # type: ignore[index]
        for name in ("default", "staging", "prod")
    }

    assert said["default"] == "AllAtOnce"
    assert all(said[name].startswith("Canary") and said[name] in TYPES for name in ("staging", "prod"))
    assert str(DOCUMENT["Parameters"]["Rollout"]["Default"]).startswith("Canary")
