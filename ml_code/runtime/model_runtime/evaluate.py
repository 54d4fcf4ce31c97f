"""The entry point `evaluate`: a SageMaker processing job that judges a trained model on its test days."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from model_runtime.artifact import Artifact, check_problem, load_artifact
from model_runtime.datasets import read_rows
from model_runtime.errors import JobError
from model_runtime.evaluation_arguments import parse_arguments
from model_runtime.evaluation_reports import training_report, write_reports
from model_runtime.explanations import explain
from model_runtime.judged import Judged
from model_runtime.judgement import judge, statistics_of
from model_runtime.metrics import Floats, metric
from model_runtime.paths import ContainerPaths
from model_runtime.predictions import predict, unpack_model
from model_runtime.problems import PROBLEMS, asked_problem
from model_runtime.serving.handler import InvocationHandler
from model_runtime.tracking import track_evaluation


def main(paths: ContainerPaths, argv: Sequence[str] = ()) -> None:
    """Write the reports to `processing/output/evaluation` from the inputs `model` and `test`.

    PROBLEM says what kind of metrics; it must be the kind that the model was trained for. The numbers come from the
    code inside the model's own archive, its inference functions included: what is judged is what will serve. With a
    bound among the arguments the report has the gate's verdict, and what came of the comparison with the champion;
    facets need the input `train` too, of which the bias before training is measured.
    """
    problem = asked_problem()
    asked = parse_arguments(argv, problem)
    with tempfile.TemporaryDirectory() as directory:
        model_directory = unpack_model(paths.processing_input("model"), Path(directory))
        artifact = load_artifact(model_directory)
        check_problem(artifact.description, problem)
        handler = InvocationHandler(artifact, model_directory)
        test = read_rows(paths.processing_input("test"), [*artifact.description.features, artifact.description.label])
        statistics, predictions = evaluate(artifact, handler, test)
        judged = Judged(
            description=artifact.description,
            code=artifact.code,
            algorithm=f"XGBoost, {artifact.description.trees} trees",
            statistics=statistics,
            test=test,
            labels=problem.labels(test[artifact.description.label]),
            predictions=predictions,
            explanations=explain(artifact.booster, test.select(artifact.description.features)),
            diagnostics=training_report(model_directory),
        )
        judged = judge(asked, judged, paths)
        write_reports(judged, paths)
        track_evaluation(model_directory, judged.statistics)
    shown = judged.metrics[problem.headline]
    print(
        f"{problem.headline} {shown['value']} (standard deviation {shown['standard_deviation']}) on {test.height} rows",
        flush=True,
    )


def evaluate(artifact: Artifact, handler: InvocationHandler, test: pl.DataFrame) -> tuple[dict[str, Any], Floats]:
    """The statistics of the model on `test`, with what the model's own `evaluate.evaluate` adds, and its predictions.

    Raises JobError for labels that prove nothing (missing ones, all the same), and for predictions that are no answer
    to the model's problem.
    """
    problem = PROBLEMS[artifact.description.problem]
    labels = problem.labels(test[artifact.description.label])
    predictions = predict(handler, test.select(pl.col(artifact.description.features).cast(pl.Float32)))
    statistics = statistics_of(problem, labels, predictions, test)
    own = _own_metrics(artifact, test.with_columns(pl.Series("prediction", predictions)))
    statistics[f"{problem.name}_metrics"] |= own
    return statistics, predictions


def _own_metrics(artifact: Artifact, test: pl.DataFrame) -> dict[str, Any]:
    if artifact.code.optional_module("evaluate") is None:
        return {}
    values = artifact.code.function("evaluate", "evaluate")(artifact.booster, test)
    if not isinstance(values, Mapping):
        raise JobError(f"{artifact.code.name}.evaluate.evaluate must return a mapping of names to numbers")
    return {name: metric(float(value)) for name, value in values.items()}
