"""How an update of an endpoint is to be released, as UpdateEndpoint's DeploymentConfig says it.

Sources: the API reference of BlueGreenUpdatePolicy, TrafficRoutingConfig and RollingUpdatePolicy, and
https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from local_aws.json_api import ApiError

Kind = Literal["ALL_AT_ONCE", "CANARY", "LINEAR", "ROLLING"]

_MEMBERS: Mapping[str, str] = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
# the least and the most percent of a variant's instances that a step may be
_LIMITS: Mapping[str, tuple[int, int]] = {
    "CanarySize": (0, 50),
    "LinearStepSize": (10, 50),
    "MaximumBatchSize": (5, 50),
}


@dataclass(frozen=True)
class Size:
    """A part of a fleet: so many instances, or so many percent of them."""

    instances: int | None = None
    percent: int | None = None

    def share(self, total: int) -> float:
        """Return which share of the traffic it is in a fleet of so many instances."""
        return (self.percent or 0) / 100 if self.instances is None else min(self.instances / max(total, 1), 1.0)

    def of(self, total: int) -> int:
        """Return how many instances it is, at least one."""
        return max(1, math.ceil(self.share(total) * total - 1e-9))


@dataclass(frozen=True, kw_only=True)
class ReleasePlan:
    """The steps of a release. Times are in seconds of the clock.

    `interval` is baked after each step but the last, and with a rolling update after that too; `termination` is baked
    before the old fleet ends. An alarm of `alarms` in any of these times rolls back, and so does `timeout`, if it is
    set. `rollback` is how much at once a rolling update takes back, by default all.
    """

    kind: Kind = "ALL_AT_ONCE"
    step: Size = Size(percent=100)
    interval: int = 0
    termination: int = 0
    timeout: int | None = None
    alarms: tuple[str, ...] = ()
    rollback: Size = Size(percent=100)

    def shares(self, total: int) -> list[float]:
        """Return which share of the traffic the new fleet has after each step, in a fleet of so many instances."""
        step = self.step.share(total)
        if self.kind == "ALL_AT_ONCE" or step >= 1:
            return [1.0]
        if self.kind == "CANARY":
            return [step, 1.0]
        number = math.ceil(1 / step - 1e-9)
        return [min(round(step * each, 9), 1.0) for each in range(1, number + 1)]


def plan(config: Mapping[str, Any] | None, counts: Mapping[str, int]) -> ReleasePlan:
    """Understand a DeploymentConfig for variants with so many instances; ApiError when SageMaker would refuse it."""
    config = config or {}
    blue_green, rolling = config.get("BlueGreenUpdatePolicy"), config.get("RollingUpdatePolicy")
    alarms = tuple(alarm["AlarmName"] for alarm in (config.get("AutoRollbackConfiguration") or {}).get("Alarms", []))
    if blue_green and rolling:
        raise _invalid("BlueGreenUpdatePolicy and RollingUpdatePolicy can't be used in one DeploymentConfig")
    if rolling:
        found = ReleasePlan(
            kind="ROLLING",
            step=_size(rolling, "MaximumBatchSize", counts),
            interval=rolling["WaitIntervalInSeconds"],
            timeout=rolling.get("MaximumExecutionTimeoutInSeconds"),
            alarms=alarms,
            rollback=_size(rolling, "RollbackMaximumBatchSize", counts)
            if "RollbackMaximumBatchSize" in rolling
            else Size(percent=100),
        )
    elif blue_green:
        found = _blue_green(blue_green, alarms, counts)
    else:
        return ReleasePlan(alarms=alarms)
    total = max(counts.values(), default=1)
    steps = len(found.shares(total))
    waits = found.interval * (steps if found.kind == "ROLLING" else steps - 1) + found.termination
    if found.timeout is not None and found.timeout <= waits:
        raise _invalid(f"MaximumExecutionTimeoutInSeconds has to be more than the {waits} seconds of the waits")
    return found


def _blue_green(policy: Mapping[str, Any], alarms: tuple[str, ...], counts: Mapping[str, int]) -> ReleasePlan:
    routing = policy["TrafficRoutingConfiguration"]
    kind: Kind = routing["Type"]
    needed = _MEMBERS.get(kind)
    for member in _MEMBERS.values():
        if member in routing and member != needed:
            raise _invalid(f"{member} can't be used with the traffic routing type {kind}")
    if needed and needed not in routing:
        raise _invalid(f"the traffic routing type {kind} needs {needed}")
    return ReleasePlan(
        kind=kind,
        step=_size(routing, needed, counts) if needed else Size(percent=100),
        interval=routing["WaitIntervalInSeconds"] if needed else 0,
        termination=policy.get("TerminationWaitInSeconds", 0),
        timeout=policy.get("MaximumExecutionTimeoutInSeconds"),
        alarms=alarms,
    )


def _size(policy: Mapping[str, Any], member: str, counts: Mapping[str, int]) -> Size:
    given = policy[member]
    value = int(given["Value"])
    least, most = _LIMITS.get(member, (0, 100))
    if given["Type"] == "CAPACITY_PERCENT":
        if not least <= value <= most:
            raise _invalid(f"{member} has to be {_range(least, most)} of the instances, got {value} %")
        return Size(percent=value)
    for name, count in counts.items():
        percent = 100 * value / count if count else 0
        if count and not least <= percent <= most:
            raise _invalid(
                f"{member} has to be {_range(least, most)} of the instances of variant {name}, got {value} of {count}"
            )
    return Size(instances=value)


def _range(least: int, most: int) -> str:
    return f"{least} to {most} %" if least else f"at most {most} %"


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationException", f"Invalid DeploymentConfig: {message}.")
