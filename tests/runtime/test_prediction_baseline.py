"""How far the predictions of an endpoint are from those of the training."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from model_runtime.errors import JobError
from model_runtime.prediction_baseline import FILE, PredictionBaseline, count_in
from model_runtime.serving.metrics import ServingMetrics

VARIABLES = {"METRICS_NAMESPACE": "mlops", "ENDPOINT_NAME": "dev-late", "VARIANT_NAME": "live", "FLEET_NAME": "7-abc"}


def test_index_is_as_calculated_by_hand() -> None:
    baseline = PredictionBaseline(edges=(0.5,), counts=(60, 40))
    then, now = (60.5 / 101, 40.5 / 101), (10.5 / 41, 30.5 / 41)
    wanted = sum((q - p) * math.log(q / p) for p, q in zip(then, now, strict=True))
    assert baseline.shift(np.array([10, 30])) == pytest.approx(wanted)


def test_ranges_hold_a_tenth_each_and_a_bound_belongs_to_the_range_above() -> None:
    baseline = PredictionBaseline.of(np.arange(1000) / 1000)
    assert len(baseline.edges) == 9
    assert set(baseline.counts) <= {99, 100, 101}, baseline.counts
    assert count_in((0.5,), np.array([0.4, 0.5, 0.6])).tolist() == [1, 2]


def test_same_predictions_have_not_shifted_and_others_have() -> None:
    random = np.random.default_rng(5)
    baseline = PredictionBaseline.of(random.beta(2, 8, 50_000))
    calm = [baseline.shift(count_in(baseline.edges, random.beta(2, 8, 300))) for _ in range(200)]
    assert np.quantile(calm, 0.99) < 0.15
    assert baseline.shift(count_in(baseline.edges, random.beta(4, 6, 300))) > 0.5
    assert baseline.shift(count_in(baseline.edges, np.full(300, 0.2))) > 1


def test_model_that_mostly_says_the_same_has_fewer_ranges() -> None:
    baseline = PredictionBaseline.of(np.array([0.1] * 95 + [0.9] * 5))
    assert baseline.edges == (0.5,)
    assert baseline.counts == (95, 5)
    assert baseline.shift(np.array([285, 15])) < 0.01


def test_last_digit_of_a_frequent_prediction_shifts_nothing() -> None:
    random = np.random.default_rng(3)
    values = np.array([0.05, 0.051, 0.2, 0.35, 0.5])
    predictions = values[random.integers(0, 5, 2000)]
    baseline = PredictionBaseline.of(predictions)
    for engine in (np.nextafter(predictions, 0), np.nextafter(predictions, 1), predictions - 5e-7, predictions + 5e-7):
        assert baseline.shift(count_in(baseline.edges, engine)) < 1e-9


def test_model_that_always_says_the_same_has_one_range() -> None:
    baseline = PredictionBaseline.of(np.full(50, 0.3))
    assert (baseline.edges, baseline.counts) == ((), (50,))
    assert baseline.shift(np.array([400])) == 0


def test_baseline_lies_beside_the_model_and_a_broken_one_is_told(tmp_path: Path) -> None:
    assert PredictionBaseline.read(tmp_path) is None
    baseline = PredictionBaseline.of(np.arange(100.0))
    baseline.write(tmp_path)
    assert PredictionBaseline.read(tmp_path) == baseline
    for broken in (
        "{",
        "{}",
        json.dumps({"edges": [2, 1], "counts": [1, 2, 3]}),
        json.dumps({"edges": [1], "counts": [1]}),
    ):
        (tmp_path / FILE).write_text(broken)
        with pytest.raises(JobError, match=FILE):
            PredictionBaseline.read(tmp_path)


def test_server_tells_the_shift_of_its_fleet_once_there_are_enough_predictions() -> None:
    metrics = ServingMetrics.from_environment(VARIABLES)
    baseline = PredictionBaseline.of(np.linspace(0, 1, 1000))
    metrics.compare_with(baseline)

    def told() -> list[dict[str, object]]:
        return [line for line in map(json.loads, metrics.lines()) if "PredictionShift" in line]

    for count in (150, 49):
        metrics.answered(200, 0.001)
        metrics.predicted(np.full(count, 0.95))
        assert told() == []
    metrics.answered(200, 0.001)
    metrics.predicted(np.full(1, 0.95))
    (line,) = told()
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Endpoint", "Fleet"]]  # type: ignore[index]
    assert (line["Endpoint"], line["Fleet"]) == ("dev-late", "7-abc")
    expected = baseline.shift(count_in(baseline.edges, np.full(200, 0.95)))
    assert line["PredictionShift"] == pytest.approx(expected, rel=1e-3)
    metrics.answered(200, 0.001)
    assert told() == [], "what was told is not told again"


@pytest.mark.parametrize("missing", ["FLEET_NAME", "ENDPOINT_NAME", "METRICS_NAMESPACE"])
def test_server_without_a_fleet_tells_no_shift(missing: str) -> None:
    metrics = ServingMetrics.from_environment({name: value for name, value in VARIABLES.items() if name != missing})
    metrics.compare_with(PredictionBaseline.of(np.linspace(0, 1, 1000)))
    metrics.answered(200, 0.001)
    metrics.predicted(np.full(500, 0.5))
    assert [line for line in metrics.lines() if "PredictionShift" in line] == []
