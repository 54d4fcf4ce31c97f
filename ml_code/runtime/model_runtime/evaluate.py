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

from model_runtime.artifact import Artifact, load_artifact
from model_runtime.datasets import day_range, read_rows
from model_runtime.errors import JobError
from model_runtime.metrics import binary_classification_metrics, metric
from model_runtime.paths import ContainerPaths

ARCHIVE = "model.tar.gz"


def main(paths: ContainerPaths) -> None:
    """Write `processing/output/evaluation/evaluation.json` from the inputs `model` and `test`.

    The numbers come from the code inside the model's own archive: what is judged is what will serve.
    """
    with tempfile.TemporaryDirectory() as directory:
        artifact = load_artifact(unpack_model(paths.processing_input("model"), Path(directory)))
        test = read_rows(paths.processing_input("test"), [*artifact.description.features, artifact.description.label])
        statistics = evaluate(artifact, test)
    target = paths.processing_output("evaluation") / "evaluation.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(statistics, indent=2) + "\n", encoding="utf-8")
    auc = statistics["binary_classification_metrics"]["auc"]
    print(f"auc {auc['value']} (standard deviation {auc['standard_deviation']}) on {test.height} rows", flush=True)


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


def evaluate(artifact: Artifact, test: pl.DataFrame) -> dict[str, Any]:
    """The statistics of the model on `test`, with what the model's own `evaluate.evaluate` adds to them."""
    features, label = list(artifact.description.features), artifact.description.label
    if test[label].null_count():
        raise JobError(f"the test data has {test[label].null_count()} rows without the label {label!r}")
    labels = test[label].cast(pl.Boolean).to_numpy()
    matrix = np.ascontiguousarray(test.select(pl.col(features).cast(pl.Float32)).to_numpy())
    scores = artifact.predict(matrix).astype(np.float64)
    metrics = binary_classification_metrics(labels, scores)
    if metrics["auc"]["value"] == "NaN":
        raise JobError(f"the test data has one class only: the label {label!r} is always {bool(labels[0])}")
    dataset: dict[str, Any] = {"item_count": test.height, "positive_share": float(labels.mean())}
    days = day_range(test)
    if days is not None:
        dataset |= {"first_day": str(days[0]), "last_day": str(days[1])}
    metrics |= _own_metrics(artifact, test.with_columns(pl.Series("prediction", scores)))
    return {"version": 0.0, "dataset": dataset, "binary_classification_metrics": metrics}


def _own_metrics(artifact: Artifact, test: pl.DataFrame) -> dict[str, Any]:
    if artifact.code.optional_module("evaluate") is None:
        return {}
    values = artifact.code.function("evaluate", "evaluate")(artifact.booster, test)
    if not isinstance(values, Mapping):
        raise JobError(f"{artifact.code.name}.evaluate.evaluate must return a mapping of names to numbers")
    return {name: metric(float(value)) for name, value in values.items()}
