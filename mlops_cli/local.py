"""`mlops local`: the local AWS of this checkout, one state folder for each port."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from local_aws import passing_time, process
from local_aws.service import Image
from mlops_cli.repository import ROOT, platform_name

DEFAULT_PORT = 5055
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
TRACKING = ("MLFLOW_TRACKING_URI", "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT")
RUNTIME = Image(sys.executable, ("python3", "-m", "model_runtime"))

app = typer.Typer(help="Run AWS on this machine: no account, no Docker.", no_args_is_help=True)


def wide_console(*, stderr: bool = False) -> Console:
    """Return a console that doesn't break lines at 80 characters where nobody watches, in the log of a CI run say."""
    found = Console(highlight=False, stderr=stderr)
    return found if found.is_terminal else Console(highlight=False, width=120, stderr=stderr)


console = wide_console()
Port = Annotated[int, typer.Option(help="Port on 127.0.0.1.", envvar="MLOPS_LOCAL_PORT", min=1024, max=65535)]


def state_dir(port: int) -> Path:
    """Return the folder of the local AWS on this port: its process id, log and jobs."""
    return ROOT / ".local_aws" / str(port)


def images() -> dict[str, Image]:
    """Return how the runtime image of every environment runs here: with this interpreter, of the same lock file."""
    return {f"{platform_name()}-runtime": RUNTIME}


def start_local_aws(port: int) -> dict[str, Any]:
    """Start the local AWS on this port and return its status; LocalAwsError when it can't be started."""
    return process.start(port, state_dir(port), images())


@app.command()
def start(port: Port = DEFAULT_PORT) -> None:
    """Start the local AWS in the background."""
    found = start_local_aws(port)
    console.print(f"local AWS at [bold]{found['endpoint_url']}[/] (process {found['pid']})")
    console.print(f'point any AWS tool at it:  eval "$(mlops local env --port {port})"', markup=False)


@app.command()
def stop(
    port: Port = DEFAULT_PORT,
    everything: Annotated[bool, typer.Option("--all", help="Stop those on every port.")] = False,
) -> None:
    """Stop the local AWS with its jobs and endpoints. What it held is gone."""
    ports = sorted(int(each.name) for each in (ROOT / ".local_aws").glob("[0-9]*")) if everything else [port]
    stopped = [each for each in ports if process.stop(state_dir(each))]
    for each in stopped:
        console.print(f"stopped the local AWS on port {each}")
    if not stopped:
        console.print("no local AWS was running" + ("" if everything else f" on port {port}"))


@app.command()
def status(
    port: Port = DEFAULT_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show whether it runs, its endpoints, and what it accepts without behaviour. Exit code 1 if it isn't running."""
    found = process.status(state_dir(port))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif found is None:
        console.print(f"no local AWS is running on port {port}: start it with `mlops local start --port {port}`")
    else:
        console.print(_status_table(found))
    if found is None:
        raise typer.Exit(1)


@app.command()
def env(
    port: Port = DEFAULT_PORT,
    environment: Annotated[str, typer.Option("--environment", "-e", help="Whose MLflow app is meant.")] = "dev",
) -> None:
    """Print the variables that point AWS tools, and MLflow once the environment has its app, at it, for `eval`."""
    found = process.status(state_dir(port))
    if found is None:
        typer.echo(f"note: no local AWS is running on port {port}", err=True)
    tracking = tracking_variables(found["mlflow_apps"] if found else {}, environment)
    stale = [name for name in TRACKING if name in os.environ and name not in tracking]
    for name in [*process.foreign_settings(port), *stale]:
        typer.echo(f"unset {name}")
    for name, value in {**process.environment(port), **tracking}.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def tracking_variables(apps: Mapping[str, Mapping[str, str]], environment: str) -> dict[str, str]:
    """Return the variables by which MLflow's clients find an environment's app, if it is among these of the status.

    The ARN is what clients are given on AWS too; AWS's plugin derives an address from it unless the second variable
    names one.
    """
    app = apps.get(f"{platform_name()}-{environment}")
    return dict(zip(TRACKING, (app["arn"], app["url"]), strict=True)) if app else {}


def advance(port: int, by: timedelta, report: Callable[[str], None]) -> datetime:
    """Move the clock of the local AWS on this port on; see `local_aws.passing_time.advance`."""
    return passing_time.advance(port, by, report)


@app.command("advance")
def advance_clock(
    port: Port = DEFAULT_PORT,
    days: Annotated[float, typer.Option(help="Days to move on by.", min=0)] = 0,
    hours: Annotated[float, typer.Option(help="Hours to move on by.", min=0)] = 0,
    to: Annotated[datetime | None, typer.Option(formats=FORMATS, help="The moment to move on to, in UTC.")] = None,
    patience: Annotated[float, typer.Option(help="Minutes that the work of one moment may take.", min=0)] = 60,
) -> None:
    """Move its clock on. Schedules and what waits have their time, one after the other, and are waited for."""
    if (to is None) == (days == hours == 0):
        raise ValueError("say how far: --days, --hours or both, or --to")
    began, from_moment = time.monotonic(), passing_time.present(port)
    by = timedelta(days=days, hours=hours) if to is None else to.replace(tzinfo=UTC) - from_moment
    if by < timedelta(0):
        raise ValueError(f"--to {to:%Y-%m-%dT%H:%M} has passed: the clock says {from_moment:%Y-%m-%d %H:%M} UTC")
    told = ""
    with console.status("[bold]time passes[/]") as shown:

        def report(text: str) -> None:
            nonlocal told
            shown.update(f"[bold]time passes[/]  {escape(text)}")
            if not console.is_terminal and text != told:
                told = text
                typer.echo(text)

        try:
            reached = passing_time.advance(port, by, report, patience=timedelta(minutes=patience))
        except KeyboardInterrupt:
            typer.echo(f"the clock stays at {passing_time.present(port):%Y-%m-%d %H:%M} UTC", err=True)
            raise
    console.print(f"it is {reached:%Y-%m-%d %H:%M} UTC for the local AWS, after {time.monotonic() - began:.0f} s")


def _status_table(found: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row("local AWS", f"[bold]{found['endpoint_url']}[/]")
    table.add_row("process", f"{found['pid']}, up {found['uptime_seconds']} s")
    table.add_row("its time", f"{found['time'][:16].replace('T', ' ')} UTC")
    table.add_row("state and log", found["state_dir"])
    for name, where in sorted(found["endpoints"].items()):
        table.add_row("endpoint", f"{name} -> {where}")
    for name, app in sorted(found["mlflow_apps"].items()):
        table.add_row("MLflow", f"{name} -> {app['url']}" + ("" if app["state"] == "ready" else f" ({app['state']})"))
    inert = found["inert_resource_types"]
    table.add_row("inert types", ", ".join(sorted(inert)) or "none")
    return table
