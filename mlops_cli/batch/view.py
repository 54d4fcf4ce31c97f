"""`mlops batch status` in a terminal, and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlops_cli.batch.predictions import PredictedDay, Predictions, State

MARKS = {
    State.PREDICTED: ("■", "green"),
    State.CHANGED: ("◧", "yellow"),
    State.MISSING: ("□", "cyan"),
    State.WITHDRAWN: ("▪", "dim"),
}


def show(console: Console, found: Predictions, count: int) -> None:
    """Print a line that sums up, and the newest days, `count` at most."""
    console.print(summary(found))
    if not found.days:
        console.print("no day is published yet: see `mlops data status`", style="dim")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("", "day", "rows", "predicted", "version", "at (UTC)", ""):
        table.add_column(name, justify="right" if name in ("rows", "predicted", "version") else "left", no_wrap=True)
    for day in found.days[-count:]:
        mark, colour = MARKS[day.state]
        predicted = f"{day.predicted:,}" if day.package else ""
        when = day.predicted_at.replace("T", " ")
        table.add_row(Text(mark, style=colour), f"{day.day}", f"{day.rows:,}", predicted, day.version, when, said(day))
    console.print(table)
    if any(day.state in (State.MISSING, State.CHANGED) and not day.is_due for day in found.days[-count:]):
        console.print(f"a day that isn't due: mlops batch run --model {found.model} --day ...", style="dim")


def summary(found: Predictions) -> Text:
    """One line: which version predicts, how many days have predictions, and what became of the newest run."""
    version = f"version {found.released.rpartition('/')[2]}" if found.released else "no version is released yet"
    there = [day for day in found.days if day.package]
    told = Text.assemble(
        (f"{found.model} in {found.environment}", "bold"),
        f"  {version}  {len(there):,} of {len(found.days):,} days predicted, "
        f"{sum(day.predicted for day in there):,} rows",
    )
    if found.due:
        told.append(f"  {len(found.due):,} due", "cyan")
    if found.run:
        status = found.run["PipelineExecutionStatus"].lower()
        began = f"{found.run['StartTime']:%Y-%m-%d %H:%M}"
        told.append(f"  newest run {status}, {began}", "red" if status == "failed" else "dim")
    return told


def said(day: PredictedDay) -> str:
    """What there is to say of a day's state."""
    state = {
        State.PREDICTED: "",
        State.CHANGED: "published anew",
        State.MISSING: "not predicted",
        State.WITHDRAWN: "not published any more",
    }[day.state]
    return f"{state}, due" if day.is_due else state


def as_records(found: Predictions) -> dict[str, Any]:
    """The same as JSON-ready data."""
    run = None
    if found.run:
        run = {
            "execution": found.run["PipelineExecutionArn"],
            "status": found.run["PipelineExecutionStatus"],
            "started": found.run["StartTime"].isoformat(),
        }
    return {
        "model": found.model,
        "environment": found.environment,
        "released": found.released or None,
        "newest_run": run,
        "days": [
            {
                "day": f"{day.day}",
                "state": str(day.state),
                "due": day.is_due,
                "rows": day.rows,
                "predicted": day.predicted,
                "model_package": day.package or None,
                "predicted_at": day.predicted_at or None,
            }
            for day in found.days
        ],
    }
