"""The entry point `tables`: what an automatic search learns from and is asked about, and nothing else.

A search takes every column but the target for a feature. So its tables have the model's features, in their order, and
the label; the day, which tells which rows are new, stays out. The rows to score have no header and no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from model_runtime.artifact import DESCRIPTION_FILE, Description, write_description
from model_runtime.datasets import day_range, read_rows
from model_runtime.model_code import load_model_code
from model_runtime.paths import ContainerPaths
from model_runtime.problems import BINARY_CLASSIFICATION, asked_problem

ROWS_FILE = "rows.csv"
DESCRIPTION = "description"


def main(paths: ContainerPaths) -> None:
    """Write the outputs `training` and `validation` (Parquet), and `rows` (CSV) of the test rows in their order.

    The output `description` says what the model that is found will have learned from: its archive doesn't.
    """
    code = load_model_code(paths.processing_input("code"))
    problem = asked_problem()
    label_type = pl.Int32 if problem is BINARY_CLASSIFICATION else pl.Float64
    features = [pl.col(name).cast(pl.Float64) for name in code.features]
    count: dict[str, int] = {}
    days: dict[str, dict[str, str]] = {}
    for source, target in (("train", "training"), ("validation", "validation")):
        rows = read_rows(paths.processing_input(source), [*code.features, code.label])
        count[source], span = rows.height, day_range(rows)
        days[source] = {} if span is None else {"first": str(span[0]), "last": str(span[1])}
        table = rows.select(*features, pl.col(code.label).cast(label_type))
        directory = paths.processing_output(target)
        directory.mkdir(parents=True, exist_ok=True)
        table.write_parquet(directory / "part.parquet")
        print(f"{target}: {table.height} rows of {len(code.features)} features", flush=True)
    test = read_rows(paths.processing_input("test"), list(code.features))
    write_rows(test, code.features, paths.processing_output("rows") / ROWS_FILE)
    print(f"rows to score: {test.height}", flush=True)
    description = Description(
        model=code.name,
        features=code.features,
        label=code.label,
        problem=problem.name,
        trees=0,
        rows=count,
        days=days,
        hyperparameters={},
        versions={},
    )
    write_description(description, paths.processing_output(DESCRIPTION) / DESCRIPTION_FILE)


def write_rows(rows: pl.DataFrame, features: Sequence[str], file: Path) -> None:
    """Write rows to score: features in the order that the model's container knows them in, no header, no label."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows.select(pl.col(name).cast(pl.Float64) for name in features).write_csv(file, include_header=False)
