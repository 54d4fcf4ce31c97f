"""The commands of `mlops`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import boto3
import polars as pl
import typer
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
from rich.console import Console

from local_aws import process
from local_aws.process import LocalAwsError
from mlops_cli import demo as demo_story
from mlops_cli import local, models, scoring, teardown
from mlops_cli.batch import commands as batch
from mlops_cli.data import commands as data
from mlops_cli.data import published
from mlops_cli.data.dataset import deployed_dataset
from mlops_cli.deployment import Deployment, DeploymentError, dashed
from mlops_cli.monitoring import commands as monitoring
from mlops_cli.repository import declaration
from mlops_cli.season import commands as season
from mlops_cli.story import check_programs
from mlops_cli.training import Training, parameters_of
from mlops_cli.training_view import show

POLL_SECONDS, LOCAL_POLL_SECONDS = 5.0, 0.3
errors = Console(stderr=True, highlight=False)


class Commands(typer.Typer):
    """A Typer application whose expected errors are one clear message and exit code 1, not a traceback."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except (NoRegionError, NoCredentialsError) as error:
            hint = 'for a local AWS: eval "$(mlops local env)"; for AWS: set AWS_PROFILE or AWS_REGION'
            errors.print(f"[red bold]error[/] {error} {hint}", soft_wrap=True)
            sys.exit(1)
        except (DeploymentError, LocalAwsError, ClientError, BotoCoreError, FileNotFoundError, ValueError) as error:
            errors.print("[red bold]error[/]", end=" ")
            errors.print(str(error), markup=False, soft_wrap=True)
            sys.exit(1)
        except KeyboardInterrupt:
            errors.print("interrupted")
            sys.exit(130)


app = Commands(
    help="Operate the MLOps platform, on AWS or on the local AWS.", no_args_is_help=True, add_completion=False
)
app.add_typer(local.app, name="local")
app.add_typer(data.app, name="data")
app.add_typer(batch.app, name="batch")
app.add_typer(models.app, name="model")
app.add_typer(monitoring.app, name="monitor")
app.command()(season.season)


@app.command()
def demo(
    port: local.Port = local.DEFAULT_PORT,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the local AWS at the end.")] = False,
) -> None:
    """Deploy the platform to a local AWS, train on real flights, and answer predictions."""
    check_programs()
    telling = demo_story.Demo(port, keeps_running=not stop)
    try:
        telling.run()
    except KeyboardInterrupt:
        # what was started for this run doesn't outlive it
        stop = stop or telling.started
        raise
    except BaseException:
        if process.status(local.state_dir(port)) is not None:
            if not stop:
                errors.print(f"the local AWS keeps running, to look into it: `mlops local stop --port {port}` ends it")
            errors.print(f"the log of the local AWS: {local.state_dir(port) / 'server.log'}", soft_wrap=True)
        raise
    finally:
        if stop:
            process.stop(local.state_dir(port))


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="The model's name, as its folder in ml_code/models.")],
    environment: Annotated[str, typer.Option("--environment", "-e")] = "dev",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="A parameter of the pipeline: Name=Value.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show its steps until it has ended.")] = False,
) -> None:
    """Train a model now, or when the execution that runs has ended. Followed, it fails as the training does."""
    declaration(model)
    deployment = Deployment(environment, boto3.session.Session())
    training = Training(deployment, model, poll=LOCAL_POLL_SECONDS if deployment.is_local else POLL_SECONDS)
    request = training.start(parameters_of(parameter or []))
    if not follow:
        typer.echo(f"asked for: {request}")
        return
    console = local.wide_console()
    try:
        ended = show(training.follow(request), console, f"{model} in {environment}")
    except KeyboardInterrupt:
        typer.echo(f"not followed any more, it goes on by itself: {request}", err=True)
        raise
    if not ended.succeeded:
        raise DeploymentError(f"{ended.execution} {ended.status.lower()}: {ended.reason or 'no reason given'}")
    typer.echo(f"{ended.execution} succeeded")


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="The model's name, as its folder in ml_code/models.")],
    file: Annotated[Path | None, typer.Argument(help="Rows as CSV with a header.", exists=True, dir_okay=False)] = None,
    sample: Annotated[int, typer.Option(help="Instead of a file, take rows of the newest day.", min=0)] = 0,
    environment: Annotated[str, typer.Option("--environment", "-e")] = "dev",
) -> None:
    """Ask a model's endpoint for predictions and print them beside the rows' first columns."""
    if (file is None) == (sample == 0):
        raise ValueError("name either a CSV file, or a number of published rows with --sample")
    declared = declaration(model)
    deployment = Deployment(environment, boto3.session.Session())
    serving = deployment.outputs(f"{dashed(model)}-serving")
    endpoint, component = serving.get("EndpointName"), serving.get("InferenceComponentName")
    if not endpoint:
        raise DeploymentError(
            f"{model} has no endpoint in {environment} yet: `mlops model approve {model}` releases a version to it"
        )
    features = declared["data"]["features"]
    if file:
        rows = scoring.read_rows(file, features)
    else:
        rows = published.newest_rows(deployment, deployed_dataset(deployment, declared["data"]["dataset"]), sample)
    runtime = deployment.client("sagemaker-runtime")
    answers = scoring.invoke_csv(runtime, endpoint, rows.select(features), component=component)
    shown = rows.select([name for name in rows.columns if name not in features] or rows.columns[:4])
    output = io.StringIO()
    shown.with_columns(pl.Series("prediction", answers)).write_csv(output)
    typer.echo(output.getvalue(), nl=False)


@app.command()
def empty(
    environment: Annotated[str, typer.Argument(help="The environment, as `dev`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete the data, images and model packages of an environment, so that `cdk destroy` can take it away.

    What the environment's stacks retain stays.
    """
    deployment = Deployment(environment, boto3.session.Session())
    account = deployment.client("sts").get_caller_identity()["Account"]
    found = teardown.stores(deployment)
    for store in found:
        typer.echo(f"{store.stack}: {store.name}")
    if not yes:
        typer.confirm(f"Delete everything that these hold, in account {account}?", abort=True)
    count = teardown.empty(deployment, found, typer.echo)
    typer.echo(f"{count:,} things deleted; now: cdk destroy '{environment}/*'")
