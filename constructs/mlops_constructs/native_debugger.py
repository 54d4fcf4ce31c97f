"""SageMaker Debugger's built-in rules beside a training job, for accounts that still have Debugger.

Debugger is closed to new customers since 2026-07-30. Sources:
https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-createtrainingjob-api.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .pipeline_expressions import Value
from .pipeline_step import InvalidPipelineError

MOST_RULES = 20
"""Built-in rules that one training job may have."""
BUILT_IN = frozenset(
    {
        "AllZero",
        "ClassImbalance",
        "Confusion",
        "FeatureImportanceOverweight",
        "LossNotDecreasing",
        "Overfit",
        "Overtraining",
        "SimilarAcrossRuns",
        "TensorVariance",
        "TreeDepth",
        "UnchangedTensor",
    }
)
"""The built-in rules for XGBoost."""
COLLECTIONS = ("feature_importance", "labels", "metrics", "predictions")
"""What the hook of XGBoost writes for these rules."""


@dataclass(frozen=True, kw_only=True)
class DebuggerRule:
    """A built-in rule by its name, as LossNotDecreasing, and its parameters by theirs, all of them text."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a name that no rule for XGBoost has."""
        if self.name not in BUILT_IN:
            raise InvalidPipelineError(
                f"{self.name!r} is no built-in rule of Debugger for XGBoost; there are {', '.join(sorted(BUILT_IN))}"
            )


@dataclass(frozen=True, kw_only=True)
class NativeDebugger:
    """Rules that SageMaker evaluates beside a training job, at no cost of their own.

    They look at tensors, which the training container has to write with AWS's library `smdebug`: in a container without
    it they end without findings. Profiling is off, which ends in 2027.

    Parameters
    ----------
    rule_image
        URI of the image of the built-in rules. It lies in a registry of AWS's, another account in each region:
        https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-reference.html lists them.
    output_path
        S3 URI below which each job writes tensors, in a folder of its name. Where it is part of the step's cache key,
        as in pipelines, it must be the same in all executions.
    rules
        At most 20.
    save_rounds
        Tensors are saved every so many rounds.
    """

    rule_image: str
    output_path: Value
    rules: Sequence[DebuggerRule]
    save_rounds: int = 1

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        names = [rule.name for rule in self.rules]
        if not 1 <= len(names) <= MOST_RULES or len(set(names)) < len(names):
            raise InvalidPipelineError(f"Debugger takes 1 to {MOST_RULES} rules that differ, got {names}")
        if self.save_rounds < 1:
            raise InvalidPipelineError(f"save_rounds must be at least 1, got {self.save_rounds}")

    def members(self) -> dict[str, Any]:
        """What it adds to the input of CreateTrainingJob."""
        every = {"save_interval": str(self.save_rounds)}
        return {
            "DebugHookConfig": {
                "S3OutputPath": self.output_path,
                "CollectionConfigurations": [
                    {"CollectionName": name, "CollectionParameters": dict(every)} for name in COLLECTIONS
                ],
            },
            "DebugRuleConfigurations": [
                {
                    "RuleConfigurationName": rule.name,
                    "RuleEvaluatorImage": self.rule_image,
                    "RuleParameters": {"rule_to_invoke": rule.name, **rule.parameters},
                }
                for rule in self.rules
            ],
            "ProfilerConfig": {"DisableProfiler": True},
        }
