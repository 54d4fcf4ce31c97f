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

_VERBS, _KINDS = ("Create", "Describe", "Stop"), ("Processing", "Training")
"""What is done with the jobs of a pipeline, and their kinds."""


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
        return events.Rule(
            self,
            construct_id,
            description=f"An execution of {self.pipeline_name} failed",
            event_pattern=events.EventPattern(
                source=["aws.sagemaker"],
                detail_type=["SageMaker Model Building Pipeline Execution Status Change"],
                detail={
                    "pipelineArn": self._arns("pipeline", self.pipeline_name),
                    "currentPipelineExecutionStatus": ["Failed"],
                },
            ),
            targets=[target],
        )

    def grant_run(self, role: iam.IRole) -> None:
        """Let a role start and stop executions, and read the pipeline and what became of its executions.

        Who starts the pipeline itself doesn't wait for an execution that runs, as a `TrainingTrigger` does.
        """
        pipelines = self._arns("pipeline", self.pipeline_name)
        reading = ["sagemaker:DescribePipeline", "sagemaker:ListPipelineExecutions"]
        iam.Grant.add_to_principal(
            grantee=role, actions=[*reading, "sagemaker:StartPipelineExecution"], resource_arns=pipelines
        )
        iam.Grant.add_to_principal(
            grantee=role,
            actions=[
                "sagemaker:DescribePipelineDefinitionForExecution",
                "sagemaker:DescribePipelineExecution",
                "sagemaker:ListPipelineExecutionSteps",
                "sagemaker:ListPipelineParametersForExecution",
                "sagemaker:StopPipelineExecution",
            ],
            resource_arns=[f"{arn}/execution/*" for arn in pipelines],
        )
        reason = "SageMaker names the executions of a pipeline itself"
        names = sorted({self.pipeline_name, self.pipeline_name.lower()})
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:pipeline/{name}/execution/*]": reason for name in names})

    def _arns(self, resource: str, name: str) -> list[str]:
        # SageMaker writes names in ARNs in lower case, and IAM compares them letter by letter.
        return [
            Stack.of(self).format_arn(service="sagemaker", resource=resource, resource_name=each)
            for each in sorted({name, name.lower()})
        ]

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
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[*(f"sagemaker:{verb}{kind}Job" for verb in _VERBS for kind in _KINDS), "sagemaker:AddTags"],
                resources=[
                    Stack.of(self).format_arn(service="sagemaker", resource=f"{kind.lower()}-job", resource_name="*")
                    for kind in _KINDS
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
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{kind.lower()}-job/*]": reason for kind in _KINDS})
        return role
