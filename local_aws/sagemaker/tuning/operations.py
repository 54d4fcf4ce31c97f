"""The API of tuning jobs: create, describe, list and stop, and the training jobs of one."""

from __future__ import annotations

import re
import threading
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.container_job import CLOSE_GRACE_SECONDS
from local_aws.sagemaker.job_operations import JobOperations
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.training_job import TrainingJob
from local_aws.sagemaker.tuning.search import Search, refused, search_of
from local_aws.sagemaker.tuning.trial import SHARED
from local_aws.sagemaker.tuning.tuning_job import TuningJob
from local_aws.sagemaker.workspace import Operation, Record, Workspace, not_found

CLOSE_SECONDS = 15.0
_CONFIG = frozenset(
    {
        "Strategy", "HyperParameterTuningJobObjective", "ResourceLimits", "ParameterRanges",
        "TrainingJobEarlyStoppingType", "RandomSeed",
    }
)  # fmt: skip
_REQUEST = frozenset(
    {
        "HyperParameterTuningJobName", "HyperParameterTuningJobConfig", "TrainingJobDefinition", "WarmStartConfig",
        "Tags",
    }
)  # fmt: skip
_DEFINITION = frozenset({*SHARED, "StaticHyperParameters"})
_LIMITS = frozenset({"MaxNumberOfTrainingJobs", "MaxParallelTrainingJobs"})


class TuningOperations:
    """The tuning jobs by name; names are never used twice."""

    def __init__(self, workspace: Workspace, training: JobOperations[TrainingJob]) -> None:
        self._workspace = workspace
        self._training = training
        self._jobs: dict[str, TuningJob] = {}
        self._closed = False

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            "CreateHyperParameterTuningJob": lambda request: {
                TuningJob.arn_member: self.create(request).record[TuningJob.arn_member]
            },
            "DescribeHyperParameterTuningJob": lambda request: self.job(request[TuningJob.name_member]).record,
            "ListHyperParameterTuningJobs": self._list,
            "ListTrainingJobsForHyperParameterTuningJob": self._list_training_jobs,
            "StopHyperParameterTuningJob": self._stop,
        }

    def create(self, request: Record) -> TuningJob:
        """Start a tuning job; ApiError says what is wrong with it, or what the local AWS doesn't do."""
        _check(request)
        search, trials = search_of(request["HyperParameterTuningJobConfig"])
        name = request[TuningJob.name_member]
        with self._workspace.lock:
            self._warm_start(search, request.get("WarmStartConfig"))
            if self._closed:
                raise ApiError("ServiceUnavailable", "the local AWS is stopping", 503)
            if name in self._jobs:
                raise ApiError(
                    "ResourceInUse",
                    "Tuning job names must be unique within an AWS account and region, and a tuning job with this "
                    f"name already exists ({self._jobs[name].record[TuningJob.arn_member]})",
                )
            arn = self._workspace.arn("hyper-parameter-tuning-job", name)
            moment = self._workspace.now()
            record: Record = {
                **{member: value for member, value in request.items() if member != "Tags"},
                TuningJob.arn_member: arn,
                TuningJob.status_member: "InProgress",
                "CreationTime": moment,
                "LastModifiedTime": moment,
            }
            job = TuningJob(self._workspace, record, search, trials, self._training.create)
            self._workspace.tag(arn, request.get("Tags", []))
            self._jobs[name] = job
            job.start()
        return job

    def job(self, name: str) -> TuningJob:
        """Return a tuning job by its name."""
        with self._workspace.lock:
            if name not in self._jobs:
                raise not_found()
            return self._jobs[name]

    def close(self) -> None:
        """Stop every tuning job, and wait until none runs."""
        with self._workspace.lock:
            self._closed = True
            running = [job for job in self._jobs.values() if not job.finished.is_set()]
        for job in running:
            threading.Thread(target=job.stop, args=(CLOSE_GRACE_SECONDS,), daemon=True).start()
        for job in running:
            job.join(CLOSE_SECONDS)

    def _warm_start(self, search: Search, config: Record | None) -> None:
        """Learn from the training jobs of earlier tuning jobs, as far as their values fit the ranges."""
        for parent in (config or {}).get("ParentHyperParameterTuningJobs", []):
            job = self.job(parent[TuningJob.name_member])
            if not job.finished.is_set():
                raise refused(f"the parent tuning job {job.name_} still runs: wait for its end")
            for summary in job.ranked():
                metric = summary["FinalHyperParameterTuningJobObjectiveMetric"]
                search.learn(summary["TunedHyperParameters"], metric["Value"])

    def _list(self, request: Record) -> Record:
        with self._workspace.lock:
            jobs = list(self._jobs.values())
        records = []
        for job in jobs:
            config = job.record["HyperParameterTuningJobConfig"]
            own = {"Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}
            records.append({**job.record, **own})
        found, token = listed(records, request, name=TuningJob.name_member, status=TuningJob.status_member)
        return {"HyperParameterTuningJobSummaries": found, "NextToken": token}

    def _list_training_jobs(self, request: Record) -> Record:
        summaries = self.job(request[TuningJob.name_member]).summaries()
        by_value = request.get("SortBy") == "FinalObjectiveMetricValue"
        records = []
        for summary in summaries:
            metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric")
            if metric is not None or not by_value:
                records.append({**summary, "FinalValue": metric["Value"] if metric else None})
        found, token = listed(
            records,
            {"SortBy": "Name", **request},
            name="TrainingJobName",
            status="TrainingJobStatus",
            sort_fields={"FinalObjectiveMetricValue": "FinalValue"},
            default_order="Ascending",
        )
        return {"TrainingJobSummaries": found, "NextToken": token}

    def _stop(self, request: Record) -> dict[str, Any]:
        job = self.job(request[TuningJob.name_member])
        if job.status not in ("InProgress", "Stopping"):
            raise ApiError(
                "ValidationException", f"The request was rejected because the tuning job is in status {job.status}."
            )
        threading.Thread(target=job.stop, daemon=True).start()
        return {}


def _check(request: Record) -> None:
    """Refuse what the local AWS doesn't act on, and an objective that no job could print."""
    if "TrainingJobDefinition" not in request:
        raise refused("the local AWS tunes one TrainingJobDefinition; give it that")
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    if "HyperParameterTuningJobObjective" not in config:
        raise refused("HyperParameterTuningJobConfig has no HyperParameterTuningJobObjective: name what to tune for")
    for place, given, known in (
        ("the request", request, _REQUEST),
        ("HyperParameterTuningJobConfig", config, _CONFIG),
        ("ResourceLimits", config["ResourceLimits"], _LIMITS),
        ("TrainingJobDefinition", definition, _DEFINITION),
    ):
        unknown = sorted(member for member in given if member not in known)
        if unknown:
            raise refused(f"the local AWS doesn't act on {', '.join(unknown)} of {place}: leave it out")
    if "ResourceConfig" not in definition:
        raise refused("TrainingJobDefinition has no ResourceConfig: name the machine of the training jobs")
    objective = config["HyperParameterTuningJobObjective"]["MetricName"]
    metrics = {
        each["Name"]: each["Regex"] for each in definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    }
    if objective not in metrics:
        named = ", ".join(sorted(metrics)) or "none"
        raise refused(f"the objective {objective!r} is none of the MetricDefinitions: {named}")
    try:
        groups = re.compile(metrics[objective]).groups
    except re.error as error:
        raise refused(f"the Regex of metric {objective!r}: {error}") from error
    if not groups:
        raise refused(f"the Regex of metric {objective!r} needs a group for the number: {metrics[objective]!r}")
