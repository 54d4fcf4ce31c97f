"""Model quality under Model Monitor's contract: predictions that a merge job has joined with their ground truth.

A line is a capture with a member `groundTruthData`. Limits are those of the baseline's constraints.json; a metric
breaks its limit with its value alone, as Model Monitor's own. Source: Amazon SageMaker developer guide, "Model Quality
Metrics and Amazon CloudWatch Monitoring".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jmespath
import numpy as np
import orjson

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
    pairs = np.array(list(joined(files, environment, counts)), np.float64).reshape(-1, 2)
    predictions, labels = pairs[:, 0], pairs[:, 1]
    dataset: dict[str, Any] = {"item_count": len(pairs)}
    dataset |= {key: shown(moment) for key, moment in (("start_time", start), ("end_time", end)) if moment is not None}
    dataset["evaluation_time"] = shown(datetime.now(UTC))
    metrics: dict[str, Any] = {}
    if len(pairs):
        threshold = float(environment.get("probability_threshold_attribute") or 0.5)
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
    """Prediction and label of each line that has both."""
    path = environment.get("probability_attribute") or environment.get("inference_attribute") or "0"
    for file, content in Lake().opened(files):
        counts.files += 1
        if content is None:
            continue
        with content:
            for number, line in lines_of(content):
                try:
                    record = orjson.loads(line)
                    label = label_of(record["groundTruthData"])[0]
                    yield prediction_at(record["captureData"]["endpointOutput"], path), label
                except (Unreadable, KeyError, TypeError, ValueError, LookupError, AttributeError) as error:
                    counts.broke(file.name, number, f"no joined prediction: {type(error).__name__} {error}")


def prediction_at(side: Mapping[str, Any], path: str) -> float:
    """The number at a column of CSV, or at a JSONPath of JSON; raises ValueError where there is none."""
    text, is_json = body_of(side)
    if not is_json:
        return float(text.strip().split("\n")[0].split(",")[int(path)])
    found = jmespath.search(path.removeprefix("$").lstrip(".") or "@", orjson.loads(text))
    while isinstance(found, list) and found:
        found = found[0]
    return float(found)


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
