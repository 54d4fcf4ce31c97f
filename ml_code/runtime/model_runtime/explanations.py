"""What the predictions rest on: attributions by TreeSHAP, which XGBoost computes exactly.

Source: Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees, Nature
Machine Intelligence 2; the report has the shape of SageMaker Clarify's analysis.json, so that what reads one reads the
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import xgboost as xgb

SAMPLE_ROWS = 2000
SEED = 7


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """The mean of the absolute attributions of each feature, and what the trees say of a row of which nothing is known.

    Attributions are in the trees' own unit: log odds of a classification, the label's unit of a regression. Those of a
    row and the expected value add up to its prediction. `signed` is the correlation of a feature's value with its
    attribution: positive where more of it raises the prediction, 0 where it is constant.
    """

    global_values: Mapping[str, float]
    signed: Mapping[str, float]
    expected: float
    rows: int


def explain(booster: xgb.Booster, features: pl.DataFrame, rows: int = SAMPLE_ROWS) -> Explanations:
    """Attribute the predictions for up to `rows` rows, always the same ones; columns in the order of the booster's."""
    sample = features.sample(rows, seed=SEED) if features.height > rows else features
    table = sample.cast(pl.Float32).to_numpy()
    contributions = booster.predict(
        xgb.DMatrix(table, feature_names=booster.feature_names), pred_contribs=True, validate_features=False
    )
    values = np.abs(contributions[:, :-1]).mean(axis=0)
    signs = [_correlation(table[:, index], contributions[:, index]) for index in range(table.shape[1])]
    return Explanations(
        global_values={name: float(value) for name, value in zip(sample.columns, values, strict=True)},
        signed=dict(zip(sample.columns, signs, strict=True)),
        expected=float(contributions[:, -1].mean()),
        rows=sample.height,
    )


def explanations_json(found: Explanations) -> dict[str, Any]:
    """The section `explanations` of Clarify's analysis.json; the method's name there is that of Clarify."""
    label = {"global_shap_values": dict(found.global_values), "expected_value": found.expected}
    return {"kernel_shap": {"label0": label}, "method": "TreeSHAP", "rows": found.rows}


def _correlation(values: Any, attributions: Any) -> float:
    known = ~np.isnan(values)
    x, y = values[known].astype(np.float64), attributions[known].astype(np.float64)
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
