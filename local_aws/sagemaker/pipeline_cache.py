"""Step caching: a step with CacheConfig whose inputs are those of an earlier success isn't run again."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from local_aws.clock import Clock
from local_aws.sagemaker.pipeline_steps import RunningStep, StepResult
from local_aws.sagemaker.workspace import plain

# what SageMaker compares; outputs and sizes are not among it. Source: "Default cache key attributes by pipeline step
# type", https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html
_TUNED = ("AlgorithmSpecification", "HyperParameterRanges", "InputDataConfig", "StaticHyperParameters")
KEY_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
    "Tuning": ("HyperParameterTuningJobConfig", *(f"TrainingJobDefinition.{each}" for each in _TUNED)),
}


@dataclass(frozen=True)
class CacheHit:
    """An earlier result, the execution that it comes from, and when."""

    result: StepResult
    source: str
    made: datetime


class StepCache:
    """Results of successful steps by pipeline, step and resolved inputs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._hits: dict[str, dict[str, CacheHit]] = {}

    def find(self, pipeline: str, running: RunningStep) -> CacheHit | None:
        """Return the newest result of a step with the same inputs, unless it is older than ExpireAfter."""
        step = running.step
        if not step.cache.enabled or step.type not in KEY_MEMBERS:
            return None
        key = _key(running)
        with self._lock:
            hit = self._hits.get(pipeline, {}).get(key)
        limit = step.cache.expire_after
        return None if hit is not None and limit is not None and self._clock.now() - hit.made > limit else hit

    def keep(self, pipeline: str, running: RunningStep, result: StepResult, source: str) -> None:
        """Remember a result; steps without CacheConfig are remembered as well, as SageMaker does."""
        if running.step.type in KEY_MEMBERS:
            key = _key(running)
            with self._lock:
                self._hits.setdefault(pipeline, {})[key] = CacheHit(result, source, self._clock.now())

    def forget(self, pipeline: str) -> None:
        """Drop the results of a deleted pipeline."""
        with self._lock:
            self._hits.pop(pipeline, None)


def _key(running: RunningStep) -> str:
    step, inputs = running.step, {}
    for path in KEY_MEMBERS[step.type]:
        value = running.arguments
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            inputs[path] = value
    return json.dumps([step.name, step.type, plain(inputs)], sort_keys=True)
