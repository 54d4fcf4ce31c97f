"""The geometry of what the monitor saw: features against steps, and the metric that it measured with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from mlops_cli.season.monitored import Monitored, by_largest_load

WIDTH, LEFT, RIGHT = 1000, 190, 10
ROW, GAP, FOOT = 20, 2, 24
SHOWN_FEATURES = 14
STRONGEST = 3.0
"""A feature that is so many thresholds away has the strongest colour."""
QUALITY_HEIGHT, QUALITY_TOP, QUALITY_BOTTOM = 190, 14, 26


@dataclass(frozen=True)
class Cell:
    """A feature in a step: `strength` is 0 to 1, of its threshold where it has `moved`, else up to it."""

    x: float
    y: float
    width: float
    moved: bool
    strength: float
    title: str


@dataclass(frozen=True)
class FeatureGrid:
    """The features that went farthest, a row each, a column for each step."""

    names: Sequence[tuple[float, str]]
    cells: Sequence[Cell]
    days: Sequence[tuple[float, str]]
    height: float
    others: int


@dataclass(frozen=True)
class Measured:
    """The metric of a step as the monitor measured it: its interval from `low_y` to `high_y`."""

    x: float
    y: float
    low_y: float
    high_y: float
    broken: bool
    title: str


@dataclass(frozen=True)
class QualityLine:
    """The metric over the steps, and the baseline of the version that served at each."""

    metric: str
    points: Sequence[Measured]
    baseline: str
    grid: Sequence[tuple[float, str]]
    height: float = QUALITY_HEIGHT

    @property
    def line(self) -> str:
        """The points of a polyline."""
        return " ".join(f"{each.x:.1f},{each.y:.1f}" for each in self.points)


def feature_grid(steps: Sequence[Monitored]) -> FeatureGrid | None:
    """Lay the features out; None when nothing was compared."""
    features = by_largest_load(steps)
    if not features:
        return None
    shown = features[:SHOWN_FEATURES]
    pitch = (WIDTH - LEFT - RIGHT) / len(steps)
    cells = []
    for column, step in enumerate(steps):
        moved = set(step.newest.moved) if step.newest else set()
        for row, name in enumerate(shown):
            load = step.loads.get(name)
            if load is not None:
                strength = min(load / STRONGEST, 1.0) if name in moved else min(load, 1.0)
                told = f"{name}, after {step.after}: {load:.2f} of its threshold"
                told += ", moved" if name in moved else ""
                cells.append(
                    Cell(LEFT + column * pitch, row * ROW, max(pitch - GAP, 1), name in moved, round(strength, 2), told)
                )
    height = len(shown) * ROW
    names = [(row * ROW + ROW / 2 + 3, name) for row, name in enumerate(shown)]
    return FeatureGrid(names, cells, _days(steps, pitch), height + FOOT, len(features) - len(shown))


def quality_line(steps: Sequence[Monitored]) -> QualityLine | None:
    """Lay the metric out; None when no run could judge it."""
    judged = [(column, step, quality) for column, step in enumerate(steps) if (quality := step.quality)]
    if not judged:
        return None
    values = [
        value
        for _, _, each in judged
        for value in (each["value"], each["low"], each["high"], each["baseline"])
        if value is not None
    ]
    low, high = min(values), max(values)
    spread = (high - low) or abs(high) or 1.0
    low, high = low - spread / 10, high + spread / 10
    pitch = (WIDTH - LEFT - RIGHT) / len(steps)

    def x(column: int) -> float:
        return LEFT + (column + 0.5) * pitch

    def y(value: float) -> float:
        share = float((high - value) / (high - low))
        return QUALITY_TOP + (QUALITY_HEIGHT - QUALITY_TOP - QUALITY_BOTTOM) * share

    points = [
        Measured(
            x(column),
            y(each["value"]),
            y(each["value"] if each["low"] is None else each["low"]),
            y(each["value"] if each["high"] is None else each["high"]),
            bool(each["broken"]),
            f"after {step.after}: {each['metric']} {each['value']:.3f}" + (", too bad" if each["broken"] else ""),
        )
        for column, step, each in judged
    ]
    baseline = " ".join(f"{x(column):.1f},{y(each['baseline']):.1f}" for column, _, each in judged if each["baseline"])
    grid = [(y(low + (high - low) * share), f"{low + (high - low) * share:.3g}") for share in (0.05, 0.5, 0.95)]
    return QualityLine(str(judged[0][2]["metric"]), points, baseline, grid)


def _days(steps: Sequence[Monitored], pitch: float) -> list[tuple[float, str]]:
    """A name under the first step of each month."""
    found: list[tuple[float, str]] = []
    month: date | None = None
    for column, step in enumerate(steps):
        first = step.after.replace(day=1)
        if first != month and (month is None or step.after - month > timedelta(days=20)):
            found.append((LEFT + column * pitch, f"{step.after:%B}"))
            month = first
    return found
