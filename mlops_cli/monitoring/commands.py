"""The commands of `mlops monitor`."""

from __future__ import annotations

import json
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import boto3
import typer

from mlops_cli import jobs
from mlops_cli.deployment import Deployment, DeploymentError
from mlops_cli.local import wide_console
from mlops_cli.monitoring import view
from mlops_cli.monitoring.reports import Reports, texts
from mlops_cli.monitoring.watched import watched
from mlops_cli.repository import declaration

POLL_SECONDS, LOCAL_POLL_SECONDS = 5.0, 0.3
MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]

app = typer.Typer(help="See what the monitor of a model has found, and run it.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="The model's name, as its folder in ml_code/models.")]
Environment = Annotated[str, typer.Option("--environment", "-e")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Start = Annotated[
    datetime | None,
    typer.Option("--start", formats=MOMENTS, help="Where the window begins, in UTC; as the settings say if left out."),
]
End = Annotated[datetime | None, typer.Option("--end", formats=MOMENTS, help="Where it ends, in UTC; now if left out.")]
Execution = Annotated[str, typer.Option("--execution", help="The run, as `history` shows it; the newest if left out.")]


def _reports(model: str, environment: str) -> Reports:
    declaration(model)
    return Reports(Deployment(environment, boto3.session.Session()), model)


@app.command()
def status(model: Model, environment: Environment = "dev", as_json: Json = False) -> None:
    """Show the version that serves, what the newest run found, the alarms, and the retraining that they started."""
    found = watched(_reports(model, environment))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
    else:
        view.show_status(wide_console(), found)


@app.command()
def run(model: Model, start: Start = None, end: End = None, environment: Environment = "dev") -> None:
    """Run the monitor now and follow it; its metrics count for the alarms as those of any run.

    With --end it is a look at another time: it leaves its report, and counts for no alarm, notice or status.
    """
    if start and end and start >= end:
        raise ValueError(f"--start {start} is not before --end {end}")
    reports = _reports(model, environment)
    window = {"Start": start, "End": end}
    given = {name: each.replace(tzinfo=UTC).isoformat() for name, each in window.items() if each}
    parameters = {"End": "now", **given}
    poll = LOCAL_POLL_SECONDS if reports.deployment.is_local else POLL_SECONDS
    told: set[str] = set()

    def report(message: str) -> None:
        if message not in told:
            told.add(message)
            typer.echo(message)

    sagemaker = reports.deployment.client("sagemaker")
    execution = jobs.run_pipeline(sagemaker, reports.pipeline, parameters, report, poll)
    found = reports.of(execution)
    view.show_history(wide_console(), model, [found])
    for text in texts(found):
        typer.echo(text)


@app.command("report")
def page(
    model: Model,
    execution: Execution = "",
    target: Annotated[Path | None, typer.Option("--page", help="Where to write the page.", dir_okay=False)] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    environment: Environment = "dev",
) -> None:
    """Copy the page of a run: what moved, since when, how sure that is, and what happens next."""
    reports = _reports(model, environment)
    runs = [reports.of(execution)] if execution else reports.newest(1)
    if not runs:
        raise DeploymentError(f"the monitor of {model} has not run yet: `mlops monitor run {model}` starts it")
    file = target or Path(f"{model}-monitoring.html")
    file.write_bytes(reports.page(runs[0]))
    word, _ = view.WORDS.get(runs[0].status, (runs[0].status, ""))
    typer.echo(f"{file}: {word}, {runs[0].report['rows']:,} rows, {runs[0].window} UTC")
    if browse:
        webbrowser.open(file.resolve().as_uri())


@app.command()
def history(
    model: Model,
    environment: Environment = "dev",
    most: Annotated[int, typer.Option("--most", "-n", help="How many to show, the newest ones.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """List the runs of the monitor with their verdicts, the newest first."""
    runs = _reports(model, environment).newest(most)
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in runs], indent=1))
    else:
        view.show_history(wide_console(), model, runs)
