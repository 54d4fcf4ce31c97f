"""Fits CloudFormation properties to the input of an API operation, by botocore's model of the operation.

Most resource types mirror an API: the same members, in another case, with numbers as text or a policy as an object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape

from local_aws.cloudformation.providers.provider import ProviderFailure, tag_map


@cache
def _input_shape(service: str, operation: str) -> StructureShape | None:
    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).input_shape
    return shape if isinstance(shape, StructureShape) else None


def fit_input(service: str, operation: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` as arguments of an operation (named as in the API: `CreateTopic`).

    ProviderFailure names a member that the operation doesn't take, so that nothing in a template is ignored silently.
    """
    shape = _input_shape(service, operation)
    return _fit(shape, values, operation) if shape is not None else {}


def _fit(shape: Shape, value: Any, path: str) -> Any:
    if isinstance(shape, StructureShape):
        return _fit_structure(shape, value, path)
    if isinstance(shape, ListShape):
        if isinstance(value, Mapping):
            value = [{"Key": key, "Value": item} for key, item in value.items()]
        items = value if isinstance(value, list) else [value]
        return [_fit(shape.member, item, f"{path}[{index}]") for index, item in enumerate(items)]
    if isinstance(shape, MapShape):
        entries = value if isinstance(value, Mapping) else tag_map(value)
        return {str(key): _fit(shape.value, item, f"{path}.{key}") for key, item in entries.items()}
    return _fit_scalar(shape, value, path)


def _fit_structure(shape: StructureShape, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ProviderFailure(f"{path} must be an object, got {value!r}", "InvalidRequest")
    members = {name.lower(): name for name in shape.members}
    if set(members) == {"tagkey", "tagvalue"}:
        members |= {"key": members["tagkey"], "value": members["tagvalue"]}
    fitted: dict[str, Any] = {}
    for key, item in value.items():
        name = key if key in shape.members else members.get(key.lower())
        if name is None:
            raise ProviderFailure(f"the local AWS doesn't support {path}.{key}", "InvalidRequest")
        if item is not None:
            fitted[name] = _fit(shape.members[name], item, f"{path}.{key}")
    return fitted


def _fit_scalar(shape: Shape, value: Any, path: str) -> Any:
    try:
        match shape.type_name:
            case "boolean":
                return value if isinstance(value, bool) else str(value).lower() == "true"
            case "integer" | "long":
                return int(value)
            case "float" | "double":
                return float(value)
            case "string":
                return as_text(value)
            case "blob":
                return value if isinstance(value, bytes) else as_text(value).encode()
            case _:
                return value
    except (TypeError, ValueError) as error:
        raise ProviderFailure(f"{path} must be a {shape.type_name}, got {value!r}", "InvalidRequest") from error


def as_text(value: Any) -> str:
    """Return a property as an API's string: documents become JSON, booleans lower case."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
