"""Distributions of what a server answers, and the lines that CloudWatch makes metrics of."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from model_runtime.errors import JobError
from model_runtime.serving.metrics import Distribution, ServingMetrics

VARIABLES = {"METRICS_NAMESPACE": "mlops", "METRICS_ENVIRONMENT": "dev", "MODEL_NAME": "toy"}


def repeated(parts: Iterator[dict[str, list[float]]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.concatenate([np.repeat(part["Values"], part["Counts"]) for part in parts])


def test_percentiles_of_a_distribution_are_right_to_one_in_twenty() -> None:
    random = np.random.default_rng(1)
    values = np.concatenate([random.lognormal(2, 1.5, 20_000), -random.lognormal(0, 1, 5_000), np.zeros(100)])
    distribution = Distribution()
    for value in values[:300].tolist():
        distribution.add(value)
    distribution.add_all(values[300:400])
    distribution.add_all(values[400:])
    found = repeated(distribution.taken())
    for share in (1, 10, 50, 90, 99, 99.9):
        assert np.percentile(found, share) == pytest.approx(np.percentile(values, share), rel=0.05, abs=1e-3)


def test_a_part_holds_no_more_values_than_cloudwatch_takes_and_nothing_is_counted_twice() -> None:
    distribution = Distribution()
    values = np.logspace(-9, 9, 5000)
    distribution.add_all(values)
    parts = list(distribution.taken())
    assert len(parts) > 1
    assert all(len(part["Values"]) <= 100 for part in parts)
    assert sum(part["Count"] for part in parts) == sum(sum(part["Counts"]) for part in parts) == 5000
    assert sum(part["Sum"] for part in parts) == pytest.approx(values.sum(), rel=0.05)
    assert (parts[0]["Min"], parts[-1]["Max"]) == (values[0], values[-1])
    assert list(distribution.taken()) == []


def test_lines_tell_of_one_interval_each() -> None:
    metrics = ServingMetrics.from_environment(VARIABLES)
    assert list(metrics.lines()) == []
    metrics.answered(200, 0.002)
    metrics.predicted(np.array([0.25, 0.75]))
    metrics.answered(400, 0.001)
    metrics.answered(500, 0.001)
    (line,) = map(json.loads, metrics.lines())
    assert line["_aws"]["CloudWatchMetrics"] == [
        {
            "Namespace": "mlops",
            "Dimensions": [["Environment", "Model"]],
            "Metrics": [
                {"Name": "Requests", "Unit": "Count"},
                {"Name": "Rows", "Unit": "Count"},
                {"Name": "Refused", "Unit": "Count"},
                {"Name": "Failed", "Unit": "Count"},
                {"Name": "Latency", "Unit": "Milliseconds"},
                {"Name": "Prediction", "Unit": "None"},
            ],
        }
    ]
    assert [line[name] for name in ("Requests", "Rows", "Refused", "Failed")] == [3, 2, 1, 1]
    assert line["Latency"] == {"Values": [2.0], "Counts": [1], "Min": 2.0, "Max": 2.0, "Sum": 2.0, "Count": 1}
    assert (line["Prediction"]["Counts"], line["Prediction"]["Sum"]) == ([1, 1], 1.0)
    assert list(metrics.lines()) == []


def test_without_a_place_for_them_there_are_no_lines() -> None:
    for missing in VARIABLES:
        metrics = ServingMetrics.from_environment({key: each for key, each in VARIABLES.items() if key != missing})
        metrics.answered(200, 0.002)
        assert list(metrics.lines()) == []


def test_an_interval_that_is_no_number_is_named() -> None:
    with pytest.raises(
        JobError, match="METRICS_INTERVAL_SECONDS must be a number of seconds from 1 to 3600, got 'often'"
    ):
        ServingMetrics.from_environment({"METRICS_INTERVAL_SECONDS": "often"})
