"""Evaluation of a template's intrinsic functions, conditions and dynamic references."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Protocol

from local_aws.cloudformation.errors import ValidationError
from local_aws.cloudformation.template import Template


class _Marker:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


NO_VALUE = _Marker("AWS::NoValue")
UNKNOWN = _Marker("(known after the deployment)")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_DYNAMIC = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^}]+)\}\}")


def contains_unknown(value: Any) -> bool:
    """Say whether any part of a value is decided only during the deployment."""
    if isinstance(value, dict):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    return value is UNKNOWN


class References(Protocol):
    """Where names lead: resources of the stack, and the world around it."""

    def reference(self, logical_id: str) -> Any:
        """Return a resource's physical id, or UNKNOWN."""

    def attribute(self, logical_id: str, name: str) -> Any:
        """Return a resource's attribute, or UNKNOWN."""

    def imported(self, name: str) -> str:
        """Return the value of an export."""

    def dynamic(self, service: str, key: str) -> str:
        """Return the value of a dynamic reference such as `{{resolve:ssm:/name}}`."""

    def availability_zones(self, region: str) -> list[str]:
        """Return the zones of a region ("" means the stack's)."""


class Evaluator:
    """Evaluates values of one template, with its parameters, for one stack.

    `parameters` holds the declared and the pseudo parameters by name.
    """

    def __init__(self, template: Template, parameters: Mapping[str, Any], references: References) -> None:
        self._template = template
        self._parameters = parameters
        self._references = references
        self._conditions: dict[str, bool] = {}
        self._deciding: list[str] = []
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Join": self._join,
            "Fn::Sub": self._sub,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::If": self._if,
            "Fn::Equals": self._equals,
            "Fn::And": lambda argument: all(self._truth(item) for item in argument),
            "Fn::Or": lambda argument: any(self._truth(item) for item in argument),
            "Fn::Not": lambda argument: not self._truth(argument[0]),
            "Fn::FindInMap": self._find_in_map,
            "Fn::ImportValue": self._import_value,
            "Fn::Base64": self._base64,
            "Fn::GetAZs": self._get_azs,
            "Fn::Cidr": self._cidr,
        }

    def condition(self, name: str) -> bool:
        """Return a condition's value."""
        if name not in self._conditions:
            declared = self._template.section("Conditions")
            if name not in declared:
                raise ValidationError(f"Template error: unresolved condition {name}")
            if name in self._deciding:
                raise ValidationError(
                    f"Template error: Found circular condition dependency: {', '.join(self._deciding)}"
                )
            self._deciding.append(name)
            self._conditions[name] = self._truth(declared[name])
            self._deciding.pop()
        return self._conditions[name]

    def enabled(self, condition: str | None) -> bool:
        """Say whether something guarded by an optional condition exists."""
        return condition is None or self.condition(condition)

    def evaluate(self, value: Any) -> Any:
        """Return the value with every intrinsic replaced; members that are AWS::NoValue are gone."""
        if isinstance(value, dict):
            if len(value) == 1:
                name, argument = next(iter(value.items()))
                if name in self._functions:
                    return self._functions[name](argument)
                if name.startswith("Fn::"):
                    raise ValidationError(f"Template error: {name} isn't supported by the local AWS")
            evaluated = {key: self.evaluate(item) for key, item in value.items()}
            return {key: item for key, item in evaluated.items() if item is not NO_VALUE}
        if isinstance(value, list):
            return [item for item in map(self.evaluate, value) if item is not NO_VALUE]
        return self._resolve_dynamic(value) if isinstance(value, str) else value

    def _truth(self, value: Any) -> bool:
        if isinstance(value, dict) and value.keys() == {"Condition"}:
            return self.condition(value["Condition"])
        result = self.evaluate(value)
        return result if isinstance(result, bool) else str(result).lower() == "true"

    def _resolve_dynamic(self, text: str) -> str:
        if "{{resolve:" not in text:
            return text
        return _DYNAMIC.sub(lambda match: self._references.dynamic(match[1], match[2]), text)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name not in self._parameters:
            return self._references.reference(name)
        value = self._parameters[name]
        return self._resolve_dynamic(value) if isinstance(value, str) else value

    def _get_att(self, argument: Any) -> Any:
        logical_id, name = argument.split(".", 1) if isinstance(argument, str) else argument
        return self._references.attribute(logical_id, self.evaluate(name))

    def _join(self, argument: Any) -> Any:
        delimiter, items = argument[0], self.evaluate(argument[1])
        if contains_unknown(items):
            return UNKNOWN
        return self._resolve_dynamic(delimiter.join(_text(item) for item in items))

    def _sub(self, argument: Any) -> Any:
        text, variables = (argument, {}) if isinstance(argument, str) else (argument[0], self.evaluate(argument[1]))
        unknown = False

        def substitute(match: re.Match[str]) -> str:
            nonlocal unknown
            name = match[1]
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in variables:
                value = variables[name]
            elif "." in name:
                value = self._get_att(name)
            else:
                value = self._ref(name)
            unknown = unknown or value is UNKNOWN
            return _text(value)

        result = _VARIABLE.sub(substitute, text)
        return UNKNOWN if unknown else self._resolve_dynamic(result)

    def _select(self, argument: Any) -> Any:
        index, items = self.evaluate(argument[0]), self.evaluate(argument[1])
        if items is UNKNOWN:
            return UNKNOWN
        if not str(index).isdigit() or not isinstance(items, list) or int(index) >= len(items):
            raise ValidationError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
        return items[int(index)]

    def _split(self, argument: Any) -> Any:
        text = self.evaluate(argument[1])
        return UNKNOWN if text is UNKNOWN else text.split(argument[0])

    def _if(self, argument: Any) -> Any:
        return self.evaluate(argument[1] if self.condition(argument[0]) else argument[2])

    def _equals(self, argument: Any) -> bool:
        left, right = (self.evaluate(item) for item in argument)
        return _text(left) == _text(right) if not isinstance(left, list | dict) else left == right

    def _find_in_map(self, argument: Any) -> Any:
        name, first, second = (self.evaluate(item) for item in argument[:3])
        found: Any = self._template.section("Mappings")
        try:
            for key in (name, first, second):
                # YAML reads unquoted account ids as numbers
                found = {str(entry): value for entry, value in found.items()}[str(key)]
            return found
        except KeyError as error:
            if len(argument) > 3 and "DefaultValue" in argument[3]:
                return self.evaluate(argument[3]["DefaultValue"])
            raise ValidationError(f"Template error: Unable to get mapping for {name}::{first}::{second}") from error

    def _import_value(self, argument: Any) -> Any:
        name = self.evaluate(argument)
        return UNKNOWN if name is UNKNOWN else self._references.imported(name)

    def _base64(self, argument: Any) -> Any:
        text = self.evaluate(argument)
        return UNKNOWN if text is UNKNOWN else base64.b64encode(_text(text).encode()).decode()

    def _get_azs(self, argument: Any) -> list[str]:
        return self._references.availability_zones(self.evaluate(argument) or "")

    def _cidr(self, argument: Any) -> Any:
        block, count, host_bits = self.evaluate(argument[0]), int(self.evaluate(argument[1])), argument[2:]
        if block is UNKNOWN:
            return UNKNOWN
        network = ipaddress.ip_network(block)
        prefix = network.max_prefixlen - (int(self.evaluate(host_bits[0])) if host_bits else 8)
        subnets = [str(subnet) for subnet in islice(network.subnets(new_prefix=prefix), count)]
        if len(subnets) < count:
            raise ValidationError(f"Template error: Fn::Cidr: {block} doesn't have {count} blocks of that size")
        return subnets


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
