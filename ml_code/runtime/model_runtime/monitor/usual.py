"""How far days of the training are from all others: what is usual, and no drift.

Rows of an hour share their weather, those of a week their season. So a week is never like half a year, and a test that
takes rows for independent always calls that a shift. What single windows of the training days have reached says how
far a feature goes by itself: it has moved when it is further from the training than any of them was.

One more window of the same kind is the furthest of n + 1 once in n + 1 times, and with k features nearly k times as
often. So all are judged together: were each window held against what the others have reached, some would have to be
let go further, the most in their worst feature. As much further every feature may go that 9 of 10 windows are calm.

Rows are counted by day in cells, the categories or ranges of the baseline, which takes memory for days, not for rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from model_runtime.monitor.compared_feature import RANGES, common_categories, effect, gap_between
from model_runtime.monitor.distributions import Counts, Floats
from model_runtime.monitor.drift_limits import MEASURES, SPANS, DriftLimits, Measure, span_of
from model_runtime.monitor.sketches import category_names
from model_runtime.monitor.statistics import FeatureStatistics, Reached, Statistics, Usual

LEAST_WINDOWS = 4
LEAST_ROWS = 200
"""Windows with fewer rows differ by chance alone, and fewer windows say nothing of what is usual."""
CALM_ALARMS = 0.1
"""The share of calm windows that may alarm: with half a year's weeks a smaller one is up to the single furthest."""
POINTS = 200
"""So many quantiles of numbers are bounds of cells beside those of the ranges: a cumulated share is wrong by 1/200."""

Places = npt.NDArray[np.int64]


class DayCounts:
    """Rows counted by day, a batch at a time, in the cells of a baseline's features."""

    def __init__(self, baseline: Statistics, day: str) -> None:
        self._day = day
        self._cells = {name: _Cells(feature) for name, feature in baseline.features.items()}
        self._counts: dict[str, dict[int, Places]] = {name: {} for name in self._cells}

    def update(self, rows: pl.DataFrame) -> None:
        """Take rows in; those without a day belong to none."""
        rows = rows.filter(pl.col(self._day).is_not_null())
        days, places = np.unique(rows[self._day].cast(pl.Date).cast(pl.Int32).to_numpy(), return_inverse=True)
        for name, cells in self._cells.items():
            width = cells.missing + 1
            found = np.bincount(places * width + cells.places(rows[name]), minlength=len(days) * width)
            known = self._counts[name]
            for day, counts in zip(days.tolist(), found.reshape(len(days), width), strict=True):
                known[day] = known[day] + counts if day in known else counts.copy()

    def usual(self) -> dict[str, Usual]:
        """Of each feature how far windows have been; none where there are too few of them."""
        found: dict[str, Usual] = {}
        for name, by_day in self._counts.items():
            if not by_day:
                continue
            days = np.array(sorted(by_day))
            counts = np.array([by_day[day] for day in days.tolist()])
            usual = Usual({}, {}, {})
            for span in SPANS:
                self._cells[name].fill(usual, span, list(_windows(days, counts, span)), counts.sum(axis=0))
            if usual.windows:
                found[name] = usual
        return found


