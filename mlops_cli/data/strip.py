"""`mlops data status` in a terminal: a line that sums up, a cell for each day, and what needs attention."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mlops_cli.data.days import Day, Snapshot, State
from mlops_cli.data.quality import RuleResult, failing

# every state has a character of its own, for those who see no colours
CELLS: Mapping[State, tuple[str, str]] = {
    State.PUBLISHED: ("■", "green"),
    State.OUTDATED: ("▪", "green"),
    State.CHANGED: ("◧", "yellow"),
    State.READY: ("□", "cyan"),
    State.PREPARING: ("▸", "blue"),
    State.ABANDONED: ("▹", "magenta"),
    State.WAITING: ("…", "yellow"),
    State.HELD: ("✗", "bold red"),
    State.ABSENT: ("·", "dim"),
}
MEANINGS: Mapping[State, str] = {
    State.PUBLISHED: "published",
    State.OUTDATED: "published, by an older version",
    State.CHANGED: "published, raw files changed since",
    State.READY: "landed, the next run takes it",
    State.PREPARING: "being prepared",
    State.ABANDONED: "its run has ended, the next one takes it over",
    State.WAITING: "waiting for more to land",
    State.HELD: "held back",
    State.ABSENT: "nothing landed",
}
SHOWN_DAYS = 20
IN_BUCKET = re.compile(r"s3://[^/\s]+/")


def show(console: Console, found: Snapshot, rules: Mapping[str, Sequence[RuleResult]]) -> None:
    """Print the status of a dataset. `rules` are the results of the days that need attention, by id."""
    console.print(summary(found))
    if not found.days:
        console.print("nothing has landed yet: see docs/data.md", style="dim")
        return
    console.print()
    console.print(strip(found))
    console.print()
    attention = needing_attention(found)
    if attention:
        console.print(_attention(attention, rules))


def summary(found: Snapshot) -> Text:
    """One line: how many days and rows can be read, and what else there is."""
    landed = [day for day in found.days if day.files or day.published]
    told = Text.assemble(
        (f"{found.dataset.name} in {found.dataset.environment}", "bold"),
        f"  {len(found.published):,} of {len(landed):,} days readable, {found.rows:,} rows",
    )
    if earlier := len(found.earlier):
        told.append(f" ({earlier:,} {'day' if earlier == 1 else 'days'} by earlier files)")
    if found.quarantined:
        told.append(f", {found.quarantined:,} in quarantine", "yellow")
    others = (State.HELD, State.PREPARING, State.ABANDONED, State.CHANGED, State.READY, State.WAITING, State.OUTDATED)
    for state in others:
        if count := len(found.in_state(state)):
            told.append(f"  {count:,} {state}", CELLS[state][1])
    return told


def strip(found: Snapshot) -> RenderableType:
    """A line for each month with a cell for each day, and what the cells mean."""
    table = Table.grid(padding=(0, 2))
    for _ in range(2):
        table.add_column(no_wrap=True)
    for _ in range(2):
        table.add_column(justify="right", no_wrap=True)
    for month, group in groupby(found.days, lambda day: f"{day.day:%Y-%m}"):
        days = list(group)
        # a month that begins in the middle keeps its days below those of the others
        line = Text(" " * (days[0].day.day - 1))
        for day in days:
            line.append(*CELLS[day.state])
        rows = sum(day.published.rows for day in days if day.published)
        quarantined = sum(day.published.quarantined for day in days if day.published)
        bad = Text(f"{quarantined:,} in quarantine", "yellow") if quarantined else Text("")
        table.add_row(Text(month, "bold"), line, f"{rows:,} rows" if rows else "", bad)
    return Group(table, Text(), legend(found))


def legend(found: Snapshot) -> Text:
    """What the cells that are there mean."""
    present = {day.state for day in found.days}
    parts = [Text.assemble(CELLS[state], f" {MEANINGS[state]}") for state in State if state in present]
    return Text("   ").join(parts)


def needing_attention(found: Snapshot) -> list[Day]:
    """Return the days that somebody should look at, the most urgent first."""
    urgent = (State.HELD, State.ABANDONED, State.WAITING)
    days = [day for state in urgent for day in found.in_state(state)]
    return days + [day for day in found.days if day.state not in urgent and day.published and day.published.quarantined]


def explanation(day: Day, rules: Mapping[str, Sequence[RuleResult]]) -> list[str]:
    """Return why a day is where it is, a line for each reason."""
    lines = []
    if day.state is State.HELD and day.staged:
        broken = failing(rules, day.staged.results)
        lines += [f"{rule.rule}: {rule.message or _metrics(rule)} ({rule.ruleset})" for rule in broken]
        lines = lines or [day.staged["reason"]]
    if day.state is State.WAITING:
        lines.append(f"{' and '.join(day.missing)} {'has' if len(day.missing) == 1 else 'have'}n't landed")
    if day.state is State.ABANDONED and day.staged:
        lines.append(f"claimed by the run {day.staged['run']}, which has ended")
    if day.newest:
        lines += [f"{count:,} × {reason}" for reason, count in day.newest.reasons.items()]
        lines += day.newest.notes
    return [IN_BUCKET.sub("", line) for line in lines]


def _metrics(rule: RuleResult) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in rule.metrics.items()) or "doesn't hold"


def _attention(days: Sequence[Day], rules: Mapping[str, Sequence[RuleResult]]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Needs attention", no_wrap=True)
    table.add_column("State", no_wrap=True)
    for name in ("Rows", "Quarantined", "Rules"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for day in days[:SHOWN_DAYS]:
        record = day.newest
        table.add_row(
            f"{day.day}",
            Text(day.state, CELLS[day.state][1]),
            f"{record.rows:,}" if record and record["recordCount"] else "",
            f"{record.quarantined:,}" if record and record.quarantined else "",
            record["rules"] if record else "",
            Text("\n".join(explanation(day, rules))),
        )
    parts: list[RenderableType] = [table]
    if len(days) > SHOWN_DAYS:
        parts.append(Text(f"and {len(days) - SHOWN_DAYS} days more: --json or --page shows all", "dim"))
    if any(day.state is State.HELD for day in days):
        advice = Text("A held day is published once its files, or the rules, are mended: docs/data.md", "dim")
        parts.append(Padding(advice, (1, 0, 0, 0)))
    return Group(*parts)


def results_wanted(days: Iterable[Day]) -> list[str]:
    """Return the ids of the results that explain days."""
    return [each for day in days if day.newest for each in day.newest.results]
