"""An alarm that watches a metric which nobody publishes would be silent for ever."""

from typing import Any

import pytest

from local.template import functions, load
from tests.contract.test_template import FORWARD, PHYSICAL
from tests.published_metrics import published

TEMPLATE = load({"ForwardUrl": FORWARD, "Events": "on"}, PHYSICAL)
ALARMS: dict[str, dict[str, Any]] = TEMPLATE.of_type("AWS::CloudWatch::Alarm")
EVERY_ALARM = pytest.mark.parametrize("name", sorted(ALARMS))
SERVICES = {own.environment["POWERTOOLS_SERVICE_NAME"]: own for own in functions(TEMPLATE).values()}
OURS = "WhatsAppMedia/media"


def metrics_of(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what an alarm watches: namespace (as it is in the stack), name and dimensions."""
    watched = [alarm] if "Metrics" not in alarm else [own["Metric"] for own in statistics(alarm)]
    return [{**metric, "Namespace": TEMPLATE.resolve(metric["Namespace"])} for metric in watched]


def statistics(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """Give what an alarm over several metrics calculates with."""
    return [one["MetricStat"] for one in alarm["Metrics"] if "MetricStat" in one]


@EVERY_ALARM
def test_an_alarm_watches_what_a_function_publishes(name: str) -> None:
    for metric in metrics_of(ALARMS[name]):
        if metric["Namespace"] == OURS:
            assert metric["MetricName"] in published()
            (service,) = [one["Value"] for one in metric["Dimensions"] if one["Name"] == "service"]
            assert service in SERVICES


@EVERY_ALARM
def test_an_alarm_tells_what_is_wrong_and_reaches_the_topic_when_there_is_one(name: str) -> None:
    alarm = ALARMS[name]

    assert len(alarm["AlarmDescription"]) > 20
    assert "AlarmActions" not in TEMPLATE.resolve({"AlarmActions": alarm["AlarmActions"]})
    topic = load({"AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms"}, PHYSICAL)
    assert topic.resolve(alarm["AlarmActions"]) == ["arn:aws:sns:eu-west-1:123456789012:alarms"]


def test_the_functions_publish_where_the_alarms_look_and_nobody_else_does() -> None:
    spaces = {own.environment["POWERTOOLS_METRICS_NAMESPACE"] for own in SERVICES.values()}

    assert spaces == {OURS}
    assert TEMPLATE.resolve({"Fn::Sub": "WhatsAppMedia/${AWS::StackName}"}) == OURS


@EVERY_ALARM
def test_an_alarm_looks_at_our_metrics_or_aws_own(name: str) -> None:
    for metric in metrics_of(ALARMS[name]):
        assert metric["Namespace"] == OURS or metric["Namespace"].startswith("AWS/")


def test_what_ends_is_an_alarm_weeks_before() -> None:
    token, version, check = (ALARMS[name] for name in ("TokenExpiryAlarm", "GraphVersionAlarm", "TokenCheckAlarm"))

    for alarm, metric, days in ((token, "TokenDaysLeft", 14), (version, "GraphVersionDaysLeft", 90)):
        assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == (metric, "Minimum", days)
        assert alarm["ComparisonOperator"] == "LessThanThreshold"
        # One number a day: a day without one says nothing.
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["TreatMissingData"]) == (86400, 1, "ignore")
    # Lambda tries again twice: only the third failure of a day is over the threshold.
    tries = (
        1 + TEMPLATE.document["Resources"]["ExpiryFunction"]["Properties"]["EventInvokeConfig"]["MaximumRetryAttempts"]
    )
    assert (check["Threshold"], check["ComparisonOperator"]) == (tries - 1, "GreaterThanThreshold")
    assert check["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "ExpiryFunction"}}]


def test_a_sweeper_that_does_not_run_is_an_alarm() -> None:
    assert ALARMS["OldestMediaAlarm"]["TreatMissingData"] == "breaching"
    assert ALARMS["OldestMediaAlarm"]["Threshold"] <= 24 * 3600


@pytest.mark.parametrize(
    ("name", "metric", "services"),
    [
        ("MediaHostAlarm", "Failed_media_host_refused", {"media_proxy", "prefetch"}),
        ("AccessTokenAlarm", "Failed_access_token_invalid", {"media_proxy", "prefetch"}),
        ("IdentityProviderAlarm", "JwksUnreadable", {"media_proxy"}),
        ("SecretAlarm", "SecretUnreadable", {"webhook", "media_proxy", "prefetch"}),
        ("ForeignNumberAlarm", "ForeignNumber", {"webhook"}),
    ],
)
def test_what_would_lose_files_or_lock_out_people_silently_is_an_alarm(
    name: str, metric: str, services: set[str]
) -> None:
    watched = metrics_of(ALARMS[name])

    assert {one["MetricName"] for one in watched} == {metric}
    assert {one["Value"] for each in watched for one in each["Dimensions"]} == services
    assert (ALARMS[name]["Threshold"], ALARMS[name]["ComparisonOperator"]) == (0, "GreaterThanThreshold")


def test_a_webhook_that_turns_meta_away_or_fails_is_an_alarm() -> None:
    watched = {name: metrics_of(ALARMS[name]) for name in ("SignatureAlarm", "ApiFailingAlarm")}

    assert [one["MetricName"] for one in watched["SignatureAlarm"]] == ["SignatureInvalid"]
    assert [one["Dimensions"] for one in watched["ApiFailingAlarm"]] == [
        [{"Name": "ApiId", "Value": {"Ref": "HttpApi"}}]
    ]


def test_the_success_rate_leaves_out_what_is_nobodys_fault() -> None:
    expressions = {one["Id"]: one.get("Expression") for one in ALARMS["SuccessRateAlarm"]["Metrics"]}
    ids = {one["MetricStat"]["Metric"]["MetricName"]: one["Id"] for one in ALARMS["SuccessRateAlarm"]["Metrics"][:-1]}

    assert ids == {"MediaRequests": "requests", "MediaServed": "served", "MediaGone": "gone"}
    rest = "(FILL(requests, 0) - FILL(gone, 0))"
    assert expressions["rate"] == f"IF({rest[1:-1]} > 0, 100 * FILL(served, 0) / {rest}, 100)"
    assert (ALARMS["SuccessRateAlarm"]["Threshold"], ALARMS["SuccessRateAlarm"]["ComparisonOperator"]) == (
        99,
        "LessThanThreshold",
    )
