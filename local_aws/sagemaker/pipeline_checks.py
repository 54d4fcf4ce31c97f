"""What a pipeline definition may hold. What the local AWS doesn't act on is refused here, never ignored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from local_aws.json_api import service_model
from local_aws.sagemaker.checks.steps import (
    CHECK_MEMBERS,
    CHECKED,
    DEBUGGER_REFUSED,
    asks_debugger,
    check_problems,
    check_property_problem,
)
from local_aws.sagemaker.pipeline_expressions import COMPARISONS, EXPRESSIONS, accessors, is_expression

CREATE_OPERATIONS = {
    "Processing": "CreateProcessingJob",
    "Training": "CreateTrainingJob",
    "Tuning": "CreateHyperParameterTuningJob",
    "AutoML": "CreateAutoMLJob",
    "Transform": "CreateTransformJob",
    "RegisterModel": "CreateModelPackage",
    "Model": "CreateModel",
    "QualityCheck": "CreateProcessingJob",
    "ClarifyCheck": "CreateProcessingJob",
}
EXECUTION_PROPERTIES = frozenset(
    {
        "StartDateTime", "CurrentDateTime", "PipelineName", "PipelineArn", "PipelineExecutionId",
        "PipelineExecutionArn",
    }
)  # fmt: skip
EXPERIMENT_PROPERTIES = frozenset({"ExperimentName", "TrialName"})

_DESCRIBE_OPERATIONS = {kind: name.replace("Create", "Describe", 1) for kind, name in CREATE_OPERATIONS.items()}
_DEFINITION_KEYS = frozenset({"Version", "Metadata", "Parameters", "PipelineExperimentConfig", "Steps"})
_COMMON_KEYS = frozenset({"Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description"})
_STEP_KEYS = {
    "Processing": _COMMON_KEYS | {"CacheConfig", "PropertyFiles", "RetryPolicies"},
    "Training": _COMMON_KEYS | {"CacheConfig", "RetryPolicies"},
    "Tuning": _COMMON_KEYS | {"CacheConfig", "RetryPolicies"},
    "AutoML": _COMMON_KEYS | {"CacheConfig", "RetryPolicies"},
    "Transform": _COMMON_KEYS | {"CacheConfig", "RetryPolicies"},
    "RegisterModel": _COMMON_KEYS | {"RetryPolicies"},
    "Model": _COMMON_KEYS | {"RetryPolicies"},
    **dict.fromkeys(CHECKED, _COMMON_KEYS | CHECK_MEMBERS),
    "Condition": _COMMON_KEYS,
    "Fail": _COMMON_KEYS,
}
# what a pipeline gives a request by itself
_GIVEN = frozenset(
    {
        "ProcessingJobName", "TrainingJobName", "HyperParameterTuningJobName", "AutoMLJobName", "ModelName",
        "TransformJobName", "RoleArn", "ExecutionRoleArn",
    }
)  # fmt: skip
# properties of a step that another operation than Describe answers
_LISTED = {("Tuning", "TrainingJobSummaries"): "ListTrainingJobsForHyperParameterTuningJob"}


def definition_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong at the top level."""
    for key in sorted(key for key in set(raw) - _DEFINITION_KEYS if raw[key] is not None):
        yield f"the local AWS doesn't act on its key {key!r}"
    if not isinstance(raw.get("PipelineExperimentConfig") or {}, Mapping):
        yield "PipelineExperimentConfig must be an object"
    for key in ("Parameters", "Steps"):
        items = raw.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            yield f"{key} must be a list of objects"


