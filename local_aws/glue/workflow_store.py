"""The workflows and triggers that exist, by account and region."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from local_aws.glue.operations import Owner, Record
from local_aws.glue.trigger_checks import START_TYPES
from local_aws.glue.workflow_run import WorkflowRun
from local_aws.json_api import ApiError


@dataclass
class Workflow:
    """A workflow as the API shows it, and its runs, newest last."""

    record: Record
    runs: list[WorkflowRun] = field(default_factory=list)


class WorkflowStore:
    """Shared by the operations of workflows and those of triggers; `lock` guards all of it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._workflows: dict[Owner, dict[str, Workflow]] = {}
        self._triggers: dict[Owner, dict[str, Record]] = {}

    def workflows(self, owner: Owner) -> dict[str, Workflow]:
        """Return the workflows of an account in a region by name."""
        return self._workflows.setdefault(owner, {})

    def triggers(self, owner: Owner) -> dict[str, Record]:
        """Return the triggers of an account in a region by name."""
        return self._triggers.setdefault(owner, {})

    def workflow(self, owner: Owner, name: str) -> Workflow:
        """Return a workflow; EntityNotFoundException when there is none of this name."""
        with self.lock:
            found = self.workflows(owner).get(name)
        if found is None:
            raise ApiError("EntityNotFoundException", f"Workflow {name} not found.")
        return found

    def trigger(self, owner: Owner, name: str) -> Record:
        """Return a trigger; EntityNotFoundException when there is none of this name."""
        with self.lock:
            found = self.triggers(owner).get(name)
        if found is None:
            raise ApiError("EntityNotFoundException", f"Trigger {name} not found.")
        return found

    def triggers_of(self, owner: Owner, workflow: str) -> list[Record]:
        """Return copies of a workflow's triggers."""
        with self.lock:
            return [dict(each) for each in self.triggers(owner).values() if each.get("WorkflowName") == workflow]

    def start_trigger(self, owner: Owner, workflow: str) -> Record | None:
        """Return the one trigger that starts a workflow, if it has one yet."""
        return next((each for each in self.triggers_of(owner, workflow) if each["Type"] in START_TYPES), None)

    def runs(self) -> Iterator[WorkflowRun]:
        """Go through the runs of all workflows."""
        with self.lock:
            everything = [each for workflows in self._workflows.values() for each in workflows.values()]
        for workflow in everything:
            yield from list(workflow.runs)
