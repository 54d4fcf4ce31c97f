"""The entry point `train`: a SageMaker training job that calls the model's `train.fit`."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

import polars as pl
import xgboost as xgb

from model_runtime.artifact import Artifact, Description, library_versions, save_artifact
from model_runtime.datasets import day_range, read_rows, unusable_labels
from model_runtime.errors import JobError
from model_runtime.hyperparameters import parse_hyperparameters, read_hyperparameters
from model_runtime.model_code import ModelCode, load_model_code
from model_runtime.paths import ContainerPaths
from model_runtime.problems import asked_problem

CHANNELS = ("train", "validation")


def main(paths: ContainerPaths) -> None:
    """Fit on the channels `train` and `validation` with the code of the channel `code`; writes the model directory.

    The description of the model says what PROBLEM was, so that no one judges it as another kind later.
    """
    problem = asked_problem()
    code = load_model_code(paths.channel("code"))
    hyperparameters = parse_hyperparameters(code, read_hyperparameters(paths.hyperparameters))
    required = [*code.features, code.label]
    channels = {name: read_rows(paths.channel(name), required) for name in CHANNELS}
    for name, rows in channels.items():
        _check_label(code, name, rows)
        print(f"{name}: {rows.height} rows", flush=True)
    started = time.monotonic()
    booster = fit(code, channels["train"], channels["validation"], hyperparameters)
    description = Description(
        model=code.name,
        features=code.features,
        label=code.label,
        problem=problem.name,
        trees=booster.num_boosted_rounds(),
        rows={name: rows.height for name, rows in channels.items()},
        days={name: _days(rows) for name, rows in channels.items()},
        hyperparameters=_as_dict(hyperparameters),
        versions=library_versions(),
    )
    save_artifact(Artifact(booster, description, code), paths.model)
    job = os.environ.get("TRAINING_JOB_NAME", "training")
    print(f"{job}: {description.trees} trees in {time.monotonic() - started:.1f} s", flush=True)


def fit(code: ModelCode, train: pl.DataFrame, validation: pl.DataFrame, hyperparameters: Any) -> xgb.Booster:
    """Call the model's `train.fit`; raises JobError with the cause when it raises, exits or returns no booster."""
    function = code.function("train", "fit")
    try:
        booster = function(train, validation, hyperparameters)
    except (Exception, SystemExit) as error:
        raise JobError(f"{code.name}.train.fit raised {type(error).__name__}: {error}") from error
    if not isinstance(booster, xgb.Booster):
        raise JobError(f"{code.name}.train.fit must return an xgboost.Booster, got {type(booster).__name__}")
    if booster.num_features() != len(code.features):
        raise JobError(
            f"{code.name}.train.fit must use the {len(code.features)} features of {code.name}.features, "
            f"its booster takes {booster.num_features()}"
        )
    return booster


def _check_label(code: ModelCode, channel: str, rows: pl.DataFrame) -> None:
    missing = unusable_labels(rows[code.label])
    if missing:
        raise JobError(f"the channel {channel!r} has {missing} rows without the label {code.label!r}")


def _days(rows: pl.DataFrame) -> dict[str, str]:
    days = day_range(rows)
    return {} if days is None else {"first": str(days[0]), "last": str(days[1])}


def _as_dict(hyperparameters: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(hyperparameters) and not isinstance(hyperparameters, type):
        return dataclasses.asdict(hyperparameters)
    return dict(hyperparameters)
