"""The entry point `evaluate`: a SageMaker processing job that judges a trained model on its test days."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from model_runtime import champion as champions
from model_runtime.artifact import Artifact, check_problem, load_artifact
from model_runtime.comparison import compare
from model_runtime.datasets import DAY, day_range, read_rows
from model_runtime.errors import JobError
from model_runtime.evaluation_arguments import Asked, parse_arguments
from model_runtime.gate import Contest, contest_json, decide, verdict_json
from model_runtime.metrics import FEWEST_ROWS_WITH_DEVIATION, Floats, metric
from model_runtime.paths import ContainerPaths
from model_runtime.predictions import predict, unpack_model
from model_runtime.problems import PROBLEMS, asked_problem
from model_runtime.serving.handler import InvocationHandler


def main(paths: ContainerPaths, argv: Sequence[str] = ()) -> None:
    """Write `processing/output/evaluation/evaluation.json` from the inputs `model` and `test`.

    PROBLEM says what kind of metrics; it must be the kind that the model was trained for. The numbers come from the
    code inside the model's own archive, its inference functions included: what is judged is what will serve. With a
    bound among the arguments the report has the gate's verdict, and what came of the comparison with the champion.
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
        if asked.bound is not None:
            statistics |= judge(asked, artifact, test, predictions, statistics)
    target = paths.processing_output("evaluation") / "evaluation.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(statistics, indent=2) + "\n", encoding="utf-8")
    shown = statistics[f"{problem.name}_metrics"][problem.headline]
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
    problem.check_predictions(predictions, len(labels))
    metrics = problem.metrics(labels, predictions)
    dataset: dict[str, Any] = {"item_count": test.height, problem.mean_label: float(labels.mean())}
    days = day_range(test)
    if days is not None:
        dataset |= {"first_day": str(days[0]), "last_day": str(days[1])}
    metrics |= _own_metrics(artifact, test.with_columns(pl.Series("prediction", predictions)))
    return {"version": 0.0, "dataset": dataset, f"{problem.name}_metrics": metrics}, predictions


def judge(
    asked: Asked, artifact: Artifact, test: pl.DataFrame, predictions: Floats, statistics: Mapping[str, Any]
) -> dict[str, Any]:
    """The sections `gate` and `champion` of the report."""
    assert asked.bound is not None
    value = statistics[f"{artifact.description.problem}_metrics"][asked.bound.metric]["value"]
    contest = None if asked.champions is None else contend(asked, artifact, test, predictions)
    verdict = decide(asked.bound, float(value), contest, asked.margin, [])
    print(f"the gate {'is passed' if verdict.passed else 'rejects the model'}: {verdict.reason}", flush=True)
    margin = None if contest is None else asked.margin
    found = {"gate": verdict_json(verdict, asked.bound, margin)}
    return found if contest is None else found | {"champion": contest_json(contest)}


def contend(asked: Asked, artifact: Artifact, test: pl.DataFrame, predictions: Floats) -> Contest:
    """Let the champion answer the same rows. Days that it has learned from are left out, for both models."""
    assert asked.bound is not None
    assert asked.champions is not None
    found = None
    try:
        with tempfile.TemporaryDirectory() as directory:
            found = champions.find_champion(asked.champions, Path(directory))
            champions.check_comparable(found, artifact.description)
            rows, kept = _unseen(found, test.with_columns(pl.Series("prediction", predictions)))
            answers = champions.answers(found, rows, Path(directory))
            problem = PROBLEMS[artifact.description.problem]
            labels = problem.labels(rows[artifact.description.label])
            difference = compare(problem, asked.bound.metric, labels, kept, answers)
    except champions.NotComparable as reason:
        if found is None:
            return Contest(reason=str(reason))
        return Contest(version=found.version, arn=found.arn, reason=str(reason))
    return Contest(version=found.version, arn=found.arn, difference=difference, rows=rows.height)


def _unseen(champion: champions.Champion, test: pl.DataFrame) -> tuple[pl.DataFrame, Floats]:
    """The test rows of days that the champion hasn't learned from, and the candidate's predictions for them."""
    last = champion.last_day_seen
    rows = test.filter(pl.col(DAY) > last) if last is not None and day_range(test) is not None else test
    label = champion.description.label
    if rows.height < min(FEWEST_ROWS_WITH_DEVIATION, test.height) or rows[label].n_unique() < 2:
        raise champions.NotComparable(
            f"version {champion.version} has learned from days up to {last}, which leaves {rows.height} of "
            f"{test.height} test rows that are new to it"
        )
    return rows, rows["prediction"].to_numpy()


def _own_metrics(artifact: Artifact, test: pl.DataFrame) -> dict[str, Any]:
    if artifact.code.optional_module("evaluate") is None:
        return {}
    values = artifact.code.function("evaluate", "evaluate")(artifact.booster, test)
    if not isinstance(values, Mapping):
        raise JobError(f"{artifact.code.name}.evaluate.evaluate must return a mapping of names to numbers")
    return {name: metric(float(value)) for name, value in values.items()}
