"""Roles of jobs: their service for this account, their logs and metrics, and what is granted beyond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from mlops_constructs.job_role import JobRole, service_principal
from mlops_constructs.pipeline_steps import JobNetwork

Find = Callable[..., Any]


@pytest.fixture
def role(stack: Stack) -> JobRole:
    return JobRole(
        stack,
        "Role",
        service="sagemaker.amazonaws.com",
        log_groups="/aws/sagemaker/",
        metrics_namespaces=["/aws/sagemaker/TrainingJobs"],
    )


def allowed(statements: Find) -> dict[str, list[Any]]:
    return {action: each["Resource"] for each in statements() for action in each["Action"]}


def arn(service_and_resource: str, account: str = "123456789012") -> dict[str, Any]:
    service, resource = service_and_resource.split(":", 1)
    return {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, f":{service}:eu-west-1:{account}:{resource}"]]}


def test_glue_which_does_not_say_whom_it_acts_for_is_not_locked_out(stack: Stack, resources: Find) -> None:
    JobRole(stack, "Glue", service="glue.amazonaws.com", log_groups="/aws-glue/")
    (found,) = resources("AWS::IAM::Role").values()
    assert "Condition" not in found["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]


@pytest.mark.parametrize("service", ["events", "scheduler", "states"])
def test_services_that_say_whom_they_act_for_are_held_to_this_account(
    service: str, stack: Stack, resources: Find
) -> None:
    iam.Role(stack, "Starter", assumed_by=service_principal(stack, f"{service}.amazonaws.com"))
    (found,) = resources("AWS::IAM::Role").values()
    (trust,) = found["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_only_sagemaker_acting_for_this_account_may_assume_the_role(role: JobRole, resources: Find) -> None:
    (found,) = resources("AWS::IAM::Role").values()
    assert found["Properties"]["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Action": "sts:AssumeRole",
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        }
    ]
    assert "ManagedPolicyArns" not in found["Properties"]


def test_a_new_role_may_write_its_logs_and_metrics_and_nothing_else(role: JobRole, statements: Find) -> None:
    assert set(allowed(statements)) == {
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
        "cloudwatch:PutMetricData",
    }
    assert allowed(statements)["logs:PutLogEvents"] == [arn("logs:log-group:/aws/sagemaker/*")]


def test_metrics_are_held_to_their_namespace(role: JobRole, statements: Find) -> None:
    (metrics,) = [each for each in statements() if each["Action"] == ["cloudwatch:PutMetricData"]]
    assert metrics["Condition"] == {"StringEquals": {"cloudwatch:namespace": ["/aws/sagemaker/TrainingJobs"]}}


def test_a_role_without_namespaces_publishes_no_metrics(stack: Stack, statements: Find) -> None:
    JobRole(stack, "Quiet", service="glue.amazonaws.com", log_groups="/aws-glue/")
    assert "cloudwatch:PutMetricData" not in allowed(statements)


def test_disks_are_encrypted_by_the_service_alone(role: JobRole, key: kms.Key, statements: Find) -> None:
    role.grant_disk_encryption(key)
    (grant,) = [each for each in statements() if each["Action"] == ["kms:CreateGrant"]]
    assert grant["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    assert grant["Resource"] != ["*"]


def test_a_role_in_a_network_gets_the_documented_actions_on_its_places_alone(role: JobRole, statements: Find) -> None:
    role.grant_network(JobNetwork(subnet_ids=["subnet-1"], security_group_ids=["sg-1"]))
    actions = {action: where for action, where in allowed(statements).items() if action.startswith("ec2:")}
    interfaces = arn("ec2:network-interface/*")
    assert set(actions) == {
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
        "ec2:DeleteNetworkInterfacePermission",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    }
    places = [arn("ec2:security-group/sg-1", "*"), arn("ec2:subnet/subnet-1", "*")]
    found = actions["ec2:CreateNetworkInterface"]
    assert interfaces in found
    assert all(place in found for place in places)
    assert len(found) == 3
    for action in ("CreateNetworkInterfacePermission", "DeleteNetworkInterface", "DeleteNetworkInterfacePermission"):
        assert actions[f"ec2:{action}"] == [interfaces]
    assert {action for action, where in actions.items() if where == ["*"]} == {
        action for action in actions if action.startswith("ec2:Describe")
    }


def test_outside_of_a_network_a_role_has_no_ec2_permissions(role: JobRole, statements: Find) -> None:
    assert not [action for action in allowed(statements) if action.startswith("ec2:")]


def test_whoever_uses_the_role_waits_for_its_policy(role: JobRole, stack: Stack) -> None:
    policy = role.node.find_child("DefaultPolicy")
    assert role.ready.node.path == policy.node.path  # type: ignore[attr-defined]
