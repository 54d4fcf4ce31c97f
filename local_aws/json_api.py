"""AWS's JSON 1.1 protocol on botocore's own service models: validation of requests, shape of answers, errors."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.validate import ParamValidator
from werkzeug import Response


class ApiError(Exception):
    """An error that the client sees, by AWS's code for it."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status

    def response(self) -> Response:
        """Return the answer as JSON 1.1 words it."""
        body = {"__type": self.code, "message": self.message}
        return _json_response(body, self.status)


@lru_cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


class JsonApi:
    """The JSON 1.1 protocol of one service."""

    def __init__(self, service: str) -> None:
        self.model = service_model(service)

    def operation(self, target: str) -> str:
        """Return the operation named by the header X-Amz-Target."""
        return target.rpartition(".")[2]

    def parse(self, operation: str, body: bytes) -> dict[str, Any]:
        """Return the request's members; ApiError(ValidationException) says what is wrong with them."""
        try:
            request = json.loads(body or b"{}")
        except ValueError as error:
            raise ApiError("SerializationException", f"the request body is not JSON: {error}") from error
        if not isinstance(request, dict):
            raise ApiError("SerializationException", "the request body must be a JSON object")
        shape = self._operation(operation).input_shape
        if shape is not None:
            validate(shape, request)
        return request

    def answer(self, operation: str, result: Mapping[str, Any]) -> Response:
        """Return the result as JSON, cut to the members that the operation's output has."""
        shape = self._operation(operation).output_shape
        return _json_response(serialise(shape, result) if shape is not None else {}, 200)

    def _operation(self, operation: str) -> OperationModel:
        if operation not in self.model.operation_names:
            raise ApiError("UnknownOperationException", f"{self.model.service_id} has no operation {operation!r}")
        return self.model.operation_model(operation)


def validate(shape: Shape, value: Any) -> None:
    """Check a value against its shape: members, types, ranges, enumerations and patterns."""
    report = ParamValidator().validate(value, shape)
    problems = [report.generate_report()] if report.has_errors() else list(_constraint_problems(shape, value, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise ApiError("ValidationException", count + "; ".join(problems))


def serialise(shape: Shape, value: Any) -> Any:
    """Return a value as JSON 1.1 writes it: timestamps in seconds, unknown and absent members left out."""
    if shape.type_name == "structure":
        # each member is read once: records change while they are written
        found = ((name, member, value.get(name)) for name, member in shape.members.items())
        return {name: serialise(member, item) for name, member, item in found if item is not None}
    if shape.type_name == "list":
        return [serialise(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: serialise(shape.value, item) for key, item in value.items()}
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def _constraint_problems(shape: Shape, value: Any, path: str) -> list[str]:
    problems: list[str] = []
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None:
                problems += _constraint_problems(member, value[name], f"{path}.{name}".lstrip("."))
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            problems += _constraint_problems(shape.member, item, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            problems += _constraint_problems(shape.value, item, f"{path}.{key}")
    else:
        problem = _scalar_problem(shape, value)
        if problem:
            problems.append(f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {problem}")
    return problems


def _scalar_problem(shape: Shape, value: Any) -> str | None:
    rules = shape.metadata
    if isinstance(value, str):
        if rules.get("enum") and value not in rules["enum"]:
            return f"satisfy enum value set: [{', '.join(rules['enum'])}]"
        if "max" in rules and len(value) > rules["max"]:
            return f"have length less than or equal to {rules['max']}"
        pattern = _pattern(rules["pattern"]) if "pattern" in rules else None
        if pattern is not None and not pattern.fullmatch(value):
            return f"satisfy regular expression pattern: {rules['pattern']}"
    elif isinstance(value, int | float) and "max" in rules and value > rules["max"]:
        return f"have value less than or equal to {rules['max']}"
    return None


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:  # a Java expression that Python doesn't know
        return None


def _json_response(body: Any, status: int) -> Response:
    return Response(
        json.dumps(body),
        status=status,
        content_type="application/x-amz-json-1.1",
        headers={"x-amzn-RequestId": str(uuid.uuid4())},
    )
