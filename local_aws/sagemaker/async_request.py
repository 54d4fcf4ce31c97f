"""One request to an asynchronous endpoint: what it asks for, and what is told of its end.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-check-predictions.html
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from werkzeug import Request

from local_aws.json_api import ApiError, service_model, validate
from local_aws.sagemaker.model_server import Answer

TTL_SECONDS = 21_600
TIMEOUT_SECONDS = 900
# answers up to this size come along in notifications, where that is asked for
SHOWN_BYTES = 128 * 1024
_PREFIX = "X-Amzn-SageMaker-"
_UNKNOWN = ("S3OutputPathExtension", "Filename")


@dataclass(frozen=True, kw_only=True)
class AsyncRequest:
    """A request that waits. `headers` are the container's; `timeout` is in seconds of the machine's time."""

    endpoint: str
    inference_id: str
    input_location: str | None
    body: bytes | None
    headers: Mapping[str, str]
    output_location: str | None
    failure_location: str | None
    received: datetime
    expires: datetime
    timeout: int

    def message(self, region: str, now: datetime, **outcome: Any) -> dict[str, Any]:
        """Return what is told of the end of a request; `outcome` are the members that say how it ended."""
        asked = {
            "accept": self.headers.get("Accept"),
            "contentType": self.headers.get("Content-Type"),
            "customAttributes": self.headers.get(f"{_PREFIX}Custom-Attributes"),
            "endpointName": self.endpoint,
            "inputLocation": self.input_location,
        }
        return {
            "awsRegion": region,
            "eventTime": _written(now),
            "receivedTime": _written(self.received),
            "requestParameters": {name: value for name, value in asked.items() if value is not None},
            **outcome,
            "inferenceId": self.inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }


def parsed(endpoint: str, output: Mapping[str, Any], request: Request, now: datetime) -> AsyncRequest:
    """Read a request of InvokeEndpointAsync; ApiError(ValidationError) says what is wrong with it.

    `output` is the OutputConfig of the endpoint's configuration.
    """
    given = _members(endpoint, request)
    body = request.get_data() or None
    for name in _UNKNOWN:
        if name in given:
            raise ApiError("ValidationError", f"the local AWS's asynchronous endpoints don't know {name}")
    if ("InputLocation" in given) == (body is not None):
        raise ApiError("ValidationError", "a request needs an InputLocation or a Body, and not both")
    if not given.get("InputLocation", "s3://").startswith("s3://"):
        raise ApiError("ValidationError", f"InputLocation must be an S3 URI, got {given['InputLocation']}")
    headers = {
        "Content-Type": given.get("ContentType"),
        "Accept": given.get("Accept"),
        f"{_PREFIX}Custom-Attributes": given.get("CustomAttributes"),
        f"{_PREFIX}Inference-Id": given.get("InferenceId"),
    }
    name = str(uuid.uuid4())
    return AsyncRequest(
        endpoint=endpoint,
        inference_id=given.get("InferenceId") or str(uuid.uuid4()),
        input_location=given.get("InputLocation"),
        body=body,
        headers={key: value for key, value in headers.items() if value is not None},
        output_location=_child(output.get("S3OutputPath"), f"{name}.out"),
        failure_location=_child(output.get("S3FailurePath"), f"{name}-error.out"),
        received=now,
        expires=now + timedelta(seconds=given.get("RequestTTLSeconds", TTL_SECONDS)),
        timeout=given.get("InvocationTimeoutSeconds", TIMEOUT_SECONDS),
    )


def response_body(answer: Answer) -> dict[str, str]:
    """Return an answer as notifications include it."""
    if len(answer.body) > SHOWN_BYTES:
        told = "Check S3 path location(if configured) or Cloudwatch for additional details."
        return {"content": "", "message": told, "encoding": "BASE64"}
    return {"content": base64.b64encode(answer.body).decode(), "encoding": "BASE64"}


def _members(endpoint: str, request: Request) -> dict[str, Any]:
    shape = service_model("sagemaker-runtime").operation_model("InvokeEndpointAsync").input_shape
    assert shape is not None
    given: dict[str, Any] = {"EndpointName": endpoint}
    for name, member in shape.members.items():
        value = request.headers.get(member.serialization.get("name", ""))
        if member.serialization.get("location") == "header" and value is not None:
            number = member.type_name == "integer" and value.isdecimal()
            given[name] = int(value) if number else value
    try:
        validate(shape, given)
    except ApiError as error:
        raise ApiError("ValidationError", error.message) from error
    return given


def _child(folder: str | None, name: str) -> str | None:
    return f"{folder.rstrip('/')}/{name}" if folder else None


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
