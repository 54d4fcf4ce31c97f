"""Template parameters: defaults, previous values, checks, and values kept in SSM."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.cloudformation.errors import ValidationError
from local_aws.cloudformation.template import Template

_KINDS = re.compile(
    r"String|Number|CommaDelimitedList|List<(Number|String|AWS::[\w:]+)>|AWS::SSM::Parameter::(Name|Value<.+>)|AWS::[\w:]+::Id"
    r"|AWS::EC2::[\w:]+"
)
_SSM_VALUE = re.compile(r"AWS::SSM::Parameter::Value<(.+)>$")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a revision: `given` as the user wrote it, `value` as references see it.

    The two differ for lists, numbers and values kept in SSM.
    """

    name: str
    given: str
    value: Any
    hidden: bool = False
    resolved: str | None = None

    def described(self) -> dict[str, Any]:
        """Return the parameter as DescribeStacks shows it."""
        described = {"ParameterKey": self.name, "ParameterValue": "****" if self.hidden else self.given}
        return described | ({"ResolvedValue": self.resolved} if self.resolved is not None else {})


def resolve_parameters(
    template: Template,
    given: Iterable[Mapping[str, Any]],
    previous: Mapping[str, Parameter] | None,
    ssm_value: Callable[[str], str],
) -> dict[str, Parameter]:
    """Return the value of every declared parameter.

    `given` is the request's `Parameters`; `previous` the deployed values, None for a new stack.
    """
    declared = template.section("Parameters")
    by_name = {entry["ParameterKey"]: entry for entry in given}
    surplus = sorted(set(by_name) - set(declared))
    if surplus:
        raise ValidationError(f"Parameters: [{', '.join(surplus)}] do not exist in the template")
    values: dict[str, Parameter] = {}
    missing: list[str] = []
    for name, declaration in declared.items():
        text = _given_text(name, declaration, by_name.get(name), previous)
        if text is None:
            missing.append(name)
        else:
            values[name] = _parameter(name, declaration, text, ssm_value)
    if missing:
        raise ValidationError(f"Parameters: [{', '.join(missing)}] must have values")
    return values


def _given_text(
    name: str, declaration: Mapping[str, Any], entry: Mapping[str, Any] | None, previous: Mapping[str, Parameter] | None
) -> str | None:
    if entry is not None and entry.get("UsePreviousValue"):
        if previous is None or name not in previous:
            raise ValidationError(
                f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a parameter key "
                "not in the previous template"
            )
        return previous[name].given
    if entry is not None and "ParameterValue" in entry:
        return str(entry["ParameterValue"])
    default = declaration.get("Default")
    if default is None:
        return None
    return str(default).lower() if isinstance(default, bool) else str(default)


def _parameter(name: str, declaration: Mapping[str, Any], text: str, ssm_value: Callable[[str], str]) -> Parameter:
    kind = declaration.get("Type", "String")
    if not _KINDS.fullmatch(kind):
        raise ValidationError(f"Template format error: Unrecognized parameter type: {kind}")
    hidden = str(declaration.get("NoEcho", False)).lower() == "true"
    _check_numbers(name, kind, text)
    _check(name, declaration, text)
    in_ssm = _SSM_VALUE.match(kind)
    if in_ssm is None:
        return Parameter(name, text, _typed(kind, text), hidden)
    stored = ssm_value(text)
    return Parameter(name, text, _typed(in_ssm[1], stored), hidden, resolved=stored)


def _typed(kind: str, text: str) -> Any:
    if kind == "CommaDelimitedList" or kind.startswith("List<"):
        return [item.strip() for item in text.split(",")] if text else []
    return text


def _check_numbers(name: str, kind: str, text: str) -> None:
    if kind not in ("Number", "List<Number>"):
        return
    try:
        for item in text.split(",") if kind == "List<Number>" else [text]:
            float(item)
    except ValueError as error:
        raise ValidationError(f"Parameter '{name}' must be a number.") from error


def _check(name: str, declaration: Mapping[str, Any], text: str) -> None:
    explained = declaration.get("ConstraintDescription")

    def refuse(reason: str) -> None:
        raise ValidationError(
            f"Parameter {name} failed to satisfy constraint: {explained}"
            if explained
            else f"Parameter '{name}' {reason}"
        )

    items = text.split(",") if declaration.get("Type") == "CommaDelimitedList" else [text]
    allowed = [str(value) for value in declaration.get("AllowedValues", [])]
    if allowed and any(item.strip() not in allowed for item in items):
        refuse(f"must be one of AllowedValues [{', '.join(allowed)}]")
    pattern = declaration.get("AllowedPattern")
    if pattern and any(not re.fullmatch(pattern, item) for item in items):
        refuse(f"must match pattern {pattern}")
    if "MinLength" in declaration and len(text) < int(declaration["MinLength"]):
        refuse(f"must contain at least {declaration['MinLength']} characters")
    if "MaxLength" in declaration and len(text) > int(declaration["MaxLength"]):
        refuse(f"must contain at most {declaration['MaxLength']} characters")
    if "MinValue" in declaration and float(text) < float(declaration["MinValue"]):
        refuse(f"must be a number not less than {declaration['MinValue']}")
    if "MaxValue" in declaration and float(text) > float(declaration["MaxValue"]):
        refuse(f"must be a number not greater than {declaration['MaxValue']}")
