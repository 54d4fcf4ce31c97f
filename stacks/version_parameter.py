"""The parameter by which a stack is told a version of a model."""

from __future__ import annotations

from aws_cdk import CfnParameter, Stack

from mlops_constructs.model_registry import ModelRegistry


def version_parameter(stack: Stack, name: str, registry: ModelRegistry, description: str) -> str:
    """The value of a new parameter: the ARN of a version in the registry's group, or an empty text, the default."""
    return CfnParameter(
        stack,
        name,
        type="String",
        default="",
        allowed_pattern=rf"^$|^arn:[^:]+:sagemaker:[^:]+:\d{{12}}:model-package/{registry.group_name}/\d+$",
        constraint_description=f"must be empty, or the ARN of a version in the group {registry.group_name}",
        description=description,
    ).value_as_string
