"""What policies ask for, given what their metrics were."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.autoscaling.adjustments import stepped, tracked

QUIET = [10.0] * 15


@pytest.mark.parametrize(
    ("values", "current", "wanted"),
    [
        ([*QUIET[3:], 150, 150, 250], 2, 5),
        ([*QUIET[3:], 101, 101, 101], 3, 4),
        ([*QUIET[3:], 250, 100, 250], 2, None),  # one of the three minutes is not above
        ([*QUIET[3:], 250, None, 250], 2, None),
        ([89.0] * 15, 3, 3),  # below nine tenths, but two would be too few
        ([45.0] * 15, 3, 2),
        ([*[10.0] * 14, 61], 3, 2),  # the busiest of the minutes counts
        ([0.0] * 15, 3, 0),
        ([*[10.0] * 14, 95], 3, None),
        ([None, *[10.0] * 14], 3, None),
        ([200.0] * 3, 0, 1),
        ([], 1, None),
    ],
)
def test_tracking_keeps_the_metric_at_its_target(values: list[float | None], current: int, wanted: int | None) -> None:
    assert tracked(values, 100, current) == wanted


def test_a_whole_number_of_instances_isnt_rounded_up() -> None:
    assert tracked([0.7] * 3, 0.1, 1) == 7


def steps(kind: str, *adjustments: tuple[float | None, float | None, int], **extra: Any) -> dict[str, Any]:
    found = []
    for lower, upper, adjustment in adjustments:
        bounds = {"MetricIntervalLowerBound": lower, "MetricIntervalUpperBound": upper}
        found.append({"ScalingAdjustment": adjustment, **{k: v for k, v in bounds.items() if v is not None}})
    return {"AdjustmentType": kind, "StepAdjustments": found, **extra}


@pytest.mark.parametrize(
    ("policy", "breach", "current", "wanted"),
    [
        (steps("ChangeInCapacity", (0, None, 1)), 0.0, 0, 1),
        (steps("ChangeInCapacity", (0, 10, 1), (10, None, 3)), 10.0, 2, 5),
        (steps("ChangeInCapacity", (None, -10, -2), (-10, 0, -1)), -10.0, 3, 1),
        (steps("ChangeInCapacity", (None, 0, -5)), -1.0, 3, 0),
        (steps("ChangeInCapacity", (10, None, 1)), 5.0, 2, 2),
        (steps("ExactCapacity", (0, None, 7)), 1.0, 2, 7),
        (steps("PercentChangeInCapacity", (0, None, 30)), 1.0, 10, 13),
        (steps("PercentChangeInCapacity", (0, None, 10)), 1.0, 2, 3),
        (steps("PercentChangeInCapacity", (0, None, 10), MinAdjustmentMagnitude=2), 1.0, 10, 12),
        (steps("PercentChangeInCapacity", (None, 0, -55)), -1.0, 3, 2),
        (steps("PercentChangeInCapacity", (0, None, 50)), 1.0, 0, 0),
    ],
)
def test_step_that_fits_the_breach_is_taken(policy: dict[str, Any], breach: float, current: int, wanted: int) -> None:
    assert stepped(policy, breach, current) == wanted
