"""What a Glue trigger has to look like to be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.json_api import ApiError

START_TYPES = frozenset({"ON_DEMAND", "EVENT"})
# the states that conditions may watch
WATCHED_STATES = ("SUCCEEDED", "STOPPED", "FAILED", "TIMEOUT")


def check_trigger(trigger: Mapping[str, Any]) -> None:
    """Refuse what AWS refuses, and what nothing here would ever start."""
    name, kind = trigger["Name"], trigger["Type"]
    if kind == "SCHEDULED" or trigger.get("Schedule"):
        raise _invalid(name, "the local AWS's triggers have no schedules: start the workflow by EventBridge Scheduler")
    if kind in ("EVENT", "CONDITIONAL") and not trigger.get("WorkflowName"):
        raise _invalid(name, f"a trigger of type {kind} needs a WorkflowName")
    if kind != "EVENT" and trigger.get("EventBatchingCondition"):
        raise _invalid(name, f"EventBatchingCondition is of triggers of type EVENT, not {kind}")
    _check_actions(name, trigger.get("Actions", []))
    conditions = trigger.get("Predicate", {}).get("Conditions", [])
    if kind == "CONDITIONAL" and not conditions:
        raise _invalid(name, "a trigger of type CONDITIONAL needs a Predicate with Conditions")
    if kind != "CONDITIONAL" and trigger.get("Predicate"):
        raise _invalid(name, f"a Predicate is of triggers of type CONDITIONAL, not {kind}")
    if len(conditions) > 1 and "Logical" not in trigger["Predicate"]:
        raise _invalid(name, "a Predicate with several Conditions needs Logical: AND or ANY")
    for condition in conditions:
        if "CrawlerName" in condition:
            raise _invalid(name, "crawlers don't run in the local AWS: a condition has to name a job")
        if not condition.get("JobName") or condition.get("State") not in WATCHED_STATES:
            raise _invalid(
                name,
                f"a condition names a job and one of {', '.join(WATCHED_STATES)}, "
                f"not JobName {condition.get('JobName')!r} and State {condition.get('State')!r}",
            )


def _check_actions(name: str, actions: list[Mapping[str, Any]]) -> None:
    if not actions:
        raise _invalid(name, "a trigger needs at least one action")
    for action in actions:
        if "CrawlerName" in action:
            raise _invalid(name, "crawlers don't run in the local AWS: an action has to name a job")
        if not action.get("JobName"):
            raise _invalid(name, "an action needs a JobName")


def _invalid(name: str, problem: str) -> ApiError:
    return ApiError("InvalidInputException", f"Trigger {name}: {problem}")
