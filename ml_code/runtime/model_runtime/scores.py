"""Judges a model by the scores that another container gave for the test rows: one that this runtime can't load."""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_runtime.datasets import day_range, read_rows
from model_runtime.errors import JobError
from model_runtime.evaluation_arguments import parse_arguments
from model_runtime.gate import decide, verdict_json
from model_runtime.metrics import Floats
from model_runtime.model_code import load_model_code
from model_runtime.paths import ContainerPaths
from model_runtime.problems import BINARY_CLASSIFICATION, Problem, asked_problem
from model_runtime.tables import ROWS_FILE

SCORES_FILE = f"{ROWS_FILE}.out"
SCORES = "scores"


def main(paths: ContainerPaths, argv: Sequence[str] = ()) -> None:
    """Write `processing/output/evaluation/evaluation.json` from the inputs `scores`, `test` and `code`."""
    problem = asked_problem()
    asked = parse_arguments(argv, problem)
    code = load_model_code(paths.processing_input("code"))
    test = read_rows(paths.processing_input("test"), [code.label])
    labels = problem.labels(test[code.label])
    predictions = read_scores(paths.processing_input(SCORES) / SCORES_FILE, problem)
    problem.check_predictions(predictions, len(labels))
    metrics = problem.metrics(labels, predictions)
    dataset: dict[str, Any] = {"item_count": test.height, problem.mean_label: float(labels.mean())}
    days = day_range(test)
    if days is not None:
        dataset |= {"first_day": str(days[0]), "last_day": str(days[1])}
    report: dict[str, Any] = {"version": 0.0, "dataset": dataset, f"{problem.name}_metrics": metrics}
    if asked.bound is not None:
        verdict = decide(asked.bound, float(metrics[asked.bound.metric]["value"]), None, 0.0, [])
        report["gate"] = verdict_json(verdict, asked.bound, None)
        print(f"the gate {'is passed' if verdict.passed else 'rejects the model'}: {verdict.reason}", flush=True)
    target = paths.processing_output("evaluation") / "evaluation.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def read_scores(file: Path, problem: Problem) -> Floats:
    """The answers of Autopilot's container, one line each: a number, or the probabilities and their labels.

    A line of a classification is `"[0.9, 0.1]","[0, 1]"`; its score is the probability of the label 1. Raises JobError
    for a line that is none of these.
    """
    if not file.is_file():
        raise JobError(f"no scores: {file} isn't there")
    with file.open(encoding="utf-8", newline="") as lines:
        found = [_score(row, number, problem) for number, row in enumerate(csv.reader(lines), 1) if row]
    return np.array(found, dtype=np.float64)


def _score(row: list[str], number: int, problem: Problem) -> float:
    try:
        if problem is not BINARY_CLASSIFICATION:
            return float(row[0])
        shares, labels = (ast.literal_eval(text) for text in row)
        (positive,) = (index for index, label in enumerate(labels) if float(label) == 1.0)
        return float(shares[positive])
    except (ValueError, TypeError, SyntaxError, IndexError) as error:
        wanted = "the probabilities and their labels" if problem is BINARY_CLASSIFICATION else "a number"
        shown = ",".join(row)[:80]
        raise JobError(f"line {number} of the scores must hold {wanted}, got {shown!r}: {error}") from error
