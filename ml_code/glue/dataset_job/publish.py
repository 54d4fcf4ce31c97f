"""The job `publish`: checks the staged days of its workflow run, publishes the good ones, and holds the others back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from dataset_job.arguments import WorkflowRun, parse
from dataset_job.catalog import HELD, STAGED, Catalog, DayRecord
from dataset_job.checks import Checks, Verdict
from dataset_job.errors import DatasetError
from dataset_job.manifest import Manifest
from dataset_job.prepare import now
from dataset_job.storage import S3Storage, Storage

EVENT_SOURCE = "mlops.data"
PUBLISHED, HELD_BACK = "Dataset Published", "Dataset Held"
KEPT_FACTS = ("load", "run", "inputs", "version", "recordCount", "quarantined", "reasons", "notes")
SHOWN_DAYS = 5
PORTION_DAYS = 31
"""Checked days that become visible together, so that a job that is stopped has not checked for nothing."""


class PublishJob:
    """One run of the job."""

    def __init__(
        self, catalog: Catalog, storage: Storage, checks: Checks, manifest: Manifest, events: Any, run: WorkflowRun
    ) -> None:
        self._catalog = catalog
        self._storage = storage
        self._checks = checks
        self._manifest = manifest
        self._events = events
        self._run = run

    def go(self) -> None:
        """Check and publish. Raises DatasetError at the end when days are held back, with the reasons."""
        mine = {day: each for day, each in self._catalog.staged().items() if each.facts.get("run") == self._run.run}
        held = {day: each.facts["reason"] for day, each in mine.items() if each.facts.get("state") == HELD}
        staged = [day for day in sorted(mine) if mine[day].facts.get("state") == STAGED]
        passed: list[DayRecord] = []
        errors = []
        for verdict in self._checks.evaluate(staged):
            record = _with_verdict(mine[verdict.day], verdict)
            if verdict.error:
                errors.append(verdict.error)  # it stays staged, and the next run prepares it again
            elif verdict.reason is None:
                passed.append(record)
            elif self._hold(record, verdict.reason):
                held[verdict.day] = verdict.reason
            if len(passed) == PORTION_DAYS:
                self._publish(passed)
                passed = []
        if passed:
            self._publish(passed)
        self._announce()
        if not mine:
            print("nothing was staged by this run", flush=True)
        if held:
            self._tell(HELD_BACK, {"days": [{"day": str(day), "reason": held[day]} for day in sorted(held)]})
        problems = [_held_back(held)] if held else []
        problems += [f"not checked, {_days(len(errors))}: {errors[0]}"] if errors else []
        if problems:
            raise DatasetError(" || ".join(problems))

    def _hold(self, record: DayRecord, reason: str) -> bool:
        """Hold a day back, unless a later run has taken it over: then its rules decide."""
        mine = bool(self._still_mine([record]))
        if mine:
            facts = {**record.facts, "state": HELD, "reason": reason, "held": now()}
            self._catalog.stage([replace(record, facts=facts)])
        return mine

    def _publish(self, passed: Sequence[DayRecord]) -> None:
        records = self._still_mine(passed)
        lost = len(passed) - len(records)
        if lost:
            print(f"{_days(lost)} taken over by a later run, whose files are newer", flush=True)
        self._catalog.publish(_published(record) for record in records)
        self._catalog.release(records)

    def _announce(self) -> None:
        """Bring the manifest to what the catalog says, and announce the days that this changes.

        Those are the days of this run, and those that a killed run has published but not announced.
        """
        change = self._manifest.write(self._catalog)
        if change is None:
            return
        self._storage.supersede(change.replaced)
        published = self._catalog.published()
        records = [published[day] for day in change.days if day in published]
        rows, quarantined = (sum(int(each.facts[fact]) for each in records) for fact in ("recordCount", "quarantined"))
        detail = {"rows": rows, "quarantined": quarantined, "manifest": change.uri}
        versions = sorted({each.facts["version"] for each in records})
        self._tell(PUBLISHED, {"days": [str(day) for day in change.days], "version": ",".join(versions), **detail})
        first, last = min(change.days), max(change.days)
        print(f"published {rows:,} rows of {_days(len(change.days))}, {first} to {last}: {change.uri}", flush=True)

    def _still_mine(self, records: Sequence[DayRecord]) -> list[DayRecord]:
        """Those that no later run has taken over since: its files are newer."""
        now_there = self._catalog.staged()
        return [
            each
            for each in records
            if each.day in now_there and now_there[each.day].facts.get("load") == each.facts["load"]
        ]

    def _tell(self, kind: str, detail: Mapping[str, Any]) -> None:
        about = {"dataset": self._catalog.published_table, "workflow": self._run.workflow, "run": self._run.run}
        answer = self._events.put_events(
            Entries=[{"Source": EVENT_SOURCE, "DetailType": kind, "Detail": json.dumps(about | dict(detail))}]
        )
        if answer.get("FailedEntryCount"):
            entry = answer["Entries"][0]
            raise DatasetError(f"the event {kind!r} wasn't taken: {entry['ErrorCode']}: {entry['ErrorMessage']}")


def _with_verdict(record: DayRecord, verdict: Verdict) -> DayRecord:
    found = {"rules": f"{verdict.passed}/{verdict.total}", "results": ",".join(verdict.results)}
    return replace(record, facts={**record.facts, **found})


def _published(record: DayRecord) -> DayRecord:
    kept = {name: record.facts[name] for name in (*KEPT_FACTS, "rules", "results") if name in record.facts}
    return replace(record, facts=kept | {"published": now()})


def _held_back(held: Mapping[date, str]) -> str:
    days = sorted(held)
    shown = " | ".join(f"{day}: {held[day]}" for day in days[:SHOWN_DAYS])
    more = f" | and {len(days) - SHOWN_DAYS} more days" if len(days) > SHOWN_DAYS else ""
    return f"held back, {_days(len(days))}: {shown}{more}"


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count} days"


def main(argv: Sequence[str]) -> None:
    """Run the job."""
    import boto3

    names = ("dataset", "database", "curated_bucket", "rulesets", "check_role", "check_workers", "parallel_checks")
    values = parse(argv, *names, optional=["references"])
    run = WorkflowRun(values["WORKFLOW_NAME"], values["WORKFLOW_RUN_ID"])
    glue, s3 = boto3.client("glue"), boto3.client("s3")
    storage = S3Storage(s3)
    catalog = Catalog(glue, values["database"], values["dataset"])
    checks = Checks(
        glue,
        values["database"],
        catalog.staged_table,
        [name for name in values["rulesets"].split(",") if name],
        values["check_role"],
        int(values["check_workers"]),
        int(values["parallel_checks"]),
        dict(each.split("=", 1) for each in values["references"].split(",") if each),
    )
    manifest = Manifest(s3, storage, values["curated_bucket"], values["dataset"])
    PublishJob(catalog, storage, checks, manifest, boto3.client("events"), run).go()
