"""The command `mlops season`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from local_aws import process
from mlops_cli import local
from mlops_cli.season import page
from mlops_cli.season.outcomes import Outcome, RetrainedBy, Season
from mlops_cli.season.story import SeasonStory
from mlops_cli.story import check_programs

SEASON_PORT = 5056
DAY = ["%Y-%m-%d"]
First = Annotated[datetime, typer.Option("--from", formats=DAY, help="The first day.")]
Last = Annotated[datetime, typer.Option("--to", formats=DAY, help="The last day.")]
History = Annotated[datetime, typer.Option("--history-from", formats=DAY, help="The first day to learn from.")]
Retrain = Annotated[
    RetrainedBy, typer.Option("--retrain", help="What starts trainings: a schedule, or the monitor's alarms.")
]
Singly = Annotated[float, typer.Option(help="The share of flights asked for one by one, as clients do.", min=0, max=1)]
Every = Annotated[
    int, typer.Option(help="Days that land at once, and from one retraining of the schedule to the next.", min=1)
]


def season(
    first: First = datetime(2013, 7, 1),
    last: Last = datetime(2013, 12, 31),
    history: History = datetime(2013, 1, 1),
    every: Every = 7,
    retrain: Retrain = RetrainedBy.SCHEDULE,
    singly: Singly = 0.25,
    page_file: Annotated[Path, typer.Option("--page", help="Where the page goes.")] = Path("season.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    port: local.Port = SEASON_PORT,
) -> None:
    """Live through half a year on a local AWS of its own: days land, a schedule or an alarm retrains, the gate judges.

    Takes half a minute to a minute for each retraining. Stops the local AWS at the end.
    """
    check_programs()
    story = SeasonStory(
        port,
        console=local.wide_console(stderr=as_json),
        first_day=first.date(),
        last_day=last.date(),
        history_from=history.date(),
        step_days=every,
        retrained_by=retrain,
        singly=singly,
    )
    try:
        story.run()
    finally:
        if story.season.scored:
            page_file.write_text(page.render(story.season), encoding="utf-8")
        if story.started:
            process.stop(local.state_dir(port))
    if as_json:
        typer.echo(json.dumps(story.season.to_json(), indent=2))
    else:
        story.console.print(_table(story.season))
    typer.echo(f"the page of the season is {page_file}", err=as_json)


def _table(found: Season) -> Table:
    released, rejected = found.count(Outcome.RELEASED), found.count(Outcome.REJECTED)
    title = f"{found.model}: {len(found.retrainings)} retrainings, {released} released, {rejected} rejected"
    table = Table(title=title)
    table.add_column("month")
    for name in ("flights", "AUC, frozen", "AUC, retrained", "difference"):
        table.add_column(name, justify="right")
    months = found.months()
    for each in (*months, found.whole()):
        table.add_row(
            each.name,
            f"{each.flights:,}",
            f"{each.frozen:.3f}",
            f"{each.current:.3f}",
            f"{each.gain:+.3f}",
            end_section=each is months[-1],
        )
    return table
