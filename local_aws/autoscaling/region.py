"""The scalable targets of one account and region, their activities, and how a capacity is changed."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.autoscaling.resources import Capacity
from local_aws.autoscaling.targets import REMEMBERED_ACTIVITIES, Record, Rest, ScalableTarget, new_activity
from local_aws.cloudwatch.metric_store import MetricIndex
from local_aws.service import LocalContext

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
PATIENCE_SECONDS = 600.0


class Region:
    """Targets by namespace, resource id and dimension. `changed` is called when a capacity has been changed."""

    def __init__(self, context: LocalContext, account: str, name: str, changed: Callable[[], None]) -> None:
        self.account = account
        self.name = name
        self.role = (
            f"arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
            "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        )
        self.targets: dict[tuple[str, str, str], ScalableTarget] = {}
        self.activities: deque[Record] = deque(maxlen=REMEMBERED_ACTIVITIES)
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.index = MetricIndex()
        self._context = context
        self._changed = changed

    @property
    def sagemaker(self) -> Any:
        """A client of SageMaker that acts in Application Auto Scaling's own role."""
        return self._context.client("sagemaker", region=self.name, role_arn=self.role)

    @property
    def metrics(self) -> Any:
        """moto's CloudWatch, which holds the metrics and alarms."""
        from moto.cloudwatch.models import cloudwatch_backends

        return cloudwatch_backends[self.account][self.name]

    def alive(self) -> list[ScalableTarget]:
        """Return the targets, without those whose endpoint or component was deleted: SageMaker takes them back."""
        with self.lock:
            targets = list(self.targets.values())
        for target in targets:
            self.capacity(target)
        with self.lock:
            return list(self.targets.values())

    def capacity(self, target: ScalableTarget) -> Capacity | None:
        """Return a target's capacity; a target that is gone is deregistered, and None."""
        found = target.resource.capacity(self.sagemaker)
        if found is None:
            with self.lock:
                if self.targets.get(target.key) is target:
                    del self.targets[target.key]
        return found

    def note(self, activity: Record) -> None:
        """Remember an activity."""
        self.activities.appendleft(activity)

    def change(self, target: ScalableTarget, wanted: int, cause: str, rest: tuple[bool, timedelta, int] | None) -> None:
        """Begin to change a capacity, in a thread of its own.

        `rest` is the cooldown that follows: whether it is one of scaling out, its length, and the capacity before.
        """
        target.changing = True
        activity = new_activity(
            target, f"Setting desired {target.resource.noun} to {wanted}.", cause, self._context.clock.now()
        )
        self.note(activity)
        worker = self._context.clock.worker(f"the scaling of {target.key[1]}")

        def work() -> None:
            try:
                self._carry_out(target, wanted, activity)
                if rest is not None:
                    out, cooldown, base = rest
                    target.rests[out] = Rest(self._context.clock.now() + cooldown, base)
            finally:
                target.changing = False
                self._changed()
                worker.end()

        threading.Thread(target=work, name=f"scale-{target.key[1]}", daemon=True).start()

    def _carry_out(self, target: ScalableTarget, wanted: int, activity: Record) -> None:
        said = f"set desired {target.resource.noun} to {wanted}"
        try:
            target.resource.change(self.sagemaker, wanted)
            failure = self._wait_for(target, wanted)
        except (ClientError, BotoCoreError) as error:
            _log.warning("%s couldn't be scaled: %s", target.key[1], error)
            told, status = f"Failed to {said}. Reason: {error}", "Failed"
        else:
            told = f"Successfully {said}. Change successfully fulfilled by sagemaker."
            status = "Successful"
            if failure:
                told, status = f"Failed to {said}. Reason: {failure}", "Unfulfilled"
        activity.update(StatusCode=status, StatusMessage=told, EndTime=self._context.clock.now())

    def _wait_for(self, target: ScalableTarget, wanted: int) -> str:
        """Wait until the capacity is there, and return why it isn't if it isn't."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = target.resource.capacity(self.sagemaker)
            if found is None:
                return f"{target.key[1]} was deleted"
            if found.settled:
                reached = found.current == found.desired == wanted
                return "" if reached else f"it has {found.current}, see the FailureReason of {target.key[1]}"
            if self.closed.wait(POLL_SECONDS):
                return "the local AWS is shutting down"
        return f"it wasn't there after {PATIENCE_SECONDS:.0f} s"
