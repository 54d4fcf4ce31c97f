"""From raw files to staged days: read, transform, write, and account for every row.

It knows Spark and a store, no catalog: the same call runs in a Glue job, a notebook, a test and a benchmark.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark import StorageLevel
from pyspark.sql import Observation
from pyspark.sql import functions as F

from dataset_job import reading
from dataset_job.csv_files import CsvFile, FileProblem, inspect
from dataset_job.declaration import Dataset, RawTable
from dataset_job.errors import DatasetError
from dataset_job.landing import Landing, folder_day
from dataset_job.storage import Storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Transform = Callable[["SparkSession", Mapping[str, "DataFrame"], Sequence[date]], "DataFrame"]

DAY = "day"
FILE_BYTES = 256 * 1024 * 1024
"""Raw bytes of a day that go into one Parquet file."""
SHOWN_REASONS = 10
COUNT_SECONDS = 5.0

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
    # Without this a row with too many or too few values passes where the columns that are read are there.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a day. `held` is the reason why it must not be published, None when nothing speaks against it."""

    day: date
    rows: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    held: str | None = None


@dataclass(frozen=True)
class Preparation:
    """Prepares days of a dataset below `<curated>/load=<load>/day=.../`.

    Bad rows go below `<quarantine>/day=.../load=<load>/`. The URIs have no slash at their end.
    """

    spark: SparkSession
    dataset: Dataset
    transform: Transform
    storage: Storage
    curated: str
    quarantine: str
    load: str

    def run(self, landing: Landing, days: Sequence[date]) -> list[Outcome]:
        """Prepare the days, all of which have landed; one outcome for each.

        A day with a file that can't be trusted is held and leaves the others alone. Raises DatasetError when a
        reference table can't be read or has too many bad rows, or when `transform` doesn't return the declared columns.
        """
        for name, value in SETTINGS.items():
            self.spark.conf.set(name, value)
        reference = {table.name: self._reference(landing, table) for table in self.dataset.reference_tables}
        files, held, notes = self._daily(landing, days)
        sound = [day for day in days if day not in held]
        outcomes = {day: Outcome(day, held=reason) for day, reason in held.items()}
        if sound:
            for outcome in self._prepare(landing, sound, files, reference):
                outcomes[outcome.day] = outcome
        return [replace(outcomes[day], notes=tuple(notes.get(day, ()))) for day in days]

    def folder(self, day: date) -> str:
        """Where a staged day lies."""
        return f"{self.curated}/load={self.load}/{DAY}={day}"

    def _reference(self, landing: Landing, table: RawTable) -> list[CsvFile]:
        found = inspect(self.storage, table, landing.reference[table.name])
        problems = [each for each in found if isinstance(each, FileProblem)]
        if problems:
            raise DatasetError("; ".join(map(str, problems)))
        return [each for each in found if isinstance(each, CsvFile)]

    def _daily(
        self, landing: Landing, days: Sequence[date]
    ) -> tuple[dict[tuple[str, date], list[CsvFile]], dict[date, str], dict[date, list[str]]]:
        """The files of each table and day; the days that a file of theirs holds, with the reason; notes by day."""
        files: dict[tuple[str, date], list[CsvFile]] = defaultdict(list)
        problems: dict[date, list[str]] = defaultdict(list)
        notes: dict[date, list[str]] = defaultdict(list)
        for table in self.dataset.daily_tables:
            wanted = {each.uri: each for day in days for part in landing.objects(table, day).values() for each in part}
            for found in inspect(self.storage, table, wanted.values()):
                day = folder_day(wanted[found.uri].key)
                assert day is not None
                if isinstance(found, FileProblem):
                    # a day that is only looked back at isn't held by it, and does without
                    problems[day].append(str(found))
                    continue
                files[table.name, day].append(found)
                if found.extra:
                    notes[day].append(f"{found.uri}: not declared, so ignored: {', '.join(found.extra)}")
        held = {day: "; ".join(problems[day]) for day in days if day in problems}
        return files, held, notes

    def _prepare(
        self,
        landing: Landing,
        days: Sequence[date],
        files: Mapping[tuple[str, date], list[CsvFile]],
        reference: Mapping[str, list[CsvFile]],
    ) -> list[Outcome]:
        read = dict(reference)
        for table in self.dataset.daily_tables:
            needed = sorted({day for each in days for day in landing.objects(table, each)})
            read[table.name] = [file for day in needed for file in files.get((table.name, day), [])]
        counters = {name: Observation() for name in read}
        frames = {
            name: reading.read(self.spark, self.dataset.tables[name], each, counters[name])
            for name, each in read.items()
        }
        files_a_day = self._files_a_day(landing, days)
        self._write(self.transform(self.spark, frames, days), files_a_day)
        rows, doubled = self._written(files_a_day)
        suspects = _suspects(counters)
        seen = {day: rows.get(day, 0) for day in days}
        suspect = [name for name in read if name in suspects]
        if doubled:
            suspect = [name for name in read if name in suspect or self.dataset.tables[name].key]
        if not suspect:
            return [Outcome(day, rows=count) for day, count in seen.items()]
        outcomes = self._quarantine(days, seen, {name: read[name] for name in suspect})
        if doubled:
            outcomes = self._without_duplicates(doubled, read, files_a_day, outcomes)
        return outcomes

    def _files_a_day(self, landing: Landing, days: Sequence[date]) -> int:
        sizes = (
            sum(each.size for table in self.dataset.daily_tables for each in landing.daily[table.name].get(day, ()))
            for day in days
        )
        return 1 + max(sizes, default=0) // FILE_BYTES

    def _write(self, prepared: DataFrame, files_a_day: int) -> None:
        wanted = {column.name: column.type for column in self.dataset.columns} | {DAY: "date"}
        given = dict(prepared.dtypes)
        wrong = [f"{name} is missing" for name in wanted if name not in given]
        wrong += [f"{name} isn't declared" for name in given if name not in wanted]
        wrong += [f"{name} is {given[name]}, declared is {kind}" for name, kind in wanted.items()
                  if name in given and given[name] != kind]  # fmt: skip
        if wrong:
            raise DatasetError(f"{self.dataset.name}.etl.transform and dataset.yaml differ: {'; '.join(wrong)}")
        spread = [] if files_a_day == 1 else [F.pmod(F.xxhash64(*self.dataset.key or [DAY]), F.lit(files_a_day))]
        (
            prepared.select(*wanted)
            .repartition(DAY, *spread)
            .write.mode("overwrite")
            .partitionBy(DAY)
            .parquet(f"{self.curated}/load={self.load}")
        )

    def _written(self, files_a_day: int) -> tuple[dict[date, int], list[date]]:
        """The rows of each day as they lie there now, and the days in which a key comes twice."""
        key = self.dataset.key
        schema = ", ".join(f"`{column.name}` {column.type}" for column in self.dataset.columns)
        # with a schema, a run without a single sound row reads as what it is: no rows
        written = self.spark.read.schema(f"{schema}, {DAY} DATE").parquet(f"{self.curated}/load={self.load}")
        if not key:
            return {row[DAY]: row["count"] for row in written.groupBy(DAY).count().collect()}, []
        # hashes tell most days apart from those that deserve a closer look, at a fifth of its price
        hashes = written.select(DAY, F.xxhash64(*key).alias("_hash"))
        piles = hashes.groupBy(DAY, F.pmod("_hash", F.lit(files_a_day))).agg(F.collect_list("_hash").alias("_pile"))
        counts = piles.select(DAY, F.size("_pile").alias("rows"), F.size(F.array_distinct("_pile")).alias("keys"))
        found = counts.groupBy(DAY).agg(F.sum("rows").alias("rows"), F.sum("keys").alias("keys")).collect()
        suspects = [row[DAY] for row in found if row["keys"] < row["rows"]]
        doubled = written.where(F.col(DAY).isin(suspects)).groupBy(DAY, *key).count().where("count > 1")
        days = [row[DAY] for row in doubled.select(DAY).distinct().collect()] if suspects else []
        return {row[DAY]: row["rows"] for row in found}, days

    def _quarantine(
        self, days: Sequence[date], rows: Mapping[date, int], files: Mapping[str, list[CsvFile]]
    ) -> list[Outcome]:
        newest = max(days)
        frames = [reading.bad_rows(self.spark, self.dataset.tables[name], each) for name, each in files.items()]
        bad = frames[0]
        for each in frames[1:]:
            bad = bad.unionByName(each)
        bad = bad.withColumn("_of", F.col(DAY)).withColumn(DAY, F.coalesce(DAY, F.lit(newest)))
        # days that are only looked back at have their bad rows in quarantine since they were prepared themselves
        bad = bad.where(F.col(DAY).isin(list(days))).persist(StorageLevel.DISK_ONLY)
        try:
            (
                bad.select("source_table", "file", "reason", "row", DAY, F.lit(self.load).alias("load"))
                .repartition(DAY)
                .write.mode("overwrite")
                .partitionBy(DAY, "load")
                .parquet(self.quarantine)
            )
            kind = F.regexp_replace("reason", ": .*$", "").alias("kind")
            counted: list[Any] = (
                bad.groupBy(DAY, "source_table", kind).agg(F.count("*").alias("n"), F.max("landed").alias("landed"))
            ).collect()
        finally:
            bad.unpersist()
        return [self._outcome(day, rows[day], [each for each in counted if each.day == day]) for day in days]

    def _outcome(self, day: date, rows: int, bad: Sequence[Any]) -> Outcome:
        reasons = {f"{each.source_table}: {each.kind}": each.n for each in sorted(bad, key=lambda each: -each.n)}
        held = []
        for table in sorted({each.source_table for each in bad}):
            of_table = [each for each in bad if each.source_table == table]
            count, landed = sum(each.n for each in of_table), max(each.landed for each in of_table)
            percent = 100 * count / landed
            if percent > self.dataset.maximum_percent:
                worst = max(of_table, key=lambda each: each.n)
                problem = (
                    f"{count} of {landed} rows of {table} are bad ({percent:.1f} %, at most "
                    f"{self.dataset.maximum_percent:g} % may be), most often: {worst.kind}"
                )
                if not self.dataset.tables[table].daily:
                    raise DatasetError(problem)  # no day can do without it
                held.append(problem)
        shown = dict(list(reasons.items())[:SHOWN_REASONS])
        quarantined = sum(each.n for each in bad)
        return Outcome(day, rows=rows, quarantined=quarantined, reasons=shown, held="; ".join(held) or None)

    def _without_duplicates(
        self,
        doubled: Sequence[date],
        read: Mapping[str, list[CsvFile]],
        files_a_day: int,
        outcomes: Sequence[Outcome],
    ) -> list[Outcome]:
        """Write the days in which a key came twice once more, without the rows that are in quarantine for it."""
        tables = self.dataset.tables
        unique = {name: reading.read_unique(self.spark, tables[name], files) for name, files in read.items()}
        self._write(self.transform(self.spark, unique, doubled), files_a_day)
        rows, still = self._written(files_a_day)
        return [
            replace(
                outcome,
                rows=rows.get(outcome.day, 0),
                held=outcome.held
                or (f"several rows for one key ({', '.join(self.dataset.key)})" if outcome.day in still else None),
            )
            for outcome in outcomes
        ]


def _suspects(counters: Mapping[str, Observation]) -> set[str]:
    """The tables that have bad rows, or may have: `transform` doesn't use them, or Spark found that it needn't.

    Counts arrive a moment after the job that made them. Python's `Observation.get` waits for ever for one that doesn't.
    """
    futures: dict[str, Any] = {name: _java(counter).future() for name, counter in counters.items()}
    deadline = time.monotonic() + COUNT_SECONDS
    while time.monotonic() < deadline and not all(future.isCompleted() for future in futures.values()):
        time.sleep(COUNT_SECONDS / 100)
    rows = {name: future.value().get().get() for name, future in futures.items() if future.isCompleted()}
    return {name for name in futures if name not in rows or not rows[name].length() or rows[name].getLong(0)}


def _java(observation: Observation) -> Any:
    return observation._jo
