"""One training job of a tuning job: what it tries, what it printed, what became of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local_aws.sagemaker.training_job import TrainingJob
from local_aws.sagemaker.workspace import Record

# what a tuning job's definition of its training jobs shares with a training job
SHARED = (
    "AlgorithmSpecification", "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "ResourceConfig",
    "StoppingCondition", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining", "CheckpointConfig", "Environment",
)  # fmt: skip
OBJECTIVE_HYPERPARAMETER = "_tuning_objective_metric"


@dataclass
class Trial:
    """A training job, and the hyperparameters in which it differs from the others."""

    values: Mapping[str, str]
    job: TrainingJob
    metric: str
    stopped_early: bool = False
    counted: bool = field(default=False)

    def objectives(self) -> list[float]:
        """Return the objective's values that the job has printed, in order."""
        return [value for name, value in list(self.job.metric_values) if name == self.metric]

    @property
    def objective(self) -> float | None:
        """The last value of a job that completed or was stopped early; None when there is none."""
        ended = self.job.status == "Completed" or (self.stopped_early and self.job.status == "Stopped")
        values = self.objectives()
        return values[-1] if ended and values else None

    def summary(self, tuning_name: str, goal: str) -> Record:
        """Return the job as HyperParameterTrainingJobSummary describes it."""
        record = self.job.record
        found: Record = {
            "TrainingJobName": record["TrainingJobName"],
            "TrainingJobArn": record["TrainingJobArn"],
            "TuningJobName": tuning_name,
            "CreationTime": record["CreationTime"],
            "TrainingStartTime": record.get("TrainingStartTime"),
            "TrainingEndTime": record.get("TrainingEndTime"),
            "TrainingJobStatus": record["TrainingJobStatus"],
            "TunedHyperParameters": dict(self.values),
            "FailureReason": record.get("FailureReason"),
            "ObjectiveStatus": "Pending",
        }
        if self.job.finished.is_set():
            value = self.objective
            found["ObjectiveStatus"] = "Failed" if value is None else "Succeeded"
            if value is not None:
                metric = {"Type": goal, "MetricName": self.metric, "Value": value}
                found["FinalHyperParameterTuningJobObjectiveMetric"] = metric
        return found


def training_request(tuning: Record, number: int, values: Mapping[str, str], metric: str) -> dict[str, Any]:
    """Return what creates a tuning job's training job; SageMaker names them by the tuning job's name and a number."""
    definition = tuning["TrainingJobDefinition"]
    return {
        **{member: definition[member] for member in SHARED if member in definition},
        "TrainingJobName": f"{tuning['HyperParameterTuningJobName']}-{number:03d}-{secrets.token_hex(4)}",
        "HyperParameters": {
            **definition.get("StaticHyperParameters", {}),
            **values,
            OBJECTIVE_HYPERPARAMETER: metric,
        },
        "TuningJobArn": tuning["HyperParameterTuningJobArn"],
    }
