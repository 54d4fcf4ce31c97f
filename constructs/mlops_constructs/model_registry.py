"""Where training hands models over: a package group, who may use it, and the event of an approval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .findings import acknowledge

Status = Literal["Approved", "Rejected", "PendingManualApproval"]


class ModelRegistry(Construct):
    """The versions of one model, each with its metrics and its approval, and the version that is pinned.

    The pin is the SSM parameter `pin_name`, with the ARN of the version that serves whatever is approved. People make
    and delete it; CloudFormation doesn't know it, as it would write a value of its own with the next change of a tag.

    Parameters
    ----------
    group_name
        A contract: delivery and people look models up by it.
    description
        What the model answers.
    removal
        What happens to the group and its versions when the stack goes. They are kept when left out.
    shared_with
        Other accounts, by their twelve digits, that may look versions up and make models of them; none when left out.
        Approving, registering and deleting stays here. A version names an image and an artifact, which have policies of
        their own: see `RuntimeImage.share` and `DataLake.share`. Source: "Deploy a Model Version from a Different
        Account" in the developer guide, less UpdateModelPackage.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        group_name: str,
        description: str,
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
        shared_with: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, construct_id)
        self.group_name = group_name
        self.group = sagemaker.CfnModelPackageGroup(
            self,
            "Group",
            model_package_group_name=group_name,
            model_package_group_description=description,
            model_package_group_policy=self._sharing(shared_with) if shared_with else None,
        )
        self.group.apply_removal_policy(removal)
        self.pin_name = f"/{group_name}/pinned-version"

    def on_status(
        self, scope: Construct, construct_id: str, statuses: Sequence[Status], target: events.IRuleTarget
    ) -> events.Rule:
        """Send an event to a target when a version has, or gets, one of some approval statuses."""
        return events.Rule(
            scope,
            construct_id,
            description=f"A model package of {self.group_name} is {' or '.join(statuses)}",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Model Package State Change"],
                detail={"ModelPackageGroupName": [self.group_name], "ModelApprovalStatus": list(statuses)},
            ),
            targets=[target],
        )

    def grant_register(self, role: iam.IRole) -> None:
        """Let a role register versions."""
        self._grant(role, ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage", "sagemaker:AddTags"])

    def grant_approve(self, role: iam.IRole) -> None:
        """Let a role give versions another approval status."""
        self._grant(role, ["sagemaker:UpdateModelPackage"])

    def grant_list(self, role: iam.IRole) -> None:
        """Let a role find versions, as the approved one that a new one is compared with, and look them up."""
        self._grant(role, ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"])

    def grant_read(self, role: iam.IRole) -> None:
        """Let a role look versions up."""
        self._grant(role, ["sagemaker:DescribeModelPackage", "sagemaker:DescribeModelPackageGroup"])

    def _sharing(self, accounts: Sequence[str]) -> iam.PolicyDocument:
        principals = [iam.AccountPrincipal(account) for account in accounts]
        # the group's own ARN attribute would be a circle: the policy is a property of the group
        groups = self._arns("model-package-group")
        return iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    sid="FindTheGroup",
                    principals=principals,
                    actions=["sagemaker:DescribeModelPackageGroup", "sagemaker:ListModelPackages"],
                    resources=groups,
                ),
                iam.PolicyStatement(
                    sid="UseItsVersions",
                    principals=principals,
                    actions=["sagemaker:CreateModel", "sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"],
                    resources=self._arns("model-package", "/*"),
                ),
            ]
        )

    def _arns(self, resource: str, rest: str = "") -> list[str]:
        """ARNs of the group or of its versions.

        SageMaker writes names in ARNs in lower case, and IAM compares them letter by letter.
        """
        stack = Stack.of(self)
        names = sorted({self.group_name, self.group_name.lower()})
        return [
            stack.format_arn(service="sagemaker", resource=resource, resource_name=f"{name}{rest}") for name in names
        ]

    def _grant(self, role: iam.IRole, actions: list[str]) -> None:
        iam.Grant.add_to_principal(
            grantee=role,
            actions=actions,
            resource_arns=[self.group.attr_model_package_group_arn, *self._arns("model-package", "/*")],
        )
        reason = "Versions are numbered as they come; the role is held to one group"
        names = {self.group_name, self.group_name.lower()}
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:model-package/{name}/*]": reason for name in sorted(names)})
