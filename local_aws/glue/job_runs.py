"""Runs of Glue jobs: their start, queue, retries and end."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from botocore.exceptions import ClientError

from local_aws import moto_fit
from local_aws.glue.job_run import JobRun, log_group
from local_aws.glue.mirror_cache import MirrorCache
from local_aws.glue.operations import Handler, Owner, Record, owner_of, page
from local_aws.glue.run_slots import RunSlots
from local_aws.json_api import ApiError
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_MINUTES = 480
CLOSE_GRACE_SECONDS = 2.0
# severity and message of a state change's event; a run that failed has a message of its own
_EVENTS = {
    "SUCCEEDED": ("INFO", "Job run succeeded"),
    "STOPPED": ("INFO", "Job run stopped"),
    "TIMEOUT": ("WARN", "Job run timed out"),
}


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What started a run: a trigger, which may add arguments that StartJobRun's request doesn't show.

    `ended` is called when an attempt has ended, with the record of the next attempt or None after the last.
    """

    trigger: str
    ended: Callable[[Record | None], None] | None = None
    predecessors: list[Record] = field(default_factory=list)
    arguments: Mapping[str, str] = field(default_factory=dict)


class JobRuns:
    """Starts, shows and stops job runs.

    A run beyond the job's MaxConcurrentRuns is refused, or waits for its turn if the job or the run is queued.
    """

    def __init__(self, context: LocalContext, *, minute_seconds: float = 60.0) -> None:
        self._context = context
        self._minute = minute_seconds
        self._slots = RunSlots()
        self._cache = MirrorCache(context.state_dir / "cache" / "glue")
        self._lock = threading.RLock()
        self._closed = False
        # newest last
        self._runs: dict[Owner, list[JobRun]] = {}
        self.operations: dict[str, Handler] = {
            "StartJobRun": self._start_job_run,
            "GetJobRun": self._get_job_run,
            "GetJobRuns": self._get_job_runs,
            "BatchStopJobRun": self._batch_stop_job_run,
            "UpdateJob": self._update_job,
        }

    def close(self) -> None:
        """Stop every run, and wait until none runs."""
        with self._lock:
            self._closed = True
            unfinished = [run for runs in self._runs.values() for run in runs if not run.ended]
        for run in unfinished:
            threading.Thread(target=run.stop, args=(CLOSE_GRACE_SECONDS,), daemon=True).start()
        for run in unfinished:
            run.wait_for_end(timeout=10)

    def start(self, owner: Owner, request: Record, cause: Cause | None = None) -> Record:
        """Start a run as StartJobRun's request asks for, and return its record, which changes as the run goes on.

        ApiError says why it can't start.
        """
        job = self._job(owner, request["JobName"])
        with self._lock:
            if self._closed:
                raise ApiError("InternalServiceException", "the local AWS is stopping", 503)
            queued = request.get("JobRunQueuingEnabled", job.get("JobRunQueuingEnabled", False))
            waits = len(self._unfinished(owner, job)) >= _concurrency(job)
            if waits and not queued:
                raise ApiError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job['Name']}")
            security = request.get("SecurityConfiguration") or job.get("SecurityConfiguration")
            record = {
                "Id": f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}",
                "Attempt": 0,
                "JobName": job["Name"],
                "JobRunQueuingEnabled": queued,
                "Arguments": request.get("Arguments", {}),
                "Timeout": request.get("Timeout") or job.get("Timeout") or DEFAULT_TIMEOUT_MINUTES,
                "TriggerName": cause.trigger if cause else None,
                "PredecessorRuns": cause.predecessors if cause else [],
                "SecurityConfiguration": security,
                "LogGroupName": log_group(security, job["Role"]),
                "GlueVersion": job.get("GlueVersion"),
                "WorkerType": request.get("WorkerType") or job.get("WorkerType"),
                "NumberOfWorkers": request.get("NumberOfWorkers") or job.get("NumberOfWorkers"),
                "ExecutionClass": request.get("ExecutionClass") or job.get("ExecutionClass", "STANDARD"),
            }
            self._launch(owner, job, record, cause, waits=waits)
        return record

    def now(self) -> datetime:
        """Return the present moment by the clock of the local AWS, in UTC."""
        return self._context.clock.now()

    def stop(self, owner: Owner, run_id: str) -> None:
        """Stop a run without waiting for its end."""
        with self._lock:
            found = [run for run in self._runs.get(owner, []) if run.record["Id"] == run_id]
        for run in found:
            threading.Thread(target=run.stop, daemon=True).start()

    def _unfinished(self, owner: Owner, job: Record) -> list[JobRun]:
        return [run for run in self._runs.get(owner, []) if run.record["JobName"] == job["Name"] and not run.ended]

    def _launch(self, owner: Owner, job: Record, record: Record, cause: Cause | None, *, waits: bool) -> None:
        now = self.now()
        record |= {"StartedOn": now, "LastModifiedOn": now, "ExecutionTime": 0}
        record["JobRunState"] = "WAITING" if waits else "STARTING"

        def changed(run: JobRun) -> None:
            self._announce(run)
            following = self._retry(owner, job, run.record, cause)
            self._start_waiting(owner, job)
            if cause is not None and cause.ended is not None:
                cause.ended(following)

        run = JobRun(
            self._context,
            owner[1],
            job,
            record,
            slots=self._slots,
            cache=self._cache,
            extra_arguments=cause.arguments if cause else {},
            time_limit_seconds=record["Timeout"] * self._minute,
            changed=changed,
        )
        self._runs.setdefault(owner, []).append(run)
        if not waits:
            run.start()

    def _start_waiting(self, owner: Owner, job: Record) -> None:
        """Start the queued runs of a job that there is room for now, oldest first."""
        with self._lock:
            unfinished = self._unfinished(owner, job)
            waiting = [run for run in unfinished if run.waiting]
            room = _concurrency(job) - len(unfinished) + len(waiting)
            if not self._closed:
                for run in waiting[: max(room, 0)]:
                    run.leave_queue()

    def _retry(self, owner: Owner, job: Record, failed: Record, cause: Cause | None) -> Record | None:
        """Start the next attempt of a run that failed, as often as the job's MaxRetries allows."""
        with self._lock:
            if failed["JobRunState"] != "FAILED" or failed["Attempt"] >= job.get("MaxRetries", 0) or self._closed:
                return None
            attempt = failed["Attempt"] + 1
            kept = {name: value for name, value in failed.items() if name not in ("ErrorMessage", "CompletedOn")}
            base = str(failed["Id"]).partition("_attempt_")[0]
            again = {**kept, "Id": f"{base}_attempt_{attempt}", "Attempt": attempt, "PreviousRunId": failed["Id"]}
            self._launch(owner, job, again, cause, waits=False)
            return again

    def _start_job_run(self, call: Call, request: Record) -> Record:
        if "JobRunId" in request:
            raise ApiError("InvalidInputException", "the local AWS doesn't retry earlier job runs: start a new one")
        return {"JobRunId": self.start(owner_of(call), request)["Id"]}

    def _get_job_run(self, call: Call, request: Record) -> Record:
        return {"JobRun": self._run(call, request["JobName"], request["RunId"]).record}

    def _get_job_runs(self, call: Call, request: Record) -> Record:
        self._job(owner_of(call), request["JobName"])
        with self._lock:
            runs = self._runs.get(owner_of(call), [])
            found = [run.record for run in reversed(runs) if run.record["JobName"] == request["JobName"]]
        shown, token = page(found, request, 200)
        return {"JobRuns": shown, "NextToken": token}

    def _batch_stop_job_run(self, call: Call, request: Record) -> Record:
        stopped, errors = [], []
        for run_id in request["JobRunIds"]:
            name = {"JobName": request["JobName"], "JobRunId": run_id}
            try:
                run = self._run(call, request["JobName"], run_id)
                if run.ended:
                    raise ApiError("InvalidInputException", f"Job run {run_id} has ended already")
            except ApiError as error:
                errors.append({**name, "ErrorDetail": {"ErrorCode": error.code, "ErrorMessage": error.message}})
                continue
            self.stop(owner_of(call), run_id)
            stopped.append(name)
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    def _update_job(self, call: Call, request: Record) -> Record:
        name = request["JobName"]
        if not moto_fit.update_glue_job(call.account, call.region, name, request["JobUpdate"]):
            raise ApiError("EntityNotFoundException", f"Job {name} not found.")
        return {"JobName": name}

    def _job(self, owner: Owner, name: str) -> Record:
        account, region = owner
        role = None if account == self._context.account else f"arn:aws:iam::{account}:role/glue"
        try:
            job: Record = self._context.client("glue", region=region, role_arn=role).get_job(JobName=name)["Job"]
        except ClientError as error:
            message = error.response["Error"].get("Message", "")
            raise ApiError(error.response["Error"]["Code"], message) from error
        return job

    def _run(self, call: Call, job_name: str, run_id: str) -> JobRun:
        with self._lock:
            for run in self._runs.get(owner_of(call), []):
                if run.record["JobName"] == job_name and run.record["Id"] == run_id:
                    return run
        raise ApiError("EntityNotFoundException", f"JobRun {run_id} of {job_name} not found.")

    def _announce(self, run: JobRun) -> None:
        record = run.record
        state = record["JobRunState"]
        severity, message = _EVENTS.get(state, ("ERROR", record.get("ErrorMessage", f"Job run ended as {state}")))
        detail = {
            "jobName": record["JobName"],
            "severity": severity,
            "state": state,
            "jobRunId": record["Id"],
            "message": message,
        }
        try:
            self._context.emit("aws.glue", "Glue Job State Change", detail, [])
        except Exception:
            # a run has ended whatever becomes of its event
            _log.exception("the event of the run %s wasn't delivered", record["Id"])


def _concurrency(job: Record) -> int:
    return int(job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1))
