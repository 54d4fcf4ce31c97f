"""The commands of `mlops data`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mlops_cli import flights
from mlops_cli.data import page, quality, runs, strip
from mlops_cli.data.backfill import Backfill, Tally, chunks, days_due
from mlops_cli.data.dataset import deployed_dataset
from mlops_cli.data.days import Snapshot, snapshot
from mlops_cli.data.report import as_records
from mlops_cli.deployment import Deployment, DeploymentError
from mlops_cli.local import wide_console

LOCAL_POLL_SECONDS, POLL_SECONDS = 0.5, 10.0
DEFAULT_DAYS = 366

app = typer.Typer(help="Land data, see where each day stands, and have days prepared.", no_args_is_help=True)
console = wide_console()


class Redo(StrEnum):
    """Which of the days that are published already are made again."""

    CHANGED = "changed"
    OUTDATED = "outdated"
    ALL = "all"


class BackfillRedo(StrEnum):
    """As `Redo`, but without `all`: with it, a backfill that is started again couldn't tell what is left."""

    CHANGED = "changed"
    OUTDATED = "outdated"


Name = Annotated[str, typer.Argument(help="The dataset, as its folder in ml_code/datasets; the only one if left out.")]
Environment = Annotated[str, typer.Option("--environment", "-e")]
FirstDay = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")]
LastDay = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day.")]


