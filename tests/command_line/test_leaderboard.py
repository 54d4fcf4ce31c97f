"""The leaderboard of a model: of which execution it is, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.deployment import DeploymentError
from mlops_cli.leaderboard import leaderboard_of

JOB = "arn:aws:sagemaker:eu-west-1:123456789012:hyper-parameter-tuning-job/tune"


class SageMaker:
    """Executions of a pipeline, the newest first, and the training jobs of a tuning job."""

    def __init__(self, executions: dict[str, dict[str, Any]], goal: str = "Maximize") -> None:
        self._executions = executions
        self._goal = goal
        self.jobs: list[dict[str, Any]] = []

    def list_pipeline_executions(self, **_: Any) -> dict[str, Any]:
        return {"PipelineExecutionSummaries": [{"PipelineExecutionArn": arn} for arn in self._executions]}

    def list_pipeline_execution_steps(self, *, PipelineExecutionArn: str) -> dict[str, Any]:
        return {"PipelineExecutionSteps": [{"StepName": "x"}, {"Metadata": self._executions[PipelineExecutionArn]}]}

    def describe_hyper_parameter_tuning_job(self, *, HyperParameterTuningJobName: str) -> dict[str, Any]:
        assert HyperParameterTuningJobName == "tune"
        return {"HyperParameterTuningJobConfig": {"HyperParameterTuningJobObjective": {"Type": self._goal}}}

    def get_paginator(self, name: str) -> SageMaker:
        assert name == "list_training_jobs_for_hyper_parameter_tuning_job"
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"TrainingJobSummaries": self.jobs[:2]}, {"TrainingJobSummaries": self.jobs[2:]}]


def job(name: str, status: str, value: float | None) -> dict[str, Any]:
    metric = {} if value is None else {"MetricName": "validation:auc", "Value": value}
    found = {"TrainingJobName": name, "TrainingJobStatus": status, "TunedHyperParameters": {"depth": "3"}}
    return found | ({"FinalHyperParameterTuningJobObjectiveMetric": metric} if metric else {})


@pytest.mark.parametrize(
    ("goal", "order"),
    [("Maximize", ["high", "low", "early", "failed"]), ("Minimize", ["low", "high", "early", "failed"])],
)
def test_completed_jobs_come_first_and_the_best_of_them_at_the_top(goal: str, order: list[str]) -> None:
    sagemaker = SageMaker({"new": {"TrainingJob": {"Arn": "a"}}, "old": {"TuningJob": {"Arn": JOB}}}, goal)
    sagemaker.jobs = [
        job("failed", "Failed", None), job("low", "Completed", 0.6), job("early", "Stopped", 0.9),
        job("high", "Completed", 0.7),
    ]  # fmt: skip
    found = leaderboard_of(sagemaker, "dev-toy")
    assert (found.execution, found.job) == ("old", JOB)
    assert [each.name for each in found.tried] == order


def test_a_pipeline_that_never_tuned_says_how_to() -> None:
    with pytest.raises(DeploymentError, match=r"give the model training\.tuning, or training\.algorithm: automl"):
        leaderboard_of(SageMaker({"new": {}}), "dev-toy")
