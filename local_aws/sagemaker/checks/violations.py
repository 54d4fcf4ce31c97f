"""What rows break of a baseline's constraints, in the form of Model Monitor's constraint_violations.json.

Source of the form: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-violations.html; of the
distances: Deequ (analyzers/Distance.scala), which AWS names as the analyzer's engine. A drift check of ChiSquared isn't
published in full, and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from local_aws.sagemaker.checks.captured import FRACTIONAL, INTEGRAL

# of Deequ's robust distance: what chance alone moves it by, at a level of 0.3 percent
CHANCE = 1.8

Json = Mapping[str, Any]


def violations(constraints: Json, statistics: Json | None, rows: pl.DataFrame) -> list[dict[str, str]]:
    """Return what rows of text break, feature by feature."""
    config = constraints.get("monitoring_config", {})
    if config.get("evaluate_constraints", "Enabled") != "Enabled":
        return []
    features = constraints["features"]
    known = {each["name"]: each for each in (statistics or {}).get("features", [])}
    found = [
        _violation(name, "missing_column_check", "There are columns missing: the baseline has it, the dataset doesn't.")
        for name in (each["name"] for each in features)
        if name not in rows.columns
    ]
    found += [
        _violation(name, "extra_column_check", "There is an extra column: the dataset has it, the baseline doesn't.")
        for name in rows.columns
        if name not in {each["name"] for each in features}
    ]
    for feature in features:
        if feature["name"] in rows.columns:
            own = config | feature.get("monitoringConfigOverrides", {})
            column = rows[feature["name"]]
            for check, description in _broken(feature, own, column, known.get(feature["name"])):
                found.append(_violation(feature["name"], check, description))
    return found


def drift(baseline: Json, column: pl.Series, method: str) -> float | None:
    """Return how far a column of text is from a feature's statistics, from 0 to 1; None where that can't be told."""
    values = column.drop_nulls()
    numbers = baseline.get("numerical_statistics", {}).get("distribution", {}).get("kll", {}).get("sketch")
    words = baseline.get("string_statistics", {}).get("distribution", {}).get("categorical", {}).get("buckets")
    if numbers:
        now = np.sort(values.cast(pl.Float64, strict=False).drop_nulls().to_numpy())
        items = np.array([item for level in numbers["data"] for item in level])
        weights = np.array([2.0**depth for depth, level in enumerate(numbers["data"]) for _ in level])
        if not len(now) or not len(items):
            return None
        order = np.argsort(items, kind="stable")
        items, reached = items[order], np.cumsum(weights[order])
        points = np.union1d(items, now)
        before = np.concatenate([[0.0], reached])[np.searchsorted(items, points, side="right")] / reached[-1]
        simple = float(np.max(np.abs(before - np.searchsorted(now, points, side="right") / len(now))))
        return _corrected(simple, float(reached[-1]), len(now), method)
    if words:
        total = sum(each["count"] for each in words)
        before_ = {str(each["value"]): each["count"] / total for each in words}
        if not len(values):
            return None
        counts = dict(values.value_counts().iter_rows())
        keys = before_.keys() | counts.keys()
        simple = max(abs(before_.get(key, 0.0) - counts.get(key, 0) / len(values)) for key in keys)
        return _corrected(simple, total, len(values), method)
    return None


def distribution_settings(config: Json, *, categorical: bool) -> tuple[float, str] | None:
    """Return threshold and method of the drift check; None when it isn't made."""
    given = config.get("distribution_constraints", {})
    if given.get("perform_comparison", "Enabled") != "Enabled":
        return None
    threshold = given.get("comparison_threshold", 0.1)
    if categorical:
        if given.get("categorical_drift_method", "LInfinity") != "LInfinity":
            return None
        threshold = given.get("categorical_comparison_threshold", threshold)
    return float(threshold), str(given.get("comparison_method", "Robust"))


def _broken(feature: Json, config: Json, column: pl.Series, baseline: Json | None) -> Iterator[tuple[str, str]]:
    values = column.drop_nulls().to_list()
    kind = feature.get("inferred_type", "Unknown")
    share = sum(_is(value, kind) for value in values) / len(values) if values else 1.0
    wanted = float(config.get("datatype_check_threshold", 1.0))
    if kind in ("Integral", "Fractional") and share < wanted:
        yield (
            "data_type_check",
            (
                f"Data type match requirement is not met. Expected data type: {kind}, Expected match: {100 * wanted}%. "
                f"Observed: Only {100 * share}% of data is {kind}."
            ),
        )
    complete = len(values) / len(column) if len(column) else 1.0
    if complete < float(feature.get("completeness", 0.0)):
        yield (
            "completeness_check",
            (f"Observed completeness: {100 * complete}%, expected: {100 * float(feature['completeness'])}%."),
        )
    domain = feature.get("string_constraints", {}).get("domains")
    if domain is not None and values:
        outside = [value for value in values if value not in set(map(str, domain))]
        inside = 1 - len(outside) / len(values)
        threshold = float(config.get("domain_content_threshold", 1.0))
        if inside < threshold:
            yield (
                "categorical_values_check",
                (
                    f"Value {outside[0]!r} isn't in the baseline: "
                    f"{100 * inside}% of the values are, {100 * threshold}% have to be."
                ),
            )
    settings = distribution_settings(config, categorical=kind not in ("Integral", "Fractional"))
    distance = drift(baseline, column, settings[1]) if baseline and settings else None
    if settings and distance is not None and distance > settings[0]:
        yield "baseline_drift_check", f"Baseline drift distance: {distance} exceeds threshold: {settings[0]}"


def _is(value: str, kind: str) -> bool:
    integral = bool(INTEGRAL.fullmatch(value))
    return integral or (kind == "Fractional" and bool(FRACTIONAL.fullmatch(value)))


def _corrected(simple: float, before: float, now: float, method: str) -> float:
    if "simple" in method.lower():
        return simple
    return max(0.0, simple - CHANCE * math.sqrt((before + now) / (before * now)))


def _violation(name: str, check: str, description: str) -> dict[str, str]:
    return {"feature_name": name, "constraint_check_type": check, "description": description}
