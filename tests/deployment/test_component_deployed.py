"""A fleet and a model's component on it, deployed to the local AWS: versions come, go over, and are taken back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import use_packaged_node
from local_aws.server import running
from local_aws.service import Image, LocalContext
from tests.local_aws.cloudformation.deployer import Deployer
from tests.local_aws.executors.serving import CONTAINER, model_archive

use_packaged_node()  # before the CDK is imported

from aws_cdk import App, CfnParameter, Stack  # noqa: E402
from aws_cdk import aws_kms as kms  # noqa: E402
from aws_cdk.assertions import Template  # noqa: E402

from mlops_constructs.inference_component import ComponentOptions, ComponentSizing, InferenceComponent  # noqa: E402
from mlops_constructs.inference_fleet import FleetSizing, InferenceFleet  # noqa: E402
from mlops_constructs.runtime_image import RuntimeImage  # noqa: E402

GROUP, IMAGE = "dev-late", "123456789012.dkr.ecr.us-east-1.amazonaws.com/runtime:1"


@pytest.fixture
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalContext]:
    with running(tmp_path_factory.mktemp("local-aws")) as server:
        yield server.context


@pytest.fixture
def template(tmp_path: Path) -> dict[str, Any]:
    """Both in one stack, without the image's repository: nothing is pulled here."""
    (tmp_path / "source").mkdir()
    stack = Stack(App(), "fleet")
    package = CfnParameter(stack, "ModelPackageArn", default="").value_as_string
    key = kms.Key(stack, "Key")
    image = RuntimeImage(stack, "Image", repository_name="runtime", source=tmp_path / "source", key=key)
    fleet = InferenceFleet(
        stack, "Fleet", endpoint_name="dev-fleet-small", image=image, key=key, sizing=FleetSizing(maximum=2)
    )
    component = InferenceComponent(
        stack,
        "Component",
        component_name="dev-late",
        fleet_name=fleet.endpoint_name,
        model_package_arn=package,
        image=image,
        key=key,
        options=ComponentOptions(sizing=ComponentSizing(copies=2, memory_mb=512, cpus=0.5)),
    )
    component.node.add_dependency(fleet)
    return dict(Template.from_stack(stack).to_json())


class Fleet:
    """The stack, and versions of the model."""

    def __init__(self, context: LocalContext, template: dict[str, Any], folder: Path) -> None:
        self._template = template
        self._folder = folder
        self.stack = Deployer(context, "fleet")
        self.sagemaker, self._runtime = (context.client(name) for name in ("sagemaker", "sagemaker-runtime"))
        context.client("s3").create_bucket(Bucket="lake")
        self.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        script = folder / "model.py"
        script.write_text(CONTAINER)
        assert isinstance(context.images, dict)
        context.images["runtime"] = Image(sys.executable, (sys.executable, str(script)))

    def version(self, content: str, **environment: str) -> str:
        key = f"late/{content}/model.tar.gz"
        self.stack.client("s3").put_object(Bucket="lake", Key=key, Body=model_archive(content))
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://lake/{key}", "Environment": environment}
        specification = {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        }
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP, ModelApprovalStatus="Approved", InferenceSpecification=specification
        )
        return str(made["ModelPackageArn"])

    def deploy(self, package: str) -> str:
        others = {name: self._template[name] for name in ("Parameters", "Conditions") if name in self._template}
        parameters = [{"ParameterKey": "ModelPackageArn", "ParameterValue": package}]
        others["Parameters"] = {"ModelPackageArn": others["Parameters"]["ModelPackageArn"]}
        found = self.stack.deploy(self._template["Resources"], template=others, Parameters=parameters)
        return str(found["StackStatus"])

    def ask(self) -> str:
        answer = self._runtime.invoke_endpoint(
            EndpointName="dev-fleet-small", InferenceComponentName="dev-late", Body=b"1,2", ContentType="text/csv"
        )
        return str(answer["Body"].read().decode())

    def components(self) -> list[str]:
        return [
            each["InferenceComponentName"] for each in self.sagemaker.list_inference_components()["InferenceComponents"]
        ]


def test_versions_go_over_on_the_fleet_and_one_that_cant_start_is_taken_back(
    context: LocalContext, template: dict[str, Any], tmp_path: Path
) -> None:
    fleet = Fleet(context, template, tmp_path)
    assert fleet.deploy("") == "CREATE_COMPLETE", fleet.stack.reasons()
    assert fleet.components() == []
    assert fleet.sagemaker.describe_endpoint(EndpointName="dev-fleet-small")["EndpointStatus"] == "InService"

    assert fleet.deploy(fleet.version("one")) == "UPDATE_COMPLETE", fleet.stack.reasons()
    assert fleet.ask() == "one:"
    found = fleet.sagemaker.describe_inference_component(InferenceComponentName="dev-late")
    assert found["RuntimeConfig"]["CurrentCopyCount"] == 2

    assert fleet.deploy(fleet.version("two")) == "UPDATE_COMPLETE", fleet.stack.reasons()
    assert fleet.ask() == "two:"

    assert fleet.deploy(fleet.version("three", BREAK_AT_START="yes")) == "UPDATE_ROLLBACK_COMPLETE"
    assert "the model is broken" in fleet.stack.reasons()
    assert fleet.ask() == "two:"

    assert fleet.deploy("") == "UPDATE_COMPLETE", fleet.stack.reasons()
    assert fleet.components() == []
    assert fleet.stack.destroy()["StackStatus"] == "DELETE_COMPLETE", fleet.stack.reasons()
