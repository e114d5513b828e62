"""MiniStack, taught what it lacks of AWS. Run by .venv-ministack's Python: see `tools.deploy_local`.

A key group is made at its CloudFront, which knows them. Of CodeDeploy there is a record only: `live` goes over to a new
version at once.
"""

from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from ministack import app
from ministack.core import iam_actions
from ministack.services import cloudfront
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]
Made = tuple[str, dict[str, str]]
Answer = tuple[int, dict[str, str], bytes]


def create_key_group(_: str, properties: Properties, __: str) -> Made:
    """Make a key group; give its id. Raises ValueError when CloudFront refuses, as for an unknown key."""
    answer = _accepted(cloudfront._create_key_group(_key_group(properties)))  # noqa: SLF001  (there is no public way)
    found = fromstring(answer).find("{*}Id")  # noqa: S314  (the emulator's own)
    group_id = str(found.text if found is not None else "")
    return group_id, {"Id": group_id}


def update_key_group(group_id: str, _: Properties, properties: Properties, __: str) -> Made:
    """Give a key group other keys."""
    etag = cloudfront._key_groups[group_id]["ETag"]  # noqa: SLF001  (as above)
    _accepted(cloudfront._update_key_group(group_id, {"if-match": etag}, _key_group(properties)))  # noqa: SLF001  (as above)
    return group_id, {"Id": group_id}


def delete_key_group(group_id: str, _: Properties) -> None:
    """Forget a key group."""
    cloudfront._key_groups.pop(group_id, None)  # noqa: SLF001  (as above)


def _key_group(properties: Properties) -> bytes:
    """https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_CreateKeyGroup.html."""
    config = properties["KeyGroupConfig"]
    root = Element("KeyGroupConfig")
    SubElement(root, "Name").text = config["Name"]
    items = SubElement(root, "Items")
    for key_id in config["Items"]:
        SubElement(items, "PublicKey").text = key_id
    return tostring(root)


def _accepted(answer: Answer) -> bytes:
    status, _, body = answer
    if status >= 400:
        raise ValueError(f"AWS::CloudFront::KeyGroup: {body!r}")
    return body


def create_record(logical_id: str, _: Properties, stack: str) -> Made:
    """Note that something is there."""
    return f"{stack}-{logical_id}", {}


def update_record(physical_id: str, _: Properties, __: Properties, ___: str) -> Made:
    """Note nothing new."""
    return physical_id, {}


def delete_record(_: str, __: Properties) -> None:
    """Forget it."""


RECORD: dict[str, Callable[..., Any]] = {"create": create_record, "update": update_record, "delete": delete_record}
LACKING: dict[str, dict[str, Callable[..., Any]]] = {
    "AWS::CloudFront::KeyGroup": {"create": create_key_group, "update": update_key_group, "delete": delete_key_group},
    "AWS::CodeDeploy::Application": RECORD,
    "AWS::CodeDeploy::DeploymentGroup": RECORD,
}


def without_math(handlers: dict[str, Any]) -> dict[str, Any]:
    """Let an alarm on an expression be a record, for the emulator knows single metrics only."""

    def create(logical_id: str, properties: Properties, stack: str) -> Made:
        made: Made = (create_record if "Metrics" in properties else handlers["create"])(logical_id, properties, stack)
        return made

    def update(physical_id: str, old: Properties, new: Properties, *rest: str) -> Made:
        made: Made = (
            (physical_id, {}) if "Metrics" in {**old, **new} else handlers["update"](physical_id, old, new, *rest)
        )
        return made

    return {**handlers, "create": create, "update": update}


def with_arns(handlers: dict[str, Any]) -> dict[str, Any]:
    """Let a secret be referred to by its ARN, as on AWS, and not by its name: roles name it so."""

    def create(*declared: Any) -> Made:
        _, attributes = handlers["create"](*declared)
        return attributes["Arn"], attributes

    def update(arn: str, *declared: Any) -> Made:
        _, attributes = handlers["update"](_name_in(arn), *declared)
        return arn, attributes

    def delete(arn: str, properties: Properties) -> None:
        handlers["delete"](_name_in(arn), properties)

    return {**handlers, "create": create, "update": update, "delete": delete}


def with_batches(action_of: Callable[..., str | None]) -> Callable[..., str | None]:
    """Let SQS's batches need the right of their single calls, as on AWS.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
    """

    def action(service: str, *request: Any) -> str | None:
        found = action_of(service, *request)
        return found.removesuffix("Batch") if found and service == "sqs" else found

    return action


def _name_in(arn: str) -> str:
    """Give a secret's name: what stands before the hyphen and six characters of chance."""
    return arn.rpartition(":")[2][:-7]


if __name__ == "__main__":
    known = provisioners._RESOURCE_HANDLERS  # noqa: SLF001  (as above)
    known.update(LACKING)
    known["AWS::CloudWatch::Alarm"] = without_math(known["AWS::CloudWatch::Alarm"])
    known["AWS::SecretsManager::Secret"] = with_arns(known["AWS::SecretsManager::Secret"])
    iam_actions.extract_iam_action = with_batches(iam_actions.extract_iam_action)
    app.main()
