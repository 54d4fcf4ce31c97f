"""The baseline that a monitor compares with: what the training rows were like, described while they are prepared."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from model_runtime.monitor import constraints, statistics
from model_runtime.monitor.sketches import TableSketch
from model_runtime.monitor.usual import DayCounts

OUTPUT = "baseline"
BATCH_ROWS = 100_000


def write_baseline(
    rows: pl.DataFrame | pl.LazyFrame | Iterable[Path],
    features: Sequence[str],
    categorical: Collection[str],
    directory: Path,
    day: str | None = None,
) -> None:
    """Write `statistics.json` and `constraints.json` of the features, in their order, into a directory.

    `rows` are a table, or Parquet files, which are read in batches, twice where there is a `day`. `categorical` are the
    features whose numbers are codes of text, `day` is the column of dates, by which windows of the rows are told apart:
    without it the baseline doesn't say what is usual.
    """
    rows = rows if isinstance(rows, pl.DataFrame | pl.LazyFrame) else list(rows)
    table = sketch_rows(rows, features)
    said = statistics.statistics_json(table, categorical)
    if day is not None:
        counts = DayCounts(statistics.read_statistics(said), day)
        for batch in _batches(rows, list(dict.fromkeys([day, *features]))):
            counts.update(batch)
        usual = counts.usual()
        for each in said["features"]:
            if each["name"] in usual:
                each["usual"] = usual[each["name"]].to_json()
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        statistics.FILE: said,
        constraints.FILE: constraints.suggested_constraints(table, categorical),
    }
    for name, content in files.items():
        (directory / name).write_text(json.dumps(content) + "\n", encoding="utf-8")


def sketch_rows(rows: pl.DataFrame | pl.LazyFrame | Iterable[Path], columns: Sequence[str]) -> TableSketch:
    """Sketch columns of a table, or of Parquet files a batch at a time."""
    table = TableSketch()
    for batch in _batches(rows, columns):
        table.update(batch)
    return table


def _batches(rows: pl.DataFrame | pl.LazyFrame | Iterable[Path], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    if isinstance(rows, pl.DataFrame):
        yield rows.select(columns)
        return
    # files one after the other: read together, they would lie in memory together, too
    parts = (
        [rows] if isinstance(rows, pl.LazyFrame) else (pl.scan_parquet(file, hive_partitioning=False) for file in rows)
    )
    for part in parts:
        yield from part.select(columns).collect_batches(chunk_size=BATCH_ROWS, maintain_order=False)
