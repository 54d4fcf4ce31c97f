"""Metrics of a binary classifier, in the shape of SageMaker's model quality statistics.

The standard deviations are those that other samples of the same size would show: DeLong's for the area under the
curve, the delta method for all others. SageMaker's own monitor draws random samples for them; these come out the same
in every run. As there, fewer than 200 rows have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

CURVE_POINTS = 101
FEWEST_ROWS_WITH_DEVIATION = 200
NAN = float("nan")


def area_under_curve(labels: Labels, scores: Floats) -> float:
    """The area under the ROC curve: how often a positive row outranks a negative one, ties counting half.

    NaN when one of the two classes is missing.
    """
    return _area_and_deviation(labels, scores)[0]


def binary_classification_metrics(labels: Labels, scores: Floats, threshold: float = 0.5) -> dict[str, Any]:
    """All metrics of `scores` (probabilities) against `labels`; both have one entry per row, and at least one row.

    The confusion matrix is read as [what it was][what was predicted]; a score of `threshold` or more predicts 1.
    """
    predicted = scores >= threshold
    tp, fp = int((predicted & labels).sum()), int((predicted & ~labels).sum())
    fn, tn = int((~predicted & labels).sum()), int((~predicted & ~labels).sum())
    clipped = np.clip(scores, 1e-15, 1 - 1e-15)
    values = {
        "recall": _share(tp, fn),
        "precision": _share(tp, fp),
        "accuracy": _share(tp + tn, fp + fn),
        "true_positive_rate": _share(tp, fn),
        "true_negative_rate": _share(tn, fp),
        "false_positive_rate": _share(fp, tn),
        "false_negative_rate": _share(fn, tp),
        "auc": _area_and_deviation(labels, scores),
        "f0_5": _f_score(tp, fp, fn, 0.5),
        "f1": _f_score(tp, fp, fn, 1.0),
        "f2": _f_score(tp, fp, fn, 2.0),
        "log_loss": _mean(-np.where(labels, np.log(clipped), np.log(1 - clipped))),
        "brier_score": _mean((scores - labels) ** 2),
    }
    if len(labels) < FEWEST_ROWS_WITH_DEVIATION:
        values = {name: (value, NAN) for name, (value, _) in values.items()}
    return {
        "confusion_matrix": {"0": {"0": tn, "1": fp}, "1": {"0": fn, "1": tp}},
        **{name: metric(value, deviation) for name, (value, deviation) in values.items()},
        **{f"{name}_best_constant_classifier": metric(value) for name, value in _best_constant(labels).items()},
        **_curves(labels, scores),
    }


def metric(value: float, standard_deviation: float = NAN) -> dict[str, Any]:
    """One metric as the statistics file writes it: NaN is the string "NaN", since JSON has none."""
    return {"value": _number(value), "standard_deviation": _number(standard_deviation)}


def _number(value: float) -> float | str:
    return "NaN" if np.isnan(value) else float(value)


def placements(labels: Labels, scores: Floats) -> tuple[Floats, Floats]:
    """For each positive row the share of negatives below it, for each negative the share of positives above it.

    Ties count half. Their means are the area under the curve; both classes must be there.
    """
    positives, negatives = scores[labels], scores[~labels]
    m, n = len(positives), len(negatives)
    ordered = np.sort(negatives)
    above = (np.searchsorted(ordered, positives, "left") + np.searchsorted(ordered, positives, "right")) / (2 * n)
    ordered = np.sort(positives)
    below = 1 - (np.searchsorted(ordered, negatives, "left") + np.searchsorted(ordered, negatives, "right")) / (2 * m)
    return above, below


def _area_and_deviation(labels: Labels, scores: Floats) -> tuple[float, float]:
    """The area and its standard deviation after DeLong (1988), both from ranks."""
    m, n = int(labels.sum()), int((~labels).sum())
    if m == 0 or n == 0:
        return NAN, NAN
    above, below = placements(labels, scores)
    area = float(above.mean())
    if m < 2 or n < 2:
        return area, NAN
    return area, float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))


def _mean(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def _share(part: int, rest: int) -> tuple[float, float]:
    whole = part + rest
    if not whole:
        return NAN, NAN
    return part / whole, float(np.sqrt(part * rest / whole)) / whole


def _f_score(tp: int, fp: int, fn: int, beta: float) -> tuple[float, float]:
    weight = beta**2
    whole = (1 + weight) * tp + weight * fn + fp
    if not whole:
        return NAN, NAN
    score = (1 + weight) * tp / whole
    squares = tp * ((1 + weight) * (1 - score)) ** 2 + fn * (weight * score) ** 2 + fp * score**2
    return score, float(np.sqrt(squares)) / whole


def _best_constant(labels: Labels) -> Mapping[str, float]:
    """What the better of two classifiers reaches that always give the same answer: each metric by itself."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    return {
        "recall": _share(positives, 0)[0],
        "precision": _share(positives, negatives)[0],
        "accuracy": _share(max(positives, negatives), min(positives, negatives))[0],
        "f0_5": _f_score(positives, negatives, 0, 0.5)[0],
        "f1": _f_score(positives, negatives, 0, 1.0)[0],
        "f2": _f_score(positives, negatives, 0, 2.0)[0],
    }


def _curves(labels: Labels, scores: Floats) -> dict[str, dict[str, list[float]]]:
    """The ROC and the precision-recall curve at evenly spaced rates; all empty when a class is missing."""
    names = ("false_positive_rates", "true_positive_rates", "recalls", "precisions")
    positives, negatives = int(labels.sum()), int((~labels).sum())
    rates: dict[str, list[float]] = {name: [] for name in names}
    if positives and negatives:
        order = np.argsort(-scores, kind="stable")
        last_of_ties = np.append(np.diff(scores[order]) != 0, True)
        true, false = np.cumsum(labels[order])[last_of_ties], np.cumsum(~labels[order])[last_of_ties]
        grid = np.linspace(0, 1, CURVE_POINTS)
        true_rate, false_rate = np.append(0.0, true / positives), np.append(0.0, false / negatives)
        # The precision of the highest threshold that reaches a recall.
        reached = np.searchsorted(true / positives, grid)
        points = (grid, np.interp(grid, false_rate, true_rate), grid, (true / (true + false))[reached])
        rates = {name: values.round(6).tolist() for name, values in zip(names, points, strict=True)}
    return {
        "receiver_operating_characteristic_curve": {name: rates[name] for name in names[:2]},
        "precision_recall_curve": {name: rates[name] for name in names[2:]},
    }
