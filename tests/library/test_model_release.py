"""The construct of releases: what starts its state machine, and what that may do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aws_cdk import CfnCondition, CfnParameter, Fn, Stack
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from botocore.loaders import Loader
from botocore.model import ServiceModel

from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.model_release import ModelRelease
from mlops_constructs.release_definition import Release, release_definition

Find = Callable[..., Any]
RELEASE = Release(
    stack_name="stack",
    group_name="dev-late",
    pin_name="/pin",
    bucket_name="bucket",
    prefix="late/",
    endpoint_name="dev-late",
)


@pytest.fixture
def release(stack: Stack, key: kms.Key) -> ModelRelease:
    package = CfnParameter(stack, "Package", default="").value_as_string
    named = CfnCondition(stack, "Named", expression=Fn.condition_not(Fn.condition_equals(package, "")))
    return ModelRelease(
        stack,
        "Release",
        name="dev-late-endpoint",
        package=package,
        named=named,
        registry=ModelRegistry(stack, "Registry", group_name="dev-late", description="-"),
        records=s3.Bucket(stack, "Records"),
        prefix="late/releases/",
        key=key,
        endpoint_name="dev-late",
    )


def tasks(release: Release = RELEASE) -> list[dict[str, Any]]:
    return [state for state in release_definition(release)["States"].values() if state["Type"] == "Task"]


def test_state_machine_may_do_what_its_states_call(release: ModelRelease, resources: Find, statements: Find) -> None:
    del release
    (role,) = [name for name in resources("AWS::IAM::Role") if name.startswith("ReleaseRole")]
    allowed = {action for each in statements(role) for action in as_list(each["Action"])}
    for task in tasks():
        service, name = task["Resource"].split(":")[-2:]
        assert f"{service}:{name[0].upper()}{name[1:]}" in allowed
    assert not [action for action in allowed if "*" in action]


def test_state_machine_is_held_to_its_own_stack_its_group_its_pin_and_its_records(
    release: ModelRelease, stack: Stack, resources: Find, statements: Find
) -> None:
    del release
    (role,) = [name for name in resources("AWS::IAM::Role") if name.startswith("ReleaseRole")]
    for each in statements(role):
        places = json.dumps(each["Resource"])
        for action, part in (
            ("cloudformation:UpdateStack", f":stack/{stack.stack_name}/*"),
            ("sagemaker:UpdateModelPackage", "model-package/dev-late/*"),
            ("ssm:GetParameter", ":parameter/dev-late/pinned-version"),
            ("s3:PutObject", "/late/releases/*"),
        ):
            if action in as_list(each["Action"]):
                assert part in places
                assert places != '"*"'


ON_FLEET = replace(RELEASE, endpoint_name=None, component_name="dev-late")


@pytest.mark.parametrize("release", [RELEASE, ON_FLEET])
def test_tasks_fit_their_services(release: Release) -> None:
    found = tasks(release)
    assert len(found) == 12
    for task in found:
        service, name = task["Resource"].split(":")[-2:]
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        shape = model.operation_model(name[0].upper() + name[1:]).input_shape
        assert set(shape.required_members) <= set(task["Arguments"]) <= set(shape.members)


def test_component_that_is_being_scaled_is_waited_for() -> None:
    look = release_definition(ON_FLEET)["States"]["LookAtEndpoint"]
    assert look["Resource"].endswith(":sagemaker:describeInferenceComponent")
    assert look["Arguments"] == {"InferenceComponentName": "dev-late"}
    assert "InferenceComponentStatus" in look["Assign"]["endpoint"]


def test_every_state_is_reached_and_every_next_state_is_there() -> None:
    definition = release_definition(RELEASE)
    named = {definition["StartAt"]}
    for state in definition["States"].values():
        named |= {state.get("Next"), state.get("Default")}
        named |= {each["Next"] for each in [*state.get("Choices", []), *state.get("Catch", [])]}
    assert named - {None} == set(definition["States"])


def test_approvals_and_rejections_of_the_group_start_it_with_the_version(
    release: ModelRelease, resources: Find
) -> None:
    del release
    (rule,) = [each["Properties"] for each in resources("AWS::Events::Rule").values()]
    assert rule["EventPattern"]["detail"] == {
        "ModelPackageGroupName": ["dev-late"],
        "ModelApprovalStatus": ["Approved", "Rejected", "PendingManualApproval"],
    }
    (target,) = rule["Targets"]
    assert target["InputTransformer"]["InputPathsMap"] == {
        "detail-ModelApprovalStatus": "$.detail.ModelApprovalStatus",
        "detail-ModelPackageArn": "$.detail.ModelPackageArn",
    }


def test_released_version_can_be_looked_up_and_makes_every_release_a_change(
    release: ModelRelease, stack: Stack, resources: Find
) -> None:
    release.on_failure("Failed", targets.SnsTopic(sns.Topic(stack, "Topic")))
    parameters = {each["Properties"]["Name"]: each["Properties"] for each in resources("AWS::SSM::Parameter").values()}
    assert parameters["/dev-late-endpoint/released-version"]["Value"] == {"Ref": "Package"}
    assert set(parameters) == {"/dev-late-endpoint/released-version"}, "a pin is people's own"
    rules = [each["Properties"] for each in resources("AWS::Events::Rule").values()]
    assert any(each["EventPattern"]["source"] == ["aws.states"] for each in rules)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
