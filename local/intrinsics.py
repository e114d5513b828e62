"""CloudFormation's YAML and its intrinsic functions, resolved for given parameters and physical values.

Only what is asked for is resolved, so a template may hold references that a local run never needs. What is
not understood fails loudly: a template that deploys differently from how it runs here is worse than none.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml

PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/local/00000000",
    "AWS::StackName": "local",
    "AWS::URLSuffix": "amazonaws.com",
}
ABSENT = object()
"""What AWS::NoValue resolves to: a property or list element that is left out."""


class TemplateError(ValueError):
    """The template says something that is wrong, or that this reader does not understand."""


class UnknownIntrinsic(TemplateError):
    """An intrinsic function that is not implemented."""


class UnknownReference(TemplateError):
    """A name that is neither a parameter, nor a pseudo parameter, nor a known resource or attribute."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a template; short tags become their long form (`!Sub x` is `{"Fn::Sub": "x"}`)."""
    loader = _Loader(path.read_text("utf-8"))
    try:
        document = loader.get_single_data()
    finally:
        loader.dispose()
    if not isinstance(document, dict):
        raise TemplateError(f"{path} is no CloudFormation template")
    return document


class Scope:
    """A template document with values for its parameters and resources.

    `physical` maps "LogicalId" to what Ref gives and "LogicalId.Attribute" to what GetAtt gives.
    """

    def __init__(self, document: dict[str, Any], parameters: Mapping[str, str], physical: Mapping[str, str]) -> None:
        unknown = parameters.keys() - document.get("Parameters", {}).keys()
        if unknown:
            raise TemplateError(f"the template has no parameter {', '.join(sorted(unknown))}")
        self.document = document
        self.parameters = dict(parameters)
        self.physical = dict(physical)
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::And": lambda parts: all(self.condition(part) for part in parts),
            "Fn::Equals": self._equals,
            "Fn::FindInMap": self._find_in_map,
            "Fn::GetAtt": self._get_att,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::Not": lambda parts: not self.condition(parts[0]),
            "Fn::Or": lambda parts: any(self.condition(part) for part in parts),
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::Sub": self._sub,
        }

    def resolve(self, value: Any) -> Any:
        """Give the value with every intrinsic function in it replaced. Raises `TemplateError`."""
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not ABSENT]
        if not isinstance(value, dict):
            return value
        name = _function_name(value)
        if name is None:
            resolved = {key: self.resolve(item) for key, item in value.items()}
            return {key: item for key, item in resolved.items() if item is not ABSENT}
        if name not in self._functions:
            raise UnknownIntrinsic(f"{name} is not known to the local run")
        return self._functions[name](value[name])

    def condition(self, value: Any) -> bool:
        """Tell whether a condition holds: its name, `{"Condition": name}`, or a condition function."""
        if isinstance(value, dict) and value.keys() == {"Condition"}:
            value = value["Condition"]
        if not isinstance(value, str):
            return bool(self.resolve(value))
        conditions = self.document.get("Conditions", {})
        if value not in conditions:
            raise UnknownReference(f"the template has no condition {value}")
        return bool(self.resolve(conditions[value]))

    def parameter(self, name: str) -> str | list[str]:
        """Give a parameter's value or default; a comma-delimited list as a list. Raises `TemplateError`."""
        declaration = self.document["Parameters"][name]
        value = self.parameters.get(name, declaration.get("Default"))
        if value is None:
            raise TemplateError(f"the parameter {name} has no default and was given no value")
        if declaration["Type"] == "CommaDelimitedList":
            return [part.strip() for part in str(value).split(",")]
        return str(value)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return ABSENT
        if name in self.document.get("Parameters", {}):
            return self.parameter(name)
        return self._value(name)

    def _get_att(self, path: str | list[str]) -> str:
        return self._value(path if isinstance(path, str) else ".".join(self.resolve(path)))

    def _value(self, name: str) -> str:
        for values in (self.physical, PSEUDO_PARAMETERS):
            if name in values:
                return values[name]
        raise UnknownReference(f"nothing is known of {name}")

    def _sub(self, argument: str | list[Any]) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1]))

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            value = own[name] if name in own else self._ref(name)
            if not isinstance(value, str):
                raise TemplateError(f"${{{name}}} is no text, Sub cannot insert it")
            return value

        return re.sub(r"\$\{([^}]+)\}", replace, text)

    def _if(self, parts: list[Any]) -> Any:
        name, then, otherwise = parts
        return self.resolve(then if self.condition(name) else otherwise)

    def _equals(self, parts: list[Any]) -> bool:
        left, right = (self.resolve(part) for part in parts)
        return str(left) == str(right)

    def _join(self, parts: list[Any]) -> str:
        separator, items = parts
        return str(separator).join(str(item) for item in self.resolve(items))

    def _split(self, parts: list[Any]) -> list[str]:
        separator, text = parts
        return str(self.resolve(text)).split(separator)

    def _select(self, parts: list[Any]) -> Any:
        index, items = parts
        return self.resolve(items)[int(self.resolve(index))]

    def _find_in_map(self, parts: list[Any]) -> Any:
        name, first, second = self.resolve(parts)
        try:
            return self.document["Mappings"][name][first][second]
        except KeyError as error:
            raise UnknownReference(f"the template's mappings have no {name}.{first}.{second}") from error


def _function_name(value: dict[str, Any]) -> str | None:
    names = [key for key in map(str, value) if key == "Ref" or key.startswith("Fn::")]
    if names and len(value) > 1:
        raise TemplateError(f"{names[0]} stands beside {sorted(value.keys() - {names[0]})}")
    return names[0] if names else None


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: tags are functions, and a date is only text."""


def _construct_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(cast("yaml.MappingNode", node), deep=True)}  # the third and last kind


_Loader.add_multi_constructor("!", _construct_tag)
_Loader.add_constructor(
    "tag:yaml.org,2002:timestamp",
    lambda loader, node: loader.construct_scalar(cast("yaml.ScalarNode", node)),  # a date is always one
)
