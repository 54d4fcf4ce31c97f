"""The state of each day: raw files and the catalog's partitions, compared as the prepare job compares them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from mlops_cli.data.dataset import Dataset
from mlops_cli.data.raw_files import Landing, landing
from mlops_cli.deployment import Deployment

LIVE = frozenset({"RUNNING", "STOPPING"})


class State(StrEnum):
    """Where a day stands."""

    PUBLISHED = "published"
    OUTDATED = "outdated"
    CHANGED = "changed"
    READY = "ready"
    PREPARING = "preparing"
    ABANDONED = "abandoned"
    WAITING = "waiting"
    HELD = "held"
    ABSENT = "absent"


@dataclass(frozen=True)
class Record:
    """What a partition's parameters say of a day."""

    location: str
    facts: Mapping[str, str]

    def __getitem__(self, fact: str) -> str:
        return self.facts.get(fact, "")

    @property
    def rows(self) -> int:
        """Rows of the day."""
        return int(self["recordCount"] or 0)

    @property
    def quarantined(self) -> int:
        """Bad rows of the day."""
        return int(self["quarantined"] or 0)

    @property
    def reasons(self) -> dict[str, int]:
        """Why rows are in quarantine, with their number, the most frequent first."""
        found: dict[str, int] = json.loads(self["reasons"] or "{}")
        return dict(sorted(found.items(), key=lambda each: -each[1]))

    @property
    def notes(self) -> list[str]:
        """What the preparation noticed, ignored columns for one."""
        found: list[str] = json.loads(self["notes"] or "[]")
        return found

    @property
    def results(self) -> list[str]:
        """The ids of the results of its data quality rules."""
        return [each for each in self["results"].split(",") if each]


@dataclass(frozen=True, kw_only=True)
class Day:
    """One day: its raw files, its published and its staged partition, if there are, and what follows from them."""

    day: date
    state: State
    files: int = 0
    size: int = 0
    missing: Sequence[str] = ()
    published: Record | None = None
    staged: Record | None = None
    inputs: str = ""

    @property
    def newest(self) -> Record | None:
        """The record that tells of the latest attempt."""
        return self.staged if self.state is State.HELD else self.published or self.staged

    def is_due(self, redo: str, version: str) -> bool:
        """Whether a run that redoes what is `changed`, `outdated` or `all` would work on this day.

        A day that another live run has claimed isn't due, nor one that was held for what it still is.
        """
        if self.missing or not self.files or self.state is State.PREPARING:
            return False
        if redo == "all":
            return True
        there = self.published
        if there and there["inputs"] == self.inputs and (redo == "changed" or there["version"] == version):
            return False
        held = self.staged if self.staged and self.staged["state"] == "held" else None
        return held is None or (held["inputs"], held["version"]) != (self.inputs, version)


@dataclass(frozen=True)
class Snapshot:
    """A dataset's days at one moment, from the first to the last one known, without gaps."""

    dataset: Dataset
    days: Sequence[Day] = field(default_factory=list)

    def in_state(self, *states: State) -> list[Day]:
        """Return the days in one of the states."""
        return [day for day in self.days if day.state in states]

    @property
    def published(self) -> list[Day]:
        """The days whose rows can be read, whether they are to be made again or not."""
        return [day for day in self.days if day.published]

    @property
    def earlier(self) -> list[Day]:
        """The days that are read as an earlier landing had them, since their newest files are held or not done yet."""
        return [day for day in self.published if day.published and day.published["inputs"] != day.inputs]

    @property
    def rows(self) -> int:
        """Published rows."""
        return sum(day.published.rows for day in self.days if day.published)

    @property
    def quarantined(self) -> int:
        """Bad rows of the published days."""
        return sum(day.published.quarantined for day in self.days if day.published)


def snapshot(
    deployment: Deployment, dataset: Dataset, first_day: date | None = None, last_day: date | None = None
) -> Snapshot:
    """Read the state of the days from the first to the last, both included; of all days when they are left out."""
    glue = deployment.client("glue")
    found = landing(deployment.client("s3"), dataset.raw_bucket, dataset.daily, dataset.reference, first_day, last_day)
    published = partitions(glue, dataset.database, dataset.name, first_day, last_day)
    staged = partitions(glue, dataset.database, dataset.staged_table, first_day, last_day)
    at_work = {record["run"] for record in staged.values() if record["state"] != "held"}
    live = {run for run in at_work if _is_live(glue, dataset.workflow, run)}
    known = [
        day
        for day in {*found.days(), *published, *staged}
        if (first_day is None or day >= first_day) and (last_day is None or day <= last_day)
    ]
    if not known:
        return Snapshot(dataset)
    span = range((max(known) - min(known)).days + 1)
    return Snapshot(
        dataset,
        [
            _day(dataset, found, day, published.get(day), staged.get(day), live)
            for day in (min(known) + timedelta(days=offset) for offset in span)
        ],
    )


def partitions(
    glue: Any, database: str, table: str, first_day: date | None = None, last_day: date | None = None
) -> dict[date, Record]:
    """Return the partitions of a table by day."""
    request: dict[str, Any] = {"DatabaseName": database, "TableName": table, "ExcludeColumnSchema": True}
    limits = [f"day >= '{first_day}'"] if first_day else []
    limits += [f"day <= '{last_day}'"] if last_day else []
    if limits:
        request["Expression"] = " AND ".join(limits)
    return dict(_records(glue.get_paginator("get_partitions").paginate(**request)))


def _records(pages: Any) -> Iterator[tuple[date, Record]]:
    for page in pages:
        for partition in page["Partitions"]:
            location = partition.get("StorageDescriptor", {}).get("Location", "")
            yield (
                date.fromisoformat(partition["Values"][0]),
                Record(location.rstrip("/"), partition.get("Parameters", {})),
            )


def _is_live(glue: Any, workflow: str, run: str) -> bool:
    try:
        return glue.get_workflow_run(Name=workflow, RunId=run)["Run"]["Status"] in LIVE
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise
        return False


def _day(
    dataset: Dataset,
    found: Landing,
    day: date,
    published: Record | None,
    staged: Record | None,
    live: set[str],
) -> Day:
    files = found.files(day)
    missing = found.missing(day) if files else []
    inputs = found.fingerprint(day) if files else ""
    # a claim that a mended day, or a killed run, has left on rows that are published as they landed says nothing
    current = bool(published and files and not missing and published["inputs"] == inputs)
    if current and staged and staged["inputs"] != inputs and staged["run"] not in live:
        staged = None
    if staged and staged["state"] == "held":
        state = State.HELD if staged["inputs"] == inputs or missing else State.READY
    elif staged:
        state = State.PREPARING if staged["run"] in live else State.ABANDONED
    elif published and files and not missing and published["inputs"] != inputs:
        state = State.CHANGED
    elif published:
        state = State.PUBLISHED if published["version"] == dataset.version else State.OUTDATED
    elif not files:
        state = State.ABSENT
    else:
        state = State.WAITING if missing else State.READY
    return Day(
        day=day,
        state=state,
        files=len(files),
        size=sum(file.size for file in files),
        missing=missing,
        published=published,
        staged=staged,
        inputs=inputs,
    )
