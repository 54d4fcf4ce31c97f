"""The status of a dataset as plain records, for `--json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.data.days import Day, Snapshot
from mlops_cli.data.quality import RuleResult, failing


def as_records(found: Snapshot, rules: Mapping[str, Sequence[RuleResult]]) -> dict[str, Any]:
    """Return the status as JSON has it: what the dataset is judged by, and one record for each day."""
    dataset = found.dataset
    return {
        "dataset": dataset.name,
        "environment": dataset.environment,
        "workflow": dataset.workflow,
        "version": dataset.version,
        "published_days": len(found.published),
        "rows": found.rows,
        "quarantined": found.quarantined,
        "days": [_record(day, rules) for day in found.days],
    }


def _record(day: Day, rules: Mapping[str, Sequence[RuleResult]]) -> dict[str, Any]:
    record = day.newest
    told: dict[str, Any] = {
        "day": day.day.isoformat(),
        "state": day.state.value,
        "readable": day.published is not None,
        "files": day.files,
        "bytes": day.size,
    }
    if day.missing:
        told["missing"] = list(day.missing)
    if record is None:
        return told
    told |= {
        "rows": record.rows,
        "quarantined": record.quarantined,
        "reasons": record.reasons,
        "notes": record.notes,
        "rules": record["rules"],
        "failing": [
            {"rule": rule.rule, "ruleset": rule.ruleset, "message": rule.message, "metrics": dict(rule.metrics)}
            for rule in failing(rules, record.results)
        ],
        "run": record["run"],
        "version": record["version"],
        "location": record.location,
    }
    for fact in ("published", "held", "reason"):
        if record[fact]:
            told[fact] = record[fact]
    return told
