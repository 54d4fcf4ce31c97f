"""Serving of one model: an endpoint, or a component of a fleet, for the version that the stack's parameter names."""

from __future__ import annotations

from aws_cdk import CfnOutput, CfnResource, Stack
from constructs import Construct

from mlops_constructs.autopilot_grants import grant_pull_autopilot
from mlops_constructs.data_lake import DataLake
from mlops_constructs.inference_component import InferenceComponent
from mlops_constructs.inference_endpoint import InferenceEndpoint
from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.model_release import ModelRelease

from .blueprint import Blueprint
from .endpoint_definition import component_options, endpoint_options
from .foundation_stack import FoundationStack
from .model_settings import Model
from .serving_settings import Component, Serving
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
        if serving.component:
            self.inference: InferenceEndpoint | InferenceComponent = self._define_component(
                blueprint, model, serving, serving.component, foundation, package
            )
        else:
            self.inference = self._define_endpoint(blueprint, model, serving, foundation, lake, registry, package)
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
            endpoint_name=name if serving.enabled and not serving.component else None,
            component_name=name if serving.enabled and serving.component else None,
            logs=blueprint.logs,
        )
        if serving.enabled:
            self.release.version.add_resource_dependency(self._serves())
        self.release.on_failure("ReleaseFailed", foundation.alarm_target)
        CfnOutput(self, "ReleaseArn", value=self.release.state_machine_arn)
        if serving.enabled:
            self._tell(name, blueprint.fleet_name(serving.component.fleet) if serving.component else None)

    def _define_endpoint(
        self,
        blueprint: Blueprint,
        model: Model,
        serving: Serving,
        foundation: FoundationStack,
        lake: DataLake,
        registry: ModelRegistry,
        package: str,
    ) -> InferenceEndpoint:
        challenger = None
        if serving.challenger:
            challenger = version_parameter(
                self, "ChallengerPackageArn", registry, "ARN of the model package to try beside it; empty for none"
            )
        return InferenceEndpoint(
            self,
            "Inference",
            endpoint_name=blueprint.name_of(model),
            model_package_arn=package,
            image=foundation.image,
            key=foundation.key,
            options=endpoint_options(blueprint, model, serving, foundation, lake, challenger),
            network=None if serving.serverless else blueprint.network,
            logs=blueprint.logs,
        )

    def _define_component(
        self,
        blueprint: Blueprint,
        model: Model,
        serving: Serving,
        component: Component,
        foundation: FoundationStack,
        package: str,
    ) -> InferenceComponent:
        return InferenceComponent(
            self,
            "Component",
            component_name=blueprint.name_of(model),
            fleet_name=blueprint.fleet_name(component.fleet),
            model_package_arn=package,
            image=foundation.image,
            key=foundation.key,
            options=component_options(blueprint, model, serving, component, foundation),
            logs=blueprint.logs,
        )

    def _serves(self) -> CfnResource:
        """What has to be there for a version to be released."""
        inference = self.inference
        return inference.component if isinstance(inference, InferenceComponent) else inference.endpoint

    def _tell(self, name: str, fleet: str | None) -> None:
        released = self.inference.released
        CfnOutput(self, "EndpointName", value=fleet or name, condition=released)
        if fleet:
            CfnOutput(self, "InferenceComponentName", value=name, condition=released)
