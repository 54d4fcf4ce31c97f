"""What an AutoML job is asked for, however it is asked: by CreateAutoMLJob or CreateAutoMLJobV2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.automl.container import BINARY, LEARNERS, METRICS, REGRESSION
from local_aws.sagemaker.workspace import Record

CANDIDATES, SECONDS = 20, 3600
VALIDATION_FRACTION = 0.2
_CLASSIFIES = ("AUC", "Accuracy", "F1")
_V2_CONFIG = frozenset(
    {
        "CandidateGenerationConfig", "CompletionCriteria", "FeatureSpecificationS3Uri", "Mode", "ProblemType",
        "TargetAttributeName",
    }
)  # fmt: skip
_COMMON = frozenset({"AutoMLJobName", "OutputDataConfig", "AutoMLJobObjective", "RoleArn", "Tags"})
_V1 = _COMMON | {"InputDataConfig", "ProblemType", "AutoMLJobConfig"}
_V2 = _COMMON | {"AutoMLJobInputDataConfig", "AutoMLProblemTypeConfig", "DataSplitConfig", "SecurityConfig"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A tabular search: where its rows are, what it predicts, and within which limits."""

    channels: Mapping[str, Record]
    target: str
    problem: str | None
    objective: str | None
    candidates: int
    seconds: int
    seconds_per_candidate: int | None
    features_uri: str | None
    algorithms: tuple[str, ...]
    validation_fraction: float

    def to_json(self, features: list[str]) -> dict[str, Any]:
        """What the container is told."""
        return {
            "target": self.target,
            "problem": self.problem,
            "objective": self.objective,
            "candidates": self.candidates,
            "seconds": self.seconds,
            "seconds_per_candidate": self.seconds_per_candidate,
            "features": features,
            "algorithms": list(self.algorithms),
            "validation_fraction": self.validation_fraction,
        }


def plan_of(request: Record) -> Plan:
    """Read either request; ApiError says what the local AWS doesn't search."""
    version_2 = "AutoMLJobInputDataConfig" in request
    _known(request, _V2 if version_2 else _V1, "the request")
    inputs = request["AutoMLJobInputDataConfig" if version_2 else "InputDataConfig"]
    if version_2:
        problem_config = request["AutoMLProblemTypeConfig"]
        _known(problem_config, frozenset({"TabularJobConfig"}), "AutoMLProblemTypeConfig")
        config = problem_config.get("TabularJobConfig")
        if config is None:
            raise refused("AutoMLProblemTypeConfig needs a TabularJobConfig: the local AWS searches tables")
        _known(config, _V2_CONFIG, "TabularJobConfig")
        target, problem = config["TargetAttributeName"], config.get("ProblemType")
        features, generation = config.get("FeatureSpecificationS3Uri"), config.get("CandidateGenerationConfig", {})
        split = request.get("DataSplitConfig", {})
    else:
        config = request.get("AutoMLJobConfig", {})
        targets = {each["TargetAttributeName"] for each in inputs}
        if len(targets) != 1:
            raise refused(f"the channels must have the same target, got {sorted(targets)}")
        (target,), problem = targets, request.get("ProblemType")
        generation = config.get("CandidateGenerationConfig", {})
        features, split = generation.get("FeatureSpecificationS3Uri"), config.get("DataSplitConfig", {})
    criteria = config.get("CompletionCriteria", {})
    objective = request.get("AutoMLJobObjective", {}).get("MetricName")
    _check(problem, objective)
    channels = {each.get("ChannelType", "training"): each for each in inputs}
    if len(channels) != len(inputs) or "training" not in channels:
        raise refused("the input needs one channel of the type training, and at most one of the type validation")
    return Plan(
        channels=channels,
        target=target,
        problem=problem,
        objective=objective,
        candidates=criteria.get("MaxCandidates", CANDIDATES),
        seconds=criteria.get("MaxAutoMLJobRuntimeInSeconds", SECONDS),
        seconds_per_candidate=criteria.get("MaxRuntimePerTrainingJobInSeconds"),
        features_uri=features,
        algorithms=_algorithms(generation),
        validation_fraction=split.get("ValidationFraction", VALIDATION_FRACTION),
    )


def refused(problem: str) -> ApiError:
    """Return the error of an AutoML job that can't be run."""
    return ApiError("ValidationException", problem)


def _known(given: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise refused(f"the local AWS doesn't act on {', '.join(unknown)} of {place}: leave it out")


def _check(problem: str | None, objective: str | None) -> None:
    if problem not in (None, BINARY, REGRESSION):
        raise refused(f"the local AWS searches for {BINARY} and {REGRESSION}, not for {problem}")
    if objective is not None and objective not in METRICS:
        raise refused(f"the local AWS has the objectives {', '.join(METRICS)}, not {objective}")
    if objective is not None and problem is None:
        raise refused("AutoMLJobObjective needs a ProblemType")
    if objective is not None and (objective in _CLASSIFIES) != (problem == BINARY):
        raise refused(f"{objective} is no objective of {problem}")


def _algorithms(generation: Mapping[str, Any]) -> tuple[str, ...]:
    """The algorithms that are asked for and that there are locally; none when all may be tried."""
    asked = [name for each in generation.get("AlgorithmsConfig", []) for name in each["AutoMLAlgorithms"]]
    found = tuple(name for name in asked if name in LEARNERS)
    if asked and not found:
        raise refused(f"of the algorithms the local AWS has {', '.join(LEARNERS)}, none of {', '.join(asked)}")
    return found
