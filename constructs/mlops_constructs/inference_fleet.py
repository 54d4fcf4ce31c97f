"""Machines that many models share: an endpoint without a model, on which inference components are placed.

Source: "Deploy models with inference components" in SageMaker's developer guide.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .endpoint_options import VARIANT
from .inference_endpoint import LOG_GROUPS
from .job_role import JobRole
from .log_retention import LogRetention
from .pipeline_steps import JobNetwork, has_local_disk
from .runtime_image import RuntimeImage
from .runtime_role import define_runtime_role


@dataclass(frozen=True, kw_only=True)
class FleetSizing:
    """Machines of a fleet, which SageMaker adds and takes away between the bounds as copies of models need them."""

    instance_type: str = "ml.m5.large"
    minimum: int = 1
    maximum: int = 1

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        if not self.instance_type.startswith("ml."):
            raise ValueError(f"instance_type must start with ml., as ml.m5.large: {self.instance_type!r}")
        if not 1 <= self.minimum <= self.maximum:
            raise ValueError(f"minimum must lie between 1 and the maximum, {self.maximum}, got {self.minimum}")


class InferenceFleet(Construct):
    """An endpoint with a fixed name and no model of its own; `InferenceComponent` puts models on it.

    Captures are the endpoint's, where requests of all its models would lie in one folder: a fleet has none.

    Parameters
    ----------
    endpoint_name
        A contract: clients call it, and name the component beside it.
    image
        What the components' containers run.
    key
        Encrypts the disks of machines, but for those that an instance brings itself.
    sizing
        One small machine when left out.
    network
        Subnets and security groups; SageMaker's own network when left out.
    logs
        How long logs are kept: 90 days, also when the stack goes, when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        endpoint_name: str,
        image: RuntimeImage,
        key: kms.IKey,
        sizing: FleetSizing | None = None,
        network: JobNetwork | None = None,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.endpoint_name = endpoint_name
        self._sizing = sizing or FleetSizing()
        self.role = self._define_role(image, key, network)
        group = (logs or LogRetention()).define(self, "Logs", name=f"{LOG_GROUPS}{endpoint_name}", key=key)
        self.configuration = self._define_configuration(key, network)
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=endpoint_name,
            endpoint_config_name=self.configuration.attr_endpoint_config_name,
        )
        self.endpoint.node.add_dependency(group, self.role.ready)

    def _define_role(self, image: RuntimeImage, key: kms.IKey, network: JobNetwork | None) -> JobRole:
        return define_runtime_role(
            self,
            "Role",
            log_groups=f"{LOG_GROUPS}{self.endpoint_name}",
            metrics_namespaces=["/aws/sagemaker/Endpoints"],
            image=image,
            key=key,
            network=network,
        )

    def _define_configuration(self, key: kms.IKey, network: JobNetwork | None) -> sagemaker.CfnEndpointConfig:
        configuration, sizing = sagemaker.CfnEndpointConfig, self._sizing
        managed, vpc = None, None
        if sizing.minimum < sizing.maximum:
            managed = configuration.ManagedInstanceScalingProperty(
                status="ENABLED", min_instance_count=sizing.minimum, max_instance_count=sizing.maximum
            )
        if network:
            vpc = configuration.VpcConfigProperty(
                security_group_ids=list(network.security_group_ids), subnets=list(network.subnet_ids)
            )
        resource = configuration(
            self,
            "Configuration",
            execution_role_arn=self.role.role_arn,
            production_variants=[
                configuration.ProductionVariantProperty(
                    variant_name=VARIANT,
                    instance_type=sizing.instance_type,
                    initial_instance_count=sizing.minimum,
                    initial_variant_weight=1,
                    managed_instance_scaling=managed,
                    routing_config=configuration.RoutingConfigProperty(routing_strategy="LEAST_OUTSTANDING_REQUESTS"),
                )
            ],
            kms_key_id=None if has_local_disk(sizing.instance_type) else key.key_arn,
            vpc_config=vpc,
        )
        resource.node.add_dependency(self.role.ready)
        return resource
