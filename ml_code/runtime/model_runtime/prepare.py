"""The entry point `prepare`: splits a model's features by time into training, validation and test days.

The newest days test, the days before them validate, all older days train, as in life: a model is always asked about
days that it hasn't seen. Rows without a label (a cancelled flight never arrives) teach nothing and are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from model_runtime.datasets import DAY, check_columns, day_range, parquet_files
from model_runtime.errors import JobError
from model_runtime.model_code import load_model_code
from model_runtime.paths import ContainerPaths

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Split:
    """The days to use (None: from the first, or to the last that there is) and how many of the newest are held out."""

    first_day: date | None
    last_day: date | None
    validation_days: int
    test_days: int

    def __post_init__(self) -> None:
        for name in ("validation_days", "test_days"):
            if getattr(self, name) < 1:
                raise JobError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        if self.first_day and self.last_day and self.first_day > self.last_day:
            raise JobError(f"--first-day {self.first_day} is after --last-day {self.last_day}")


def parse_arguments(argv: Sequence[str]) -> Split:
    """Read the command line; raises JobError for values that aren't days or numbers."""
    parser = argparse.ArgumentParser(prog="prepare", exit_on_error=False)
    parser.add_argument("--first-day", default="earliest")
    parser.add_argument("--last-day", default="latest")
    parser.add_argument("--test-days", default="30")
    parser.add_argument("--validation-days", default="14")
    known, unknown = parser.parse_known_args(list(argv))
    if unknown:
        raise JobError(f"prepare doesn't know the arguments {' '.join(unknown)}")
    return Split(
        first_day=_day("--first-day", known.first_day, "earliest"),
        last_day=_day("--last-day", known.last_day, "latest"),
        validation_days=_count("--validation-days", known.validation_days),
        test_days=_count("--test-days", known.test_days),
    )


def _day(name: str, text: str, open_end: str) -> date | None:
    if text == open_end:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise JobError(f"{name} must be YYYY-MM-DD or {open_end!r}, got {text!r}") from None


def _count(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise JobError(f"{name} must be a whole number of days, got {text!r}") from None


def split_days(rows: pl.DataFrame, split: Split) -> dict[str, pl.DataFrame]:
    """Cut labelled rows by their column `day`; raises JobError, naming the days, when a part would be empty."""
    there = day_range(rows)
    if there is None:
        raise JobError("no row of the days asked for has a label: there is nothing to learn from")
    first, last = split.first_day or there[0], split.last_day or there[1]
    test_from = last - timedelta(days=split.test_days - 1)
    validation_from = test_from - timedelta(days=split.validation_days)
    bounds = {
        "train": (first, validation_from - timedelta(days=1)),
        "validation": (validation_from, test_from - timedelta(days=1)),
        "test": (test_from, last),
    }
    parts = {}
    for name, (begin, end) in bounds.items():
        parts[name] = rows.filter(pl.col(DAY).is_between(max(begin, first), end)) if begin <= end else rows.clear()
        if parts[name].is_empty():
            raise JobError(
                f"the {name} split is empty: {begin} to {end} has no labelled row. There are labelled rows from "
                f"{there[0]} to {there[1]}; {split.test_days} test days and {split.validation_days} validation days "
                "are held out of the days asked for"
            )
    return parts


def main(paths: ContainerPaths, argv: Sequence[str]) -> None:
    """Write `processing/output/{train,validation,test}/part.parquet` from `processing/input/features`."""
    split = parse_arguments(argv)
    code = load_model_code(paths.processing_input("code"))
    files = parquet_files(paths.processing_input("features"))
    check_columns(files, [*code.features, code.label, DAY])
    rows = (
        pl.scan_parquet(files, hive_partitioning=True, extra_columns="ignore")
        .filter(pl.col(DAY) >= split.first_day if split.first_day else True)
        .filter(pl.col(DAY) <= split.last_day if split.last_day else True)
        .drop_nulls(code.label)
        # Spark leaves rows in any order; the same rows must always train the same model.
        .sort(DAY, *code.features, code.label)
        .collect()
    )
    for name, part in split_days(rows, split).items():
        directory = paths.processing_output(name)
        directory.mkdir(parents=True, exist_ok=True)
        part.write_parquet(directory / "part.parquet")
        first, last = day_range(part) or (None, None)
        share = part.select(pl.col(code.label).cast(pl.Float64).mean()).item()
        print(f"{name}: {part.height} rows, {first} to {last}, {share:.3f} positive", flush=True)
