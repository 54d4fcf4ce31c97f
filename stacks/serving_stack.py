"""Serving of one model: an endpoint for the version that the stack's parameter names."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from mlops_constructs.autopilot_grants import grant_pull_autopilot
from mlops_constructs.data_lake import DataLake
from mlops_constructs.inference_endpoint import InferenceEndpoint
from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.model_release import ModelRelease

from .blueprint import Blueprint
from .endpoint_definition import endpoint_options
from .foundation_stack import FoundationStack
from .model_settings import Model
from .serving_settings import Serving
from .version_parameter import version_parameter


class ServingStack(Stack):
    """Deploys without an endpoint until `ModelPackageArn` names a version, which the first approval does by itself."""

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
        name = blueprint.name_of(model)
        package = version_parameter(
            self, "ModelPackageArn", registry, "ARN of the model package to serve; empty for no endpoint"
        )
        challenger = None
        if serving.challenger:
            challenger = version_parameter(
                self, "ChallengerPackageArn", registry, "ARN of the model package to try beside it; empty for none"
            )
        self.inference = InferenceEndpoint(
            self,
            "Inference",
            endpoint_name=name,
            model_package_arn=package,
            image=foundation.image,
            key=foundation.key,
            options=endpoint_options(blueprint, model, serving, foundation, lake, challenger),
            network=None if serving.serverless else blueprint.network,
            logs=blueprint.logs,
        )
        lake.grant_read(self.inference.role, "artifacts", f"{model.name}/")
        registry.grant_read(self.inference.role)
        # Whatever it is trained by today: a version that Autopilot found may be live until another is released.
        grant_pull_autopilot(self.inference.role)
        self.release = ModelRelease(
            self,
            "Release",
            name=f"{name}-endpoint",
            package=package,
            named=self.inference.released,
            registry=registry,
            records=lake.artifacts,
            prefix=f"{model.name}/releases/endpoint/",
            key=foundation.key,
            endpoint_name=name if serving.enabled else None,
            logs=blueprint.logs,
        )
        if serving.enabled:
            self.release.version.add_resource_dependency(self.inference.endpoint)
        self.release.on_failure("ReleaseFailed", foundation.alarm_target)
        CfnOutput(self, "ReleaseArn", value=self.release.state_machine_arn)
        if serving.enabled:
            CfnOutput(self, "EndpointName", value=name, condition=self.inference.released)
