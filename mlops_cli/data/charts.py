"""The geometry of the status page's charts: what the template draws as SVG, in the units of each chart's view box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise

from mlops_cli.data.days import Day
from mlops_cli.data.quality import RuleResult, bounds

CELL, PITCH = 13, 16
TOP, LEFT = 18, 30
WEEKDAYS = 7
CHART_WIDTH, CHART_HEIGHT = 1000, 150
SPARK_WIDTH, SPARK_HEIGHT = 220, 34
MARGIN = 4


@dataclass(frozen=True)
class Cell:
    """A day in a calendar."""

    x: int
    y: int
    day: Day


@dataclass(frozen=True)
class Calendar:
    """A year: a column for each week, a row for each weekday, Monday at the top."""

    year: int
    cells: Sequence[Cell]
    months: Sequence[tuple[int, str]]
    width: int = LEFT + 54 * PITCH
    height: int = TOP + WEEKDAYS * PITCH


@dataclass(frozen=True)
class Line:
    """A series over days: its parts without the gaps, as points of a polyline, and the values at its ends."""

    parts: Sequence[str]
    points: Sequence[tuple[float, float, str]]
    lowest: float
    highest: float
    low_y: float | None = None
    high_y: float | None = None


@dataclass
class RuleHistory:
    """A rule over the days: on how many it held, and how the metric that it is judged by went."""

    rule: str
    ruleset: str
    days: int = 0
    passed: int = 0
    metric: str = ""
    values: dict[date, float] = field(default_factory=dict)
    line: Line | None = None

    @property
    def latest(self) -> float | None:
        """The metric on the newest day."""
        return self.values[max(self.values)] if self.values else None


def calendars(days: Sequence[Day]) -> list[Calendar]:
    """Return a calendar for each year of the days, the newest first."""
    found = []
    for year in sorted({day.day.year for day in days}, reverse=True):
        of_year = [day for day in days if day.day.year == year]
        first = date(year, 1, 1)
        start = first - timedelta(days=first.weekday())

        def column(day: date, start: date = start) -> int:
            return LEFT + (day - start).days // WEEKDAYS * PITCH

        cells = [Cell(column(day.day), TOP + day.day.weekday() * PITCH, day) for day in of_year]
        months = [(column(date(year, month, 7)), f"{date(year, month, 1):%b}") for month in range(1, 13)]
        found.append(Calendar(year, cells, months))
    return found


def line(
    values: Mapping[date, float],
    first: date,
    last: date,
    width: float,
    height: float,
    limits: tuple[float | None, float | None] = (None, None),
) -> Line | None:
    """Return a series as a line that is interrupted where days are missing; None without values.

    `limits` are drawn along, and are part of the scale unless they are so far away that the line would look flat.
    """
    if not values:
        return None
    lowest, highest = min(values.values()), max(values.values())
    spread = highest - lowest or abs(highest) or 1
    near = [limit for limit in limits if limit is not None and lowest - 3 * spread <= limit <= highest + 3 * spread]
    bottom, top = min(lowest, *near, highest), max(highest, *near, lowest)
    if bottom == top:
        bottom, top = bottom - spread / 2, top + spread / 2
    days = max((last - first).days, 1)

    def x(day: date) -> float:
        return round(MARGIN + (day - first).days / days * (width - 2 * MARGIN), 1)

    def y(value: float) -> float:
        return round(height - MARGIN - (value - bottom) / (top - bottom) * (height - 2 * MARGIN), 1)

    ordered = sorted(values)
    breaks = [0, *(i for i, (a, b) in enumerate(pairwise(ordered), 1) if (b - a).days > 1), len(ordered)]
    parts = [" ".join(f"{x(day)},{y(values[day])}" for day in ordered[a:b]) for a, b in pairwise(breaks)]
    low_y, high_y = (y(limit) if limit in near and limit is not None else None for limit in limits)
    points = [(x(day), y(values[day]), f"{day}: {values[day]:,.6g}") for day in ordered]
    return Line(parts, points, lowest, highest, low_y, high_y)


def rule_histories(days: Sequence[Day], results: Mapping[str, Sequence[RuleResult]]) -> list[RuleHistory]:
    """Return each rule with its history over the days, those that fail somewhere first."""
    found: dict[tuple[str, str], RuleHistory] = {}
    for day in days:
        record = day.newest
        for rule in (each for result in (record.results if record else []) for each in results.get(result, [])):
            history = found.setdefault((rule.ruleset, rule.rule), RuleHistory(rule.rule, rule.ruleset))
            history.days += 1
            history.passed += rule.passed
            if rule.metrics:
                history.metric, value = next(iter(rule.metrics.items()))
                history.values[day.day] = value
    for history in found.values():
        limits = bounds(history.rule)
        history.line = line(history.values, days[0].day, days[-1].day, SPARK_WIDTH, SPARK_HEIGHT, limits)
    return sorted(found.values(), key=lambda each: (each.passed == each.days, each.ruleset))
