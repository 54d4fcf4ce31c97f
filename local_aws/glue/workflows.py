"""The operations of Glue workflows and their runs."""

from __future__ import annotations

from collections.abc import Mapping

from local_aws import moto_fit
from local_aws.glue.job_runs import JobRuns
from local_aws.glue.operations import Handler, Owner, Record, owner_of, page
from local_aws.glue.workflow_graph import workflow_graph
from local_aws.glue.workflow_run import WorkflowRun
from local_aws.glue.workflow_store import Workflow, WorkflowStore
from local_aws.json_api import ApiError
from local_aws.service import Call

_DEFINITION = ("Name", "Description", "DefaultRunProperties", "MaxConcurrentRuns")


class Workflows:
    """Keeps workflows, and starts, shows and stops their runs."""

    def __init__(self, store: WorkflowStore, job_runs: JobRuns) -> None:
        self._store = store
        self._job_runs = job_runs
        self.operations: dict[str, Handler] = {
            "CreateWorkflow": self._create,
            "GetWorkflow": self._get,
            "BatchGetWorkflows": self._batch_get,
            "ListWorkflows": self._list,
            "UpdateWorkflow": self._update,
            "DeleteWorkflow": self._delete,
            "StartWorkflowRun": self._start_run,
            "StopWorkflowRun": self._stop_run,
            "ResumeWorkflowRun": self._resume_run,
            "GetWorkflowRun": self._get_run,
            "GetWorkflowRuns": self._get_runs,
            "GetWorkflowRunProperties": self._get_run_properties,
            "PutWorkflowRunProperties": self._put_run_properties,
        }

    def close(self) -> None:
        """Let no run start anything more."""
        for run in self._store.runs():
            if run.record["Status"] == "RUNNING":
                run.stop()

    def start_run(self, owner: Owner, name: str, properties: Mapping[str, str]) -> WorkflowRun:
        """Start a run; ApiError when the workflow can't have one more, or nothing that starts it."""
        with self._store.lock:
            workflow = self._store.workflow(owner, name)
            run = self._new_run(owner, workflow, properties, None)
            trigger = self._store.start_trigger(owner, name)
            if trigger is None:
                raise ApiError("InvalidInputException", f"Workflow {name} has no trigger that starts it: create one")
            if not self._has_room(workflow):
                raise ApiError("ConcurrentRunsExceededException", _no_room(name))
            workflow.runs.append(run)
        run.start(trigger)
        return run

    def start_run_by_events(self, owner: Owner, name: str, trigger: Record, events: list[str], batch: Record) -> None:
        """Start a run for a batch of events; when the workflow can't have one more, the run says so by its state."""
        with self._store.lock:
            workflow = self._store.workflow(owner, name)
            run = self._new_run(owner, workflow, {"aws:eventIds": f"[{', '.join(events)}]"}, batch)
            has_room = self._has_room(workflow)
            workflow.runs.append(run)
        if has_room:
            run.start(trigger)
        else:
            run.refuse(_no_room(name))

    def _new_run(
        self, owner: Owner, workflow: Workflow, properties: Mapping[str, str], batch: Record | None
    ) -> WorkflowRun:
        triggers = self._store.triggers_of(owner, workflow.record["Name"])
        previous = workflow.runs[-1].id if workflow.runs else None
        return WorkflowRun(
            owner, workflow.record, triggers, self._job_runs, properties=properties, previous=previous, batch=batch
        )

    def _has_room(self, workflow: Workflow) -> bool:
        most = workflow.record.get("MaxConcurrentRuns")
        return most is None or sum(run.active for run in workflow.runs) < most

    def _create(self, call: Call, request: Record) -> Record:
        name = request["Name"]
        _check_concurrency(request)
        now = self._job_runs.now()
        definition = {member: request[member] for member in _DEFINITION if member in request}
        with self._store.lock:
            workflows = self._store.workflows(owner_of(call))
            if name in workflows:
                raise ApiError("AlreadyExistsException", f"Workflow {name} already exists.")
            workflows[name] = Workflow({**definition, "CreatedOn": now, "LastModifiedOn": now})
        moto_fit.tag_glue_resource(call.account, call.region, f"workflow/{name}", request.get("Tags", {}))
        return {"Name": name}

    def _get(self, call: Call, request: Record) -> Record:
        workflow = self._store.workflow(owner_of(call), request["Name"])
        return {"Workflow": self._describe(owner_of(call), workflow, request)}

    def _batch_get(self, call: Call, request: Record) -> Record:
        with self._store.lock:
            existing = dict(self._store.workflows(owner_of(call)))
        names = request["Names"]
        found = [self._describe(owner_of(call), existing[name], request) for name in names if name in existing]
        return {"Workflows": found, "MissingWorkflows": [name for name in names if name not in existing]}

    def _list(self, call: Call, request: Record) -> Record:
        with self._store.lock:
            names = sorted(self._store.workflows(owner_of(call)))
        shown, token = page(names, request, 25)
        return {"Workflows": shown, "NextToken": token}

    def _update(self, call: Call, request: Record) -> Record:
        """Replace the definition: what the request leaves out is taken away."""
        _check_concurrency(request)
        with self._store.lock:
            workflow = self._store.workflow(owner_of(call), request["Name"])
            definition = {member: request[member] for member in _DEFINITION if member in request}
            created = workflow.record["CreatedOn"]
            workflow.record = {**definition, "CreatedOn": created, "LastModifiedOn": self._job_runs.now()}
        return {"Name": request["Name"]}

    def _delete(self, call: Call, request: Record) -> Record:
        """Delete a workflow with its triggers, and stop its runs. One that isn't there is no error, as on AWS."""
        owner, name = owner_of(call), request["Name"]
        with self._store.lock:
            workflow = self._store.workflows(owner).pop(name, None)
            triggers = [f"trigger/{each['Name']}" for each in self._store.triggers_of(owner, name)]
            for each in self._store.triggers_of(owner, name):
                del self._store.triggers(owner)[each["Name"]]
        for run in workflow.runs if workflow else []:
            if run.record["Status"] == "RUNNING":
                run.stop()
        for resource in (f"workflow/{name}", *triggers):
            moto_fit.untag_glue_resource(*owner, resource)
        return {"Name": name}

    def _start_run(self, call: Call, request: Record) -> Record:
        run = self.start_run(owner_of(call), request["Name"], request.get("RunProperties", {}))
        return {"RunId": run.id}

    def _stop_run(self, call: Call, request: Record) -> Record:
        self._run(call, request).stop()
        return {}

    def _resume_run(self, _call: Call, _request: Record) -> Record:
        raise ApiError("InvalidInputException", "the local AWS doesn't resume workflow runs: start a new one")

    def _get_run(self, call: Call, request: Record) -> Record:
        return {"Run": self._run(call, request).describe(with_graph=request.get("IncludeGraph", False))}

    def _get_runs(self, call: Call, request: Record) -> Record:
        newest_first = self._store.workflow(owner_of(call), request["Name"]).runs[::-1]
        shown, token = page(newest_first, request, 1000)
        runs = [run.describe(with_graph=request.get("IncludeGraph", False)) for run in shown]
        return {"Runs": runs, "NextToken": token}

    def _get_run_properties(self, call: Call, request: Record) -> Record:
        return {"RunProperties": self._run(call, request).record["WorkflowRunProperties"]}

    def _put_run_properties(self, call: Call, request: Record) -> Record:
        self._run(call, request).put_properties(request["RunProperties"])
        return {}

    def _run(self, call: Call, request: Record) -> WorkflowRun:
        workflow = self._store.workflow(owner_of(call), request["Name"])
        for run in list(workflow.runs):
            if run.id == request["RunId"]:
                return run
        raise ApiError("EntityNotFoundException", f"Run {request['RunId']} of workflow {request['Name']} not found.")

    def _describe(self, owner: Owner, workflow: Workflow, request: Record) -> Record:
        with_graph = request.get("IncludeGraph", False)
        described = dict(workflow.record)
        if workflow.runs:
            described["LastRun"] = workflow.runs[-1].describe(with_graph=with_graph)
        if with_graph:
            described["Graph"] = workflow_graph(self._store.triggers_of(owner, workflow.record["Name"]))
        return described


def _check_concurrency(request: Record) -> None:
    if request.get("MaxConcurrentRuns", 1) < 1:
        raise ApiError("InvalidInputException", f"MaxConcurrentRuns must be at least 1: {request['MaxConcurrentRuns']}")


def _no_room(name: str) -> str:
    return f"Concurrent runs exceeded for workflow: {name}."
