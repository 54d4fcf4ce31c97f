"""The kinds of questions that models answer; each decides what a label is and how predictions are judged."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from model_runtime.datasets import unusable_labels
from model_runtime.errors import JobError
from model_runtime.metrics import Floats, Labels, binary_classification_metrics
from model_runtime.regression_metrics import regression_metrics

VARIABLE = "PROBLEM"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A kind of question.

    `mean_label` is what the mean of the labels says, `headline` the metric to show first, `gate_metrics` are those that
    a gate can be set on, `answer` is what a model must give for a row, between `lowest` and `highest`. `labels` reads
    labels and raises JobError for those that prove nothing; `metrics` judges predictions by them.
    """

    name: str
    mean_label: str
    headline: str
    answer: str
    lowest: float
    highest: float
    gate_metrics: tuple[str, ...]
    labels: Callable[[pl.Series], Any]
    metrics: Callable[[Any, Floats], dict[str, Any]]

    def check_predictions(self, predictions: Floats, rows: int) -> None:
        """Raise JobError unless there is an answer of this kind for each row."""
        good = np.isfinite(predictions) & (predictions >= self.lowest) & (predictions <= self.highest)
        if len(predictions) != rows or not good.all():
            lowest, highest = predictions.min(initial=np.inf), predictions.max(initial=-np.inf)
            raise JobError(
                f"the model must give {self.answer} for each of the {rows} test rows, "
                f"it gave {len(predictions)} numbers from {lowest} to {highest}"
            )


def binary_labels(column: pl.Series) -> Labels:
    """The labels as booleans; raises JobError when one is missing or neither 0 nor 1, or when all are the same."""
    _check_complete(column)
    values = column.unique().sort().to_list()
    if any(value not in (0, 1) for value in values):
        raise JobError(f"the label {column.name!r} must be 0 or 1, the test data has {values[:5]}")
    if len(values) < 2:
        raise JobError(f"the test data has one class only: the label {column.name!r} is always {values[0]}")
    labels: Labels = column.cast(pl.Boolean).to_numpy()
    return labels


def numeric_labels(column: pl.Series) -> Floats:
    """The labels as numbers; raises JobError when one is missing or no number, or when all are the same."""
    if not column.dtype.is_numeric():
        raise JobError(f"the label {column.name!r} must be a number, the test data has {column.dtype}")
    _check_complete(column)
    if column.n_unique() < 2:
        raise JobError(f"the test data proves nothing: the label {column.name!r} is always {column[0]}")
    labels: Floats = column.cast(pl.Float64).to_numpy()
    return labels


def _check_complete(column: pl.Series) -> None:
    missing = unusable_labels(column)
    if missing:
        raise JobError(f"the test data has {missing} rows without the label {column.name!r}")


BINARY_CLASSIFICATION = Problem(
    name="binary_classification",
    mean_label="positive_share",
    headline="auc",
    answer="a probability",
    lowest=0.0,
    highest=1.0,
    gate_metrics=("auc", "accuracy", "precision", "recall", "f0_5", "f1", "f2"),
    labels=binary_labels,
    metrics=binary_classification_metrics,
)
REGRESSION = Problem(
    name="regression",
    mean_label="label_mean",
    headline="mae",
    answer="a finite number",
    lowest=-np.inf,
    highest=np.inf,
    gate_metrics=("mae", "mse", "rmse", "r2"),
    labels=numeric_labels,
    metrics=regression_metrics,
)
PROBLEMS = {problem.name: problem for problem in (BINARY_CLASSIFICATION, REGRESSION)}


def problem_named(name: str, place: str) -> Problem:
    """The problem of a name; raises JobError, with the place that says it, when there is none."""
    if name not in PROBLEMS:
        raise JobError(f"{place} must be {' or '.join(PROBLEMS)}, got {name!r}")
    return PROBLEMS[name]


def asked_problem(environment: Mapping[str, str] = os.environ) -> Problem:
    """The problem that the variable PROBLEM names, binary classification when it isn't set."""
    return problem_named(environment.get(VARIABLE) or BINARY_CLASSIFICATION.name, VARIABLE)
