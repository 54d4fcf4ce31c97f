"""The registry: a group, who may fill and read it, and the event of an approval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns

from mlops_constructs.model_registry import ModelRegistry

Find = Callable[..., Any]


@pytest.fixture
def role(stack: Stack) -> iam.Role:
    return iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))


def registry(stack: Stack, name: str = "dev-late") -> ModelRegistry:
    return ModelRegistry(stack, "Registry", group_name=name, description="Is it late?")


def version_arn(group: str) -> dict[str, Any]:
    partition = {"Ref": "AWS::Partition"}
    return {"Fn::Join": ["", ["arn:", partition, f":sagemaker:eu-west-1:123456789012:model-package/{group}/*"]]}


def test_the_group_has_the_name_that_people_look_it_up_by(stack: Stack, resources: Find) -> None:
    registry(stack)
    (group,) = resources("AWS::SageMaker::ModelPackageGroup").values()
    assert group["Properties"]["ModelPackageGroupName"] == "dev-late"


def test_models_outlive_their_stack_unless_told_otherwise(stack: Stack, resources: Find) -> None:
    registry(stack)
    ModelRegistry(stack, "Other", group_name="other", description="", removal=RemovalPolicy.DESTROY)
    groups = resources("AWS::SageMaker::ModelPackageGroup").values()
    assert {each["Properties"]["ModelPackageGroupName"]: each["DeletionPolicy"] for each in groups} == {
        "dev-late": "Retain",
        "other": "Delete",
    }


@pytest.mark.parametrize("status", ["Approved", "Rejected", "PendingManualApproval"])
def test_a_status_of_this_group_s_versions_is_an_event_for_a_target(status: Any, stack: Stack, resources: Find) -> None:
    registry(stack).on_status(stack, "Release", [status], targets.SnsTopic(sns.Topic(stack, "Topic")))
    (rule,) = resources("AWS::Events::Rule").values()
    assert rule["Properties"]["EventPattern"] == {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {"ModelPackageGroupName": ["dev-late"], "ModelApprovalStatus": [status]},
    }


def test_registering_is_held_to_the_group_and_does_not_approve(stack: Stack, role: iam.Role, statements: Find) -> None:
    built = registry(stack)
    built.grant_register(role)
    (statement,) = statements()
    assert statement["Resource"] == [stack.resolve(built.group.attr_model_package_group_arn), version_arn("dev-late")]
    assert "sagemaker:CreateModelPackage" in statement["Action"]
    assert "sagemaker:UpdateModelPackage" not in statement["Action"]


def test_reading_changes_nothing(stack: Stack, role: iam.Role, statements: Find) -> None:
    registry(stack).grant_read(role)
    (statement,) = statements()
    assert all(action.startswith("sagemaker:Describe") for action in statement["Action"])


def test_capitals_in_a_group_s_name_are_covered_as_sagemaker_writes_them_in_arns(
    stack: Stack, role: iam.Role, statements: Find
) -> None:
    registry(stack, "DevLate").grant_read(role)
    (statement,) = statements()
    assert version_arn("DevLate") in statement["Resource"]
    assert version_arn("devlate") in statement["Resource"]


def test_a_group_is_shared_with_the_accounts_that_are_named_and_no_others(stack: Stack, resources: Find) -> None:
    ModelRegistry(stack, "Registry", group_name="DevLate", description="", shared_with=["111122223333"])
    registry_of_nobody_else = ModelRegistry(stack, "Own", group_name="own", description="")
    groups = resources("AWS::SageMaker::ModelPackageGroup")
    own = groups.pop(stack.get_logical_id(registry_of_nobody_else.group))
    assert "ModelPackageGroupPolicy" not in own["Properties"]
    (shared,) = groups.values()
    finding, using = shared["Properties"]["ModelPackageGroupPolicy"]["Statement"]
    for statement in (finding, using):
        account = {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":iam::111122223333:root"]]}
        assert statement["Principal"] == {"AWS": account}
        assert not any("*" in action for action in statement["Action"])
    assert version_arn("DevLate") in using["Resource"]
    assert version_arn("devlate") in using["Resource"]
