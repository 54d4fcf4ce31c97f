"""A step that tunes hyperparameters: many training jobs, of which the best one's model goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .job_steps import TrainingStep
from .pipeline_expressions import Get, Join
from .pipeline_step import InvalidPipelineError, as_text

Scaling: TypeAlias = Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]

MOST_RANGES = 30
"""As many hyperparameters SageMaker searches at most in one tuning job."""
# members of a training job that a tuning job's definition of its training jobs doesn't have, or calls otherwise
_RENAMED = {"HyperParameters": "StaticHyperParameters"}
_SHARED = frozenset(
    {
        "AlgorithmSpecification", "CheckpointConfig", "EnableInterContainerTrafficEncryption",
        "EnableManagedSpotTraining", "EnableNetworkIsolation", "Environment", "InputDataConfig", "OutputDataConfig",
        "ResourceConfig", "RetryStrategy", "RoleArn", "StoppingCondition", "VpcConfig",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class IntegerRange:
    """Whole numbers from `minimum` to `maximum`, both included. Logarithmic scaling wants a minimum of 1 or more."""

    minimum: int
    maximum: int
    scaling: Scaling = "Auto"

    def __post_init__(self) -> None:
        """Refuse ranges that SageMaker refuses."""
        _check_bounds(self.minimum, self.maximum)
        if self.scaling == "Logarithmic" and self.minimum < 1:
            raise InvalidPipelineError(f"a logarithmic range must start at 1 or above, got {self.minimum}")
        if self.scaling == "ReverseLogarithmic":
            raise InvalidPipelineError("ReverseLogarithmic is a scale of continuous ranges, not of whole numbers")


@dataclass(frozen=True, kw_only=True)
class ContinuousRange:
    """Numbers from `minimum` to `maximum`.

    Logarithmic scaling wants a minimum above 0; ReverseLogarithmic, for values near 1, a range from 0 to below 1.
    """

    minimum: float
    maximum: float
    scaling: Scaling = "Auto"

    def __post_init__(self) -> None:
        """Refuse ranges that SageMaker refuses."""
        _check_bounds(self.minimum, self.maximum)
        if self.scaling == "Logarithmic" and self.minimum <= 0:
            raise InvalidPipelineError(f"a logarithmic range must start above 0, got {self.minimum}")
        if self.scaling == "ReverseLogarithmic" and not (self.minimum >= 0 and self.maximum < 1):
            raise InvalidPipelineError(
                f"a reverse logarithmic range must lie from 0 to below 1, got {self.minimum} to {self.maximum}"
            )


@dataclass(frozen=True)
class CategoricalRange:
    """Some values, of which none is nearer to one than to another."""

    values: Sequence[str | int | float | bool]

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to choose."""
        if not self.values or len({as_text(value) for value in self.values}) != len(self.values):
            raise InvalidPipelineError(f"a categorical range needs values that differ, got {list(self.values)}")


Range: TypeAlias = IntegerRange | ContinuousRange | CategoricalRange


@dataclass(frozen=True, kw_only=True)
class TuningObjective:
    """What is tuned for: a number that training jobs print.

    `regex` has one group, the number; of several in a job's log the last one counts, and early stopping compares
    training jobs by their first, second, third ... ones.
    """

    metric: str
    regex: str
    goal: Literal["Maximize", "Minimize"]


