"""What a step asks for beside its job: to be skipped when nothing has changed, and to be tried again.

Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-retry-policy.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .pipeline_step import InvalidPipelineError

Fault: TypeAlias = Literal[
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
]

MOST_ATTEMPTS = 20
LONGEST_MINUTES = 14400


@dataclass(frozen=True, kw_only=True)
class Caching:
    """Takes the result of an earlier successful run of the step with the same inputs, at most `days` old.

    SageMaker compares a Processing step's image, command, arguments, environment and inputs, and a Training step's
    image, hyperparameters, environment, channels and checkpoint folder: by their URIs and not by what lies there.
    So a step may be cached when each URI that it reads always holds the same data, and never when it asks a service.
    """

    days: int

    def __post_init__(self) -> None:
        """Refuse a cache that never hits."""
        if self.days < 1:
            raise InvalidPipelineError(f"caching.days must be at least 1, got {self.days}")

    def to_json(self) -> dict[str, Any]:
        """SageMaker's `CacheConfig`."""
        return {"Enabled": True, "ExpireAfter": f"P{self.days}D"}


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Tries a step again after some faults: `attempts` times in all, or until `minutes` have passed.

    The first pause is `interval_seconds` long, each further one `backoff` times as long as the one before.
    """

    faults: Sequence[Fault]
    interval_seconds: int = 5
    backoff: float = 2.0
    attempts: int | None = None
    minutes: int | None = None

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses."""
        if not self.faults or len(set(self.faults)) != len(self.faults):
            raise InvalidPipelineError(f"a retry policy needs faults that differ, got {list(self.faults)}")
        if (self.attempts is None) == (self.minutes is None):
            raise InvalidPipelineError("a retry policy needs attempts or minutes, and not both")
        if self.attempts is not None and not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise InvalidPipelineError(f"attempts must be 1 to {MOST_ATTEMPTS}, got {self.attempts}")
        if self.minutes is not None and not 1 <= self.minutes <= LONGEST_MINUTES:
            raise InvalidPipelineError(f"minutes must be 1 to {LONGEST_MINUTES}, got {self.minutes}")
        if self.interval_seconds < 1 or self.backoff < 1:
            raise InvalidPipelineError(
                f"interval_seconds and backoff must be at least 1, got {self.interval_seconds} and {self.backoff}"
            )

    def to_json(self) -> dict[str, Any]:
        """The policy as a step lists it."""
        end = {"MaxAttempts": self.attempts} if self.attempts else {"ExpireAfterMin": self.minutes}
        return {
            "ExceptionType": list(self.faults),
            "IntervalSeconds": self.interval_seconds,
            "BackoffRate": self.backoff,
            **end,
        }


REQUEST_RETRIES = (RetryPolicy(faults=["Step.SERVICE_FAULT", "Step.THROTTLING"], interval_seconds=5, attempts=6),)
"""For every request: six attempts within three minutes, as throttling passes within seconds."""

JOB_RETRIES = (
    *REQUEST_RETRIES,
    RetryPolicy(faults=["SageMaker.JOB_INTERNAL_ERROR"], interval_seconds=30, attempts=3),
    RetryPolicy(faults=["SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"], interval_seconds=60, minutes=180),
)
"""For jobs: also a fault inside of SageMaker, three attempts, and machines that aren't free or are more than an account
may have at a time, for three hours: other jobs end in the meantime. A job that fails by itself is not tried again."""


def policies_json(caching: Caching | None, retries: Sequence[RetryPolicy]) -> dict[str, Any]:
    """`CacheConfig` and `RetryPolicies`, as far as there are any; each fault may be in one policy only."""
    faults = [fault for policy in retries for fault in policy.faults]
    for fault in faults:
        if faults.count(fault) > 1:
            raise InvalidPipelineError(f"{fault} is in more than one retry policy; leave it in one")
    policies: dict[str, Any] = {"CacheConfig": caching.to_json()} if caching else {}
    if retries:
        policies["RetryPolicies"] = [policy.to_json() for policy in retries]
    return policies
