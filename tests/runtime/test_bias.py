"""Bias and attributions against values worked out by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
import xgboost as xgb

from model_runtime.bias import (
    Facet,
    GroupBias,
    bias_json,
    metrics_of,
    parse_facet,
    post_training_bias,
    pre_training_bias,
)
from model_runtime.errors import JobError
from model_runtime.explanations import explain, explanations_json
from model_runtime.problems import BINARY_CLASSIFICATION, REGRESSION

# four rows of the group, six others
GROUP = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], dtype=bool)
LABELS = np.array([1, 1, 0, 0, 1, 1, 1, 0, 0, 0], dtype=float)
PREDICTIONS = np.array([0.9, 0.2, 0.4, 0.1, 0.8, 0.7, 0.5, 0.6, 0.3, 0.1])


def facet(**values: object) -> Facet:
    return parse_facet(json.dumps({"feature": "origin", **values}), BINARY_CLASSIFICATION)


def test_bias_before_training_is_that_of_rows_and_labels() -> None:
    assert pre_training_bias(GROUP, LABELS) == {"CI": pytest.approx(0.2), "DPL": pytest.approx(0.5 - 0.5)}
    skewed = np.array([1, 0, 0, 0, 1, 1, 1, 1, 1, 0], dtype=float)
    assert pre_training_bias(GROUP, skewed)["DPL"] == pytest.approx(5 / 6 - 1 / 4)


def test_bias_after_training_is_that_of_predictions() -> None:
    # predicted 1: one of four in the group, four of six others; right: 3 of 4 and 5 of 6; recall: 1 of 2 and 3 of 3
    assert post_training_bias(GROUP, LABELS, PREDICTIONS, BINARY_CLASSIFICATION) == {
        "DPPL": pytest.approx(4 / 6 - 1 / 4),
        "DI": pytest.approx((1 / 4) / (4 / 6)),
        "AD": pytest.approx(5 / 6 - 3 / 4),
        "RD": pytest.approx(3 / 3 - 1 / 2),
    }


def test_a_regression_has_differences_of_means() -> None:
    minutes = np.array([10, 20, 30, 40, 60, 60, 60, 60, 60, 60], dtype=float)
    predicted = minutes + np.array([5, -5, 5, -5, 1, 1, 1, 1, 1, 1])
    assert pre_training_bias(GROUP, minutes)["DPL"] == pytest.approx(60 - 25)
    assert post_training_bias(GROUP, minutes, predicted, REGRESSION) == {
        "DPPL": pytest.approx(61 - 25),
        "ED": pytest.approx(5 - 1),
    }
    assert metrics_of(REGRESSION) == ("CI", "DPL", "DPPL", "ED")


def test_a_side_without_rows_has_no_value() -> None:
    everyone = np.ones(10, dtype=bool)
    found = pre_training_bias(everyone, LABELS) | post_training_bias(
        everyone, LABELS, PREDICTIONS, BINARY_CLASSIFICATION
    )
    assert found.pop("CI") == -1
    assert all(math.isnan(value) for value in found.values())


def test_a_group_is_values_as_people_write_them_or_what_lies_above_a_threshold() -> None:
    column = pl.Series("origin", [1.0, 2.0, None, 3.0, float("nan")])
    encoders = {"origin": lambda text: {"JFK": 1.0, "LGA": 3.0}[text]}
    assert facet(values=["JFK", "LGA"]).rows(column, encoders).tolist() == [True, False, False, True, False]
    assert facet(values=[2]).rows(column, {}).tolist() == [False, True, False, False, False]
    assert facet(above=1.5).rows(column, {}).tolist() == [False, True, False, True, False]
    with pytest.raises(JobError, match="has the value 'JFK', but no encoder"):
        facet(values=["JFK"]).rows(column, {})


def test_what_lies_outside_of_its_limits_is_told_with_the_value_and_the_limit() -> None:
    limits = {"DI": {"minimum": 0.8, "maximum": 1.25}, "AD": {"maximum": 0.1}, "CI": {"minimum": -0.5}}
    group = facet(values=[1], limits=limits)
    bias = GroupBias(facet=group, rows=4, before={"CI": 0.2, "DPL": 0.0}, after={"DI": 0.375, "AD": 0.0833})
    assert bias.broken == [
        "disparate impact (DI) of origin 1 is 0.375, it must be at least 0.8 and at most 1.25",
    ]
    nothing = GroupBias(facet=group, rows=0, before={"CI": 1.0}, after={"DI": math.nan, "AD": 0.0})
    assert "is nan, it must be at least 0.8" in nothing.broken[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"values": [1]}', "must describe a group"),
        ('{"feature": "origin", "value": 1}', "no member 'value'"),
        ("origin", "must describe a group"),
        ('{"feature": "origin", "above": 1, "limits": {"ED": {"maximum": 1}}}', "limits ED; a binary_classification"),
    ],
)  # fmt: skip
def test_what_is_no_facet_is_refused(text: str, reason: str) -> None:
    with pytest.raises(JobError, match=reason):
        parse_facet(text, BINARY_CLASSIFICATION)


def test_the_report_has_the_shape_of_clarifys() -> None:
    bias = GroupBias(facet=facet(values=["JFK"]), rows=4, before={"CI": 0.2}, after={"DI": math.nan})
    assert bias_json([bias], "late", BINARY_CLASSIFICATION) == {
        "pre_training_bias_metrics": {
            "label": "late",
            "label_value_or_threshold": "1",
            "facets": {
                "origin": [
                    {
                        "value_or_threshold": "JFK",
                        "metrics": [{"name": "CI", "description": "Class imbalance", "value": 0.2}],
                    }
                ]
            },
        },
        "post_training_bias_metrics": {
            "label": "late",
            "label_value_or_threshold": "1",
            "facets": {
                "origin": [
                    {
                        "value_or_threshold": "JFK",
                        "metrics": [{"name": "DI", "description": "Disparate impact", "value": "NaN"}],
                    }
                ]
            },
        },
    }


def stump() -> xgb.Booster:
    """A tree that says -2 below x = 0.5 (one row in four) and 2 above it, and never looks at y."""
    table = np.array([[0.0, 1], [1, 0], [1, 1], [1, 0]] * 25, dtype=np.float32)
    labels = np.where(table[:, 0] < 0.5, -2.0, 2.0)
    options = {"max_depth": 1, "eta": 1, "lambda": 0, "base_score": 0, "min_child_weight": 0}
    return xgb.train(options, xgb.DMatrix(table, label=labels, feature_names=["x", "y"]), 1)


def test_attributions_are_those_of_shapley() -> None:
    # the tree expects 0.25 * -2 + 0.75 * 2 = 1, so x takes a row from there to -2 or to 2
    rows = pl.DataFrame({"x": [0.0, 1.0, 1.0], "y": [0.0, 1.0, 0.0]})
    found = explain(stump(), rows)
    assert found.expected == pytest.approx(1)
    assert found.global_values == {"x": pytest.approx((3 + 1 + 1) / 3), "y": 0}
    assert found.signed == {"x": pytest.approx(1), "y": 0}
    assert explanations_json(found)["kernel_shap"]["label0"]["global_shap_values"] == found.global_values


def test_many_rows_are_sampled_the_same_way_each_time() -> None:
    random = np.random.default_rng(1)
    rows = pl.DataFrame({"x": random.integers(0, 2, 5000), "y": random.random(5000)})
    first = explain(stump(), rows)
    assert first.rows == 2000
    assert first == explain(stump(), rows)
    assert first.global_values["x"] == pytest.approx(2, abs=0.1)
