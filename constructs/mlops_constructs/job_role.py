"""Roles of jobs: one each, with nothing but its own logs and metrics until a store grants more."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct, IDependable

from .findings import acknowledge
from .pipeline_steps import JobNetwork

_SAY_WHOM_THEY_ACT_FOR = ("events", "sagemaker", "scheduler", "states")
"""The services whose guides show ``aws:SourceAccount`` in the trust policy of a role, against confused deputies."""


def service_principal(scope: Construct, service: str) -> iam.IPrincipal:
    """A service that may assume a role, as ``scheduler.amazonaws.com``.

    EventBridge, its Scheduler, SageMaker and Step Functions document that they say whom they act for, so they may do it
    for this account only. Glue doesn't for the roles of jobs, and what a service leaves out would lock it out as a
    condition.
    """
    if service.removesuffix(".amazonaws.com") not in _SAY_WHOM_THEY_ACT_FOR:
        return iam.ServicePrincipal(service)
    return iam.ServicePrincipal(service, conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}})


class JobRole(iam.Role):
    """A role that one service assumes, which may write its logs and metrics.

    Parameters
    ----------
    service
        The principal, as ``sagemaker.amazonaws.com``.
    log_groups
        Prefix of the log groups that the job creates and writes, as ``/aws/sagemaker/``.
    metrics_namespaces
        The CloudWatch namespaces that the job may publish to; none when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: str,
        log_groups: str,
        metrics_namespaces: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, construct_id, assumed_by=service_principal(scope, service))
        writing = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        self._log_groups = Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"{log_groups}*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        self.add_to_policy(iam.PolicyStatement(actions=writing, resources=[self._log_groups]))
        answers = {f"AwsSolutions-IAM5[Resource::*:log-group:{log_groups}*]": "Services name log groups and streams"}
        if metrics_namespaces:
            self.add_to_policy(
                iam.PolicyStatement(
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    conditions={"StringEquals": {"cloudwatch:namespace": list(metrics_namespaces)}},
                )
            )
            answers["AwsSolutions-IAM5[Resource::*]"] = (
                "PutMetricData knows no resources, so it is held to namespaces; nor do ECR's GetAuthorizationToken "
                "and EC2's Describe calls"
            )
        acknowledge(self, answers)

    @property
    def ready(self) -> IDependable:
        """What a resource that uses the role depends on: a job that starts before its role's policy can't assume it."""
        policy = self.node.try_find_child("DefaultPolicy")
        return policy or self

    def grant_log_encryption(self) -> None:
        """Let the job attach a key to the log groups that it creates."""
        self.add_to_policy(iam.PolicyStatement(actions=["logs:AssociateKmsKey"], resources=[self._log_groups]))

    def grant_disk_encryption(self, key: kms.IKey) -> None:
        """Let SageMaker hand a key to the disks of the machines that work in this role."""
        self.add_to_policy(
            iam.PolicyStatement(
                actions=["kms:CreateGrant"],
                resources=[key.key_arn],
                conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
            )
        )

    def grant_network(self, network: JobNetwork) -> None:
        """Let SageMaker attach the machines that work in this role to a VPC.

        The actions are those that SageMaker documents for its execution roles, each on the least that EC2 can tell
        apart.
        """
        stack = Stack.of(self)

        def arn(resource: str, name: str) -> str:
            # A shared VPC's subnets belong to another account.
            return stack.format_arn(service="ec2", account="*", resource=resource, resource_name=name)

        interfaces = stack.format_arn(service="ec2", resource="network-interface", resource_name="*")
        places = [arn("subnet", each) for each in network.subnet_ids]
        places += [arn("security-group", each) for each in network.security_group_ids]
        self.add_to_policy(iam.PolicyStatement(actions=["ec2:CreateNetworkInterface"], resources=[interfaces, *places]))
        self.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "ec2:CreateNetworkInterfacePermission",
                    "ec2:DeleteNetworkInterface",
                    "ec2:DeleteNetworkInterfacePermission",
                ],
                resources=[interfaces],
            )
        )
        self.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "ec2:DescribeDhcpOptions",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeVpcs",
                ],
                resources=["*"],
            )
        )
        reason = "EC2 names interfaces as they are made, and a shared VPC's account is known to nobody here"
        acknowledge(
            self,
            {
                "AwsSolutions-IAM5[Resource::*:network-interface/*]": reason,
                "AwsSolutions-IAM5[Resource::*:*:subnet/*]": reason,
                "AwsSolutions-IAM5[Resource::*:*:security-group/*]": reason,
            },
        )
