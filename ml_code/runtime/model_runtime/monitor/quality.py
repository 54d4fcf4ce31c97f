"""How good predictions were, now that labels have come, and whether that is worse than at the training.

A value lies within 1.96 standard deviations with 95 % confidence. Those of a classification are the evaluation's own
(see metrics). Those of a regression follow from the errors of single rows: the mean's for mae and mse, the delta method
for rmse and r2. The evaluation of a regression reports the deviation of five samples of four fifths of the rows; that
of the whole is twice as large, by the delete-d jackknife. Sources: Lehmann (1999), Elements of Large-Sample Theory,
section 2.5; Shao and Wu (1989), A General Theory for Jackknife Variance Estimation, Annals of Statistics 17.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from model_runtime.comparison import ERRORS, NORMAL_QUANTILE
from model_runtime.metrics import FEWEST_ROWS_WITH_DEVIATION, NAN, Floats, Labels
from model_runtime.monitor.ground_truth import GroundTruth
from model_runtime.monitor.samples import PredictionSample, Times
from model_runtime.monitor.settings import QualityLimit
from model_runtime.problems import BINARY_CLASSIFICATION, Problem
from model_runtime.regression_metrics import SAMPLE_SHARE

CALIBRATION_BINS = 10
FEWEST_DAILY_LABELS = 20
MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Predictions with their labels; `labels` are 0 and 1, or the numbers of a regression.

    `unlabelled` counts predictions without a label, `unusable` labels that are none of the problem's. `share` is that
    of all predictions which is here.
    """

    labels: Floats
    predictions: Floats
    times: Times
    groups: Any
    unlabelled: int
    unusable: int
    share: float = 1.0

    @classmethod
    def of(cls, sample: PredictionSample, truth: GroundTruth, problem: Problem) -> Labelled:
        """The predictions of a sample that ground truth has a usable label for."""
        known = ~np.isnan(truth.labels)
        usable = known & np.isin(truth.labels, (0.0, 1.0)) if problem is BINARY_CLASSIFICATION else known
        return cls(
            labels=truth.labels[usable],
            predictions=sample.predictions[usable],
            times=sample.times[usable],
            groups=sample.groups[usable],
            unlabelled=round(int((~known).sum()) / sample.share),
            unusable=int((known & ~usable).sum()),
            share=sample.share,
        )

    @classmethod
    def nothing(cls) -> Labelled:
        """No label at all."""
        empty = np.empty(0)
        times, groups = np.empty(0, np.int64), np.empty(0, np.uint64)
        return cls(labels=empty, predictions=empty, times=times, groups=groups, unlabelled=0, unusable=0)


def quality_of(
    limit: QualityLimit, problem: Problem, labelled: Labelled, truth: GroundTruth, baseline: Any
) -> tuple[dict[str, Any] | None, str | None]:
    """The section `quality` of the report, and why there is none, or why nothing is decided.

    The limit is broken when the loss is above `maximum_loss`, and its 95 % interval too, of at least `least_labels`.
    """
    rows = len(labelled.labels)
    if not rows:
        return None, _without_labels(labelled, truth)
    metrics = problem.metrics(as_labels(problem, labelled.labels), labelled.predictions)
    value = _number(metrics[limit.metric]["value"])
    deviation = deviation_of(problem, limit.metric, labelled.labels, labelled.predictions, metrics)
    then, then_deviation = baseline_of(problem, limit.metric, baseline)
    sign = 1.0 if limit.metric in ERRORS else -1.0
    loss = sign * (value - then)
    margin = NORMAL_QUANTILE * math.hypot(deviation, 0.0 if math.isnan(then_deviation) else then_deviation)
    enough = rows >= limit.least_labels
    reason = None
    if not enough:
        reason = f"{rows:,} predictions have a label, {limit.least_labels:,} are needed to judge them"
    elif math.isnan(value):
        reason = f"{limit.metric} can't be told: all labels are {labelled.labels[0]:g}"
    elif not (math.isfinite(value) and math.isfinite(margin)):
        reason = _without_interval(limit.metric, labelled)
    elif math.isnan(then):
        reason = f"the version was registered without {limit.metric}: its loss can't be told"
    section = {
        "metric": limit.metric,
        "value": _or_none(value),
        "low": _or_none(value - NORMAL_QUANTILE * deviation),
        "high": _or_none(value + NORMAL_QUANTILE * deviation),
        "baseline": _or_none(then),
        "baseline_deviation": _or_none(then_deviation),
        "loss": _or_none(loss),
        "loss_low": _or_none(loss - margin),
        "loss_high": _or_none(loss + margin),
        "limit": limit.maximum_loss,
        "broken": bool(reason is None and loss - margin > limit.maximum_loss),
        "labelled": round(rows / labelled.share),
        "unlabelled": labelled.unlabelled,
        "unusable": labelled.unusable,
        "unknown_ids": truth.unknown_ids,
        "twice": truth.twice,
        "metrics": {name: _finite(each) for name, each in metrics.items()},
        "calibration": calibration(labelled),
        "daily": daily(problem, limit.metric, labelled),
    }
    return section, reason


