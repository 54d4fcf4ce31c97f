"""The API of jobs of every kind: create, describe, list and stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from local_aws.json_api import ApiError
from local_aws.sagemaker.container_job import CLOSE_GRACE_SECONDS, ContainerJob
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.processing_job import ProcessingJob
from local_aws.sagemaker.training_job import TrainingJob
from local_aws.sagemaker.workspace import Operation, Record, Workspace, not_found

DAY_SECONDS = 24 * 60 * 60


class AnyJob(Protocol):
    """A job as its API sees it: one that runs a container, or one that starts such jobs.

    `record` is what the Describe operation returns; `finished` is set after its last change.
    """

    kind: ClassVar[str]
    name_member: ClassVar[str]
    arn_member: ClassVar[str]
    status_member: ClassVar[str]
    record: Record
    finished: threading.Event

    def __init__(self, workspace: Workspace, record: Record) -> None: ...

    @classmethod
    def check(cls, request: Record) -> None:
        """Refuse a request that SageMaker or the local AWS refuses beyond the shape of the API."""

    @property
    def status(self) -> str: ...

    def start(self) -> None:
        """Begin; the clock knows of it from now on."""

    def stop(self, grace_seconds: float | None = None) -> None:
        """Ask it to stop; returns when it has nothing running any more."""

    def join(self, timeout: float | None = None) -> None:
        """Return when its thread has ended, or after so many seconds."""


Job = TypeVar("Job", bound=AnyJob)


class JobOperations(Generic[Job]):
    """The jobs of one kind, by name; names are never used twice."""

    def __init__(self, workspace: Workspace, job_type: type[Job], word: str) -> None:
        self._workspace = workspace
        self._type = job_type
        self._word = word
        self._jobs: dict[str, Job] = {}
        self._closed = False

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            f"Create{self._word}": self._create,
            f"Describe{self._word}": lambda request: self.job(request[self._type.name_member]).record,
            f"List{self._word}s": self._list,
            f"Stop{self._word}": self._stop,
        }

    def create(self, request: Record) -> Job:
        """Start a job; ApiError(ResourceInUse) when the name is taken."""
        return self.begin(request, self._new_job)

    def begin(self, request: Record, make: Callable[[Record], Job]) -> Job:
        """Start a job that a function makes of the request, such as one of a type of its own."""
        name = request[self._type.name_member]
        self._type.check(request)
        with self._workspace.lock:
            if self._closed:
                raise ApiError("ServiceUnavailable", "the local AWS is stopping", 503)
            if name in self._jobs:
                raise ApiError(
                    "ResourceInUse",
                    f"{self._type.kind.capitalize()} job names must be unique within an AWS account and region, and a "
                    f"{self._type.kind} job with this name already exists "
                    f"({self._jobs[name].record[self._type.arn_member]})",
                )
            job = make(request)
            self._workspace.tag(job.record[self._type.arn_member], request.get("Tags", []))
            self._jobs[name] = job
            job.start()
        return job

    def job(self, name: str) -> Job:
        """Return a job by its name."""
        with self._workspace.lock:
            if name not in self._jobs:
                raise not_found()
            return self._jobs[name]

    def close(self) -> None:
        """Stop every job, and wait until none runs."""
        with self._workspace.lock:
            self._closed = True
            running = [job for job in self._jobs.values() if not job.finished.is_set()]
        stoppers = [threading.Thread(target=job.stop, args=(CLOSE_GRACE_SECONDS,)) for job in running]
        for stopper in stoppers:
            stopper.start()
        for job in running:
            job.join(timeout=15)

    def _new_job(self, request: Record) -> Job:
        return self._type(self._workspace, self.new_record(request))

    def _arn_kind(self) -> str:
        """What the ARN calls the job, as training-job."""
        return f"{self._type.kind}-job"

    def new_record(self, request: Record) -> Record:
        """Return what Describe says of a job that begins now."""
        moment = self._workspace.now()
        record: Record = {
            **{member: value for member, value in request.items() if member != "Tags"},
            self._type.arn_member: self._workspace.arn(self._arn_kind(), request[self._type.name_member]),
            self._type.status_member: "InProgress",
            "CreationTime": moment,
            "LastModifiedTime": moment,
        }
        if issubclass(self._type, ContainerJob):
            limits = request.get("StoppingCondition", {})
            record["StoppingCondition"] = {"MaxRuntimeInSeconds": DAY_SECONDS, **limits}
        if self._type is TrainingJob:
            record["SecondaryStatus"] = "Starting"
            record["SecondaryStatusTransitions"] = [
                {"Status": "Starting", "StartTime": moment, "StatusMessage": "Starting the training job"}
            ]
        return record

    def _create(self, request: Record) -> dict[str, Any]:
        return {self._type.arn_member: self.create(request).record[self._type.arn_member]}

    def _list(self, request: Record) -> dict[str, Any]:
        with self._workspace.lock:
            records = [self._summary(job) for job in self._jobs.values()]
        found, token = listed(records, request, name=self._type.name_member, status=self._type.status_member)
        return {f"{self._word}Summaries": found, "NextToken": token}

    def _summary(self, job: Job) -> Record:
        """What a list tells of a job."""
        return job.record

    def _stop(self, request: Record) -> dict[str, Any]:
        job = self.job(request[self._type.name_member])
        if job.status not in ("InProgress", "Stopping"):
            raise ApiError(
                "ValidationException",
                f"The request was rejected because the {self._type.kind} job is in status {job.status}.",
            )
        threading.Thread(target=job.stop, daemon=True).start()
        return {}


INTERRUPT_TAG = "local-aws:interrupt"
"""Put on a running spot job, this tag takes its machines away: `aws sagemaker add-tags` is all that it needs."""


def training_jobs(workspace: Workspace) -> JobOperations[TrainingJob]:
    """Return the training jobs of a workspace."""
    jobs = JobOperations(workspace, TrainingJob, "TrainingJob")

    def tagged(arn: str, tags: Mapping[str, str]) -> None:
        if INTERRUPT_TAG in tags:
            jobs.job(arn.rpartition("/")[2]).interrupt()

    workspace.tagged["training-job"] = tagged
    return jobs


def processing_jobs(workspace: Workspace) -> JobOperations[ProcessingJob]:
    """Return the processing jobs of a workspace."""
    return JobOperations(workspace, ProcessingJob, "ProcessingJob")
