"""How an endpoint goes from one version to the next, and which alarms take it back.

Source: "Deployment guardrails for updating models in production" in SageMaker's developer guide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aws_cdk import CfnCondition, Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

Strategy = Literal["all_at_once", "canary", "linear", "rolling"]
PERIOD = Duration.minutes(1)
PERIODS, BREACHING_PERIODS = 3, 2
LONGEST_SECONDS = 8 * 3600
"""After which SageMaker gives a release up."""
_LEAST_PERCENT: Mapping[Strategy, int] = {"canary": 1, "linear": 10, "rolling": 5}
_MICROSECONDS = 1000


@dataclass(frozen=True, kw_only=True)
class ReleasePolicy:
    """How traffic goes from the old fleet to the new one.

    Parameters
    ----------
    strategy
        ``all_at_once``; ``canary``: a share first, then all; ``linear``: in equal steps; ``rolling``: instance by
        instance in place, which needs no second fleet.
    percent
        Of the capacity: the canary, 1 to 50; a linear step, 10 to 50; a rolling batch, 5 to 50.
    wait_seconds
        Between steps: the alarms are watched.
    bake_seconds
        After the last step, before the old fleet goes: the alarms are watched still. Rolling has none.
    """

    strategy: Strategy = "all_at_once"
    percent: int = 10
    wait_seconds: int = 300
    bake_seconds: int = 300

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        least = _LEAST_PERCENT.get(self.strategy, 1)
        if not least <= self.percent <= 50:
            raise ValueError(f"percent of {self.strategy} must lie between {least} and 50, got {self.percent}")
        for name, seconds in (("wait_seconds", self.wait_seconds), ("bake_seconds", self.bake_seconds)):
            if not 0 <= seconds <= 3600:
                raise ValueError(f"{name} must lie between 0 and 3600, got {seconds}")

        if self.longest_seconds > LONGEST_SECONDS:
            raise ValueError(
                f"{self.strategy} in steps of {self.percent} % with {self.wait_seconds} s between them and "
                f"{self.bake_seconds} s afterwards takes {self.longest_seconds / 3600:.1f} hours, and SageMaker gives "
                f"up after {LONGEST_SECONDS // 3600}, with the time that instances take: use larger steps or less time"
            )

    @property
    def longest_seconds(self) -> int:
        """How long it waits and bakes, with an hour for instances to come."""
        steps = {"all_at_once": 1, "canary": 2}.get(self.strategy, math.ceil(100 / self.percent))
        bake = 0 if self.strategy == "rolling" else self.bake_seconds
        return (steps - 1) * self.wait_seconds + bake + 3600

    def check(self, instance_count: int) -> None:
        """Raise ValueError for a fleet that is too small to be released in parts, or may be when scaling has shrunk it.

        `instance_count` is the least number of instances.
        """
        if self.strategy == "all_at_once":
            return
        step = max(math.ceil(instance_count * self.percent / 100), 1)
        if step * 2 > instance_count:
            raise ValueError(
                f"{self.strategy} moves {self.percent} % of {instance_count} "
                f"instance{'' if instance_count == 1 else 's'}, which is {step}, and may move half at most: "
                "use more instances (scaling.minimum), or all_at_once"
            )

    def deployment(self, alarms: Sequence[cloudwatch.Alarm]) -> sagemaker.CfnEndpoint.DeploymentConfigProperty:
        """The endpoint's DeploymentConfig; an alarm that goes off rolls back."""
        property_of = sagemaker.CfnEndpoint
        size = property_of.CapacitySizeProperty(type="CAPACITY_PERCENT", value=self.percent)
        rollback = property_of.AutoRollbackConfigProperty(
            alarms=[property_of.AlarmProperty(alarm_name=alarm.alarm_name) for alarm in alarms]
        )
        watched = rollback if alarms else None
        if self.strategy == "rolling":
            return property_of.DeploymentConfigProperty(
                auto_rollback_configuration=watched,
                rolling_update_policy=property_of.RollingUpdatePolicyProperty(
                    maximum_batch_size=size,
                    wait_interval_in_seconds=self.wait_seconds,
                    maximum_execution_timeout_in_seconds=LONGEST_SECONDS,
                ),
            )
        routing = property_of.TrafficRoutingConfigProperty(
            type=self.strategy.upper(),
            wait_interval_in_seconds=0 if self.strategy == "all_at_once" else self.wait_seconds,
            canary_size=size if self.strategy == "canary" else None,
            linear_step_size=size if self.strategy == "linear" else None,
        )
        return property_of.DeploymentConfigProperty(
            auto_rollback_configuration=watched,
            blue_green_update_policy=property_of.BlueGreenUpdatePolicyProperty(
                traffic_routing_configuration=routing,
                termination_wait_in_seconds=self.bake_seconds,
                maximum_execution_timeout_in_seconds=LONGEST_SECONDS,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ReleaseLimits:
    """What a version must not exceed, in two of three minutes, the shift in one; None for no alarm.

    Parameters
    ----------
    server_error_percent, client_error_percent
        Of its requests: those that it answers with 5xx and with 4xx. A version that refuses what clients send is found
        by the latter.
    p99_milliseconds
        Time of the model's container, for 99 of 100 requests.
    prediction_shift
        Population stability index of its predictions against those that it made when it was trained; 0.25 and more is
        commonly called a large shift.
    """

    server_error_percent: float | None = 1.0
    client_error_percent: float | None = 20.0
    p99_milliseconds: float | None = 500.0
    prediction_shift: float | None = None


@dataclass(frozen=True, kw_only=True)
class WatchedVariant:
    """The new fleet's metrics: of one variant under one endpoint configuration, which is another one each release.

    `shift` is where its container writes how its predictions have shifted. `counts_requests` says whether there is a
    metric of all requests, of which errors are a share: asynchronous endpoints have none, so that any error counts.
    """

    endpoint_name: str
    variant_name: str
    configuration_name: str
    shift: cloudwatch.Metric | None = None
    counts_requests: bool = True

    def metric(self, name: str, statistic: str) -> cloudwatch.Metric:
        """A metric of SageMaker's own."""
        return cloudwatch.Metric(
            namespace="AWS/SageMaker",
            metric_name=name,
            dimensions_map={
                "EndpointName": self.endpoint_name,
                "VariantName": self.variant_name,
                "EndpointConfigName": self.configuration_name,
            },
            statistic=statistic,
            period=PERIOD,
        )


class ReleaseAlarms(Construct):
    """The alarms that take a release back, and that tell of the version that serves afterwards.

    They watch one fleet alone: errors of a canary of one in ten would be a tenth of the endpoint's. Their names hold
    that of the endpoint configuration, so that each release has new ones: an alarm keeps its state when it is pointed
    at something else, and one that is on because of the old version would take the new one back. The old fleet's stay
    until it goes. Minutes without requests count as good.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        limits: ReleaseLimits,
        variant: WatchedVariant,
        condition: CfnCondition,
        topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._variant, self._condition, self._topic = variant, condition, topic
        self.alarms: list[cloudwatch.Alarm] = []
        for kind, percent in (("5XX", limits.server_error_percent), ("4XX", limits.client_error_percent)):
            if percent is not None:
                self._watch_errors(kind, percent)
        if limits.p99_milliseconds is not None and variant.counts_requests:
            self._watch(
                "Latency",
                variant.metric("ModelLatency", "p99"),
                limits.p99_milliseconds * _MICROSECONDS,
                f"takes more than {limits.p99_milliseconds:g} ms for one request in a hundred",
            )
        if limits.prediction_shift is not None and variant.shift is not None:
            self._watch(
                "Shift",
                variant.shift,
                limits.prediction_shift,
                "predicts otherwise than when it was trained: its population stability index exceeds "
                f"{limits.prediction_shift:g}",
                periods=1,  # each value is one of 200 predictions and more, and with little traffic they are rare
            )

    def _watch_errors(self, kind: str, percent: float) -> None:
        name = f"Invocation{kind}Errors"
        if not self._variant.counts_requests:
            self._watch(f"Errors{kind}", self._variant.metric(name, "Sum"), 0, f"answers requests with {kind.lower()}")
            return
        rate = cloudwatch.MathExpression(
            expression="IF(requests > 0, 100 * errors / requests, 0)",
            label=f"{name} in percent of requests",
            period=PERIOD,
            using_metrics={
                "errors": self._variant.metric(name, "Sum"),
                "requests": self._variant.metric("Invocations", "Sum"),
            },
        )
        self._watch(
            f"Errors{kind}", rate, percent, f"answers more than {percent:g} % of its requests with {kind.lower()}"
        )

    def _watch(
        self, construct_id: str, metric: cloudwatch.IMetric, threshold: float, told: str, *, periods: int = PERIODS
    ) -> None:
        variant, prefix = self._variant, alarm_prefix(self._variant.endpoint_name)
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=f"{prefix}{variant.variant_name}-{construct_id}-{variant.configuration_name}",
            alarm_description=f"{variant.endpoint_name} {told} ({variant.variant_name})",
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=periods,
            datapoints_to_alarm=min(periods, BREACHING_PERIODS),
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if self._topic:
            alarm.add_alarm_action(actions.SnsAction(self._topic))
        resource = alarm.node.default_child
        assert isinstance(resource, cloudwatch.CfnAlarm)
        resource.cfn_options.condition = self._condition
        self.alarms.append(alarm)


def alarm_prefix(endpoint_name: str) -> str:
    """What the names of an endpoint's alarms begin with."""
    return f"{endpoint_name}-release-"