def deviation_of(
    problem: Problem, metric: str, labels: Floats, predictions: Floats, metrics: Mapping[str, Any]
) -> float:
    """The standard deviation of a metric; NaN of fewer than 200 rows."""
    if problem is BINARY_CLASSIFICATION:
        return _number(metrics[metric]["standard_deviation"])
    rows = len(labels)
    if rows < FEWEST_ROWS_WITH_DEVIATION:
        return NAN
    errors = predictions - labels
    squares = errors**2
    mse, variance = float(squares.mean()), float(labels.var())
    if metric == "mae":
        influence = np.abs(errors)
    elif metric == "mse":
        influence = squares
    elif metric == "rmse":
        influence = squares / (2 * math.sqrt(mse)) if mse else squares
    elif variance:
        influence = squares / variance - mse * (labels - labels.mean()) ** 2 / variance**2
    else:
        return NAN
    return float(influence.std()) / math.sqrt(rows)


def baseline_of(problem: Problem, metric: str, baseline: Any) -> tuple[float, float]:
    """Value and standard deviation of the evaluation that a version was registered with; NaN for what it lacks."""
    found = ((baseline or {}).get(f"{problem.name}_metrics") or {}).get(metric) or {}
    value, deviation = _number(found.get("value", "NaN")), _number(found.get("standard_deviation", "NaN"))
    if problem is not BINARY_CLASSIFICATION:
        deviation *= math.sqrt(SAMPLE_SHARE / (1 - SAMPLE_SHARE))
    return value, deviation


def calibration(labelled: Labelled) -> list[list[float]]:
    """Mean prediction, mean label and number of tenths of the rows, from the lowest predictions on."""
    order = np.argsort(labelled.predictions, kind="stable")
    parts = [part for part in np.array_split(order, CALIBRATION_BINS) if len(part)]
    return [
        [float(labelled.predictions[part].mean()), float(labelled.labels[part].mean()), len(part)] for part in parts
    ]


def daily(problem: Problem, metric: str, labelled: Labelled) -> list[dict[str, Any]]:
    """The metric by the day (UTC) of the prediction; none on days with fewer than 20 labels or one class of them."""
    days = labelled.times // MICROSECONDS_A_DAY
    found = []
    for day in np.unique(days):
        chosen = days == day
        labels = labelled.labels[chosen]
        value = NAN
        if len(labels) >= FEWEST_DAILY_LABELS:
            metrics = problem.metrics(as_labels(problem, labels), labelled.predictions[chosen])
            value = _number(metrics[metric]["value"])
        said = datetime.fromtimestamp(int(day) * 86400, UTC).date()
        found.append({"day": str(said), "labelled": int(chosen.sum()), "value": _or_none(value)})
    return found


def as_labels(problem: Problem, labels: Floats) -> Floats | Labels:
    """Labels as the metrics of a problem take them."""
    return labels == 1 if problem is BINARY_CLASSIFICATION else labels


def _without_interval(metric: str, labelled: Labelled) -> str:
    """Why it isn't known how sure a value is: what it is made of has no finite square, or rows are all alike."""
    largest = float(np.abs(labelled.predictions).max())
    if largest > math.sqrt(np.finfo(np.float64).max) / len(labelled.predictions):
        return f"{metric} can't be told: a prediction is as large as {largest:g}"
    return f"how sure {metric} is can't be told of these labels"


def _without_labels(labelled: Labelled, truth: GroundTruth) -> str:
    waiting = labelled.unlabelled
    if not waiting and not labelled.unusable:
        return "no prediction is old enough to be judged"
    if labelled.unusable:
        return f"none of {labelled.unusable:,} labels is one of the problem's"
    if truth.unknown_ids:
        return (
            f"no label has come for {waiting:,} predictions; {truth.unknown_ids:,} labels name ids that no captured "
            "request has: clients must send the ids that ground truth names"
        )
    return f"no label has come for {waiting:,} predictions"


def _number(value: Any) -> float:
    return float(value)


def _finite(metric: Any) -> Any:
    """A metric whose infinite figures are "NaN", as it writes what can't be told: JSON has neither."""
    if not isinstance(metric, Mapping):
        return metric
    return {
        name: "NaN" if isinstance(each, float) and not math.isfinite(each) else each for name, each in metric.items()
    }


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
