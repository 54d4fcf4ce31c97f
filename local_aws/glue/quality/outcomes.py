"""How rules end, in the words of Glue."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from local_aws.glue.quality.rules import Condition, Number

# a metric equals a number when it is this close, as Glue compares them
TOLERANCE = 0.00001


@dataclass(frozen=True)
class Outcome:
    """The end of a rule: `message` is the reason when it failed, `metrics` are the values it was judged by."""

    passed: bool
    message: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def meets(value: float, condition: Condition) -> bool:
    """Tell whether a metric meets a condition on a number. `between` leaves its two ends out, as it does in Glue."""
    numbers = [operand.value for operand in condition.operands if isinstance(operand, Number)]
    operator = condition.operator
    if operator == "between":
        return numbers[0] < value < numbers[1]
    if operator == "not between":
        return value <= numbers[0] or value >= numbers[1]
    if operator in ("=", "in"):
        return any(abs(value - number) <= TOLERANCE for number in numbers)
    if operator in ("!=", "not in"):
        return not any(abs(value - number) <= TOLERANCE for number in numbers)
    if operator == ">":
        return value > numbers[0]
    if operator == ">=":
        return value >= numbers[0]
    return value < numbers[0] if operator == "<" else value <= numbers[0]


def judged(value: float, condition: Condition | None, metrics: Mapping[str, float]) -> Outcome:
    """Return whether a metric meets the condition, or is 1 when there is none."""
    passed = meets(value, condition) if condition is not None else value == 1.0
    return Outcome(passed, None if passed else unmet(value), metrics)


def unmet(value: float | None) -> str:
    """Return the reason for a metric that doesn't meet its condition."""
    told = "NULL" if value is None else "NaN" if math.isnan(value) else value
    return f"Value: {told} does not meet the constraint requirement!"


def empty(analysis: str, column: str) -> Outcome:
    """Return the failure of a metric that no row has a value for."""
    return Outcome(False, f"Empty state for analyzer {analysis}({column},None), all input values were NULL.")
