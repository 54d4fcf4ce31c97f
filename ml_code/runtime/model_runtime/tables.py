"""The entry point `tables`: what an automatic search learns from and is asked about, and nothing else.

A search takes every column but the target for a feature. So its tables have the model's features, in their order, and
the label; the day, which tells which rows are new, stays out. The rows to score have no header and no label.
"""

from __future__ import annotations

import polars as pl

from model_runtime.datasets import read_rows
from model_runtime.model_code import load_model_code
from model_runtime.paths import ContainerPaths
from model_runtime.problems import BINARY_CLASSIFICATION, asked_problem

ROWS_FILE = "rows.csv"


def main(paths: ContainerPaths) -> None:
    """Write the outputs `training` and `validation` (Parquet), and `rows` (CSV) of the test rows in their order."""
    code = load_model_code(paths.processing_input("code"))
    label_type = pl.Int32 if asked_problem() is BINARY_CLASSIFICATION else pl.Float64
    features = [pl.col(name).cast(pl.Float64) for name in code.features]
    for source, target in (("train", "training"), ("validation", "validation")):
        rows = read_rows(paths.processing_input(source), [*code.features, code.label])
        table = rows.select(*features, pl.col(code.label).cast(label_type))
        directory = paths.processing_output(target)
        directory.mkdir(parents=True, exist_ok=True)
        table.write_parquet(directory / "part.parquet")
        print(f"{target}: {table.height} rows of {len(code.features)} features", flush=True)
    test = read_rows(paths.processing_input("test"), list(code.features)).select(features)
    directory = paths.processing_output("rows")
    directory.mkdir(parents=True, exist_ok=True)
    test.write_csv(directory / ROWS_FILE, include_header=False)
    print(f"rows to score: {test.height}", flush=True)
