"""What every step of a SageMaker pipeline has in common, whatever it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .pipeline_expressions import Value, render


class InvalidPipelineError(ValueError):
    """The definition would be refused by SageMaker; the message names the step and the fix."""


class Step(Protocol):
    """A step, as `PipelineDefinition` takes it. Any class with these members is one; it needs no base class."""

    @property
    def name(self) -> str:
        """The name that other steps refer to, used once in a definition."""

    @property
    def type(self) -> str:
        """SageMaker's kind of step, as Processing."""

    @property
    def depends_on(self) -> Sequence[str]:
        """Names of steps that have to end first, beside those whose values it uses."""

    def job(self) -> dict[str, Any]:
        """The step's `Arguments`, expressions unrendered: mostly the input of a Create operation less the name."""

    def extras(self) -> dict[str, Any]:
        """What the definition says beside `Arguments`, as `PropertyFiles`; expressions unrendered."""


def step_json(step: Step) -> dict[str, Any]:
    """A step as the definition lists it, expressions rendered."""
    body: dict[str, Any] = {"Name": step.name, "Type": step.type, "Arguments": render(step.job())}
    if step.depends_on:
        body["DependsOn"] = list(step.depends_on)
    for name, value in step.extras().items():
        body[name] = render(value)
    return body


def as_text(value: Value) -> Value:
    """A value as a string, for the maps in which SageMaker takes strings only."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value
