"""What alarms compare, and the state that comes of it.

Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What an alarm compares: a value of each of the newest periods with a threshold.

    `missing` is what a period without data counts as: breaching, notBreaching, ignore or missing.
    """

    comparison: str
    threshold: float
    period: timedelta
    periods: int
    datapoints: int
    missing: str = "missing"

    @property
    def span(self) -> timedelta:
        """How far back the alarm looks."""
        return self.periods * self.period

    def windows(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """Return the periods, the newest first: each from after its first moment to its second.

        They are counted back from now. AWS counts them by the full minute and looks a little further back for late
        data, which is never late here.
        """
        ends = (now - number * self.period for number in range(self.periods))
        return [(end - self.period, end) for end in ends]


@dataclass(frozen=True)
class Verdict:
    """A state, OK, ALARM or INSUFFICIENT_DATA, and the reason."""

    state: str
    reason: str


def judge(rule: Rule, values: Sequence[float | None], state: str) -> Verdict:
    """Return the state of an alarm that is in `state`, by the values of its periods, None for one without data.

    The newest value is the first. Missing data that is `missing` leaves the decision to what is there: none is too
    little, and it is an alarm when the oldest value that breaches lies as far back as the alarm takes datapoints, and
    none since then keeps the threshold. Data that is ignored keeps the state as long as all that is there breaches,
    and isn't enough.
    """
    breaches = [value is not None and COMPARISONS[rule.comparison](value, rule.threshold) for value in values]
    found = [value for value in values if value is not None]
    missing = len(values) - len(found)
    breaching = sum(breaches) + missing * (rule.missing == "breaching")
    shown = ", ".join(f"{value:g}" for value in found)
    said = f"{len(found)} of {rule.periods} periods have data [{shown}]"
    if breaching >= rule.datapoints:
        return Verdict("ALARM", f"Threshold Crossed: {said}, {breaching} breach the threshold ({rule.threshold:g})")
    if missing == rule.periods and rule.missing == "missing":
        return Verdict("INSUFFICIENT_DATA", f"Insufficient Data: {said}")
    if missing and rule.missing == "ignore" and sum(breaches) == len(found):
        return Verdict(state, f"Unchecked: {said}")
    reaching = max((number for number, breach in enumerate(breaches, 1) if breach), default=0)
    if missing and rule.missing == "missing" and reaching >= rule.datapoints and sum(breaches) == len(found):
        return Verdict("ALARM", f"Threshold Crossed: {said}, all of them breach the threshold ({rule.threshold:g})")
    return Verdict("OK", f"Threshold not crossed: {said}, {breaching} breach the threshold ({rule.threshold:g})")
