"""What a step asks for beside its arguments: caching and retries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

# capacity, quotas and throttling don't run out on one machine: policies for them are valid and never used
RETRIED_EXCEPTIONS = frozenset(
    {
        "Step.SERVICE_FAULT", "Step.THROTTLING", "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR",
        "SageMaker.RESOURCE_LIMIT",
    }
)  # fmt: skip
INTERNAL_ERROR = "SageMaker.JOB_INTERNAL_ERROR"
_DURATION = re.compile(r"P?(?:(\d+)D)?(?:T?(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE)


@dataclass(frozen=True)
class CachePolicy:
    """Whether an earlier result may stand for a run, and how old it may be."""

    enabled: bool = False
    expire_after: timedelta | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, Any] | None) -> CachePolicy:
        """Read `CacheConfig`; ValueError says what is wrong with it."""
        if raw is None:
            return cls()
        unknown = sorted(set(raw) - {"Enabled", "ExpireAfter"})
        if unknown or not isinstance(raw.get("Enabled"), bool):
            raise ValueError("CacheConfig needs Enabled, true or false, and has an optional ExpireAfter")
        expire_after = raw.get("ExpireAfter")
        return cls(raw["Enabled"], _duration(expire_after) if expire_after else None)


@dataclass(frozen=True)
class RetryPolicy:
    """How often a step that failed for one of the exceptions is tried again, and after which pauses."""

    exceptions: frozenset[str]
    max_attempts: int | None
    expire_after: timedelta | None
    interval_seconds: float = 1.0
    backoff_rate: float = 2.0

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> RetryPolicy:
        """Read one of `RetryPolicies`; ValueError says what is wrong with it."""
        known = {"ExceptionType", "IntervalSeconds", "BackoffRate", "MaxAttempts", "ExpireAfterMin"}
        unknown = sorted(set(raw) - known)
        if unknown:
            raise ValueError(f"a retry policy has no {unknown[0]!r}")
        exceptions = frozenset(raw.get("ExceptionType") or ())
        if not exceptions or exceptions - RETRIED_EXCEPTIONS:
            raise ValueError(
                f"ExceptionType of a retry policy must list some of {', '.join(sorted(RETRIED_EXCEPTIONS))}"
            )
        attempts, minutes = raw.get("MaxAttempts"), raw.get("ExpireAfterMin")
        if (attempts is None) == (minutes is None):
            raise ValueError("a retry policy needs MaxAttempts or ExpireAfterMin, and not both")
        return cls(
            exceptions,
            None if attempts is None else int(attempts),
            None if minutes is None else timedelta(minutes=float(minutes)),
            float(raw.get("IntervalSeconds", 1)),
            float(raw.get("BackoffRate", 2.0)),
        )

    def pauses(self) -> Iterator[float]:
        """Yield the seconds to wait before each further attempt."""
        spent, pause, attempts = 0.0, self.interval_seconds, 1
        limit = None if self.expire_after is None else self.expire_after.total_seconds()
        while (self.max_attempts is None or attempts < self.max_attempts) and (limit is None or spent + pause <= limit):
            yield pause
            attempts += 1
            spent += pause
            pause = max(pause * self.backoff_rate, 0.1)


def retry_policies(raw: Any) -> tuple[RetryPolicy, ...]:
    """Read `RetryPolicies`; ValueError says what is wrong with them."""
    if not isinstance(raw or [], list) or not all(isinstance(item, Mapping) for item in raw or []):
        raise ValueError("RetryPolicies must be a list of objects")
    return tuple(RetryPolicy.parse(item) for item in raw or [])


def _duration(text: Any) -> timedelta:
    """Read `P30D`, `T12H`, `30d` and the like."""
    found = _DURATION.fullmatch(text.strip()) if isinstance(text, str) else None
    if not found or not any(found.groups()):
        raise ValueError(f"CacheConfig.ExpireAfter {text!r} is no duration such as P30D or T12H")
    days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
