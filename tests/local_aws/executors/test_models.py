"""Models and endpoint configurations."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/model:1"
ROLE = "arn:aws:iam::123456789012:role/model"
VARIANT = {"VariantName": "all", "ModelName": "delay", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


def create_model(sagemaker: Any, name: str = "delay", **container: Any) -> None:
    definition = {"Image": IMAGE, "ModelDataUrl": "s3://lake/m.tar.gz", **container}
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=definition)


def test_models_are_created_described_listed_and_deleted(sagemaker: Any) -> None:
    for name in ("delay", "block-time"):
        create_model(sagemaker, name, Environment={"LEVEL": "20"})
    described = sagemaker.describe_model(ModelName="delay")
    assert described["PrimaryContainer"]["Environment"] == {"LEVEL": "20"}
    assert described["ModelArn"].endswith(":model/delay")
    assert [model["ModelName"] for model in sagemaker.list_models()["Models"]] == ["block-time", "delay"]
    assert [model["ModelName"] for model in sagemaker.list_models(NameContains="lay")["Models"]] == ["delay"]
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        create_model(sagemaker)
    sagemaker.delete_model(ModelName="delay")
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.describe_model(ModelName="delay")
    with pytest.raises(ClientError, match="Could not find model"):
        sagemaker.delete_model(ModelName="delay")


def test_model_of_a_package_needs_the_package(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.create_model(
            ModelName="delay",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={"ModelPackageName": "arn:aws:sagemaker:us-east-1:123456789012:model-package/delay/1"},
        )
    assert sagemaker.list_models()["Models"] == []


def test_version_has_to_be_approved_to_become_a_model(sagemaker: Any) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://lake/m.tar.gz"}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["text/csv"],
        "SupportedResponseMIMETypes": ["text/csv"],
    }
    sagemaker.create_model_package_group(ModelPackageGroupName="delay")
    arn = sagemaker.create_model_package(ModelPackageGroupName="delay", InferenceSpecification=specification)[
        "ModelPackageArn"
    ]
    model = {"ModelName": "delay", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"ModelPackageName": arn}}
    for status in ("PendingManualApproval", "Rejected"):
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)
        with pytest.raises(ClientError) as raised:
            sagemaker.create_model(**model)
        assert raised.value.response["Error"]["Code"] == "ValidationException"
        message = raised.value.response["Error"]["Message"]
        assert message.startswith(f"ModelPackage {arn} must be approved before it can be deployed")
        assert status in message
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sagemaker.create_model(**model)
    alone = sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=specification)
    unversioned = {"ModelPackageName": alone["ModelPackageArn"]}
    sagemaker.create_model(ModelName="alone", ExecutionRoleArn=ROLE, PrimaryContainer=unversioned)


@pytest.mark.parametrize(
    ("containers", "problem"),
    [([], "exactly one container"), ([{"Image": IMAGE}] * 2, "exactly one container"), ([{}], "needs an Image")],
)
def test_model_needs_one_container(sagemaker: Any, containers: list[Any], problem: str) -> None:
    with pytest.raises(ClientError, match=problem):
        sagemaker.create_model(ModelName="delay", ExecutionRoleArn=ROLE, Containers=containers)


def test_endpoint_configurations_keep_what_endpoints_need(sagemaker: Any) -> None:
    create_model(sagemaker)
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 50,
        "DestinationS3Uri": "s3://lake/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    request = {"EndpointConfigName": "config", "ProductionVariants": [VARIANT], "DataCaptureConfig": capture}
    sagemaker.create_endpoint_config(**request)
    described = sagemaker.describe_endpoint_config(EndpointConfigName="config")
    assert described["ProductionVariants"][0]["InitialVariantWeight"] == 1.0
    assert described["DataCaptureConfig"]["InitialSamplingPercentage"] == 50
    with pytest.raises(ClientError, match="already existing endpoint configuration"):
        sagemaker.create_endpoint_config(**request)
    assert len(sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 1
    sagemaker.delete_endpoint_config(EndpointConfigName="config")
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        sagemaker.describe_endpoint_config(EndpointConfigName="config")


@pytest.mark.parametrize(
    ("instance_type", "refused"),
    [
        ("ml.m5.large", False),
        ("ml.c7g.large", False),
        ("ml.inf2.xlarge", False),
        ("ml.p3.2xlarge", False),
        ("ml.m5d.large", True),
        ("ml.c6gd.large", True),
        ("ml.g4dn.xlarge", True),
        ("ml.g5.xlarge", True),
        ("ml.p4de.24xlarge", True),
        ("ml.trn1.2xlarge", True),
    ],
)
def test_disks_of_the_machine_itself_take_no_key(sagemaker: Any, instance_type: str, refused: bool) -> None:
    create_model(sagemaker)
    variants = [{**VARIANT, "InstanceType": instance_type}]
    sagemaker.create_endpoint_config(EndpointConfigName="without", ProductionVariants=variants)
    request = {"EndpointConfigName": "with", "ProductionVariants": variants, "KmsKeyId": "1234abcd"}
    if refused:
        with pytest.raises(ClientError, match=f"{instance_type}: nitro-based instances with local storage"):
            sagemaker.create_endpoint_config(**request)
    else:
        sagemaker.create_endpoint_config(**request)


@pytest.mark.parametrize(
    ("variants", "problem"),
    [
        ([VARIANT, VARIANT], "are not unique"),
        ([{**VARIANT, "ModelName": "none"}], "Could not find model"),
        ([{"VariantName": "all", "InstanceType": "ml.m5.large"}], "has no ModelName"),
    ],
)
def test_endpoint_configuration_needs_valid_variants(sagemaker: Any, variants: list[Any], problem: str) -> None:
    create_model(sagemaker)
    with pytest.raises(ClientError, match=problem):
        sagemaker.create_endpoint_config(EndpointConfigName="config", ProductionVariants=variants)
