"""Scaled endpoints and inference components as CloudFormation deploys them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from local_aws.service import Image
from tests.local_aws.cloudformation.deployer import Deployer, resource
from tests.local_aws.executors.serving import CONTAINER

ROLE = "arn:aws:iam::123456789012:role/serving"
PREDEFINED = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}


def endpoint(image: str) -> dict[str, Any]:
    variant = {
        "VariantName": "live", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}, "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1, "InitialVariantWeight": 1,
    }  # fmt: skip
    config = {"Fn::GetAtt": ["Config", "EndpointConfigName"]}
    return {
        "Model": resource("SageMaker::Model", {"ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": image}}),
        "Config": resource("SageMaker::EndpointConfig", {"ProductionVariants": [variant]}),
        "Endpoint": resource("SageMaker::Endpoint", {"EndpointName": "scaled", "EndpointConfigName": config}),
    }


def scaling(maximum: int, target: float, **extra: Any) -> dict[str, Any]:
    tracking = {"TargetValue": target, "PredefinedMetricSpecification": PREDEFINED, "ScaleInCooldown": 60}
    return {
        "Target": resource(
            "ApplicationAutoScaling::ScalableTarget",
            {
                "ServiceNamespace": "sagemaker",
                "ResourceId": "endpoint/scaled/variant/live",
                "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
                "MinCapacity": 1,
                "MaxCapacity": maximum,
                **extra,
            },
            DependsOn="Endpoint",
        ),
        "Policy": resource(
            "ApplicationAutoScaling::ScalingPolicy",
            {
                "PolicyName": "traffic",
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": {"Ref": "Target"},
                "TargetTrackingScalingPolicyConfiguration": tracking,
            },
        ),
    }


@pytest.fixture
def image(stack: Deployer, tmp_path: Path) -> str:
    """An image whose container needs no model."""
    script = tmp_path / "model.py"
    script.write_text(CONTAINER.replace('(base / "model" / "model.txt").read_text()', '"none"'))
    images = stack.context.images
    assert isinstance(images, dict)
    images["scaled"] = Image(sys.executable, (sys.executable, str(script)))
    return "123456789012.dkr.ecr.us-east-1.amazonaws.com/scaled:1"


def test_scaling_follows_its_declaration(stack: Deployer, image: str) -> None:
    api = stack.client("application-autoscaling")
    night = {"ScheduledActionName": "night", "Schedule": "cron(0 22 * * ? *)"}
    morning = {"ScheduledActionName": "morning", "Schedule": "cron(0 6 * * ? *)", "Timezone": "Europe/Berlin"}
    first = [
        {**night, "ScalableTargetAction": {"MaxCapacity": 1}},
        {**morning, "ScalableTargetAction": {"MinCapacity": 2}},
    ]
    suspended = {"DynamicScalingInSuspended": True}
    stack.deploy({**endpoint(image), **scaling(3, 100, ScheduledActions=first, SuspendedState=suspended)})
    assert stack.describe()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    assert (
        stack.physical_id("Target") == "endpoint/scaled/variant/live|sagemaker:variant:DesiredInstanceCount|sagemaker"
    )
    (policy,) = api.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert stack.physical_id("Policy") == policy["PolicyARN"]

    second = [{**night, "ScalableTargetAction": {"MaxCapacity": 2}}]
    stack.deploy({**endpoint(image), **scaling(4, 50, ScheduledActions=second)})
    assert stack.describe()["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    (target,) = api.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    assert target["SuspendedState"]["DynamicScalingInSuspended"] is False
    (action,) = api.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert (action["ScheduledActionName"], action["ScalableTargetAction"]) == ("night", {"MaxCapacity": 2})
    (changed,) = api.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert changed["PolicyARN"] == policy["PolicyARN"]
    assert changed["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 50

    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE", stack.reasons()
    assert not api.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]


def test_target_of_no_endpoint_fails_the_stack(stack: Deployer) -> None:
    declared = scaling(3, 100)["Target"]
    declared.pop("DependsOn")
    status = stack.deploy({"Target": declared})["StackStatus"]
    assert status == "ROLLBACK_COMPLETE"
    assert "SageMaker resource doesn't exist: endpoint/scaled/variant/live" in stack.reasons()


def test_component_follows_its_declaration(stack: Deployer, image: str) -> None:
    declared = endpoint(image)
    managed = {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2}
    variant = {
        "VariantName": "live", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
        "ManagedInstanceScaling": managed, "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }  # fmt: skip
    declared["Config"] = resource(
        "SageMaker::EndpointConfig", {"ProductionVariants": [variant], "ExecutionRoleArn": ROLE}
    )
    declared["Endpoint"]["Properties"]["EndpointName"] = "shared"

    def component(copies: int) -> dict[str, Any]:
        specification = {
            "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
            "ComputeResourceRequirements": {"MinMemoryRequiredInMb": 128},
        }
        properties = {
            "EndpointName": {"Fn::GetAtt": ["Endpoint", "EndpointName"]},
            "VariantName": "live",
            "Specification": specification,
            "RuntimeConfig": {"CopyCount": copies},
            "DeploymentConfig": {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50}, "WaitIntervalInSeconds": 0,
                }
            },
        }  # fmt: skip
        return {**declared, "Component": resource("SageMaker::InferenceComponent", properties)}

    stack.deploy(component(1))
    assert stack.describe()["StackStatus"] == "CREATE_COMPLETE", stack.reasons()
    arn = stack.physical_id("Component")
    stack.deploy(component(2))
    assert stack.describe()["StackStatus"] == "UPDATE_COMPLETE", stack.reasons()
    assert stack.physical_id("Component") == arn
    sagemaker = stack.client("sagemaker")
    found = sagemaker.describe_inference_component(InferenceComponentName=arn.rpartition("/")[2])
    assert found["RuntimeConfig"] == {"DesiredCopyCount": 2, "CurrentCopyCount": 2}
    assert stack.destroy()["StackStatus"] == "DELETE_COMPLETE", stack.reasons()
    assert not sagemaker.list_inference_components()["InferenceComponents"]
