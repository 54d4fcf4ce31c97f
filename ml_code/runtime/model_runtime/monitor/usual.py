"""How far days of the training are from all others: what is usual, and no drift.

Rows of an hour share their weather, those of a week their season. So a week is never like half a year, and a test that
takes rows for independent always calls that a shift. What single windows of the training days have reached says how
far a feature goes by itself: it has moved when it is further from the training than any of them was. By chance one
more window of the same kind is the furthest of n + 1 once in n + 1 times: with half a year's weeks once in 27.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from model_runtime.monitor.compared_feature import ComparedFeature
from model_runtime.monitor.drift_limits import MEASURES, SPANS, Measure
from model_runtime.monitor.sketches import TableSketch
from model_runtime.monitor.statistics import Statistics, Usual

Largest = dict[int, dict[Measure, float]]

LEAST_WINDOWS = 4
LEAST_ROWS = 200
"""Windows with fewer rows differ by chance alone, and fewer windows say nothing of what is usual."""


def usual_variation(
    rows: pl.DataFrame, day: str, features: Sequence[str], baseline: Statistics
) -> dict[str, dict[str, Any]]:
    """Of each feature what `Usual.to_json` says; nothing where there are too few windows.

    `rows` are those of `baseline`, with the column `day`, a date.
    """
    daily = {key[0]: _sketch(part.select(features)) for key, part in rows.partition_by(day, as_dict=True).items()}
    values: dict[str, Largest] = {feature: {} for feature in features}
    gaps: dict[str, Largest] = {feature: {} for feature in features}
    for span in SPANS:
        windows = [each for each in _windows(daily, span) if each.rows >= LEAST_ROWS]
        if len(windows) < LEAST_WINDOWS:
            continue
        for feature in features:
            compared = [ComparedFeature(baseline.features[feature], each.columns[feature]) for each in windows]
            known = [each for each in compared if each.now.present >= LEAST_ROWS]
            if len(known) >= LEAST_WINDOWS:
                values[feature][span] = {of: max(each.part_values_effect(of) for each in known) for of in MEASURES}
            gaps[feature][span] = {of: max(each.part_gaps_effect(of) for each in compared) for of in MEASURES}
    return {each: Usual(values[each], gaps[each]).to_json() for each in features if values[each] or gaps[each]}


def _sketch(rows: pl.DataFrame) -> TableSketch:
    table = TableSketch()
    table.update(rows)
    return table


def _windows(daily: Mapping[Any, TableSketch], span: int) -> Iterator[TableSketch]:
    """The whole windows from the last day on backwards; days without rows have none."""
    if not daily:
        return
    days: list[date] = sorted(daily)
    last = days[-1]
    together: dict[int, list[date]] = {}
    for each in days:
        together.setdefault((last - each).days // span, []).append(each)
    whole = ((last - days[0]).days + 1) // span
    for number, members in together.items():
        if number < whole:
            window = TableSketch()
            for each in members:
                window.merge(daily[each])
            yield window
