"""Values that a SageMaker pipeline computes while it runs: `Get`, `Join`, `JsonGet` and `JsonAt`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

_REFERENCE = re.compile(r"(Parameters|Steps)\.([A-Za-z0-9_-]+)")


@dataclass(frozen=True)
class Get:
    """`Parameters.X`, `Execution.PipelineExecutionId` or `Steps.S.<path in the job's description>`."""

    path: str

    def to_json(self) -> dict[str, Any]:
        """The expression in the definition's syntax."""
        return {"Get": self.path}

    def references(self) -> list[tuple[str, str]]:
        """The parameters and steps it names, as (root, name)."""
        match = _REFERENCE.match(self.path)
        return [(match[1], match[2])] if match else []


@dataclass(frozen=True)
class Join:
    """Texts and other values, put together with a separator."""

    on: str
    values: Sequence[Value]

    def to_json(self) -> dict[str, Any]:
        """The expression in the definition's syntax."""
        return {"Std:Join": {"On": self.on, "Values": [render(value) for value in self.values]}}

    def references(self) -> list[tuple[str, str]]:
        """None of its own: its values are visited by themselves."""
        return []


@dataclass(frozen=True, kw_only=True)
class JsonGet:
    """A value in a property file of a processing step; `path` uses dots and [index]."""

    step: str
    property_file: str
    path: str

    def to_json(self) -> dict[str, Any]:
        """The expression in the definition's syntax."""
        file = {"Get": f"Steps.{self.step}.PropertyFiles.{self.property_file}"}
        return {"Std:JsonGet": {"PropertyFile": file, "Path": self.path}}

    def references(self) -> list[tuple[str, str]]:
        """The step that writes the file."""
        return [("Steps", self.step)]


@dataclass(frozen=True, kw_only=True)
class JsonAt:
    """A value in a JSON file in S3, which the pipeline's role reads when a step that uses it starts.

    SageMaker takes a `Join` as the URI, of texts, parameters and values of the execution. A file that a step writes
    needs that step in `depends_on`. Source: "Pass data between steps with Amazon S3",
    https://docs.aws.amazon.com/sagemaker/latest/dg/build-and-manage-propertyfile.html, which shows it in a condition;
    that other steps take it is seen in the SageMaker SDK, whose integration tests pass the results of `@step`
    functions to processing jobs so.
    """

    uri: Join
    path: str

    def to_json(self) -> dict[str, Any]:
        """The expression in the definition's syntax."""
        return {"Std:JsonGet": {"S3Uri": self.uri.to_json(), "Path": self.path}}

    def references(self) -> list[tuple[str, str]]:
        """None of its own: its URI is visited by itself."""
        return []


Expression: TypeAlias = Get | Join | JsonGet | JsonAt
Value: TypeAlias = str | int | float | bool | Expression

EXECUTION_ID = Get("Execution.PipelineExecutionId")
"""The id of the running execution: the last part of its ARN."""


def render(value: Any) -> Any:
    """A structure with every expression in it replaced by its JSON."""
    if isinstance(value, Expression):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: render(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item) for item in value]
    return value


def expressions_in(value: Any) -> Iterator[Expression]:
    """Every expression in a structure, those inside of joins included."""
    if isinstance(value, Expression):
        yield value
        if isinstance(value, Join):
            yield from expressions_in(value.values)
        elif isinstance(value, JsonAt):
            yield from expressions_in(value.uri)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from expressions_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from expressions_in(item)
