"""What a model is judged by once its predictions for the test days are known, whoever made them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from model_runtime import champion as champions
from model_runtime.bias import GroupBias, post_training_bias, pre_training_bias
from model_runtime.comparison import compare
from model_runtime.datasets import DAY, day_range, read_rows
from model_runtime.errors import JobError
from model_runtime.evaluation_arguments import Asked
from model_runtime.gate import Contest, contest_json, decide, verdict_json
from model_runtime.judged import Judged, Rivals
from model_runtime.metrics import Floats
from model_runtime.paths import ContainerPaths
from model_runtime.problems import Problem

FEWEST_COMPARED_ROWS = 200
"""Fewer rows tell chance from quality no more than they give a standard deviation (`metrics`): without this limit, days
that the champion has learned from could be chosen until nothing is left to stand against it on."""


class NotEnoughRows(Exception):
    """The champion knows too much of the test rows; the text is the reason, as a part of a sentence."""


def statistics_of(problem: Problem, labels: Any, predictions: Floats, test: pl.DataFrame) -> dict[str, Any]:
    """The evaluation report of predictions for all test rows; raises JobError when they answer another problem."""
    problem.check_predictions(predictions, len(labels))
    dataset: dict[str, Any] = {"item_count": test.height, problem.mean_label: float(labels.mean())}
    days = day_range(test)
    if days is not None:
        dataset |= {"first_day": str(days[0]), "last_day": str(days[1])}
    return {
        "version": 0.0,
        "dataset": dataset,
        f"{problem.name}_metrics": problem.metrics(labels, predictions),
    }


def bias_of_facets(asked: Asked, judged: Judged, paths: ContainerPaths) -> list[GroupBias]:
    """Compare each facet with all other rows: of the training rows before training, of the test rows after it."""
    description, problem, encoders = judged.description, judged.problem, judged.code.encoders
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


def judge(asked: Asked, judged: Judged, paths: ContainerPaths) -> Judged:
    """Add facets, and with a bound the sections `gate` and `champion`, and the rows that both models answered."""
    judged = replace(judged, groups=bias_of_facets(asked, judged, paths))
    if asked.bound is None:
        return judged
    contest, rivals = (None, None) if asked.champions is None else contend(asked, judged, paths)
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


def contend(asked: Asked, judged: Judged, paths: ContainerPaths) -> tuple[Contest, Rivals | None]:
    """Let the champion answer the same rows. Days that it has learned from are left out, for both models.

    The contest is lost without answers when fewer rows than FEWEST_COMPARED_ROWS are left, or, of a smaller test part,
    fewer than all.
    """
    assert asked.bound is not None
    assert asked.champions is not None
    description = judged.description
    found = None
    try:
        with tempfile.TemporaryDirectory() as directory:
            found = champions.find_champion(asked.champions, Path(directory))
            champions.check_comparable(found, description)
            rows, kept = _unseen(found, judged.test.with_columns(pl.Series("prediction", judged.predictions)))
            if found.container is not None and not asked.asks_containers:
                raise champions.NotComparable(
                    f"version {found.version} answers from Autopilot's container, which only a search's Evaluate asks"
                )
            answers = champions.answers(found, rows, Path(directory), paths)
    except champions.NotComparable as reason:
        if found is None:
            return Contest(reason=str(reason)), None
        return Contest(version=found.version, arn=found.arn, reason=str(reason)), None
    except NotEnoughRows as reason:
        assert found is not None
        return Contest(version=found.version, arn=found.arn, reason=str(reason), lost=True), None
    labels = judged.problem.labels(rows[description.label])
    difference = compare(judged.problem, asked.bound.metric, labels, kept, answers)
    contest = Contest(version=found.version, arn=found.arn, difference=difference, rows=rows.height)
    return contest, Rivals(labels=labels, candidate=kept, champion=answers)


def _unseen(champion: champions.Champion, test: pl.DataFrame) -> tuple[pl.DataFrame, Floats]:
    """The test rows of days that the champion hasn't learned from, and the candidate's predictions for them."""
    last = champion.last_day_seen
    if last is None or day_range(test) is None:
        return test, test["prediction"].to_numpy()
    rows = test.filter(pl.col(DAY) > last)
    needed = min(FEWEST_COMPARED_ROWS, test.height)
    if rows.height >= needed and rows[champion.description.label].n_unique() >= 2:
        return rows, rows["prediction"].to_numpy()
    alike = ", all of them with the same label" if rows.height >= needed else f", and {needed} are needed to compare"
    raise NotEnoughRows(
        f"champion version {champion.version} has learned from days up to {last}, and {rows.height} of {test.height} "
        f"test rows are new to it{alike}: train with a later LastDay, or set the status of that version to "
        "Rejected first"
    )
