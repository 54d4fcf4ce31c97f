"""The state machine that gives Model Monitor the baselines of a released version, against objects that are there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mlops_constructs.native_baselines import SWITCH, NativeBaselines, native_baselines_definition
from tests.local_aws.states.conftest import IMAGE, States

GROUP, BUCKET, VERSION, STACK = (
    "dev-native",
    "native-artifacts",
    "/dev-native/released-version",
    "dev-native-monitoring",
)
FILES = ["data_quality_statistics.json", "model_quality_constraints.json"]
TEMPLATE = {
    "Parameters": {SWITCH: {"Type": "String", "Default": "off"}, "Other": {"Type": "String", "Default": "kept"}},
    "Resources": {"Told": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": SWITCH}}}},
}


class Native:
    """A version with a baseline of data, and a stack whose schedules are off."""

    def __init__(self, states: States) -> None:
        client = states.context.client
        self.states, self.s3, self.ssm, self.cloudformation = (
            states,
            client("s3"),
            client("ssm"),
            client("cloudformation"),
        )
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_object(Bucket=BUCKET, Key="model/1/statistics.json", Body=b"of version 1")
        states.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        place = {"ContentType": "application/json", "S3Uri": f"s3://{BUCKET}/model/1/statistics.json"}
        self.package = states.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            DriftCheckBaselines={"ModelDataQuality": {"Statistics": place}},
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://artifacts/model.tar.gz"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )["ModelPackageArn"]
        self.ssm.put_parameter(Name=VERSION, Type="String", Value=self.package)
        self.cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(TEMPLATE))
        self._wait("create")
        self.machine = states.create_from(
            native_baselines_definition(
                NativeBaselines(
                    endpoint_name="dev-native", version_name=VERSION, bucket_name=BUCKET, prefix="model/baseline/",
                    files=FILES, stack_name=STACK, others=["Other"],
                )
            )
        )  # fmt: skip

    def run(self) -> dict[str, Any]:
        return dict(self.states.output(self.machine))

    def switch(self) -> str:
        self._wait("update")
        stack = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        return str({each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}[SWITCH])

    def content(self, name: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=f"model/baseline/{name}")["Body"].read())

    def remove(self) -> None:
        self.states.api.delete_state_machine(stateMachineArn=self.machine)
        self.cloudformation.delete_stack(StackName=STACK)
        self._wait("delete")
        self.ssm.delete_parameter(Name=VERSION)
        self.states.sagemaker.delete_model_package(ModelPackageName=self.package)
        self.states.sagemaker.delete_model_package_group(ModelPackageGroupName=GROUP)

    def _wait(self, what: str) -> None:
        self.cloudformation.get_waiter(f"stack_{what}_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})


@pytest.fixture
def native(states: States) -> Iterator[Native]:
    made = Native(states)
    yield made
    made.remove()


def test_baselines_that_the_version_has_are_copied_and_the_schedules_are_switched_on_once(native: Native) -> None:
    assert native.run() == {"version": native.package, "copied": ["data_quality_statistics.json"]}
    assert native.content("data_quality_statistics.json") == b"of version 1"
    assert native.switch() == "on"
    # the next release finds them on, which is no update
    assert native.run()["copied"] == ["data_quality_statistics.json"]
    assert native.switch() == "on"
