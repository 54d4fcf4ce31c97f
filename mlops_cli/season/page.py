"""The page of a season: both models month by month, and every retraining with what the gate said. One file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mlops_cli.pages import templates
from mlops_cli.season.monitor_chart import feature_grid, quality_line
from mlops_cli.season.outcomes import Comparison, Outcome, Season

WIDTH, HEIGHT = 1000, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 166, 18, 64
GRID = 0.02
"""Between two lines of the grid, in AUC."""


@dataclass(frozen=True)
class Point:
    """A month in the drawing: one place on each line."""

    x: float
    frozen_y: float
    current_y: float
    month: Comparison


@dataclass(frozen=True)
class Mark:
    """A retraining below the lines."""

    x: float
    outcome: Outcome
    title: str


@dataclass(frozen=True)
class Drawing:
    """The lines in the units of the view box."""

    points: Sequence[Point]
    marks: Sequence[Mark]
    grid: Sequence[tuple[float, str]]
    base: float = HEIGHT - BOTTOM

    def line(self, which: str) -> str:
        """The points of a polyline: `frozen` or `current`."""
        return " ".join(f"{point.x:.1f},{getattr(point, f'{which}_y'):.1f}" for point in self.points)


def draw(season: Season) -> Drawing:
    """Lay the season out: months at their middle, retrainings at the day after which they ran."""
    months = season.months()
    values = [value for month in months for value in (month.frozen, month.current)]
    low, high = min(values) // GRID * GRID, (max(values) // GRID + 1) * GRID
    first, last = season.scored[0].first_day, season.scored[-1].last_day
    span = max((last - first).days, 1)

    def x(day: date) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (day - first).days / span

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    middles: dict[str, list[date]] = {}
    for part in season.scored:
        for day in (part.first_day, part.last_day):
            middles.setdefault(f"{day:%B}", []).append(day)
    points = [Point(x(_middle(middles[month.name])), y(month.frozen), y(month.current), month) for month in months]
    marks = [
        Mark(x(each.after), each.outcome, f"after {each.after}: {each.outcome}. {each.reason}")
        for each in season.retrainings
    ]
    steps = round((high - low) / GRID)
    grid = [(y(low + GRID * step), f"{low + GRID * step:.2f}") for step in range(steps + 1)]
    return Drawing(points, marks, grid)


def _middle(days: Sequence[date]) -> date:
    return min(days) + (max(days) - min(days)) / 2


def render(season: Season) -> str:
    """Return the page; the season must have been scored at least once."""
    environment = templates(Path(__file__).parent)
    return environment.get_template("page.html").render(
        season=season,
        drawing=draw(season),
        whole=season.whole(),
        months=season.months(),
        features=feature_grid(season.monitored),
        quality=quality_line(season.monitored),
        alarmed=[each for each in season.monitored if each.alarms],
        counts={outcome.value: season.count(outcome) for outcome in Outcome},
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
    )
