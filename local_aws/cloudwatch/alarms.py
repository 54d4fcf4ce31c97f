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


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# the guide's examples look at five periods for three
FURTHER_BACK = 2


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
    def range(self) -> int:
        """How many periods are looked at: of alarms that ignore missing data some that come in for those without any.

        AWS does so for every alarm, which then goes on with its last data for a while after that has ended.
        """
        return self.periods + (FURTHER_BACK if self.missing == "ignore" else 0)

    @property
    def unit(self) -> timedelta:
        """By what periods are counted: by the hour when they are longer than a day together, as AWS evaluates those."""
        return HOUR if self.periods * self.period > DAY else timedelta(0)

    def end(self, now: datetime) -> datetime:
        """Return the end of the newest period: now, or the end of the hour, so that runs of every day lie apart.

        AWS counts by the full minute.
        """
        if not self.unit:
            return now
        return now.replace(minute=0, second=0, microsecond=0) + self.unit

    def windows(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """Return the periods, the newest first, as far as they have passed: each from after its first moment on."""
        ends = (self.end(now) - number * self.period for number in range(self.range))
        return [(end - self.period, min(end, now)) for end in ends]


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
    there = [(value, breach) for value, breach in zip(values, breaches, strict=True) if value is not None]
    counted = there[: rule.periods]
    found = [value for value, _ in counted]
    missing = rule.periods - len(found)
    breaching = sum(breach for _, breach in counted) + missing * (rule.missing == "breaching")
    shown = ", ".join(f"{value:g}" for value in found)
    said = f"{len(found)} of {rule.periods} periods have data [{shown}]"
    if breaching >= rule.datapoints:
        return Verdict("ALARM", f"Threshold Crossed: {said}, {breaching} breach the threshold ({rule.threshold:g})")
    if missing == rule.periods and rule.missing == "missing":
        return Verdict("INSUFFICIENT_DATA", f"Insufficient Data: {said}")
    if missing and rule.missing == "ignore" and sum(breaches) == len(there):
        return Verdict(state, f"Unchecked: {said}")
    reaching = max((number for number, breach in enumerate(breaches, 1) if breach), default=0)
    if missing and rule.missing == "missing" and reaching >= rule.datapoints and sum(breaches) == len(there):
        return Verdict("ALARM", f"Threshold Crossed: {said}, all of them breach the threshold ({rule.threshold:g})")
    return Verdict("OK", f"Threshold not crossed: {said}, {breaching} breach the threshold ({rule.threshold:g})")
