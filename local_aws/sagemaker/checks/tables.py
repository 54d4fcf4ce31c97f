"""Rows of a processing input: Parquet, CSV with a header, or JSON lines, as one table."""

from __future__ import annotations

from pathlib import Path

import polars as pl


class Problem(Exception):
    """The check can't be made; the message is for people."""


def read_rows(folder: Path, kind: str) -> pl.DataFrame:
    """Read all files below a folder; `kind` is parquet, csv or json. Raises Problem."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))
    if not files:
        raise Problem(f"there are no rows in {folder.name}")
    try:
        if kind == "parquet":
            return pl.concat([pl.read_parquet(file) for file in files], how="vertical_relaxed")
        if kind == "json":
            return pl.concat([pl.read_ndjson(file) for file in files], how="vertical_relaxed")
        return pl.concat([pl.read_csv(file, infer_schema_length=None) for file in files], how="vertical_relaxed")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Problem(f"the rows can't be read as {kind}: {error}") from error
