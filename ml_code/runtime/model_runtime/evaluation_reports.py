"""The files that `evaluate` leaves, in the shapes that SageMaker's registry and its monitors know.

evaluation.json       model quality statistics, with the gate's verdict and the champion
constraints.json      the gate's bound as model quality constraints: what a monitor compares with later
bias.json             bias metrics, and explainability.json attributions, as Clarify's analysis.json
model_card.json       the model card by SageMaker's schema, as one text
model_card.html       the same and more as a page
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from model_runtime.bias import bias_json
from model_runtime.card import card_file
from model_runtime.card_page import card_page
from model_runtime.diagnostics import REPORT_FILE
from model_runtime.explanations import explanations_json
from model_runtime.judged import Judged
from model_runtime.lineage import job_of, lineage
from model_runtime.paths import ContainerPaths

ANALYSIS_VERSION = "1.0"


def write_reports(judged: Judged, paths: ContainerPaths) -> None:
    """Write all of them to the output `evaluation`."""
    directory = paths.processing_output("evaluation")
    directory.mkdir(parents=True, exist_ok=True)
    judged = replace(judged, lineage=lineage(job_of(paths.processing_configuration)))
    reports: dict[str, Any] = {"evaluation": judged.statistics, "constraints": constraints(judged)}
    label = judged.description.label
    reports["bias"] = {"version": ANALYSIS_VERSION, **bias_json(judged.groups, label, judged.problem)}
    if judged.explanations:
        explained = explanations_json(judged.explanations)
        reports["explainability"] = {"version": ANALYSIS_VERSION, "explanations": explained}
    for name, content in reports.items():
        (directory / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (directory / "model_card.json").write_text(card_file(judged), encoding="utf-8")
    (directory / "model_card.html").write_text(card_page(judged), encoding="utf-8")


def constraints(judged: Judged) -> dict[str, Any]:
    """The bound of the gate as model quality constraints; none without a gate."""
    gate = judged.statistics.get("gate")
    if gate is None:
        return {"version": 0.0, f"{judged.problem.name}_constraints": {}}
    worse = "LessThanThreshold" if "minimum" in gate else "GreaterThanThreshold"
    bound = gate.get("minimum", gate.get("maximum"))
    bounds = {gate["metric"]: {"threshold": bound, "comparison_operator": worse}}
    return {"version": 0.0, f"{judged.problem.name}_constraints": bounds}


def training_report(model_directory: Path) -> Mapping[str, Any] | None:
    """What the rules of the training found; None for a model that was trained without them."""
    file = model_directory / REPORT_FILE
    if not file.is_file():
        return None
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
