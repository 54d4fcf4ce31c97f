"""The answers of Autopilot's containers, which a transform job leaves as a file of lines."""

from __future__ import annotations

import ast
import csv
from pathlib import Path

import numpy as np

from model_runtime.errors import JobError
from model_runtime.metrics import Floats
from model_runtime.problems import BINARY_CLASSIFICATION, Problem
from model_runtime.tables import ROWS_FILE

ANSWERS_FILE = f"{ROWS_FILE}.out"


def read_scores(file: Path, problem: Problem) -> Floats:
    """One score for each line: a number, or of probabilities and their labels the probability of the label 1.

    A line of a classification is `"[0.9, 0.1]","[0, 1]"`. Raises JobError for a line that is none of these.
    """
    if not file.is_file():
        raise JobError(f"no scores: {file} isn't there")
    with file.open(encoding="utf-8", newline="") as lines:
        found = [score_of(row, number, problem) for number, row in enumerate(csv.reader(lines), 1) if row]
    return np.array(found, dtype=np.float64)


def score_of(row: list[str], number: int, problem: Problem) -> float:
    """The score of a line's columns, as `read_scores`; `number` is the line's, for the JobError of what is no score."""
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
