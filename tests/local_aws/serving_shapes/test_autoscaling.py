"""Endpoints grow and shrink with their traffic, within limits that the calendar may change."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.executors.serving import Serving
from tests.local_aws.serving_shapes.conftest import START, TICK, Machine

KEY = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/live/variant/live",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
VARIANT = {"EndpointName": "live", "VariantName": "live"}
PER_INSTANCE = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}


class Scaled:
    """The endpoint `live`, scaled between one and four instances unless said otherwise."""

    def __init__(self, machine: Machine, serving: Serving) -> None:
        self.machine = machine
        self.serving = serving
        self.api = machine.client("application-autoscaling")
        serving.model("one", "first")
        serving.config("config", {"live": "one"})
        serving.create("config")

    def register(self, minimum: int = 1, maximum: int = 4, **extra: Any) -> None:
        self.api.register_scalable_target(**KEY, MinCapacity=minimum, MaxCapacity=maximum, **extra)
        self.machine.settled()

    def track(
        self, target: float = 100.0, metric: dict[str, Any] | None = None, name: str = "traffic", **extra: Any
    ) -> None:
        configuration = {"TargetValue": target, **(metric or {"PredefinedMetricSpecification": PER_INSTANCE}), **extra}
        self.api.put_scaling_policy(
            **KEY,
            PolicyName=name,
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=configuration,
        )

    def traffic(self, *per_instance: float) -> None:
        """Let minutes pass in which each instance got so many requests."""
        for value in per_instance:
            self.machine.put("InvocationsPerInstance", value, **VARIANT)
            self.machine.pass_time(minutes=1)

    def count(self) -> int:
        found = self.serving.sagemaker.describe_endpoint(EndpointName="live")["ProductionVariants"][0]
        assert found["CurrentInstanceCount"] == found["DesiredInstanceCount"]
        return int(found["CurrentInstanceCount"])

    def activities(self) -> list[tuple[str, str, str]]:
        """Return description, cause and state of each activity, the oldest first."""
        found = self.api.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
        return [(each["Description"], each["Cause"], each["StatusCode"]) for each in reversed(found)]


@pytest.fixture
def scaled(machine: Machine, serving: Serving) -> Scaled:
    machine.clock.advance(TICK)
    return Scaled(machine, serving)


def test_endpoint_grows_after_three_busy_minutes_and_shrinks_after_fifteen_calm_ones(scaled: Scaled) -> None:
    scaled.register()
    scaled.track()
    scaled.traffic(250, 250)
    assert scaled.count() == 1
    scaled.traffic(250)
    assert scaled.count() == 3
    ((description, cause, status),) = scaled.activities()
    assert (description, status) == ("Setting desired instance count to 3.", "Successful")
    assert cause.startswith("monitor alarm TargetTracking-endpoint/live/variant/live-AlarmHigh-")
    assert cause.endswith("in state ALARM triggered policy traffic")
    scaled.traffic(*[50] * 14)
    assert scaled.count() == 3
    scaled.traffic(50)
    assert scaled.count() == 2


def test_endpoint_that_nobody_asks_any_more_shrinks_to_its_minimum(scaled: Scaled) -> None:
    scaled.register(maximum=3)
    scaled.track()
    scaled.traffic(900, 900, 900)
    assert scaled.count() == 3  # not more than the maximum
    scaled.machine.pass_time(hours=1)
    assert scaled.count() == 1
    # and then time isn't stopped by it every minute
    upcoming = scaled.machine.clock.upcoming()
    assert upcoming is None or upcoming > scaled.machine.clock.now() + timedelta(minutes=2)


def test_cooldown_holds_back_all_but_larger_steps(scaled: Scaled) -> None:
    scaled.register(maximum=10)
    scaled.track(ScaleOutCooldown=600)
    scaled.traffic(150, 150, 150)
    assert scaled.count() == 2
    scaled.traffic(150, 150, 150)  # one instance and half of one more would do: two are there
    assert scaled.count() == 2
    scaled.traffic(350, 350, 350)
    assert scaled.count() == 4
    scaled.machine.pass_time(minutes=12)
    scaled.traffic(150, 150, 150)
    assert scaled.count() == 6


def test_scale_in_can_be_disabled_or_suspended(scaled: Scaled) -> None:
    scaled.register(minimum=1)
    scaled.serving.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="live", DesiredWeightsAndCapacities=[{"VariantName": "live", "DesiredInstanceCount": 2}]
    )
    scaled.serving.settled()
    scaled.track(DisableScaleIn=True)
    scaled.machine.pass_time(minutes=40)
    assert scaled.count() == 2
    scaled.register(SuspendedState={"DynamicScalingInSuspended": True})
    scaled.track(DisableScaleIn=False)
    scaled.machine.pass_time(minutes=40)
    assert scaled.count() == 2
    scaled.register(SuspendedState={"DynamicScalingInSuspended": False})
    scaled.machine.pass_time(minutes=40)
    assert scaled.count() == 1


def test_several_policies_shrink_it_only_together(scaled: Scaled) -> None:
    scaled.register()
    scaled.track()
    metric = {"Namespace": "shop", "MetricName": "Load", "Statistic": "Average"}
    scaled.track(50, {"CustomizedMetricSpecification": metric}, "load")
    for _ in range(3):
        scaled.machine.put("Load", 90, namespace="shop")
        scaled.machine.put("Load", 110, namespace="shop")
        scaled.machine.pass_time(minutes=1)
    assert scaled.count() == 2
    scaled.machine.pass_time(minutes=40)  # no data of the custom metric: nothing is known of it
    assert scaled.count() == 2


def test_calendar_moves_the_limits(scaled: Scaled) -> None:
    scaled.register(minimum=1, maximum=4)
    scaled.api.put_scheduled_action(
        **KEY,
        ScheduledActionName="morning",
        Schedule="cron(0 8 * * ? *)",
        Timezone="Europe/Berlin",
        ScalableTargetAction={"MinCapacity": 2, "MaxCapacity": 3},
    )
    scaled.api.put_scheduled_action(
        **KEY,
        ScheduledActionName="night",
        Schedule="at(2030-05-01T20:00:00)",
        ScalableTargetAction={"MinCapacity": 1, "MaxCapacity": 1},
    )
    scaled.machine.pass_time(minutes=30)
    assert scaled.count() == 1  # eight in Berlin was six here, when it was put three seconds later
    scaled.machine.pass_time(hours=14)
    assert scaled.count() == 1
    scaled.machine.pass_time(hours=10)
    assert scaled.count() == 2
    target = scaled.api.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"][0]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 3)
    told = scaled.activities()
    assert ("Setting min capacity to 2 and max capacity to 3", "scheduled action name morning was triggered") in [
        each[:2] for each in told
    ]
    assert told[-1] == ("Setting desired instance count to 2.", "minimum capacity was set to 2", "Successful")
    assert {each["ScheduledActionName"] for each in _actions(scaled)} == {"morning", "night"}


def _actions(scaled: Scaled) -> list[dict[str, Any]]:
    return list(scaled.api.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"])


def test_alarm_calls_a_step_policy(scaled: Scaled) -> None:
    scaled.register()
    arn = scaled.api.put_scaling_policy(
        **KEY,
        PolicyName="step",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [
                {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
                {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 2},
            ],
        },
    )["PolicyARN"]
    scaled.machine.client("cloudwatch").put_metric_alarm(
        AlarmName="waiting", Namespace="shop", MetricName="Waiting", Statistic="Maximum", Period=60, Threshold=5.0,
        EvaluationPeriods=1, ComparisonOperator="GreaterThanOrEqualToThreshold", AlarmActions=[arn],
    )  # fmt: skip
    scaled.machine.put("Waiting", 20, namespace="shop")
    scaled.machine.settled()
    assert scaled.count() == 3
    assert scaled.activities()[-1][1] == "monitor alarm waiting in state ALARM triggered policy step"
    (policy,) = scaled.api.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert [each["AlarmName"] for each in policy["Alarms"]] == ["waiting"]


def test_limits_hold_as_soon_as_they_are_registered(scaled: Scaled) -> None:
    scaled.register(minimum=2)
    assert scaled.count() == 2
    assert scaled.activities() == [
        ("Setting desired instance count to 2.", "minimum capacity was set to 2", "Successful")
    ]
    scaled.register(minimum=0, maximum=1)
    assert scaled.count() == 1


def test_scaled_endpoint_keeps_its_count_through_an_update(scaled: Scaled) -> None:
    scaled.register()
    scaled.track()
    scaled.traffic(250, 250, 250)
    scaled.serving.model("two", "second")
    scaled.serving.config("config-two", {"live": "two"})
    scaled.serving.update("config-two", RetainAllVariantProperties=True)
    assert (scaled.count(), scaled.serving.invoke()) == (3, "second:")


def test_instances_that_cant_start_are_told_and_asked_for_again(scaled: Scaled) -> None:
    scaled.register()
    scaled.track(ScaleOutCooldown=60)
    working = (scaled.machine.folder / "model.py").read_text()
    scaled.machine.image("raise SystemExit('no room')")
    scaled.traffic(250, 250, 250)
    assert scaled.count() == 1
    activity = scaled.api.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"][0]
    assert activity["StatusCode"] == "Unfulfilled"
    assert activity["StatusMessage"].startswith("Failed to set desired instance count to 3. Reason: it has 1")
    assert scaled.serving.invoke() == "first:"
    scaled.machine.image(working)
    scaled.traffic(250)
    assert scaled.count() == 3


def test_variant_thats_scaled_keeps_its_name_and_machines(scaled: Scaled) -> None:
    scaled.register()
    scaled.serving.config("renamed", {"other": "one"})
    with pytest.raises(ClientError, match="must be deregistered as a scalable target"):
        scaled.serving.update("renamed")
    scaled.api.deregister_scalable_target(**KEY)
    assert scaled.serving.update("renamed")["ProductionVariants"][0]["VariantName"] == "other"


def test_what_doesnt_exist_cant_be_scaled(scaled: Scaled) -> None:
    for absent in ("endpoint/none/variant/live", "endpoint/live/variant/none"):
        with pytest.raises(ClientError, match=f"doesn't exist: {absent}"):
            scaled.api.register_scalable_target(**{**KEY, "ResourceId": absent}, MinCapacity=1, MaxCapacity=2)
    with pytest.raises(ClientError, match="Unsupported service namespace"):
        scaled.api.register_scalable_target(
            ServiceNamespace="dynamodb", ResourceId="table/t", ScalableDimension="dynamodb:table:ReadCapacityUnits",
            MinCapacity=1, MaxCapacity=2,
        )  # fmt: skip
    with pytest.raises(ClientError, match=r"ObjectNotFoundException.*No scalable target registered"):
        scaled.track()
    scaled.register()
    wrong = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    with pytest.raises(ClientError, match="no metric ECSServiceAverageCPUUtilization"):
        scaled.track(metric={"PredefinedMetricSpecification": wrong})
    with pytest.raises(ClientError, match="cannot be less"):
        scaled.register(minimum=3, maximum=2)


def test_deleted_endpoint_takes_its_target_along(scaled: Scaled, wait: Any) -> None:
    scaled.register()
    scaled.track()
    scaled.serving.sagemaker.delete_endpoint(EndpointName="live")
    targets = lambda: scaled.api.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]  # noqa: E731
    wait(targets, lambda found: not found)
    with pytest.raises(ClientError, match="ObjectNotFoundException"):
        scaled.api.deregister_scalable_target(**KEY)
    assert scaled.machine.clock.now() == START + TICK
