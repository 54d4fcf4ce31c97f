"""SageMaker pipeline definitions as typed data, rendered to the JSON schema version 2020-12-01.

Nothing in here knows the CDK: values that only deployment knows (bucket names, role ARNs) are plain strings in which
the CDK later finds its tokens. `PipelineDefinition` refuses what SageMaker would refuse: names used twice, references
to steps, parameters or property files that don't exist, cycles; `pipeline_schema.check` adds the API's input shapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .pipeline_expressions import Expression, Get, JsonGet, expressions_in
from .pipeline_steps import ConditionStep, InvalidPipelineError, ProcessingStep, Step, step_json, walk

SCHEMA_VERSION = "2020-12-01"
MAX_BODY_BYTES = 100 * 1024
"""Size above which SageMaker wants the definition in S3 instead of the template."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A value that a person or event may give when an execution starts; without a default it must be given."""

    name: str
    type: Literal["String", "Integer", "Float", "Boolean"]
    default: str | int | float | bool | None = None

    def __post_init__(self) -> None:
        """Refuse a default of another type."""
        kinds = {"String": (str,), "Integer": (int,), "Float": (float, int), "Boolean": (bool,)}[self.type]
        if self.default is not None and (
            not isinstance(self.default, kinds) or (isinstance(self.default, bool) and bool not in kinds)
        ):
            raise InvalidPipelineError(
                f"parameter {self.name!r} is of type {self.type}: its default can't be {self.default!r}"
            )

    @property
    def value(self) -> Get:
        """The parameter's value inside the definition."""
        return Get(f"Parameters.{self.name}")

    def to_json(self) -> dict[str, Any]:
        """The parameter as the definition lists it."""
        body: dict[str, Any] = {"Name": self.name, "Type": self.type}
        if self.default is not None:
            body["DefaultValue"] = self.default
        return body


@dataclass(frozen=True, kw_only=True)
class PipelineDefinition:
    """Parameters and steps, in the order they were written; edges come from `depends_on` and from references."""

    parameters: Sequence[Parameter]
    steps: Sequence[Step]

    def __post_init__(self) -> None:
        """Refuse a definition that SageMaker would refuse."""
        steps = list(walk(self.steps))
        _check_names([step.name for step in steps], "step")
        _check_names([parameter.name for parameter in self.parameters], "parameter")
        by_name = {step.name: step for step in steps}
        for step in steps:
            for dependency in step.depends_on:
                _known(dependency, by_name, f"step {step.name!r}: depends_on")
            for expression in expressions_in(_own_values(step)):
                self._check_expression(step, expression, by_name)
            if isinstance(step, ProcessingStep):
                for file in step.property_files:
                    _known(file.output, step.outputs, f"step {step.name!r}: output of property file {file.name!r}")
        _check_cycles(steps)

    def to_json(self) -> dict[str, Any]:
        """The definition as JSON-ready data."""
        return {
            "Version": SCHEMA_VERSION,
            "Metadata": {},
            "Parameters": [parameter.to_json() for parameter in self.parameters],
            "Steps": [step_json(step) for step in self.steps],
        }

    def to_body(self) -> str:
        """The definition as `PipelineDefinitionBody`; CDK tokens inside of strings survive."""
        body = json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=True)
        if len(body) > MAX_BODY_BYTES:
            raise InvalidPipelineError(
                f"the definition has {len(body)} bytes, SageMaker takes {MAX_BODY_BYTES} inside a template; "
                "move literals (long arguments, hyperparameters) into a file in S3"
            )
        return body

    def _check_expression(self, step: Step, expression: Expression, steps: Mapping[str, Step]) -> None:
        place = f"step {step.name!r}"
        for root, name in expression.references():
            if root == "Parameters":
                _known(name, [parameter.name for parameter in self.parameters], f"{place}: parameter")
            elif root == "Steps":
                _known(name, steps, f"{place}: reference to step")
        if isinstance(expression, JsonGet):
            source = steps[expression.step]
            files = [file.name for file in source.property_files] if isinstance(source, ProcessingStep) else []
            _known(expression.property_file, files, f"{place}: property file of step {source.name!r}")


def _own_values(step: Step) -> Any:
    """A step's arguments and what it says beside them, without those of the steps inside a condition."""
    if isinstance(step, ConditionStep):
        return [condition.to_json() for condition in step.conditions]
    return [step.job(), step.extras()]


def _check_names(names: Sequence[str], kind: str) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise InvalidPipelineError(f"{kind} name {name!r}: use up to 64 letters, digits, '-' and '_'")
        if names.count(name) > 1:
            raise InvalidPipelineError(f"{kind} name {name!r} is used twice")


def _known(name: str, known: Iterable[str], place: str) -> None:
    if name not in known:
        raise InvalidPipelineError(f"{place} {name!r} doesn't exist; there are {sorted(known)}")


def _check_cycles(steps: Sequence[Step]) -> None:
    edges: dict[str, set[str]] = {}
    for step in steps:
        needs = set(step.depends_on)
        for expression in expressions_in(_own_values(step)):
            needs |= {name for root, name in expression.references() if root == "Steps"}
        edges.setdefault(step.name, set()).update(needs)
        if isinstance(step, ConditionStep):
            for child in (*step.then, *step.otherwise):
                edges.setdefault(child.name, set()).add(step.name)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise InvalidPipelineError("steps wait for each other: " + " -> ".join((*path[path.index(name) :], name)))
        if name not in done:
            for need in sorted(edges[name]):
                visit(need, (*path, name))
            done.add(name)

    for name in edges:
        visit(name, ())
