"""Which capacity a policy asks for: target tracking and step scaling, without clock or API.

Sources: the Application Auto Scaling User Guide, "How target tracking works" and "How step scaling works":
https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-target-tracking.html
https://docs.aws.amazon.com/autoscaling/application/userguide/step-scaling-policy-overview.html
The guide names the alarms' periods only by example; these are those that policies of SageMaker variants get.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

PERIODS_OUT = 3
PERIODS_IN = 15
# scale in begins clearly below the target, so that capacity doesn't swing
SHARE_IN = 0.9


def tracked(values: Sequence[float | None], target: float, current: int) -> int | None:
    """Return the capacity that keeps a metric at its target, or None where neither alarm is on.

    `values` are those of the last minutes, the newest last; None is a minute without data. The metric is taken to fall
    in proportion as capacity grows. Scale in goes by the highest of the minutes that it looks at.
    """
    newest = list(values[-PERIODS_OUT:])
    if len(newest) == PERIODS_OUT and all(value is not None and value > target for value in newest):
        # with nothing there, one is the least that can bring the metric down
        return max(_proportional(newest[-1] or 0.0, target, current), current + 1)
    calm = [value for value in values[-PERIODS_IN:] if value is not None and value < SHARE_IN * target]
    if len(calm) == PERIODS_IN:
        return min(_proportional(max(calm), target, current), current)
    return None


def _proportional(value: float, target: float, current: int) -> int:
    # what floating point adds to a whole number mustn't become an instance
    return math.ceil(round(current * value / target, 9))


def stepped(policy: Mapping[str, Any], breach: float, current: int) -> int:
    """Return the capacity after the step that fits.

    `policy` is a StepScalingPolicyConfiguration, `breach` the metric's value minus the alarm's threshold. Where no step
    fits, the capacity stays.
    """
    step = next((each for each in policy["StepAdjustments"] if _holds(each, breach)), None)
    if step is None:
        return current
    amount = int(step["ScalingAdjustment"])
    if policy["AdjustmentType"] == "ExactCapacity":
        return max(amount, 0)
    change = amount
    if policy["AdjustmentType"] == "PercentChangeInCapacity":
        share = current * amount / 100
        # towards zero, but at least by one
        change = math.trunc(share) or (0 if share == 0 else int(math.copysign(1, share)))
        least = int(policy.get("MinAdjustmentMagnitude") or 0)
        if amount and abs(change) < least:
            change = int(math.copysign(least, amount))
    return max(current + change, 0)


def _holds(step: Mapping[str, Any], breach: float) -> bool:
    """Tell whether a step is meant: its bound next to the threshold counts in, the one away from it doesn't."""
    lower = float(step.get("MetricIntervalLowerBound", -math.inf))
    upper = float(step.get("MetricIntervalUpperBound", math.inf))
    return lower <= breach < upper if breach >= 0 else lower < breach <= upper
