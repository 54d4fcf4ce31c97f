"""A SageMaker pipeline with the roles that it and its jobs need."""

from __future__ import annotations

from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .job_pipeline import JobPipeline
from .job_role import JobRole
from .pipeline_definition import PipelineDefinition
from .pipeline_steps import JobNetwork
from .runtime_image import RuntimeImage
from .runtime_role import define_runtime_role


class TrainingPipeline(JobPipeline):
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
        super().__init__(scope, construct_id, pipeline_name=pipeline_name)
        self.job_role = self._define_job_role(image, key, network)
        self.pipeline_role = self._define_pipeline_role(["Processing", "Training"], [self.job_role])

    def define(self, definition: PipelineDefinition, *, description: str) -> sagemaker.CfnPipeline:
        """Create the pipeline; raises `InvalidPipelineError` for what SageMaker would refuse."""
        body = self._checked_body(definition, self.pipeline_role)
        return self._define_pipeline(body, description=description, role=self.pipeline_role, job_roles=[self.job_role])

    def _define_job_role(self, image: RuntimeImage, key: kms.IKey, network: JobNetwork | None) -> JobRole:
        return define_runtime_role(
            self,
            "JobRole",
            log_groups="/aws/sagemaker/",
            metrics_namespaces=["/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"],
            image=image,
            key=key,
            network=network,
        )
