"""Parameters: defaults, previous values, checks, and values kept in SSM."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local_aws.cloudformation.errors import ValidationError
from local_aws.cloudformation.parameters import Parameter, resolve_parameters
from local_aws.cloudformation.template import parse_template

SSM = {"/image": "ami-1", "/zones": "a, b"}


def resolve(
    declared: dict[str, Any], previous: dict[str, Parameter] | None = None, **given: Any
) -> dict[str, Parameter]:
    body = {"Parameters": declared, "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    entries = [
        {"ParameterKey": name, **(value if isinstance(value, dict) else {"ParameterValue": value})}
        for name, value in given.items()
    ]
    return resolve_parameters(parse_template(json.dumps(body)), entries, previous, SSM.__getitem__)


def value(declaration: dict[str, Any], given: str | None = None) -> Any:
    return resolve({"P": declaration}, **({} if given is None else {"P": given}))["P"].value


def test_given_values_win_over_defaults() -> None:
    assert value({"Type": "String", "Default": "a"}) == "a"
    assert value({"Type": "String", "Default": "a"}, "b") == "b"
    assert value({"Type": "String", "Default": True}) == "true"
    assert value({"Type": "Number", "Default": 3}) == "3", "numbers are referred to as text"


def test_lists_are_split() -> None:
    assert value({"Type": "CommaDelimitedList"}, "a, b") == ["a", "b"]
    assert value({"Type": "List<Number>"}, "1,2") == ["1", "2"]
    assert value({"Type": "CommaDelimitedList", "Default": ""}) == []


def test_values_from_ssm_show_both_key_and_value() -> None:
    found = resolve({"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/image"}})["P"]
    assert found.described() == {"ParameterKey": "P", "ParameterValue": "/image", "ResolvedValue": "ami-1"}
    assert found.value == "ami-1"
    zones = {"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": "/zones"}
    assert value(zones) == ["a", "b"]


def test_hidden_values_are_not_shown() -> None:
    found = resolve({"P": {"Type": "String", "NoEcho": True}}, P="secret")["P"]
    assert found.described()["ParameterValue"] == "****"
    assert found.value == "secret"


def test_previous_value_is_used_on_request_only() -> None:
    declared = {"P": {"Type": "String", "Default": "default"}}
    previous = resolve(declared, P="deployed")
    assert resolve(declared, previous, P={"UsePreviousValue": True})["P"].value == "deployed"
    assert resolve(declared, previous)["P"].value == "default"
    with pytest.raises(ValidationError, match="not in the previous template"):
        resolve(declared, {}, P={"UsePreviousValue": True})


@pytest.mark.parametrize(
    ("declaration", "given", "problem"),
    [
        ({"Type": "String"}, None, r"Parameters: \[P\] must have values"),
        ({"Type": "String", "AllowedValues": ["a", "b"]}, "c", r"'P' must be one of AllowedValues \[a, b\]"),
        ({"Type": "CommaDelimitedList", "AllowedValues": ["a"]}, "a,c", "must be one of AllowedValues"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, "a1", r"must match pattern \[a-z\]\+"),
        ({"Type": "String", "AllowedPattern": "a", "ConstraintDescription": "just a"}, "b", "constraint: just a"),
        ({"Type": "String", "MinLength": 2}, "a", "must contain at least 2 characters"),
        ({"Type": "String", "MaxLength": "2"}, "abc", "must contain at most 2 characters"),
        ({"Type": "Number"}, "much", "'P' must be a number"),
        ({"Type": "Number", "MinValue": 1}, "much", "'P' must be a number"),
        ({"Type": "List<Number>"}, "1,x", "'P' must be a number"),
        ({"Type": "Number", "MinValue": 1}, "0", "must be a number not less than 1"),
        ({"Type": "Number", "MaxValue": 1}, "2", "must be a number not greater than 1"),
        ({"Type": "Text"}, "a", "Unrecognized parameter type: Text"),
    ],
)
def test_wrong_values_are_refused(declaration: dict[str, Any], given: str | None, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        value(declaration, given)


def test_undeclared_parameter_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"Parameters: \[Other\] do not exist in the template"):
        resolve({}, Other="a")
