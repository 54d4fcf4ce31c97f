"""`mlops monitor status` and `history` in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlops_cli.monitoring.reports import MonitorRun, texts
from mlops_cli.monitoring.watched import Watched

WORDS = {
    "calm": ("calm", "green"),
    "drifted": ("drifted", "red"),
    "too_few_rows": ("too few rows", "yellow"),
    "no_traffic": ("no traffic", "yellow"),
    "no_baseline": ("no baseline", "yellow"),
}
ALARMS = {"OK": ("ok", "green"), "ALARM": ("ALARM", "bold red"), "INSUFFICIENT_DATA": ("no data", "dim")}
SHOWN_FEATURES = 4


def show_status(console: Console, found: Watched) -> None:
    """Print how a model stands."""
    console.print(Text(f"{found.model} in {found.environment}", style="bold"))
    table = Table.grid(padding=(0, 2))
    for stack, version in found.serving.items():
        table.add_row("serves", f"{stack}: {f'version {version}' if version else 'no version yet'}")
    if found.run is None:
        table.add_row("monitor", Text(f"no run yet: `mlops monitor run {found.model}` starts one", style="dim"))
    else:
        table.add_row("monitor", _verdict(found.run))
        for text in texts(found.run):
            table.add_row("", Text(text))
    for alarm in found.alarms:
        word, style = ALARMS.get(alarm.state, (alarm.state, ""))
        table.add_row(
            "alarm", Text.assemble((f"{word:<8}", style), f"{alarm.cause}  ", (f"since {_at(alarm.since)}", "dim"))
        )
    table.add_row("retraining", _retraining(found))
    console.print(table)


def _verdict(run: MonitorRun) -> Text:
    word, style = WORDS.get(run.status, (run.status, ""))
    told = Text.assemble((word, style), f"  {run.report['rows']:,} rows, {run.window}")
    if run.version:
        told.append(f", version {run.version}")
    if run.quality():
        told.append(f", {run.quality()}")
    return told


def _retraining(found: Watched) -> Text:
    loop = found.retraining
    if not found.retrains:
        return Text("by people: `monitoring.retrain` is null", style="dim")
    if loop is None:
        return Text("no alarm has started one yet", style="dim")
    if loop.status == "RUNNING":
        return Text(f"goes on since {_at(loop.began)}", style="yellow")
    word = str(loop.told.get("outcome") or loop.status.lower()).replace("_", " ")
    told = word + (f", {_at(loop.ended)}" if loop.ended else "")
    if loop.told.get("reason"):
        told += f": {loop.told['reason']}"
    for number, attempt in enumerate(loop.told.get("attempts") or [], 1):
        told += f"\nattempt {number}: {attempt['outcome']}, {attempt['reason']}"
    return Text(told, style="red" if word in ("given up", "failed") else "")


def _at(moment: object) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def show_history(console: Console, model: str, runs: Sequence[MonitorRun]) -> None:
    """Print the runs, the newest first."""
    if not runs:
        console.print(f"the monitor of {model} has not run yet: `mlops monitor run {model}` starts it", style="dim")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("hour (UTC)", "window", "verdict", "rows", "version", "moved", "quality", "execution"):
        table.add_column(name, justify="right" if name in ("rows", "version") else "left", no_wrap=name != "moved")
    for run in runs:
        word, style = WORDS.get(run.status, (run.status, ""))
        more = len(run.moved) - SHOWN_FEATURES
        moved = ", ".join(run.moved[:SHOWN_FEATURES]) + (f" and {more} more" if more > 0 else "")
        table.add_row(
            f"{run.hour:%Y-%m-%d %H}h",
            " to ".join(str(run.report["window"][end])[:10] for end in ("start", "end")),
            Text(f"{word}, a look back" if run.looks_back else word, style=style),
            f"{run.report['rows']:,}",
            run.version,
            moved,
            run.quality(),
            run.execution,
        )
    console.print(table)
