"""A training as it is followed: a table that changes where somebody watches, a line for each change where not."""

from __future__ import annotations

from collections.abc import Iterator

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from mlops_cli.training import Progress, Step

_COLOURS = {"Succeeded": "green", "Failed": "red", "Stopped": "yellow"}


def show(progresses: Iterator[Progress], console: Console, title: str) -> Progress:
    """Show a training until it has ended, and return how."""
    last = Progress("starting")
    if not console.is_terminal:
        told: set[str] = set()
        for last in progresses:
            for line in _lines(last):
                if line not in told:
                    told.add(line)
                    typer.echo(line)
        return last
    with Live(console=console, refresh_per_second=8) as live:
        for last in progresses:
            live.update(_table(last, title))
    return last


def _lines(progress: Progress) -> Iterator[str]:
    if not progress.execution:
        yield progress.status
        return
    yield f"execution {progress.execution}" + (" (started by another trigger)" if progress.joined else "")
    for step in progress.steps:
        took = "" if step.is_busy else f", {step.seconds:.0f} s"
        note = f": {step.note}" if step.note else ""
        yield f"{step.name} {step.status.lower()}{took}{note}"


def _table(progress: Progress, title: str) -> Group:
    table = Table.grid(padding=(0, 2))
    for step in progress.steps:
        table.add_row(_mark(step), step.name, f"{step.seconds:.0f} s", Text(step.note, style="dim"))
    state = progress.execution.rpartition("/")[2] if progress.execution else progress.status
    joined = " (started by another trigger)" if progress.joined else ""
    return Group(Text.assemble((title, "bold"), f"  {state}{joined}"), table)


def _mark(step: Step) -> Spinner | Text:
    if step.is_busy:
        return Spinner("dots")
    return Text({"Succeeded": "✓", "Failed": "✗"}.get(step.status, "-"), style=_COLOURS.get(step.status, ""))
