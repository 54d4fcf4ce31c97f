"""AWS::StepFunctions::StateMachine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from local_aws.cloudformation.providers.api_resource import ApiResource, Operation, Tagging
from local_aws.cloudformation.providers.provider import ProviderFailure, Provisioned, Request

_SUBSTITUTED = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
_FORMS = frozenset({"Definition", "DefinitionString", "DefinitionSubstitutions", "DefinitionS3Location"})
# what a state machine goes back to when the template no longer says anything
_DEFAULTS = {"LoggingConfiguration": {"Level": "OFF"}, "TracingConfiguration": {"Enabled": False}}


@dataclass(frozen=True, kw_only=True)
class StateMachine(ApiResource):
    """A state machine, whose definition a template holds as text or as an object, with substitutions."""

    def create(self, request: Request) -> Provisioned:
        """Create the state machine with the definition that its properties mean."""
        return super().create(replace(request, properties=_written_out(request.properties)))

    def update(self, request: Request) -> Provisioned:
        """Update the state machine in place; its executions go on as they began."""
        now, before = _written_out(request.properties), _written_out(request.previous)
        return super().update(replace(request, properties=now, previous=before))


def _written_out(properties: Mapping[str, Any]) -> dict[str, Any]:
    if "DefinitionS3Location" in properties:
        raise ProviderFailure("the local AWS doesn't support DefinitionS3Location", "InvalidRequest")
    definition = properties.get("Definition", properties.get("DefinitionString"))
    if definition is None:
        raise ProviderFailure("a state machine needs a DefinitionString or a Definition", "InvalidRequest")
    text = definition if isinstance(definition, str) else json.dumps(definition)
    values = properties.get("DefinitionSubstitutions", {})
    text = _SUBSTITUTED.sub(lambda found: str(values.get(found[1], found[0])), text) if values else text
    kept = {key: value for key, value in properties.items() if key not in _FORMS}
    return {**_DEFAULTS, **kept, "DefinitionString": text}


STATE_MACHINE = StateMachine(
    type="AWS::StepFunctions::StateMachine",
    service="stepfunctions",
    name_property="StateMachineName",
    name_length=80,
    name_stack=False,
    create_operation=Operation("CreateStateMachine", body=""),
    update_operation=Operation(
        "UpdateStateMachine", {"stateMachineArn": "id"}, body="", without=frozenset({"name", "type"})
    ),
    delete_operation=Operation("DeleteStateMachine", {"stateMachineArn": "id"}),
    read_operation=Operation("DescribeStateMachine", {"stateMachineArn": "id"}),
    physical_id="created.stateMachineArn",
    attributes={"Arn": "id", "Name": "read.name", "StateMachineRevisionId": "read.revisionId"},
    rename={"StateMachineName": "name", "StateMachineType": "type", "DefinitionString": "definition"},
    tagging=Tagging(
        Operation("TagResource", {"resourceArn": "id", "tags": "value"}),
        Operation("UntagResource", {"resourceArn": "id", "tagKeys": "value"}),
        on_create="tags",
    ),
)
