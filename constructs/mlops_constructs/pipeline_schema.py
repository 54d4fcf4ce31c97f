"""Checks the steps of a pipeline against the input shapes of the SageMaker API, offline, as botocore ships them.

The published JSON schema of pipeline definitions is stale and refuses valid ones; the API's own model is not.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from .pipeline_definition import PipelineDefinition
from .pipeline_expressions import Expression
from .pipeline_steps import ConditionStep, InvalidPipelineError, walk

_LONGEST_MINIMUM = 20
"""The longest minimum length among SageMaker's strings: that of ARNs."""

_OPERATIONS = {
    "Processing": ("CreateProcessingJob", {"ProcessingJobName": "x"}),
    "Training": ("CreateTrainingJob", {"TrainingJobName": "x"}),
    "Transform": ("CreateTransformJob", {"TransformJobName": "x"}),
    "Tuning": ("CreateHyperParameterTuningJob", {"HyperParameterTuningJobName": "x"}),
    "AutoML": ("CreateAutoMLJob", {"AutoMLJobName": "x"}),
    "Model": ("CreateModel", {"ModelName": "x"}),
    "RegisterModel": ("CreateModelPackage", {}),
    "QualityCheck": ("CreateProcessingJob", {"ProcessingJobName": "x"}),
    "ClarifyCheck": ("CreateProcessingJob", {"ProcessingJobName": "x"}),
}


def check(definition: PipelineDefinition) -> None:
    """Raise `InvalidPipelineError` with all findings when a step isn't what SageMaker takes."""
    findings: list[str] = [] if definition.steps else ["the definition has no steps; give it at least one"]
    for step in walk(definition.steps):
        if isinstance(step, ConditionStep) or step.type not in _OPERATIONS:
            continue
        operation, name = _OPERATIONS[step.type]
        shape = _service_model().operation_model(operation).input_shape
        assert shape is not None
        report = ParamValidator().validate(_fill(step.job(), shape) | name, shape)
        if report.has_errors():
            findings += [f"step {step.name!r}: {line}" for line in report.generate_report().splitlines()]
    if findings:
        raise InvalidPipelineError("\n".join(findings))


@cache
def _service_model() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("sagemaker", "service-2"), "sagemaker")


def _fill(value: Any, shape: Shape | None) -> Any:
    """Replace expressions by a value of the type that their place asks for."""
    if isinstance(value, Expression):
        kind = shape.type_name if shape else "string"
        return {"integer": 1, "long": 1, "float": 1.0, "double": 1.0, "boolean": True}.get(kind, "x")
    if isinstance(value, dict):
        members = getattr(shape, "members", None)
        each = getattr(shape, "value", None)
        return {key: _fill(item, members.get(key) if members else each) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, getattr(shape, "member", None)) for item in value]
    if isinstance(value, str) and "${Token[" in value:
        return value + "x" * _LONGEST_MINIMUM  # what deployment puts there is long enough
    return value
