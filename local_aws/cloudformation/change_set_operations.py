"""Operations on change sets."""

from __future__ import annotations

import uuid
from typing import Any

from local_aws.cloudformation.environment import Environment, StackReferences, evaluation_parameters
from local_aws.cloudformation.errors import ChangeSetNotFound, CloudFormationError, StackNotFound, ValidationError
from local_aws.cloudformation.operation_context import Caller, Input, Output, Revisions, RunDeployment
from local_aws.cloudformation.planning import outputs_differ, plan
from local_aws.cloudformation.stack_operations import UPDATABLE, ScheduledDeployment
from local_aws.cloudformation.stacks import ChangeSet, Revision, Stack

_NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


class ChangeSetOperations:
    """Each method is the operation of its name: the caller and the request in, the result out."""

    def __init__(self, environment: Environment, run: RunDeployment) -> None:
        self._environment = environment
        self._store = environment.store
        self._revisions = Revisions(environment)
        self._run = run

    def create_change_set(self, caller: Caller, request: Input) -> Output:
        kind = request.get("ChangeSetType", "UPDATE")
        if kind == "IMPORT" or request.get("ResourcesToImport"):
            raise ValidationError("The local AWS doesn't import resources into stacks")
        stack, fresh = self._target(caller, request["StackName"], kind)
        name = request["ChangeSetName"]
        try:
            if name in stack.change_sets:
                raise CloudFormationError(
                    "AlreadyExistsException", f"ChangeSet {name} cannot be created as it exists", 409
                )
            revision = self._revisions.revision(caller, request, stack)
        except Exception:
            if fresh:
                self._store.remove(stack)
            raise
        identifier = f"arn:aws:cloudformation:{caller.region}:{caller.account}:changeSet/{name}/{uuid.uuid4()}"
        changes, failure = self._plan(stack, revision)
        stack.change_sets[name] = ChangeSet(
            id=identifier,
            name=name,
            type=kind,
            revision=revision,
            description=request.get("Description"),
            changes=[{"Type": "Resource", "ResourceChange": change} for change in changes],
            status="FAILED" if failure else "CREATE_COMPLETE",
            status_reason=failure,
            execution_status="UNAVAILABLE" if failure else "AVAILABLE",
            on_stack_failure=request.get("OnStackFailure"),
            deployment_config=request.get("DeploymentConfig"),
        )
        if fresh:
            stack.move_to("REVIEW_IN_PROGRESS", "User Initiated", request.get("ClientToken"))
        return {"Id": identifier, "StackId": stack.id}

    def describe_change_set(self, caller: Caller, request: Input) -> Output:
        stack, change_set = self._find(caller, request)
        revision = change_set.revision
        return {
            "ChangeSetName": change_set.name,
            "ChangeSetId": change_set.id,
            "StackId": stack.id,
            "StackName": stack.name,
            "Description": change_set.description,
            "Parameters": [parameter.described() for parameter in revision.parameters.values()],
            "CreationTime": change_set.created_at,
            "ExecutionStatus": change_set.execution_status,
            "Status": change_set.status,
            "StatusReason": change_set.status_reason,
            "NotificationARNs": list(revision.notification_arns),
            "RollbackConfiguration": dict(revision.rollback_configuration),
            "Capabilities": list(revision.capabilities),
            "Tags": [{"Key": key, "Value": value} for key, value in revision.tags.items()],
            "Changes": change_set.changes
            if request.get("IncludePropertyValues")
            else _without_values(change_set.changes),
            "IncludeNestedStacks": False,
            "OnStackFailure": change_set.on_stack_failure,
            "DeploymentConfig": change_set.deployment_config,
        }

    def execute_change_set(self, caller: Caller, request: Input) -> Output:
        stack, change_set = self._find(caller, request)
        if change_set.execution_status != "AVAILABLE":
            raise CloudFormationError(
                "InvalidChangeSetStatus",
                f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]",
            )
        creating = stack.revision is None
        if stack.status != "REVIEW_IN_PROGRESS" and stack.status not in UPDATABLE:
            raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        disable_rollback = bool(
            request.get("DisableRollback", (change_set.deployment_config or {}).get("DisableRollback", False))
        )
        deployment = ScheduledDeployment(stack, self._environment, self._run, request.get("ClientRequestToken"))
        if creating:
            on_failure = "DO_NOTHING" if disable_rollback else change_set.on_stack_failure or "ROLLBACK"
            deployment.create_later(change_set.revision, on_failure)
        else:
            deployment.update_later(change_set.revision, roll_back=not disable_rollback)
        stack.change_set_id, stack.disable_rollback = change_set.id, disable_rollback
        return {}

    def delete_change_set(self, caller: Caller, request: Input) -> Output:
        try:
            stack, change_set = self._find(caller, request)
        except ChangeSetNotFound:
            return {}
        stack.change_sets.pop(change_set.name, None)
        return {}

    def list_change_sets(self, caller: Caller, request: Input) -> Output:
        stack = self._store.get(request["StackName"], caller.account, caller.region)
        return {
            "Summaries": [
                {
                    "StackId": stack.id,
                    "StackName": stack.name,
                    "ChangeSetId": change_set.id,
                    "ChangeSetName": change_set.name,
                    "ExecutionStatus": change_set.execution_status,
                    "Status": change_set.status,
                    "StatusReason": change_set.status_reason,
                    "CreationTime": change_set.created_at,
                    "Description": change_set.description,
                }
                for change_set in list(stack.change_sets.values())
            ]
        }

    def _target(self, caller: Caller, name: str, kind: str) -> tuple[Stack, bool]:
        with self._store.lock:
            stack = self._store.find(name, caller.account, caller.region)
            if kind == "CREATE":
                if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
                    raise ValidationError(
                        f"Stack [{name}] already exists and cannot be created again with the changeSet."
                    )
                if stack is None:
                    return self._store.create(name, caller.account, caller.region), True
                return stack, False
            if stack is None or stack.deleted:
                raise (
                    StackNotFound(name)
                    if name.startswith("arn:")
                    else ValidationError(f"Stack [{name}] does not exist")
                )
            if stack.status not in UPDATABLE:
                raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
            return stack, False

    def _plan(self, stack: Stack, revision: Revision) -> tuple[list[dict[str, Any]], str | None]:
        unsupported = self._revisions.unsupported(revision.template)
        if unsupported:
            return [], f"Unrecognized resource types: the local AWS doesn't support {', '.join(unsupported)}"
        references = StackReferences(stack, self._environment)
        try:
            changes = plan(stack, revision, evaluation_parameters(stack, revision), references)
        except CloudFormationError as error:
            return [], error.message
        tags_changed = stack.revision is not None and stack.revision.tags != revision.tags
        if not changes and not outputs_differ(stack, revision) and not tags_changed and not stack.journal:
            return [], _NO_CHANGES
        return [change.change for change in changes], None

    def _find(self, caller: Caller, request: Input) -> tuple[Stack, ChangeSet]:
        name = request["ChangeSetName"]
        if "StackName" in request:
            stacks = [self._store.get(request["StackName"], caller.account, caller.region)]
        else:
            stacks = self._store.of(caller.account, caller.region)
        for stack in stacks:
            for change_set in list(stack.change_sets.values()):
                if name in (change_set.name, change_set.id):
                    return stack, change_set
        raise ChangeSetNotFound(name)


def _without_values(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    plain = []
    for entry in changes:
        change = {key: value for key, value in entry["ResourceChange"].items() if not key.endswith("Context")}
        hidden = ("Path", "BeforeValue", "AfterValue", "AttributeChangeType")
        change["Details"] = [
            detail | {"Target": {key: value for key, value in detail["Target"].items() if key not in hidden}}
            for detail in change["Details"]
        ]
        plain.append(entry | {"ResourceChange": change})
    return plain
