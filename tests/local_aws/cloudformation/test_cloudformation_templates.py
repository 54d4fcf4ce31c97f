"""Templates: what is refused before anything is deployed, and what the intrinsic functions make of values."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from local_aws.cloudformation.errors import ValidationError
from local_aws.cloudformation.intrinsics import UNKNOWN, Evaluator
from local_aws.cloudformation.template import creation_order, parse_template
from tests.local_aws.malformed import malformed

TOPIC = {"Type": "AWS::SNS::Topic"}


def parse(resources: Any = None, **sections: Any) -> Any:
    return parse_template(json.dumps({"Resources": {"Topic": TOPIC} if resources is None else resources, **sections}))


def topic(name: Any, **keys: Any) -> dict[str, Any]:
    return {"Topic": {**TOPIC, "Properties": {"TopicName": name}, **keys}}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no resources": ({"resources": {}}, "At least one Resources member must be defined"),
    "unknown section": ({"Resource": {}}, r"Invalid template property or properties \[Resource\]"),
    "no type": ({"resources": {"A": {}}}, r"\[/Resources/A\] Every Resources object must contain a Type member"),
    "odd name": ({"resources": {"A-b": TOPIC}}, "Resource name A-b is non alphanumeric"),
    "unknown key": ({"resources": {"A": {**TOPIC, "Propertys": {}}}}, "Invalid template resource property 'Propertys'"),
    "ignored policy": ({"resources": {"A": {**TOPIC, "CreationPolicy": {}}}}, "CreationPolicy isn't supported"),
    "snapshot": (
        {"resources": {"A": {**TOPIC, "DeletionPolicy": "Snapshot"}}},
        "DeletionPolicy Snapshot isn't supported",
    ),
    "ref": ({"resources": topic({"Ref": "Gone"})}, r"Unresolved resource dependencies \[Gone\] in the Resources block"),
    "sub": ({"resources": topic({"Fn::Sub": "a-${Gone}"})}, r"Unresolved resource dependencies \[Gone\]"),
    "depends on": ({"resources": {"A": {**TOPIC, "DependsOn": "Gone"}}}, r"Unresolved resource dependencies \[Gone\]"),
    "depends on a parameter": (
        {"resources": {"A": {**TOPIC, "DependsOn": ["P"]}}, "Parameters": {"P": {"Type": "String"}}},
        r"Unresolved resource dependencies \[P\]",
    ),
    "attribute": (
        {"resources": topic({"Fn::GetAtt": ["P", "Arn"]}), "Parameters": {"P": {"Type": "String"}}},
        "instance of Fn::GetAtt references undefined resource P in resource Topic",
    ),
    "condition": ({"resources": topic("a", Condition="Gone")}, "Unresolved condition dependency Gone in the Resources"),
    "if": ({"resources": topic({"Fn::If": ["Gone", "a", "b"]})}, "Unresolved condition dependency Gone"),
    "output": ({"Outputs": {"O": {"Value": {"Ref": "Gone"}}}}, r"dependencies \[Gone\] in the Outputs block"),
    "output without value": ({"Outputs": {"O": {}}}, "Every Outputs member must contain a Value object"),
    "condition of an output": ({"Outputs": {"O": {"Value": "a", "Condition": "Gone"}}}, "Gone in the Outputs block"),
    "resource in a condition": (
        {"Conditions": {"C": {"Fn::Equals": [{"Ref": "Topic"}, "a"]}}},
        r"Unresolved dependencies \[Topic\]\. Cannot reference resources in the Conditions block",
    ),
    "parameter without type": ({"Parameters": {"P": {"Default": "a"}}}, "Every Parameters object must contain a Type"),
    "argument of ref": ({"resources": topic({"Ref": ["A"]})}, "every Ref object must have a single String value"),
    "argument of getatt": ({"resources": topic({"Fn::GetAtt": "A"})}, "every Fn::GetAtt object requires two"),
    "argument of sub": ({"resources": topic({"Fn::Sub": ["a"]})}, "Fn::Sub intrinsic functions don't specify expected"),
    "argument of join": ({"resources": topic({"Fn::Join": ["a"]})}, "every Fn::Join object requires two parameters"),
    "argument of not": ({"Conditions": {"C": {"Fn::Not": []}}}, "every Fn::Not object requires one boolean"),
    "list of parameters": ({"Parameters": ["P"]}, "the section Parameters must be an object"),
    "transform": ({"Transform": "AWS::Serverless-2016-10-31"}, "Transforms aren't supported"),
    "circle": (
        {"resources": {"A": {**TOPIC, "DependsOn": "B"}, "B": {**TOPIC, "Properties": {"TopicName": {"Ref": "A"}}}}},
        r"Circular dependency between resources: \[A, B\]",
    ),
    "itself": ({"resources": topic({"Ref": "Topic"})}, r"Circular dependency between resources: \[Topic\]"),
}


@pytest.mark.parametrize(("template", "problem"), REFUSED.values(), ids=REFUSED)
def test_refused(template: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        parse(**template)


@pytest.mark.parametrize("body", ["{", "a: [", "- a list", "text"])
def test_broken_text_is_a_format_error(body: str) -> None:
    with pytest.raises(ValidationError, match="Template format error"):
        parse_template(body)


def test_yaml_with_short_tags_is_the_same_template() -> None:
    template = parse_template(
        "Parameters: {P: {Type: String, Default: 2010-09-09}}\n"
        "Conditions: {C: !Equals [!Ref P, a]}\n"
        "Resources:\n"
        "  A: {Type: AWS::SNS::Topic}\n"
        "  B:\n"
        "    Type: AWS::SNS::Topic\n"
        "    Condition: C\n"
        "    Properties: {TopicName: !If [C, !GetAtt A.TopicName, !Sub '${P}-x']}\n"
    )
    name = {"Fn::If": ["C", {"Fn::GetAtt": ["A", "TopicName"]}, {"Fn::Sub": "${P}-x"}]}
    assert template.resources["B"].properties == {"TopicName": name}
    assert template.section("Parameters")["P"]["Default"] == "2010-09-09", "dates stay text"
    assert [item.logical_id for item in creation_order(template.resources)] == ["A", "B"]


class World:
    """References as a stack would answer them."""

    def reference(self, logical_id: str) -> Any:
        return UNKNOWN if logical_id == "Later" else f"id-of-{logical_id}"

    def attribute(self, logical_id: str, name: str) -> Any:
        return UNKNOWN if logical_id == "Later" else f"{logical_id}/{name}"

    def imported(self, name: str) -> str:
        return f"imported-{name}"

    def dynamic(self, service: str, key: str) -> str:
        return f"<{service} {key}>"

    def availability_zones(self, region: str) -> list[str]:
        return [f"{region or 'here'}{zone}" for zone in "ab"]


SECTIONS = {
    "Conditions": {
        "Yes": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        "No": {"Fn::Not": [{"Condition": "Yes"}]},
        "Both": {"Fn::And": [{"Condition": "Yes"}, {"Condition": "No"}]},
        "Either": {"Fn::Or": [{"Condition": "Both"}, {"Fn::Equals": [1, "1"]}]},
        "Loop": {"Fn::Not": [{"Condition": "Pool"}]},
        "Pool": {"Condition": "Loop"},
    },
    "Mappings": {"Sizes": {"prod": {"instances": 3}, "dev": {"instances": 1}}, "Accounts": {"123": {"name": "a"}}},
}
PARAMETERS = {"Stage": "prod", "Zones": ["a", "b"], "Secret": "{{resolve:ssm:/key}}", "AWS::Region": "eu-west-1"}
VALUES: list[tuple[Any, Any]] = [
    ({"Ref": "Stage"}, "prod"),
    ({"Ref": "Topic"}, "id-of-Topic"),
    ({"Ref": "AWS::Region"}, "eu-west-1"),
    ({"Ref": "Secret"}, "<ssm /key>"),
    ({"Fn::GetAtt": ["Topic", "TopicArn"]}, "Topic/TopicArn"),
    ({"Fn::GetAtt": "Topic.Nested.Name"}, "Topic/Nested.Name"),
    ({"Fn::Join": ["-", ["a", {"Ref": "Stage"}, 1, True]]}, "a-prod-1-true"),
    ({"Fn::Join": [",", {"Ref": "Zones"}]}, "a,b"),
    ({"Fn::Join": ["", ["a", {"Ref": "AWS::NoValue"}, "b"]]}, "ab"),
    ({"Fn::Sub": "${Stage}/${Topic}/${Topic.TopicArn}"}, "prod/id-of-Topic/Topic/TopicArn"),
    ({"Fn::Sub": "${!Literal}/$x/${!Stage.Arn}"}, "${Literal}/$x/${Stage.Arn}"),
    ({"Fn::Sub": ["${A}-${Stage}", {"A": {"Ref": "AWS::Region"}}]}, "eu-west-1-prod"),
    ({"Fn::Sub": "{{resolve:ssm:/${Stage}/key}}"}, "<ssm /prod/key>"),
    ({"Fn::Select": ["1", {"Ref": "Zones"}]}, "b"),
    ({"Fn::Select": [0, {"Fn::Split": ["|", "a|b"]}]}, "a"),
    ({"Fn::Split": [",", {"Fn::Join": [",", ["a", "b"]]}]}, ["a", "b"]),
    ({"Fn::If": ["Yes", "yes", {"Ref": "Later"}]}, "yes"),
    ({"Fn::If": ["Both", "both", {"Fn::If": ["Either", "either", "none"]}]}, "either"),
    ({"a": {"Fn::If": ["No", 1, {"Ref": "AWS::NoValue"}]}, "b": [{"Ref": "AWS::NoValue"}, 2]}, {"b": [2]}),
    ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "instances"]}, 3),
    ({"Fn::FindInMap": ["Sizes", "test", "instances", {"DefaultValue": 2}]}, 2),
    ({"Fn::FindInMap": ["Accounts", 123, "name"]}, "a"),
    ({"Fn::Base64": {"Ref": "Stage"}}, "cHJvZA=="),
    ({"Fn::Cidr": ["10.0.0.0/16", 2, "8"]}, ["10.0.0.0/24", "10.0.1.0/24"]),
    ({"Fn::GetAZs": ""}, ["herea", "hereb"]),
    ({"Fn::ImportValue": {"Fn::Sub": "${Stage}-vpc"}}, "imported-prod-vpc"),
    # a policy's condition is no function
    ({"Condition": {"Bool": {"tls": "false"}}}, {"Condition": {"Bool": {"tls": "false"}}}),
    ({"Condition": "text"}, {"Condition": "text"}),
    ("a {{resolve:secretsmanager:id:SecretString:key}}", "a <secretsmanager id:SecretString:key>"),
    # what is decided during the deployment
    ({"Fn::Join": ["-", ["a", {"Ref": "Later"}]]}, UNKNOWN),
    ({"Fn::Sub": "${Later.Arn}"}, UNKNOWN),
    ({"Fn::Select": [0, {"Fn::Split": [":", {"Fn::GetAtt": ["Later", "Arn"]}]}]}, UNKNOWN),
]  # fmt: skip


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator(parse(**SECTIONS, Parameters={"Stage": {"Type": "String"}}), PARAMETERS, World())


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda value: json.dumps(value, default=repr)[:60])
def test_values(evaluator: Evaluator, value: Any, expected: Any) -> None:
    assert evaluator.evaluate(value) == expected


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"Fn::Select": [2, ["a"]]}, "cannot select nonexistent value at index 2"),
        ({"Fn::Select": [-1, ["a"]]}, "cannot select nonexistent value at index -1"),
        ({"Fn::FindInMap": ["Sizes", "test", "instances"]}, "Unable to get mapping for Sizes::test::instances"),
        ({"Fn::Cidr": ["10.0.0.0/24", 3, 7]}, "doesn't have 3 blocks"),
        ({"Fn::Transform": {}}, "Fn::Transform isn't supported"),
        ({"Fn::If": ["Loop", 1, 2]}, "circular condition dependency: Loop, Pool"),
    ],
    ids=str,
)
def test_values_that_do_not_exist(evaluator: Evaluator, value: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        evaluator.evaluate(value)


EVERYTHING: dict[str, Any] = {
    "Parameters": {"P": {"Type": "String", "Default": "a", "AllowedValues": ["a"]}},
    "Conditions": {"C": {"Fn::And": [{"Fn::Equals": [{"Ref": "P"}, "a"]}, {"Fn::Not": [{"Fn::Equals": ["a", "b"]}]}]}},
    "Mappings": {"M": {"a": {"b": 1}}},
    "Resources": {
        "A": {
            "Type": "AWS::SNS::Topic",
            "Properties": {
                "TopicName": {
                    "Fn::If": ["C", {"Fn::Sub": ["${P}${X}", {"X": {"Ref": "P"}}]}, {"Fn::FindInMap": ["M", "a", "b"]}]
                }
            },
            "DependsOn": ["B"],
            "Condition": "C",
            "Metadata": {"a": 1},
            "DeletionPolicy": "Retain",
        },
        "B": {
            "Type": "AWS::SNS::Topic",
            "Properties": {
                "DisplayName": {"Fn::Select": [0, {"Fn::Split": [",", "a,b"]}]},
                "Tags": [{"Key": "a", "Value": {"Fn::Join": ["-", ["a", {"Ref": "AWS::Region"}]]}}],
            },
        },
    },
    "Outputs": {"O": {"Value": {"Fn::GetAtt": ["B", "TopicArn"]}, "Export": {"Name": "x"}, "Condition": "C"}},
}


def test_no_malformed_template_breaks_the_reader() -> None:
    parse_template(json.dumps(EVERYTHING))
    replacements: list[Any] = [
        None, 5, True, "x", [], [None], {}, {"a": 1}, {"Ref": 5}, {"Fn::GetAtt": []}, {"Fn::Sub": 5}, {"Fn::If": []},
    ]  # fmt: skip
    for place, document in malformed(EVERYTHING, replacements):
        try:
            with contextlib.suppress(ValidationError):
                parse_template(json.dumps(document))
        except Exception as error:
            raise AssertionError(place) from error
