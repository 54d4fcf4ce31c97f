"""Scaling of an endpoint's variant with its traffic, and by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aws_cdk import CfnCondition, CfnResource
from aws_cdk import aws_applicationautoscaling as autoscaling
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

DIMENSION = "sagemaker:variant:DesiredInstanceCount"


@dataclass(frozen=True, kw_only=True)
class ScheduledCapacity:
    """Bounds that hold from a moment on: `schedule` as ``cron(0 7 ? * MON-FRI *)``, in UTC."""

    schedule: str
    minimum: int
    maximum: int


@dataclass(frozen=True, kw_only=True)
class EndpointScaling:
    """How many instances there are.

    Parameters
    ----------
    minimum, maximum
        Instances. An endpoint that answers at once has at least one; an asynchronous one may have none.
    requests_per_instance
        Requests in a minute that an instance is to have, on average; more instances come above it.
    scale_in_seconds, scale_out_seconds
        The pause after an instance has gone, and has come.
    scale_in
        Whether instances go again; otherwise only people and schedules take them away.
    schedules
        Other bounds at certain times.
    """

    minimum: int = 1
    maximum: int = 4
    requests_per_instance: float = 1000.0
    scale_in_seconds: int = 300
    scale_out_seconds: int = 60
    scale_in: bool = True
    schedules: Sequence[ScheduledCapacity] = ()

    def __post_init__(self) -> None:
        """Refuse bounds that leave nothing."""
        bounds = [("minimum", self.minimum, self.maximum)]
        bounds += [(f"minimum of {each.schedule}", each.minimum, each.maximum) for each in self.schedules]
        for name, minimum, maximum in bounds:
            if not 0 <= minimum <= maximum:
                raise ValueError(f"{name} must lie between 0 and the maximum, {maximum}, got {minimum}")
        if self.requests_per_instance <= 0:
            raise ValueError(f"requests_per_instance must be more than 0, got {self.requests_per_instance:g}")

    @property
    def least(self) -> int:
        """The fewest instances that there may ever be."""
        return min(self.minimum, *(each.minimum for each in self.schedules), self.maximum)


def define_target(
    scope: Construct,
    construct_id: str,
    *,
    dimension: str,
    resource_id: str,
    scaling: EndpointScaling,
    condition: CfnCondition,
    scaled: CfnResource,
) -> autoscaling.CfnScalableTarget:
    """Define what is scaled between the bounds of `scaling`, and at its times, in UTC.

    It depends on `scaled`, before which it can't be registered. `dimension` and `resource_id` are Application Auto
    Scaling's.
    """
    property_of = autoscaling.CfnScalableTarget
    target = autoscaling.CfnScalableTarget(
        scope,
        construct_id,
        service_namespace="sagemaker",
        scalable_dimension=dimension,
        resource_id=resource_id,
        min_capacity=scaling.minimum,
        max_capacity=scaling.maximum,
        scheduled_actions=[
            property_of.ScheduledActionProperty(
                scheduled_action_name=f"schedule-{number}",
                schedule=each.schedule,
                timezone="UTC",
                scalable_target_action=property_of.ScalableTargetActionProperty(
                    min_capacity=each.minimum, max_capacity=each.maximum
                ),
            )
            for number, each in enumerate(scaling.schedules, start=1)
        ]
        or None,
    )
    target.cfn_options.condition = condition
    target.add_resource_dependency(scaled)
    return target


class VariantScaling(Construct):
    """The scalable target of a variant and its policies.

    It depends on the endpoint, and the variant's name never changes: otherwise an update of the endpoint would be
    refused as long as the old variant is registered. Application Auto Scaling acts by its service-linked role.

    Parameters
    ----------
    backlog
        Scale by the requests that wait for an instance of an asynchronous endpoint, instead of those that come: so
        many an instance.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        endpoint: CfnResource,
        endpoint_name: str,
        variant_name: str,
        scaling: EndpointScaling,
        condition: CfnCondition,
        backlog: float | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.target = define_target(
            self,
            "Target",
            dimension=DIMENSION,
            resource_id=f"endpoint/{endpoint_name}/variant/{variant_name}",
            scaling=scaling,
            condition=condition,
            scaled=endpoint,
        )
        self._define_policy(scaling, condition, endpoint_name, backlog)
        if backlog and scaling.minimum == 0:
            self._define_waking(condition, endpoint_name)

    def _define_policy(
        self, scaling: EndpointScaling, condition: CfnCondition, endpoint_name: str, backlog: float | None
    ) -> None:
        property_of = autoscaling.CfnScalingPolicy
        predefined, customized = None, None
        if backlog:
            customized = property_of.CustomizedMetricSpecificationProperty(
                namespace="AWS/SageMaker",
                metric_name="ApproximateBacklogSizePerInstance",
                dimensions=[property_of.MetricDimensionProperty(name="EndpointName", value=endpoint_name)],
                statistic="Average",
            )
        else:
            predefined = property_of.PredefinedMetricSpecificationProperty(
                predefined_metric_type="SageMakerVariantInvocationsPerInstance"
            )
        policy = property_of(
            self,
            "Policy",
            policy_name=f"{endpoint_name}-traffic",
            policy_type="TargetTrackingScaling",
            scaling_target_id=self.target.ref,
            target_tracking_scaling_policy_configuration=property_of.TargetTrackingScalingPolicyConfigurationProperty(
                target_value=backlog or scaling.requests_per_instance,
                predefined_metric_specification=predefined,
                customized_metric_specification=customized,
                scale_in_cooldown=scaling.scale_in_seconds,
                scale_out_cooldown=scaling.scale_out_seconds,
                disable_scale_in=not scaling.scale_in,
            ),
        )
        policy.cfn_options.condition = condition

    def _define_waking(self, condition: CfnCondition, endpoint_name: str) -> None:
        """From no instance on, a backlog for each instance is none at all: another alarm brings the first one."""
        property_of = autoscaling.CfnScalingPolicy
        policy = property_of(
            self,
            "Waking",
            policy_name=f"{endpoint_name}-waking",
            policy_type="StepScaling",
            scaling_target_id=self.target.ref,
            step_scaling_policy_configuration=property_of.StepScalingPolicyConfigurationProperty(
                adjustment_type="ChangeInCapacity",
                metric_aggregation_type="Average",
                cooldown=300,
                step_adjustments=[
                    property_of.StepAdjustmentProperty(metric_interval_lower_bound=0, scaling_adjustment=1)
                ],
            ),
        )
        policy.cfn_options.condition = condition
        alarm = cloudwatch.CfnAlarm(
            self,
            "Waiting",
            alarm_description=f"Requests to {endpoint_name} wait, and it has no instance",
            namespace="AWS/SageMaker",
            metric_name="HasBacklogWithoutCapacity",
            dimensions=[cloudwatch.CfnAlarm.DimensionProperty(name="EndpointName", value=endpoint_name)],
            statistic="Average",
            period=60,
            evaluation_periods=1,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="missing",
            alarm_actions=[policy.ref],
        )
        alarm.cfn_options.condition = condition
