"""Two models on the same rows: by how much one is better, and between which limits that is sure.

Sources: DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44, for the area under the curve of two models on the same
rows; Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13, for all other metrics (percentiles of
paired resamples).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from model_runtime.metrics import Floats, Labels, placements
from model_runtime.problems import Problem

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959964  # of 0.975
DRAWS = 500
SEED = 7
ERRORS = ("mae", "mse", "rmse")

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric of two models on the same rows.

    `better_by` is how much better the candidate is, in the metric's unit: positive when it is better, whatever
    direction is good. It lies between `low` and `high` with 95 % confidence.
    """

    metric: str
    candidate: float
    champion: float
    better_by: float
    low: float
    high: float
    method: str


def compare(problem: Problem, metric: str, labels: Any, candidate: Floats, champion: Floats) -> Difference:
    """Compare the predictions of two models for the same rows, of which both classes or values must be there."""
    sign = -1.0 if metric in ERRORS else 1.0
    first, second = _value(problem, metric, labels, candidate), _value(problem, metric, labels, champion)
    better_by = sign * (first - second)
    if metric == "auc":
        deviation = _area_deviation(labels, candidate, champion)
        low, high, method = better_by - NORMAL_QUANTILE * deviation, better_by + NORMAL_QUANTILE * deviation, "DeLong"
    else:
        resampled = _resampled_counts if problem.name == "binary_classification" else _resampled_rows
        differences = sign * resampled(metric, labels, candidate, champion)
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = (float(each) for each in np.nanpercentile(differences, [tail, 100 - tail]))
        method = f"bootstrap of {DRAWS} paired resamples"
    return Difference(
        metric=metric,
        candidate=first,
        champion=second,
        better_by=better_by,
        low=float(low),
        high=float(high),
        method=method,
    )


def _value(problem: Problem, metric: str, labels: Any, predictions: Floats) -> float:
    return float(problem.metrics(labels, predictions)[metric]["value"])


def _area_deviation(labels: Labels, candidate: Floats, champion: Floats) -> float:
    """The standard deviation of the difference of two areas: their placements differ row by row."""
    above, below = placements(labels, candidate)
    other_above, other_below = placements(labels, champion)
    if len(above) < 2 or len(below) < 2:
        return float("nan")
    variance = (above - other_above).var(ddof=1) / len(above) + (below - other_below).var(ddof=1) / len(below)
    return float(np.sqrt(variance))


def _resampled_counts(metric: str, labels: Labels, candidate: Floats, champion: Floats) -> Floats:
    """Differences in resamples: a metric of classes needs only how many rows each combination of answers has."""
    cells = labels * 4 + (candidate >= 0.5) * 2 + (champion >= 0.5)
    counts = np.bincount(cells, minlength=8)
    drawn = np.random.default_rng(SEED).multinomial(len(labels), counts / len(labels), DRAWS).reshape(-1, 2, 2, 2)
    # axes: draw, label, candidate's answer, champion's answer
    of_candidate, of_champion = drawn.sum(axis=3), drawn.sum(axis=2)
    return _COUNTED[metric](of_candidate) - _COUNTED[metric](of_champion)


def _resampled_rows(metric: str, labels: Floats, candidate: Floats, champion: Floats) -> Floats:
    random = np.random.default_rng(SEED)
    found = []
    for _ in range(DRAWS):
        rows = random.integers(0, len(labels), len(labels))
        truth = labels[rows]
        found.append(_error(metric, truth, candidate[rows]) - _error(metric, truth, champion[rows]))
    return np.array(found)


def _error(metric: str, labels: Floats, predictions: Floats) -> float:
    errors = predictions - labels
    if metric == "mae":
        return float(np.abs(errors).mean())
    mse = float((errors**2).mean())
    if metric == "r2":
        return 1 - mse / float(labels.var())
    return mse if metric == "mse" else float(np.sqrt(mse))


def _accuracy(counts: Counts) -> Floats:
    shares: Floats = (counts[:, 0, 0] + counts[:, 1, 1]) / counts.sum(axis=(1, 2))
    return shares


def _recall(counts: Counts) -> Floats:
    with np.errstate(invalid="ignore"):
        shares: Floats = counts[:, 1, 1] / counts[:, 1].sum(axis=1)
    return shares


def _precision(counts: Counts) -> Floats:
    with np.errstate(invalid="ignore"):
        shares: Floats = counts[:, 1, 1] / counts[:, :, 1].sum(axis=1)
    return shares


def _f_score(beta: float) -> Callable[[Counts], Floats]:
    def score(counts: Counts) -> Floats:
        hits, missed, false = counts[:, 1, 1], counts[:, 1, 0], counts[:, 0, 1]
        with np.errstate(invalid="ignore"):
            scores: Floats = (1 + beta**2) * hits / ((1 + beta**2) * hits + beta**2 * missed + false)
        return scores

    return score


_COUNTED: dict[str, Callable[[Counts], Floats]] = {
    "accuracy": _accuracy,
    "recall": _recall,
    "precision": _precision,
    "f0_5": _f_score(0.5),
    "f1": _f_score(1.0),
    "f2": _f_score(2.0),
}
