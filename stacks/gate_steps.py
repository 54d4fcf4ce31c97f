"""The end of a training pipeline: what passes the gate is registered, what doesn't ends the execution with the reason.

The job Evaluate decides, since it has all the figures; the pipeline reads its verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops_constructs.pipeline_definition import Parameter
from mlops_constructs.pipeline_expressions import Join, Value
from mlops_constructs.pipeline_steps import (
    Comparison,
    ConditionStep,
    FailStep,
    ProcessingStep,
    PropertyFile,
    RegisterModelStep,
)
from mlops_constructs.registration_step import LifeCycle, ModelReports

from .model_settings import Model

REPORT = "EvaluationReport"
CARD = "ModelCard"
OUTPUT = "evaluation"
BASELINE = "baseline"
"""The output of Prepare with the statistics of the training rows and the constraints that they suggest."""
REGISTERED = LifeCycle(stage="Development", status="PendingApproval")
"""What versions begin with. Who approves or promotes one moves it on, with the stages that the company has."""


def bound_parameter(model: Model) -> Parameter:
    """The parameter with which an execution can move the bound of the gate."""
    gate = model.gate
    if gate.maximum is not None:
        return Parameter(name="MaximumError", type="Float", default=gate.maximum)
    return Parameter(name="MinimumQuality", type="Float", default=gate.minimum)


def report_file() -> PropertyFile:
    """The report among the outputs of Evaluate, with the verdict."""
    return PropertyFile(name=REPORT, output=OUTPUT, path="evaluation.json")


def card_file() -> PropertyFile:
    """The model card among the outputs of Evaluate."""
    return PropertyFile(name=CARD, output=OUTPUT, path="model_card.json")


def evaluate_arguments(model: Model, bound: Parameter, group_name: str) -> list[Value]:
    """What Evaluate is told: the gate's metric and bound, where the champion is found, and which groups to compare."""
    gate = model.gate
    limit = "--minimum" if gate.maximum is None else "--maximum"
    arguments: list[Value] = ["--metric", gate.metric, limit, Join("", [bound.value])]
    if gate.champion is not None:
        arguments += ["--champions", group_name, "--margin", f"{gate.champion.margin:g}"]
    for facet in model.fairness.facets:
        arguments += ["--facet", facet.argument()]
    return arguments


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What a version is registered with beside what Evaluate reports: S3 URIs and metadata that lineage starts from.

    `baseline` is the folder with the statistics of the training rows, `content_types` are what its container takes and
    answers; `explained` says that Evaluate reports attributions.
    """

    group_name: str
    image_uri: Value
    model_artifact: Value
    environment: Mapping[str, Value]
    metadata: Mapping[str, Value]
    baseline: Value
    content_types: Sequence[str] = ("text/csv", "application/json")
    explained: bool = True


def gate_step(model: Model, evaluate: ProcessingStep, registration: Registration) -> ConditionStep:
    """Register the model when Evaluate's verdict says so, or fail with its reason."""
    serving = model.serving
    register = RegisterModelStep(
        name="Register",
        group_name=registration.group_name,
        image_uri=registration.image_uri,
        model_artifact=registration.model_artifact,
        environment=registration.environment,
        content_types=registration.content_types,
        response_types=registration.content_types,
        instance_types=[serving.instance_type] if serving else [],
        reports=ModelReports(
            quality=_report(evaluate, "evaluation.json"),
            constraints=_report(evaluate, "constraints.json"),
            data=Join("/", [registration.baseline, "statistics.json"]),
            data_constraints=Join("/", [registration.baseline, "constraints.json"]),
            bias=_report(evaluate, "bias.json") if model.fairness.facets else None,
            explainability=_report(evaluate, "explainability.json") if registration.explained else None,
        ),
        card=evaluate.read(CARD, "content"),
        life_cycle=REGISTERED,
        metadata={**registration.metadata, "Gate": evaluate.read(REPORT, "gate.summary")},
    )
    return ConditionStep(
        name="Gate",
        conditions=[Comparison(operator="Equals", left=evaluate.read(REPORT, "gate.passed"), right=True)],
        then=[register],
        otherwise=[FailStep(name="Rejected", message=evaluate.read(REPORT, "gate.reason"))],
    )


def _report(evaluate: ProcessingStep, file: str) -> Join:
    return Join("/", [evaluate.output(OUTPUT), file])
