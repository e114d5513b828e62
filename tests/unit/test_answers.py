"""What every answer carries."""

from inbound.answers import PRECAUTIONS, with_precautions


def test_precautions_are_added_and_nothing_else_is_touched() -> None:
    answer = {"statusCode": 302, "headers": {"Location": "https://x"}, "cookies": [], "body": ""}

    assert with_precautions(answer) == {**answer, "headers": {"Location": "https://x", **PRECAUTIONS}}
    assert answer["headers"] == {"Location": "https://x"}


def test_no_handler_can_weaken_them() -> None:
    weak = {"headers": {"Content-Security-Policy": "default-src *", "X-Content-Type-Options": ""}}

    assert with_precautions(weak)["headers"] == PRECAUTIONS
