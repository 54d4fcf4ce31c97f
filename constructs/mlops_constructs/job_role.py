"""Roles of jobs: one each, with nothing but its own logs and metrics until a store grants more."""

from __future__ import annotations

from aws_cdk import Acknowledgment, ArnFormat, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import Construct, IDependable


class JobRole(iam.Role):
    """A role that one service assumes, which may write its logs and metrics.

    Parameters
    ----------
    service
        The principal, as ``sagemaker.amazonaws.com``.
    log_groups
        Prefix of the log groups that the job creates and writes, as ``/aws/sagemaker/``.
    metrics_namespace
        The CloudWatch namespace that the job may publish to; without it the role may publish none.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: str,
        log_groups: str,
        metrics_namespace: str | None = None,
    ) -> None:
        super().__init__(scope, construct_id, assumed_by=iam.ServicePrincipal(service))
        logs = Stack.of(self).format_arn(
            service="logs",
            resource="log-group",
            resource_name=f"{log_groups}*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        writing = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        self.add_to_policy(iam.PolicyStatement(actions=writing, resources=[logs]))
        if metrics_namespace:
            # PutMetricData has no resources; the namespace is its only limit.
            self.add_to_policy(
                iam.PolicyStatement(
                    actions=["cloudwatch:PutMetricData"],
                    resources=["*"],
                    conditions={"StringEquals": {"cloudwatch:namespace": metrics_namespace}},
                )
            )

    @property
    def ready(self) -> IDependable:
        """What a resource that uses the role depends on: a job that starts before its role's policy can't assume it."""
        policy = self.node.try_find_child("DefaultPolicy")
        return policy or self


def acknowledge(construct: Construct, findings: dict[str, str]) -> None:
    """Answer findings of the security packs, each with its reason."""
    for finding, reason in findings.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))
