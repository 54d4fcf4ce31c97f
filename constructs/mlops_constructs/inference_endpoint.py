"""A real-time endpoint for the released version of a model."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import CfnCondition, Fn
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .grants import grant_encrypt_decrypt, grant_write_objects
from .job_role import JobRole
from .log_retention import LogRetention
from .pipeline_steps import JobNetwork, has_local_disk
from .runtime_image import RuntimeImage

VARIANT = "live"
"""The name of the only variant. It never changes: scaling is tied to it."""

LOG_GROUPS = "/aws/sagemaker/Endpoints/"
"""What SageMaker puts before an endpoint's name to get that of its log group."""


@dataclass(frozen=True, kw_only=True)
class EndpointSizing:
    """Instances of an endpoint."""

    instance_type: str = "ml.m5.large"
    instance_count: int = 1

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        if not self.instance_type.startswith("ml."):
            raise ValueError(f"instance_type must start with ml., as ml.m5.large: {self.instance_type!r}")
        if self.instance_count < 1:
            raise ValueError(f"instance_count must be at least 1, got {self.instance_count}")


@dataclass(frozen=True, kw_only=True)
class DataCapture:
    """Which share of the requests is written to a bucket, under ``<endpoint>/<variant>/<date>``."""

    bucket: s3.IBucket
    percent: int = 100

    def __post_init__(self) -> None:
        """Refuse shares that don't exist."""
        if not 1 <= self.percent <= 100:
            raise ValueError(f"percent must lie between 1 and 100, got {self.percent}; leave the capture out for none")


class InferenceEndpoint(Construct):
    """An endpoint with a fixed name that serves one model package, and nothing as long as there is none.

    Model and endpoint configuration have no names, so that CloudFormation can replace them and the endpoint swaps from
    one to the other without downtime.

    Parameters
    ----------
    endpoint_name
        A contract: clients call it.
    model_package_arn
        The version to serve, usually a stack parameter; who sets it sees to its approval. With an empty text nothing is
        created.
    image
        What the package's container runs.
    key
        Encrypts the endpoint's disks, but for those that an instance brings itself, and the captured requests.
    capture
        Requests and answers to keep; none when left out.
    sizing
        Instances; one small one when left out.
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
        model_package_arn: str,
        image: RuntimeImage,
        key: kms.IKey,
        capture: DataCapture | None = None,
        sizing: EndpointSizing | None = None,
        network: JobNetwork | None = None,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.endpoint_name = endpoint_name
        self._key = key
        self._sizing = sizing or EndpointSizing()
        self.released = CfnCondition(
            self, "Released", expression=Fn.condition_not(Fn.condition_equals(model_package_arn, ""))
        )
        self.role = self._define_role(image, capture, network)
        self.model = self._define_model(model_package_arn, network)
        self.configuration = self._define_configuration(capture)
        self.endpoint = self._define_endpoint(logs or LogRetention())

    def _define_role(self, image: RuntimeImage, capture: DataCapture | None, network: JobNetwork | None) -> JobRole:
        role = JobRole(
            self,
            "Role",
            service="sagemaker.amazonaws.com",
            log_groups=f"{LOG_GROUPS}{self.endpoint_name}",
            metrics_namespaces=["/aws/sagemaker/Endpoints"],
        )
        image.grant_pull(role)
        grant_encrypt_decrypt(self._key, role)
        role.grant_disk_encryption(self._key)
        if network:
            role.grant_network(network)
        if capture:
            grant_write_objects(capture.bucket, role, f"{self.endpoint_name}/")
        return role

    def _define_model(self, model_package_arn: str, network: JobNetwork | None) -> sagemaker.CfnModel:
        vpc = None
        if network:
            vpc = sagemaker.CfnModel.VpcConfigProperty(
                security_group_ids=list(network.security_group_ids), subnets=list(network.subnet_ids)
            )
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=self.role.role_arn,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(model_package_name=model_package_arn),
            vpc_config=vpc,
        )
        model.cfn_options.condition = self.released
        model.node.add_dependency(self.role.ready)
        return model

    def _define_configuration(self, capture: DataCapture | None) -> sagemaker.CfnEndpointConfig:
        configuration = sagemaker.CfnEndpointConfig
        variant = configuration.ProductionVariantProperty(
            variant_name=VARIANT,
            model_name=self.model.attr_model_name,
            initial_instance_count=self._sizing.instance_count,
            instance_type=self._sizing.instance_type,
            initial_variant_weight=1,
        )
        capturing = None
        if capture:
            capturing = configuration.DataCaptureConfigProperty(
                enable_capture=True,
                initial_sampling_percentage=capture.percent,
                destination_s3_uri=f"s3://{capture.bucket.bucket_name}",
                kms_key_id=self._key.key_arn,
                capture_options=[
                    configuration.CaptureOptionProperty(capture_mode="Input"),
                    configuration.CaptureOptionProperty(capture_mode="Output"),
                ],
                capture_content_type_header=configuration.CaptureContentTypeHeaderProperty(
                    csv_content_types=["text/csv"], json_content_types=["application/json"]
                ),
            )
        resource = sagemaker.CfnEndpointConfig(
            self,
            "Configuration",
            production_variants=[variant],
            data_capture_config=capturing,
            kms_key_id=None if has_local_disk(self._sizing.instance_type) else self._key.key_arn,
        )
        resource.cfn_options.condition = self.released
        return resource

    def _define_endpoint(self, retention: LogRetention) -> sagemaker.CfnEndpoint:
        endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=self.endpoint_name,
            endpoint_config_name=self.configuration.attr_endpoint_config_name,
        )
        endpoint.cfn_options.condition = self.released
        group = retention.define(self, "Logs", name=f"{LOG_GROUPS}{self.endpoint_name}", key=self._key)
        endpoint.node.add_dependency(group, self.role.ready)
        return endpoint