@dataclass(frozen=True, kw_only=True)
class TuningStep:
    """Training jobs as `training` describes them, each with hyperparameters out of `ranges`.

    Parameters
    ----------
    training
        The training job; it is no step of the definition. Its hyperparameters are the same in all jobs, but for those
        that have a range.
    ranges
        By hyperparameter.
    objective
        What is tuned for.
    trials
        Training jobs in all. A Grid has none: it takes every combination, of categorical ranges only.
    parallel
        Training jobs at a time. Fewer learn more from those before them.
    strategy
        Bayesian learns from the jobs before, Random doesn't.
    early_stopping
        Stops jobs that do worse than the median of those before.
    seed
        Makes the same strategy suggest the same values; any when left out.
    """

    type = "Tuning"
    name: str
    training: TrainingStep
    ranges: Mapping[str, Range]
    objective: TuningObjective
    trials: int | None = None
    parallel: int = 1
    strategy: Literal["Bayesian", "Random", "Grid"] = "Bayesian"
    early_stopping: bool = True
    seed: int | None = None
    depends_on: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse what SageMaker would refuse, or leave undone."""
        place = f"step {self.name!r}"
        if not 1 <= len(self.ranges) <= MOST_RANGES:
            raise InvalidPipelineError(f"{place}: needs 1 to {MOST_RANGES} ranges, got {len(self.ranges)}")
        if self.strategy == "Grid":
            if self.trials is not None:
                raise InvalidPipelineError(f"{place}: a Grid has as many trials as combinations; leave trials out")
            for name, values in self.ranges.items():
                if not isinstance(values, CategoricalRange):
                    raise InvalidPipelineError(f"{place}: a Grid needs categorical ranges, {name!r} is none")
        elif self.trials is None or self.trials < 1:
            raise InvalidPipelineError(f"{place}: trials must be at least 1, got {self.trials}")
        if self.parallel < 1 or (self.trials is not None and self.parallel > self.trials):
            raise InvalidPipelineError(f"{place}: parallel must be 1 to trials ({self.trials}), got {self.parallel}")

    @property
    def model_artifact(self) -> Join:
        """The S3 URI of the model.tar.gz that the best training job writes."""
        return self._artifact(f"Steps.{self.name}.BestTrainingJob.TrainingJobName")

    def top_model_artifact(self, rank: int) -> Join:
        """The S3 URI of the model.tar.gz of a training job by its rank, 0 for the best."""
        return self._artifact(f"Steps.{self.name}.TrainingJobSummaries[{rank}].TrainingJobName")

    def job(self) -> dict[str, Any]:
        """The input of CreateHyperParameterTuningJob, less the job's name."""
        limits: dict[str, Any] = {"MaxParallelTrainingJobs": self.parallel}
        if self.trials is not None:
            limits["MaxNumberOfTrainingJobs"] = self.trials
        config: dict[str, Any] = {
            "Strategy": self.strategy,
            "HyperParameterTuningJobObjective": {"Type": self.objective.goal, "MetricName": self.objective.metric},
            "ResourceLimits": limits,
            "ParameterRanges": _ranges(self.ranges),
            "TrainingJobEarlyStoppingType": "Auto" if self.early_stopping else "Off",
        }
        if self.seed is not None:
            config["RandomSeed"] = self.seed
        return {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": self._training_jobs()}

    def extras(self) -> dict[str, Any]:
        """What the training job's step says beside its job, as its cache and its retries."""
        return self.training.extras()

    def _artifact(self, job_name: str) -> Join:
        # as the tuning job says it: one taken from the cache has written below an earlier execution's path
        path = Get(f"Steps.{self.name}.TrainingJobDefinition.OutputDataConfig.S3OutputPath")
        return Join("/", [path, Get(job_name), "output/model.tar.gz"])

    def _training_jobs(self) -> dict[str, Any]:
        definition: dict[str, Any] = {}
        for member, value in self.training.job().items():
            if member not in _SHARED | _RENAMED.keys():
                raise InvalidPipelineError(f"step {self.name!r}: tuned training jobs can't have {member}")
            definition[_RENAMED.get(member, member)] = value
        static = definition.get("StaticHyperParameters", {})
        definition["StaticHyperParameters"] = {name: static[name] for name in static if name not in self.ranges}
        algorithm = dict(definition["AlgorithmSpecification"])
        own = {"Name": self.objective.metric, "Regex": self.objective.regex}
        others = [each for each in algorithm.get("MetricDefinitions", []) if each["Name"] != self.objective.metric]
        algorithm["MetricDefinitions"] = [own, *others]
        return definition | {"AlgorithmSpecification": algorithm}


def _check_bounds(minimum: float, maximum: float) -> None:
    if not minimum < maximum:
        raise InvalidPipelineError(f"a range must go up: its minimum is {minimum}, its maximum {maximum}")


def _ranges(ranges: Mapping[str, Range]) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {}
    for name, each in ranges.items():
        if isinstance(each, CategoricalRange):
            values = [as_text(value) for value in each.values]
            found.setdefault("CategoricalParameterRanges", []).append({"Name": name, "Values": values})
            continue
        kind = "IntegerParameterRanges" if isinstance(each, IntegerRange) else "ContinuousParameterRanges"
        bounds = {"MinValue": as_text(each.minimum), "MaxValue": as_text(each.maximum), "ScalingType": each.scaling}
        found.setdefault(kind, []).append({"Name": name, **bounds})
    return found