@app.command()
def status(
    dataset: Name = "",
    environment: Environment = "dev",
    days: Annotated[int, typer.Option(help="Only the last ones that landed.", min=1)] = DEFAULT_DAYS,
    first: FirstDay = None,
    last: LastDay = None,
    page_file: Annotated[Path | None, typer.Option("--page", help="Write a page in HTML to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what has landed, what is published, and what is held back and why."""
    deployment = Deployment(environment, boto3.session.Session())
    glue, found = deployment.client("glue"), _snapshot(deployment, dataset, first, last, days)
    if page_file:
        rules = quality.results(glue, strip.results_wanted(found.days))
        page_file.write_text(page.render(found, rules, runs.recent(glue, found.dataset)), encoding="utf-8")
        typer.echo(f"the status of {found.dataset.name} is in {page_file}", err=as_json)
    else:
        rules = quality.results(glue, strip.results_wanted(strip.needing_attention(found)))
    if as_json:
        typer.echo(json.dumps(as_records(found, rules), indent=2))
    elif not page_file:
        strip.show(console, found, rules)


@app.command()
def land(
    first_day: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="The first day, of 2013.")],
    last_day: Annotated[datetime | None, typer.Argument(formats=["%Y-%m-%d"], help="The last day.")] = None,
    environment: Environment = "dev",
) -> None:
    """Land days of the sample data, flights and weather of New York's airports, in the raw bucket."""
    deployment = Deployment(environment, boto3.session.Session())
    bucket = deployment.outputs("data")["RawBucketName"]
    rows = flights.land(deployment.client("s3"), bucket, first_day.date(), (last_day or first_day).date())
    typer.echo(f"{rows:,} flights landed in {bucket}")


@app.command()
def run(
    dataset: Name = "",
    environment: Environment = "dev",
    first: FirstDay = None,
    last: LastDay = None,
    redo: Annotated[Redo, typer.Option(help="Which published days are made again.")] = Redo.CHANGED,
) -> None:
    """Start a run of the dataset's workflow and follow it. Exit code 1 when it fails or holds a day back."""
    deployment = Deployment(environment, boto3.session.Session())
    glue, found = deployment.client("glue"), deployed_dataset(deployment, dataset)
    first_day, last_day = _range(first, last)
    poll = _poll(deployment)
    began = time.monotonic()
    with console.status(f"[bold]{found.workflow}[/]") as shown:

        def busy() -> None:
            shown.update(f"[bold]{found.workflow}[/]  [dim]as many runs as may be are under way: waiting for one[/]")

        started = runs.start(glue, found, first_day, last_day, redo, poll=poll, waiting=busy)
        told = ""
        for progress in runs.follow(glue, found, started, poll=poll):
            shown.update(f"[bold]{found.workflow}[/]  [dim]{time.monotonic() - began:.0f} s  {progress}[/]")
            if not console.is_terminal and str(progress) != told:
                told = str(progress)
                typer.echo(told)
    rows = sum(record.rows for record in progress.published.values())
    quarantined = sum(record.quarantined for record in progress.published.values())
    bad = f", {quarantined:,} rows in quarantine" if quarantined else ""
    typer.echo(f"{started}: {len(progress.published):,} days published, {rows:,} rows{bad}")
    if not progress.published and progress.run.succeeded:
        typer.echo(
            "nothing to do: every day that has landed whole is published, or held with the same files and rules "
            "(--redo all tries it again)"
        )
    _tell_held({day: record["reason"] for day, record in progress.held.items()})
    if not progress.run.succeeded:
        if progress.claimed or progress.staged or not progress.held:
            reason = "; ".join(progress.failures) or progress.run.error or progress.run.status
            raise DeploymentError(f"the run {started} of {found.workflow} failed: {reason}")
        raise typer.Exit(1)


@app.command()
def backfill(
    dataset: Name = "",
    environment: Environment = "dev",
    first: FirstDay = None,
    last: LastDay = None,
    days_per_run: Annotated[int, typer.Option(help="Days that one run works on.", min=1)] = 31,
    concurrency: Annotated[int, typer.Option(help="Runs at the same time.", min=1, max=10)] = 2,
    redo: Annotated[BackfillRedo, typer.Option(help="Which published days are made again.")] = BackfillRedo.OUTDATED,
) -> None:
    """Have many days prepared, in runs of some days each. Started again, it goes on where it stopped."""
    deployment = Deployment(environment, boto3.session.Session())
    found = _snapshot(deployment, dataset, first, last)
    due = days_due(found, redo)
    if not due:
        typer.echo(f"nothing to do: no day of {found.dataset.name} that has landed whole needs a run")
        return
    todo = chunks([day.day for day in due], days_per_run)
    work_todo = f"{len(todo)} run{'' if len(todo) == 1 else 's'}, {concurrency} at the same time"
    typer.echo(f"{len(due):,} of {len(found.days):,} days need a run: {work_todo}")
    work = Backfill(deployment.client("glue"), found.dataset, redo, concurrency=concurrency, poll=_poll(deployment))
    try:
        with _bar(console, len(due)) as watch:
            tally = work.run(todo, watch)
    except KeyboardInterrupt:
        typer.echo(
            "no more runs are started; those under way go on in Glue. The same command goes on where this one stopped.",
            err=True,
        )
        raise
    typer.echo(f"{tally.published:,} days published, {tally.rows:,} rows")
    _tell_held(tally.held)
    for failure in tally.failures:
        typer.echo(f"failed: {failure}", err=True)
    if tally.left:
        typer.echo(f"{tally.left:,} days are left: the same command goes on with them", err=True)
    if tally.left or tally.held or tally.failures:
        raise typer.Exit(1)


def _snapshot(
    deployment: Deployment, name: str, first: datetime | None, last: datetime | None, days: int | None = None
) -> Snapshot:
    first_day, last_day = _range(first, last)
    found = snapshot(deployment, deployed_dataset(deployment, name), first_day, last_day)
    if first_day is None and last_day is None and days is not None:
        return Snapshot(found.dataset, found.days[-days:])
    return found


def _range(first: datetime | None, last: datetime | None) -> tuple[date | None, date | None]:
    first_day, last_day = (each.date() if each else None for each in (first, last))
    if first_day and last_day and first_day > last_day:
        raise ValueError(f"--from {first_day} is after --to {last_day}")
    return first_day, last_day


def _poll(deployment: Deployment) -> float:
    return LOCAL_POLL_SECONDS if deployment.is_local else POLL_SECONDS


def _tell_held(held: dict[date, str]) -> None:
    for day, reason in sorted(held.items()):
        typer.echo(f"held back, {day}: {reason}")


@contextmanager
def _bar(shown_on: Console, days: int) -> Iterator[Any]:
    columns = (
        TextColumn("backfill"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days  {task.fields[rows]:,} rows  {task.fields[held]} held"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=shown_on) as bar:
        task = bar.add_task("", total=days, rows=0, held=0)

        def watch(tally: Tally) -> None:
            done = tally.published + len(tally.held)
            bar.update(task, completed=done, rows=tally.rows, held=len(tally.held))
            if not shown_on.is_terminal and done != reported[0]:
                reported[0] = done
                typer.echo(f"{done:,} of {days:,} days, {tally.rows:,} rows, {len(tally.held)} held")

        reported = [0]
        yield watch
