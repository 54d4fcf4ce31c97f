"""The state of an alarm on one metric.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
STATISTICS: Mapping[str, Callable[[list[float]], float]] = {
    "Average": fmean,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": lambda values: float(len(values)),
    "Sum": sum,
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What an alarm compares: a statistic of each of the newest periods with a threshold.

    `missing` is what a period without data counts as: breaching, notBreaching, ignore or missing.
    """

    statistic: str
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


@dataclass(frozen=True)
class Verdict:
    """A state, OK, ALARM or INSUFFICIENT_DATA, and the reason."""

    state: str
    reason: str


def judge(rule: Rule, values: Iterable[tuple[datetime, float]], now: datetime, state: str) -> Verdict:
    """Return the state of an alarm that is in `state`. Periods are counted back from now, the newest first.

    AWS counts them by the full minute and looks a little further back for late data, which is never late here.
    """
    known = list(values)
    breaching, missing, shown = 0, 0, []
    for number in range(rule.periods):
        end = now - number * rule.period
        found = [value for moment, value in known if end - rule.period < moment <= end]
        if not found:
            missing += 1
            breaching += rule.missing == "breaching"
            continue
        value = STATISTICS[rule.statistic](found)
        shown.append(f"{value:g}")
        breaching += COMPARISONS[rule.comparison](value, rule.threshold)
    said = f"{len(shown)} of {rule.periods} periods have data [{', '.join(shown)}]"
    if breaching >= rule.datapoints:
        return Verdict("ALARM", f"Threshold Crossed: {said}, {breaching} breach the threshold ({rule.threshold:g})")
    if missing == rule.periods and rule.missing == "missing":
        return Verdict("INSUFFICIENT_DATA", f"Insufficient Data: {said}")
    if missing == rule.periods and rule.missing == "ignore":
        return Verdict(state, f"Unchecked: {said}")
    return Verdict("OK", f"Threshold not crossed: {said}, {breaching} breach the threshold ({rule.threshold:g})")
