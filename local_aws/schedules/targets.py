"""What schedules call: any API of the local AWS, or one of the few targets that have an ARN of their own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore import xform_name
from botocore.validate import ParamValidator

from local_aws.json_api import service_model
from local_aws.sdk_services import SDK_SERVICES

Target = Mapping[str, Any]

_UNIVERSAL = re.compile(r"arn:aws:scheduler:::aws-sdk:([a-z0-9]+):([a-z]\w*)")
# EventBridge Scheduler calls nothing that only reads
_READING = (
    "get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "lookup", "discover",
    "validate", "batchGet", "batchDescribe", "batchRead", "transactGet", "adminGet", "adminList", "testMigration",
    "retrieve", "testConnection", "translateDocument", "isAuthorized", "invokeModel",
)  # fmt: skip


@dataclass(frozen=True)
class ApiCall:
    """One call of an API, by boto3's names."""

    service: str
    operation: str
    arguments: dict[str, Any]

    def send(self, client: Any) -> None:
        """Call the API; raise what boto3 raises."""
        getattr(client, xform_name(self.operation))(**self.arguments)


def api_call(target: Target, attributes: Mapping[str, str]) -> ApiCall:
    """Return the call that a target means, with `<aws.scheduler.*>` in its Input replaced by these attributes.

    ValueError says why the local AWS can't make it.
    """
    text = target.get("Input")
    for name, value in attributes.items():
        text = text.replace(f"<aws.scheduler.{name}>", value) if text else text
    universal = _UNIVERSAL.fullmatch(target["Arn"])
    if universal:
        return _universal_call(universal[1], universal[2], text)
    service = target["Arn"].split(":")[2] if target["Arn"].count(":") >= 5 else ""
    if service not in _TEMPLATED:
        raise ValueError(
            f"the local AWS's schedules don't reach the target {target['Arn']}: they reach any API by "
            f"arn:aws:scheduler:::aws-sdk:<service>:<operation>, SageMaker pipelines, state machines, SNS "
            f"topics, SQS queues and event buses"
        )
    parameters, build = _TEMPLATED[service]
    unknown = sorted(key for key in target if key.endswith("Parameters") and key != parameters)
    if unknown:
        raise ValueError(f"{', '.join(unknown)} can't be used with the target {target['Arn']}")
    return build(target["Arn"], target.get(parameters, {}), text)


def _universal_call(name: str, action: str, text: str | None) -> ApiCall:
    known = SDK_SERVICES.get(name)
    if known is None:
        raise ValueError(f"the local AWS's schedules call {', '.join(SDK_SERVICES)}, not {name}")
    if action.startswith(_READING):
        raise ValueError(f"EventBridge Scheduler makes no calls that only read, such as {name}:{action}")
    operation = action[0].upper() + action[1:]
    service, model = known.client, service_model(known.client)
    if operation not in model.operation_names:
        raise ValueError(f"{name} has no operation {action}")
    try:
        arguments = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"the target's Input must be JSON: {error}") from error
    shape = model.operation_model(operation).input_shape
    if not isinstance(arguments, dict):
        raise ValueError(f"the target's Input must be a JSON object, got {text}")
    if shape is not None:
        report = ParamValidator().validate(arguments, shape)
        if report.has_errors():
            raise ValueError(f"the target's Input doesn't fit {name}:{action}: {report.generate_report()}")
    return ApiCall(service, operation, arguments)


def _pipeline(arn: str, parameters: Target, text: str | None) -> ApiCall:
    del text
    kind, _, name = arn.split(":", 5)[5].partition("/")
    if kind != "pipeline" or not name:
        raise ValueError(f"of SageMaker, schedules start pipelines, not {arn}")
    listed = parameters.get("PipelineParameterList", [])
    return ApiCall("sagemaker", "StartPipelineExecution", {"PipelineName": name, "PipelineParameters": listed})


def _state_machine(arn: str, parameters: Target, text: str | None) -> ApiCall:
    del parameters
    return ApiCall("stepfunctions", "StartExecution", {"stateMachineArn": arn, "input": text or "{}"})


def _topic(arn: str, parameters: Target, text: str | None) -> ApiCall:
    del parameters
    return ApiCall("sns", "Publish", {"TopicArn": arn, "Message": text or ""})


def _queue(arn: str, parameters: Target, text: str | None) -> ApiCall:
    group = {"MessageGroupId": parameters["MessageGroupId"]} if "MessageGroupId" in parameters else {}
    return ApiCall("sqs", "SendMessage", {"QueueUrl": queue_url(arn), "MessageBody": text or "", **group})


def _event_bus(arn: str, parameters: Target, text: str | None) -> ApiCall:
    if not parameters:
        raise ValueError(f"the target {arn} needs EventBridgeParameters: DetailType and Source")
    entry = {"EventBusName": arn.rpartition("/")[2], "Detail": text or "{}", **parameters}
    return ApiCall("events", "PutEvents", {"Entries": [entry]})


def queue_url(arn: str) -> str:
    """Return the URL of a queue."""
    _, _, _, region, account, name = arn.split(":")
    return f"https://sqs.{region}.amazonaws.com/{account}/{name}"


_Build = Callable[[str, Target, str | None], ApiCall]
_TEMPLATED: dict[str, tuple[str, _Build]] = {
    "sagemaker": ("SageMakerPipelineParameters", _pipeline),
    "states": ("", _state_machine),
    "sns": ("", _topic),
    "sqs": ("SqsParameters", _queue),
    "events": ("EventBridgeParameters", _event_bus),
}
