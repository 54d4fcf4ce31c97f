"""Tables of features as Parquet files: found, checked and read the same way by every entry point."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from model_runtime.errors import JobError

DAY = "day"


def parquet_files(directory: Path) -> list[Path]:
    """All Parquet files below a directory, in a stable order; raises JobError when there is none."""
    files = sorted(path for path in directory.rglob("*.parquet") if path.is_file())
    if not files:
        reason = "holds no Parquet file" if directory.is_dir() else "isn't there"
        raise JobError(f"no data: {directory} {reason}")
    return files


def column_types(file: Path) -> pl.Schema:
    """A file's columns with their types; raises JobError for a file that can't be read."""
    try:
        return pl.Schema(pl.read_parquet_schema(file))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise JobError(f"{file} can't be read as Parquet: {error}") from error


def read_rows(directory: Path, required: Sequence[str]) -> pl.DataFrame:
    """All rows below a directory; raises JobError when there are none, or when a file misses a required column."""
    files = parquet_files(directory)
    for file in files:
        types = column_types(file)
        missing = [column for column in required if column not in types]
        if missing:
            raise JobError(f"{file} misses the columns {', '.join(missing)}")
    rows = pl.read_parquet(files, hive_partitioning=False)
    if rows.is_empty():
        raise JobError(f"no data: the Parquet files in {directory} hold no row")
    return rows


def is_known(rows: pl.LazyFrame, column: str) -> pl.Expr:
    """Whether a row has a value in a column: neither null nor NaN; an infinite number is one."""
    known = pl.col(column).is_not_null()
    floating = rows.collect_schema()[column].is_float()
    return known & pl.col(column).is_not_nan().fill_null(False) if floating else known


def unusable_labels(column: pl.Series) -> int:
    """How many labels are missing: null, or not a finite number."""
    missing = column.null_count()
    if column.dtype.is_float():
        missing += int((~column.drop_nulls().is_finite()).sum())
    return missing


def day_range(rows: pl.DataFrame) -> tuple[date, date] | None:
    """The first and the last day of the rows; None when there is no row, or no column of days."""
    if DAY not in rows.columns or rows.schema[DAY] != pl.Date:
        return None
    first, last = rows[DAY].min(), rows[DAY].max()
    return (first, last) if isinstance(first, date) and isinstance(last, date) else None
