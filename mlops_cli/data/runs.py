"""Runs of a dataset's workflow: starting one, following it, and saying how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from botocore.exceptions import ClientError

from mlops_cli.data.dataset import Dataset
from mlops_cli.data.days import LIVE, Record, partitions

FAILED_JOB = frozenset({"FAILED", "ERROR", "TIMEOUT", "STOPPED", "EXPIRED"})
SHOWN_RUNS = 200
# a start that is refused because too many run waits at most this long for one of them to end
BUSY_SECONDS = 3600
TOO_MANY = "ConcurrentRunsExceededException"


@dataclass(frozen=True)
class Run:
    """A run of the workflow; `actions` is what Glue counts of its jobs."""

    id: str
    status: str
    started: datetime | None = None
    completed: datetime | None = None
    properties: Mapping[str, str] | None = None
    failed_actions: int = 0
    error: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it is still at work."""
        return self.status in LIVE

    @property
    def succeeded(self) -> bool:
        """Whether it ended and none of its jobs failed."""
        return self.status == "COMPLETED" and not self.failed_actions


@dataclass(frozen=True)
class Progress:
    """How far a run is: the state of each of its jobs, and its days by what has become of them."""

    run: Run
    jobs: Mapping[str, str]
    claimed: int
    staged: int
    published: Mapping[date, Record]
    held: Mapping[date, Record]
    failures: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = {
            "being prepared": self.claimed,
            "to be checked": self.staged,
            "published": len(self.published),
            "held": len(self.held),
        }
        parts = [f"{name} {state.lower()}" for name, state in self.jobs.items()] or ["starting"]
        return ", ".join([*parts, *(f"{count} {name}" for name, count in counts.items() if count)])


def start(
    glue: Any,
    dataset: Dataset,
    first_day: date | None,
    last_day: date | None,
    redo: str,
    *,
    poll: float,
    waiting: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Start a run over a range of days, open where it is left out; returns its id.

    When as many run as the workflow allows, it waits for one of them to end, up to an hour, and calls `waiting` before
    each new attempt.
    """
    properties = {"Redo": redo}
    if first_day:
        properties["FirstDay"] = first_day.isoformat()
    if last_day:
        properties["LastDay"] = last_day.isoformat()
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return str(glue.start_workflow_run(Name=dataset.workflow, RunProperties=properties)["RunId"])
        except ClientError as error:
            if error.response["Error"]["Code"] != TOO_MANY or time.monotonic() > deadline:
                raise
        waiting()
        sleep(poll)


def follow(
    glue: Any, dataset: Dataset, run: str, *, poll: float, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Progress]:
    """Yield the progress of a run until it has ended; the last one tells how."""
    while True:
        progress = progress_of(glue, dataset, run)
        yield progress
        if not progress.run.is_live:
            return
        sleep(poll)


def progress_of(glue: Any, dataset: Dataset, run: str) -> Progress:
    """Return how far a run is. Its status is read first: what the catalog says is at least as new."""
    described = glue.get_workflow_run(Name=dataset.workflow, RunId=run, IncludeGraph=True)["Run"]
    jobs, failures = {}, []
    names = {dataset.prepare_job: "prepare", dataset.publish_job: "publish", dataset.labels_job: "labels"}
    for job in _job_runs(described):
        name = names.get(job["JobName"], job["JobName"])
        jobs[name] = job["JobRunState"]
        if job["JobRunState"] in FAILED_JOB:
            group = f"{job.get('LogGroupName', '/aws-glue/jobs')}/error"
            failures.append(f"{name} {job['JobRunState']}: {job.get('ErrorMessage', 'no reason')} (log group {group})")
    staged = _of_run(partitions(glue, dataset.database, dataset.staged_table), run)
    published = _of_run(partitions(glue, dataset.database, dataset.name), run)
    return Progress(
        _run(described),
        jobs,
        claimed=sum(record["state"] == "claimed" for record in staged.values()),
        staged=sum(record["state"] == "staged" for record in staged.values()),
        published=published,
        held={day: record for day, record in staged.items() if record["state"] == "held"},
        failures=tuple(failures),
    )


def recent(glue: Any, dataset: Dataset, limit: int = SHOWN_RUNS) -> list[Run]:
    """Return the newest runs, the newest first."""
    found: list[Run] = []
    request: dict[str, Any] = {"Name": dataset.workflow}
    while True:
        page = glue.get_workflow_runs(**request)
        found += [_run(described) for described in page.get("Runs", [])]
        if not page.get("NextToken") or len(found) >= limit:
            break
        request["NextToken"] = page["NextToken"]
    return sorted(found, key=lambda run: run.started.timestamp() if run.started else 0, reverse=True)[:limit]


def _run(described: Mapping[str, Any]) -> Run:
    counted = described.get("Statistics") or {}
    failed = sum(counted.get(each, 0) for each in ("FailedActions", "TimeoutActions", "ErroredActions"))
    return Run(
        id=described["WorkflowRunId"],
        status=described["Status"],
        started=described.get("StartedOn"),
        completed=described.get("CompletedOn"),
        properties=described.get("WorkflowRunProperties") or {},
        failed_actions=failed,
        error=described.get("ErrorMessage") or "",
    )


def _job_runs(described: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    nodes = (described.get("Graph") or {}).get("Nodes", [])
    found = [run for node in nodes for run in (node.get("JobDetails") or {}).get("JobRuns", [])]
    return sorted(found, key=lambda run: run["StartedOn"].timestamp() if run.get("StartedOn") else 0)


def _of_run(records: Mapping[date, Record], run: str) -> dict[date, Record]:
    return {day: record for day, record in records.items() if record["run"] == run}
