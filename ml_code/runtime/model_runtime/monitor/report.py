"""The report of a run, `report.json`: everything that the page, the metrics and the notice tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model_runtime.monitor import findings
from model_runtime.monitor.attributions import attributions_of
from model_runtime.monitor.bias_drift import bias_of
from model_runtime.monitor.concerned_rows import EXTRA, EXTRA_VALUES, MISSING, MISSING_VALUES, ConcernedRows
from model_runtime.monitor.constraints import read_constraints
from model_runtime.monitor.drift import find_drift
from model_runtime.monitor.ground_truth import GroundTruth
from model_runtime.monitor.quality import Labelled, quality_of
from model_runtime.monitor.served_version import Version
from model_runtime.monitor.settings import MonitorSettings
from model_runtime.monitor.sketches import TableSketch
from model_runtime.monitor.statistics import Statistics, read_statistics
from model_runtime.monitor.traffic import Traffic
from model_runtime.monitor.violations import violations
from model_runtime.monitor.window import Window, shown

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What is monitored: the model, the endpoint or the table of predictions, since when its version answers there."""

    model: str
    problem: str
    source: str
    name: str
    since: str | None = None


@dataclass
class Run:
    """What a run has to report on. Without a version there was nothing to ask; `reasons` say why."""

    watched: Watched
    window: Window
    settings: MonitorSettings
    version: Version | None = None
    traffic: Traffic | None = None
    truth: GroundTruth | None = None
    reasons: list[str] = field(default_factory=list)
    table: TableSketch = field(default_factory=TableSketch)

    def report(self) -> dict[str, Any]:
        """The content of report.json."""
        version, traffic, window = self.version, self.traffic, self.window
        if traffic is not None:
            self.table = traffic.table()
        rows = self.table.rows
        report: dict[str, Any] = {
            "version": VERSION,
            "model": self.watched.model,
            "problem": self.watched.problem,
            "source": self.watched.source,
            "name": self.watched.name,
            "package": version and {"arn": version.arn, "version": version.number, "since": self.watched.since},
            "window": {"start": shown(window.start), "end": shown(window.end)},
            "rows": rows,
            "recent_rows": traffic.recent if traffic else 0,
            "captures": self._captures(),
            "features": [],
            "predictions": None,
            "violations": [],
            "quality": None,
            "quality_reason": "it isn't checked",
            "bias": [],
            "attributions": None,
            "attributions_reason": "they aren't checked",
        }
        has_baseline = False
        if version is not None and traffic is not None:
            has_baseline = version.baselines.statistics is not None
            if has_baseline and rows:
                statistics = read_statistics(version.baselines.statistics)
                report["features"] = self._features(statistics, traffic)
                report["violations"] = self._violations(version, statistics, traffic)
            report["predictions"] = _predictions(version, traffic, self.settings.least_rows)
            self._judge(report, version, traffic)
        return self._told(report, has_baseline)

    def _judge(self, report: dict[str, Any], version: Version, traffic: Traffic) -> None:
        """Quality, bias and attributions."""
        settings, truth = self.settings, self.truth
        labelled = None
        if truth is not None:
            labelled = Labelled.of(traffic.predictions, truth, version.problem)
        if settings.quality is not None:
            if truth is None or labelled is None:
                report["quality_reason"] = "there is no ground truth for this model"
            else:
                baseline = version.baselines.quality
                found, reason = quality_of(settings.quality, version.problem, labelled, truth, baseline)
                report["quality"], report["quality_reason"] = found, reason
        facets = traffic.question.facets
        if facets and traffic.predicted:
            if labelled is None:
                labelled = Labelled.nothing()
            report["bias"] = bias_of(facets, version.problem, traffic.groups, labelled, version.baselines.bias)
        if settings.minimum_ndcg is not None:
            found, reason = attributions_of(version, traffic.explained, settings.minimum_ndcg)
            report["attributions"], report["attributions_reason"] = found, reason

    def _told(self, report: dict[str, Any], has_baseline: bool) -> dict[str, Any]:
        """Add the findings, the status and what comes next."""
        settings, rows = self.settings, report["rows"]
        enough = rows >= settings.least_rows
        hours, without = self.window.hours(), report["captures"]["hours_without"]
        gap = findings.longest_gap(hours, without) if enough else None
        # days are published later than they are: that the last ones aren't there yet is no silence
        silence = findings.last_gap(hours, without) if enough and self.watched.source == "endpoint" else None
        captures = report["captures"]
        data, serious = findings.data_findings(report["violations"], self._concerned(), captures, gap, silence)
        bad = [
            *findings.drift_findings(report["features"], settings),
            *findings.shift_findings(report["predictions"]),
            *findings.quality_findings(report["quality"]),
            *(findings.finding("bias", text) for each in report["bias"] for text in each["broken"]),
            *findings.attribution_findings(report["attributions"]),
        ]
        if bad or (serious and enough):
            status = findings.DRIFTED
        elif not rows and report["quality"] is None:
            status = findings.NO_TRAFFIC
        elif not has_baseline:
            status = findings.NO_BASELINE
        elif not enough:
            status = findings.TOO_FEW
        else:
            status = findings.CALM
        report["status"] = status
        report["findings"] = [*bad, *data]
        report["next"] = findings.next_step(status, report["findings"], settings, self.reasons)
        return report

    def _captures(self) -> dict[str, Any]:
        hours = self.window.hours()
        counts = self.traffic.counts if self.traffic else None
        seen = counts.hours if counts else set()
        found: dict[str, Any] = {
            "files": counts.files if counts else 0,
            "records": counts.records if counts else 0,
            "broken": counts.broken if counts else 0,
            "unanswered": counts.unanswered if counts else 0,
            "examples": counts.examples if counts else [],
            "hours_without": [shown(hour) for hour in hours if hour not in seen],
        }
        truth = self.truth.counts if self.truth else None
        if truth is not None:
            found["ground_truth"] = {
                "files": truth.files,
                "records": truth.records,
                "broken": truth.broken,
                "examples": truth.examples,
            }
        return found

    def _features(self, statistics: Statistics, traffic: Traffic) -> list[dict[str, Any]]:
        limits = self.settings.drift
        if limits is None:
            return []
        daily: dict[str, list[dict[str, Any]]] = {}
        for day in sorted(traffic.days):
            table = traffic.days[day]
            for each in find_drift(statistics, table, replace(limits, days=1)):
                score = each.score if table.rows >= limits.least_rows else None
                entry = {"day": str(day), "rows": table.rows, "score": score, "threshold": each.threshold}
                daily.setdefault(each.name, []).append(entry)
        found = []
        # a window that holds one day, as after a release, is compared with single days
        limits = replace(limits, days=min(limits.days, max(len(traffic.days), 1)))
        for each in find_drift(statistics, self.table, limits):
            days = daily.get(each.name, [])
            since = since_when(days) if each.moved else None
            found.append({**each.to_json(), "since": since, "daily": days})
        return sorted(found, key=_by_score)

    def _violations(self, version: Version, statistics: Statistics, traffic: Traffic) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if version.baselines.constraints is not None:
            found += violations(read_constraints(version.baselines.constraints), statistics, self.table)
        return found + width_violations(traffic.counts.widths, len(version.description.features))

    def _concerned(self) -> ConcernedRows | None:
        if self.version is None or self.traffic is None:
            return None
        said = self.version.baselines.constraints
        return ConcernedRows(
            constraints=None if said is None else read_constraints(said),
            table=self.table,
            features=len(self.version.description.features),
            widths=self.traffic.counts.widths,
        )


