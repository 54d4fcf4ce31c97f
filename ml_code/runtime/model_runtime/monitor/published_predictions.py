"""Batch predictions as the second source: the published rows of each day, and what was predicted for them.

A row's time is the day that it is of. Labels that the published rows have by now come with them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl

from model_runtime.batch.days import PublishedDay, published_days
from model_runtime.batch.plan import VERSION, predictions_uri
from model_runtime.batch.publication import PREDICTION
from model_runtime.datasets import column_types
from model_runtime.errors import JobError
from model_runtime.monitor.captures import CaptureBatch, CaptureCounts
from model_runtime.monitor.lake import Lake

PACKAGE, INFERENCE = "model_package", "inference_id"


@dataclass
class PublishedPredictions:
    """The predictions table at `table` beside the dataset of `manifest`, whose rows `key` tells apart."""

    table: str
    manifest: str
    key: Sequence[str]
    lake: Lake
    counts: CaptureCounts = field(default_factory=CaptureCounts)

    def newest_package(self, start: datetime, end: datetime) -> str | None:
        """The version that predicted the newest day of [start, end); None when none of them has predictions."""
        for day in sorted(self._days(start, end), reverse=True):
            notes = self.lake.notes(predictions_uri(self.table, str(day)))
            if notes is not None and notes.get(VERSION):
                return str(notes[VERSION])
        return None

    def _days(self, start: datetime, end: datetime) -> dict[date, PublishedDay]:
        published = published_days(self.lake.read_json(self.manifest), self.manifest)
        return {day: files for day, files in published.items() if start <= moment_of(day) < end}

    def batches(
        self, start: datetime, end: datetime, features: Sequence[str], label: str, package: str
    ) -> Iterator[CaptureBatch]:
        """The rows of the days in [start, end), a day at a time; days without predictions, and what is wrong with some,
        are counted."""
        with tempfile.TemporaryDirectory() as scratch:
            for day, published in self._days(start, end).items():
                uri = predictions_uri(self.table, str(day))
                if self.lake.notes(uri) is None:
                    continue
                self.counts.files += 1
                try:
                    batch = self._day(day, uri, published, features, label, package, Path(scratch) / str(day))
                except (JobError, pl.exceptions.PolarsError, OSError) as error:
                    self.counts.broke(uri, 0, " ".join(str(error).split()))
                    continue
                self.counts.records += batch.rows.height
                self.counts.unanswered += batch.predictions.null_count()
                self.counts.hours |= {moment_of(day) + timedelta(hours=hour) for hour in range(24)}
                yield batch

    def _day(
        self,
        day: date,
        uri: str,
        published: PublishedDay,
        features: Sequence[str],
        label: str,
        package: str,
        directory: Path,
    ) -> CaptureBatch:
        self.lake.download(uri, directory / "predictions.parquet")
        predictions = pl.read_parquet(directory / "predictions.parquet", hive_partitioning=False)
        parts = []
        for number, file in enumerate(published.files):
            target = directory / f"{number}.parquet"
            self.lake.download(file, target)
            types = column_types(target)
            missing = [name for name in self.key if name not in types]
            if missing:
                raise JobError(
                    f"the published rows of {day} have no column {', '.join(missing)}, which tells them apart"
                )
            columns = dict.fromkeys([*self.key, *(name for name in (*features, label) if name in types)])
            parts.append(pl.read_parquet(target, columns=list(columns), hive_partitioning=False))
        rows = pl.concat(parts, how="diagonal_relaxed")
        alike = [pl.col(name).cast(predictions.schema[name]) for name in self.key]
        keyed = rows.with_columns(each.alias(f"#{name}") for each, name in zip(alike, self.key, strict=True))
        answered = predictions.select(
            *(pl.col(name).alias(f"#{name}") for name in self.key),
            pl.col(PREDICTION).alias("#prediction"),
            pl.col(PACKAGE).alias("#package"),
            pl.col(INFERENCE).alias("#id"),
        )
        joined = keyed.join(answered, on=[f"#{name}" for name in self.key], how="left", nulls_equal=True)
        times = pl.repeat(moment_of(day), joined.height, dtype=pl.Datetime("us", "UTC"), eager=True)
        ids = pl.concat_str([pl.lit(f"{day}/"), pl.int_range(joined.height).cast(pl.String)])
        # texts stay as they are: the sketch takes those that are numbers as such, and the others are to be seen
        given = joined.select(
            pl.col(name) if rows.schema[name] == pl.String else pl.col(name).cast(pl.Float64, strict=False)
            for name in features
            if name in rows.columns
        )
        return CaptureBatch(
            rows=given,
            keys=joined.select(pl.coalesce(pl.col("#id"), ids)).to_series(),
            times=times,
            predictions=joined["#prediction"].cast(pl.Float64),
            labels=joined[label].cast(pl.Float64, strict=False) if label in joined.columns else None,
            current=(joined["#package"] == package).fill_null(False),
        )


def moment_of(day: date) -> datetime:
    """The beginning of a day."""
    return datetime.combine(day, time(), UTC)
