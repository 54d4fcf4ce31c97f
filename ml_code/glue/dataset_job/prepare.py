"""The job `prepare`: finds the days that need it, claims them, prepares them, and leaves them staged for the checks.

It doesn't trust the event that started it but compares what lies in the raw zone with the catalog. So events may come
twice, late, in any order or not at all, and what a killed run left is repaired by the next one.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from dataset_job.arguments import ALL, OUTDATED, Request, WorkflowRun, parse, request_of
from dataset_job.catalog import CLAIMED, HELD, STAGED, Catalog, DayRecord
from dataset_job.declaration import Dataset
from dataset_job.declaration import parse as parse_declaration
from dataset_job.errors import DatasetError
from dataset_job.landing import Landing, look
from dataset_job.storage import S3Storage, Storage

MEGABYTE = 1024 * 1024


def days_to_prepare(
    landing: Landing, request: Request, catalog: Catalog, run: WorkflowRun, version: str
) -> dict[date, str]:
    """The days to work on, each with the fingerprint of its raw files, in order.

    Left out are days that haven't landed whole, days that are published (or held) as they are, and those that another
    run is at work on with the same files; with other files this run takes a day over, and the other one lets it go.
    """
    published, staged = catalog.published(), catalog.staged()
    wanted = {}
    for day in landing.days():
        if not request.wants(day) or landing.missing(day):
            continue
        inputs = landing.fingerprint(day)
        claim, there = staged.get(day), published.get(day)
        if there is not None and _is_current(there, request, inputs, version):
            continue
        if claim is None or not _covers(catalog, claim, request, run, inputs, version):
            wanted[day] = inputs
    return wanted


def left_over(landing: Landing, catalog: Catalog, run: WorkflowRun, version: str) -> list[DayRecord]:
    """Claims that say nothing any more, on days that are published as they landed.

    A day that was held for a bad correction has got its first files back, or a run was killed before it let go.
    """
    published, plain = catalog.published(), Request()
    return [
        claim
        for day, claim in catalog.staged().items()
        if day in published
        and _is_current(published[day], plain, inputs := landing.fingerprint(day), version)
        and (claim.facts.get("inputs") != inputs or claim.facts.get("state") != HELD)
        and not catalog.is_alive(run.workflow, claim.facts.get("run", ""))
    ]


def _is_current(record: DayRecord, request: Request, inputs: str, version: str) -> bool:
    if request.redo == ALL or record.facts.get("inputs") != inputs:
        return False
    return request.redo != OUTDATED or record.facts.get("version") == version


def _covers(catalog: Catalog, claim: DayRecord, request: Request, run: WorkflowRun, inputs: str, version: str) -> bool:
    facts = claim.facts
    if facts.get("inputs") != inputs:
        return False
    if facts.get("state") == HELD:
        # it would only be held again
        return request.redo != ALL and facts.get("version") == version
    return facts.get("run") != run.run and catalog.is_alive(run.workflow, facts.get("run", ""))


class PrepareJob:
    """One run of the job. `transform` comes from the dataset's etl.py."""

    def __init__(
        self, catalog: Catalog, storage: Storage, dataset: Dataset, values: Mapping[str, str], run: WorkflowRun
    ) -> None:
        self._catalog = catalog
        self._storage = storage
        self._dataset = dataset
        self._run = run
        self._version = values["version"]
        self._curated, self._quarantine = values["curated"].rstrip("/"), values["quarantine"].rstrip("/")
        self._raw = values["raw"].rstrip("/")
        self.load = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{run.run[-12:]}"

    def go(self, request: Request) -> list[date]:
        """Prepare what needs it; returns the days that were worked on."""
        landing = look(self._storage, self._dataset, self._raw)
        for stray in landing.strays:
            print(f"ignored, since it lies in no folder day=YYYY-MM-DD: {stray.uri}", file=sys.stderr)
        days = days_to_prepare(landing, request, self._catalog, self._run, self._version)
        self._catalog.release(left_over(landing, self._catalog, self._run, self._version))
        days, replaced = self._claim(days, request)
        if not days:
            waiting = {day: landing.missing(day) for day in landing.days() if landing.missing(day)}
            newest = f"; {max(waiting)} waits for {', '.join(waiting[max(waiting)])}" if waiting else ""
            print(f"nothing to prepare: {len(landing.days()) - len(waiting)} days are up to date{newest}", flush=True)
            return []
        size = sum(each.size for name in landing.daily for day in days for each in landing.daily[name].get(day, ()))
        print(f"preparing {_shown(days)} ({size / MEGABYTE:.1f} MB of raw data) as load {self.load}", flush=True)
        self._clear(self._prepare(landing, days), replaced)
        return list(days)

    def _claim(self, days: Mapping[date, str], request: Request) -> tuple[dict[date, str], list[str]]:
        """Claim the days; returns those that this run got, and the folders of the claims that it replaces."""
        before = self._catalog.staged()
        facts = {"state": CLAIMED, "load": self.load, "run": self._run.run, "version": self._version}
        records = {day: self._record(day, facts | {"inputs": inputs}) for day, inputs in days.items()}
        # of two runs that look at the same moment, one gets a day
        met = self._catalog.claim(record for day, record in records.items() if day not in before)
        others = self._catalog.staged() if met else before
        lost = {
            day
            for day in met | (days.keys() & before.keys())
            if day in others and _covers(self._catalog, others[day], request, self._run, days[day], self._version)
        }
        self._catalog.stage(records[day] for day in days if (day in before or day in met) and day not in lost)
        won = {day: inputs for day, inputs in days.items() if day not in lost}
        return won, [before[day].location for day in won if day in before]

    def _prepare(self, landing: Landing, days: Mapping[date, str]) -> list[date]:
        """Prepare and stage the days; returns those that no later run has taken over meanwhile."""
        # Spark starts here, so that a run without work ends in a second
        from pyspark.sql import SparkSession

        from dataset_job.preparation import Outcome, Preparation

        spark = SparkSession.builder.appName(f"prepare-{self._dataset.name}").getOrCreate()
        try:
            transform = _transform(self._dataset.name)
            preparation = Preparation(
                spark, self._dataset, transform, self._storage, self._curated, self._quarantine, self.load
            )
            outcomes = preparation.run(landing, list(days))
        finally:
            spark.stop()

        def facts(outcome: Outcome) -> dict[str, str]:
            found = {
                "state": HELD if outcome.held else STAGED,
                "load": self.load,
                "run": self._run.run,
                "version": self._version,
                "inputs": days[outcome.day],
                "recordCount": str(outcome.rows),
                "quarantined": str(outcome.quarantined),
                "reasons": json.dumps(dict(outcome.reasons)),
                "notes": json.dumps(list(outcome.notes)),
            }
            return found | ({"reason": outcome.held, "held": now()} if outcome.held else {})

        claims = self._catalog.staged()
        mine = [each for each in outcomes if each.day in claims and claims[each.day].facts.get("load") == self.load]
        if len(mine) < len(outcomes):
            print(f"{len(outcomes) - len(mine)} days were taken over by a later run, whose files are newer", flush=True)
        self._catalog.stage(self._record(outcome.day, facts(outcome)) for outcome in mine)
        for outcome in mine:
            if outcome.held:
                print(f"{outcome.day} is held back: {outcome.held}", file=sys.stderr)
        rows, bad = sum(each.rows for each in mine), sum(each.quarantined for each in mine)
        print(f"staged {rows:,} rows of {len(mine)} days, {bad:,} in quarantine", flush=True)
        return [outcome.day for outcome in mine]

    def _clear(self, days: Iterable[date], replaced: Sequence[str]) -> None:
        """Take away what this run's staged days and quarantined rows replace."""
        # a claim may be left on rows that have been published since
        in_use = {record.location for record in self._catalog.published().values()}
        free = [folder for folder in replaced if folder not in in_use]
        self._storage.supersede(each.uri for folder in free for each in self._storage.list(folder))
        mine = f"/load={self.load}/"
        old = [
            each.uri
            for day in days
            for each in self._storage.list(f"{self._quarantine}/day={day}")
            if mine not in f"/{each.key}"
        ]
        self._storage.delete(old)

    def _record(self, day: date, facts: Mapping[str, str]) -> DayRecord:
        return DayRecord(day, f"{self._curated}/load={self.load}/day={day}", facts)


