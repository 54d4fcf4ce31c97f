"""Runs that are measured together: runs of the same table with the same rules share their passes over it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_aws.glue.quality.checks import measures_of
from local_aws.glue.quality.evaluation_run import EvaluationRun
from local_aws.glue.quality.measures import Measure, Measured
from local_aws.glue.quality.sources import Layout, SourceError, Unit, find_units, list_files
from local_aws.jobs.s3_files import S3_ERRORS, TRANSFER_THREADS, download

# a boto3 client of a service, in a region, as a role
Clients = Callable[[str, str, str], Any]


@dataclass
class _Table:
    """Units and runs of one table; `references` are the other data sets that its rules name, by alias."""

    layout: Layout
    measures: tuple[Measure, ...]
    references: Mapping[str, tuple[Layout, tuple[Unit, ...]]]
    region: str
    role: str
    units: dict[Unit, int] = field(default_factory=dict)
    runs: dict[str, list[int]] = field(default_factory=dict)


class Batch:
    """Finds and fetches the rows of runs, and tells the evaluator what to measure.

    `failures` says of runs whose files couldn't be fetched, or read, why.
    """

    def __init__(self, clients: Clients, folder: Path) -> None:
        self._clients = clients
        self._folder = folder
        self.failures: dict[str, str] = {}
        self._tables: dict[tuple[Any, ...], _Table] = {}

    def add(self, run: EvaluationRun) -> None:
        """Add a run; SourceError or a ClientError if its data source can't be read."""
        region = run.owner[1]
        glue = self._clients("glue", region, run.role)
        layout, units = find_units(glue, run.record["DataSource"])
        measures = tuple(measures_of(rule for ruleset in run.rulesets for rule in ruleset.rules))
        aliases = sorted({measure.alias for measure in measures if measure.alias})
        others = run.record.get("AdditionalDataSources", {})
        references = {}
        for alias in aliases:
            if alias in others:
                other_layout, other_units = find_units(glue, others[alias])
                references[alias] = other_layout, tuple(other_units)
        key = (layout, measures, tuple(references.items()), region, run.role)
        table = self._tables.setdefault(key, _Table(layout, measures, references, region, run.role))
        table.runs[run.id] = [table.units.setdefault(unit, len(table.units)) for unit in units]

    def plan(self) -> list[dict[str, Any]]:
        """Fetch the files, and return the plan for the evaluator."""
        plans = [self._plan_of(table, self._folder / str(index)) for index, table in enumerate(self._tables.values())]
        return [plan for plan in plans if plan["runs"]]

    def measured(self, run: EvaluationRun, answer: Mapping[str, Any]) -> Measured | None:
        """Return what the evaluator measured of a run, None if it couldn't."""
        found = answer.get(run.id, {})
        if "failure" in found:
            self.failures[run.id] = found["failure"]
        if run.id in self.failures:
            return None
        table = next(table for table in self._tables.values() if run.id in table.runs)
        ids = {f"m{index}": measure for index, measure in enumerate(table.measures)}
        return Measured(
            found["columns"],
            {ids[key]: value for key, value in found["values"].items()},
            {ids[key]: error for key, error in found["errors"].items()},
        )

    def _plan_of(self, table: _Table, folder: Path) -> dict[str, Any]:
        s3 = self._clients("s3", table.region, table.role)
        units = self._fetch(s3, table.units, folder)
        others = {
            alias: (layout, self._fetch(s3, units, folder / f"reference-{index}"))
            for index, (alias, (layout, units)) in enumerate(table.references.items())
        }
        runs = {}
        for run, numbers in table.runs.items():
            read = [units[number] for number in numbers] + [
                unit for _, all_units in others.values() for unit in all_units
            ]
            reasons = [unit["error"] for unit in read if "error" in unit]
            if reasons:
                self.failures[run] = reasons[0]
            else:
                runs[run] = numbers
        return {
            **_described(table.layout, units),
            "runs": runs,
            "measures": {f"m{index}": measure.as_json() for index, measure in enumerate(table.measures)},
            "references": {alias: _described(layout, found) for alias, (layout, found) in others.items()},
        }

    def _fetch(self, s3: Any, units: Iterable[Unit], folder: Path) -> list[dict[str, Any]]:
        def fetch(numbered: tuple[int, Unit]) -> dict[str, Any]:
            number, unit = numbered
            target = folder / f"dq_unit={number}"
            target.mkdir(parents=True)
            fetched = {"folder": str(target), "values": unit.values}
            try:
                bucket, files = list_files(s3, unit)
                download(s3, bucket, files, target)
            except (SourceError, *S3_ERRORS) as error:
                fetched["error"] = f"{unit.location} can't be read: {error}"
            return fetched

        with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
            return list(pool.map(fetch, enumerate(units)))


def _described(layout: Layout, units: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "format": layout.format,
        "columns": layout.columns,
        "keys": layout.keys,
        "csv": {"options": dict(layout.csv_options), "null": layout.csv_null},
        "units": units,
    }
