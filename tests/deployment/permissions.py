"""What policies of a template allow, judged as IAM does: actions, resources with their stars, conditions, variables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from tests.deployment.assemblies import Template

Context = Mapping[str, str | Sequence[str]]
"""What a request says of itself, by condition key: a list where it says several; a key that isn't there is absent."""


@dataclass(frozen=True)
class Permissions:
    """The statements of one role. References read as `<logical id>`, or as `<export>` what other stacks export."""

    statements: Sequence[Mapping[str, Any]]
    names: Mapping[str, str] = field(default_factory=dict)

    def allows(self, action: str, resource: str, context: Context | None = None) -> bool:
        """Whether a request is allowed; `resource` is an ARN without its partition, region and account."""
        context = context or {}
        return any(self._covers(statement, action, resource, context) for statement in self.statements)

    def actions(self) -> set[str]:
        """Every action that is named."""
        return {action for statement in self.statements for action in as_list(statement["Action"])}

    def read(self, value: Any) -> str:
        """A resource of a statement as tests write it."""
        return self._text(value)

    def _covers(self, statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
        assert statement["Effect"] == "Allow"
        assert "NotAction" not in statement
        assert "NotResource" not in statement
        return (
            any(fnmatchcase(action, each) for each in as_list(statement["Action"]))
            and any(_matches(resource, self._text(each), context) for each in as_list(statement["Resource"]))
            and all(
                self._holds(operator, key, as_list(values), context)
                for operator, keys in statement.get("Condition", {}).items()
                for key, values in keys.items()
            )
        )

    def _holds(self, operator: str, key: str, values: Sequence[Any], context: Context) -> bool:
        asked, wanted = context.get(key), [self._text(each) for each in values]
        if operator == "Null":
            return [str(asked is None).lower()] == wanted
        if operator == "ForAllValues:StringEquals":
            return all(each in wanted for each in as_list(asked or []))
        if operator in {"StringEquals", "Bool"}:
            return asked in wanted
        if operator == "ArnLike":
            return isinstance(asked, str) and any(_matches(asked, each, context) for each in wanted)
        raise AssertionError(f"no test knows the condition {operator}")

    def _text(self, value: Any) -> str:
        """A value of a policy as text, without partition, region and account."""
        text = self._flat(value).replace("<AWS::Partition>", "aws")
        return re.sub(
            r"^arn:aws:([a-z0-9-]+):(?:<AWS::Region>|[a-z0-9-]*):(?:<AWS::AccountId>|\d*):", r"arn:\1:::", text
        )

    def _flat(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        ((function, argument),) = value.items()
        if function == "Fn::Join":
            return str(argument[0].join(self._flat(part) for part in argument[1]))
        name = str(argument[0] if function == "Fn::GetAtt" else argument)
        known = [read for part, read in self.names.items() if part in name]
        return known[0] if known else f"<{name}>"


def permissions_of(template: Template, role: str, names: Mapping[str, str] | None = None) -> Permissions:
    """What the one role whose logical id begins so may do.

    `names` reads references whose logical id or export holds a text as something that a test can write.
    """
    (logical_id,) = [
        key for key, each in template["Resources"].items() if each["Type"] == "AWS::IAM::Role" and key.startswith(role)
    ]
    statements = [
        statement
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::Policy" and {"Ref": logical_id} in resource["Properties"]["Roles"]
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]
    return Permissions(statements, names or {})


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _matches(text: str, pattern: str, context: Context) -> bool:
    for key, value in context.items():
        if not isinstance(value, str):
            continue
        pattern = pattern.replace(f"${{{key}}}", value)
    return "${" not in pattern and fnmatchcase(text, pattern.replace("[", "[[]"))
