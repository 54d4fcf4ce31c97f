"""Metrics of a regression, in the shape of SageMaker's model quality statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from model_runtime.metrics import FEWEST_ROWS_WITH_DEVIATION, NAN, Floats, metric

SAMPLES = 5
SAMPLE_SHARE = 0.8
SEED = 7


def regression_metrics(labels: Floats, predictions: Floats) -> dict[str, Any]:
    """The errors of `predictions` against `labels`, in the label's unit (mae, rmse), its square (mse) or none (r2).

    Both have one entry per row, and at least one row; r2 is NaN where all labels are the same. As in SageMaker's
    monitor, a standard deviation is that of five recomputations on random four fifths of the rows, and fewer than 200
    rows have none. The samples are the same in every run.
    """
    values = _errors(labels, predictions)
    deviations = dict.fromkeys(values, NAN)
    if len(labels) >= FEWEST_ROWS_WITH_DEVIATION:
        random = np.random.default_rng(SEED)
        chosen = [random.choice(len(labels), int(SAMPLE_SHARE * len(labels)), replace=False) for _ in range(SAMPLES)]
        samples = [_errors(labels[rows], predictions[rows]) for rows in chosen]
        deviations = {name: float(np.std([each[name] for each in samples], ddof=1)) for name in values}
    return {name: metric(value, deviations[name]) for name, value in values.items()}


def _errors(labels: Floats, predictions: Floats) -> dict[str, float]:
    errors = predictions - labels
    mse, variance = float(np.mean(errors**2)), float(labels.var())
    return {
        "mae": float(np.mean(np.abs(errors))),
        "mse": mse,
        "rmse": float(np.sqrt(mse)),
        "r2": 1 - mse / variance if variance else NAN,
    }