def now() -> str:
    """The time as parameters of partitions carry it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _transform(name: str) -> Any:
    try:
        module = importlib.import_module(f"{name}.etl")
    except ModuleNotFoundError as error:
        raise DatasetError(f"no code for the dataset {name!r}: {error}") from error
    function = getattr(module, "transform", None)
    if not callable(function):
        raise DatasetError(f"the dataset has no function {name}.etl.transform")
    return function


def _shown(days: Mapping[date, str]) -> str:
    first, last = min(days), max(days)
    return f"{first}" if first == last else f"{len(days)} days from {first} to {last}"


def reason_of(error: Exception) -> str:
    """The cause of a failed Spark job in one line, without the engine's own words around it."""
    text = str(error)
    lines = [line for line in text.splitlines() if line.strip()]
    condition = re.search(r"(\[[A-Z_.]+\] .*)", text)
    line = condition[1] if condition else (lines[0] if lines else type(error).__name__)
    return " ".join(line.split())


def main(argv: Sequence[str]) -> None:
    """Run the job; an error is raised with its cause alone, since Glue shows the last line of the traceback."""
    import boto3
    from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    values = parse(argv, "dataset", "declaration", "raw", "curated", "quarantine", "database", "version")
    run = WorkflowRun(values["WORKFLOW_NAME"], values["WORKFLOW_RUN_ID"])
    glue, storage = boto3.client("glue"), S3Storage(boto3.client("s3"))
    dataset = parse_declaration(storage.read(values["declaration"], 0, 16 * MEGABYTE).decode())
    catalog = Catalog(glue, values["database"], values["dataset"])
    job = PrepareJob(catalog, storage, dataset, values, run)
    try:
        job.go(request_of(glue, run))
    except (PySparkException, Py4JJavaError) as error:
        print(str(error), file=sys.stderr)
        raise DatasetError(reason_of(error)) from None
