"""One run of a Glue workflow: which triggers have fired, what became of their actions, and when nothing is left."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from local_aws.glue.job_run import ENDED_STATES
from local_aws.glue.job_runs import Cause, JobRuns
from local_aws.glue.operations import Owner, Record
from local_aws.glue.workflow_graph import workflow_graph
from local_aws.json_api import ApiError

RUNNING_STATES = frozenset({"STARTING", "RUNNING", "STOPPING"})
_STATISTICS = {
    "SUCCEEDED": "SucceededActions",
    "FAILED": "FailedActions",
    "TIMEOUT": "TimeoutActions",
    "STOPPED": "StoppedActions",
    "ERROR": "ErroredActions",
    "WAITING": "WaitingActions",
    **dict.fromkeys(RUNNING_STATES, "RunningActions"),
}


@dataclass
class Action:
    """A job that a trigger started, by the records of its attempts; one in ERROR is of a run that couldn't start."""

    job: str
    attempts: list[Record] = field(default_factory=list)
    finished: bool = False

    @property
    def state(self) -> str:
        return str(self.attempts[-1]["JobRunState"])


class WorkflowRun:
    """A run goes by the triggers that the workflow has when it starts. Each of them fires once at most.

    The run is COMPLETED when nothing runs and no trigger's predicate can still come true, whether actions failed or
    not: its Statistics tell.
    """

    def __init__(
        self,
        owner: Owner,
        workflow: Mapping[str, Any],
        triggers: Sequence[Record],
        job_runs: JobRuns,
        *,
        properties: Mapping[str, str],
        previous: str | None,
        batch: Record | None = None,
    ) -> None:
        self.record: Record = {
            "Name": workflow["Name"],
            "WorkflowRunId": f"wr_{uuid.uuid4().hex}{uuid.uuid4().hex}",
            "PreviousRunId": previous,
            "WorkflowRunProperties": {**workflow.get("DefaultRunProperties", {}), **properties},
            "StartedOn": job_runs.now(),
            "Status": "RUNNING",
            "StartingEventBatchCondition": batch,
        }
        self._owner = owner
        self._triggers = list(triggers)
        self._job_runs = job_runs
        self._fired: set[str] = set()
        self._actions: list[Action] = []
        self._lock = threading.RLock()

    @property
    def id(self) -> str:
        return str(self.record["WorkflowRunId"])

    @property
    def active(self) -> bool:
        return self.record["Status"] in ("RUNNING", "STOPPING")

    def start(self, trigger: Record) -> None:
        """Take the actions of the workflow's start trigger."""
        with self._lock:
            self._fire(trigger, [])
            self._go_on()

    def refuse(self, reason: str) -> None:
        """End a run that an event asked for but that can't start."""
        with self._lock:
            self.record["ErrorMessage"] = reason
            self._end("ERROR")

    def stop(self) -> None:
        """Stop what runs and let no trigger fire any more; IllegalWorkflowStateException when the run has ended."""
        with self._lock:
            if self.record["Status"] != "RUNNING":
                raise ApiError(
                    "IllegalWorkflowStateException", f"Workflow run {self.id} is {self.record['Status']}, not RUNNING"
                )
            self.record["Status"] = "STOPPING"
            for action in self._actions:
                if not action.finished:
                    self._job_runs.stop(self._owner, action.attempts[-1]["Id"])
            self._go_on()

    def describe(self, *, with_graph: bool) -> Record:
        """Return the run as GetWorkflowRun shows it."""
        with self._lock:
            described = {**self.record, "Statistics": self._statistics()}
            if with_graph:
                described["Graph"] = workflow_graph(self._triggers, self._attempts())
            return described

    def put_properties(self, properties: Mapping[str, str]) -> None:
        """Add to the run's properties, or change some."""
        with self._lock:
            self.record["WorkflowRunProperties"] = {**self.record["WorkflowRunProperties"], **properties}

    def _go_on(self) -> None:
        while self.record["Status"] == "RUNNING" and (found := next(self._due(), None)):
            self._fire(*found)
        if self.active and all(action.finished for action in self._actions):
            self._end("STOPPED" if self.record["Status"] == "STOPPING" else "COMPLETED")

    def _due(self) -> Iterator[tuple[Record, list[Record]]]:
        """Return the triggers whose predicate has come true, each with the job runs that made it so."""
        for trigger in self._triggers:
            if trigger["Type"] != "CONDITIONAL" or trigger["State"] != "ACTIVATED" or trigger["Name"] in self._fired:
                continue
            predicate = trigger["Predicate"]
            met = [self._runs_that_meet(condition) for condition in predicate["Conditions"]]
            if any(met) if predicate.get("Logical") == "ANY" else all(met):
                yield trigger, [run for runs in met for run in runs]

    def _runs_that_meet(self, condition: Mapping[str, Any]) -> list[Record]:
        return [
            {"JobName": action.job, "RunId": action.attempts[-1]["Id"]}
            for action in self._actions
            if action.finished and (action.job, action.state) == (condition["JobName"], condition["State"])
        ]

    def _fire(self, trigger: Record, predecessors: list[Record]) -> None:
        self._fired.add(trigger["Name"])
        for request in trigger["Actions"]:
            action = Action(request["JobName"])
            cause = Cause(
                trigger=trigger["Name"],
                predecessors=predecessors,
                arguments={"--WORKFLOW_NAME": self.record["Name"], "--WORKFLOW_RUN_ID": self.id},
                ended=partial(self._note_end, action),
            )
            self._actions.append(action)
            try:
                action.attempts.append(self._job_runs.start(self._owner, request, cause))
            except ApiError as error:
                action.attempts.append(_errored(trigger["Name"], action.job, predecessors, error, self._job_runs.now()))
                action.finished = True

    def _note_end(self, action: Action, following: Record | None) -> None:
        with self._lock:
            if following is not None:
                action.attempts.append(following)
                if self.record["Status"] == "STOPPING":
                    self._job_runs.stop(self._owner, following["Id"])
                return
            action.finished = True
            self._go_on()

    def _end(self, status: str) -> None:
        self.record["CompletedOn"] = self._job_runs.now()
        self.record["Status"] = status

    def _statistics(self) -> dict[str, int]:
        counts = dict.fromkeys(_STATISTICS.values(), 0)
        for action in self._actions:
            # an attempt has ended a moment before it is known whether another follows
            settled = action.finished or action.state not in ENDED_STATES
            counts[_STATISTICS[action.state] if settled else "RunningActions"] += 1
        return {"TotalActions": len(self._actions), **counts}

    def _attempts(self) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for action in self._actions:
            found.setdefault(action.job, []).extend(action.attempts)
        return found


def _errored(trigger: str, job: str, predecessors: list[Record], error: ApiError, now: datetime) -> Record:
    return {
        "Id": f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}",
        "JobName": job,
        "TriggerName": trigger,
        "PredecessorRuns": predecessors,
        "JobRunState": "ERROR",
        "ErrorMessage": error.message,
        "StartedOn": now,
        "CompletedOn": now,
    }
