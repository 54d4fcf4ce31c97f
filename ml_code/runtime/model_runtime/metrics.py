"""Metrics of a binary classifier, in the shape of SageMaker's model quality statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

CURVE_POINTS = 101


def area_under_curve(labels: Labels, scores: Floats) -> float:
    """The area under the ROC curve: how often a positive row outranks a negative one, ties counting half.

    NaN when one of the two classes is missing.
    """
    return _area_and_deviation(labels, scores)[0]


def _area_and_deviation(labels: Labels, scores: Floats) -> tuple[float, float]:
    """The area and its standard deviation after DeLong (1988), both from ranks."""
    positives, negatives = scores[labels], scores[~labels]
    m, n = len(positives), len(negatives)
    if m == 0 or n == 0:
        return float("nan"), float("nan")
    # For each positive the share of negatives below it, and the other way round.
    ordered = np.sort(negatives)
    above = (np.searchsorted(ordered, positives, "left") + np.searchsorted(ordered, positives, "right")) / (2 * n)
    ordered = np.sort(positives)
    below = 1 - (np.searchsorted(ordered, negatives, "left") + np.searchsorted(ordered, negatives, "right")) / (2 * m)
    area = float(above.mean())
    if m < 2 or n < 2:
        return area, float("nan")
    return area, float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))


def binary_classification_metrics(labels: Labels, scores: Floats, threshold: float = 0.5) -> dict[str, Any]:
    """All metrics of `scores` (probabilities) against `labels`; both have one entry per row."""
    predicted = scores >= threshold
    tp, fp = int((predicted & labels).sum()), int((predicted & ~labels).sum())
    fn, tn = int((~predicted & labels).sum()), int((~predicted & ~labels).sum())
    total = tp + fp + fn + tn
    precision, recall = _share(tp, tp + fp), _share(tp, tp + fn)
    area, deviation = _area_and_deviation(labels, scores)
    clipped = np.clip(scores, 1e-15, 1 - 1e-15)
    rows = {
        "recall": (recall, _binomial(recall, tp + fn)),
        "precision": (precision, _binomial(precision, tp + fp)),
        "accuracy": (_share(tp + tn, total), _binomial(_share(tp + tn, total), total)),
        "true_positive_rate": (recall, _binomial(recall, tp + fn)),
        "true_negative_rate": (_share(tn, tn + fp), _binomial(_share(tn, tn + fp), tn + fp)),
        "false_positive_rate": (_share(fp, tn + fp), _binomial(_share(fp, tn + fp), tn + fp)),
        "false_negative_rate": (_share(fn, tp + fn), _binomial(_share(fn, tp + fn), tp + fn)),
        "auc": (area, deviation),
        "f0_5": (_f_score(precision, recall, 0.5), float("nan")),
        "f1": (_f_score(precision, recall, 1.0), float("nan")),
        "f2": (_f_score(precision, recall, 2.0), float("nan")),
        "log_loss": (
            float(-np.where(labels, np.log(clipped), np.log(1 - clipped)).mean()) if total else float("nan"),
            float("nan"),
        ),
        "brier_score": (float(((scores - labels) ** 2).mean()) if total else float("nan"), float("nan")),
    }
    return {
        "confusion_matrix": {"0": {"0": tn, "1": fp}, "1": {"0": fn, "1": tp}},
        **{name: metric(value, deviation) for name, (value, deviation) in rows.items()},
        "receiver_operating_characteristic_curve": _roc_curve(labels, scores),
    }


def metric(value: float, standard_deviation: float = float("nan")) -> dict[str, Any]:
    """One metric as the statistics file writes it: NaN is the string "NaN", since JSON has none."""
    return {"value": _number(value), "standard_deviation": _number(standard_deviation)}


def _number(value: float) -> float | str:
    return "NaN" if np.isnan(value) else float(value)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _binomial(share: float, trials: int) -> float:
    return float(np.sqrt(share * (1 - share) / trials)) if trials else float("nan")


def _f_score(precision: float, recall: float, beta: float) -> float:
    denominator = beta**2 * precision + recall
    return (1 + beta**2) * precision * recall / denominator if denominator else float("nan")


def _roc_curve(labels: Labels, scores: Floats) -> dict[str, list[float]]:
    """The ROC curve at evenly spaced false positive rates; empty when a class is missing."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return {"false_positive_rates": [], "true_positive_rates": []}
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    true_rate = np.append(0.0, np.cumsum(labels[order])[last_of_ties] / positives)
    false_rate = np.append(0.0, np.cumsum(~labels[order])[last_of_ties] / negatives)
    grid = np.linspace(0, 1, CURVE_POINTS)
    return {
        "false_positive_rates": grid.round(6).tolist(),
        "true_positive_rates": np.interp(grid, false_rate, true_rate).round(6).tolist(),
    }
