"""SageMaker's own rules and checks in a training pipeline, beside ours: what they look at, and the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_constructs.pipeline_expressions import Join, Value
from mlops_constructs.pipeline_steps import (
    BiasFacet,
    CheckJob,
    ClarifyAnalysis,
    ClarifyCheckStep,
    DebuggerRule,
    ModelStep,
    NativeDebugger,
    Predictor,
    ProcessingStep,
    QualityCheckStep,
    Step,
)

from .fairness_settings import Facet
from .model_settings import Model
from .native_settings import RULES, Native, native_rules

CHECKS = "checks"
"""The input and the output of Prepare with what Clarify is to do."""
PREPARED = "application/x-parquet"
EXPLAINED, DESCRIBED = "explained", "described"
"""The folders of that output with the test rows that are explained, and with the training rows as CSV."""
_THRESHOLD = 0.5
_SHAP_SAMPLES, _SHAP_SEED = 200, 0
"""Each explained row is asked so often: 300 rows are 60,000 answers, which fit in the hour that a check has."""


@dataclass(frozen=True, kw_only=True)
class NativeServices:
    """What a model's pipeline needs to know of them: their images, and the S3 URI of what Clarify is to do."""

    images: Native = field(default_factory=Native)
    endpoint_prefix: str = "check"
    analyses_uri: str | None = None


def analyses_of(model: Model, endpoint_prefix: str) -> Mapping[str, ClarifyAnalysis]:
    """What Clarify is to do, by the names of the steps.

    Values of facets are as model.yaml says them; Prepare turns text into the numbers of the model's encoders, and adds
    the baseline of explanations.
    """
    machine = model.serving.instance_type if model.serving else model.training.instance_type
    predictor = Predictor(instance_type=machine, endpoint_prefix=endpoint_prefix, probability_threshold=_THRESHOLD)
    shared: dict[str, Any] = {"label": model.data.label, "dataset_type": PREPARED}
    facets = [_facet(each) for each in model.fairness.facets]
    known: dict[str, tuple[str, dict[str, Any]]] = {
        "data_bias": ("DataBias", {"check_type": "DATA_BIAS", "facets": facets}),
        "model_bias": ("ModelBias", {"check_type": "MODEL_BIAS", "facets": facets, "predictor": predictor}),
        "explainability": (
            "Explainability",
            {
                "check_type": "MODEL_EXPLAINABILITY",
                "predictor": predictor,
                "shap_samples": _SHAP_SAMPLES,
                "shap_seed": _SHAP_SEED,
            },
        ),
    }
    chosen = [known[check] for check in model.native_checks if check in known]
    return {name: ClarifyAnalysis(**shared, **options) for name, options in chosen}


def asked_of_prepare(model: Model, endpoint_prefix: str) -> Mapping[str, Any]:
    """What Prepare makes ready: configurations by step, the columns that hold categories, rows for Model Monitor."""
    analyses = {name: each.to_json() for name, each in analyses_of(model, endpoint_prefix).items()}
    categories = {each.feature for each in model.fairness.facets if each.values}
    if model.problem == "binary_classification":
        categories.add(model.data.label)
    described = "data_quality" in model.native_checks
    return {"analyses": analyses, "categories": sorted(categories), "described": described}


def check_steps(
    model: Model,
    services: NativeServices,
    prepare: ProcessingStep,
    model_artifact: Value,
    *,
    work: Callable[[str], CheckJob],
    candidate: Callable[[str, Value], ModelStep],
    artifact: Callable[[str], Join],
) -> list[Step]:
    """The checks that a model asks for, and the model that some of them ask.

    `work` makes the job of an image, `candidate` a model of a name and an artifact; `artifact` says where output lies.
    """
    steps: list[Step] = []
    if "data_quality" in model.native_checks:
        steps.append(
            QualityCheckStep(
                name="DataQuality",
                work=work(services.images.monitor_image or ""),
                dataset=Join("/", [prepare.output(CHECKS), DESCRIBED, ""]),
                output_path=artifact("checks/DataQuality"),
            )
        )
    analyses = analyses_of(model, services.endpoint_prefix)
    asked = candidate("CheckedModel", model_artifact) if any(each.predictor for each in analyses.values()) else None
    if asked:
        steps.append(asked)
    for name, analysis in analyses.items():
        steps.append(
            ClarifyCheckStep(
                name=name,
                work=work(services.images.clarify_image or ""),
                analysis=analysis,
                analysis_uri=Join("/", [prepare.output(CHECKS), name, "analysis_config.json"]),
                dataset=Join("/", [prepare.output(CHECKS), _rows_of(analysis), ""]),
                output_path=artifact(f"checks/{name}"),
                model_name=asked.model_name if asked and analysis.predictor else None,
            )
        )
    return steps


def debugger_of(model: Model, images: Native, output_path: Value) -> NativeDebugger | None:
    """Debugger's rules with the thresholds of training.diagnostics; None for a model that has it off."""
    if model.training.debugger == "off":
        return None
    rules = model.training.diagnostics
    rarer = max(rules.class_imbalance.minimum_share, 1e-6)
    # Debugger's thresholds: the ratio of the classes, the part of a loss by which it falls, the ratio of two losses
    parameters = {
        "class_imbalance": {"threshold_imbalance": f"{(1 - rarer) / rarer:.6g}"},
        "loss_not_decreasing": {
            "collection_names": "metrics",
            "num_steps": str(rules.loss_not_decreasing.rounds),
            "diff_percent": f"{rules.loss_not_decreasing.percent:g}",
        },
        "overfitting": {"ratio_threshold": f"{rules.overfitting.percent / 100:g}"},
    }
    return NativeDebugger(
        rule_image=images.debugger_image or "",
        output_path=output_path,
        rules=[DebuggerRule(name=RULES[name], parameters=parameters[name]) for name in native_rules(rules)],
    )


def _rows_of(analysis: ClarifyAnalysis) -> str:
    """The folder of the rows that an analysis is about."""
    if analysis.check_type == "MODEL_EXPLAINABILITY":
        return EXPLAINED
    return "test" if analysis.predictor else "train"


def _facet(facet: Facet) -> BiasFacet:
    if facet.above is not None:
        return BiasFacet(column=facet.feature, threshold=facet.above)
    return BiasFacet(column=facet.feature, values=facet.values or [])
