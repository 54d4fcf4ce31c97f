"""The step that makes the model that is evaluated: one training job, or the best of many."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from mlops_constructs.job_steps import TrainingStep
from mlops_constructs.tuning_step import TuningStep

from .model_settings import METRICS, Model
from .tuning_settings import objective_of, tuning_step_of

Candidate: TypeAlias = TrainingStep | TuningStep

OBJECTIVE_VARIABLE = "TUNING_OBJECTIVE"
"""Tells the runtime's `train` to print a metric of the validation days."""


def candidate_of(model: Model, train: TrainingStep) -> Candidate:
    """The training job itself, or a step that tunes it when the model has ranges to tune."""
    tuning = model.training.tuning
    if tuning is None:
        return train
    metric = tuning.objective or model.gate.metric
    return tuning_step_of(
        tuning,
        name="Tune",
        training=replace(train, environment={**train.environment, OBJECTIVE_VARIABLE: metric}),
        objective=objective_of(metric, more_is_better=METRICS[model.problem][metric] == "minimum"),
    )
