"""Model quality under Model Monitor's contract: predictions that a merge job has joined with their ground truth.

A line is a capture with a member `groundTruthData`. Limits are those of the baseline's constraints.json; a metric
breaks its limit with its value alone, as Model Monitor's own. Source: Amazon SageMaker developer guide, "Model Quality
Metrics and Amazon CloudWatch Monitoring".
"""

from __future__ import annotations

import csv
import io
import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jmespath
import numpy as np
import orjson
from jmespath.exceptions import JMESPathError

from model_runtime.errors import JobError
from model_runtime.monitor.captured_rows import Unreadable, body_of
from model_runtime.monitor.captures import CaptureCounts
from model_runtime.monitor.ground_truth import label_of
from model_runtime.monitor.lake import HourFile, Lake, lines_of
from model_runtime.monitor.window import shown
from model_runtime.problems import BINARY_CLASSIFICATION, REGRESSION

PROBLEMS = {"BinaryClassification": BINARY_CLASSIFICATION, "Regression": REGRESSION}
LESS, MORE = "LessThanThreshold", "GreaterThanThreshold"
ERRORS = ("mae", "mse", "rmse", "log_loss", "brier_score", "false_positive_rate", "false_negative_rate")
CONSTRAINED = ("recall", "precision", "accuracy", "auc", "f0_5", "f1", "f2", "mae", "mse", "rmse", "r2")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The files by name, the violations, the metrics for CloudWatch, and what was looked at."""

    files: Mapping[str, Any]
    violations: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, Any]
    told: str


def judge(
    files: Sequence[HourFile],
    constraints: Any,
    environment: Mapping[str, str],
    start: datetime | None,
    end: datetime | None,
) -> Outcome:
    """Judge the joined predictions of files; raises JobError for a kind of problem that there are no metrics for."""
    name = environment.get("problem_type", "")
    if name not in PROBLEMS:
        raise JobError(f"the variable problem_type must be {' or '.join(PROBLEMS)}, got {name!r}")
    problem, counts = PROBLEMS[name], CaptureCounts()
    threshold = _threshold(environment.get("probability_threshold_attribute") or "0.5")
    flat = array("d")  # 16 bytes a pair: the area under the curve needs all of them
    for each in joined(files, environment, counts):
        flat.extend(each)
    pairs = np.frombuffer(flat, np.float64).reshape(-1, 2)
    predictions, labels = pairs[:, 0], pairs[:, 1]
    dataset: dict[str, Any] = {"item_count": len(pairs)}
    dataset |= {key: shown(moment) for key, moment in (("start_time", start), ("end_time", end)) if moment is not None}
    dataset["evaluation_time"] = shown(datetime.now(UTC))
    metrics: dict[str, Any] = {}
    if len(pairs):
        if problem is BINARY_CLASSIFICATION:
            from model_runtime.metrics import binary_classification_metrics

            metrics = binary_classification_metrics(labels >= 0.5, predictions, threshold)
        else:
            metrics = problem.metrics(labels, predictions)
    section = f"{problem.name}_metrics"
    found = broken(metrics, (constraints or {}).get(f"{problem.name}_constraints") or {})
    written: dict[str, Any] = {
        "statistics.json": {"version": 0.0, "dataset": dataset, section: metrics},
        "constraints.json": {"version": 0.0, f"{problem.name}_constraints": suggested(metrics)},
    }
    if constraints is not None:
        written["constraint_violations.json"] = {"violations": found}
    values = {key: each["value"] for key, each in metrics.items() if isinstance(each, Mapping) and "value" in each}
    numbers = {key: float(value) for key, value in values.items() if math.isfinite(float(value))}
    lost = f", {counts.broken} lines can't be used" if counts.broken else ""
    for example in counts.examples:
        print(f"{example['file']} line {example['line']}: {example['reason']}", flush=True)
    return Outcome(
        files=written,
        violations=found,
        metrics=numbers,
        told=f"{len(pairs)} labelled predictions of {counts.files} files{lost}",
    )


def joined(
    files: Sequence[HourFile], environment: Mapping[str, str], counts: CaptureCounts
) -> Iterator[tuple[float, float]]:
    """Prediction and label of each row of the lines that have as many of both; other lines are counted."""
    place = Place.read(environment.get("probability_attribute") or environment.get("inference_attribute") or "0")
    for file, content in Lake().opened(files):
        counts.files += 1
        if content is None:
            continue
        with content:
            for number, line in lines_of(content):
                try:
                    record = orjson.loads(line)
                    labels = label_of(record["groundTruthData"])
                    predictions = place.predictions(record["captureData"]["endpointOutput"])
                    if len(predictions) != len(labels):
                        raise Unreadable(f"{len(predictions)} predictions and {len(labels)} labels")
                except Unreadable as error:
                    counts.broke(file.name, number, f"no joined prediction: {error}")
                except (TypeError, ValueError, LookupError, AttributeError, csv.Error) as error:
                    counts.broke(file.name, number, f"no joined prediction: {type(error).__name__} {error}")
                else:
                    yield from zip(predictions, labels, strict=True)


@dataclass(frozen=True)
class Place:
    """Where an answer has its predictions: a column of CSV, from 0 on, and an expression for JSON.

    An answer in CSV has one in each line, one in JSON those that the expression finds, in it or in each of its lines.
    """

    column: int | None
    expression: Any

    @classmethod
    def read(cls, text: str) -> Place:
        """Read the variable; raises JobError for what is neither a column nor a path."""
        path = text.strip()
        if path.isdecimal():
            return cls(int(path), jmespath.compile(f"[{path}]"))
        path = re.sub(r"\[(['\"])([^'\"]*)\1\]", r'."\2"', path.removeprefix("$")).lstrip(".")
        try:
            return cls(None, jmespath.compile(path or "@"))
        except JMESPathError as error:
            raise JobError(
                "probability_attribute, or inference_attribute, must be a column's number or a path as "
                f"$.predictions[*].score, got {text!r}: {' '.join(str(error).split())}"
            ) from error

    def predictions(self, side: Mapping[str, Any]) -> list[float]:
        """The predictions of an answer; raises ValueError, TypeError or IndexError where there are none."""
        text, is_json = body_of(side)
        if not is_json:
            if self.column is None:
                raise Unreadable("the answer is CSV: its predictions are in a column, which is told by its number")
            return [_finite(row[self.column]) for row in csv.reader(io.StringIO(text.strip())) if row]
        try:
            found = [self.expression.search(orjson.loads(text))]
        except orjson.JSONDecodeError:
            found = [self.expression.search(orjson.loads(line)) for line in text.split("\n") if line.strip()]
        while len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        return [_finite(each[0] if isinstance(each, list) and len(each) == 1 else each) for each in found]


def _finite(value: Any) -> float:
    found = float(value)
    if isinstance(value, bool) or not math.isfinite(found):
        raise Unreadable(f"{value!r} is no prediction")
    return found


def _threshold(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= 1:
        raise JobError(f"the variable probability_threshold_attribute must be from 0 to 1, got {text!r}")
    return found


def suggested(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Constraints that later predictions are as good as these."""
    return {
        name: {
            "threshold": metrics[name]["value"],
            "comparison_operator": MORE if name in ERRORS else LESS,
        }
        for name in CONSTRAINED
        if name in metrics and math.isfinite(float(metrics[name]["value"]))
    }


def broken(metrics: Mapping[str, Any], constraints: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A violation for each metric beyond its threshold."""
    found = []
    for name, limit in constraints.items():
        if name not in metrics or "value" not in metrics[name]:
            continue
        value, deviation = float(metrics[name]["value"]), metrics[name].get("standard_deviation", "NaN")
        threshold, operator = float(limit["threshold"]), str(limit["comparison_operator"])
        if (operator == LESS and value < threshold) or (operator == MORE and value > threshold):
            said = f"Metric {name} with {value:g} +/- {float(deviation):g} was {operator} '{threshold:g}'"
            found.append({"constraint_check_type": operator, "description": said, "metric_name": name})
    return found
