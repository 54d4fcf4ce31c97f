"""What roles need beyond their own data when SageMaker Autopilot works in them, and when its models are served."""

from __future__ import annotations

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam

from .findings import acknowledge

REPOSITORIES = ("autogluon-inference", "autogluon-training", "sagemaker-sklearn-automl")
"""Repositories of AWS's own accounts, which differ by region, with the images of Autopilot."""
_JOBS = ("processing-job", "training-job", "transform-job")


def grant_autopilot(role: iam.Role) -> None:
    """Let Autopilot, which works in the role, start the jobs of its candidates in the same role.

    SageMaker documents no list of its own beside AmazonSageMakerFullAccess; these are the resources that
    DescribeAutoMLJob names as steps of a candidate, and the models in between. Nor does it document how it names them,
    so that the role reaches those of the whole account: only code that is reviewed works in it, and nobody but the
    pipeline may pass it.
    """
    stack = Stack.of(role)
    calls = [f"{verb}{kind}Job" for verb in ("Create", "Describe", "Stop") for kind in ("Processing", "Training")]
    calls += ["CreateTransformJob", "DescribeTransformJob", "StopTransformJob"]
    calls += ["CreateModel", "DescribeModel", "DeleteModel", "AddTags"]
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[f"sagemaker:{call}" for call in calls],
            resources=[
                stack.format_arn(service="sagemaker", resource=kind, resource_name="*") for kind in (*_JOBS, "model")
            ],
        )
    )
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role.role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )
    )
    reason = (
        "Autopilot names the jobs and models of its candidates itself, by rules that no guide tells; nobody but the "
        "pipeline may pass the role"
    )
    acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{kind}/*]": reason for kind in (*_JOBS, "model")})
    grant_pull_autopilot(role)


def grant_pull_autopilot(role: iam.Role) -> None:
    """Let a role pull Autopilot's images."""
    stack = Stack.of(role)
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=[
                stack.format_arn(
                    service="ecr", account="*", resource="repository", resource_name=name,
                    arn_format=ArnFormat.SLASH_RESOURCE_NAME,
                )
                for name in REPOSITORIES
            ],
        )
    )  # fmt: skip
    reason = "AWS's registries of Autopilot's images lie in accounts that differ by region"
    acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:*:repository/{name}]": reason for name in REPOSITORIES})
