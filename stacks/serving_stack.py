"""Serving of one model: an endpoint for the version that the stack's parameter names."""

from __future__ import annotations

from aws_cdk import CfnOutput, CfnParameter, Stack
from constructs import Construct

from mlops_constructs.autopilot_grants import grant_pull_autopilot
from mlops_constructs.data_lake import DataLake
from mlops_constructs.inference_endpoint import DataCapture, EndpointSizing, InferenceEndpoint
from mlops_constructs.model_registry import ModelRegistry

from .blueprint import Blueprint
from .foundation_stack import FoundationStack
from .model_settings import Model, Serving


class ServingStack(Stack):
    """Deploys without an endpoint until `ModelPackageArn` names a version; later values swap it in place."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        model: Model,
        serving: Serving,
        foundation: FoundationStack,
        lake: DataLake,
        registry: ModelRegistry,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        package = CfnParameter(
            self,
            "ModelPackageArn",
            type="String",
            default="",
            allowed_pattern=rf"^$|^arn:[^:]+:sagemaker:[^:]+:\d{{12}}:model-package/{registry.group_name}/\d+$",
            constraint_description=f"must be empty, or the ARN of a version in the group {registry.group_name}",
            description="ARN of the model package to serve; empty for no endpoint",
        )
        percent = serving.capture_percent
        self.inference = InferenceEndpoint(
            self,
            "Inference",
            endpoint_name=blueprint.name_of(model),
            model_package_arn=package.value_as_string,
            image=foundation.image,
            key=foundation.key,
            capture=DataCapture(bucket=lake.capture, percent=percent) if percent else None,
            sizing=EndpointSizing(instance_type=serving.instance_type, instance_count=serving.instance_count),
            network=blueprint.network,
            logs=blueprint.logs,
        )
        lake.grant_read(self.inference.role, "artifacts", f"{model.name}/")
        registry.grant_read(self.inference.role)
        # Whatever it is trained by today: a version that Autopilot found may be live until another is released.
        grant_pull_autopilot(self.inference.role)
        CfnOutput(self, "EndpointName", value=self.inference.endpoint_name, condition=self.inference.released)
