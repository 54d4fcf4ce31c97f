"""What the monitor saw during a season: of each step the runs that the schedule started, and the alarms afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from mlops_cli.monitoring.reports import MonitorRun


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """A step as the monitor saw it: the last day whose flights had been asked for, and what alarms were on then."""

    after: date
    runs: Sequence[MonitorRun]
    alarms: Sequence[str] = ()

    @property
    def newest(self) -> MonitorRun | None:
        """The last run, which has seen the most of the step."""
        return max(self.runs, key=lambda each: each.hour) if self.runs else None

    @property
    def loads(self) -> Mapping[str, float]:
        """How far each feature is from the baseline, in thresholds: above 1 it counts."""
        features = self.newest.report["features"] if self.newest else []
        return {
            str(each["name"]): each["score"] / each["threshold"]
            for each in features
            if each["score"] is not None and each["threshold"]
        }

    @property
    def quality(self) -> Mapping[str, Any] | None:
        """What the last run that could judge it says of quality."""
        judged = [each for each in self.runs if (each.report.get("quality") or {}).get("value") is not None]
        return max(judged, key=lambda each: each.hour).report["quality"] if judged else None

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        quality = self.quality
        return {
            "after": self.after.isoformat(),
            "runs": [{"execution": each.execution, "status": each.status} for each in self.runs],
            "moved": self.newest.moved if self.newest else [],
            "loads": dict(self.loads),
            "quality": {name: quality[name] for name in ("metric", "value", "low", "high", "baseline", "broken")}
            if quality
            else None,
            "alarms": list(self.alarms),
        }


def by_largest_load(steps: Sequence[Monitored]) -> list[str]:
    """All features, those first that went farthest from their baseline in some step."""
    most: dict[str, float] = {}
    for step in steps:
        for name, load in step.loads.items():
            most[name] = max(most.get(name, 0.0), load)
    return sorted(most, key=lambda name: (-most[name], name))
