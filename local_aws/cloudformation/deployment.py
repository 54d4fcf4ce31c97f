"""The deployment of a stack: create, update, roll back and delete, as CloudFormation goes about them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from local_aws.cloudformation.environment import Environment, StackReferences, evaluation_parameters
from local_aws.cloudformation.errors import CloudFormationError
from local_aws.cloudformation.intrinsics import Evaluator
from local_aws.cloudformation.planning import with_stack_tags
from local_aws.cloudformation.providers.provider import ReplacementRequired
from local_aws.cloudformation.resource_steps import ResourceSteps, StepFailed, describe
from local_aws.cloudformation.schemas import resource_schema
from local_aws.cloudformation.stacks import JournalEntry, Output, Revision, Stack, StackResource, now
from local_aws.cloudformation.template import ResourceDeclaration, creation_order

_LOG = logging.getLogger(__name__)


class Deployment:
    """One operation on a stack, run in a thread of its own by the service.

    Every step is journaled before it starts; rolling back undoes the journal from its end.
    """

    def __init__(self, stack: Stack, environment: Environment, token: str | None = None) -> None:
        self._stack = stack
        self._environment = environment
        self._token = token
        self._steps = ResourceSteps(stack, environment, token)

    def create(self, revision: Revision, *, on_failure: str = "ROLLBACK") -> None:
        """Create every resource; `on_failure` is ROLLBACK, DELETE or DO_NOTHING."""
        stack = self._stack
        stack.revision = revision
        stack.move_to("CREATE_IN_PROGRESS", "User Initiated", self._token)
        try:
            self._apply(revision)
        except StepFailed as failure:
            reason = f"The following resource(s) failed to create: [{failure.logical_id}]. "
            self._creation_failed(reason, on_failure)
        except CloudFormationError as error:
            self._creation_failed(error.message, on_failure)
        else:
            stack.journal.clear()
            stack.move_to("CREATE_COMPLETE", token=self._token)

    def _creation_failed(self, reason: str, on_failure: str) -> None:
        if on_failure == "DO_NOTHING":
            self._stack.move_to("CREATE_FAILED", reason, self._token)
        elif on_failure == "DELETE":
            self._stack.move_to("DELETE_IN_PROGRESS", f"{reason}Delete requested by user.", self._token)
            self._delete_all(frozenset(), "DELETE")
        else:
            self.roll_back_creation(f"{reason}Rollback requested by user.")

    def roll_back_creation(self, reason: str | None = None) -> None:
        """Delete what an unfinished creation has made."""
        self._stack.move_to("ROLLBACK_IN_PROGRESS", reason, self._token)
        self._delete_all(frozenset(), "ROLLBACK")

    def update(self, revision: Revision, *, roll_back: bool = True) -> None:
        """Bring the stack to a revision; undo everything if that fails, unless `roll_back` is off."""
        stack = self._stack
        if stack.stable_revision is None:
            stack.stable_revision = stack.revision
        before = stack.outputs
        stack.updated_at = now()
        stack.move_to("UPDATE_IN_PROGRESS", "User Initiated", self._token)
        try:
            self._apply(revision)
            self._check_exports_in_use(before)
        except StepFailed as failure:
            stack.outputs = before
            verb = (
                "update"
                if any(entry.logical_id == failure.logical_id and entry.before for entry in stack.journal)
                else "create"
            )
            self._update_failed(
                revision, f"The following resource(s) failed to {verb}: [{failure.logical_id}]. ", roll_back
            )
        except CloudFormationError as error:
            stack.outputs = before
            self._update_failed(revision, error.message, roll_back)
        else:
            self._finish_update(revision)

    def _update_failed(self, revision: Revision, reason: str, roll_back: bool) -> None:
        if roll_back:
            self.roll_back_update(reason)
        else:
            self._stack.revision = revision
            self._stack.move_to("UPDATE_FAILED", reason, self._token)

    def _finish_update(self, revision: Revision) -> None:
        stack = self._stack
        stack.revision, stack.stable_revision = revision, None
        stack.move_to("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", token=self._token)
        stack.journal.clear()
        references = self._references()
        evaluator = Evaluator(revision.template, evaluation_parameters(stack, revision), references)
        kept = {key for key, item in revision.template.resources.items() if evaluator.enabled(item.condition)}
        removed = [resource for key, resource in stack.resources.items() if key not in kept]
        for resource in removed:
            del stack.resources[resource.logical_id]
        # a failed clean-up leaves a resource behind, but doesn't fail the update
        self._clean_up([*stack.leftovers, *deletion_base({item.logical_id: item for item in removed})])
        stack.leftovers.clear()
        stack.move_to("UPDATE_COMPLETE", token=self._token)

    def _apply(self, revision: Revision) -> None:
        stack, references = self._stack, self._references()
        evaluator = Evaluator(revision.template, evaluation_parameters(stack, revision), references)
        # one after another: what a resource costs here is this process's computing time, which threads don't shorten
        for declaration in creation_order(revision.template.resources):
            if evaluator.enabled(declaration.condition):
                self._apply_resource(declaration, evaluator, revision)
        outputs = self._outputs(revision, evaluator)
        self._check_exports_free(outputs)
        stack.outputs, stack.imports = outputs, frozenset(references.imports)

    def _apply_resource(self, declaration: ResourceDeclaration, evaluator: Evaluator, revision: Revision) -> None:
        stack, key = self._stack, declaration.logical_id
        current = stack.resources.get(key)
        try:
            evaluated = evaluator.evaluate(dict(declaration.properties))
            properties = with_stack_tags(declaration.type, evaluated, revision.tags)
        except CloudFormationError as error:
            stand_in = current or StackResource(key, declaration.type)
            raise self._steps.fail(stand_in, "UPDATE_FAILED" if current else "CREATE_FAILED", error) from error
        if current is None:
            stack.journal.append(JournalEntry(key, None))
            self._steps.create(declaration, properties)
        elif current.status.endswith("CREATE_FAILED"):
            # left by a deployment without rollback: try again
            self._steps.delete(current)
            self._steps.create(declaration, properties)
        elif properties != current.properties or current.status == "UPDATE_FAILED":
            self._change(declaration, current, properties)
        describe(stack.resources[key], declaration, stack)

    def _change(self, declaration: ResourceDeclaration, current: StackResource, properties: dict[str, Any]) -> None:
        schema = resource_schema(declaration.type)
        before = copy.copy(current)
        if schema is None or not schema.replacing_changes(current.properties, properties):
            self._stack.journal.append(JournalEntry(declaration.logical_id, before))
            try:
                self._steps.update(current, properties)
                return
            except StepFailed as failure:
                if not isinstance(failure.__cause__, ReplacementRequired):
                    raise
                self._stack.journal.pop()
                current.attempted = before.attempted
        try:
            self._steps.check_replaceable(declaration, before.properties, properties)
        except Exception as error:
            raise self._steps.fail(current, "UPDATE_FAILED", error) from error
        self._stack.journal.append(JournalEntry(declaration.logical_id, before, replaced=True))
        self._steps.create(declaration, properties, replacing=True)
        self._stack.leftovers.append(before)

    def roll_back_update(self, reason: str | None = None, skip: Collection[str] = ()) -> None:
        """Undo an unfinished update; resources named in `skip` are taken as they are."""
        stack, steps = self._stack, self._steps
        stack.move_to("UPDATE_ROLLBACK_IN_PROGRESS", reason, self._token)
        superseded: list[StackResource] = []
        restored: list[StackResource] = []
        failed: list[str] = []
        remaining: list[JournalEntry] = []
        for entry in reversed(stack.journal):
            current = stack.resources.get(entry.logical_id)
            if current is None:
                continue
            if entry.before is None or entry.replaced:
                superseded.append(stack.resources.pop(entry.logical_id))
                if entry.before is not None:
                    steps.restore(entry.before)
                    restored.append(entry.before)
            elif entry.logical_id in skip:
                stack.resources[entry.logical_id] = entry.before
            else:
                try:
                    steps.update(current, entry.before.properties)
                    self._restore_description(current, entry.before)
                except StepFailed as failure:
                    failed.append(failure.logical_id)
                    remaining.insert(0, entry)
        stack.journal[:] = remaining
        # what an earlier attempt to roll back superseded still waits for its deletion
        stack.leftovers[:] = [item for item in stack.leftovers if not any(item is other for other in restored)]
        stack.leftovers += superseded
        if failed:
            stack.move_to(
                "UPDATE_ROLLBACK_FAILED",
                f"The following resource(s) failed to update: [{', '.join(failed)}]. ",
                self._token,
            )
            return
        stack.move_to("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", token=self._token)
        self._clean_up(stack.leftovers, newest_first=False)
        stack.leftovers.clear()
        stack.revision, stack.stable_revision = stack.stable_revision or stack.revision, None
        stack.move_to("UPDATE_ROLLBACK_COMPLETE", token=self._token)

    @staticmethod
    def _restore_description(current: StackResource, before: StackResource) -> None:
        current.depends_on, current.metadata = before.depends_on, before.metadata
        current.deletion_policy, current.update_replace_policy = before.deletion_policy, before.update_replace_policy

    def delete(self, retain: Collection[str] = ()) -> None:
        """Delete the stack with its resources, but those whose policy or `retain` keeps them."""
        stack = self._stack
        stack.move_to("DELETE_IN_PROGRESS", "User Initiated", self._token)
        for output in stack.outputs:
            users = self._importers(output.export_name)
            if users:
                reason = f"Export {output.export_name} cannot be deleted as it is in use by {', '.join(users)}"
                stack.move_to("DELETE_FAILED", reason, self._token)
                return
        self._delete_all(frozenset(retain), "DELETE")

    def _delete_all(self, retain: Collection[str], verb: str) -> None:
        stack = self._stack
        failed: list[str] = []
        needed: set[str] = set()
        for resource in [*reversed(deletion_base(stack.resources)), *reversed(stack.leftovers)]:
            if resource.logical_id in needed:
                needed |= resource.depends_on
                continue
            if self._retained(resource, retain, verb):
                self._steps.skip_delete(resource)
            else:
                try:
                    self._steps.delete(resource)
                except StepFailed as failure:
                    failed.append(failure.logical_id)
                    needed |= resource.depends_on
                    continue
            if stack.resources.get(resource.logical_id) is resource:
                del stack.resources[resource.logical_id]
        if failed:
            reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
            stack.move_to(f"{verb}_FAILED", reason, self._token)
            return
        stack.outputs, stack.imports = [], frozenset()
        stack.journal.clear()
        stack.leftovers.clear()
        if verb == "DELETE":
            stack.deleted_at = now()
        stack.move_to(f"{verb}_COMPLETE", token=self._token)

    @staticmethod
    def _retained(resource: StackResource, retain: Collection[str], verb: str) -> bool:
        if resource.deletion_policy == "RetainExceptOnCreate":
            return verb == "DELETE"
        # what was never created can't be kept
        return bool(resource.physical_id) and (resource.deletion_policy == "Retain" or resource.logical_id in retain)

    def _clean_up(self, resources: Iterable[StackResource], *, newest_first: bool = True) -> None:
        ordered = list(resources)
        for resource in reversed(ordered) if newest_first else ordered:
            replaced = resource.logical_id in self._stack.resources
            policy = resource.update_replace_policy if replaced else resource.deletion_policy
            if policy != "Delete" and newest_first:
                self._steps.skip_delete(resource)
                continue
            try:
                self._steps.delete(resource)
            except StepFailed:
                _LOG.warning("%s was left behind: %s", resource.physical_id, resource.reason)

    def _outputs(self, revision: Revision, evaluator: Evaluator) -> list[Output]:
        outputs = []
        for key, declared in revision.template.section("Outputs").items():
            if evaluator.enabled(declared.get("Condition")):
                export = declared.get("Export")
                value = evaluator.evaluate(declared["Value"])
                text = str(value).lower() if isinstance(value, bool) else str(value)
                name = evaluator.evaluate(export["Name"]) if export else None
                outputs.append(Output(key, text, declared.get("Description"), name))
        return outputs

    def _check_exports_free(self, outputs: Iterable[Output]) -> None:
        stack = self._stack
        taken = {
            output.export_name: other.name
            for other in self._environment.store.of(stack.account, stack.region)
            if other is not stack
            for output in other.outputs
        }
        for output in outputs:
            if output.export_name is not None and output.export_name in taken:
                raise CloudFormationError(
                    "ValidationError",
                    f"Export with name {output.export_name} is already exported by stack {taken[output.export_name]}. ",
                )

    def _check_exports_in_use(self, before: Iterable[Output]) -> None:
        now_exported: Mapping[str | None, str] = {output.export_name: output.value for output in self._stack.outputs}
        for output in before:
            users = self._importers(output.export_name)
            if users and now_exported.get(output.export_name) != output.value:
                verb = "updated" if output.export_name in now_exported else "deleted"
                raise CloudFormationError(
                    "ValidationError",
                    f"Export {output.export_name} cannot be {verb} as it is in use by {', '.join(users)}",
                )

    def _importers(self, export_name: str | None) -> list[str]:
        if export_name is None:
            return []
        return self._environment.store.importers(export_name, self._stack.account, self._stack.region)

    def _references(self) -> StackReferences:
        return StackReferences(self._stack, self._environment)


def deletion_base(resources: Mapping[str, StackResource]) -> list[StackResource]:
    """Return resources so that each comes after those that it depends on."""
    ordered: list[StackResource] = []
    seen: set[str] = set()

    def visit(key: str) -> None:
        if key in seen or key not in resources:
            return
        seen.add(key)
        for needed in sorted(resources[key].depends_on):
            visit(needed)
        ordered.append(resources[key])

    for key in resources:
        visit(key)
    return ordered
