"""The entry point `evaluate`: a SageMaker processing job that judges a trained model on its test days."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from model_runtime import champion as champions
from model_runtime.artifact import Artifact, check_problem, load_artifact
from model_runtime.bias import GroupBias, post_training_bias, pre_training_bias
from model_runtime.comparison import compare
from model_runtime.datasets import DAY, day_range, read_rows
from model_runtime.errors import JobError
from model_runtime.evaluation_arguments import Asked, parse_arguments
from model_runtime.evaluation_reports import training_report, write_reports
from model_runtime.explanations import explain
from model_runtime.gate import Contest, contest_json, decide, verdict_json
from model_runtime.judged import Judged, Rivals
from model_runtime.metrics import FEWEST_ROWS_WITH_DEVIATION, Floats, metric
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
            artifact=artifact,
            statistics=statistics,
            test=test,
            labels=problem.labels(test[artifact.description.label]),
            predictions=predictions,
            explanations=explain(artifact.booster, test.select(artifact.description.features)),
            diagnostics=training_report(model_directory),
        )
        judged = replace(judged, groups=bias_of_facets(asked, judged, paths))
        if asked.bound is not None:
            judged = judge(asked, judged)
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
    problem.check_predictions(predictions, len(labels))
    metrics = problem.metrics(labels, predictions)
    dataset: dict[str, Any] = {"item_count": test.height, problem.mean_label: float(labels.mean())}
    days = day_range(test)
    if days is not None:
        dataset |= {"first_day": str(days[0]), "last_day": str(days[1])}
    metrics |= _own_metrics(artifact, test.with_columns(pl.Series("prediction", predictions)))
    return {"version": 0.0, "dataset": dataset, f"{problem.name}_metrics": metrics}, predictions


def bias_of_facets(asked: Asked, judged: Judged, paths: ContainerPaths) -> list[GroupBias]:
    """Compare each facet with all other rows: of the training rows before training, of the test rows after it."""
    description, problem, encoders = judged.artifact.description, judged.problem, judged.artifact.code.encoders
    if not asked.facets:
        return []
    label = description.label
    unknown = [facet.feature for facet in asked.facets if facet.feature not in description.features]
    if unknown:
        raise JobError(f"the model {description.model!r} has no feature {unknown[0]!r}, which a facet is of")
    names = list(dict.fromkeys([*(facet.feature for facet in asked.facets), label]))
    train = read_rows(paths.processing_input("train"), names).select(names)
    before, after = (rows[label].cast(pl.Float64).to_numpy() for rows in (train, judged.test))
    found = []
    for facet in asked.facets:
        group = facet.rows(judged.test[facet.feature], encoders)
        found.append(
            GroupBias(
                facet=facet,
                rows=int(group.sum()),
                before=pre_training_bias(facet.rows(train[facet.feature], encoders), before),
                after=post_training_bias(group, after, judged.predictions, problem),
            )
        )
    return found


def judge(asked: Asked, judged: Judged) -> Judged:
    """Add the sections `gate` and `champion` to the report, and the rows that both models were compared on."""
    assert asked.bound is not None
    contest, rivals = (None, None) if asked.champions is None else contend(asked, judged)
    broken = [(group.facet.rejects, sentence) for group in judged.groups for sentence in group.broken]
    for rejects, sentence in broken:
        if not rejects:
            print(f"warning: {sentence}", flush=True)
    value = float(judged.metrics[asked.bound.metric]["value"])
    verdict = decide(asked.bound, value, contest, asked.margin, [text for rejects, text in broken if rejects])
    print(f"the gate {'is passed' if verdict.passed else 'rejects the model'}: {verdict.reason}", flush=True)
    sections: dict[str, Any] = {"gate": verdict_json(verdict, asked.bound, None if contest is None else asked.margin)}
    if judged.groups:
        sections["gate"]["warnings"] = [text for rejects, text in broken if not rejects]
    if contest is not None:
        sections["champion"] = contest_json(contest)
    return replace(judged, statistics={**judged.statistics, **sections}, rivals=rivals)


def contend(asked: Asked, judged: Judged) -> tuple[Contest, Rivals | None]:
    """Let the champion answer the same rows. Days that it has learned from are left out, for both models."""
    assert asked.bound is not None
    assert asked.champions is not None
    description = judged.artifact.description
    found = None
    try:
        with tempfile.TemporaryDirectory() as directory:
            found = champions.find_champion(asked.champions, Path(directory))
            champions.check_comparable(found, description)
            rows, kept = _unseen(found, judged.test.with_columns(pl.Series("prediction", judged.predictions)))
            answers = champions.answers(found, rows, Path(directory))
    except champions.NotComparable as reason:
        if found is None:
            return Contest(reason=str(reason)), None
        return Contest(version=found.version, arn=found.arn, reason=str(reason)), None
    labels = judged.problem.labels(rows[description.label])
    difference = compare(judged.problem, asked.bound.metric, labels, kept, answers)
    contest = Contest(version=found.version, arn=found.arn, difference=difference, rows=rows.height)
    return contest, Rivals(labels=labels, candidate=kept, champion=answers)


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
