"""A SageMaker pipeline with the roles that it and its jobs need."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from . import pipeline_schema
from .findings import acknowledge
from .grants import grant_encrypt_decrypt
from .job_role import JobRole, service_principal
from .pipeline_definition import PipelineDefinition
from .pipeline_grants import grant_steps
from .pipeline_steps import JobNetwork
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
    network
        The VPC that the definition's jobs run in, so that their role may attach to it; none when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        pipeline_name: str,
        image: RuntimeImage,
        key: kms.IKey,
        network: JobNetwork | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.pipeline_name = pipeline_name
        self.job_role = self._define_job_role(image, key, network)
        self.pipeline_role = self._define_pipeline_role()

    def define(self, definition: PipelineDefinition, *, description: str) -> sagemaker.CfnPipeline:
        """Create the pipeline; raises `InvalidPipelineError` for what SageMaker would refuse."""
        pipeline_schema.check(definition)
        grant_steps(self.pipeline_role, definition)
        pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=self.pipeline_name,
            pipeline_description=description,
            pipeline_definition={"PipelineDefinitionBody": definition.to_body()},
            role_arn=self.pipeline_role.role_arn,
        )
        pipeline.node.add_dependency(self.job_role.ready, self.pipeline_role.node.find_child("DefaultPolicy"))
        return pipeline

    def on_failure(self, construct_id: str, target: events.IRuleTarget) -> events.Rule:
        """Send an event to a target when an execution fails."""
        stack = Stack.of(self)
        return events.Rule(
            self,
            construct_id,
            description=f"An execution of {self.pipeline_name} failed",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Model Building Pipeline Execution Status Change"],
                detail={
                    # SageMaker writes names in ARNs in lower case.
                    "pipelineArn": [
                        stack.format_arn(service="sagemaker", resource="pipeline", resource_name=name)
                        for name in sorted({self.pipeline_name, self.pipeline_name.lower()})
                    ],
                    "currentPipelineExecutionStatus": ["Failed"],
                },
            ),
            targets=[target],
        )

    def _define_job_role(self, image: RuntimeImage, key: kms.IKey, network: JobNetwork | None) -> JobRole:
        role = JobRole(
            self,
            "JobRole",
            service="sagemaker.amazonaws.com",
            log_groups="/aws/sagemaker/",
            metrics_namespaces=["/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"],
        )
        image.grant_pull(role)
        grant_encrypt_decrypt(key, role)
        role.grant_disk_encryption(key)
        if network:
            role.grant_network(network)
        return role

    def _define_pipeline_role(self) -> iam.Role:
        role = iam.Role(self, "PipelineRole", assumed_by=service_principal(self, "sagemaker.amazonaws.com"))
        verbs, kinds = ("Create", "Describe", "Stop"), ("Processing", "Training")
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[*(f"sagemaker:{verb}{kind}Job" for verb in verbs for kind in kinds), "sagemaker:AddTags"],
                resources=[
                    Stack.of(self).format_arn(service="sagemaker", resource=f"{kind.lower()}-job", resource_name="*")
                    for kind in kinds
                ],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.job_role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )
        reason = "SageMaker names the jobs of a pipeline itself, so that its role can't"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{kind.lower()}-job/*]": reason for kind in kinds})
        return role
