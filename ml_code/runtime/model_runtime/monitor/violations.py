"""`constraint_violations.json`: where rows break the constraints of a baseline.

Types of checks are those of Model Monitor's schema; `non_negative_check` is ours, since the schema names no type for
`is_non_negative`. Source: SageMaker's guide, "Schema for Violations (constraint_violations.json file)".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from model_runtime.monitor import distances
from model_runtime.monitor.constraints import Checking, Constraints, FeatureConstraints
from model_runtime.monitor.sketches import ColumnSketch, TableSketch
from model_runtime.monitor.statistics import FeatureStatistics, Statistics

FILE = "constraint_violations.json"
SIGNIFICANT = 0.003
"""The probability below which a test of Pearson breaks: that of Deequ's robust distance."""
CHANCE_DEVIATIONS = 3.1
"""A share of values that are there counts as less when it lies so many standard deviations below: one in a thousand."""


def violations(constraints: Constraints, baseline: Statistics | None, now: TableSketch) -> list[dict[str, Any]]:
    """The member `violations` of the file, by the order of the features; none without a row."""
    if not now.rows or not constraints.checking.evaluated:
        return []
    found = []
    for name, asked in constraints.features.items():
        if not asked.checking.evaluated:
            continue
        column = now.columns.get(name)
        if column is None:
            text = (
                f"There are {len(now.columns)} columns in the current dataset; {name} of the baseline isn't among them."
            )
            found.append(_violation(name, "missing_column_check", text))
            continue
        found += [_violation(name, kind, text) for kind, text in _broken(asked, column)]
        then = baseline.features.get(name) if baseline else None
        if then is not None and asked.checking.compared:
            drifted = _drifted(asked.checking, then, column)
            found += [_violation(name, "baseline_drift_check", drifted)] if drifted else []
    for name in now.columns:
        if name not in constraints.features:
            text = f"The current dataset has a column {name}, which the baseline hasn't."
            found.append(_violation(name, "extra_column_check", text))
    return found


def _violation(name: str, kind: str, text: str) -> dict[str, Any]:
    return {"feature_name": name, "constraint_check_type": kind, "description": text}


def _broken(asked: FeatureConstraints, column: ColumnSketch) -> Iterator[tuple[str, str]]:
    checking, share = asked.checking, column.share_of_type(asked.type)
    if share < checking.types:
        yield (
            "data_type_check",
            f"Data type match requirement is not met. Expected data type: {asked.type}, Expected match: "
            f"{checking.types:.1%}. Observed: Only {_percent(share)} of data is {asked.type}.",
        )
    there = column.present / column.rows
    if asked.completeness is not None and _surely_less(there, asked.completeness, column.rows):
        yield (
            "completeness_check",
            f"Completeness requirement is not met. Expected: at least {_percent(asked.completeness)} of values "
            f"present. Observed: {_percent(there)}.",
        )
    if asked.non_negative and column.numbers.count and column.numbers.minimum < 0:
        yield (
            "non_negative_check",
            f"Values must not be negative. Observed: the least is {column.numbers.minimum:g}.",
        )
    if asked.domains is not None and column.present:
        _, others = column.counts_of(sorted(asked.domains))
        share = 1 - others / column.present
        if share < checking.domains:
            yield (
                "categorical_values_check",
                f"Value(s) outside of the domain of the baseline. Expected match: {checking.domains:.1%}. "
                f"Observed: Only {_percent(share)} of values are among its {len(asked.domains)}.",
            )


def _surely_less(share: float, expected: float, rows: int) -> bool:
    """Whether a share is less than in the baseline by more than chance explains in so many rows."""
    return share < expected - CHANCE_DEVIATIONS * math.sqrt(expected * (1 - expected) / rows)


def _drifted(checking: Checking, then: FeatureStatistics, column: ColumnSketch) -> str | None:
    if not (then.present and column.present):
        return None
    if then.categories is not None:
        return _categories_drifted(checking, then, column)
    now = column.numbers.distribution()
    if then.distribution is None or now is None:
        return None
    found = distances.linf_simple(then.distribution, now)
    if not checking.simple:
        found = distances.linf_robust(found, then.distribution.total, now.total)
    return _distance_text(found, checking.distance) if found > checking.distance else None


def _categories_drifted(checking: Checking, then: FeatureStatistics, column: ColumnSketch) -> str | None:
    """By a distance above its limit, or by a test: AWS doesn't say how its container holds that against the limit."""
    known = {name: float(count) for name, count in (then.categories or {}).items()}
    counts, others = column.counts_of(list(known))
    now = dict(zip(known, map(float, counts), strict=True))
    limit = checking.distance if checking.categorical_distance is None else checking.categorical_distance
    if checking.chi_squared:
        chance = distances.deequ_chi_squared(known, now)
        said = f"Baseline drift probability: {chance:.3g} is below the threshold: {SIGNIFICANT:g}"
        return said if not np.isnan(chance) and chance < SIGNIFICANT else None
    rest = max(then.present - sum(known.values()), 0.0)
    found = distances.linf_categorical({**known, "": rest}, {**now, "": float(others)})
    if not checking.simple:
        found = distances.linf_robust(found, float(then.present), float(column.present))
    return _distance_text(found, limit) if found > limit else None


def _distance_text(found: float, limit: float) -> str:
    return f"Baseline drift distance: {found:g} exceeds threshold: {limit:g}"


def _percent(share: float) -> str:
    """With as many digits as tell it from all: one row in a million is seen."""
    return f"{share * 100:.10g}%"
