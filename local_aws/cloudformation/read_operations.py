"""Operations that only read: stacks, their events and resources, templates, exports."""

from __future__ import annotations

import json
from typing import Any

from local_aws.cloudformation.environment import Environment
from local_aws.cloudformation.errors import ChangeSetNotFound, StackNotFound, ValidationError
from local_aws.cloudformation.operation_context import Caller, Input, Output, Revisions
from local_aws.cloudformation.stacks import Stack, StackEvent, StackResource
from local_aws.cloudformation.template import Template

_PAGE = 100


class ReadOperations:
    """Each method is the operation of its name: the caller and the request in, the result out."""

    def __init__(self, environment: Environment) -> None:
        self._store = environment.store
        self._revisions = Revisions(environment)

    def describe_stacks(self, caller: Caller, request: Input) -> Output:
        if "StackName" in request:
            return {"Stacks": [_stack(self._stack(caller, request))]}
        stacks = self._store.of(caller.account, caller.region)
        return _page("Stacks", [_stack(stack) for stack in stacks], request)

    def list_stacks(self, caller: Caller, request: Input) -> Output:
        wanted = request.get("StackStatusFilter")
        stacks = self._store.of(caller.account, caller.region, deleted=True)
        return _page(
            "StackSummaries",
            [_summary(stack) for stack in stacks if not wanted or stack.status in wanted],
            request,
        )

    def describe_stack_events(self, caller: Caller, request: Input) -> Output:
        stack = self._stack(caller, request)
        return _page("StackEvents", [_event(stack, event) for event in reversed(list(stack.events))], request)

    def describe_events(self, caller: Caller, request: Input) -> Output:
        """Return events of deployments; change sets have none, as they are checked when they are created."""
        if "ChangeSetName" in request or "StackName" not in request:
            return {"OperationEvents": []}
        stack = self._stack(caller, request)
        failed_only = request.get("Filters", {}).get("FailedEvents", False)
        events = [
            event for event in reversed(list(stack.events)) if not failed_only or event.status.endswith("_FAILED")
        ]
        rendered = [_event(stack, event) | {"EventType": "STACK_EVENT"} for event in events]
        return _page("OperationEvents", rendered, request)

    def list_hook_results(self, caller: Caller, request: Input) -> Output:
        """There are no hooks; the CDK CLI asks for them when a change set fails."""
        del caller
        return {"TargetType": request.get("TargetType"), "TargetId": request.get("TargetId"), "HookResults": []}

    def describe_stack_resources(self, caller: Caller, request: Input) -> Output:
        if "StackName" not in request:
            return {"StackResources": self._by_physical_id(caller, request.get("PhysicalResourceId", ""))}
        stack = self._stack(caller, request)
        wanted = request.get("LogicalResourceId")
        resources = [item for item in list(stack.resources.values()) if wanted in (None, item.logical_id)]
        return {"StackResources": [_resource(stack, item) | {"Timestamp": item.updated_at} for item in resources]}

    def describe_stack_resource(self, caller: Caller, request: Input) -> Output:
        stack = self._stack(caller, request)
        resource = stack.resources.get(request["LogicalResourceId"])
        if resource is None:
            raise ValidationError(f"Resource {request['LogicalResourceId']} does not exist for stack {stack.name}")
        detail = _resource(stack, resource) | {"LastUpdatedTimestamp": resource.updated_at}
        return {"StackResourceDetail": detail | {"Metadata": json.dumps(resource.metadata)}}

    def list_stack_resources(self, caller: Caller, request: Input) -> Output:
        stack = self._stack(caller, request)
        summaries = [
            _resource(stack, item) | {"LastUpdatedTimestamp": item.updated_at}
            for item in list(stack.resources.values())
        ]
        return _page("StackResourceSummaries", summaries, request)

    def get_template(self, caller: Caller, request: Input) -> Output:
        stack = self._stack(caller, request)
        revision = stack.revision
        wanted = request.get("ChangeSetName")
        if wanted:
            found = [item for item in list(stack.change_sets.values()) if wanted in (item.name, item.id)]
            if not found:
                raise ChangeSetNotFound(wanted)
            revision = found[0].revision
        body = revision.template.body if revision else "{}"
        return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}

    def get_template_summary(self, caller: Caller, request: Input) -> Output:
        if "StackName" in request:
            stack = self._stack(caller, request)
            if stack.revision is None:
                raise StackNotFound(stack.name)
            return _template_summary(stack.revision.template)
        return _template_summary(self._revisions.template(caller, request))

    def validate_template(self, caller: Caller, request: Input) -> Output:
        summary = _template_summary(self._revisions.template(caller, request))
        for parameter in summary["Parameters"]:
            del parameter["ParameterType"], parameter["ParameterConstraints"]
        return summary

    def list_exports(self, caller: Caller, request: Input) -> Output:
        exports = [
            {"ExportingStackId": stack.id, "Name": output.export_name, "Value": output.value}
            for stack in self._store.of(caller.account, caller.region)
            for output in stack.outputs
            if output.export_name
        ]
        return _page("Exports", exports, request)

    def list_imports(self, caller: Caller, request: Input) -> Output:
        importers = self._store.importers(request["ExportName"], caller.account, caller.region)
        if not importers:
            raise ValidationError(f"Export '{request['ExportName']}' is not imported by any stack.")
        return _page("Imports", importers, request)

    def get_stack_policy(self, caller: Caller, request: Input) -> Output:
        self._stack(caller, request)
        return {}

    def _stack(self, caller: Caller, request: Input) -> Stack:
        return self._store.get(request["StackName"], caller.account, caller.region)

    def _by_physical_id(self, caller: Caller, physical_id: str) -> list[dict[str, Any]]:
        for stack in self._store.of(caller.account, caller.region):
            resources = list(stack.resources.values())
            if any(item.physical_id == physical_id for item in resources):
                return [_resource(stack, item) | {"Timestamp": item.updated_at} for item in resources]
        raise ValidationError(f"Stack for {physical_id} does not exist")


