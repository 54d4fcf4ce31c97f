"""What Task states call: any API of the local AWS, by Step Functions' SDK integrations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from local_aws.json_api import service_model
from local_aws.sdk_services import SDK_SERVICES, SdkService

_RESOURCE = re.compile(r"arn:aws:states:::aws-sdk:([a-z0-9]+):([a-z]\w*)")


class TaskFailure(Exception):
    """A task failed, by the error's name and its cause."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


@dataclass(frozen=True)
class Integration:
    """An operation of a service. Step Functions writes every member's name with a capital letter at its start."""

    service: SdkService
    operation: OperationModel

    @staticmethod
    def parse(resource: str) -> Integration:
        """Return the integration that a Resource names; ValueError says why there is none."""
        form = _RESOURCE.fullmatch(resource)
        if form is None or form[1] not in SDK_SERVICES:
            known = ", ".join(SDK_SERVICES)
            raise ValueError(
                f"the local AWS's tasks are arn:aws:states:::aws-sdk:<service>:<operation> of {known}, not {resource!r}"
            )
        service = SDK_SERVICES[form[1]]
        model, operation = service_model(service.client), form[2][0].upper() + form[2][1:]
        if operation not in model.operation_names:
            raise ValueError(f"{form[1]} has no operation {form[2]}")
        return Integration(service, model.operation_model(operation))

    def check(self, arguments: Any) -> None:
        """Raise ValueError for members that the operation doesn't have or that it misses."""
        shape = self.operation.input_shape
        if not isinstance(arguments, Mapping) or shape is None:
            return
        known = {_capitalised(name): name for name in shape.members}
        unknown = sorted(set(arguments) - set(known))
        missing = [name for name in shape.required_members if _capitalised(name) not in arguments]
        # what the SDKs fill in themselves
        missing = [name for name in missing if not shape.members[name].metadata.get("idempotencyToken")]
        if unknown or missing:
            told = [f"has no {', '.join(unknown)}"] if unknown else []
            told += [f"needs {', '.join(missing)}"] if missing else []
            raise ValueError(f"{self.operation.name} {' and '.join(told)}")

    def call(self, client: Any, arguments: Mapping[str, Any]) -> Any:
        """Call the operation, and return its answer, in which times are text; TaskFailure if it fails."""
        shape = self.operation.input_shape
        try:
            given = _request(shape, arguments) if shape is not None else {}
            answer = getattr(client, xform_name(self.operation.name))(**given)
        except (ParamValidationError, ValueError) as error:
            raise TaskFailure("States.Runtime", str(error)) from error
        except ClientError as error:
            details = error.response["Error"]
            raise TaskFailure(self._error_name(details["Code"]), details["Message"]) from error
        answer.pop("ResponseMetadata", None)
        return _result(self.operation.output_shape, answer)

    def _error_name(self, code: str) -> str:
        """SDKs have a class for each error that the service's model names, and one for all the others."""
        modelled = {shape.metadata.get("error", {}).get("code", shape.name) for shape in self.operation.error_shapes}
        modelled |= {shape.name for shape in self.operation.error_shapes}
        name = code if code in modelled else self.service.errors
        return f"{self.service.errors}.{name if name.endswith('Exception') else f'{name}Exception'}"


def _request(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        names = {_capitalised(name): name for name in shape.members}
        for key in value:
            if key not in names:
                raise ValueError(f"{shape.name} has no member {key}")
        return {names[key]: _request(shape.members[names[key]], item) for key, item in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_request(shape.member, item) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {key: _request(shape.value, item) for key, item in value.items()}
    if shape.type_name == "blob" and isinstance(value, Mapping | list):
        return json.dumps(value, separators=(",", ":")).encode()
    return value


def _result(shape: Shape | None, value: Any) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        return {_capitalised(key): _result(shape.members.get(key), item) for key, item in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_result(shape.member, item) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, Mapping):
        return {key: _result(shape.value, item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if hasattr(value, "read"):
        return value.read().decode()
    return value


def _capitalised(name: str) -> str:
    return name[0].upper() + name[1:]
