"""The operations of Glue triggers, and the events that reach them."""

from __future__ import annotations

import logging
from typing import Any

from local_aws import moto_fit
from local_aws.clock import Clock
from local_aws.glue.job_runs import Cause, JobRuns
from local_aws.glue.operations import Handler, Owner, Record, owner_of, page
from local_aws.glue.trigger_batches import EventBatches, Key
from local_aws.glue.trigger_checks import START_TYPES, check_trigger
from local_aws.glue.workflow_store import WorkflowStore
from local_aws.glue.workflows import Workflows
from local_aws.json_api import ApiError
from local_aws.service import Call

_log = logging.getLogger(__name__)

# what UpdateTrigger replaces
_DEFINITION = ("Description", "Actions", "Predicate", "EventBatchingCondition")


class Triggers:
    """Keeps triggers. Those of a workflow act in its runs; one without a workflow runs its jobs when it is started."""

    def __init__(self, clock: Clock, store: WorkflowStore, workflows: Workflows, job_runs: JobRuns) -> None:
        self._store = store
        self._workflows = workflows
        self._job_runs = job_runs
        self._batches = EventBatches(clock, self._fire)
        self.operations: dict[str, Handler] = {
            "CreateTrigger": self._create,
            "GetTrigger": self._get,
            "GetTriggers": self._get_all,
            "BatchGetTriggers": self._batch_get,
            "ListTriggers": self._list,
            "UpdateTrigger": self._update,
            "DeleteTrigger": self._delete,
            "StartTrigger": self._start,
            "StopTrigger": self._stop,
        }

    def close(self) -> None:
        """Forget the events that wait."""
        self._batches.close()

    def notify(self, owner: Owner, workflow: str, event: str) -> None:
        """Bring an event, by its id, to the trigger that starts a workflow, as EventBridge's NotifyEvent does.

        ApiError when the workflow has no trigger for events, or a deactivated one.
        """
        with self._store.lock:
            self._store.workflow(owner, workflow)
            trigger = self._store.start_trigger(owner, workflow)
        if trigger is None or trigger["Type"] != "EVENT":
            raise ApiError("InvalidInputException", f"Workflow {workflow} isn't started by a trigger of type EVENT")
        # one for events is never activated: it takes events from its creation on
        if trigger["State"] not in ("CREATED", "ACTIVATED"):
            raise ApiError("InvalidInputException", f"Trigger {trigger['Name']} is {trigger['State']}")
        self._batches.add((owner, trigger["Name"]), event, trigger.get("EventBatchingCondition", {}))

    def _fire(self, key: Key, events: list[str], batch: Record) -> None:
        owner, name = key
        try:
            trigger = dict(self._store.trigger(owner, name))
            self._workflows.start_run_by_events(owner, trigger["WorkflowName"], trigger, events, batch)
        except ApiError as error:
            # deleted while its events waited
            _log.warning("trigger %s dropped %d events: %s", name, len(events), error.message)

    def _create(self, call: Call, request: Record) -> Record:
        owner, name = owner_of(call), request["Name"]
        check_trigger(request)
        if request.get("StartOnCreation") and request["Type"] == "ON_DEMAND":
            raise ApiError("InvalidInputException", f"Trigger {name}: one of type ON_DEMAND can't start on creation")
        with self._store.lock:
            if name in self._store.triggers(owner):
                raise ApiError("AlreadyExistsException", f"Trigger {name} already exists.")
            workflow = request.get("WorkflowName")
            if workflow is not None:
                self._check_workflow(owner, workflow, request)
            self._store.triggers(owner)[name] = {
                "Name": name,
                "Type": request["Type"],
                "State": "ACTIVATED" if request.get("StartOnCreation") else "CREATED",
                **({"WorkflowName": workflow} if workflow is not None else {}),
                **_definition(request),
            }
        moto_fit.tag_glue_resource(call.account, call.region, f"trigger/{name}", request.get("Tags", {}))
        return {"Name": name}

    def _check_workflow(self, owner: Owner, workflow: str, request: Record) -> None:
        self._store.workflow(owner, workflow)
        first = self._store.start_trigger(owner, workflow)
        if first is not None and request["Type"] in START_TYPES:
            raise ApiError(
                "InvalidInputException",
                f"Trigger {request['Name']}: workflow {workflow} has a starting trigger already, {first['Name']}",
            )

    def _get(self, call: Call, request: Record) -> Record:
        return {"Trigger": dict(self._store.trigger(owner_of(call), request["Name"]))}

    def _get_all(self, call: Call, request: Record) -> Record:
        shown, token = page(self._found(owner_of(call), request), request, 200)
        return {"Triggers": shown, "NextToken": token}

    def _batch_get(self, call: Call, request: Record) -> Record:
        found = {trigger["Name"]: trigger for trigger in self._found(owner_of(call), {})}
        names = request["TriggerNames"]
        return {
            "Triggers": [found[name] for name in names if name in found],
            "TriggersNotFound": [name for name in names if name not in found],
        }

    def _list(self, call: Call, request: Record) -> Record:
        wanted = request.get("Tags", {}).items()
        names = [
            trigger["Name"]
            for trigger in self._found(owner_of(call), request)
            if not wanted or wanted <= moto_fit.glue_tags(*owner_of(call), f"trigger/{trigger['Name']}").items()
        ]
        shown, token = page(names, request, 200)
        return {"TriggerNames": shown, "NextToken": token}

    def _found(self, owner: Owner, request: Record) -> list[Record]:
        job = request.get("DependentJobName")
        with self._store.lock:
            triggers = [dict(trigger) for _, trigger in sorted(self._store.triggers(owner).items())]
        return [
            trigger for trigger in triggers if job is None or job in [each["JobName"] for each in trigger["Actions"]]
        ]

    def _update(self, call: Call, request: Record) -> Record:
        """Replace what a trigger does; its type, workflow and state stay. Runs that have begun go by the old one."""
        owner, name = owner_of(call), request["Name"]
        update: dict[str, Any] = request["TriggerUpdate"]
        with self._store.lock:
            trigger = self._store.trigger(owner, name)
            kept = {member: value for member, value in trigger.items() if member not in _DEFINITION}
            check_trigger({**update, **kept})
            changed = {**kept, **_definition(update)}
            self._store.triggers(owner)[name] = changed
        return {"Trigger": changed}

    def _delete(self, call: Call, request: Record) -> Record:
        owner, name = owner_of(call), request["Name"]
        with self._store.lock:
            self._store.triggers(owner).pop(name, None)
        self._batches.drop((owner, name))
        moto_fit.untag_glue_resource(*owner, f"trigger/{name}")
        return {"Name": name}

    def _start(self, call: Call, request: Record) -> Record:
        owner, name = owner_of(call), request["Name"]
        with self._store.lock:
            trigger = self._store.trigger(owner, name)
            if trigger["Type"] != "ON_DEMAND":
                trigger["State"] = "ACTIVATED"
                return {"Name": name}
        if "WorkflowName" in trigger:
            self._workflows.start_run(owner, trigger["WorkflowName"], {})
            return {"Name": name}
        for action in trigger["Actions"]:
            self._job_runs.start(owner, action, Cause(trigger=name))
        return {"Name": name}

    def _stop(self, call: Call, request: Record) -> Record:
        owner, name = owner_of(call), request["Name"]
        with self._store.lock:
            trigger = self._store.trigger(owner, name)
            if trigger["Type"] == "ON_DEMAND":
                raise ApiError("InvalidInputException", f"Trigger {name}: one of type ON_DEMAND is never activated")
            trigger["State"] = "DEACTIVATED"
        self._batches.drop((owner, name))
        return {"Name": name}


def _definition(request: Record) -> Record:
    return {member: request[member] for member in _DEFINITION if member in request}
