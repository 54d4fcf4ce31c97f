"""How a model stands: the version that serves, the alarms of its monitor, and the retraining that they have started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_cli.deployment import DeploymentError
from mlops_cli.monitoring.reports import MonitorRun, Reports
from mlops_cli.releases import Releases, number_of

CAUSES = {
    "DriftedFeatures": "drift",
    "QualityLoss": "quality",
    "QualityBroken": "quality",
    "BiasBroken": "bias",
    "AttributionNdcg": "attributions",
    "MonitoredRows": "silence",
    "RecentRows": "silence",
}
"""What an alarm is on, by the metric that it watches."""


@dataclass(frozen=True)
class Alarm:
    """An alarm: `state` is OK, ALARM or INSUFFICIENT_DATA, `since` when it came into it.

    `cause` says in a word what it is on: drift, quality, bias, attributions, or silence; its name for another one.
    """

    name: str
    cause: str
    state: str
    since: datetime
    reason: str


@dataclass(frozen=True)
class Retraining:
    """The newest execution of the retraining loop: its status, when it began and ended, and what it said at the end."""

    execution: str
    status: str
    began: datetime
    ended: datetime | None
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Watched:
    """A model as its monitor sees it. `serving` are the stacks with their version's number, empty for none yet."""

    model: str
    environment: str
    serving: Mapping[str, str]
    run: MonitorRun | None
    alarms: Sequence[Alarm]
    retraining: Retraining | None
    retrains: bool

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        loop = self.retraining
        return {
            "model": self.model,
            "environment": self.environment,
            "serving": {stack: int(version) if version else None for stack, version in self.serving.items()},
            "report": self.run.to_json() if self.run else None,
            "alarms": [
                {
                    "name": each.name,
                    "cause": each.cause,
                    "state": each.state,
                    "since": each.since.isoformat(),
                    "reason": each.reason,
                }
                for each in self.alarms
            ],
            "retraining": {
                "execution": loop.execution,
                "status": loop.status,
                "began": loop.began.isoformat(),
                "ended": loop.ended.isoformat() if loop.ended else None,
                "told": dict(loop.told),
            }
            if loop
            else None,
        }


def watched(reports: Reports) -> Watched:
    """Look at everything now."""
    machine = reports.outputs.get("RetrainingArn", "")
    names = [each for each in reports.outputs.get("AlarmNames", "").split(",") if each]
    return Watched(
        reports.model,
        reports.deployment.environment,
        _serving(reports),
        reports.current(),
        alarms(reports.deployment.client("cloudwatch"), names),
        newest_retraining(reports.deployment.client("stepfunctions"), machine) if machine else None,
        bool(machine),
    )


def alarms(cloudwatch: Any, names: Sequence[str]) -> list[Alarm]:
    """These alarms in their order; those that aren't there are left out."""
    if not names:
        return []
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNames=list(names))
    found = {each["AlarmName"]: each for page in pages for each in page["MetricAlarms"]}
    return [_alarm(found[name]) for name in names if name in found]


def _alarm(found: Mapping[str, Any]) -> Alarm:
    name = str(found["AlarmName"])
    metrics = {found.get("MetricName", "")} | {
        each["MetricStat"]["Metric"]["MetricName"] for each in found.get("Metrics", []) if "MetricStat" in each
    }
    cause = next((word for metric, word in CAUSES.items() if metric in metrics), name)
    return Alarm(name, cause, found["StateValue"], found["StateUpdatedTimestamp"], found.get("StateReason", ""))


def newest_retraining(states: Any, machine: str) -> Retraining | None:
    """The execution of the loop that works, or else the last one that did; those that joined another are left out."""
    listed = states.list_executions(stateMachineArn=machine, maxResults=20)["executions"]
    running = [each for each in listed if each["status"] == "RUNNING"]
    for each in [*reversed(running), *(one for one in listed if one["status"] != "RUNNING")]:
        told = _output(states.describe_execution(executionArn=each["executionArn"]))
        if told.get("outcome") != "joined":
            return Retraining(each["executionArn"], each["status"], each["startDate"], each.get("stopDate"), told)
    return None


def _output(execution: Mapping[str, Any]) -> dict[str, Any]:
    if execution.get("cause") or execution.get("error"):
        return {"error": execution.get("error", ""), "reason": execution.get("cause", "")}
    try:
        found = json.loads(execution.get("output") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _serving(reports: Reports) -> dict[str, str]:
    try:
        consumers = Releases(reports.deployment, reports.model, poll=0).consumers()
    except DeploymentError:
        return {}
    return {each.stack: number_of(each.serving) for each in consumers}
