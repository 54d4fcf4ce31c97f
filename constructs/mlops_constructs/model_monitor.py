"""A monitor of a model: a pipeline with one job, the schedule that starts it, and what the job may look at."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from .findings import acknowledge
from .job_pipeline import JobPipeline
from .job_role import JobRole, service_principal
from .pipeline_definition import PipelineDefinition
from .pipeline_steps import JobNetwork
from .runtime_image import RuntimeImage
from .runtime_role import define_runtime_role


class ModelMonitor(JobPipeline):
    """A pipeline that compares what a model is asked with what it was trained on; the schedule starts it by itself.

    Its job works in `job_role`, which may do nothing with data until a store grants it.

    Parameters
    ----------
    pipeline_name
        A contract: people start it by its name.
    image
        What the job runs.
    key
        Encrypts what the job writes, and its disk, but for one that the machine brings itself.
    network
        Subnets and security groups; SageMaker's own network when left out.
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
        super().__init__(scope, construct_id, pipeline_name=pipeline_name)
        self.job_role = self._define_job_role(image, key, network)
        self.pipeline_role = self._define_pipeline_role(["Processing"], [self.job_role])

    def define(self, definition: PipelineDefinition, *, description: str) -> sagemaker.CfnPipeline:
        """Create the pipeline; raises `InvalidPipelineError` for what SageMaker would refuse."""
        body = self._checked_body(definition, self.pipeline_role)
        self._pipeline = self._define_pipeline(
            body, description=description, role=self.pipeline_role, job_roles=[self.job_role]
        )
        return self._pipeline

    def on_schedule(self, construct_id: str, expression: str) -> scheduler.CfnSchedule:
        """Start the pipeline at the times of an EventBridge schedule, in UTC, as ``cron(0 10 * * ? *)``.

        Two runs at the same time don't disturb each other: each looks at its own window, and writes in its own folder.
        """
        role = iam.Role(self, f"{construct_id}Role", assumed_by=service_principal(self, "scheduler.amazonaws.com"))
        pipelines = self._arns("pipeline", self.pipeline_name)
        role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:StartPipelineExecution"], resources=pipelines))
        schedule = scheduler.CfnSchedule(
            self,
            construct_id,
            description=f"Starts {self.pipeline_name}",
            schedule_expression=expression,
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self._arns("pipeline", self.pipeline_name)[0],
                role_arn=role.role_arn,
                sage_maker_pipeline_parameters=scheduler.CfnSchedule.SageMakerPipelineParametersProperty(
                    pipeline_parameter_list=[]
                ),
            ),
        )
        schedule.node.add_dependency(role.node.find_child("DefaultPolicy"))
        schedule.add_resource_dependency(self._pipeline)
        return schedule

    def grant_look_at_endpoint(self, endpoint_name: str) -> None:
        """Let the job find out which version an endpoint serves, and since when."""
        stack, role = Stack.of(self), self.job_role

        def arn(resource: str, name: str) -> str:
            return stack.format_arn(service="sagemaker", resource=resource, resource_name=name)

        # SageMaker writes names in ARNs in lower case, and IAM compares them letter by letter.
        endpoints = [arn("endpoint", name) for name in sorted({endpoint_name, endpoint_name.lower()})]
        role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:DescribeEndpoint"], resources=endpoints))
        role.add_to_policy(
            iam.PolicyStatement(actions=["sagemaker:DescribeEndpointConfig"], resources=[arn("endpoint-config", "*")])
        )
        role.add_to_policy(iam.PolicyStatement(actions=["sagemaker:DescribeModel"], resources=[arn("model", "*")]))
        reason = "CloudFormation names the endpoint's configurations and models anew with each release"
        findings = ("endpoint-config/*", "model/*")
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:{each}]": reason for each in findings})

    def _define_job_role(self, image: RuntimeImage, key: kms.IKey, network: JobNetwork | None) -> JobRole:
        return define_runtime_role(
            self,
            "JobRole",
            log_groups="/aws/sagemaker/ProcessingJobs",
            metrics_namespaces=["/aws/sagemaker/ProcessingJobs"],
            image=image,
            key=key,
            network=network,
        )
