"""The files of a dataset by the day that each holds, as its manifest brings them.

    features/load=<load>/day=2013-07-04/part-0.parquet

The folder `day=` says the day; what a load is called is of no concern, but that a day comes from one load alone. Files
in no such folder have a column of days themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from model_runtime.datasets import DAY, column_types, parquet_files
from model_runtime.errors import JobError


@dataclass(frozen=True)
class DailyFile:
    """A Parquet file and its day; None for a file with a column of days."""

    path: Path
    day: date | None

    def may_hold(self, first: date | None, last: date | None) -> bool:
        """Whether rows of the days from `first` to `last` can be in it; None leaves an end open."""
        return self.day is None or (first or self.day) <= self.day <= (last or self.day)

    @property
    def shown(self) -> str:
        """The file as errors name it."""
        return f"{self.path}" if self.day is None else f"{self.path} of {self.day}"


def daily_files(directory: Path) -> list[DailyFile]:
    """All Parquet files below a directory, in a stable order.

    Raises JobError when there is none, for a folder `day=` that names no day, and for a day that lies in two folders:
    each of its rows would count twice.
    """
    files, folders = [], dict[date, Path]()
    for path in parquet_files(directory):
        folder = next((each for each in path.parents if each.name.startswith(f"{DAY}=")), None)
        if folder is None or not folder.is_relative_to(directory):
            files.append(DailyFile(path, None))
            continue
        try:
            day = date.fromisoformat(folder.name.removeprefix(f"{DAY}="))
        except ValueError:
            raise JobError(f"{path}: its folder isn't named after a day") from None
        other = folders.setdefault(day, folder)
        if other != folder:
            raise JobError(
                f"the day {day} is there twice, in {other.relative_to(directory)} and in "
                f"{folder.relative_to(directory)}: read the dataset through its manifest, which has each day once"
            )
        files.append(DailyFile(path, day))
    return files


def scan_days(
    files: Sequence[DailyFile], columns: Sequence[str], first: date | None, last: date | None
) -> pl.LazyFrame:
    """The columns, and `day`, of the rows from `first` to `last`, not read yet; None leaves an end open.

    Files of other days are not even opened, and columns that aren't asked for are ignored, so that files may come from
    different versions of the dataset. Raises JobError for a file that can't be read, misses a column, or has text
    where there must be numbers, and when no file is left.
    """
    chosen = [file for file in files if file.may_hold(first, last)]
    if not chosen:
        raise JobError(f"no data from {first or 'the first day'} to {last or 'the last'}")
    rows = pl.concat([_scan(file, columns) for file in chosen], how="vertical_relaxed")
    return rows.filter(pl.col(DAY) >= first if first else True).filter(pl.col(DAY) <= last if last else True)


def _scan(file: DailyFile, columns: Sequence[str]) -> pl.LazyFrame:
    types = column_types(file.path)
    missing = [name for name in columns if name not in types]
    if file.day is None and DAY not in types:
        missing.append(DAY)
    if missing:
        raise JobError(f"{file.shown} misses the columns {', '.join(missing)}")
    for name in columns:
        if not (types[name].is_numeric() or types[name] in (pl.Boolean, pl.Null)):
            raise JobError(f"{file.shown}: the column {name} must hold numbers, it holds {types[name]}")
    if file.day is None and types[DAY] != pl.Date:
        raise JobError(f"{file.shown}: the column {DAY} must hold dates, it holds {types[DAY]}")
    day = pl.col(DAY) if file.day is None else pl.lit(file.day, pl.Date).alias(DAY)
    return pl.scan_parquet(file.path, hive_partitioning=False).select(day, *columns)
