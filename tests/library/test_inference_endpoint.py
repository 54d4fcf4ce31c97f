"""The endpoint: nothing without a released package, and replaced without downtime afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import CfnParameter, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Template

from mlops_constructs.endpoint_options import VARIANT, DataCapture, EndpointOptions
from mlops_constructs.endpoint_sizing import EndpointSizing
from mlops_constructs.inference_endpoint import InferenceEndpoint
from mlops_constructs.log_retention import LogRetention
from mlops_constructs.pipeline_steps import JobNetwork
from mlops_constructs.runtime_image import RuntimeImage

Find = Callable[..., Any]
Build = Callable[..., InferenceEndpoint]


@pytest.fixture
def build(stack: Stack, key: kms.Key, tmp_path: Path) -> Build:
    image = RuntimeImage(stack, "Image", repository_name="runtime", source=tmp_path, key=key)
    package = CfnParameter(stack, "Package", default="")

    def endpoint(**options: Any) -> InferenceEndpoint:
        return InferenceEndpoint(
            stack,
            "Inference",
            endpoint_name="dev-late",
            model_package_arn=package.value_as_string,
            image=image,
            key=key,
            **options,
        )

    return endpoint


def only(found: dict[str, Any]) -> Any:
    (value,) = found.values()
    return value


def test_without_a_package_neither_model_nor_configuration_nor_endpoint_exists(
    build: Build, stack: Stack, resources: Find
) -> None:
    endpoint = build()
    condition = stack.get_logical_id(endpoint.released)
    for kind in ("Model", "EndpointConfig", "Endpoint"):
        assert only(resources(f"AWS::SageMaker::{kind}"))["Condition"] == condition
    assert Template.from_stack(stack).to_json()["Conditions"][condition] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "Package"}, ""]}]
    }


def test_only_the_endpoint_has_a_name_so_that_the_rest_can_be_replaced(build: Build, resources: Find) -> None:
    build()
    assert only(resources("AWS::SageMaker::Endpoint"))["Properties"]["EndpointName"] == "dev-late"
    assert "ModelName" not in only(resources("AWS::SageMaker::Model"))["Properties"]
    assert "EndpointConfigName" not in only(resources("AWS::SageMaker::EndpointConfig"))["Properties"]


def test_the_model_is_the_package(build: Build, resources: Find) -> None:
    build()
    assert only(resources("AWS::SageMaker::Model"))["Properties"]["PrimaryContainer"] == {
        "ModelPackageName": {"Ref": "Package"}
    }


def test_endpoint_configuration_and_model_refer_to_each_other_by_attribute(
    build: Build, stack: Stack, resources: Find
) -> None:
    endpoint = build()
    configuration = stack.get_logical_id(endpoint.configuration)
    model = stack.get_logical_id(endpoint.model)
    assert only(resources("AWS::SageMaker::Endpoint"))["Properties"]["EndpointConfigName"] == {
        "Fn::GetAtt": [configuration, "EndpointConfigName"]
    }
    (variant,) = only(resources("AWS::SageMaker::EndpointConfig"))["Properties"]["ProductionVariants"]
    assert variant["ModelName"] == {"Fn::GetAtt": [model, "ModelName"]}
    assert variant["VariantName"] == VARIANT == "live"


def test_model_and_endpoint_wait_for_their_role_s_policy(build: Build, stack: Stack, resources: Find) -> None:
    endpoint = build()
    policy = stack.get_logical_id(endpoint.role.node.find_child("DefaultPolicy").node.default_child)  # type: ignore[arg-type]
    assert policy in only(resources("AWS::SageMaker::Model"))["DependsOn"]
    assert policy in only(resources("AWS::SageMaker::Endpoint"))["DependsOn"]


def test_disks_and_captured_requests_are_encrypted_and_the_role_may_use_the_key(
    build: Build, stack: Stack, key: kms.Key, resources: Find, statements: Find
) -> None:
    build(options=EndpointOptions(capture=DataCapture(bucket=s3.Bucket(stack, "Capture"))))
    arn = stack.resolve(key.key_arn)
    properties = only(resources("AWS::SageMaker::EndpointConfig"))["Properties"]
    assert properties["KmsKeyId"] == properties["DataCaptureConfig"]["KmsKeyId"] == arn
    on_key = {action for each in statements() if each["Resource"] == [arn] for action in each["Action"]}
    assert {"kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"} <= on_key


@pytest.mark.parametrize(
    ("instance_type", "named"),
    [("ml.m5.large", True), ("ml.m5d.large", False), ("ml.g5.xlarge", False), ("ml.inf2.xlarge", True)],
)
def test_disks_that_the_instance_brings_get_no_key_which_sagemaker_would_refuse(
    instance_type: str, named: bool, build: Build, stack: Stack, resources: Find
) -> None:
    capture = DataCapture(bucket=s3.Bucket(stack, "Capture"))
    build(options=EndpointOptions(sizing=EndpointSizing(instance_type=instance_type), capture=capture))
    properties = only(resources("AWS::SageMaker::EndpointConfig"))["Properties"]
    assert ("KmsKeyId" in properties) is named
    assert "KmsKeyId" in properties["DataCaptureConfig"]


def test_requests_are_captured_in_the_share_asked_for_under_the_endpoint_s_own_prefix(
    build: Build, stack: Stack, resources: Find, statements: Find
) -> None:
    bucket = s3.Bucket(stack, "Capture")
    build(options=EndpointOptions(capture=DataCapture(bucket=bucket, percent=25)))
    capture = only(resources("AWS::SageMaker::EndpointConfig"))["Properties"]["DataCaptureConfig"]
    assert capture["InitialSamplingPercentage"] == 25
    assert [each["CaptureMode"] for each in capture["CaptureOptions"]] == ["Input", "Output"]
    (writing,) = [each for each in statements() if "s3:PutObject" in each["Action"]]
    assert writing["Resource"] == [{"Fn::Join": ["", [stack.resolve(bucket.bucket_arn), "/dev-late/*"]]}]
    assert "s3:GetObject" not in writing["Action"]


def test_without_a_capture_nothing_is_captured_and_nothing_may_be_written(
    build: Build, resources: Find, statements: Find
) -> None:
    build()
    assert "DataCaptureConfig" not in only(resources("AWS::SageMaker::EndpointConfig"))["Properties"]
    assert not [each for each in statements() if any(action.startswith("s3:") for action in each["Action"])]


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_shares_that_make_no_sense_are_refused(percent: int, stack: Stack) -> None:
    with pytest.raises(ValueError, match=f"percent must lie between 1 and 100, got {percent}"):
        DataCapture(bucket=s3.Bucket(stack, "Capture"), percent=percent)


@pytest.mark.parametrize("wrong", [{"instance_type": "m5.large"}, {"instance_count": 0}])
def test_impossible_sizes_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        EndpointSizing(**wrong)


def test_the_endpoint_runs_in_the_network_it_is_given(build: Build, resources: Find, statements: Find) -> None:
    build(network=JobNetwork(subnet_ids=["subnet-1", "subnet-2"], security_group_ids=["sg-1"]))
    assert only(resources("AWS::SageMaker::Model"))["Properties"]["VpcConfig"] == {
        "Subnets": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    assert "ec2:CreateNetworkInterface" in {action for each in statements() for action in each["Action"]}


def test_without_a_network_there_is_no_vpc_and_no_permission_for_one(
    build: Build, resources: Find, statements: Find
) -> None:
    build()
    assert "VpcConfig" not in only(resources("AWS::SageMaker::Model"))["Properties"]
    assert not [a for each in statements() for a in each["Action"] if a.startswith("ec2:")]


def test_the_log_group_is_there_before_the_endpoint_with_a_key_and_an_end(
    build: Build, stack: Stack, key: kms.Key, resources: Find
) -> None:
    build(logs=LogRetention(days=30))
    ((name, group),) = resources("AWS::Logs::LogGroup").items()
    assert group["Properties"]["LogGroupName"] == "/aws/sagemaker/Endpoints/dev-late"
    assert group["Properties"]["RetentionInDays"] == 30
    assert group["Properties"]["KmsKeyId"] == stack.resolve(key.key_arn)
    assert name in only(resources("AWS::SageMaker::Endpoint"))["DependsOn"]