def since_when(days: Sequence[Mapping[str, Any]]) -> str | None:
    """The first of the last days that are all above their thresholds; days with too few rows decide nothing."""
    since = None
    for each in reversed([each for each in days if each["score"] is not None]):
        if each["score"] <= each["threshold"]:
            break
        since = str(each["day"])
    return since


def width_violations(widths: Mapping[int, int], features: int) -> list[dict[str, Any]]:
    """Rows with another number of values than the model has features, which can't be told by names."""
    return [
        {
            "feature_name": EXTRA_VALUES if width > features else MISSING_VALUES,
            "constraint_check_type": EXTRA if width > features else MISSING,
            "description": f"There are {'extra' if width > features else 'missing'} columns in current dataset. "
            f"Number of columns in {rows} rows: {width}, Number of columns in baseline constraints: {features}",
        }
        for width, rows in sorted(widths.items())
    ]


def _predictions(version: Version, traffic: Traffic, least_rows: int) -> dict[str, Any] | None:
    baseline = version.baselines.predictions
    rows = traffic.predicted
    if baseline is None or not rows:
        return None
    then, now = sum(baseline.counts), traffic.ranges
    return {
        "psi": baseline.shift(now),
        "edges": list(baseline.edges),
        "baseline": [count / then for count in baseline.counts] if then else [],
        "now": [float(count) / rows for count in now],
        "rows": rows,
        "judged": rows >= least_rows,
    }


def _by_score(feature: Mapping[str, Any]) -> tuple[bool, float]:
    score = feature["score"]
    return (not feature["moved"], -(score / feature["threshold"]) if score is not None else 1.0)
