"""The model card by SageMaker's schema for model packages, which is simpler than that of cards on their own.

Its overview has only who made the model and where the artifact lies: what else is known of the model stands among the
custom details. Source: Amazon SageMaker developer guide, "View and update the details of a model version", section
"Model package model card schema", whose lengths and kinds of metrics these are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from model_runtime.judged import Judged

LONGEST_NAME = 63
LONGEST_DETAIL = 1024
LONGEST_OBSERVATION = 2048
SHOWN_POINTS = 20


def card_json(judged: Judged) -> dict[str, Any]:
    """The card; what isn't known is left out."""
    description, gate = judged.description, judged.statistics.get("gate")
    details = {
        "name": f"{description.model} on held-out days"[:LONGEST_NAME],
        "metric_groups": _metric_groups(judged),
        "datasets": [uri for name, uri in judged.lineage.items() if name == "test rows"],
        "metadata": {name: str(value) for name, value in judged.statistics["dataset"].items()},
    }
    if gate:
        details["evaluation_observation"] = gate["reason"][:LONGEST_OBSERVATION]
    return {
        "model_overview": {
            "model_creator": "training pipeline",
            "model_artifact": [uri for name, uri in judged.lineage.items() if name == "model"],
        },
        "intended_uses": {"purpose_of_model": purpose(judged)[:LONGEST_OBSERVATION]},
        "evaluation_details": [details],
        "additional_information": {"custom_details": _details(judged)},
    }


def card_file(judged: Judged) -> str:
    """The card as one text inside of a JSON file, as a pipeline can read it: `{"content": "{...}"}`."""
    return json.dumps({"content": json.dumps(card_json(judged), separators=(",", ":"))}) + "\n"


def purpose(judged: Judged) -> str:
    """What the model is for: the first line of its package's documentation."""
    module = judged.code.package / "__init__.py"
    text = module.read_text(encoding="utf-8").strip().strip('"').strip() if module.is_file() else ""
    return text.splitlines()[0] if text else judged.description.model.replace("_", " ")


def _metric_groups(judged: Judged) -> list[dict[str, Any]]:
    numbers = {name: value["value"] for name, value in judged.metrics.items() if "value" in value}
    groups = [_group("quality", numbers)]
    curve = judged.metrics.get("receiver_operating_characteristic_curve", {})
    rates = list(zip(*curve.values(), strict=True))
    if rates:
        points = [list(each) for each in rates[:: max(len(rates) // SHOWN_POINTS, 1)]]
        axes = {"x_axis_name": "false positive rate", "y_axis_name": "true positive rate"}
        groups[0]["metric_data"].append({"name": "ROC", "type": "linear_graph", "value": points, **axes})
    if judged.explanations:
        ranked = sorted(judged.explanations.global_values.items(), key=lambda each: -each[1])[:SHOWN_POINTS]
        bars = {
            "name": "mean absolute SHAP value",
            "type": "bar_chart",
            "value": [value for _, value in ranked],
            "x_axis_name": [name for name, _ in ranked],
        }
        groups.append({"name": "attributions", "metric_data": [bars]})
    for group in judged.groups:
        values = {**group.before, **group.after}
        groups.append(_group(f"bias {group.facet.feature} {group.facet.shown}", values))
    return groups


def _group(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    data = [
        {"name": key, "type": "number", "value": value}
        for key, value in values.items()
        if isinstance(value, int | float) and math.isfinite(value)
    ]
    return {"name": name[:LONGEST_NAME], "metric_data": data}


def _details(judged: Judged) -> dict[str, str]:
    description = judged.description
    days = {
        f"{part}_days": f"{span['first']} to {span['last']}, {description.rows[part]} rows"
        for part, span in description.days.items()
        if span
    }
    values = {
        "model_name": description.model,
        "model_description": purpose(judged),
        "problem_type": description.problem.replace("_", " "),
        "algorithm_type": judged.algorithm,
        **days,
        **({"hyperparameters": json.dumps(description.hyperparameters)} if description.hyperparameters else {}),
        **({"versions": json.dumps(description.versions)} if description.versions else {}),
        "features": ", ".join(description.features),
        **{name.replace(" ", "_"): value for name, value in judged.lineage.items()},
    }
    findings = [each["message"] for each in (judged.diagnostics or {}).get("findings", [])]
    if findings:
        values["diagnostics"] = "; ".join(findings)
    return {name: value[:LONGEST_DETAIL] for name, value in values.items()}
