"""Step caching: a step with CacheConfig whose inputs are those of an earlier success isn't run again."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from local_aws.sagemaker.pipeline_definition import Step
from local_aws.sagemaker.pipeline_expressions import ExpressionError, Scope
from local_aws.sagemaker.pipeline_steps import StepResult
from local_aws.sagemaker.workspace import now, plain

# what SageMaker compares; outputs and sizes are not among it
KEY_MEMBERS = {
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
}
_DURATION = re.compile(r"P?(?:(\d+)D)?(?:T?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE)


@dataclass(frozen=True)
class CacheHit:
    """An earlier result, the execution that it comes from, and when."""

    result: StepResult
    source: str
    made: datetime


class StepCache:
    """Results of successful steps by pipeline, step and resolved inputs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hits: dict[str, CacheHit] = {}

    def find(self, pipeline: str, step: Step, scope: Scope) -> CacheHit | None:
        """Return the newest result of a step with the same inputs, unless it is older than ExpireAfter."""
        config = step.raw.get("CacheConfig") or {}
        if not config.get("Enabled") or step.type not in KEY_MEMBERS:
            return None
        with self._lock:
            hit = self._hits.get(_key(pipeline, step, scope))
        expire_after = config.get("ExpireAfter")
        if hit is not None and expire_after and now() - hit.made > duration(expire_after):
            return None
        return hit

    def keep(self, pipeline: str, step: Step, scope: Scope, result: StepResult, source: str) -> None:
        """Remember a result; steps without CacheConfig are remembered as well, as SageMaker does."""
        if step.type in KEY_MEMBERS:
            with self._lock:
                self._hits[_key(pipeline, step, scope)] = CacheHit(result, source, now())


def duration(text: str) -> timedelta:
    """Read `P30D`, `T12H`, `30d` and the like."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise ExpressionError(f"CacheConfig.ExpireAfter {text!r} is no duration such as P30D or T12H")
    days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _key(pipeline: str, step: Step, scope: Scope) -> str:
    inputs = {name: scope.resolve(step.arguments[name]) for name in KEY_MEMBERS[step.type] if name in step.arguments}
    return json.dumps([pipeline, step.name, step.type, plain(inputs)], sort_keys=True)
