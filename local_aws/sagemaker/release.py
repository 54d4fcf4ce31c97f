"""The release of a fleet: its traffic goes up step by step, and back to the old fleet when an alarm says so.

The old fleet serves until the end: it never stops for a release that is rolled back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta

from local_aws.clock import Worker
from local_aws.cloudwatch.alarm_states import alarm_states
from local_aws.sagemaker.endpoint import Endpoint
from local_aws.sagemaker.fleet import Fleet
from local_aws.sagemaker.release_plan import ReleasePlan
from local_aws.sagemaker.workspace import Workspace


class RolledBack(Exception):
    """The old fleet has all of the traffic again; the message becomes the endpoint's FailureReason."""


class Stopped(Exception):
    """The local AWS ends."""


class Release:
    """One update of an endpoint by its plan: `endpoint.fleet` serves, and `endpoint.next` is to take over.

    `told` is called when what is being done changes; `stopped` says that the local AWS ends.
    """

    def __init__(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        plan: ReleasePlan,
        worker: Worker,
        *,
        told: Callable[[], None],
        stopped: Callable[[], bool],
    ) -> None:
        if endpoint.fleet is None or endpoint.next is None:
            raise ValueError(f"endpoint {endpoint.name} has no two fleets")
        self._workspace = workspace
        self._endpoint = endpoint
        self._old: Fleet = endpoint.fleet
        self._new: Fleet = endpoint.next
        self._plan = plan
        self._worker = worker
        self._told = told
        self._stopped = stopped
        self._old_counts = self._old.counts()
        self._new_counts = self._new.counts()
        self._deadline = None if plan.timeout is None else workspace.now() + timedelta(seconds=plan.timeout)

    def run(self) -> None:
        """Give the new fleet all of the traffic; RolledBack, with the old fleet in place, when that isn't to be.

        ServerFailure when an instance doesn't become healthy; the old fleet is in place then, too.
        """
        self._refuse_alarms()
        try:
            if self._plan.kind == "ROLLING":
                self._roll()
            else:
                self._shift()
        except Stopped:
            raise
        except Exception:
            self._take_back()
            raise

    def _shift(self) -> None:
        """Blue/green: the whole new fleet starts, and gets its traffic in steps."""
        total = max(self._new_counts.values(), default=1)
        self._stage("Creating", f"Launching {total} instance(s).")
        self._new.start()
        shares = self._plan.shares(total)
        for share in shares:
            capacity = self._capacity(share, total)
            self._stage("ActivatingTraffic", f"Activating traffic on {capacity}.")
            self._endpoint.share = share
            last = share == shares[-1]
            seconds, name = (
                (self._plan.termination, "TerminationWaitInSeconds")
                if last
                else (self._plan.interval, "WaitIntervalInSeconds")
            )
            self._bake(seconds, f"Baking for {seconds} seconds ({name}) with traffic enabled on {capacity}.")

    def _roll(self) -> None:
        """Rolling: in each step some new instances start, get their traffic, and as many old ones end."""
        done = dict.fromkeys(self._new_counts, 0)
        first = True
        while first or done != self._new_counts:
            done = {
                name: min(total, done[name] + self._plan.step.of(total)) for name, total in self._new_counts.items()
            }
            started = sum(done.values())
            self._stage(
                "Creating" if first else "Updating", f"Launching {self._plan.step.of(max(done.values()))} instance(s)."
            )
            if first:
                self._new.start(done)
                first = False
            else:
                self._scale(self._new, done)
            share = started / (sum(self._new_counts.values()) or 1) if started else 1.0
            self._endpoint.share = share
            seconds = self._plan.interval
            self._bake(
                seconds,
                f"Baking for {seconds} seconds (WaitIntervalInSeconds) with traffic enabled on {started} instance(s).",
            )
            if share < 1:
                left = {name: math.ceil(count * (1 - share) - 1e-9) for name, count in self._old_counts.items()}
                self._old.scale_all(left)

    def _take_back(self) -> None:
        """Give the old fleet all of the traffic again, with all of the instances that it had."""
        counts = self._old.counts()
        while counts != self._old_counts:
            counts = {
                name: min(total, counts[name] + self._plan.rollback.of(total))
                for name, total in self._old_counts.items()
            }
            self._old.scale_all(counts)
            self._old.settle()
            back = sum(counts.values()) / (sum(self._old_counts.values()) or 1)
            self._endpoint.share = min(self._endpoint.share, 1 - back)
        self._endpoint.share = 0.0

    def _scale(self, fleet: Fleet, counts: Mapping[str, int]) -> None:
        fleet.scale_all(counts)
        fleet.settle()
        failure = next((variant.failure for variant in fleet.variants.values() if variant.failure), "")
        if failure:
            raise RolledBack(failure)

    def _capacity(self, share: float, total: int) -> str:
        if share == 1:
            return f"full capacity of {total} instance(s)"
        kind = "canary" if self._plan.kind == "CANARY" else "partial"
        return f"{kind} capacity of {math.ceil(share * total - 1e-9)} instance(s)"

    def _stage(self, status: str, message: str) -> None:
        self._endpoint.stage(status, message, self._workspace.now())
        self._told()

    def _bake(self, seconds: int, message: str) -> None:
        self._stage("Baking", message)
        until = self._workspace.now() + timedelta(seconds=seconds)
        until = until if self._deadline is None else min(until, self._deadline)
        self._worker.wait_until(until, lambda: self._stopped() or bool(self._alarms()))
        if self._stopped():
            raise Stopped
        alarms = self._alarms()
        if alarms:
            raise self._rolled_back(f"one or more of its alarms went into the ALARM state: {', '.join(alarms)}")
        if self._deadline is not None and self._workspace.now() >= self._deadline:
            raise self._rolled_back(f"it took more than its MaximumExecutionTimeoutInSeconds, {self._plan.timeout}")

    def _rolled_back(self, why: str) -> RolledBack:
        config = self._old.config["EndpointConfigName"]
        return RolledBack(f"The deployment was rolled back to the endpoint configuration {config}: {why}.")

    def _refuse_alarms(self) -> None:
        alarms = self._alarms()
        if alarms:
            raise RolledBack(
                f"The deployment didn't start: one or more of its alarms are in the ALARM state: {', '.join(alarms)}."
            )

    def _alarms(self) -> list[str]:
        """Return the plan's alarms that are in ALARM."""
        states = alarm_states(self._workspace.account, self._workspace.region, self._plan.alarms)
        return [name for name, state in states.items() if state == "ALARM"]
