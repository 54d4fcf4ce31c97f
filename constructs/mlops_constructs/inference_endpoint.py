"""An endpoint for the released version of a model: real-time, asynchronous or serverless."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import ArnFormat, Aws, CfnCondition, Fn, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from .endpoint_options import CHALLENGER, VARIANT, Challenger, EndpointOptions
from .endpoint_release import ReleaseAlarms, ReleaseLimits, WatchedVariant, alarm_prefix
from .endpoint_scaling import VariantScaling
from .endpoint_sizing import EndpointSizing, ServerlessSizing
from .findings import acknowledge
from .grants import grant_encrypt_decrypt, grant_read_objects, grant_write_objects
from .job_role import JobRole
from .log_retention import LogRetention
from .pipeline_steps import JobNetwork, has_local_disk
from .runtime_image import RuntimeImage

LOG_GROUPS = "/aws/sagemaker/Endpoints/"
"""What SageMaker puts before an endpoint's name to get that of its log group."""


class InferenceEndpoint(Construct):
    """An endpoint with a fixed name that serves one model package, and nothing as long as there is none.

    Model and endpoint configuration have no names, so that CloudFormation can replace them and the endpoint goes from
    one to the other without downtime, as `EndpointOptions.release` says.

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
    options
        All else; one small instance, all at once, when left out.
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
        options: EndpointOptions | None = None,
        network: JobNetwork | None = None,
        logs: LogRetention | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.endpoint_name = endpoint_name
        self._key = key
        self._options = options or EndpointOptions()
        self._network = network
        self.released = self._is_named("Released", model_package_arn)
        self.role = self._define_role(image)
        group = (logs or LogRetention()).define(self, "Logs", name=f"{LOG_GROUPS}{endpoint_name}", key=key)
        if not self._options.enabled:
            return
        self._challenged = self._define_challenged()
        self._fleet = self._name_fleet(model_package_arn)
        self.model = self._define_model("Model", model_package_arn, VARIANT, self.released)
        self._challenger = self._define_challenger()
        self.configuration = self._define_configuration()
        self.alarms = self._define_alarms()
        self._watch_challenger()
        self.endpoint = self._define_endpoint()
        self.endpoint.node.add_dependency(group, self.role.ready)
        self._define_scaling()

    def _is_named(self, construct_id: str, package: str) -> CfnCondition:
        return CfnCondition(self, construct_id, expression=Fn.condition_not(Fn.condition_equals(package, "")))

    def _define_role(self, image: RuntimeImage) -> JobRole:
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
        self._grant_alarms(role)
        if self._network:
            role.grant_network(self._network)
        if self._options.capture:
            grant_write_objects(self._options.capture.bucket, role, f"{self.endpoint_name}/")
        asynchronous = self._options.asynchronous
        if asynchronous:
            grant_read_objects(asynchronous.bucket, role, f"{asynchronous.prefix}requests/")
            grant_write_objects(
                asynchronous.bucket, role, f"{asynchronous.prefix}answers/", f"{asynchronous.prefix}failures/"
            )
        return role

    def _grant_alarms(self, role: JobRole) -> None:
        """Let the role of the model look at the alarms, as SageMaker does by it."""
        alarms = Stack.of(self).format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name=f"{alarm_prefix(self.endpoint_name)}*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        role.add_to_policy(iam.PolicyStatement(actions=["cloudwatch:DescribeAlarms"], resources=[alarms]))
        reason = "Each release has alarms of its own, whose names begin alike"
        acknowledge(role, {f"AwsSolutions-IAM5[Resource::*:alarm:{alarm_prefix(self.endpoint_name)}*]": reason})

    def _define_model(
        self, construct_id: str, package: str, variant: str, condition: CfnCondition
    ) -> sagemaker.CfnModel:
        vpc, metrics = None, self._options.metrics
        if self._network:
            vpc = sagemaker.CfnModel.VpcConfigProperty(
                security_group_ids=list(self._network.security_group_ids), subnets=list(self._network.subnet_ids)
            )
        fleet = self._fleet if variant == VARIANT else Fn.join("-", [_version(package), self._options.shape, variant])
        variables = metrics.variables(self.endpoint_name, variant, fleet) if metrics else None
        model = sagemaker.CfnModel(
            self,
            construct_id,
            execution_role_arn=self.role.role_arn,
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                model_package_name=package, environment=variables
            ),
            vpc_config=vpc,
        )
        model.cfn_options.condition = condition
        model.node.add_dependency(self.role.ready)
        return model

    def _define_challenged(self) -> CfnCondition | None:
        challenger = self._options.challenger
        if challenger is None:
            return None
        named = self._is_named("ChallengerNamed", challenger.model_package_arn)
        both = Fn.condition_and(self.released, named)  # type: ignore[arg-type]  # jsii's types miss that they fit
        return CfnCondition(self, "Challenged", expression=both)

    def _name_fleet(self, package: str) -> str:
        """What no two endpoint configurations share that follow each other: versions and shape.

        The name of a configuration would say it, but its containers can't know that before it is made. An alarm on the
        shift of a version would be on when the same version is released in another shape, and take that back.
        """
        challenger, parts = self._options.challenger, [_version(package), self._options.shape]
        if challenger and self._challenged:
            second = Fn.condition_if(self._challenged.logical_id, _version(challenger.model_package_arn), "0")
            parts.append(second.to_string())
        return Fn.join("-", parts)

    def _define_challenger(self) -> sagemaker.CfnModel | None:
        challenger = self._options.challenger
        if challenger is None or self._challenged is None:
            return None
        return self._define_model("Challenger", challenger.model_package_arn, CHALLENGER, self._challenged)

    def _define_configuration(self) -> sagemaker.CfnEndpointConfig:
        sizing = self._options.sizing
        on_disk = isinstance(sizing, EndpointSizing) and not has_local_disk(sizing.instance_type)
        resource = sagemaker.CfnEndpointConfig(
            self,
            "Configuration",
            production_variants=self._production_variants(),
            data_capture_config=self._capturing(),
            async_inference_config=self._asynchronous(),
            kms_key_id=self._key.key_arn if on_disk else None,
        )
        challenger = self._options.challenger
        if challenger and challenger.mode == "shadow":
            assert self._challenged is not None
            shadow = self._challenging(challenger, weight=challenger.percent)
            shadows = Fn.condition_if(self._challenged.logical_id, [shadow], Aws.NO_VALUE)
            resource.add_property_override("ShadowProductionVariants", shadows)
        resource.cfn_options.condition = self.released
        return resource

    def _production_variants(self) -> Sequence[Any]:
        sizing, challenger = self._options.sizing, self._options.challenger
        variant = sagemaker.CfnEndpointConfig.ProductionVariantProperty
        if isinstance(sizing, ServerlessSizing):
            serverless = sagemaker.CfnEndpointConfig.ServerlessConfigProperty(
                memory_size_in_mb=sizing.memory_mb,
                max_concurrency=sizing.max_concurrency,
                provisioned_concurrency=sizing.provisioned_concurrency,
            )
            return [
                variant(
                    variant_name=VARIANT,
                    model_name=self.model.attr_model_name,
                    initial_variant_weight=1,
                    serverless_config=serverless,
                )
            ]
        # shadows get the ratio of their weight to that of the variant that they follow
        others = challenger.percent if challenger and challenger.mode == "split" else 0
        live = variant(
            variant_name=VARIANT,
            model_name=self.model.attr_model_name,
            initial_instance_count=sizing.instance_count,
            instance_type=sizing.instance_type,
            initial_variant_weight=100 - others if challenger else 1,
        )
        if challenger is None or challenger.mode == "shadow":
            return [live]
        assert self._challenged is not None
        second = self._challenging(challenger, weight=others)
        return [live, Fn.condition_if(self._challenged.logical_id, second, Aws.NO_VALUE)]

    def _challenging(self, challenger: Challenger, *, weight: int) -> dict[str, Any]:
        assert self._challenger is not None
        assert isinstance(self._options.sizing, EndpointSizing)
        return {
            "VariantName": CHALLENGER,
            "ModelName": self._challenger.attr_model_name,
            "InitialInstanceCount": challenger.instance_count,
            "InstanceType": self._options.sizing.instance_type,
            "InitialVariantWeight": weight,
        }

    def _capturing(self) -> sagemaker.CfnEndpointConfig.DataCaptureConfigProperty | None:
        configuration, capture = sagemaker.CfnEndpointConfig, self._options.capture
        if capture is None:
            return None
        return configuration.DataCaptureConfigProperty(
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

    def _asynchronous(self) -> sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty | None:
        configuration, asked = sagemaker.CfnEndpointConfig, self._options.asynchronous
        if asked is None:
            return None
        place = f"s3://{asked.bucket.bucket_name}/{asked.prefix}"
        return configuration.AsyncInferenceConfigProperty(
            output_config=configuration.AsyncInferenceOutputConfigProperty(
                s3_output_path=f"{place}answers", s3_failure_path=f"{place}failures", kms_key_id=self._key.key_arn
            ),
            client_config=configuration.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=asked.max_concurrent
            ),
        )

    def _define_alarms(self) -> list[cloudwatch.Alarm]:
        if isinstance(self._options.sizing, ServerlessSizing):
            return []  # it has no fleets, of which one could be watched
        metrics = self._options.metrics
        shift = metrics.shift(self.endpoint_name, self._fleet) if metrics else None
        return self._watch("Alarms", VARIANT, self._options.limits, self.released, shift)

    def _watch_challenger(self) -> None:
        """Tell of one that answers a share of the requests; it is nobody's release, so that it takes nothing back."""
        challenger = self._options.challenger
        if challenger and challenger.mode == "split":
            assert self._challenged is not None
            self._watch("ChallengerAlarms", CHALLENGER, self._options.limits, self._challenged)

    def _watch(
        self,
        construct_id: str,
        variant: str,
        limits: ReleaseLimits,
        condition: CfnCondition,
        shift: cloudwatch.Metric | None = None,
    ) -> list[cloudwatch.Alarm]:
        watched = WatchedVariant(
            endpoint_name=self.endpoint_name,
            variant_name=variant,
            configuration_name=self.configuration.attr_endpoint_config_name,
            shift=shift,
            counts_requests=self._options.asynchronous is None,
        )
        return ReleaseAlarms(
            self, construct_id, limits=limits, variant=watched, condition=condition, topic=self._options.topic
        ).alarms

    def _define_endpoint(self) -> sagemaker.CfnEndpoint:
        in_parts = isinstance(self._options.sizing, EndpointSizing)
        kept = sagemaker.CfnEndpoint.VariantPropertyProperty
        # counts that scaling has set stay; weights and capture are those of the new configuration
        excluded = [kept(variant_property_type=name) for name in ("DesiredWeight", "DataCaptureConfig")]
        scaled = self._options.scaling is not None
        endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=self.endpoint_name,
            endpoint_config_name=self.configuration.attr_endpoint_config_name,
            deployment_config=self._options.release.deployment(self.alarms) if in_parts else None,
            retain_all_variant_properties=True if scaled else None,
            exclude_retained_variant_properties=excluded if scaled else None,
        )
        endpoint.cfn_options.condition = self.released
        return endpoint

    def _define_scaling(self) -> None:
        scaling, asynchronous = self._options.scaling, self._options.asynchronous
        if scaling is None:
            return
        VariantScaling(
            self,
            "Scaling",
            endpoint=self.endpoint,
            endpoint_name=self.endpoint_name,
            variant_name=VARIANT,
            scaling=scaling,
            condition=self.released,
            backlog=asynchronous.backlog_per_instance if asynchronous else None,
        )


def _version(package: str) -> str:
    """The number of a version, which is the end of its ARN; an ARN has one slash before the group and one after."""
    return Fn.select(2, Fn.split("/", package))
