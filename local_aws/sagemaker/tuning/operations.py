"""The API of tuning jobs: create, describe, list and stop, and the training jobs of one."""

from __future__ import annotations

from local_aws.sagemaker.job_operations import JobOperations
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.training_job import TrainingJob
from local_aws.sagemaker.tuning.search import Search, refused, search_of
from local_aws.sagemaker.tuning.tuning_job import TuningJob
from local_aws.sagemaker.workspace import Operation, Record, Workspace


class TuningOperations(JobOperations[TuningJob]):
    """The tuning jobs by name. Each starts training jobs of its own."""

    def __init__(self, workspace: Workspace, training: JobOperations[TrainingJob]) -> None:
        super().__init__(workspace, TuningJob, "HyperParameterTuningJob")
        self._training = training

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {**super().operations(), "ListTrainingJobsForHyperParameterTuningJob": self._list_training_jobs}

    def _arn_kind(self) -> str:
        return "hyper-parameter-tuning-job"

    def _new_job(self, request: Record) -> TuningJob:
        search, trials = search_of(request["HyperParameterTuningJobConfig"])
        self._warm_start(search, request.get("WarmStartConfig"))
        return TuningJob(self._workspace, self.new_record(request), search, trials, self._training.create)

    def _warm_start(self, search: Search, config: Record | None) -> None:
        """Learn from the training jobs of earlier tuning jobs, as far as their values fit the ranges."""
        for parent in (config or {}).get("ParentHyperParameterTuningJobs", []):
            job = self.job(parent[TuningJob.name_member])
            if not job.finished.is_set():
                raise refused(f"the parent tuning job {job.name_} still runs: wait for its end")
            for summary in job.ranked():
                metric = summary["FinalHyperParameterTuningJobObjectiveMetric"]
                search.learn(summary["TunedHyperParameters"], metric["Value"])

    def _summary(self, job: TuningJob) -> Record:
        config = job.record["HyperParameterTuningJobConfig"]
        return {**job.record, "Strategy": config["Strategy"], "ResourceLimits": config["ResourceLimits"]}

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
