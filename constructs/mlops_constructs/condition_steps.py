"""Steps that decide how an execution goes on, or end it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .pipeline_expressions import Value
from .pipeline_step import Step, step_json


@dataclass(frozen=True, kw_only=True)
class FailStep:
    """Ends the execution as failed, with a message."""

    type = "Fail"
    name: str
    message: Value
    depends_on: Sequence[str] = ()

    def job(self) -> dict[str, Any]:
        """The message."""
        return {"ErrorMessage": self.message}

    def extras(self) -> dict[str, Any]:
        """Nothing beside the message."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two values and how they have to compare."""

    operator: Literal["Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo"]
    left: Value
    right: Value

    def to_json(self) -> dict[str, Any]:
        """The condition, expressions unrendered."""
        return {"Type": self.operator, "LeftValue": self.left, "RightValue": self.right}


@dataclass(frozen=True, kw_only=True)
class ConditionStep:
    """Runs `then` when every condition holds, `otherwise` when one doesn't."""

    type = "Condition"
    name: str
    conditions: Sequence[Comparison]
    then: Sequence[Step] = ()
    otherwise: Sequence[Step] = ()
    depends_on: Sequence[str] = ()

    def job(self) -> dict[str, Any]:
        """The conditions and both branches."""
        return {
            "Conditions": [condition.to_json() for condition in self.conditions],
            "IfSteps": [step_json(step) for step in self.then],
            "ElseSteps": [step_json(step) for step in self.otherwise],
        }

    def extras(self) -> dict[str, Any]:
        """Nothing beside the condition."""
        return {}


def walk(steps: Iterable[Step]) -> Iterator[Step]:
    """Every step, those inside of conditions included, parents first."""
    for step in steps:
        yield step
        if isinstance(step, ConditionStep):
            yield from walk((*step.then, *step.otherwise))
