"""Serving of one model: an endpoint for the version that the stack's parameter names."""

from __future__ import annotations

from typing import Any

from aws_cdk import CfnOutput, CfnParameter, Stack
from aws_cdk import aws_kms as kms
from constructs import Construct

from mlops_constructs.data_lake import DataLake
from mlops_constructs.inference_endpoint import DataCapture, EndpointSizing, InferenceEndpoint
from mlops_constructs.log_retention import LogRetention
from mlops_constructs.model_registry import ModelRegistry
from mlops_constructs.pipeline_steps import JobNetwork
from mlops_constructs.runtime_image import RuntimeImage

from .settings import Model


class ServingStack(Stack):
    """Deploys without an endpoint until `ModelPackageArn` names a version; later values swap it in place."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        model: Model,
        name: str,
        lake: DataLake,
        image: RuntimeImage,
        registry: ModelRegistry,
        key: kms.IKey,
        logs: LogRetention,
        network: JobNetwork | None,
        **stack_options: Any,
    ) -> None:
        super().__init__(scope, construct_id, **stack_options)
        package = CfnParameter(
            self,
            "ModelPackageArn",
            type="String",
            default="",
            allowed_pattern=r"^$|^arn:[^:]+:sagemaker:[^:]+:\d{12}:model-package/.+$",
            description="ARN of the model package to serve; empty for no endpoint",
        )
        percent = model.serving.capture_percent
        self.inference = InferenceEndpoint(
            self,
            "Inference",
            endpoint_name=name,
            model_package_arn=package.value_as_string,
            image=image,
            key=key,
            capture=DataCapture(bucket=lake.capture, percent=percent) if percent else None,
            sizing=EndpointSizing(
                instance_type=model.serving.instance_type, instance_count=model.serving.instance_count
            ),
            network=network,
            logs=logs,
        )
        lake.grant_read(self.inference.role, "artifacts", f"{model.name}/")
        registry.grant_read(self.inference.role)
        CfnOutput(self, "EndpointName", value=self.inference.endpoint_name)