def _page(name: str, items: list[Any], request: Input) -> Output:
    start = int(request.get("NextToken", 0))
    following = {"NextToken": str(start + _PAGE)} if start + _PAGE < len(items) else {}
    return {name: items[start : start + _PAGE], **following}


def _stack(stack: Stack) -> dict[str, Any]:
    revision = stack.revision
    described: dict[str, Any] = {
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set_id,
        "CreationTime": stack.created_at,
        "LastUpdatedTime": stack.updated_at,
        "DeletionTime": stack.deleted_at,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DisableRollback": stack.disable_rollback,
        "EnableTerminationProtection": stack.termination_protection,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Tags": [],
        "Outputs": [
            {
                "OutputKey": output.key,
                "OutputValue": output.value,
                "Description": output.description,
                "ExportName": output.export_name,
            }
            for output in stack.outputs
        ],
    }
    if revision is not None:
        described |= {
            "Description": revision.template.description,
            "Parameters": [parameter.described() for parameter in revision.parameters.values()],
            "Capabilities": list(revision.capabilities),
            "NotificationARNs": list(revision.notification_arns),
            "RollbackConfiguration": dict(revision.rollback_configuration),
            "RoleARN": revision.role_arn,
            "Tags": [{"Key": key, "Value": value} for key, value in revision.tags.items()],
        }
    return described


def _summary(stack: Stack) -> dict[str, Any]:
    description = stack.revision.template.description if stack.revision else None
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "TemplateDescription": description,
        "CreationTime": stack.created_at,
        "LastUpdatedTime": stack.updated_at,
        "DeletionTime": stack.deleted_at,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def _event(stack: Stack, event: StackEvent) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "EventId": event.event_id,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.type,
        "Timestamp": event.time,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
        "ResourceProperties": json.dumps(event.properties) if event.properties is not None else None,
        "ClientRequestToken": event.token,
    }


def _resource(stack: Stack, resource: StackResource) -> dict[str, Any]:
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id or None,
        "ResourceType": resource.type,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def _template_summary(template: Template) -> dict[str, Any]:
    types = sorted({resource.type for resource in template.resources.values()})
    iam = any(name.startswith("AWS::IAM::") for name in types)
    return {
        "Description": template.description,
        "Version": template.document.get("AWSTemplateFormatVersion"),
        "Metadata": json.dumps(template.section("Metadata")) if template.section("Metadata") else None,
        "ResourceTypes": types,
        "Capabilities": ["CAPABILITY_NAMED_IAM"] if iam else [],
        "CapabilitiesReason": "The following resource(s) require capabilities: [AWS::IAM::Role]" if iam else None,
        "Parameters": [
            {
                "ParameterKey": name,
                "DefaultValue": declared.get("Default"),
                "ParameterType": declared.get("Type", "String"),
                "NoEcho": str(declared.get("NoEcho", False)).lower() == "true",
                "Description": declared.get("Description"),
                "ParameterConstraints": {"AllowedValues": [str(value) for value in declared.get("AllowedValues", [])]},
            }
            for name, declared in template.section("Parameters").items()
        ],
    }
