"""The thread that scales: scheduled actions at their time, policies minute by minute, by the local AWS's clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from local_aws.autoscaling.adjustments import PERIODS_IN, stepped, tracked
from local_aws.autoscaling.metrics import MINUTE
from local_aws.autoscaling.observation import alarms_on, cause_of, values_of
from local_aws.autoscaling.region import Region
from local_aws.autoscaling.resources import Capacity
from local_aws.autoscaling.targets import Policy, ScalableTarget, ScheduledAction, new_activity
from local_aws.json_api import ApiError
from local_aws.schedules.expressions import parse_expression
from local_aws.service import LocalContext

_log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
# metrics of a minute come a little after it has passed
LATENESS = timedelta(seconds=2)
# after so long without new data no alarm can change any more
RESTLESS = (PERIODS_IN + 2) * MINUTE


@dataclass(frozen=True)
class Wish:
    """The capacity that a policy asks for, and why."""

    capacity: int
    policy: Policy
    cause: str


class Evaluator:
    """Brings targets to the capacity that their policies, limits and schedules ask for.

    It works once a minute while there is something to see: for a while after each new metric, and as long as a policy
    asks for what its cooldown puts off. Otherwise it waits for the next scheduled action, so that time that is moved on
    by days doesn't stop each minute.
    """

    def __init__(self, context: LocalContext, regions: Callable[[], Iterable[Region]]) -> None:
        self._context = context
        self._regions = regions
        self._closed = threading.Event()
        self._changed = threading.Event()
        self._called: set[str] = set()
        self._restless_until = context.clock.now()
        self._seen = _minute(context.clock.now())
        self._worker = context.clock.worker("the scaling policies")
        self._thread = threading.Thread(target=self._run, name="scaling", daemon=True)

    def start(self) -> None:
        """Work until `close()`."""
        self._thread.start()

    def close(self) -> None:
        """Scale nothing any more."""
        self._closed.set()
        self._context.clock.wake()
        self._thread.join(timeout=CLOSE_SECONDS)

    def changed(self) -> None:
        """Look again: a target, a policy or a metric is new."""
        self._restless_until = self._context.clock.now() + RESTLESS
        self._changed.set()
        self._context.clock.wake()

    def called(self, policy_arn: str) -> None:
        """Run a step scaling policy at once: an alarm that names it went off."""
        self._called.add(policy_arn)
        self.changed()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._changed.clear()
            upcoming = self._work()
            self._worker.wait_until(upcoming, lambda: self._closed.is_set() or self._changed.is_set())
        self._worker.end()

    def _work(self) -> datetime | None:
        now = self._context.clock.now()
        minute = _minute(now)
        called, self._called = self._called, set()
        whole, self._seen = minute > self._seen, minute
        moments: list[datetime] = []
        for region in self._regions():
            for target in list(region.targets.values()):
                try:
                    moments += self._tend(region, target, now, minute if whole else None, called)
                except (ApiError, ClientError, BotoCoreError) as error:
                    _log.warning("%s couldn't be looked at: %s", target.key[1], error)
                except Exception:
                    # a target that can't be understood must not end the others
                    _log.exception("%s couldn't be looked at", target.key[1])
        return min(moments, default=None)

    def _tend(
        self, region: Region, target: ScalableTarget, now: datetime, minute: datetime | None, called: set[str]
    ) -> Iterable[datetime]:
        with target.lock:
            if self._run_scheduled(region, target, now):
                target.unbounded = True
            if target.changing:
                return self._upcoming_actions(target)
            waits = False
            if target.unbounded or minute is not None or called:
                found = region.capacity(target)
                if found is None:
                    return ()
                waits = self._bring_within_limits(region, target, found)
                if not waits and not target.changing:
                    waits = self._follow_policies(region, target, found, now, minute, called)
            moments = list(self._upcoming_actions(target))
            watches = bool(target.policies) and now < self._restless_until
            if waits or target.unbounded or watches:
                moments.append(_minute(now) + MINUTE + LATENESS)
            return moments

    def _run_scheduled(self, region: Region, target: ScalableTarget, now: datetime) -> bool:
        """Set the limits of the actions whose time has come; say whether there was one."""
        due = sorted(
            (moment, name)
            for name, action in target.actions.items()
            if (moment := _next(action)) is not None and moment <= now
        )
        for moment, name in due:
            action = target.actions[name]
            action.ran_until = max(action.ran_until, now)
            if target.suspended["ScheduledScalingSuspended"]:
                continue
            wanted = action.record.get("ScalableTargetAction") or {}
            target.minimum = wanted.get("MinCapacity", target.minimum)
            target.maximum = max(wanted.get("MaxCapacity", target.maximum), target.minimum)
            limits = f"min capacity to {target.minimum} and max capacity to {target.maximum}"
            activity = new_activity(
                target, f"Setting {limits}", f"scheduled action name {name} was triggered", max(moment, target.created)
            )
            activity.update(StatusCode="Successful", EndTime=now, StatusMessage=f"Successfully set {limits}")
            region.note(activity)
        return bool(due)

    def _upcoming_actions(self, target: ScalableTarget) -> list[datetime]:
        return [moment for action in target.actions.values() if (moment := _next(action)) is not None]

    def _bring_within_limits(self, region: Region, target: ScalableTarget, found: Capacity) -> bool:
        """Enforce new limits, as Application Auto Scaling does once; say whether the resource has to settle first."""
        if not target.unbounded:
            return False
        wanted = target.limited(found.desired)
        if wanted != found.desired:
            if not found.settled:
                return True
            bound = "minimum" if wanted > found.desired else "maximum"
            region.change(target, wanted, f"{bound} capacity was set to {wanted}", None)
        target.unbounded = False
        return False

    def _follow_policies(
        self,
        region: Region,
        target: ScalableTarget,
        found: Capacity,
        now: datetime,
        minute: datetime | None,
        called: set[str],
    ) -> bool:
        """Scale as the policies ask; say whether one asks for something that has to wait."""
        policies = list(target.policies.values())
        trackers = [each for each in policies if each.tracking is not None] if minute is not None else []
        outs, ins, calm = [], [], True
        base = _base(target, found, now)
        for policy in trackers:
            assert policy.tracking is not None
            assert minute is not None
            values = values_of(region, target, policy, minute)
            wish = tracked(values, policy.tracking["TargetValue"], found.desired)
            if wish is not None and wish > found.desired:
                again = tracked(values, policy.tracking["TargetValue"], base)
                outs.append(Wish(again or wish, policy, cause_of(target, policy, "High")))
            elif not policy.tracking.get("DisableScaleIn"):
                if wish is None or wish == found.desired:
                    calm = False
                else:
                    ins.append(Wish(wish, policy, cause_of(target, policy, "Low")))
        if not calm:
            # scale in needs every policy's consent
            ins = []
        for policy in policies:
            if policy.steps is None or (minute is None and policy.arn not in called):
                continue
            for alarm, breach in alarms_on(region, policy, now):
                wish = stepped(policy.steps, breach, found.desired)
                cause = f"monitor alarm {alarm} in state ALARM triggered policy {policy.record['PolicyName']}"
                if wish > found.desired:
                    outs.append(Wish(stepped(policy.steps, breach, base), policy, cause))
                elif wish < found.desired:
                    ins.append(Wish(wish, policy, cause))
        return self._choose(region, target, found, outs, ins, now, base)

    def _choose(
        self,
        region: Region,
        target: ScalableTarget,
        found: Capacity,
        outs: list[Wish],
        ins: list[Wish],
        now: datetime,
        base: int,
    ) -> bool:
        if outs:
            if target.suspended["DynamicScalingOutSuspended"]:
                return False
            wish = max(outs, key=lambda each: each.capacity)
            wanted = min(wish.capacity, target.maximum)
            if wanted <= found.desired:
                return base < found.desired < target.maximum
        elif ins:
            if target.suspended["DynamicScalingInSuspended"]:
                return False
            wish = max(ins, key=lambda each: each.capacity)
            wanted = max(wish.capacity, target.minimum)
            if wanted >= found.desired:
                return False
            rest = target.rests.get(False)
            if rest is not None and now < rest.until:
                return True
        else:
            return False
        if not found.settled:
            return True
        out = wanted > found.desired
        region.change(target, wanted, wish.cause, (out, wish.policy.cooldown(out=out), base))
        return False


def _base(target: ScalableTarget, found: Capacity, now: datetime) -> int:
    """Return the capacity that scaling out starts from: while a cooldown lasts, what was added since counts in."""
    rest = target.rests.get(True)
    return found.desired if rest is None or now >= rest.until else min(rest.base, found.desired)


def _minute(moment: datetime) -> datetime:
    """Return the full minute whose metrics are all there."""
    return (moment - LATENESS).replace(second=0, microsecond=0)


def _next(action: ScheduledAction) -> datetime | None:
    record = action.record
    expression = parse_expression(record["Schedule"], record.get("Timezone", "UTC"))
    begin = record["CreationTime"] if expression.once else record.get("StartTime") or record["CreationTime"]
    found = expression.next_after(action.ran_until, begin)
    end = None if expression.once else record.get("EndTime")
    return None if found is None or (end is not None and found > end) else found
