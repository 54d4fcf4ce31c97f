"""What a pipeline's role may do for the steps that its definition has, and for no others."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from .findings import acknowledge
from .pipeline_definition import PipelineDefinition
from .pipeline_steps import walk

_JOBS = {
    "AutoML": ("automl-job", ("CreateAutoMLJob", "DescribeAutoMLJob", "StopAutoMLJob")),
    "Model": ("model", ("CreateModel", "DescribeModel")),
    "Transform": ("transform-job", ("CreateTransformJob", "DescribeTransformJob", "StopTransformJob")),
    "Tuning": (
        "hyper-parameter-tuning-job",
        (
            "CreateHyperParameterTuningJob",
            "DescribeHyperParameterTuningJob",
            "ListTrainingJobsForHyperParameterTuningJob",
            "StopHyperParameterTuningJob",
        ),
    ),
}
"""By type of step: the resource that SageMaker creates for it, and the calls that the pipeline makes."""


def grant_steps(role: iam.Role, definition: PipelineDefinition) -> None:
    """Let a pipeline's role run the types of steps that only some pipelines have."""
    for kind in sorted({step.type for step in walk(definition.steps)} & _JOBS.keys()):
        resource, calls = _JOBS[kind]
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[*(f"sagemaker:{call}" for call in calls), "sagemaker:AddTags"],
                resources=[Stack.of(role).format_arn(service="sagemaker", resource=resource, resource_name="*")],
            )
        )
        reason = "SageMaker names the jobs of a pipeline itself, so that its role can't"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{resource}/*]": reason})
