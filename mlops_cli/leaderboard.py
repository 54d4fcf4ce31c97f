"""What was tried for a model: the training jobs of its newest tuning, or the candidates of its newest search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import boto3
import typer
from rich.table import Table

from mlops_cli import local
from mlops_cli.deployment import Deployment, DeploymentError, dashed
from mlops_cli.repository import declaration

EXECUTIONS = 50


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One training job or candidate; `value` is None when it has none, as that of a job that failed."""

    name: str
    status: str
    metric: str | None = None
    value: float | None = None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """All that a step tried, the best first, and what didn't complete after it."""

    execution: str
    job: str
    tried: list[Tried]


def leaderboard_of(sagemaker: Any, pipeline: str) -> Leaderboard:
    """The leaderboard of the newest of a pipeline's last 50 executions that tuned or searched.

    Raises DeploymentError when there is none.
    """
    for execution in _executions(sagemaker, pipeline):
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
        for metadata in (step.get("Metadata", {}) for step in steps):
            for kind, found in (("TuningJob", _training_jobs), ("AutoMLJob", _candidates)):
                if kind in metadata:
                    arn = str(metadata[kind]["Arn"])
                    return Leaderboard(execution=execution, job=arn, tried=found(sagemaker, arn.rpartition("/")[2]))
    raise DeploymentError(
        f"no execution of {pipeline} has tuned or searched: give the model training.tuning, or training.algorithm: "
        "automl, deploy, and train it"
    )


def _executions(sagemaker: Any, pipeline: str) -> Iterator[str]:
    found = sagemaker.list_pipeline_executions(PipelineName=pipeline, SortOrder="Descending", MaxResults=EXECUTIONS)
    for summary in found["PipelineExecutionSummaries"]:
        yield str(summary["PipelineExecutionArn"])


def _training_jobs(sagemaker: Any, name: str) -> list[Tried]:
    job = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    goal = job["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]["Type"]
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name
    )
    found = []
    for summary in (each for page in pages for each in page["TrainingJobSummaries"]):
        metric = summary.get("FinalHyperParameterTuningJobObjectiveMetric", {})
        found.append(
            Tried(
                name=summary["TrainingJobName"],
                status=summary["TrainingJobStatus"],
                metric=metric.get("MetricName"),
                value=metric.get("Value"),
                hyperparameters=summary["TunedHyperParameters"],
            )
        )
    return _ranked(found, goal)


def _candidates(sagemaker: Any, name: str) -> list[Tried]:
    pages = sagemaker.get_paginator("list_candidates_for_auto_ml_job").paginate(AutoMLJobName=name)
    found, goal = [], "Maximize"
    for candidate in (each for page in pages for each in page["Candidates"]):
        metric = candidate.get("FinalAutoMLJobObjectiveMetric", {})
        goal = metric.get("Type", goal)
        found.append(
            Tried(
                name=candidate["CandidateName"],
                status=candidate["CandidateStatus"],
                metric=metric.get("MetricName"),
                value=metric.get("Value"),
            )
        )
    return _ranked(found, goal)


def _ranked(found: list[Tried], goal: str) -> list[Tried]:
    sign = -1.0 if goal == "Maximize" else 1.0
    # what was stopped early has the value of a model that isn't done
    return sorted(found, key=lambda each: (each.status != "Completed", each.value is None, sign * (each.value or 0.0)))


def leaderboard(
    model: Annotated[str, typer.Argument(help="The model's name, as its folder in ml_code/models.")],
    environment: Annotated[str, typer.Option("--environment", "-e")] = "dev",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the newest tuning or search of a model tried, the best first."""
    declaration(model)
    deployment = Deployment(environment, boto3.session.Session())
    pipeline = deployment.outputs(f"{dashed(model)}-training")["PipelineName"]
    found = leaderboard_of(deployment.client("sagemaker"), pipeline)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
        return
    table = Table(title=f"{found.job.rpartition('/')[2]}, execution {found.execution.rpartition('/')[2]}")
    for column in ("#", "name", "status", "objective", "hyperparameters"):
        table.add_column(column, justify="right" if column in ("#", "objective") else "left")
    for rank, each in enumerate(found.tried, 1):
        value = "" if each.value is None else f"{each.metric} {each.value:.5g}"
        tuned = ", ".join(f"{name} {_short(text)}" for name, text in sorted(each.hyperparameters.items()))
        table.add_row(str(rank), each.name, each.status, value, tuned)
    local.wide_console().print(table)


def _short(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text
