"""What a tuning job judges its training jobs by: a metric of the validation days, which no tree has seen.

A model's `fit` may grow its last trees on the validation days too, since the newest days tell the most. The booster
that it returns can't be judged by them then: its figures would be those of rows that it has learned by heart, and the
tuning job would choose the hyperparameters that learn by heart best. So a training job that is asked for an objective
fits twice: once on days before the validation days only, for the objective, and once as every training job does.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import xgboost as xgb
from xgboost.callback import TrainingCallback

from model_runtime.artifact import Artifact, Description, library_versions, save_artifact
from model_runtime.boosting import Surroundings, training
from model_runtime.datasets import DAY
from model_runtime.errors import JobError
from model_runtime.metrics import Floats
from model_runtime.model_code import ModelCode
from model_runtime.predictions import predict
from model_runtime.problems import Problem
from model_runtime.serving.handler import InvocationHandler

VARIABLE = "TUNING_OBJECTIVE"
ROUNDS_BETWEEN_VALUES = 25

Fit = Callable[[ModelCode, pl.DataFrame, pl.DataFrame, Any], xgb.Booster]


def asked_objective(problem: Problem, environment: Mapping[str, str] = os.environ) -> str | None:
    """The metric that the variable TUNING_OBJECTIVE names; None when it isn't set.

    Raises JobError for a metric that the problem doesn't have.
    """
    metric = environment.get(VARIABLE) or None
    if metric is not None and metric not in problem.gate_metrics:
        raise JobError(f"{VARIABLE} must be one of {', '.join(problem.gate_metrics)}, got {metric!r}")
    return metric


def print_objective(
    metric: str,
    problem: Problem,
    code: ModelCode,
    channels: Mapping[str, pl.DataFrame],
    hyperparameters: Any,
    fit: Fit,
) -> float:
    """Fit on days before those of the channel `validation`, print and return the metric on the validation days.

    The newest days of the channel `train`, as many as there are validation days, take the place of the validation
    days. Every 25 rounds of the first training of `fit` a value is printed as well, for jobs that are stopped early.
    Raises JobError when there are too few days.
    """
    validation = channels["validation"]
    older, newer = newest_apart(channels["train"], validation)
    labels = problem.labels(validation[code.label])

    def judged(predictions: Floats) -> float:
        problem.check_predictions(predictions, len(labels))
        return float(problem.metrics(labels, predictions)[metric]["value"])

    progress = _Progress(validation, code.features, lambda answers: _print(metric, judged(answers)))
    with training(Surroundings(watch=[progress.watch])):
        booster = fit(code, older, newer, hyperparameters)
    value = judged(_answers(booster, problem, code, validation))
    _print(metric, value)
    return value


def newest_apart(train: pl.DataFrame, validation: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of `train` without its newest days, and those of its newest days, as many as `validation` has.

    Raises JobError unless days are left on both sides.
    """
    for name, rows in (("train", train), ("validation", validation)):
        if DAY not in rows.columns:
            raise JobError(f"tuning needs the days of the rows: the channel {name!r} has no column {DAY!r}")
    days = train[DAY].unique().sort()
    count = validation[DAY].n_unique()
    if len(days) <= count:
        raise JobError(
            f"tuning needs more than {count} training days, as many as there are validation days, got {len(days)}: "
            "give the pipeline more days, or fewer validation days"
        )
    first = days[-count]
    return train.filter(pl.col(DAY) < first), train.filter(pl.col(DAY) >= first)


def _answers(booster: xgb.Booster, problem: Problem, code: ModelCode, rows: pl.DataFrame) -> Floats:
    """What the model answers, by its own inference functions where it has them."""
    description = Description(
        model=code.name,
        features=code.features,
        label=code.label,
        problem=problem.name,
        trees=booster.num_boosted_rounds(),
        rows={},
        days={},
        hyperparameters={},
        versions=library_versions(),
    )
    artifact = Artifact(booster, description, code)
    with tempfile.TemporaryDirectory() as directory:
        save_artifact(artifact, Path(directory))
        handler = InvocationHandler(artifact, Path(directory))
        return predict(handler, rows.select(pl.col(code.features).cast(pl.Float32)))


def _print(metric: str, value: float) -> None:
    print(f"validation:{metric}={value:.6f}", flush=True)


class _Progress:
    """Values while trees are grown: of the first stage only, since a later one begins with the first tree again."""

    def __init__(self, rows: pl.DataFrame, features: Sequence[str], report: Callable[[Floats], None]) -> None:
        self._matrix = rows.select(pl.col(features).cast(pl.Float32)).to_numpy()
        self._features = list(features)
        self._report = report
        self._stage: str | None = None

    def watch(self, stage: str) -> Sequence[TrainingCallback]:
        self._stage = self._stage or stage
        if stage != self._stage:
            return ()
        return (_Values(xgb.DMatrix(self._matrix, feature_names=self._features), self._report),)


class _Values(TrainingCallback):
    def __init__(self, rows: xgb.DMatrix, report: Callable[[Floats], None]) -> None:
        self._rows = rows
        self._report = report

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
        if (epoch + 1) % ROUNDS_BETWEEN_VALUES == 0:
            self._report(np.asarray(model.predict(self._rows), dtype=np.float64))
        return False
