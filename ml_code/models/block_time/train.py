"""Training: boosted trees, as many as the validation days say, then grown once more on all days."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
import xgboost as xgb

from block_time.features import FEATURES, LABEL
from model_runtime.boosting import boost


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """What a training job may set; XGBoost's own names and meanings."""

    rounds: int = 300
    early_stopping_rounds: int = 40
    max_depth: int = 6
    learning_rate: float = 0.1
    min_child_weight: float = 100.0
    subsample: float = 0.5
    colsample_bytree: float = 0.6
    seed: int = 7

    def __post_init__(self) -> None:
        for name in ("rounds", "early_stopping_rounds", "max_depth"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.min_child_weight >= 0:
            raise ValueError(f"min_child_weight must be at least 0, got {self.min_child_weight}")
        for name in ("learning_rate", "subsample", "colsample_bytree"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")


def fit(train: pl.DataFrame, validation: pl.DataFrame, hyperparameters: Hyperparameters) -> xgb.Booster:
    """Fit a booster that gives the minutes from gate to gate.

    It minimises the absolute error, so it predicts the median: a few flights that wait long on a taxiway would drag
    the mean of all others up. The number of trees is the one with the lowest error on the validation days; the booster
    that is returned is grown on the training and the validation days with that number, since the newest days tell the
    most.
    """
    parameters = {
        "objective": "reg:absoluteerror",
        "eval_metric": "mae",
        "tree_method": "hist",
        "max_depth": hyperparameters.max_depth,
        "learning_rate": hyperparameters.learning_rate,
        "min_child_weight": hyperparameters.min_child_weight,
        "subsample": hyperparameters.subsample,
        "colsample_bytree": hyperparameters.colsample_bytree,
        "seed": hyperparameters.seed,
    }
    probe = boost(
        parameters,
        matrix(train),
        hyperparameters.rounds,
        stage="probe",
        evals=[(matrix(validation), "validation")],
        early_stopping_rounds=hyperparameters.early_stopping_rounds,
    )
    return boost(parameters, matrix(pl.concat([train, validation])), probe.best_iteration + 1)


def matrix(rows: pl.DataFrame) -> xgb.DMatrix:
    """Features and label as XGBoost takes them; nulls become missing values."""
    return xgb.DMatrix(
        rows.select(pl.col(FEATURES).cast(pl.Float32)).to_numpy(),
        label=rows[LABEL].cast(pl.Float32).to_numpy(),
        feature_names=list(FEATURES),
    )
