"""Operations that deploy: create, update, delete, roll back."""

from __future__ import annotations

from collections.abc import Callable

from local_aws.cloudformation.deployment import Deployment
from local_aws.cloudformation.environment import Environment, StackReferences, evaluation_parameters
from local_aws.cloudformation.errors import CloudFormationError, NoUpdates, ValidationError
from local_aws.cloudformation.operation_context import Caller, Input, Output, Revisions, RunDeployment
from local_aws.cloudformation.planning import outputs_differ, plan
from local_aws.cloudformation.stacks import Revision, Stack

UPDATABLE = frozenset(
    (
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_ROLLBACK_COMPLETE",
        "IMPORT_COMPLETE",
        "UPDATE_FAILED",
        "CREATE_FAILED",
    )
)


class StackOperations:
    """Each method is the operation of its name: the caller and the request in, the result out."""

    def __init__(self, environment: Environment, run: RunDeployment) -> None:
        self._environment = environment
        self._store = environment.store
        self._revisions = Revisions(environment)
        self._run = run

    def create_stack(self, caller: Caller, request: Input) -> Output:
        name = request["StackName"]
        with self._store.lock:
            if self._store.find(name, caller.account, caller.region) is not None:
                raise CloudFormationError("AlreadyExistsException", f"Stack [{name}] already exists")
            stack = self._store.create(name, caller.account, caller.region)
        try:
            revision = self._checked_revision(caller, request, stack)
        except Exception:
            self._store.remove(stack)
            raise
        stack.termination_protection = request.get("EnableTerminationProtection", False)
        stack.disable_rollback = request.get("DisableRollback", False)
        on_failure = "DO_NOTHING" if stack.disable_rollback else request.get("OnFailure", "ROLLBACK")
        self._deploy(stack, request).create_later(revision, on_failure)
        return {"StackId": stack.id}

    def update_stack(self, caller: Caller, request: Input) -> Output:
        stack = self._store.get(request["StackName"], caller.account, caller.region)
        self._check_updatable(stack)
        revision = self._checked_revision(caller, request, stack)
        references = StackReferences(stack, self._environment)
        changes = plan(stack, revision, evaluation_parameters(stack, revision), references)
        tags_changed = stack.revision is not None and stack.revision.tags != revision.tags
        if not changes and not outputs_differ(stack, revision) and not tags_changed and stack.status != "UPDATE_FAILED":
            raise NoUpdates
        stack.disable_rollback = request.get("DisableRollback", False)
        self._deploy(stack, request).update_later(revision, roll_back=not stack.disable_rollback)
        return {"StackId": stack.id}

    def delete_stack(self, caller: Caller, request: Input) -> Output:
        stack = self._store.find(request["StackName"], caller.account, caller.region)
        if stack is None or stack.deleted:
            return {}
        if stack.termination_protection:
            raise ValidationError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if stack.busy:
            raise ValidationError(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
        retain = request.get("RetainResources", [])
        if retain and stack.status != "DELETE_FAILED":
            raise ValidationError(
                f"Invalid operation on stack [{stack.id}]. RetainResources is only allowed for stacks in DELETE_FAILED"
            )
        self._deploy(stack, request).delete_later(retain)
        return {}

    def continue_update_rollback(self, caller: Caller, request: Input) -> Output:
        stack = self._store.get(request["StackName"], caller.account, caller.region)
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not continue rollback")
        self._deploy(stack, request).roll_back_later(request.get("ResourcesToSkip", []))
        return {}

    def rollback_stack(self, caller: Caller, request: Input) -> Output:
        stack = self._store.get(request["StackName"], caller.account, caller.region)
        if stack.status not in ("CREATE_FAILED", "UPDATE_FAILED"):
            raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be rolled back")
        self._deploy(stack, request).roll_back_later([])
        return {"StackId": stack.id}

    def update_termination_protection(self, caller: Caller, request: Input) -> Output:
        stack = self._store.get(request["StackName"], caller.account, caller.region)
        stack.termination_protection = request["EnableTerminationProtection"]
        return {"StackId": stack.id}

    def _checked_revision(self, caller: Caller, request: Input, stack: Stack) -> Revision:
        revision = self._revisions.revision(caller, request, stack)
        unsupported = self._revisions.unsupported(revision.template)
        if unsupported:
            listed = ", ".join(unsupported)
            raise ValidationError(
                f"Template format error: Unrecognized resource types: the local AWS doesn't support {listed}"
            )
        return revision

    def _check_updatable(self, stack: Stack) -> None:
        if stack.status not in UPDATABLE:
            raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def _deploy(self, stack: Stack, request: Input) -> ScheduledDeployment:
        return ScheduledDeployment(stack, self._environment, self._run, request.get("ClientRequestToken"))


class ScheduledDeployment:
    """Starts deployments in the background; the stack is in progress when a method returns."""

    def __init__(self, stack: Stack, environment: Environment, run: RunDeployment, token: str | None) -> None:
        self._stack = stack
        self._store = environment.store
        self._run = run
        self._deployment = Deployment(stack, environment, token)

    def create_later(self, revision: Revision, on_failure: str) -> None:
        """Create the stack."""
        self._start("CREATE", lambda: self._deployment.create(revision, on_failure=on_failure))

    def update_later(self, revision: Revision, *, roll_back: bool) -> None:
        """Update the stack."""
        self._start("UPDATE", lambda: self._deployment.update(revision, roll_back=roll_back))

    def delete_later(self, retain: list[str]) -> None:
        """Delete the stack."""
        self._start("DELETE", lambda: self._deployment.delete(retain))

    def roll_back_later(self, skip: list[str]) -> None:
        """Roll back the deployment that failed."""
        if self._stack.status == "CREATE_FAILED":
            self._start("ROLLBACK", self._deployment.roll_back_creation)
        else:
            self._start("UPDATE_ROLLBACK", lambda: self._deployment.roll_back_update(skip=skip))

    def _start(self, verb: str, work: Callable[[], None]) -> None:
        stack = self._stack
        with self._store.lock:
            if stack.busy:
                raise ValidationError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
            # set here as well as by the deployment: a waiter that asks at once must not see the old state
            stack.status = f"{verb}_IN_PROGRESS"
        # they were worked out for what the stack was
        stack.change_sets.clear()
        self._run(stack, work, f"{verb}_FAILED")
