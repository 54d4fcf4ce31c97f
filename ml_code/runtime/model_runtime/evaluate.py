"""The entry point `evaluate`: a SageMaker processing job that scores a trained model on its test days."""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from model_runtime.artifact import Artifact, check_problem, load_artifact
from model_runtime.datasets import day_range, read_rows
from model_runtime.errors import JobError
from model_runtime.metrics import Floats, metric
from model_runtime.paths import ContainerPaths
from model_runtime.problems import PROBLEMS, asked_problem
from model_runtime.serving.content import CSV
from model_runtime.serving.errors import RequestError
from model_runtime.serving.handler import InvocationHandler

ARCHIVE = "model.tar.gz"
REQUEST_ROWS = 500


def main(paths: ContainerPaths) -> None:
    """Write `processing/output/evaluation/evaluation.json` from the inputs `model` and `test`.

    PROBLEM says what kind of metrics; it must be the kind that the model was trained for. The numbers come from the
    code inside the model's own archive, its inference functions included: what is judged is what will serve.
    """
    problem = asked_problem()
    with tempfile.TemporaryDirectory() as directory:
        model_directory = unpack_model(paths.processing_input("model"), Path(directory))
        artifact = load_artifact(model_directory)
        check_problem(artifact.description, problem)
        handler = InvocationHandler(artifact, model_directory)
        test = read_rows(paths.processing_input("test"), [*artifact.description.features, artifact.description.label])
        statistics = evaluate(artifact, handler, test)
    target = paths.processing_output("evaluation") / "evaluation.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(statistics, indent=2) + "\n", encoding="utf-8")
    shown = statistics[f"{problem.name}_metrics"][problem.headline]
    print(
        f"{problem.headline} {shown['value']} (standard deviation {shown['standard_deviation']}) on {test.height} rows",
        flush=True,
    )


def unpack_model(source: Path, target: Path) -> Path:
    """Unpack the archive in `source` to `target`; a directory that holds an unpacked model is taken as it is."""
    archive = source / ARCHIVE
    if not archive.is_file():
        return source
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise JobError(f"{archive} can't be unpacked: {error}") from error
    return target


def evaluate(artifact: Artifact, handler: InvocationHandler, test: pl.DataFrame) -> dict[str, Any]:
    """The statistics of the model on `test`, with what the model's own `evaluate.evaluate` adds to them.

    Raises JobError for labels that prove nothing (missing ones, all the same), and for predictions that are no answer
    to the model's problem.
    """
    problem = PROBLEMS[artifact.description.problem]
    labels = problem.labels(test[artifact.description.label])
    predictions = predict(handler, test.select(pl.col(artifact.description.features).cast(pl.Float32)))
    problem.check_predictions(predictions, len(labels))
    metrics = problem.metrics(labels, predictions)
    dataset: dict[str, Any] = {"item_count": test.height, problem.mean_label: float(labels.mean())}
    days = day_range(test)
    if days is not None:
        dataset |= {"first_day": str(days[0]), "last_day": str(days[1])}
    metrics |= _own_metrics(artifact, test.with_columns(pl.Series("prediction", predictions)))
    return {"version": 0.0, "dataset": dataset, f"{problem.name}_metrics": metrics}


def predict(handler: InvocationHandler, features: pl.DataFrame) -> Floats:
    """A prediction for each row; a model with its own inference functions is asked as an endpoint would ask it."""
    if not handler.has_own_steps:
        matrix = np.ascontiguousarray(features.to_numpy())
        return np.asarray(handler.predict(matrix), dtype=np.float64)
    values: list[float] = []
    for part in features.iter_slices(REQUEST_ROWS):
        try:
            answer, _ = handler.answer(part.write_csv(include_header=False).encode(), CSV, CSV)
            values += [float(line.partition(",")[0]) for line in answer.decode().splitlines()]
        except (RequestError, ValueError) as error:
            raise JobError(
                f"the model's inference functions must answer {CSV} with a number per row: {error}"
            ) from error
    return np.array(values, dtype=np.float64)


def _own_metrics(artifact: Artifact, test: pl.DataFrame) -> dict[str, Any]:
    if artifact.code.optional_module("evaluate") is None:
        return {}
    values = artifact.code.function("evaluate", "evaluate")(artifact.booster, test)
    if not isinstance(values, Mapping):
        raise JobError(f"{artifact.code.name}.evaluate.evaluate must return a mapping of names to numbers")
    return {name: metric(float(value)) for name, value in values.items()}
