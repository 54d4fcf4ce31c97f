"""The entry point `train`: a SageMaker training job that calls the model's `train.fit`."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import xgboost as xgb

from model_runtime.artifact import BOOSTER_FILE, Artifact, Description, library_versions, save_artifact
from model_runtime.boosting import Surroundings, training
from model_runtime.checkpoints import Checkpoints, identity_of
from model_runtime.cluster import Cluster, days_of_all, rows_of_all
from model_runtime.datasets import parquet_files, read_rows, unusable_labels
from model_runtime.diagnostics import Diagnostics, StoppedByRule, read_rules
from model_runtime.errors import JobError
from model_runtime.hyperparameters import parse_hyperparameters, read_hyperparameters
from model_runtime.model_code import ModelCode, load_model_code
from model_runtime.objective import asked_objective, print_objective
from model_runtime.onnx_trees import write_onnx
from model_runtime.paths import ContainerPaths
from model_runtime.prediction_baseline import PredictionBaseline
from model_runtime.predictions import predict
from model_runtime.problems import asked_problem
from model_runtime.serving.handler import InvocationHandler
from model_runtime.tracking import Run, tracked_training

CHANNELS = ("train", "validation")
CHECKED_ROWS = 10_000


def main(paths: ContainerPaths) -> None:
    """Fit on the channels `train` and `validation` with the code of the channel `code`; writes the model directory.

    The description of the model says what PROBLEM was, so that no one judges it as another kind later. On several
    hosts each reads its share of the rows of both channels; they grow one model, and the first host writes it.
    """
    cluster = Cluster.read(paths.resources)
    with cluster.joined():
        code = load_model_code(paths.channel("code"))
        with tracked_training(code.name, writes=cluster.rank == 0) as run:
            _train(paths, cluster, code, run)


def _train(paths: ContainerPaths, cluster: Cluster, code: ModelCode, run: Run) -> None:
    problem = asked_problem()
    hyperparameters = parse_hyperparameters(code, read_hyperparameters(paths.hyperparameters))
    run.parameters(_as_dict(hyperparameters))
    diagnostics = Diagnostics(read_rules(paths.hyperparameters))
    required = [*code.features, code.label]
    channels = {name: read_rows(paths.channel(name), required) for name in CHANNELS}
    for name, rows in channels.items():
        _check_label(code, name, rows)
        print(f"{name}: {rows.height} rows", flush=True)
    started = time.monotonic()
    objective = asked_objective(problem)
    if objective:
        print_objective(objective, problem, code, channels, hyperparameters, fit)
    around = Surroundings(checkpoints=_checkpoints(paths, code, hyperparameters), watch=[diagnostics.watch, run.watch])
    count = {name: rows_of_all(rows) for name, rows in channels.items()}
    try:
        diagnostics.check_rows(channels["train"], code.features, code.label, problem, rows=count["train"])
        with training(around):
            booster = fit(code, channels["train"], channels["validation"], hyperparameters)
    except StoppedByRule:
        diagnostics.write(paths.output_data)
        raise
    diagnostics.check_trees(booster, code.features)
    days = {name: _days(rows) for name, rows in channels.items()}
    if cluster.rank:
        return
    description = Description(
        model=code.name,
        features=code.features,
        label=code.label,
        problem=problem.name,
        trees=booster.num_boosted_rounds(),
        rows=count,
        days=days,
        hyperparameters=_as_dict(hyperparameters),
        versions=library_versions(),
    )
    artifact = Artifact(booster, description, code)
    save_artifact(artifact, paths.model)
    checked = channels["validation"].head(CHECKED_ROWS).select(pl.col(code.features).cast(pl.Float32)).to_numpy()
    reason = write_onnx(booster, paths.model / BOOSTER_FILE, checked, paths.model)
    if reason:
        print(f"its endpoint will answer by XGBoost, not by ONNX Runtime: {reason}", flush=True)
    _write_baseline(code.features, channels["validation"], paths.model)
    run.model(artifact, paths.model)
    diagnostics.write(paths.model, paths.output_data)
    job = os.environ.get("TRAINING_JOB_NAME", "training")
    print(f"{job}: {description.trees} trees in {time.monotonic() - started:.1f} s", flush=True)


def _write_baseline(features: Sequence[str], validation: pl.DataFrame, directory: Path) -> None:
    """What the model says of its validation rows, asked as its endpoint asks it; not of one that answers itself."""
    handler = InvocationHandler.load(directory)
    if not handler.has_own_steps:
        rows = validation.select(pl.col(features).cast(pl.Float32))
        PredictionBaseline.of(predict(handler, rows)).write(directory)


def fit(code: ModelCode, train: pl.DataFrame, validation: pl.DataFrame, hyperparameters: Any) -> xgb.Booster:
    """Call the model's `train.fit`; raises JobError with the cause when it raises, exits or returns no booster."""
    function = code.function("train", "fit")
    try:
        booster = function(train, validation, hyperparameters)
    except StoppedByRule:
        raise
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


def _checkpoints(paths: ContainerPaths, code: ModelCode, hyperparameters: Any) -> Checkpoints | None:
    """Where the training is kept while it goes on, every CHECKPOINT_ROUNDS rounds; nowhere when that isn't set."""
    rounds = os.environ.get("CHECKPOINT_ROUNDS")
    if not rounds:
        return None
    if not rounds.isdecimal() or int(rounds) < 1:
        raise JobError(f"CHECKPOINT_ROUNDS must be a number of rounds, at least 1, got {rounds!r}")
    files = [file for name in CHANNELS for file in parquet_files(paths.channel(name))]
    identity = identity_of(files, code.package, _as_dict(hyperparameters))
    return Checkpoints(paths.checkpoints, every_rounds=int(rounds), identity=identity)


def _days(rows: pl.DataFrame) -> dict[str, str]:
    days = days_of_all(rows)
    return {} if days is None else {"first": str(days[0]), "last": str(days[1])}


def _as_dict(hyperparameters: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(hyperparameters) and not isinstance(hyperparameters, type):
        return dataclasses.asdict(hyperparameters)
    return dict(hyperparameters)
