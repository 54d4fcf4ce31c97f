"""Errors of a regression agree with counting by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model_runtime.metrics import Floats
from model_runtime.regression_metrics import regression_metrics


def sample(rows: int, seed: int = 1) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    labels = random.normal(180, 90, rows)
    return labels, labels + random.normal(0, 15, rows)


def test_every_error_of_a_small_table_is_right() -> None:
    metrics = regression_metrics(np.array([60.0, 90.0, 120.0, 150.0]), np.array([62.0, 87.0, 120.0, 155.0]))
    values = {name: each["value"] for name, each in metrics.items()}
    assert values == pytest.approx({"mae": 2.5, "mse": 9.5, "rmse": 9.5**0.5, "r2": 1 - 4 * 9.5 / 4500})


def test_a_perfect_model_explains_everything_and_the_mean_nothing() -> None:
    labels, _ = sample(500)
    assert regression_metrics(labels, labels)["r2"]["value"] == 1
    assert regression_metrics(labels, np.full(500, labels.mean()))["r2"]["value"] == pytest.approx(0, abs=1e-12)


def test_labels_that_are_all_the_same_leave_r2_undefined() -> None:
    metrics = regression_metrics(np.full(300, 7.0), np.full(300, 8.0))
    assert metrics["r2"] == {"value": "NaN", "standard_deviation": "NaN"}
    assert metrics["mae"] == {"value": 1.0, "standard_deviation": 0.0}
    json.dumps(metrics, allow_nan=False)


def test_few_rows_have_no_standard_deviation() -> None:
    assert {each["standard_deviation"] for each in regression_metrics(*sample(199)).values()} == {"NaN"}
    assert "NaN" not in {each["standard_deviation"] for each in regression_metrics(*sample(200)).values()}


@pytest.mark.parametrize("name", ["mae", "mse", "rmse", "r2"])
def test_a_standard_deviation_is_what_samples_of_four_fifths_show(name: str) -> None:
    labels, predictions = sample(2000)
    random = np.random.default_rng(5)
    parts = [random.choice(2000, 1600, replace=False) for _ in range(200)]
    shown = np.std([regression_metrics(labels[part], predictions[part])[name]["value"] for part in parts])
    assert 0.3 * shown < regression_metrics(labels, predictions)[name]["standard_deviation"] < 2.5 * shown


def test_the_same_rows_have_the_same_metrics() -> None:
    assert regression_metrics(*sample(1000)) == regression_metrics(*sample(1000))
