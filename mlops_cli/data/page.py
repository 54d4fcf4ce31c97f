"""The status page: one HTML file that needs nothing else, to look at, to send, or to publish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mlops_cli.data import charts, strip
from mlops_cli.data.days import Day, Snapshot, State
from mlops_cli.data.quality import RuleResult
from mlops_cli.data.runs import Run
from mlops_cli.pages import templates

SHOWN_RUNS = 12
SHOWN_REASONS = 12
# a run's id has 67 characters; the folder of its rows ends with its last twelve
SHOWN_ID = 12
PROPERTIES = ("FirstDay", "LastDay", "Redo")


def render(
    found: Snapshot, rules: Mapping[str, Sequence[RuleResult]], runs: Sequence[Run], now: datetime | None = None
) -> str:
    """Return the page. `rules` are the results that the days name, by id; `runs` the workflow's, the newest first."""
    environment = templates(Path(__file__).parent)
    environment.globals |= {"charts": charts, "meanings": strip.MEANINGS}
    days = found.days
    reasons = Counter[str]()
    for day in days:
        reasons.update(day.newest.reasons if day.newest else {})
    return environment.get_template("page.html").render(
        dataset=found.dataset,
        found=found,
        now=f"{now or datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        landed=[day for day in days if day.files or day.published],
        states=[state for state in State if any(day.state is state for day in days)],
        calendars=charts.calendars(days),
        details={day.day: _detail(day) for day in days},
        attention=[(day, strip.explanation(day, rules)) for day in strip.needing_attention(found)],
        rows=_rows(days),
        reasons=reasons.most_common(SHOWN_REASONS),
        histories=charts.rule_histories(days, rules),
        runs=[_run(run, days) for run in runs[:SHOWN_RUNS]],
    )


def _rows(days: Sequence[Day]) -> charts.Line | None:
    if not days:
        return None
    values = {day.day: float(day.published.rows) for day in days if day.published}
    return charts.line(values, days[0].day, days[-1].day, charts.CHART_WIDTH, charts.CHART_HEIGHT)


def _detail(day: Day) -> str:
    parts = [f"{day.day:%A, %d %B %Y}", strip.MEANINGS[day.state]]
    if record := day.newest:
        parts.append(f"{record.rows:,} rows")
        if record.quarantined:
            parts.append(f"{record.quarantined:,} in quarantine")
        if record["rules"]:
            parts.append(f"rules {record['rules']}")
        if record["reason"]:
            parts.append(record["reason"])
    if day.missing:
        parts.append(f"missing: {', '.join(day.missing)}")
    return " · ".join(parts)


def _run(run: Run, days: Sequence[Day]) -> dict[str, object]:
    took = (run.completed - run.started).total_seconds() if run.completed and run.started else None
    asked = {name: value for name, value in (run.properties or {}).items() if name in PROPERTIES}
    return {
        "id": run.id,
        "name": run.id[-SHOWN_ID:],
        "started": f"{run.started.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if run.started else "",
        "took": "" if took is None else f"{took:.0f} s" if took < 120 else f"{took / 60:.0f} min",
        "state": "running" if run.is_live else "succeeded" if run.succeeded else "failed",
        "asked": ", ".join(f"{name} {value}" for name, value in asked.items()),
        "published": sum(day.published is not None and day.published["run"] == run.id for day in days),
        "held": sum(day.state is State.HELD and day.staged is not None and day.staged["run"] == run.id for day in days),
    }
