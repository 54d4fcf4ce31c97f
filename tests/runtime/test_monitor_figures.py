"""Figures that can't be told: they are said to be so, and no metric is sent of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model_runtime.monitor.ground_truth import GroundTruth
from model_runtime.monitor.monitor_metrics import values_of
from model_runtime.monitor.quality import Labelled, quality_of
from model_runtime.monitor.settings import QualityLimit
from model_runtime.problems import BINARY_CLASSIFICATION, REGRESSION


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_figure_that_is_infinite_is_told_and_is_no_metric(metric: str) -> None:
    """CloudWatch drops a line with a null in it, and the other metrics with it."""
    labels = np.random.default_rng(2).normal(100, 20, 600)
    predictions = labels.copy()
    predictions[0] = 1e200
    none = np.zeros(600, np.int64)
    labelled = Labelled(
        labels=labels, predictions=predictions, times=none, groups=none.astype(np.uint64), unlabelled=0, unusable=0
    )
    baseline = {"regression_metrics": {metric: {"value": 0.1, "standard_deviation": 0.05}}}
    truth = GroundTruth(labels, np.ones(600, np.int64))
    found, reason = quality_of(QualityLimit(metric=metric, maximum_loss=1.0), REGRESSION, labelled, truth, baseline)
    assert found is not None
    assert (reason, found["broken"]) == (f"{metric} can't be told: a prediction is as large as 1e+200", False)
    json.dumps(found, allow_nan=False)
    report = {"rows": 600, "recent_rows": 0, "features": [], "status": "calm", "violations": [], "predictions": None}
    report |= {"quality": found | {"loss": None}, "quality_reason": None, "bias": [], "attributions": {"ndcg": np.inf}}
    assert values_of(report).keys().isdisjoint({"QualityLoss", "AttributionNdcg"})
    assert all(np.isfinite(value) for _, value in values_of(report).values())


def test_how_sure_a_metric_is_has_to_be_known() -> None:
    """One late flight of 600: the area has no deviation."""
    labels = np.zeros(600)
    labels[0] = 1
    none = np.zeros(600, np.int64)
    predictions = np.random.default_rng(1).random(600)
    labelled = Labelled(
        labels=labels, predictions=predictions, times=none, groups=none.astype(np.uint64), unlabelled=0, unusable=0
    )
    truth, limit = GroundTruth(labels, np.ones(600, np.int64)), QualityLimit(metric="auc", maximum_loss=0.05)
    baseline = {"binary_classification_metrics": {"auc": {"value": 0.72, "standard_deviation": 0.01}}}
    _, reason = quality_of(limit, BINARY_CLASSIFICATION, labelled, truth, baseline)
    assert reason == "how sure auc is can't be told of these labels"
