"""A fleet of an environment: machines that several models share."""

from __future__ import annotations

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from mlops_constructs.data_lake import DataLake
from mlops_constructs.inference_fleet import FleetSizing, InferenceFleet

from .blueprint import Blueprint
from .fleet_settings import Fleet
from .foundation_stack import FoundationStack


class FleetStack(Stack):
    """An endpoint without models. Models that are on it have stacks of their own, which come later and go earlier."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        blueprint: Blueprint,
        name: str,
        fleet: Fleet,
        foundation: FoundationStack,
        lake: DataLake,
    ) -> None:
        super().__init__(scope, construct_id, tags=blueprint.tags)
        self.fleet = InferenceFleet(
            self,
            "Fleet",
            endpoint_name=blueprint.fleet_name(name),
            image=foundation.image,
            key=foundation.key,
            sizing=FleetSizing(instance_type=fleet.instance_type, minimum=fleet.minimum, maximum=fleet.maximum),
            network=blueprint.network,
            logs=blueprint.logs,
        )
        # No guide says whether SageMaker fetches a component's artifact by the model's role or by the fleet's.
        for model in blueprint.settings.on_fleet(name):
            lake.grant_read(self.fleet.role, "artifacts", f"{model.name}/")
        CfnOutput(self, "EndpointName", value=self.fleet.endpoint_name)
