"""The Glue catalog as the record of what is published, staged and held: partitions and their parameters.

A published day is a partition of the table `<dataset>`; pointing it to another folder replaces the day in one step. A
day that is being worked on, or that was held back, is a partition of `<dataset>_staged`: its claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, TypeVar

from dataset_job.errors import DatasetError

# partitions in a call
BATCH = 100
DELETED_AT_ONCE = 25
T = TypeVar("T")

CLAIMED, STAGED, HELD = "claimed", "staged", "held"


@dataclass(frozen=True)
class DayRecord:
    """A partition of a day: the folder that its rows lie in, and what is known of it (texts)."""

    day: date
    location: str
    facts: Mapping[str, str] = field(default_factory=dict)


class Catalog:
    """The two tables of a dataset in a database."""

    def __init__(self, glue: Any, database: str, dataset: str) -> None:
        self._glue = glue
        self._database = database
        self.published_table = dataset
        self.staged_table = f"{dataset}_staged"
        self._descriptors: dict[str, dict[str, Any]] = {}
        self._alive: dict[tuple[str, str], bool] = {}

    @property
    def database(self) -> str:
        """The database's name."""
        return self._database

    def published(self) -> dict[date, DayRecord]:
        """The published days."""
        return self._days(self.published_table)

    def staged(self) -> dict[date, DayRecord]:
        """The days that are claimed, staged or held."""
        return self._days(self.staged_table)

    def claim(self, records: Iterable[DayRecord]) -> set[date]:
        """Put days into the staged table that aren't there; returns those that are, which somebody else has claimed."""
        found = self._create(self.staged_table, list(records))
        return {date.fromisoformat(day) for day in found}

    def stage(self, records: Iterable[DayRecord]) -> None:
        """Put days into the staged table, whether they are there or not."""
        self._put(self.staged_table, list(records))

    def publish(self, records: Iterable[DayRecord]) -> None:
        """Put days into the curated table: whoever reads it sees the old or the new rows of a day, never a part."""
        self._put(self.published_table, list(records))

    def release(self, records: Iterable[DayRecord]) -> None:
        """Take days out of the staged table, but for those that another load has claimed meanwhile."""
        now_there = self.staged()
        loads = {day: record.facts.get("load") for day, record in now_there.items()}
        days = [each.day for each in records if loads.get(each.day) == each.facts.get("load")]
        for some in _batches(days, DELETED_AT_ONCE):
            values = [{"Values": [day.isoformat()]} for day in some]
            self._glue.batch_delete_partition(
                DatabaseName=self._database, TableName=self.staged_table, PartitionsToDelete=values
            )

    def is_alive(self, workflow: str, run: str) -> bool:
        """Whether a workflow run is still at work. A run that nobody knows any more isn't."""
        key = (workflow, run)
        if key not in self._alive:
            try:
                found = self._glue.get_workflow_run(Name=workflow, RunId=run)["Run"]["Status"]
            except self._glue.exceptions.EntityNotFoundException:
                found = "GONE"
            self._alive[key] = found in ("RUNNING", "STOPPING")
        return self._alive[key]

    def _days(self, table: str) -> dict[date, DayRecord]:
        pages = self._glue.get_paginator("get_partitions").paginate(DatabaseName=self._database, TableName=table)
        return {record.day: record for record in _records(pages)}

    def _put(self, table: str, records: Sequence[DayRecord]) -> None:
        known = set(self._create(table, records))
        for some in _batches((record for record in records if record.day.isoformat() in known), BATCH):
            entries = [
                {"PartitionValueList": [record.day.isoformat()], "PartitionInput": self._input(table, record)}
                for record in some
            ]
            answer = self._glue.batch_update_partition(DatabaseName=self._database, TableName=table, Entries=entries)
            self._failed(table, answer, set())

    def _create(self, table: str, records: Sequence[DayRecord]) -> list[str]:
        """Create partitions; returns the days that were there already and stay as they are."""
        known = []
        for some in _batches(records, BATCH):
            answer = self._glue.batch_create_partition(
                DatabaseName=self._database,
                TableName=table,
                PartitionInputList=[self._input(table, record) for record in some],
            )
            known += self._failed(table, answer, {"AlreadyExistsException"})
        return known

    def _failed(self, table: str, answer: Mapping[str, Any], expected: set[str]) -> list[str]:
        days = []
        for error in answer.get("Errors", []):
            values = error.get("PartitionValues") or error.get("PartitionValueList") or ["?"]
            detail = error["ErrorDetail"]
            if detail["ErrorCode"] not in expected:
                raise DatasetError(
                    f"the partition {values[0]} of {self._database}.{table} can't be written: "
                    f"{detail['ErrorCode']}: {detail.get('ErrorMessage', '')}"
                )
            days.append(str(values[0]))
        return days

    def _input(self, table: str, record: DayRecord) -> dict[str, Any]:
        if table not in self._descriptors:
            described = self._glue.get_table(DatabaseName=self._database, Name=table)["Table"]
            self._descriptors[table] = described["StorageDescriptor"]
        return {
            "Values": [record.day.isoformat()],
            "StorageDescriptor": {**self._descriptors[table], "Location": f"{record.location.rstrip('/')}/"},
            "Parameters": dict(record.facts),
        }


def _records(pages: Iterable[Mapping[str, Any]]) -> Iterator[DayRecord]:
    for page in pages:
        for partition in page["Partitions"]:
            yield DayRecord(
                date.fromisoformat(partition["Values"][0]),
                partition["StorageDescriptor"]["Location"].rstrip("/"),
                partition.get("Parameters", {}),
            )


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
