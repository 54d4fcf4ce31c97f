"""What a DeploymentConfig comes to, and what of it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.json_api import ApiError
from local_aws.sagemaker.release_plan import ReleasePlan, Size, plan


def blue_green(kind: str, wait: int = 60, **members: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": wait}
    rest = {
        name: members.pop(name)
        for name in ("TerminationWaitInSeconds", "MaximumExecutionTimeoutInSeconds")
        if name in members
    }
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {**routing, **members}, **rest}}


def rolling(**members: Any) -> dict[str, Any]:
    return {"RollingUpdatePolicy": {"WaitIntervalInSeconds": 60, **members}}


def percent(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def instances(value: int) -> dict[str, Any]:
    return {"Type": "INSTANCE_COUNT", "Value": value}


@pytest.mark.parametrize(
    ("config", "shares"),
    [
        (None, [1.0]),
        (blue_green("ALL_AT_ONCE"), [1.0]),
        (blue_green("CANARY", CanarySize=percent(10)), [0.1, 1.0]),
        (blue_green("CANARY", CanarySize=instances(1)), [0.25, 1.0]),
        (blue_green("LINEAR", LinearStepSize=percent(40)), [0.4, 0.8, 1.0]),
        (blue_green("LINEAR", LinearStepSize=percent(10)), [round(0.1 * step, 9) for step in range(1, 11)]),
        (blue_green("LINEAR", LinearStepSize=instances(2)), [0.5, 1.0]),
        (rolling(MaximumBatchSize=percent(25)), [0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_traffic_goes_up_in_the_steps_of_the_plan(config: dict[str, Any] | None, shares: list[float]) -> None:
    assert plan(config, {"live": 4}).shares(4) == shares


def test_waits_alarms_and_limits_are_taken_over() -> None:
    config = blue_green(
        "CANARY", CanarySize=percent(10), TerminationWaitInSeconds=120, MaximumExecutionTimeoutInSeconds=600
    )
    found = plan({**config, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}}, {"live": 4})
    assert found == ReleasePlan(
        kind="CANARY", step=Size(percent=10), interval=60, termination=120, timeout=600, alarms=("errors",)
    )
    back = plan(rolling(MaximumBatchSize=percent(5), RollbackMaximumBatchSize=percent(50)), {"live": 4})
    assert (back.kind, back.rollback, back.step.of(4)) == ("ROLLING", Size(percent=50), 1)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (blue_green("CANARY"), "needs CanarySize"),
        (blue_green("LINEAR", CanarySize=percent(10)), "CanarySize can't be used"),
        (blue_green("CANARY", CanarySize=percent(60)), "at most 50 % of the instances, got 60 %"),
        (blue_green("CANARY", CanarySize=instances(3)), "at most 50 % of the instances of variant live, got 3 of 4"),
        (blue_green("LINEAR", LinearStepSize=percent(5)), "10 to 50 % of the instances, got 5 %"),
        (rolling(MaximumBatchSize=percent(51)), "5 to 50 % of the instances, got 51 %"),
        ({**rolling(MaximumBatchSize=percent(50)), **blue_green("ALL_AT_ONCE")}, "in one DeploymentConfig"),
        (
            blue_green("CANARY", wait=400, CanarySize=percent(10), TerminationWaitInSeconds=300,
                       MaximumExecutionTimeoutInSeconds=600),
            "more than the",
        ),
    ],
)  # fmt: skip
def test_what_sagemaker_refuses_is_refused(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ApiError, match=problem):
        plan(config, {"live": 4})
