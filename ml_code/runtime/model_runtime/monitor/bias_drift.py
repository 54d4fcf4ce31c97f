"""Whether groups of rows are still treated alike: the metrics of bias of what was predicted, beside the training's.

A limit is broken when the metric's 95 % interval lies outside of it, so that few rows break none by chance. CI, DPPL
and DI are of all predictions of the window; DPL, AD, RD and ED of those that labels have come for. Standard deviations:
of differences of independent shares and means, and of the logarithm of DI (Katz, Baptista, Azen, Pike (1978), Obtaining
confidence intervals for the risk ratio in cohort studies, Biometrics 34). Metrics and limits: see bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_runtime.bias import DESCRIPTIONS, Facet
from model_runtime.comparison import NORMAL_QUANTILE
from model_runtime.metrics import NAN, Floats, Labels
from model_runtime.monitor.quality import Labelled
from model_runtime.problems import BINARY_CLASSIFICATION, Problem

Interval = tuple[float, float, float]
"""A value between its bounds; NaN for what can't be told."""
NOTHING: Interval = (NAN, NAN, NAN)
FEWEST_IN_GROUP = 30
"""Of fewer rows on one side the normal approximation says little."""


@dataclass
class GroupSums:
    """Number, sum and sum of squares of the answers in a group and of all others: predicted classes or predictions."""

    sums: Floats

    @classmethod
    def empty(cls) -> GroupSums:
        """Of no row."""
        return cls(np.zeros((2, 3)))

    def add(self, group: Labels, answers: Floats) -> None:
        """Take in rows."""
        for side, chosen in enumerate((group, ~group)):
            values = answers[chosen]
            self.sums[side] += (len(values), values.sum(), (values**2).sum())


def judged_answers(problem: Problem, predictions: Floats) -> Floats:
    """What bias is about: the predicted class, or the number that was predicted."""
    return (predictions >= 0.5).astype(np.float64) if problem is BINARY_CLASSIFICATION else predictions


def bias_of(
    facets: Sequence[Facet], problem: Problem, sums: Sequence[GroupSums], labelled: Labelled, baseline: Any
) -> list[dict[str, Any]]:
    """The section `bias` of the report: one entry for each facet."""
    found = []
    for index, (facet, counted) in enumerate(zip(facets, sums, strict=True)):
        group = (labelled.groups >> np.uint64(index)) & np.uint64(1) == 1
        metrics = intervals(problem, counted, group, labelled)
        found.append(
            {
                "facet": f"{facet.feature} {facet.shown}",
                "rows": int(counted.sums[0, 0]),
                "metrics": {name: _or_none(each[0]) for name, each in metrics.items()},
                "intervals": {name: [_or_none(each[1]), _or_none(each[2])] for name, each in metrics.items()},
                "baseline": baseline_metrics(baseline, facet),
                "broken": broken_limits(facet, metrics),
                "judged": any(math.isfinite(metrics.get(name, NOTHING)[0]) for name in facet.limits),
            }
        )
    return found


def intervals(problem: Problem, counted: GroupSums, group: Labels, labelled: Labelled) -> dict[str, Interval]:
    """Each metric of a facet between its bounds."""
    (n_d, sum_d, _), (n_a, sum_a, _) = counted.sums
    found = {"CI": _imbalance(n_a, n_d)}
    labels = labelled.labels
    found["DPL"] = _difference(labels[~group], labels[group])
    if min(n_d, n_a) < FEWEST_IN_GROUP:
        found["DPPL"] = NOTHING
    else:
        means = sum_a / n_a - sum_d / n_d
        spread = [max(squares / n - (total / n) ** 2, 0.0) / n for n, total, squares in counted.sums]
        found["DPPL"] = _around(means, math.sqrt(sum(spread)))
    if problem is not BINARY_CLASSIFICATION:
        errors = np.abs(labelled.predictions - labels)
        return {**found, "ED": _difference(errors[group], errors[~group])}
    found["DI"] = _ratio(sum_d, n_d, sum_a, n_a)
    predicted, late = labelled.predictions >= 0.5, labels == 1
    right = (predicted == late).astype(np.float64)
    found["AD"] = _difference(right[~group], right[group])
    hits = predicted.astype(np.float64)
    return {**found, "RD": _difference(hits[~group & late], hits[group & late])}


def broken_limits(facet: Facet, metrics: Mapping[str, Interval]) -> list[str]:
    """A sentence for each metric that lies outside of its limits with 95 % confidence."""
    found = []
    for name, (least, most) in facet.limits.items():
        value, low, high = metrics.get(name, NOTHING)
        if high < least or low > most:
            limits = [f"at least {least:g}"] * math.isfinite(least) + [f"at most {most:g}"] * math.isfinite(most)
            found.append(
                f"{DESCRIPTIONS[name].lower()} ({name}) of {facet.feature} {facet.shown} is {value:.4g} "
                f"({low:.4g} to {high:.4g} with 95 % confidence), it must be {' and '.join(limits)}"
            )
    return found


def baseline_metrics(baseline: Any, facet: Facet) -> dict[str, float | None]:
    """The metrics of a facet in a report of Clarify's shape; empty when it has none of the facet."""
    found: dict[str, float | None] = {}
    for section in ("pre_training_bias_metrics", "post_training_bias_metrics"):
        facets = ((baseline or {}).get(section) or {}).get("facets") or {}
        for entry in facets.get(facet.feature, []):
            if entry.get("value_or_threshold") == facet.shown:
                for metric in entry.get("metrics", []):
                    found[str(metric["name"])] = _or_none(float(metric["value"]))
    return found


def _imbalance(n_a: float, n_d: float) -> Interval:
    rows = n_a + n_d
    if not rows:
        return NOTHING
    return _around((n_a - n_d) / rows, 2 * math.sqrt(n_a * n_d / rows) / rows)


def _difference(first: Floats, second: Floats) -> Interval:
    if min(len(first), len(second)) < FEWEST_IN_GROUP:
        return NOTHING
    return _around(
        float(first.mean() - second.mean()),
        math.sqrt(float(first.var()) / len(first) + float(second.var()) / len(second)),
    )


def _ratio(sum_d: float, n_d: float, sum_a: float, n_a: float) -> Interval:
    if min(n_d, n_a) < FEWEST_IN_GROUP or not sum_a or not sum_d:
        return NOTHING
    ratio = (sum_d / n_d) / (sum_a / n_a)
    spread = NORMAL_QUANTILE * math.sqrt(1 / sum_d - 1 / n_d + 1 / sum_a - 1 / n_a)
    return ratio, ratio * math.exp(-spread), ratio * math.exp(spread)


def _around(value: float, deviation: float) -> Interval:
    return float(value), float(value - NORMAL_QUANTILE * deviation), float(value + NORMAL_QUANTILE * deviation)


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
