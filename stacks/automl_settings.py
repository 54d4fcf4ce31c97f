"""How a model's algorithm is searched instead of written: SageMaker Autopilot's limits and objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import PydanticCustomError

from .setting_types import Positive, Section

OBJECTIVES: Mapping[str, Mapping[str, str]] = {
    "binary_classification": {"auc": "AUC", "accuracy": "Accuracy", "f1": "F1"},
    "regression": {"mse": "MSE", "rmse": "RMSE", "r2": "R2"},
}
"""Autopilot's objectives by kind of problem, by the names that gates have for them."""
# settings of a model's own training job, with the values that ask for nothing
_OWN: Mapping[str, Any] = {
    "hyperparameters": {},
    "tuning": None,
    "instance_count": 1,
    "spot": None,
    "checkpoints": None,
    "warm_pool": None,
    "input_mode": "File",
}
_DEFAULT = {"binary_classification": "auc", "regression": "rmse"}


class AutoML(Section):
    """The limits of a search, for `algorithm: automl`."""

    candidates: Annotated[int, Field(ge=1, le=750)] = 10
    """Models that are tried at most."""
    max_runtime_minutes: Positive = 60
    """Minutes after which the search ends with what it has found."""
    objective: Literal["auc", "accuracy", "f1", "mse", "rmse", "r2"] | None = None
    """The metric that candidates are ranked by; left out: the gate's if Autopilot has it, or else auc or rmse."""


def objective_of_search(problem: str, automl: AutoML, gate_metric: str) -> str:
    """Autopilot's name of the metric that candidates are ranked by."""
    known = OBJECTIVES[problem]
    return known[automl.objective or (gate_metric if gate_metric in known else _DEFAULT[problem])]


def check_automl(problem: str, training: Any) -> None:
    """Refuse settings of `training` that don't go with its algorithm."""
    if training.algorithm == "xgboost":
        if training.automl is not None:
            raise PydanticCustomError(
                "automl",
                "is for algorithm: automl, this model's is xgboost; set training.algorithm, or remove it",
                {"at": ("training", "automl")},
            )
        return
    for name, without in _OWN.items():
        if getattr(training, name) != without:
            raise PydanticCustomError(
                "automl",
                "has no place with algorithm: automl, which finds its own way to train; remove it",
                {"at": ("training", name)},
            )
    chosen = training.automl
    if chosen is not None and chosen.objective is not None and chosen.objective not in OBJECTIVES[problem]:
        raise PydanticCustomError(
            "automl",
            "must be one of {known} for a {problem}, got {objective}",
            {
                "known": ", ".join(OBJECTIVES[problem]),
                "problem": problem.replace("_", " "),
                "objective": repr(chosen.objective),
                "at": ("training", "automl", "objective"),
            },
        )
