"""Metrics agree with counting by hand, with brute force, and with what other samples show."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from model_runtime.metrics import Floats, Labels, area_under_curve, binary_classification_metrics, metric

# Four late flights and six that weren't; two scores are tied across the classes.
LABELS = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
SCORES = np.array([0.9, 0.8, 0.5, 0.2, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1])


def value(metrics: dict[str, Any], name: str) -> Any:
    return metrics[name]["value"]


def sample(seed: int, rows: int, digits: int = 15) -> tuple[Labels, Floats]:
    random = np.random.default_rng(seed)
    truth = random.random(rows)
    noise = random.normal(0, 0.2, rows)
    return random.random(rows) < truth, np.clip(truth + noise, 0, 1).round(digits)


def pairs_won(labels: Labels, scores: Floats) -> float:
    """The area under the curve by its definition: one comparison for each pair of a positive and a negative row."""
    won = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    return float(sum(won) / len(won))


def test_every_count_and_share_of_a_small_table_is_right() -> None:
    metrics = binary_classification_metrics(LABELS, SCORES)
    # At 0.5 or more: three of the late ones, two of the others.
    assert metrics["confusion_matrix"] == {"0": {"0": 4, "1": 2}, "1": {"0": 1, "1": 3}}
    expected = {
        "recall": 3 / 4,
        "true_positive_rate": 3 / 4,
        "false_negative_rate": 1 / 4,
        "precision": 3 / 5,
        "accuracy": 7 / 10,
        "true_negative_rate": 4 / 6,
        "false_positive_rate": 2 / 6,
        "f1": 2 * 0.6 * 0.75 / 1.35,
        "f0_5": 1.25 * 0.6 * 0.75 / (0.25 * 0.6 + 0.75),
        "f2": 5 * 0.6 * 0.75 / (4 * 0.6 + 0.75),
        "auc": (6 + 6 + 4.5 + 1.5) / 24,
        "brier_score": (0.01 + 0.04 + 0.25 + 0.64 + 0.49 + 0.25 + 0.16 + 0.09 + 0.04 + 0.01) / 10,
        "recall_best_constant_classifier": 1.0,
        "precision_best_constant_classifier": 0.4,
        "accuracy_best_constant_classifier": 0.6,
        "f1_best_constant_classifier": 2 * 0.4 / 1.4,
    }
    assert {name: value(metrics, name) for name in expected} == pytest.approx(expected)
    probability_of_truth = [0.9, 0.8, 0.5, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert value(metrics, "log_loss") == pytest.approx(-sum(map(math.log, probability_of_truth)) / 10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 15])
def test_the_area_is_the_share_of_pairs_in_the_right_order(seed: int, digits: int) -> None:
    labels, scores = sample(seed, 150, digits)
    assert area_under_curve(labels, scores) == pytest.approx(pairs_won(labels, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_area_depends_on_the_order_of_scores_alone(seed: int) -> None:
    labels, scores = sample(seed, 400)
    area = area_under_curve(labels, scores)
    assert area_under_curve(labels, scores**3 / 7) == pytest.approx(area, abs=1e-12)
    assert area_under_curve(labels, 1 - scores) == pytest.approx(1 - area, abs=1e-12)
    assert area_under_curve(~labels, scores) == pytest.approx(1 - area, abs=1e-12)
    assert area_under_curve(labels, np.full(400, 0.3)) == 0.5


@pytest.mark.parametrize(
    "name", ["auc", "recall", "precision", "accuracy", "f0_5", "f1", "f2", "log_loss", "brier_score"]
)
def test_a_standard_deviation_is_what_many_samples_show(name: str) -> None:
    samples = [binary_classification_metrics(*sample(seed, 600))[name] for seed in range(300)]
    shown = float(np.std([each["value"] for each in samples]))
    stated = float(np.mean([each["standard_deviation"] for each in samples]))
    assert stated == pytest.approx(shown, rel=0.15)


def test_few_rows_have_no_standard_deviation() -> None:
    assert metric_deviations(*sample(1, 199)) == {"NaN"}
    assert "NaN" not in metric_deviations(*sample(1, 200))


def metric_deviations(labels: Labels, scores: Floats) -> set[Any]:
    metrics = binary_classification_metrics(labels, scores)
    return {
        each["standard_deviation"]
        for name, each in metrics.items()
        if "standard_deviation" in each and not name.endswith("_best_constant_classifier")
    }


def test_the_curves_run_from_corner_to_corner_and_hold_the_area() -> None:
    labels, scores = sample(3, 3000)
    metrics = binary_classification_metrics(labels, scores)
    roc, recall = metrics["receiver_operating_characteristic_curve"], metrics["precision_recall_curve"]
    x, y = np.array(roc["false_positive_rates"]), np.array(roc["true_positive_rates"])
    assert (x[0], x[-1], y[-1]) == (0, 1, 1)
    assert (np.diff(y) >= 0).all()
    assert float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum()) == pytest.approx(value(metrics, "auc"), abs=0.005)
    assert recall["recalls"][-1] == 1
    # Whoever wants every positive row takes all down to the lowest-scored of them.
    taken = scores >= scores[labels].min()
    assert recall["precisions"][-1] == pytest.approx(labels[taken].mean(), abs=1e-6)


def test_a_missing_class_leaves_what_needs_it_undefined() -> None:
    metrics = binary_classification_metrics(np.zeros(3, dtype=bool), np.array([0.1, 0.2, 0.3]))
    assert {name: value(metrics, name) for name in ("auc", "recall", "precision", "f1")} == dict.fromkeys(
        ("auc", "recall", "precision", "f1"), "NaN"
    )
    assert value(metrics, "accuracy") == 1.0
    assert metrics["receiver_operating_characteristic_curve"] == {"false_positive_rates": [], "true_positive_rates": []}


def test_a_certain_and_wrong_prediction_has_a_finite_loss() -> None:
    assert value(binary_classification_metrics(np.array([True, False]), np.array([0.0, 1.0])), "log_loss") > 30


def test_the_file_has_every_metric_of_sagemakers_statistics_and_is_strict_json() -> None:
    metrics = binary_classification_metrics(LABELS, SCORES)
    constant = ("recall", "precision", "accuracy", "f0_5", "f1", "f2")
    rates = ("true_positive_rate", "true_negative_rate", "false_positive_rate", "false_negative_rate")
    documented = {*constant, *rates, "auc", *(f"{name}_best_constant_classifier" for name in constant)}
    assert all(set(metrics[name]) == {"value", "standard_deviation"} for name in documented)
    assert {"confusion_matrix", "receiver_operating_characteristic_curve", "precision_recall_curve"} <= set(metrics)
    json.dumps(metrics, allow_nan=False)
    assert metric(float("nan")) == {"value": "NaN", "standard_deviation": "NaN"}
