"""The baseline that a monitor compares with: what the training rows were like, described while they are prepared."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from model_runtime.monitor import constraints, statistics
from model_runtime.monitor.sketches import TableSketch

OUTPUT = "baseline"
BATCH_ROWS = 100_000


def write_baseline(
    rows: pl.DataFrame | pl.LazyFrame | Iterable[Path],
    features: Sequence[str],
    categorical: Collection[str],
    directory: Path,
) -> None:
    """Write `statistics.json` and `constraints.json` of the features, in their order, into a directory.

    `rows` are a table, or Parquet files, which are read in batches. `categorical` are the features whose numbers are
    codes of text.
    """
    table = sketch_rows(rows, features)
    directory.mkdir(parents=True, exist_ok=True)
    files = {
        statistics.FILE: statistics.statistics_json(table, categorical),
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
    lazy = rows if isinstance(rows, pl.LazyFrame) else pl.scan_parquet(list(rows), hive_partitioning=False)
    yield from lazy.select(columns).collect_batches(chunk_size=BATCH_ROWS, maintain_order=False)