class _Cells:
    """Where the rows of a feature are counted: in categories, or between bounds; the last cell is for missing ones."""

    def __init__(self, feature: FeatureStatistics) -> None:
        self._categories = None if feature.categories is None else list(feature.categories)
        self._bounds: Floats = np.empty(0)
        self._starts = np.zeros(1, np.int64)
        if self._categories is None and feature.distribution is not None:
            known = feature.distribution
            edges = known.edges(RANGES, feature.minimum, feature.maximum)
            self._bounds = np.union1d(edges, np.unique(known.quantiles(np.arange(1, POINTS) / POINTS)))
            # a bound is the first value of the cell above it
            self._starts = np.concatenate([[0], np.searchsorted(self._bounds, edges) + 1])
        self.missing = len(self._bounds if self._categories is None else self._categories) + 1

    def places(self, values: pl.Series) -> Places:
        """The cell of each row."""
        if self._categories is not None and not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
            cells = {name: place for place, name in enumerate(self._categories)}
            names = category_names(values)
            known = names.replace_strict(cells, default=len(cells), return_dtype=pl.Int64)
            return np.where(names.is_null().to_numpy(), self.missing, known.fill_null(self.missing).to_numpy())
        if values.dtype == pl.String:
            values = values.str.strip_chars().str.replace(" ", "", literal=True)
        numbers = values.cast(pl.Float64, strict=False).cast(pl.Float32).cast(pl.Float64).to_numpy()
        if self._categories is None:
            found = np.searchsorted(self._bounds, numbers, "right")
        else:
            found = _places_among(self._categories, numbers)
        return np.where(np.isnan(numbers), self.missing, found)

    def fill(self, usual: Usual, span: int, windows: list[Places], total: Places) -> None:
        """Tell how far windows of so many days were from all other rows: their values, and how many are missing."""
        large = [each for each in windows if each.sum() >= LEAST_ROWS]
        if len(large) < LEAST_WINDOWS:
            return
        usual.windows[span] = len(large)
        known = {number: each for number, each in enumerate(large) if each[:-1].sum() >= LEAST_ROWS}
        if len(known) >= LEAST_WINDOWS:
            effects = {number: self._values(total[:-1], each[:-1]) for number, each in known.items()}
            usual.values[span] = _reached(effects)
        if total[-1]:
            usual.gaps[span] = _reached({number: _gaps(total, each) for number, each in enumerate(large)})

    def _values(self, total: Places, window: Places) -> dict[Measure, float]:
        now, rest = window.astype(np.float64), (total - window).astype(np.float64)
        if self._categories is None:
            apart = np.cumsum(rest) / rest.sum() - np.cumsum(now) / now.sum()
            now, rest = np.add.reduceat(now, self._starts), np.add.reduceat(rest, self._starts)
        else:
            apart = rest / rest.sum() - now / now.sum()
            rest, now = common_categories(rest, now)
        return _effects(rest, now, float(np.abs(apart).max()))


def _gaps(total: Places, window: Places) -> dict[Measure, float]:
    now, rest = (np.array([each[-1], each[:-1].sum()], np.float64) for each in (window, total - window))
    return _effects(rest, now, gap_between(rest, now))


def _effects(rest: Counts, now: Counts, largest: float) -> dict[Measure, float]:
    return {measure: effect(measure, rest, now, largest) for measure in MEASURES}


def _reached(effects: dict[int, dict[Measure, float]]) -> dict[Measure, Reached]:
    found: dict[Measure, Reached] = {}
    for measure in MEASURES:
        first, second, *_ = sorted(effects, key=lambda number: -effects[number][measure])
        found[measure] = Reached(effects[first][measure], effects[second][measure], first)
    return found


def _places_among(categories: list[str], numbers: Floats) -> Places:
    """The category of each number, or else how many there are; a name that is no number has no row."""
    values = np.array([_number(name) for name in categories], np.float32).astype(np.float64)
    order = np.argsort(values)
    near = np.minimum(np.searchsorted(values[order], numbers), len(values) - 1)
    return np.where(values[order][near] == numbers, order[near], len(values))


def _number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return float("nan")


def _windows(days: npt.NDArray[Any], counts: Places, span: int) -> Iterator[Places]:
    """The whole windows from the last day on backwards; days without rows have none."""
    numbers = (days[-1] - days) // span
    whole = (days[-1] - days[0] + 1) // span
    for number in range(int(whole)):
        members = counts[numbers == number]
        if len(members):
            yield members.sum(axis=0)


def margin(baseline: Statistics, limits: DriftLimits) -> float:
    """How many times further than windows of the training features may go, so that most calm windows alarm nowhere."""
    span = span_of(limits.days)
    times: dict[int, float] = {}
    windows = 0
    for name, feature in baseline.features.items():
        usual, limit = feature.usual, limits.of(name)
        if usual is None or name in limits.features or name in limits.ignored:
            continue
        windows = max(windows, usual.windows.get(span, 0))
        for reached in (each.get(span, {}).get(limit.measure) for each in (usual.values, usual.gaps)):
            if reached is not None:
                further = reached.largest / max(reached.second, limit.threshold)
                times[reached.window] = max(times.get(reached.window, 0.0), further)
    if not windows:
        return 1.0
    all_windows: Sequence[float] = [*times.values(), *[0.0] * (windows - len(times))]
    # by ranks of n + 1, as the next window is one more of them
    return max(1.0, float(np.quantile(all_windows, 1 - CALM_ALARMS, method="weibull")))
