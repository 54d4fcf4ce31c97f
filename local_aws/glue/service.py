"""The Glue API of the local AWS: job runs, and the update of jobs. Databases, tables and the like are moto's."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError
from werkzeug import Response

from local_aws import moto_fit
from local_aws.glue.job_run import JobRun, log_group
from local_aws.json_api import ApiError, JsonApi
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)

Record = dict[str, Any]
DEFAULT_TIMEOUT_MINUTES = 480
CLOSE_GRACE_SECONDS = 2.0


class GlueService:
    """Starts, shows and stops job runs. `minute_seconds` is the length of the minute that timeouts count in."""

    scopes = frozenset({"glue"})

    def __init__(self, context: LocalContext, *, minute_seconds: float = 60.0) -> None:
        self._context = context
        self._minute = minute_seconds
        self._api = JsonApi("glue")
        self._lock = threading.RLock()
        self._closed = False
        # by account and region, newest last
        self._runs: dict[tuple[str, str], list[JobRun]] = {}
        self._operations: dict[str, Callable[[Call, Record], Record]] = {
            "StartJobRun": self._start_job_run,
            "GetJobRun": self._get_job_run,
            "GetJobRuns": self._get_job_runs,
            "BatchStopJobRun": self._batch_stop_job_run,
            "UpdateJob": self._update_job,
        }

    def handle(self, call: Call) -> Response | None:
        """Answer the operations of job runs."""
        operation = self._api.operation(call.request.headers.get("X-Amz-Target", ""))
        handler = self._operations.get(operation)
        if handler is None:
            return None
        try:
            request = self._api.parse(operation, call.request.get_data())
            return self._api.answer(operation, handler(call, request))
        except ApiError as error:
            return error.response()
        except Exception as error:
            _log.exception("%s failed", operation)
            return ApiError("InternalServiceException", f"{type(error).__name__}: {error}", 500).response()

    def close(self) -> None:
        """Stop every run, and wait until none runs."""
        with self._lock:
            self._closed = True
            running = [run for runs in self._runs.values() for run in runs if run.is_alive()]
        for run in running:
            threading.Thread(target=run.stop, args=(CLOSE_GRACE_SECONDS,), daemon=True).start()
        for run in running:
            run.join(timeout=10)

    def _start_job_run(self, call: Call, request: Record) -> Record:
        if "JobRunId" in request:
            raise ApiError("InvalidInputException", "the local AWS doesn't retry earlier job runs: start a new one")
        job = self._job(call, request["JobName"])
        with self._lock:
            if self._closed:
                raise ApiError("InternalServiceException", "the local AWS is stopping", 503)
            runs = self._runs.get((call.account, call.region), [])
            active = sum(run.record["JobName"] == job["Name"] and not run.ended for run in runs)
            if active >= job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1):
                raise ApiError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job['Name']}")
            security = request.get("SecurityConfiguration") or job.get("SecurityConfiguration")
            record = {
                "Id": f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}",
                "Attempt": 0,
                "JobName": job["Name"],
                "Arguments": request.get("Arguments", {}),
                "Timeout": request.get("Timeout") or job.get("Timeout") or DEFAULT_TIMEOUT_MINUTES,
                "PredecessorRuns": [],
                "SecurityConfiguration": security,
                "LogGroupName": log_group(security, job["Role"]),
                "GlueVersion": job.get("GlueVersion"),
                "WorkerType": request.get("WorkerType") or job.get("WorkerType"),
                "NumberOfWorkers": request.get("NumberOfWorkers") or job.get("NumberOfWorkers"),
                "ExecutionClass": request.get("ExecutionClass") or job.get("ExecutionClass", "STANDARD"),
            }
            self._launch((call.account, call.region), job, record)
        return {"JobRunId": record["Id"]}

    def _launch(self, owner: tuple[str, str], job: Record, record: Record) -> None:
        now = datetime.now(UTC)
        record |= {"JobRunState": "STARTING", "StartedOn": now, "LastModifiedOn": now, "ExecutionTime": 0}

        def changed(run: JobRun) -> None:
            self._announce(run)
            self._retry(owner, job, run.record)

        limit = record["Timeout"] * self._minute
        run = JobRun(self._context, owner[1], job, record, time_limit_seconds=limit, changed=changed)
        self._runs.setdefault(owner, []).append(run)
        run.start()

    def _retry(self, owner: tuple[str, str], job: Record, failed: Record) -> None:
        """Start the next attempt of a run that failed, as often as the job's MaxRetries allows."""
        with self._lock:
            if failed["JobRunState"] != "FAILED" or failed["Attempt"] >= job.get("MaxRetries", 0) or self._closed:
                return
            attempt = failed["Attempt"] + 1
            kept = {name: value for name, value in failed.items() if name not in ("ErrorMessage", "CompletedOn")}
            base = str(failed["Id"]).partition("_attempt_")[0]
            again = {**kept, "Id": f"{base}_attempt_{attempt}", "Attempt": attempt, "PreviousRunId": failed["Id"]}
            self._launch(owner, job, again)

    def _get_job_run(self, call: Call, request: Record) -> Record:
        return {"JobRun": self._run(call, request["JobName"], request["RunId"]).record}

    def _get_job_runs(self, call: Call, request: Record) -> Record:
        self._job(call, request["JobName"])
        with self._lock:
            found = [r.record for r in self._runs.get((call.account, call.region), []) if _is_of(r, request)]
        found.reverse()
        token = str(request.get("NextToken") or 0)
        if not token.isdigit():
            raise ApiError("InvalidInputException", f"NextToken {token!r} is not a token of this operation")
        start = int(token)
        end = start + request.get("MaxResults", 200)
        return {"JobRuns": found[start:end], "NextToken": str(end) if end < len(found) else None}

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
            threading.Thread(target=run.stop, daemon=True).start()
            stopped.append(name)
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    def _update_job(self, call: Call, request: Record) -> Record:
        name = request["JobName"]
        if not moto_fit.update_glue_job(call.account, call.region, name, request["JobUpdate"]):
            raise ApiError("EntityNotFoundException", f"Job {name} not found.")
        return {"JobName": name}

    def _job(self, call: Call, name: str) -> Record:
        owner = None if call.account == self._context.account else f"arn:aws:iam::{call.account}:role/glue"
        try:
            job: Record = self._context.client("glue", region=call.region, role_arn=owner).get_job(JobName=name)["Job"]
        except ClientError as error:
            message = error.response["Error"].get("Message", "")
            raise ApiError(error.response["Error"]["Code"], message) from error
        return job

    def _run(self, call: Call, job_name: str, run_id: str) -> JobRun:
        with self._lock:
            for run in self._runs.get((call.account, call.region), []):
                if run.record["JobName"] == job_name and run.record["Id"] == run_id:
                    return run
        raise ApiError("EntityNotFoundException", f"JobRun {run_id} of {job_name} not found.")

    def _announce(self, run: JobRun) -> None:
        record = run.record
        state = record["JobRunState"]
        detail = {
            "jobName": record["JobName"],
            "severity": "INFO" if state in ("SUCCEEDED", "STOPPED") else "ERROR",
            "state": state,
            "jobRunId": record["Id"],
            "message": record.get("ErrorMessage", "Job run succeeded"),
        }
        try:
            self._context.emit("aws.glue", "Glue Job State Change", detail, [])
        except Exception:
            # a run has ended whatever becomes of its event
            _log.exception("the event of the run %s wasn't delivered", record["Id"])


def _is_of(run: JobRun, request: Record) -> bool:
    return bool(run.record["JobName"] == request["JobName"])
