"""The shapes of endpoints: which parts of a configuration go together.

Sources: the API reference of CreateEndpointConfig, and the SageMaker AI Developer Guide on what serverless and
asynchronous endpoints don't have:
https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html
https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
"""

from __future__ import annotations

from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.workspace import Record


def check_shape(config: Record) -> None:
    """Refuse an endpoint configuration, a request of CreateEndpointConfig, that asks for what doesn't go together."""
    variants = config["ProductionVariants"]
    if "AsyncInferenceConfig" in config:
        _check_async(config, variants)


def _check_async(config: Record, variants: list[dict[str, Any]]) -> None:
    if len(variants) != 1 or "ShadowProductionVariants" in config:
        raise _refusal("an asynchronous endpoint has one production variant, and no shadow variant")
    output = config["AsyncInferenceConfig"]["OutputConfig"]
    for name in ("S3OutputPath", "S3FailurePath"):
        if not output.get(name, "s3://").startswith("s3://"):
            raise _refusal(f"{name} must be an S3 URI, got {output[name]}")


def _refusal(message: str) -> ApiError:
    return ApiError("ValidationException", message)
