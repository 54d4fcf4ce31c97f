"""The life of a tuning job: training jobs side by side, each with values learnt from those before it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from local_aws.json_api import ApiError
from local_aws.sagemaker.training_job import TrainingJob
from local_aws.sagemaker.tuning.early_stopping import MedianRule
from local_aws.sagemaker.tuning.request import check_request
from local_aws.sagemaker.tuning.search import Search
from local_aws.sagemaker.tuning.trial import Trial, training_request
from local_aws.sagemaker.workspace import Record, Workspace

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
FAILURE_LENGTH = 1024
# after so many training jobs without any success a tuning job gives up
MOST_FAILURES = 5


class TuningJob(threading.Thread):
    """One tuning job. `record` is what the Describe operation returns; `finished` is set after its last change."""

    kind: ClassVar[str] = "tuning"
    name_member: ClassVar[str] = "HyperParameterTuningJobName"
    arn_member: ClassVar[str] = "HyperParameterTuningJobArn"
    status_member: ClassVar[str] = "HyperParameterTuningJobStatus"
    event = "SageMaker HyperParameter Tuning Job State Change"

    def __init__(
        self,
        workspace: Workspace,
        record: Record,
        search: Search,
        trials: int,
        create: Callable[[Record], TrainingJob],
    ) -> None:
        self.record = record
        self.name_ = str(record[self.name_member])
        super().__init__(name=f"tuning-{self.name_}", daemon=True)
        self.finished = threading.Event()
        self._workspace = workspace
        self._search = search
        self._left = trials
        self._create = create
        config = record["HyperParameterTuningJobConfig"]
        objective = config["HyperParameterTuningJobObjective"]
        self._metric, self._goal = str(objective["MetricName"]), str(objective["Type"])
        self._parallel = min(config["ResourceLimits"]["MaxParallelTrainingJobs"], os.cpu_count() or 1)
        stops_early = config.get("TrainingJobEarlyStoppingType") == "Auto"
        self._rule = MedianRule(maximize=self._goal == "Maximize") if stops_early else None
        self._trials: list[Trial] = []
        self._stop_requested = threading.Event()
        self._lock = threading.RLock()
        self._refresh()

    @classmethod
    def check(cls, request: Record) -> None:
        """Refuse what the local AWS doesn't act on, and an objective that no job could print."""
        check_request(request)

    def start(self) -> None:
        """Start the thread; the clock knows of it from now on."""
        self._worker = self._workspace.context.clock.worker(f"tuning job {self.name_}")
        super().start()

    @property
    def status(self) -> str:
        return str(self.record[self.status_member])

    def summaries(self) -> list[Record]:
        """Return the training jobs as they are listed, in the order they were made."""
        return [trial.summary(self.name_, self._goal) for trial in list(self._trials)]

    def ranked(self) -> list[Record]:
        """Return the training jobs that have an objective, the best first."""
        return [trial.summary(self.name_, self._goal) for trial in self._ranked(list(self._trials))]

    def stop(self, grace_seconds: float | None = None) -> None:
        """Ask the job to stop, and its running training jobs with it; returns when they have."""
        with self._lock:
            if self.status not in ("InProgress", "Stopping"):
                return
            if not self._stop_requested.is_set():
                self._set_status("Stopping")
            self._stop_requested.set()
            running = [trial.job for trial in self._trials if not trial.job.finished.is_set()]
        stoppers = [threading.Thread(target=job.stop, args=(grace_seconds,), daemon=True) for job in running]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join()

    def run(self) -> None:
        """Run training jobs until there are as many as asked for; whatever happens is in the record."""
        self._announce()
        try:
            reason = self._try_all()
        except ApiError as error:
            reason = f"ClientError: {error.code}: {error.message}"
        except Exception as error:
            _log.exception("the tuning job %s broke", self.name_)
            reason = f"InternalServerError: {type(error).__name__}: {error}"
        try:
            with self._lock:
                self._refresh()
                self.record["HyperParameterTuningEndTime"] = self._workspace.now()
                if reason:
                    self.record["FailureReason"] = reason[:FAILURE_LENGTH]
                self._set_status("Failed" if reason else "Stopped" if self._stop_requested.is_set() else "Completed")
        finally:
            self.finished.set()
            self._worker.end()

    def _try_all(self) -> str | None:
        """Run the training jobs, and return why the tuning job failed, if it did."""
        running: list[Trial] = []
        try:
            while True:
                for trial in [each for each in running if each.job.finished.is_set()]:
                    running.remove(trial)
                    self._settle(trial)
                hopeless = self._hopeless()
                while len(running) < self._parallel and not hopeless:
                    trial_or_none = self._start()
                    if trial_or_none is None:
                        break
                    running.append(trial_or_none)
                if not running:
                    return self._outcome()
                for trial in running:
                    self._stop_early(trial)
                time.sleep(POLL_SECONDS)
        finally:
            for trial in running:
                trial.job.stop()

    def _start(self) -> Trial | None:
        with self._lock:
            if self._stop_requested.is_set() or not self._left:
                return None
            values = self._search.suggest()
            if values is None:
                self._left = 0
                return None
            request = training_request(self.record, len(self._trials) + 1, values, self._metric)
            trial = Trial(values, self._create(request), self._metric)
            self._left -= 1
            self._trials.append(trial)
            self._refresh()
            return trial

    def _settle(self, trial: Trial) -> None:
        """Learn from a training job that has ended."""
        self._search.learn(trial.values, trial.objective)
        if self._rule is not None and trial.job.status == "Completed":
            self._rule.complete(trial.objectives())
        with self._lock:
            self._refresh()

    def _stop_early(self, trial: Trial) -> None:
        if self._rule is None or trial.stopped_early or not self._rule.stops(trial.objectives()):
            return
        trial.stopped_early = True
        threading.Thread(target=trial.job.stop, daemon=True).start()

    def _hopeless(self) -> bool:
        ended = [trial for trial in self._trials if trial.job.finished.is_set()]
        return len(ended) >= MOST_FAILURES and not any(trial.objective is not None for trial in ended)

    def _outcome(self) -> str | None:
        if self._stop_requested.is_set() or self._ranked(self._trials):
            return None
        failed = next((trial for trial in self._trials if trial.job.record.get("FailureReason")), None)
        if failed is None:
            return (
                f"ClientError: no training job printed the objective {self._metric!r} as its Regex wants it: "
                f"{self._regex()!r}; see their logs"
            )
        record = failed.job.record
        return (
            f"ClientError: no training job succeeded after {len(self._trials)} attempts. "
            f"{record['TrainingJobName']}: {record['FailureReason']}"
        )

    def _regex(self) -> str:
        definitions = self.record["TrainingJobDefinition"]["AlgorithmSpecification"].get("MetricDefinitions", [])
        return str(next((each["Regex"] for each in definitions if each["Name"] == self._metric), ""))

    def _ranked(self, trials: list[Trial]) -> list[Trial]:
        """The training jobs that have a model and an objective, the best first; of equal ones the first made."""
        good = [(trial.objective, trial) for trial in trials if trial.job.status == "Completed"]
        found = [(value, trial) for value, trial in good if value is not None]
        sign = -1.0 if self._goal == "Maximize" else 1.0
        return [trial for _, trial in sorted(found, key=lambda each: sign * each[0])]

    def _refresh(self) -> None:
        """Bring the counters and the best training job up to date."""
        summaries = self.summaries()
        jobs = [each["TrainingJobStatus"] for each in summaries]
        objectives = [each["ObjectiveStatus"] for each in summaries]
        self.record.update(
            TrainingJobStatusCounters={
                "Completed": jobs.count("Completed"),
                "InProgress": jobs.count("InProgress") + jobs.count("Stopping"),
                "RetryableError": 0,
                "NonRetryableError": jobs.count("Failed"),
                "Stopped": jobs.count("Stopped"),
            },
            ObjectiveStatusCounters={each: objectives.count(each) for each in ("Succeeded", "Pending", "Failed")},
            ConsumedResources={
                "RuntimeInSeconds": sum(trial.job.record.get("TrainingTimeInSeconds", 0) for trial in self._trials)
            },
            LastModifiedTime=self._workspace.now(),
        )
        best = self._ranked(self._trials)
        if best:
            self.record["BestTrainingJob"] = best[0].summary(self.name_, self._goal)

    def _set_status(self, status: str) -> None:
        self.record[self.status_member] = status
        self.record["LastModifiedTime"] = self._workspace.now()
        self._announce()

    def _announce(self) -> None:
        detail: dict[str, Any] = {name: value for name, value in self.record.items() if name != "BestTrainingJob"}
        self._workspace.emit(self.event, detail, str(self.record[self.arn_member]))
