"""One query: a thread that plans it, a process of its own in which DuckDB runs it, and its result in S3."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws.athena import looks
from local_aws.athena.catalog import Catalog
from local_aws.athena.failures import SYSTEM, USER, QueryFailure, of_engine
from local_aws.athena.object_cache import ObjectCache
from local_aws.athena.planning import BytesLimitError, SelectPlan
from local_aws.athena.result_pages import Result
from local_aws.athena.statements import Execute, Look, Select, Statement
from local_aws.athena.work_groups import QuerySettings, Record
from local_aws.jobs.process import JobProcess, job_environment
from local_aws.jobs.s3_files import S3_ERRORS, S3Uri, upload_file
from local_aws.json_api import ApiError
from local_aws.service import LocalContext

_log = logging.getLogger(__name__)

ENDED_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
# of an error whose kind Athena's own list doesn't tell
ERROR_TYPES = {SYSTEM: 0, USER: 1000}
CANCELLED_BY_USER = "Query cancelled by user"
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class QueryLimits:
    """What a query may use. `parallel` queries run at the same time; sizes are written as DuckDB reads them."""

    time_seconds: float = 1800
    memory: str = "1GB"
    spill: str = "4GB"
    result_bytes: int = 1024**3
    parallel: int = 4


class _CancelledError(Exception):
    """The query has been stopped; the message says why."""


class Query(threading.Thread):
    """Runs a statement. `record` is the QueryExecution of the API and changes as the query goes on."""

    def __init__(
        self,
        context: LocalContext,
        client: Callable[[str], Any],
        request: Record,
        statement: Statement,
        settings: QuerySettings,
        *,
        limits: QueryLimits,
        slots: threading.Semaphore,
        cache: ObjectCache,
    ) -> None:
        self.id = str(uuid.uuid4())
        super().__init__(name=f"athena-{self.id[:8]}", daemon=True)
        self.result: Result | None = None
        self._context = context
        self._client = client
        self._request = request
        self._statement = statement
        self._settings = settings
        self._limits = limits
        self._slots = slots
        self._cache = cache
        self._directory = context.state_dir.resolve() / "jobs" / "athena" / self.id
        self._lock = threading.Lock()
        self._stop_requested = threading.Event()
        self._process: JobProcess | None = None
        self._database: str | None = request.get("QueryExecutionContext", {}).get("Database")
        self._submitted = time.monotonic()
        self._began = self._submitted
        self.record = self._new_record()

    @property
    def ended(self) -> bool:
        return self.record["Status"]["State"] in ENDED_STATES

    def stop(self) -> None:
        """Cancel the query; nothing happens to one that has ended."""
        with self._lock:
            self._stop_requested.set()
            process = self._process
        if process is not None:
            process.stop(grace_seconds=0)

    def run(self) -> None:
        self._emit(None)
        state, reason, category = self._outcome()
        shutil.rmtree(self._directory / "scratch", ignore_errors=True)
        status = dict(self.record["Status"], State=state, CompletionDateTime=datetime.now(UTC))
        if reason is not None:
            status["StateChangeReason"] = reason
        if state == "FAILED":
            status["AthenaError"] = {
                "ErrorCategory": category,
                "ErrorType": ERROR_TYPES[category],
                "Retryable": category == SYSTEM,
                "ErrorMessage": reason,
            }
        self._note_times()
        previous, self.record["Status"] = self.record["Status"]["State"], status
        self._emit(previous)

    def _outcome(self) -> tuple[str, str | None, int]:
        try:
            self._wait_for_slot()
            try:
                self._began = time.monotonic()
                self.record["Status"] = {**self.record["Status"], "State": "RUNNING"}
                self._emit("QUEUED")
                self._execute()
            finally:
                self._slots.release()
        except (_CancelledError, BytesLimitError) as error:
            return "CANCELLED", str(error), USER
        except QueryFailure as error:
            return "FAILED", str(error), error.category
        except ApiError as error:
            return "FAILED", error.message, USER
        except (*S3_ERRORS, OSError) as error:
            return "FAILED", f"HIVE_FILESYSTEM_ERROR: {error}", USER
        except Exception as error:
            _log.exception("the query %s broke", self.id)
            return "FAILED", f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}", SYSTEM
        return "SUCCEEDED", None, USER

    def _wait_for_slot(self) -> None:
        while not self._slots.acquire(timeout=0.05):
            self._check_stopped()

    def _execute(self) -> None:
        (self._directory / "scratch").mkdir(parents=True)
        self._check_stopped()
        if isinstance(self._statement, Look):
            columns, lines = looks.answer(self._statement, Catalog(self._client("glue")), self._database)
            (self._directory / "rows.jsonl").write_text("".join(json.dumps([line]) + "\n" for line in lines))
            (self._directory / "result.txt").write_text("".join(f"{line}\n" for line in lines))
            self._publish(Result(self._directory / "rows.jsonl", len(lines), columns, header=False), "result.txt")
            return
        tree = self._select().tree(self._parameters())
        plan = SelectPlan(tree, self._database, self._client, self._work)
        self.record["Statistics"]["DataScannedInBytes"] = plan.check_size(self._settings.bytes_cutoff)
        self._check_stopped()
        plan.fetch(self._cache, self._directory / "scratch")
        answer = self._work({**plan.work(), "result_bytes": self._limits.result_bytes}, plan.place)
        for name in ("rows.jsonl", "result.csv"):
            (self._directory / "scratch" / name).rename(self._directory / name)
        self._publish(Result(self._directory / "rows.jsonl", answer["rows"], answer["columns"], True), "result.csv")

    def _select(self) -> Select:
        if isinstance(self._statement, Execute):
            return self._statement.prepared(self._client("athena"), self._settings.work_group)
        assert isinstance(self._statement, Select)
        return self._statement

    def _parameters(self) -> list[str]:
        own = list(self._statement.values) if isinstance(self._statement, Execute) else []
        return own or list(self._request.get("ExecutionParameters", []))

    def _work(self, plan: Mapping[str, Any], place: Callable[[str], str] = lambda _: "") -> dict[str, Any]:
        """Have a process do one piece of work in the query's folder; QueryFailure if the query can't be done."""
        scratch = self._directory / "scratch"
        settings = {
            "memory": self._limits.memory, "spill": self._limits.spill, "threads": min(os.cpu_count() or 1, 4)
        }  # fmt: skip
        (scratch / "plan.json").write_text(json.dumps({**settings, **plan}))
        answer = scratch / "answer.json"
        answer.unlink(missing_ok=True)
        output: list[str] = []
        self._check_stopped()
        process = JobProcess(
            [sys.executable, "-P", "-m", "local_aws.athena.engine.worker", str(scratch)],
            directory=scratch,
            environment=job_environment({"PYTHONPATH": str(_ROOT), "HOME": str(scratch), "TMPDIR": str(scratch)}),
            stdout=output.append,
            stop_grace_seconds=0,
        )
        with self._lock:
            self._process, stopping = process, self._stop_requested.is_set()
        if stopping:
            process.stop()
        outcome = process.wait(max(0.0, self._began + self._limits.time_seconds - time.monotonic()))
        with self._lock:
            self._process = None
        self._check_stopped()
        if outcome.ended_by == "time limit":
            raise QueryFailure("Query timeout")
        if outcome.exit_code != 0 or not answer.exists():
            _log.warning("the process of the query %s ended with code %s: %s", self.id, outcome.exit_code, output[-5:])
            raise QueryFailure(f"GENERIC_INTERNAL_ERROR: the engine ended with code {outcome.exit_code}", SYSTEM)
        found: dict[str, Any] = json.loads(answer.read_text())
        if "error" in found:
            kind, message = found["error"]["kind"], found["error"]["message"]
            raise of_engine(kind, message, place) if kind else QueryFailure(message)
        return found

    def _publish(self, result: Result, file: str) -> None:
        """Put the result where its workgroup or request says."""
        self._check_stopped()
        uri = S3Uri.parse(self.record["ResultConfiguration"]["OutputLocation"])
        key = self._settings.results.get("EncryptionConfiguration", {}).get("KmsKey")
        upload_file(self._client("s3"), self._directory / file, uri, kms_key=key)
        (self._directory / file).unlink()
        self.result = result

    def _check_stopped(self) -> None:
        if self._stop_requested.is_set():
            raise _CancelledError(CANCELLED_BY_USER)

    def _new_record(self) -> Record:
        ending = "txt" if isinstance(self._statement, Look) else "csv"
        location = f"{self._settings.results['OutputLocation']}{self.id}.{ending}"
        return {
            "QueryExecutionId": self.id,
            "Query": self._request["QueryString"],
            "StatementType": self._statement.kind,
            "SubstatementType": self._statement.substatement,
            "ResultConfiguration": {**self._settings.results, "OutputLocation": location},
            "ResultReuseConfiguration": self._request.get(
                "ResultReuseConfiguration", {"ResultReuseByAgeConfiguration": {"Enabled": False}}
            ),
            "QueryExecutionContext": self._request.get("QueryExecutionContext", {}),
            "Status": {"State": "QUEUED", "SubmissionDateTime": datetime.now(UTC)},
            "Statistics": {"DataScannedInBytes": 0, "ResultReuseInformation": {"ReusedPreviousResult": False}},
            "WorkGroup": self._settings.work_group,
            "EngineVersion": self._settings.engine,
            "ExecutionParameters": self._request.get("ExecutionParameters"),
        }

    def _note_times(self) -> None:
        now = time.monotonic()
        queued, engine = round((self._began - self._submitted) * 1000), round((now - self._began) * 1000)
        self.record["Statistics"] = {
            **self.record["Statistics"],
            "EngineExecutionTimeInMillis": engine,
            "QueryQueueTimeInMillis": queued,
            "TotalExecutionTimeInMillis": queued + engine,
        }

    def _emit(self, previous: str | None) -> None:
        status = self.record["Status"]
        detail = {
            "versionId": "0",
            "currentState": status["State"],
            **({"previousState": previous} if previous else {}),
            "statementType": self._statement.kind,
            "queryExecutionId": self.id,
            "workgroupName": self._settings.work_group,
            "sequenceNumber": {"QUEUED": "1", "RUNNING": "2"}.get(status["State"], "3"),
        }
        if "AthenaError" in status:
            error = status["AthenaError"]
            detail["athenaError"] = {
                "errorCategory": error["ErrorCategory"], "errorType": error["ErrorType"],
                "errorMessage": error["ErrorMessage"], "retryable": error["Retryable"],
            }  # fmt: skip
        try:
            self._context.emit("aws.athena", "Athena Query State Change", detail, [])
        except Exception:
            # a query goes on whatever becomes of its events
            _log.exception("an event of the query %s wasn't delivered", self.id)
