"""Where the rules of EventBridge send events: moto's own targets, and those that it doesn't know."""

from __future__ import annotations

import copy
import json
import logging
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.input_transformer import transformed
from local_aws.json_api import ApiError
from local_aws.service import LocalContext

_LOG = logging.getLogger(__name__)
_MOTO = frozenset({"logs", "sqs", "events"})
_OURS = frozenset({"sns", "sagemaker", "glue", "states"})


def is_supported(arn: str) -> bool:
    """Say whether events reach a target: log groups, queues, buses, topics, pipelines, workflows, state machines."""
    if _service(arn) == "glue":
        return arn.split(":")[5].startswith("workflow/")
    return _service(arn) in _MOTO | _OURS


def deliver_events(context: LocalContext) -> None:
    """Have every rule of this process deliver to our own targets as well as to moto's: see `is_supported`.

    A target that fails is logged and doesn't keep the others, or what caused the event, from going on.
    """
    from moto.events.models import Rule
    from moto.events.utils import _BASE_EVENT_MESSAGE

    send = getattr(Rule, "send_by_moto", Rule.send_to_targets)

    def send_to_targets(rule: Any, event: dict[str, Any], transform_input: bool = True) -> None:
        if rule.state != "ENABLED" or not rule.event_pattern.matches_event(event):
            return
        if event["id"] == _BASE_EVENT_MESSAGE["id"]:
            # moto's S3 gives all its events one id; the other rules get the same object
            event["id"] = str(uuid.uuid4())
        # moto's PutEvents has seconds of the machine's time, which moto's own targets write out themselves
        told = event if isinstance(event["time"], str) else {**event, "time": _now(context)}
        for target in rule.targets:
            try:
                if _service(target["Arn"]) in context.event_targets:
                    _hand_over(context, target, told)
                elif _service(target["Arn"]) in _OURS:
                    _deliver(context, target, _content(target, told), told["id"])
                else:
                    alone = copy.copy(rule)
                    alone.targets = [target]
                    send(alone, event, transform_input)
            except (ApiError, ClientError, BotoCoreError, NotImplementedError) as error:
                _LOG.warning("the rule %s couldn't reach %s: %s", rule.name, target["Arn"], error)

    Rule.send_by_moto = send
    Rule.send_to_targets = send_to_targets


def _content(target: dict[str, Any], event: dict[str, Any]) -> Any:
    """Return what a target gets: its own Input, what its InputTransformer makes of the event, or the event."""
    if "Input" in target:
        return target["Input"]
    transformer = target.get("InputTransformer")
    if transformer is None:
        return {name: value for name, value in event.items() if name != "ingestion-time"}
    return transformed(transformer, event)


def _hand_over(context: LocalContext, target: dict[str, Any], event: dict[str, Any]) -> None:
    """Give an event to a service of ours as it is: those that take events have no use for an Input."""
    _check_role(target)
    context.event_targets[_service(target["Arn"])](target["Arn"], event)


def _deliver(context: LocalContext, target: dict[str, Any], content: Any, event_id: str) -> None:
    arn = target["Arn"]
    region = arn.split(":")[3]
    if _service(arn) == "sns":
        message = content if isinstance(content, str) else json.dumps(content)
        context.client("sns", region=region).publish(TopicArn=arn, Message=message)
        return
    if _service(arn) == "states":
        _check_role(target)
        context.client("stepfunctions", region=region, role_arn=target["RoleArn"]).start_execution(
            stateMachineArn=arn,
            # as EventBridge names them
            name=f"{event_id}_{uuid.uuid4()}",
            input=content if isinstance(content, str) else json.dumps(content),
        )
        return
    parameters = target.get("SageMakerPipelineParameters", {}).get("PipelineParameterList", [])
    context.client("sagemaker", region=region, role_arn=target.get("RoleArn")).start_pipeline_execution(
        PipelineName=arn.rpartition("/")[2], PipelineParameters=parameters
    )


def _now(context: LocalContext) -> str:
    return context.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_role(target: dict[str, Any]) -> None:
    if "RoleArn" not in target:
        raise ApiError("ValidationException", "the target has no RoleArn, which EventBridge needs to reach it")


def _service(arn: str) -> str:
    return arn.split(":")[2]
