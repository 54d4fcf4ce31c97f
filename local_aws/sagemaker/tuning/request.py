"""What a request for a tuning job may ask of the local AWS."""

from __future__ import annotations

import re

from local_aws.sagemaker.tuning.search import refused
from local_aws.sagemaker.tuning.trial import SHARED
from local_aws.sagemaker.workspace import Record

_CONFIG = frozenset(
    {
        "Strategy", "HyperParameterTuningJobObjective", "ResourceLimits", "ParameterRanges",
        "TrainingJobEarlyStoppingType", "RandomSeed",
    }
)  # fmt: skip
_REQUEST = frozenset(
    {
        "HyperParameterTuningJobName", "HyperParameterTuningJobConfig", "TrainingJobDefinition", "WarmStartConfig",
        "Tags",
    }
)  # fmt: skip
_DEFINITION = frozenset({*SHARED, "StaticHyperParameters"})
_LIMITS = frozenset({"MaxNumberOfTrainingJobs", "MaxParallelTrainingJobs"})


def check_request(request: Record) -> None:
    """Refuse what the local AWS doesn't act on, and an objective that no job could print."""
    if "TrainingJobDefinition" not in request:
        raise refused("the local AWS tunes one TrainingJobDefinition; give it that")
    config, definition = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    if "HyperParameterTuningJobObjective" not in config:
        raise refused("HyperParameterTuningJobConfig has no HyperParameterTuningJobObjective: name what to tune for")
    for place, given, known in (
        ("the request", request, _REQUEST),
        ("HyperParameterTuningJobConfig", config, _CONFIG),
        ("ResourceLimits", config["ResourceLimits"], _LIMITS),
        ("TrainingJobDefinition", definition, _DEFINITION),
    ):
        unknown = sorted(member for member in given if member not in known)
        if unknown:
            raise refused(f"the local AWS doesn't act on {', '.join(unknown)} of {place}: leave it out")
    if "ResourceConfig" not in definition:
        raise refused("TrainingJobDefinition has no ResourceConfig: name the machine of the training jobs")
    objective = config["HyperParameterTuningJobObjective"]["MetricName"]
    metrics = {
        each["Name"]: each["Regex"] for each in definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    }
    if objective not in metrics:
        named = ", ".join(sorted(metrics)) or "none"
        raise refused(f"the objective {objective!r} is none of the MetricDefinitions: {named}")
    try:
        groups = re.compile(metrics[objective]).groups
    except re.error as error:
        raise refused(f"the Regex of metric {objective!r}: {error}") from error
    if not groups:
        raise refused(f"the Regex of metric {objective!r} needs a group for the number: {metrics[objective]!r}")
