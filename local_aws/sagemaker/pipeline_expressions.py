"""Values of a pipeline execution: Get, Std:Join, Std:JsonGet and conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.model import Shape

EXPRESSIONS = frozenset({"Get", "Std:Join", "Std:JsonGet"})
COMPARISONS = frozenset({"Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo"})
# the member that names the entries of a list which property paths address as a map
_ENTRY_NAMES = ("OutputName", "InputName", "ChannelName", "MetricName", "Name", "Key")
_ACCESSOR = re.compile(r"([^.\[\]]+)|\[(?:'([^']*)'|\"([^\"]*)\"|(\d+))\]")


class ExpressionError(Exception):
    """An expression has no value; the message names it."""


@dataclass(frozen=True)
class Scope:
    """Where expressions get their values. `read_json` returns the content of a JSON file in S3."""

    parameters: Mapping[str, Any]
    execution: Mapping[str, Any]
    experiment: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]]
    property_file: Callable[[str], str]
    read_json: Callable[[str], Any]

    def resolve(self, value: Any) -> Any:
        """Return the value with every expression in it replaced."""
        if isinstance(value, Mapping):
            if len(value) == 1:
                (name, content), *_ = value.items()
                if name == "Get" and isinstance(content, str):
                    return self._get(content)
                if name == "Std:Join":
                    return str(content["On"]).join(as_text(self.resolve(item)) for item in content["Values"])
                if name == "Std:JsonGet":
                    return self._json_get(content)
            return {key: self.resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        return value

    def holds(self, condition: Mapping[str, Any]) -> bool:
        """Return whether a condition is true."""
        kind = condition["Type"]
        if kind == "Not":
            return not self.holds(condition["Condition"])
        if kind == "Or":
            return any(self.holds(item) for item in condition["Conditions"])
        if kind == "In":
            query = self.resolve(condition["QueryValue"])
            return any(_equal(query, self.resolve(item)) for item in condition["Values"])
        left, right = self.resolve(condition["LeftValue"]), self.resolve(condition["RightValue"])
        if kind == "Equals":
            return _equal(left, right)
        left, right = _comparable(left, right, condition)
        comparisons: dict[str, bool] = {
            "GreaterThan": left > right,
            "GreaterThanOrEqualTo": left >= right,
            "LessThan": left < right,
            "LessThanOrEqualTo": left <= right,
        }
        return comparisons[kind]

    def _get(self, path: str) -> Any:
        kind, _, rest = path.partition(".")
        if kind == "Parameters":
            return self.parameters[rest]
        if kind == "Execution":
            return _member(self.execution, [rest], path)
        if kind == "PipelineExperimentConfig":
            return self.resolve(_member(self.experiment, [rest], path))
        if kind == "Steps":
            step, _, members = rest.partition(".")
            if step not in self.steps:
                raise ExpressionError(f"{path!r}: the step {step!r} has no properties")
            return _member(self.steps[step], accessors(members), path)
        raise ExpressionError(f"{path!r} is no reference")

    def _json_get(self, content: Mapping[str, Any]) -> Any:
        if "PropertyFile" in content:
            uri = self.property_file(content["PropertyFile"]["Get"])
        else:
            uri = self.resolve(content["S3Uri"])
        path = self.resolve(content["Path"])
        return _member(self.read_json(uri), accessors(path), f"{path} of {uri}")


def is_expression(value: Any) -> bool:
    """Say whether a value stands for another one."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in EXPRESSIONS


def accessors(path: str) -> list[str | int]:
    """Split a path such as `Outputs['train'].S3Output[0]` into names and positions."""
    found: list[str | int] = []
    for name, single, double, index in _ACCESSOR.findall(path):
        found.append(int(index) if index else name or single or double)
    return found


def as_text(value: Any) -> str:
    """Return a value as Std:Join writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return value if isinstance(value, str) else json.dumps(value)


def fitted(shape: Shape, value: Any) -> Any:
    """Return a value with numbers and text converted to what the shape of a request wants."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        members = shape.members
        return {key: fitted(members[key], item) if key in members else item for key, item in value.items()}
    if kind == "list" and isinstance(value, list):
        return [fitted(shape.member, item) for item in value]
    if kind == "map" and isinstance(value, Mapping):
        return {key: fitted(shape.value, item) for key, item in value.items()}
    if kind == "string" and isinstance(value, int | float | datetime):
        return as_text(value)
    if kind in ("integer", "long") and isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    return value


def _member(value: Any, path: list[str | int], shown: str) -> Any:
    for accessor in path:
        if isinstance(value, Mapping) and str(accessor) in value:
            value = value[str(accessor)]
        elif isinstance(value, list) and isinstance(accessor, int) and accessor < len(value):
            value = value[accessor]
        elif isinstance(value, list) and (entry := _entry(value, str(accessor))) is not None:
            value = entry
        else:
            raise ExpressionError(f"{shown!r} has no value: {accessor!r} isn't there")
    return value


def _entry(entries: list[Any], name: str) -> Any:
    for entry in entries:
        if isinstance(entry, Mapping) and any(entry.get(member) == name for member in _ENTRY_NAMES):
            return entry
    return None


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) == isinstance(right, bool) and type(left) is not type(right):
        try:
            return float(left) == float(right)
        except (TypeError, ValueError):
            return False
    return bool(left == right)


def _comparable(left: Any, right: Any, condition: Mapping[str, Any]) -> tuple[float, float]:
    try:
        return float(left), float(right)
    except (TypeError, ValueError) as error:
        raise ExpressionError(f"{condition['Type']} compares numbers, not {left!r} and {right!r}") from error
