"""A SageMaker pipeline of jobs: its definition, the role that starts them, and the event of its failure."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from . import pipeline_schema
from .findings import acknowledge
from .job_role import JobRole, service_principal
from .pipeline_definition import PipelineDefinition
from .pipeline_grants import grant_steps

_VERBS = ("Create", "Describe", "Stop")
"""What is done with the jobs of a pipeline."""


class JobPipeline(Construct):
    """What the pipelines of the platform have in common; each kind adds the roles that its jobs work in.

    Parameters
    ----------
    pipeline_name
        A contract: triggers and people start it by its name.
    """

    def __init__(self, scope: Construct, construct_id: str, *, pipeline_name: str) -> None:
        super().__init__(scope, construct_id)
        self.pipeline_name = pipeline_name

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
        self._answer_executions(role)

    def grant_follow(self, role: iam.IRole) -> None:
        """Let a role see what becomes of executions, and of their steps."""
        pipelines = self._arns("pipeline", self.pipeline_name)
        iam.Grant.add_to_principal(
            grantee=role,
            actions=["sagemaker:DescribePipelineExecution", "sagemaker:ListPipelineExecutionSteps"],
            resource_arns=[f"{arn}/execution/*" for arn in pipelines],
        )
        self._answer_executions(role)

    def _answer_executions(self, role: iam.IRole) -> None:
        reason = "SageMaker names the executions of a pipeline itself"
        names = sorted({self.pipeline_name, self.pipeline_name.lower()})
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:pipeline/{name}/execution/*]": reason for name in names})

    def _define_pipeline(
        self, body: str, *, description: str, role: iam.Role, job_roles: Sequence[JobRole]
    ) -> sagemaker.CfnPipeline:
        pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=self.pipeline_name,
            pipeline_description=description,
            pipeline_definition={"PipelineDefinitionBody": body},
            role_arn=role.role_arn,
        )
        ready = [each.ready for each in job_roles]
        pipeline.node.add_dependency(*ready, role.node.find_child("DefaultPolicy"))
        return pipeline

    def _checked_body(self, definition: PipelineDefinition, role: iam.Role) -> str:
        """The definition's JSON, and its steps granted; raises `InvalidPipelineError` for what SageMaker refuses."""
        pipeline_schema.check(definition)
        grant_steps(role, definition)
        return definition.to_body()

    def _define_pipeline_role(self, kinds: Sequence[str], job_roles: Sequence[JobRole]) -> iam.Role:
        """A role that starts jobs of some kinds, as Processing, and hands them their roles."""
        role = iam.Role(self, "PipelineRole", assumed_by=service_principal(self, "sagemaker.amazonaws.com"))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[*(f"sagemaker:{verb}{kind}Job" for verb in _VERBS for kind in kinds), "sagemaker:AddTags"],
                resources=[
                    Stack.of(self).format_arn(service="sagemaker", resource=f"{kind.lower()}-job", resource_name="*")
                    for kind in kinds
                ],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[each.role_arn for each in job_roles],
                conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
            )
        )
        reason = "SageMaker names the jobs of a pipeline itself, so that its role can't"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{kind.lower()}-job/*]": reason for kind in kinds})
        return role

    def _arns(self, resource: str, name: str) -> list[str]:
        # SageMaker writes names in ARNs in lower case, and IAM compares them letter by letter.
        return [
            Stack.of(self).format_arn(service="sagemaker", resource=resource, resource_name=each)
            for each in sorted({name, name.lower()})
        ]
