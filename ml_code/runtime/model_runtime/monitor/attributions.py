"""Whether predictions rest on the same features as at the training: the order of the features' attributions.

The normalized discounted cumulative gain: features are put in the order of their attributions now, and each counts its
attribution at the training, divided by the logarithm (base 2) of its place plus 1; the sum is divided by that of the
training's own order. 1 is the same order; below 0.9 SageMaker's monitor reports a violation. Source: Amazon SageMaker
developer guide, "Monitor Feature Attribution Drift for Models in Production".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from model_runtime.artifact import load_artifact
from model_runtime.errors import JobError
from model_runtime.monitor.samples import RowSample
from model_runtime.monitor.served_version import Version

EXPLAINED_ROWS = 2000
FEWEST_ROWS = 200


def gain(then: Mapping[str, float], now: Mapping[str, float]) -> float:
    """The normalized discounted cumulative gain of attributions now by those then; 1 when nothing counted then."""
    ideal = _sum(sorted(then.values(), reverse=True))
    names = sorted(then, key=lambda name: (-now.get(name, 0.0), -then[name]))
    return _sum([then[name] for name in names]) / ideal if ideal else 1.0


def _sum(values: list[float]) -> float:
    return sum(value / math.log2(place + 2) for place, value in enumerate(values))


def baseline_values(baseline: Any) -> dict[str, float]:
    """The attributions of an analysis.json; empty when it has none."""
    try:
        found = baseline["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
        return {str(name): abs(float(value)) for name, value in found.items()}
    except (TypeError, KeyError, AttributeError, ValueError):
        return {}


def attributions_of(version: Version, sample: RowSample, minimum: float) -> tuple[dict[str, Any] | None, str | None]:
    """The section `attributions` of the report, or why there is none."""
    then = baseline_values(version.baselines.explainability)
    if not version.has_trees:
        return None, "a model of a search is asked through its own container, which tells no attributions"
    if not then:
        return None, "the version was registered without attributions"
    rows = sample.rows
    if rows is None or len(rows) < FEWEST_ROWS:
        return (
            None,
            f"{0 if rows is None else len(rows)} rows are too few to tell attributions, {FEWEST_ROWS} are needed",
        )
    from model_runtime.explanations import explain  # loads XGBoost

    try:
        artifact = load_artifact(version.champion.directory)
    except JobError as error:
        return None, str(error)
    found = explain(artifact.booster, pl.DataFrame(rows, schema=list(version.description.features), orient="row"))
    now = dict(found.global_values)
    ndcg = gain(then, now)
    section = {
        "ndcg": ndcg,
        "minimum": minimum,
        "broken": ndcg < minimum,
        "baseline": then,
        "now": now,
        "rows": found.rows,
    }
    return section, None
