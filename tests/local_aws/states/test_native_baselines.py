"""The state machine that gives Model Monitor the baselines of a released version, against objects that are there."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from mlops_constructs.native_baselines import SWITCH, NativeBaselines, native_baselines_definition
from tests.local_aws.asking import until
from tests.local_aws.states.conftest import IMAGE, ROLE, States

ENDPOINT = GROUP = "dev-native"
BUCKET, VERSION, STACK = "native-artifacts", "/dev-native/released-version", "dev-native-monitoring"
FILES = ["data_quality_statistics.json", "model_quality_constraints.json"]
PARAMETER = {"Ref": SWITCH}


def template(fails_on: str) -> str:
    """A stack that can't be updated to one value of the switch: there is no such type of parameter."""
    refused = {"Type": "no type", "Value": "1"}
    return json.dumps(
        {
            "Parameters": {
                SWITCH: {"Type": "String", "Default": "off"},
                "Other": {"Type": "String", "Default": "as it was"},
            },
            "Conditions": {"Fails": {"Fn::Equals": [PARAMETER, fails_on]}},
            "Resources": {
                "Told": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": PARAMETER}},
                "Schedule": {"Type": "AWS::SSM::Parameter", "Condition": "Fails", "Properties": refused},
            },
        }
    )


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
        self._model: str | None = None
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
        self.definition = native_baselines_definition(
            NativeBaselines(
                endpoint_name=ENDPOINT, version_name=VERSION, bucket_name=BUCKET, prefix="model/baseline/",
                files=FILES, stack_name=STACK,
                explanation={"version": "1.0", "predictor": {"endpoint_name_prefix": "probe"}},
            )
        )  # fmt: skip
        self.machine = states.create_from(self.definition)

    def release(self) -> None:
        self.ssm.put_parameter(Name=VERSION, Type="String", Value=self.package)

    def use(self, definition: dict[str, Any]) -> None:
        self.states.api.delete_state_machine(stateMachineArn=self.machine)
        self.machine = self.states.create_from(definition)

    def deploy(self, body: str = template(fails_on="never")) -> None:
        self.cloudformation.create_stack(
            StackName=STACK,
            TemplateBody=body,
            Parameters=[{"ParameterKey": "Other", "ParameterValue": "kept"}],
        )
        self._wait("create")

    def serve(self, model: str) -> None:
        """Deploy a model anew, of the same version: the one before is deleted."""
        self.stop_serving()
        self.states.sagemaker.create_model(ModelName=model, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE})
        variant = {"VariantName": "live", "ModelName": model, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.states.sagemaker.create_endpoint_config(EndpointConfigName=model, ProductionVariants=[variant])
        self.states.sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=model)
        self._model = model

    def stop_serving(self) -> None:
        if self._model:
            until(self._endpoint, lambda status: status != "Creating")
            self.states.sagemaker.delete_endpoint(EndpointName=ENDPOINT)
            self.states.sagemaker.delete_endpoint_config(EndpointConfigName=self._model)
            self.states.sagemaker.delete_model(ModelName=self._model)
        self._model = None

    def ended(self, *executions: str) -> list[dict[str, Any]]:
        """Let time pass, a second a look, until they have ended."""
        deadline = time.monotonic() + 30
        while any(self.states.describe(each)["status"] == "RUNNING" for each in executions):
            assert time.monotonic() < deadline, [self.states.current_states(each) for each in executions]
            self.states.clock.advance_to(self.states.clock.now() + timedelta(seconds=1))
            time.sleep(0.02)
        return [self.states.describe(each) for each in executions]

    def start(self) -> str:
        # as rules name what they start
        return self.states.start(self.machine, name=f"{uuid.uuid4()}_{uuid.uuid4()}")

    def run(self) -> dict[str, Any]:
        (found,) = self.ended(self.start())
        return found

    def switch(self) -> str:
        stack = self.cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        found = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
        assert found["Other"] == "kept"
        return str(found[SWITCH])

    def updates(self) -> int:
        events = self.cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
        ends = [each for each in events if each["ResourceType"] == "AWS::CloudFormation::Stack"]
        return sum(each["ResourceStatus"] == "UPDATE_COMPLETE" for each in ends)

    def content(self, name: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=f"model/baseline/{name}")["Body"].read())

    def remove(self) -> None:
        self.stop_serving()
        self.states.api.delete_state_machine(stateMachineArn=self.machine)
        self.cloudformation.delete_stack(StackName=STACK)
        self._wait("delete")
        self.ssm.delete_parameters(Names=[VERSION])
        self.states.sagemaker.delete_model_package(ModelPackageName=self.package)
        self.states.sagemaker.delete_model_package_group(ModelPackageGroupName=GROUP)

    def _endpoint(self) -> str:
        self.states.clock.advance_to(self.states.clock.now() + timedelta(minutes=1))
        return str(self.states.sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointStatus"])

    def _wait(self, what: str) -> None:
        self.cloudformation.get_waiter(f"stack_{what}_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})


@pytest.fixture
def native(states: States) -> Iterator[Native]:
    made = Native(states)
    yield made
    made.remove()


def test_baselines_that_the_version_has_are_copied_and_the_schedules_are_switched_on_once(native: Native) -> None:
    native.deploy()
    native.release()
    native.serve("model-1")
    copied = {"version": native.package, "copied": ["data_quality_statistics.json", "explainability_config.json"]}
    assert json.loads(native.run()["output"]) == copied
    assert native.content("data_quality_statistics.json") == b"of version 1"
    assert (native.switch(), native.updates()) == ("on", 1)
    # the end of that update starts it again, which must not update the stack once more
    assert json.loads(native.run()["output"]) == copied
    assert (native.switch(), native.updates()) == ("on", 1)


def test_model_that_is_deployed_anew_is_the_one_that_explanations_ask(native: Native) -> None:
    native.deploy()
    native.release()
    for model in ("model-1", "model-2"):
        native.serve(model)
        native.run()
        asked = json.loads(native.content("explainability_config.json"))["predictor"]
        assert asked == {"endpoint_name_prefix": "probe", "model_name": model}


def test_nothing_is_switched_on_before_a_version_is_released(native: Native) -> None:
    native.deploy()
    assert json.loads(native.run()["output"]) == {"version": "none", "copied": []}
    assert native.switch() == "off"


def test_executions_that_begin_together_end_well_with_one_update(native: Native) -> None:
    native.deploy()
    native.release()
    native.serve("model-1")
    found = native.ended(*(native.start() for _ in range(3)))
    assert [each["status"] for each in found] == ["SUCCEEDED"] * 3
    assert (native.switch(), native.updates()) == ("on", 1)


def test_stack_that_rolls_back_fails_the_execution_with_its_reason(native: Native) -> None:
    native.deploy(template(fails_on="on"))
    native.release()
    native.serve("model-1")
    found = native.run()
    assert (found["status"], found["error"]) == ("FAILED", "SwitchFailed")
    assert f"{STACK} is UPDATE_ROLLBACK_COMPLETE, and {SWITCH} is off: Schedule: " in found["cause"]
    assert native.switch() == "off"


def test_stack_that_is_broken_fails_the_execution_and_is_left_alone(native: Native) -> None:
    native.release()
    native.serve("model-1")
    native.cloudformation.create_change_set(
        StackName=STACK, ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=template("never")
    )
    found = native.run()
    assert (found["status"], found["error"]) == ("FAILED", "StackCannotBeUpdated")
    assert f"{STACK} is REVIEW_IN_PROGRESS: repair it" in found["cause"]


def test_update_of_somebody_else_is_waited_for_and_may_have_left_nothing_to_do(native: Native) -> None:
    native.deploy()
    native.release()
    native.serve("model-1")
    # what it sees until it has waited once, and then as the last moment before somebody else switches on
    seen = {
        "status": "{% $pause > 3 ? 'UPDATE_COMPLETE' : 'UPDATE_IN_PROGRESS' %}",
        "value": "off",
        "others": ["Other"],
    }
    native.definition["States"]["LookAtStack"] = {"Type": "Pass", "Assign": seen, "Next": "IsBusy"}
    native.use(native.definition)
    for _ in range(2):
        execution = native.start()
        (found,) = native.ended(execution)
        assert found["status"] == "SUCCEEDED"
        looks = [each for each in native.states.current_states(execution) if each in ("LookAtStack", "WaitForTurn")]
        assert looks == ["LookAtStack", "WaitForTurn", "LookAtStack"]
        assert (native.switch(), native.updates()) == ("on", 1)
    assert "IsRefused" in native.states.current_states(execution)


def test_update_that_cloudformation_refuses_fails_the_execution_after_some_attempts(native: Native) -> None:
    kept = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "Other"}}}
    native.deploy(json.dumps({"Parameters": {"Other": {"Type": "String"}}, "Resources": {"Kept": kept}}))
    native.release()
    native.serve("model-1")
    execution = native.start()
    (found,) = native.ended(execution)
    assert (found["status"], found["error"]) == ("FAILED", "UpdateRefused")
    assert f"CloudFormation does not update {STACK}: " in found["cause"]
    assert native.states.current_states(execution).count("SwitchOn") == 5
