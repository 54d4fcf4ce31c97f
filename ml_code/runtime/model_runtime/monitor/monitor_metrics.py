"""What a run found as CloudWatch metrics, written to the log in the embedded metric format.

By Environment and Model: MonitoredRows and RecentRows, those of the window's last 24 hours, always; the others as far
as they could be judged. FeatureDrift has the dimension Feature too: the score of a feature by its limit, so that 1 is
the limit of each.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

from model_runtime.embedded_metrics import metric_line
from model_runtime.rule_metrics import ENVIRONMENT_VARIABLE, MODEL_VARIABLE, NAMESPACE_VARIABLE


def metric_lines(report: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """The lines of a report; none unless the job's variables say where they belong."""
    namespace = environment.get(NAMESPACE_VARIABLE)
    model, place = environment.get(MODEL_VARIABLE), environment.get(ENVIRONMENT_VARIABLE)
    if not (namespace and model and place):
        return
    dimensions = {"Environment": place, "Model": model}
    yield metric_line(namespace, [dimensions], values_of(report))
    for feature in report["features"]:
        if feature["judged"] and _is_figure(feature["score"]):
            share = feature["score"] / feature["threshold"]
            yield metric_line(
                namespace, [dimensions | {"Feature": feature["name"]}], {"FeatureDrift": ("None", round(share, 6))}
            )


def values_of(report: Mapping[str, Any]) -> dict[str, tuple[str, int | float]]:
    """Unit and value by the metric's name; what couldn't be judged, or is no finite number, has none."""
    found: dict[str, tuple[str, Any]] = {
        "MonitoredRows": ("Count", report["rows"]),
        "RecentRows": ("Count", report["recent_rows"]),
    }
    judged = [each for each in report["features"] if each["judged"] and each["score"] is not None]
    if judged:
        found["DriftedFeatures"] = ("Count", sum(each["moved"] for each in judged))
        shares = [each["score"] / each["threshold"] for each in judged if _is_figure(each["score"])]
        found["LargestDrift"] = ("None", max(shares, default=None))
    if report["rows"] and report["status"] not in ("no_traffic", "no_baseline"):
        found["Violations"] = ("Count", len(report["violations"]))
    predictions, quality, attributions = report["predictions"], report["quality"], report["attributions"]
    if predictions is not None and predictions["judged"]:
        found["PredictionDrift"] = ("None", predictions["psi"])
    if quality is not None:
        found["LabelledRows"] = ("Count", quality["labelled"])
        if report["quality_reason"] is None:
            found["Quality"] = ("None", quality["value"])
            found["QualityLoss"] = ("None", quality["loss"])
            found["QualityBroken"] = ("Count", int(quality["broken"]))
    if any(each["judged"] for each in report["bias"]):
        found["BiasBroken"] = ("Count", sum(len(each["broken"]) for each in report["bias"]))
    if attributions is not None:
        found["AttributionNdcg"] = ("None", attributions["ndcg"])
    return {name: (unit, value) for name, (unit, value) in found.items() if _is_figure(value)}


def _is_figure(value: Any) -> bool:
    """Whether CloudWatch takes it: a null or an infinite value costs the whole line."""
    return value is not None and math.isfinite(value)
