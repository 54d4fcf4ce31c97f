"""Inference components: several models on one endpoint, each with copies of its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.executors.serving import ROLE, Serving
from tests.local_aws.serving_shapes.conftest import TICK, Machine

NEEDS = {"MinMemoryRequiredInMb": 128}
SETTLED = {"InService", "Failed"}
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "inference-component/small",
    "ScalableDimension": "sagemaker:inference-component:DesiredCopyCount",
}


class Components:
    """The endpoint `live`, which has machines and no model."""

    def __init__(self, machine: Machine, serving: Serving, wait: Callable[..., Any]) -> None:
        self.machine = machine
        self.serving = serving
        self.sagemaker = serving.sagemaker
        self._wait = wait
        host = {"VariantName": "live", "InstanceType": "ml.m5.large", "InitialInstanceCount": 2}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName="config", ProductionVariants=[host], ExecutionRoleArn=ROLE
        )
        self.found = serving.create("config")
        for name in ("one", "two"):
            serving.model(name, name)

    def create(self, name: str, model: str, copies: int = 1) -> dict[str, Any]:
        specification = {"ModelName": model, "ComputeResourceRequirements": NEEDS}
        self.sagemaker.create_inference_component(
            InferenceComponentName=name, EndpointName="live", VariantName="live", Specification=specification,
            RuntimeConfig={"CopyCount": copies},
        )  # fmt: skip
        return self.settled(name)

    def settled(self, name: str) -> dict[str, Any]:
        read = lambda: self.sagemaker.describe_inference_component(InferenceComponentName=name)  # noqa: E731
        return dict(self._wait(read, lambda found: found["InferenceComponentStatus"] in SETTLED))

    def delete(self, name: str) -> None:
        self.sagemaker.delete_inference_component(InferenceComponentName=name)
        listed = self.sagemaker.list_inference_components
        self._wait(lambda: [each["InferenceComponentName"] for each in listed()["InferenceComponents"]],
                   lambda names: name not in names)  # fmt: skip

    def processes(self, name: str) -> set[str]:
        return {self.serving.invoke("pid", InferenceComponentName=name) for _ in range(8)}


@pytest.fixture
def components(machine: Machine, serving: Serving, wait: Callable[..., Any]) -> Components:
    machine.clock.advance(TICK)
    return Components(machine, serving, wait)


def test_each_component_answers_by_its_own_model_and_copies(components: Components) -> None:
    assert components.found["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert components.create("small", "one")["InferenceComponentStatus"] == "InService"
    found = components.create("large", "two", copies=2)
    assert found["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}
    assert components.serving.invoke(InferenceComponentName="small") == "one:"
    assert components.serving.invoke(InferenceComponentName="large") == "two:"
    assert len(components.processes("large")) == 2
    with pytest.raises(ClientError, match="Inference Component Name header is required"):
        components.serving.invoke()
    with pytest.raises(ClientError, match="Inference Component none not found on endpoint live"):
        components.serving.invoke(InferenceComponentName="none")


def test_copies_and_models_change_while_it_answers(components: Components) -> None:
    components.create("small", "one")
    components.sagemaker.update_inference_component_runtime_config(
        InferenceComponentName="small", DesiredRuntimeConfig={"CopyCount": 2}
    )
    assert components.settled("small")["RuntimeConfig"]["CurrentCopyCount"] == 2
    specification = {"ModelName": "two", "ComputeResourceRequirements": NEEDS}
    components.sagemaker.update_inference_component(InferenceComponentName="small", Specification=specification)
    assert components.settled("small")["RuntimeConfig"]["CurrentCopyCount"] == 2
    assert components.serving.invoke(InferenceComponentName="small") == "two:"
    components.serving.model("broken", "broken", BREAK_AT_START="yes")
    specification = {"ModelName": "broken", "ComputeResourceRequirements": NEEDS}
    components.sagemaker.update_inference_component(InferenceComponentName="small", Specification=specification)
    found = components.settled("small")
    assert "the model is broken" in found["FailureReason"]
    assert found["Specification"]["ModelName"] == "two"
    assert components.serving.invoke(InferenceComponentName="small") == "two:"


def test_component_that_cant_start_fails_with_the_reason(components: Components) -> None:
    components.serving.model("broken", "broken", BREAK_AT_START="yes")
    found = components.create("small", "broken")
    assert found["InferenceComponentStatus"] == "Failed"
    assert "the model is broken" in found["FailureReason"]


ROLLING = {
    "RollingUpdatePolicy": {
        "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1}, "WaitIntervalInSeconds": 120,
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "small-failing"}]},
}  # fmt: skip


def test_alarm_takes_a_new_model_back_while_it_is_watched(components: Components, wait: Callable[..., Any]) -> None:
    components.create("small", "one")
    cloudwatch = components.machine.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="small-failing", Namespace="Own", MetricName="Failing", Period=60, EvaluationPeriods=1, Threshold=0,
        ComparisonOperator="GreaterThanThreshold", Statistic="Sum", TreatMissingData="notBreaching",
    )  # fmt: skip
    specification = {"ModelName": "two", "ComputeResourceRequirements": NEEDS}

    def update() -> None:
        components.sagemaker.update_inference_component(
            InferenceComponentName="small", Specification=specification, DeploymentConfig=ROLLING
        )
        wait(lambda: components.serving.invoke(InferenceComponentName="small"), lambda told: told == "two:")

    update()
    components.machine.put("Failing", 1, namespace="Own")
    components.machine.clock.advance(timedelta(seconds=61))
    found = components.settled("small")
    assert "rolled back: one or more of its alarms went into the ALARM state: small-failing" in found["FailureReason"]
    assert found["Specification"]["ModelName"] == "one"
    assert components.serving.invoke(InferenceComponentName="small") == "one:"

    components.sagemaker.update_inference_component(
        InferenceComponentName="small", Specification=specification, DeploymentConfig=ROLLING
    )
    assert "The deployment didn't start" in components.settled("small")["FailureReason"]

    components.machine.pass_time(minutes=10)
    update()
    components.machine.clock.advance(timedelta(minutes=3))
    assert components.settled("small")["Specification"]["ModelName"] == "two"


def test_copies_follow_their_requests(components: Components, wait: Callable[..., Any]) -> None:
    components.create("small", "one")
    scaling = components.machine.client("application-autoscaling")
    scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=3)
    scaling.put_scaling_policy(
        **TARGET,
        PolicyName="copies",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 2.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"},
        },
    )
    for _ in range(4):
        components.serving.invoke(InferenceComponentName="small")
    # what is asked is told within a second
    listed = components.machine.client("cloudwatch").list_metrics
    wait(lambda: listed(MetricName="InvocationsPerCopy")["Metrics"], bool)
    for _ in range(3):
        components.machine.pass_time(minutes=1)
        components.machine.put("InvocationsPerCopy", 4, InferenceComponentName="small")
    assert components.settled("small")["RuntimeConfig"]["CurrentCopyCount"] == 2
    components.machine.pass_time(minutes=40)
    assert components.settled("small")["RuntimeConfig"]["CurrentCopyCount"] == 1


def test_endpoint_is_deleted_after_its_components(components: Components) -> None:
    components.create("small", "one")
    with pytest.raises(ClientError, match="delete small first"):
        components.sagemaker.delete_endpoint(EndpointName="live")
    components.delete("small")
    components.sagemaker.delete_endpoint(EndpointName="live")


def test_what_components_need_is_checked(components: Components) -> None:
    variant = {"VariantName": "live", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    with pytest.raises(ClientError, match="has no ModelName"):
        components.sagemaker.create_endpoint_config(EndpointConfigName="no-role", ProductionVariants=[variant])
    with pytest.raises(ClientError, match="ModelName or a Container"):
        components.sagemaker.create_inference_component(
            InferenceComponentName="x", EndpointName="live", Specification={"ComputeResourceRequirements": NEEDS}
        )
    managed = {**variant, "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 2, "MaxInstanceCount": 3}}
    with pytest.raises(
        ClientError, match="must begin with 2 to 3 instances, as its ManagedInstanceScaling says, got 1"
    ):
        components.sagemaker.create_endpoint_config(
            EndpointConfigName="few", ProductionVariants=[managed], ExecutionRoleArn=ROLE
        )
    components.serving.config("with-model", {"live": "one"})
    components.serving.update("with-model")
    with pytest.raises(ClientError, match="has no variant live for inference components"):
        components.create("small", "one")
