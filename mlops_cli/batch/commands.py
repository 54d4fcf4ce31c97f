"""The commands of `mlops batch`."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Annotated, Any

import boto3
import typer

from mlops_cli.batch import view
from mlops_cli.batch.predictions import predictions
from mlops_cli.data.dataset import deployed_dataset
from mlops_cli.deployment import Deployment, DeploymentError, dashed
from mlops_cli.local import wide_console
from mlops_cli.repository import declaration
from mlops_cli.training import Training
from mlops_cli.training_view import show

POLL_SECONDS, LOCAL_POLL_SECONDS = 5.0, 0.3
PART, TRIGGER = "batch", "BatchTriggerArn"

app = typer.Typer(help="Predict whole days, and see which are predicted.", no_args_is_help=True)

Model = Annotated[str, typer.Option("--model", "-m", help="The model's name, as its folder in ml_code/models.")]
Environment = Annotated[str, typer.Option("--environment", "-e")]
Day = Annotated[datetime | None, typer.Option("--day", formats=["%Y-%m-%d"], help="The day; those due if left out.")]
To = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The last of several days.")]
First = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")]


@app.command()
def run(model: Model, day: Day = None, to: To = None, environment: Environment = "dev") -> None:
    """Predict a day, or several, and follow it; a day that is predicted already is replaced.

    It waits for the run that is under way. Interrupted, it goes on by itself.
    """
    first, last = _range(day, to, "--day", "--to")
    if last and not first:
        raise ValueError(f"--to {last} is the last of several days: name the first one by --day")
    deployment, _ = _deployed(model, environment)
    poll = LOCAL_POLL_SECONDS if deployment.is_local else POLL_SECONDS
    work = Training(deployment, model, poll=poll, part=PART, trigger=TRIGGER)
    request = work.start({"FirstDay": f"{first}", "LastDay": f"{last or first}"} if first else {})
    try:
        ended = show(work.follow(request), wide_console(), f"{model} in {environment}")
    except KeyboardInterrupt:
        typer.echo(f"not followed any more, it goes on by itself: {request}", err=True)
        raise
    if not ended.succeeded:
        raise DeploymentError(f"{ended.execution} {ended.status.lower()}: {ended.reason or 'no reason given'}")
    typer.echo(last_message(deployment.client("sagemaker"), ended.execution))


@app.command()
def status(
    model: Model,
    environment: Environment = "dev",
    days: Annotated[int, typer.Option(help="Only the newest ones.", min=1)] = 31,
    first: First = None,
    last: To = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which published days are predicted, by which version and when, and which are due."""
    first_day, last_day = _range(first, last, "--from", "--to")
    deployment, declared = _deployed(model, environment)
    catch_up = int(deployment.outputs(f"{dashed(model)}-{PART}")["CatchUpDays"])
    dataset = deployed_dataset(deployment, declared["data"]["dataset"])
    found = predictions(deployment, model, dataset, catch_up, first_day, last_day)
    if as_json:
        typer.echo(json.dumps(view.as_records(found), indent=2))
    else:
        view.show(wide_console(), found, len(found.days) if first or last else days)


def last_message(sagemaker: Any, execution: str) -> str:
    """What the last processing job of an execution has told, as how many rows it predicted."""
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution, SortOrder="Descending")
    for step in steps["PipelineExecutionSteps"]:
        if "ProcessingJob" in step.get("Metadata", {}):
            job = step["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
            told = sagemaker.describe_processing_job(ProcessingJobName=job).get("ExitMessage")
            return str(told or f"{execution} succeeded")
    return f"{execution} succeeded"


def _deployed(model: str, environment: str) -> tuple[Deployment, dict[str, Any]]:
    declared, deployment = declaration(model), Deployment(environment, boto3.session.Session())
    try:
        deployment.outputs(f"{dashed(model)}-{PART}")
    except DeploymentError as error:
        if "batch" in declared:
            raise
        raise DeploymentError(
            f"{model} predicts no days: add `batch:` to ml_code/models/{model}/model.yaml and deploy ({error})"
        ) from error
    return deployment, declared


def _range(
    first: datetime | None, last: datetime | None, first_name: str, last_name: str
) -> tuple[date | None, date | None]:
    first_day, last_day = (each.date() if each else None for each in (first, last))
    if first_day and last_day and first_day > last_day:
        raise ValueError(f"{first_name} {first_day} is after {last_name} {last_day}")
    return first_day, last_day
