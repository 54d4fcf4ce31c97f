"""The shapes of endpoints: which parts of a configuration go together.

Sources: the API reference of CreateEndpointConfig, and the SageMaker AI Developer Guide on what serverless and
asynchronous endpoints don't have:
https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints-update.html
https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.workspace import Record, Workspace

MEMORY_STEP = 1024


def check_shape(config: Record, model_of: Callable[[str], Mapping[str, Any]]) -> None:
    """Refuse an endpoint configuration, a request of CreateEndpointConfig, that asks for what doesn't go together.

    `model_of` returns a model by its name.
    """
    _check_models(config)
    if "AsyncInferenceConfig" in config:
        _check_async(config)
    if is_serverless(config):
        _check_serverless(config, model_of)


def is_serverless(config: Mapping[str, Any]) -> bool:
    """Say whether a configuration has a serverless variant."""
    return any("ServerlessConfig" in variant for variant in config["ProductionVariants"])


def check_update(workspace: Workspace, before: Mapping[str, Any], after: Mapping[str, Any], endpoint: str) -> None:
    """Refuse an update from one configuration to another that SageMaker doesn't do."""
    if is_serverless(after) and not is_serverless(before):
        raise _refusal(
            "an endpoint with instances can't become serverless: "
            f"{before['EndpointConfigName']} has instances and {after['EndpointConfigName']} has not"
        )
    types = {variant["VariantName"]: variant.get("InstanceType") for variant in after["ProductionVariants"]}
    changed = {
        variant["VariantName"]
        for variant in before["ProductionVariants"]
        if types.get(variant["VariantName"], "") != variant.get("InstanceType")
    }
    scaled = changed & workspace.context.scaled_variants(workspace.account, workspace.region, endpoint)
    if scaled:
        raise _refusal(
            f"The variant(s) {sorted(scaled)} must be deregistered as a scalable target with AWS Auto Scaling before "
            "they can be removed or have their instance type updated."
        )


def _check_models(config: Record) -> None:
    """Without models, a configuration is one for inference components: those need its role and its machines."""
    variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
    hosts = [variant for variant in variants if "ModelName" not in variant]
    for variant in hosts:
        name = variant["VariantName"]
        if "ExecutionRoleArn" not in config:
            raise _refusal(
                f"variant {name!r} has no ModelName: name one, or for components the configuration's ExecutionRoleArn"
            )
        if len(variants) != 1 or "ServerlessConfig" in variant or "AsyncInferenceConfig" in config:
            raise _refusal(f"variant {name!r} is for inference components, and so the only one, with instances")
        _check_managed(variant)


def _check_managed(variant: Record) -> None:
    """Instances that SageMaker adds and takes away between bounds; here they are numbers, and stay as they are."""
    managed = variant.get("ManagedInstanceScaling", {})
    count = variant.get("InitialInstanceCount", 1)
    least, most = managed.get("MinInstanceCount", 0), managed.get("MaxInstanceCount", count)
    if not least <= count <= most:
        raise _refusal(
            f"variant {variant['VariantName']!r} must begin with {least} to {most} instances, as its "
            f"ManagedInstanceScaling says, got {count}"
        )


def _check_async(config: Record) -> None:
    if len(config["ProductionVariants"]) != 1 or config.get("ShadowProductionVariants"):
        raise _refusal("an asynchronous endpoint has one production variant, and no shadow variant")
    output = config["AsyncInferenceConfig"]["OutputConfig"]
    for name in ("S3OutputPath", "S3FailurePath"):
        if not output.get(name, "s3://").startswith("s3://"):
            raise _refusal(f"{name} must be an S3 URI, got {output[name]}")


def _check_serverless(config: Record, model_of: Callable[[str], Mapping[str, Any]]) -> None:
    variants = config["ProductionVariants"]
    if len(variants) != 1:
        raise _refusal(f"a serverless endpoint has one production variant, got {len(variants)}")
    for name in ("ShadowProductionVariants", "DataCaptureConfig", "AsyncInferenceConfig", "VpcConfig"):
        if config.get(name):
            raise _refusal(f"{name} isn't supported for serverless endpoints: leave it out, or use instances")
    variant, serverless = variants[0], variants[0]["ServerlessConfig"]
    for name in ("InstanceType", "InitialInstanceCount"):
        if name in variant:
            raise _refusal(f"variant {variant['VariantName']} has a ServerlessConfig, and so no {name}")
    memory, most = serverless["MemorySizeInMB"], serverless["MaxConcurrency"]
    if memory % MEMORY_STEP:
        raise _refusal(f"MemorySizeInMB must be a multiple of {MEMORY_STEP}, got {memory}")
    provisioned = serverless.get("ProvisionedConcurrency", 0)
    if provisioned > most:
        raise _refusal(f"ProvisionedConcurrency {provisioned} must not be above MaxConcurrency {most}")
    model = model_of(variant["ModelName"]) if "ModelName" in variant else {}
    for name in ("VpcConfig", "EnableNetworkIsolation"):
        if model.get(name):
            raise _refusal(f"model {variant['ModelName']} has {name}, which serverless endpoints don't support")


def _refusal(message: str) -> ApiError:
    return ApiError("ValidationException", message)
