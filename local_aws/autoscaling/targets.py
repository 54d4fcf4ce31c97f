"""Scalable targets: what is scaled within which limits, by which policies, at which times, and what came of it."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from local_aws.autoscaling.resources import Resource

Record = dict[str, Any]
SUSPENSIONS = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
# what SageMaker's variants and components get where a policy names none
COOLDOWN_SECONDS = 300
REMEMBERED_ACTIVITIES = 1000


@dataclass
class Policy:
    """A scaling policy: its record as Describe shows it."""

    record: Record
    created: datetime

    @property
    def arn(self) -> str:
        return str(self.record["PolicyARN"])

    @property
    def tracking(self) -> Record | None:
        """The configuration of target tracking, if it is of that type."""
        return self.record.get("TargetTrackingScalingPolicyConfiguration")

    @property
    def steps(self) -> Record | None:
        """The configuration of step scaling, if it is of that type."""
        return self.record.get("StepScalingPolicyConfiguration")

    def cooldown(self, *, out: bool) -> timedelta:
        """How long the policy rests after it scaled out, or in."""
        if self.tracking is not None:
            given = self.tracking.get("ScaleOutCooldown" if out else "ScaleInCooldown")
        else:
            given = (self.steps or {}).get("Cooldown")
        return timedelta(seconds=COOLDOWN_SECONDS if given is None else given)


@dataclass
class ScheduledAction:
    """A change of limits at a time; times up to `ran_until` have been dealt with."""

    record: Record
    ran_until: datetime


@dataclass
class Rest:
    """The cooldown after a change: `base` is the capacity before the change that began it."""

    until: datetime
    base: int


@dataclass
class ScalableTarget:
    """What is scaled. `key` is namespace, resource id and dimension; `lock` guards its limits and what came of it."""

    key: tuple[str, str, str]
    arn: str
    resource: Resource
    minimum: int
    maximum: int
    created: datetime
    suspended: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(SUSPENSIONS, False))
    tags: dict[str, str] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    actions: dict[str, ScheduledAction] = field(default_factory=dict)
    rests: dict[bool, Rest] = field(default_factory=dict)
    """The last cooldown after scaling out (True) and in (False)."""
    changing: bool = False
    unbounded: bool = True
    """Whether the limits are new, and the capacity hasn't been brought within them."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def limited(self, capacity: int) -> int:
        """Return the capacity within the limits."""
        return max(self.minimum, min(capacity, self.maximum))

    def identity(self) -> Record:
        """The members that every record of the target has."""
        return dict(zip(("ServiceNamespace", "ResourceId", "ScalableDimension"), self.key, strict=True))


def new_activity(target: ScalableTarget, description: str, cause: str, moment: datetime) -> Record:
    """Return the record of an activity that begins."""
    return {
        "ActivityId": str(uuid.uuid4()),
        **target.identity(),
        "Description": description,
        "Cause": cause,
        "StartTime": moment,
        "StatusCode": "InProgress",
    }
