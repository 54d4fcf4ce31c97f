"""What policies see: the values of the metric that they track, and the alarms that call them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from local_aws.autoscaling.adjustments import PERIODS_IN
from local_aws.autoscaling.metrics import MINUTE, Metric, by_minute
from local_aws.autoscaling.region import Region
from local_aws.autoscaling.targets import Policy, ScalableTarget
from local_aws.cloudwatch.samples import is_statistic
from local_aws.json_api import ApiError


def values_of(region: Region, target: ScalableTarget, policy: Policy, minute: datetime) -> list[float | None]:
    """Return what a target tracking policy's metric was in each of the minutes before a full one, the newest last."""
    metric = metric_of(target, policy.tracking or {})
    values = by_minute(region.index, region.metrics, metric, minute, PERIODS_IN)
    if not metric.rests_at_zero:
        return values
    # silence from before the policy was there says nothing
    known = math.floor((minute - policy.created) / MINUTE)
    return [0.0 if value is None and PERIODS_IN - number <= known else value for number, value in enumerate(values)]


def metric_of(target: ScalableTarget, tracking: dict[str, Any]) -> Metric:
    """Return the metric that a target tracking policy follows; ApiError where there is none that can be followed."""
    predefined = tracking.get("PredefinedMetricSpecification")
    customized = tracking.get("CustomizedMetricSpecification")
    if (predefined is None) == (customized is None):
        raise ApiError(
            "ValidationException",
            "You must specify either a PredefinedMetricSpecification or a CustomizedMetricSpecification",
        )
    if predefined is not None:
        metric = target.resource.metric(predefined["PredefinedMetricType"])
        if metric is None:
            raise ApiError(
                "ValidationException",
                f"the local AWS has no metric {predefined['PredefinedMetricType']} of {target.key[1]}",
            )
        return metric
    assert customized is not None
    missing = [name for name in ("MetricName", "Namespace", "Statistic") if not customized.get(name)]
    if missing:
        raise ApiError(
            "ValidationException",
            f"a CustomizedMetricSpecification needs {', '.join(missing)}: "
            "the local AWS follows one metric, and no metric math",
        )
    dimensions = {each["Name"]: each["Value"] for each in customized.get("Dimensions", [])}
    return Metric(
        customized["Namespace"], customized["MetricName"], customized["Statistic"], dimensions, customized.get("Unit")
    )


def cause_of(target: ScalableTarget, policy: Policy, alarm: str) -> str:
    """Return the cause of an activity: on AWS the policy has alarms of these names, High and Low, in CloudWatch."""
    name = f"TargetTracking-{target.key[1]}-Alarm{alarm}-{policy.arn.split(':')[6]}"
    return f"monitor alarm {name} in state ALARM triggered policy {policy.record['PolicyName']}"


def alarms_on(region: Region, policy: Policy, now: datetime) -> Iterable[tuple[str, float]]:
    """Yield the alarms that call a policy and are on, with the newest value's distance from the threshold."""
    for alarm in list(region.metrics.alarms.values()):
        calls = alarm.actions_enabled and policy.arn in (alarm.alarm_actions or [])
        if not calls or alarm.state_value != "ALARM":
            continue
        breach = 0.0
        if alarm.metric_name and is_statistic(alarm.statistic):
            dimensions = {each.name: each.value for each in alarm.dimensions}
            metric = Metric(alarm.namespace, alarm.metric_name, alarm.statistic, dimensions, alarm.unit)
            minutes = max(math.ceil(int(alarm.period) * int(alarm.evaluation_periods) / 60), 1) + 1
            values = [
                each
                for each in by_minute(region.index, region.metrics, metric, now + MINUTE, minutes)
                if each is not None
            ]
            breach = values[-1] - float(alarm.threshold) if values else 0.0
        yield alarm.name, breach
