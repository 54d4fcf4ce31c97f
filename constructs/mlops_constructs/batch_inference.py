"""Batch inference: a pipeline that asks the released version of a model, and nothing as long as there is none."""

from __future__ import annotations

from aws_cdk import CfnCondition, Fn
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .job_pipeline import JobPipeline
from .job_role import JobRole
from .pipeline_definition import PipelineDefinition
from .pipeline_steps import FailStep, JobNetwork
from .runtime_image import RuntimeImage
from .runtime_role import define_runtime_role


class BatchInference(JobPipeline):
    """A pipeline of three jobs: one selects rows, a transform job asks the model about them, one publishes the answers.

    Each has a role of its own: `selection_role` and `publication_role`, which are told to the definition, and
    `model_role`, in which the transform job works. None may do anything with data until a store grants it.

    The model has no name, so that CloudFormation can replace it. An execution that began before it is replaced keeps
    its name: if it hasn't come to the transform job by then, it fails there, and another one has to be started.

    Parameters
    ----------
    pipeline_name
        A contract: triggers and people start it by its name.
    model_package_arn
        The version to ask, usually a stack parameter; who sets it sees to its approval. With an empty text there is no
        model, and executions end with the reason; `released` is the condition.
    image
        What the jobs and the package's container run.
    key
        Encrypts what the jobs write, and their disks, but for those that an instance brings itself.
    network
        Subnets and security groups; SageMaker's own network when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        pipeline_name: str,
        model_package_arn: str,
        image: RuntimeImage,
        key: kms.IKey,
        network: JobNetwork | None = None,
    ) -> None:
        super().__init__(scope, construct_id, pipeline_name=pipeline_name)
        self.released = CfnCondition(
            self, "Released", expression=Fn.condition_not(Fn.condition_equals(model_package_arn, ""))
        )
        self.selection_role = self._define_role("SelectionRole", "ProcessingJobs", image, key, network)
        self.model_role = self._define_role("ModelRole", "TransformJobs", image, key, network)
        self.publication_role = self._define_role("PublicationRole", "ProcessingJobs", image, key, network)
        self.model = self._define_model(model_package_arn, network)
        self._job_roles = [self.selection_role, self.publication_role]
        self.pipeline_role = self._define_pipeline_role(["Processing"], self._job_roles)

    def define(self, definition: PipelineDefinition, *, description: str, unreleased: str) -> sagemaker.CfnPipeline:
        """Create the pipeline; raises `InvalidPipelineError` for what SageMaker would refuse.

        `unreleased` is what executions fail with as long as no version is released.
        """
        body = self._checked_body(definition, self.pipeline_role)
        waiting = PipelineDefinition(
            parameters=definition.parameters, steps=[FailStep(name="Unreleased", message=unreleased)]
        )
        either = Fn.condition_if(
            self.released.logical_id, body, self._checked_body(waiting, self.pipeline_role)
        ).to_string()
        return self._define_pipeline(
            either, description=description, role=self.pipeline_role, job_roles=self._job_roles
        )

    def _define_role(
        self, construct_id: str, kind: str, image: RuntimeImage, key: kms.IKey, network: JobNetwork | None
    ) -> JobRole:
        return define_runtime_role(
            self,
            construct_id,
            log_groups=f"/aws/sagemaker/{kind}",
            metrics_namespaces=[f"/aws/sagemaker/{kind}"],
            image=image,
            key=key,
            network=network,
        )

    def _define_model(self, model_package_arn: str, network: JobNetwork | None) -> sagemaker.CfnModel:
        vpc = None
        if network:
            vpc = sagemaker.CfnModel.VpcConfigProperty(
                security_group_ids=list(network.security_group_ids), subnets=list(network.subnet_ids)
            )
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.model_role.role_arn,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(model_package_name=model_package_arn),
            vpc_config=vpc,
        )
        model.cfn_options.condition = self.released
        model.node.add_dependency(self.model_role.ready)
        return model