def step_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with a step of a known type; its references are checked with the whole definition."""
    kind, arguments = raw["Type"], raw["Arguments"]
    for key in sorted(set(raw) - _STEP_KEYS[kind]):
        yield f"the local AWS doesn't act on the key {key!r} of a {kind} step"
    depends_on = raw.get("DependsOn") or []
    if not isinstance(depends_on, list) or not all(isinstance(item, str) for item in depends_on):
        yield "DependsOn must be a list of step names"
    yield from _property_file_problems(raw)
    if kind in CHECKED:
        yield from check_problems(raw)
    if kind == "Training" and asks_debugger(arguments):
        yield DEBUGGER_REFUSED
    yield from _expression_problems(arguments)
    if kind in CREATE_OPERATIONS:
        shape = service_model("sagemaker").operation_model(CREATE_OPERATIONS[kind]).input_shape
        yield from _argument_problems(shape, arguments, "Arguments")
    elif kind == "Condition":
        yield from _unknown_keys(arguments, {"Conditions", "IfSteps", "ElseSteps"})
        for condition in arguments.get("Conditions") or [None]:
            yield from _condition_problems(condition)
    else:
        yield from _unknown_keys(arguments, {"ErrorMessage"})


def property_problem(kind: str, members: str) -> str | None:
    """Say what is wrong with `Steps.<name>.<members>` of a step of this type, as far as its API tells."""
    if kind in CHECKED:
        return check_property_problem(kind, members)
    if kind not in _DESCRIBE_OPERATIONS:
        outcome = kind == "Condition" and members == "Outcome"
        return None if outcome else f"a {kind} step has no property {members!r}"
    operation = _LISTED.get((kind, re.split(r"[.\[]", members)[0]), _DESCRIBE_OPERATIONS[kind])
    shape: Shape | None = service_model("sagemaker").operation_model(operation).output_shape
    for accessor in accessors(members):
        if isinstance(shape, StructureShape) and accessor in shape.members:
            shape = shape.members[str(accessor)]
        elif isinstance(shape, ListShape):
            shape = shape.member
        elif isinstance(shape, MapShape):
            shape = shape.value
        else:
            return f"a {kind} step has no property {members!r}: {accessor!r} isn't there"
    return None


def _property_file_problems(raw: Mapping[str, Any]) -> Iterator[str]:
    config = raw["Arguments"].get("ProcessingOutputConfig")
    outputs = config.get("Outputs") if isinstance(config, Mapping) else None
    declared = {item.get("OutputName") for item in outputs or [] if isinstance(item, Mapping)}
    for item in raw.get("PropertyFiles") or []:
        missing = {"PropertyFileName", "OutputName", "FilePath"} - set(item)
        if missing:
            yield f"a property file has no {', '.join(sorted(missing))}"
        elif item["OutputName"] not in declared:
            name, output = item["PropertyFileName"], item["OutputName"]
            yield f"the property file {name!r} is in the output {output!r}, which isn't declared"


def _unknown_keys(arguments: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    for key in sorted(set(arguments) - known):
        yield f"Arguments.{key} isn't known"


def _expression_problems(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _expression_problems(item)
    elif isinstance(value, Mapping):
        for key, content in value.items():
            if key in ("IfSteps", "ElseSteps"):
                continue
            if key.startswith("Std:") and key not in EXPRESSIONS:
                yield f"the local AWS doesn't have the function {key}"
            elif key == "Std:Join" and not (
                isinstance(content, Mapping)
                and set(content) == {"On", "Values"}
                and isinstance(content["Values"], list)
            ):
                yield "Std:Join needs On and a list of Values"
            elif key == "Std:JsonGet" and not (
                isinstance(content, Mapping)
                and (set(content) == {"S3Uri", "Path"} or set(content) == {"PropertyFile", "Path"})
                and is_expression(content.get("PropertyFile", {"Get": ""}))
            ):
                yield "Std:JsonGet needs a Path, and a PropertyFile or an S3Uri"
            yield from _expression_problems(content)


def _condition_problems(condition: Any) -> Iterator[str]:
    kind = condition.get("Type") if isinstance(condition, Mapping) else None
    if kind == "Not":
        yield from _condition_problems(condition.get("Condition"))
    elif kind == "Or":
        for item in condition.get("Conditions") or [None]:
            yield from _condition_problems(item)
    elif kind == "In":
        if set(condition) != {"Type", "QueryValue", "Values"} or not isinstance(condition["Values"], list):
            yield "a condition In needs a QueryValue and a list of Values"
    elif kind in COMPARISONS:
        if set(condition) != {"Type", "LeftValue", "RightValue"}:
            yield f"a condition {kind} needs a LeftValue and a RightValue"
    else:
        yield f"conditions of the type {kind!r} aren't known" if kind else "it has no valid Conditions"


def _argument_problems(shape: Shape | None, value: Any, path: str) -> Iterator[str]:
    """Compare arguments with the request of the API, passing over expressions."""
    if is_expression(value):
        return
    if isinstance(shape, StructureShape):
        if not isinstance(value, Mapping):
            yield f"{path} must be an object"
            return
        for name in sorted(set(value) - set(shape.members)):
            yield f"{path}.{name} isn't known"
        for name in sorted(set(shape.required_members) - set(value) - _GIVEN):
            yield f"{path}.{name} is missing"
        for name in value.keys() & shape.members.keys():
            yield from _argument_problems(shape.members[name], value[name], f"{path}.{name}")
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            yield f"{path} must be a list"
            return
        for index, item in enumerate(value):
            yield from _argument_problems(shape.member, item, f"{path}[{index}]")
    elif isinstance(shape, MapShape):
        if not isinstance(value, Mapping):
            yield f"{path} must be an object"
            return
        for name, item in value.items():
            yield from _argument_problems(shape.value, item, f"{path}.{name}")
    elif isinstance(value, Mapping | list):
        yield f"{path} must be a single value"
    elif (
        isinstance(value, str) and shape is not None and value not in (allowed := shape.metadata.get("enum") or [value])
    ):
        yield f"{path} must be one of {', '.join(allowed)}, not {value!r}"
