"""What Task states call: any API of the local AWS by Step Functions' SDK integrations, and other state machines.

Source: https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
"""

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
_NESTED = re.compile(r"arn:aws:states:::states:startExecution(|\.sync|\.sync:2)")

_NESTING = SdkService("stepfunctions", "StepFunctions")


class TaskFailure(Exception):
    """A task failed, by the error's name and its cause."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


@dataclass(frozen=True)
class Integration:
    """An operation of a service. Step Functions writes every member's name with a capital letter at its start.

    `waits` is how a task that starts another state machine waits for its end: not at all, or as `.sync` or `.sync:2`.
    """

    service: SdkService
    operation: OperationModel
    waits: str = ""

    @staticmethod
    def parse(resource: str) -> Integration:
        """Return the integration that a Resource names; ValueError says why there is none."""
        nested = _NESTED.fullmatch(resource)
        if nested:
            operation = service_model("stepfunctions").operation_model("StartExecution")
            return Integration(_NESTING, operation, nested[1])
        form = _RESOURCE.fullmatch(resource)
        if form is None or form[1] not in SDK_SERVICES:
            known = ", ".join(SDK_SERVICES)
            raise ValueError(
                f"the local AWS's tasks are arn:aws:states:::aws-sdk:<service>:<operation> of {known}, and "
                f"arn:aws:states:::states:startExecution, with or without .sync or .sync:2, not {resource!r}"
            )
        service = SDK_SERVICES[form[1]]
        model, name = service_model(service.client), form[2][0].upper() + form[2][1:]
        if name not in model.operation_names:
            raise ValueError(f"{form[1]} has no operation {form[2]}")
        return Integration(service, model.operation_model(name))

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
        if self.service is _NESTING and isinstance(arguments.get("Input"), Mapping | list):
            arguments = {**arguments, "Input": json.dumps(arguments["Input"], separators=(",", ":"))}
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

    def outcome(self, client: Any, execution_arn: str) -> Any:
        """Return what a task gets of the execution that it waited for; TaskFailure unless it has succeeded.

        It is DescribeExecution's answer, with input and output as JSON after `.sync:2`, as text after `.sync`.
        """
        operation = service_model("stepfunctions").operation_model("DescribeExecution")
        found = Integration(self.service, operation).call(client, {"ExecutionArn": execution_arn})
        if found["Status"] != "SUCCEEDED":
            raise TaskFailure("States.TaskFailed", json.dumps(found))
        if self.waits == ".sync:2":
            found |= {member: json.loads(found[member]) for member in ("Input", "Output") if member in found}
        return found

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
