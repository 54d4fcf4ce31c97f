"""A SageMaker pipeline with the roles that it and its jobs need."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from . import pipeline_schema
from .job_role import JobRole
from .pipeline_definition import PipelineDefinition
from .runtime_image import RuntimeImage


class TrainingPipeline(Construct):
    """A pipeline whose definition is checked at synth against SageMaker's own input shapes.

    It has two roles: `job_role` is what the jobs may do with data, `pipeline_role` starts the jobs and reads the
    reports that conditions are decided by. The definition needs the job role's ARN, so it is set with `define` once
    both exist.

    Parameters
    ----------
    pipeline_name
        A contract: triggers and people start it by its name.
    image
        What the jobs run.
    key
        Encrypts what the jobs write and the disks that they work on.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, pipeline_name: str, image: RuntimeImage, key: kms.IKey
    ) -> None:
        super().__init__(scope, construct_id)
        self.pipeline_name = pipeline_name
        self.job_role = JobRole(
            self,
            "JobRole",
            service="sagemaker.amazonaws.com",
            log_groups="/aws/sagemaker/",
            metrics_namespace="/aws/sagemaker/TrainingJobs",
        )
        self.pipeline_role = iam.Role(self, "PipelineRole", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        self._key = key
        image.grant_pull(self.job_role)
        key.grant_encrypt_decrypt(self.job_role)
        self._grant_running_jobs()

    def define(self, definition: PipelineDefinition, *, description: str) -> sagemaker.CfnPipeline:
        """Create the pipeline; raises `InvalidPipelineError` for what SageMaker would refuse."""
        pipeline_schema.check(definition)
        pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=self.pipeline_name,
            pipeline_description=description,
            pipeline_definition={"PipelineDefinitionBody": definition.to_body()},
            role_arn=self.pipeline_role.role_arn,
        )
        for role in (self.job_role, self.pipeline_role):
            policy = role.node.try_find_child("DefaultPolicy")
            if policy:
                pipeline.node.add_dependency(policy)
        return pipeline

    def _grant_running_jobs(self) -> None:
        stack = Stack.of(self)
        jobs = [
            stack.format_arn(service="sagemaker", resource=kind, resource_name="*")
            for kind in ("processing-job", "training-job")
        ]
        # SageMaker names the jobs of a pipeline itself, so the role can't name them.
        self.pipeline_role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    f"sagemaker:{verb}{job}Job"
                    for verb in ("Create", "Describe", "Stop")
                    for job in ("Processing", "Training")
                ]
                + ["sagemaker:AddTags"],
                resources=jobs,
            )
        )
        # SageMaker watches the jobs of a pipeline through rules of its own in EventBridge.
        self.pipeline_role.add_to_policy(
            iam.PolicyStatement(
                actions=["events:PutTargets", "events:PutRule", "events:DescribeRule"],
                resources=[
                    stack.format_arn(service="events", resource="rule", resource_name=name)
                    for name in (
                        "SageMakerPipelineExecutionEMRStepStatusUpdateRule",
                        "SageMakerPipelineExecutionProcessingJobStatusUpdateRule",
                        "SageMakerPipelineExecutionTrainingJobStatusUpdateRule",
                    )
                ],
            )
        )
        self.pipeline_role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.job_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )
