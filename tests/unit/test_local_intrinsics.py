"""The template reader's understanding of CloudFormation, and its loud refusal of what it does not understand."""

from pathlib import Path
from typing import Any

import pytest

from local.intrinsics import Scope, TemplateError, UnknownIntrinsic, UnknownReference, read_yaml

DOCUMENT: dict[str, Any] = {
    "Parameters": {
        "Stage": {"Type": "String", "Default": "dev"},
        "Days": {"Type": "Number", "Default": 365},
        "Origins": {"Type": "CommaDelimitedList", "Default": "http://a, http://b"},
        "Pem": {"Type": "String"},
    },
    "Conditions": {
        "IsProduction": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        "IsOther": {"Fn::Not": [{"Condition": "IsProduction"}]},
    },
    "Mappings": {"Sizes": {"dev": {"memory": "256"}, "prod": {"memory": "1024"}}},
    "Resources": {},
}


def scope(**parameters: str) -> Scope:
    return Scope(DOCUMENT, parameters, {"Table": "media-table", "Table.Arn": "arn:table"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Stage"}, "dev"),
        ({"Ref": "Days"}, "365"),
        ({"Ref": "Origins"}, ["http://a", "http://b"]),
        ({"Ref": "Table"}, "media-table"),
        ({"Ref": "AWS::Region"}, "us-east-1"),
        ({"Fn::GetAtt": "Table.Arn"}, "arn:table"),
        ({"Fn::GetAtt": ["Table", "Arn"]}, "arn:table"),
        ({"Fn::Sub": "${Stage}-${Table}-${Table.Arn}-${!kept}"}, "dev-media-table-arn:table-${kept}"),
        ({"Fn::Sub": ["${own}-${Stage}", {"own": {"Ref": "Days"}}]}, "365-dev"),
        ({"Fn::Join": ["+", {"Ref": "Origins"}]}, "http://a+http://b"),
        ({"Fn::Select": [1, {"Ref": "Origins"}]}, "http://b"),
        ({"Fn::Select": ["0", {"Fn::Split": [":", "x:y"]}]}, "x"),
        ({"Fn::If": ["IsProduction", "yes", "no"]}, "no"),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "memory"]}, "256"),
        ({"Fn::And": [{"Condition": "IsOther"}, {"Fn::Equals": ["1", 1]}]}, True),
        ({"Fn::Or": [{"Condition": "IsProduction"}, {"Condition": "IsProduction"}]}, False),
        ({"deep": [{"Ref": "Stage"}, {"plain": 1}]}, {"deep": ["dev", {"plain": 1}]}),
    ],
)
def test_intrinsic_functions_are_resolved(value: Any, expected: Any) -> None:
    assert scope().resolve(value) == expected


def test_a_given_parameter_overrides_its_default_and_decides_conditions() -> None:
    assert scope(Stage="prod").resolve({"Fn::If": ["IsProduction", "yes", "no"]}) == "yes"


def test_only_the_chosen_branch_is_resolved() -> None:
    assert scope().resolve({"Fn::If": ["IsOther", "here", {"Ref": "Nowhere"}]}) == "here"


def test_no_value_leaves_properties_and_elements_out() -> None:
    value = {"gone": {"Ref": "AWS::NoValue"}, "list": [1, {"Ref": "AWS::NoValue"}, 2]}

    assert scope().resolve(value) == {"list": [1, 2]}


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"Fn::ImportValue": "x"}, UnknownIntrinsic),
        ({"Fn::GetAZs": ""}, UnknownIntrinsic),
        ({"Ref": "Nowhere"}, UnknownReference),
        ({"Fn::GetAtt": "Table.StreamArn"}, UnknownReference),
        ({"Fn::Sub": "${Nowhere}"}, UnknownReference),
        ({"Fn::Sub": "${Origins}"}, TemplateError),
        ({"Fn::If": ["NoSuchCondition", 1, 2]}, UnknownReference),
        ({"Fn::FindInMap": ["Sizes", "dev", "colour"]}, UnknownReference),
        ({"Ref": "Pem"}, TemplateError),
        ({"Ref": "Stage", "Beside": 1}, TemplateError),
    ],
)
def test_what_is_not_understood_fails_loudly(value: Any, error: type[TemplateError]) -> None:
    with pytest.raises(error):
        scope().resolve(value)


def test_a_parameter_that_the_template_lacks_is_refused() -> None:
    with pytest.raises(TemplateError, match="Typo"):
        scope(Typo="x")


def test_short_tags_read_as_functions_and_dates_as_text(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(
        "Version: 2012-10-17\na: !Ref X\nb: !Sub '${X}-1'\nc: !GetAtt X.Arn\nd: !If [Y, !Ref X, 2]\n"
        "e: !Transform {Name: Z}\nf: !Not [!Condition Y]\n"
    )

    assert read_yaml(path) == {
        "Version": "2012-10-17",
        "a": {"Ref": "X"},
        "b": {"Fn::Sub": "${X}-1"},
        "c": {"Fn::GetAtt": "X.Arn"},
        "d": {"Fn::If": ["Y", {"Ref": "X"}, 2]},
        "e": {"Fn::Transform": {"Name": "Z"}},
        "f": {"Fn::Not": [{"Condition": "Y"}]},
    }


def test_a_file_that_is_no_template_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("- a\n- b\n")

    with pytest.raises(TemplateError, match="no CloudFormation template"):
        read_yaml(path)
