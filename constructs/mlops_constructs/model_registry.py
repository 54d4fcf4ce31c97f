"""Where training hands models over: a package group and the event of an approval."""

from __future__ import annotations

from typing import Literal

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .findings import acknowledge


class ModelRegistry(Construct):
    """The versions of one model, each with its metrics and its approval.

    Parameters
    ----------
    group_name
        A contract: delivery and people look models up by it.
    description
        What the model answers.
    removal
        What happens to the group and its versions when the stack goes. They are kept when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        group_name: str,
        description: str,
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, construct_id)
        self.group_name = group_name
        self.group = sagemaker.CfnModelPackageGroup(
            self, "Group", model_package_group_name=group_name, model_package_group_description=description
        )
        self.group.apply_removal_policy(removal)

    def on_status(
        self,
        construct_id: str,
        status: Literal["Approved", "Rejected", "PendingManualApproval"],
        target: events.IRuleTarget,
    ) -> events.Rule:
        """Send an event to a target when a version gets an approval status."""
        return events.Rule(
            self,
            construct_id,
            description=f"A model package of {self.group_name} is {status}",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Model Package State Change"],
                detail={"ModelPackageGroupName": [self.group_name], "ModelApprovalStatus": [status]},
            ),
            targets=[target],
        )

    def grant_register(self, role: iam.IRole) -> None:
        """Let a role register versions."""
        self._grant(role, ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage", "sagemaker:AddTags"])

    def grant_list(self, role: iam.IRole) -> None:
        """Let a role find versions, as the approved one that a new one is compared with, and look them up."""
        self._grant(role, ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"])

    def grant_read(self, role: iam.IRole) -> None:
        """Let a role look versions up."""
        self._grant(role, ["sagemaker:DescribeModelPackage", "sagemaker:DescribeModelPackageGroup"])

    def _grant(self, role: iam.IRole, actions: list[str]) -> None:
        # SageMaker writes names in ARNs in lower case, and IAM compares them letter by letter.
        names = sorted({self.group_name, self.group_name.lower()})
        versions = [
            Stack.of(self).format_arn(service="sagemaker", resource="model-package", resource_name=f"{name}/*")
            for name in names
        ]
        iam.Grant.add_to_principal(
            grantee=role, actions=actions, resource_arns=[self.group.attr_model_package_group_arn, *versions]
        )
        reason = "Versions are numbered as they come; the role is held to one group"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:model-package/{name}/*]": reason for name in names})
