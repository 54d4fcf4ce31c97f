"""The entry point `prepare`: splits a model's features by time into training, validation and test days.

The newest days test, the days before them validate, all older days train, as in life: a model is always asked about
days that it hasn't seen. Rows without a label (a cancelled flight never arrives) teach nothing; they are left out and
counted. What would make a training worthless ends the job before it: no rows, one class only, a leaking feature.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from model_runtime.analyses import Analyses
from model_runtime.daily_files import daily_files, scan_days
from model_runtime.datasets import DAY, day_range, is_known, unusable_labels
from model_runtime.errors import JobError
from model_runtime.leakage import check_leakage
from model_runtime.model_code import load_model_code
from model_runtime.monitor.baseline import OUTPUT, write_baseline
from model_runtime.paths import ContainerPaths
from model_runtime.problems import BINARY_CLASSIFICATION, Problem, asked_problem


@dataclass(frozen=True, kw_only=True)
class Split:
    """The days to use (None: from the first, or to the last that there is) and how many of the newest are held out."""

    first_day: date | None
    last_day: date | None
    validation_days: int
    test_days: int
    files: int = 1
    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("validation_days", "test_days", "files"):
            if getattr(self, name) < 1:
                raise JobError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        if self.first_day and self.last_day and self.first_day > self.last_day:
            raise JobError(f"--first-day {self.first_day} is after --last-day {self.last_day}")


def parse_arguments(argv: Sequence[str]) -> Split:
    """Read the command line; raises JobError for values that aren't days or numbers."""
    parser = argparse.ArgumentParser(prog="prepare", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--first-day", default="earliest")
    parser.add_argument("--last-day", default="latest")
    parser.add_argument("--test-days", default="30")
    parser.add_argument("--validation-days", default="14")
    parser.add_argument("--files", default="1")
    parser.add_argument("--allow-leakage", action="append", default=[])
    known, unknown = parser.parse_known_args(list(argv))
    if unknown:
        raise JobError(f"prepare doesn't know the arguments {' '.join(unknown)}")
    return Split(
        first_day=_day("--first-day", known.first_day, "earliest"),
        last_day=_day("--last-day", known.last_day, "latest"),
        validation_days=_count("--validation-days", known.validation_days),
        test_days=_count("--test-days", known.test_days),
        files=_count("--files", known.files, "files"),
        allowed=tuple(known.allow_leakage),
    )


def _day(name: str, text: str, open_end: str) -> date | None:
    if text == open_end:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise JobError(f"{name} must be YYYY-MM-DD or {open_end!r}, got {text!r}") from None


def _count(name: str, text: str, of: str = "days") -> int:
    try:
        return int(text)
    except ValueError:
        raise JobError(f"{name} must be a whole number of {of}, got {text!r}") from None


def split_days(days: tuple[date, date], split: Split) -> dict[str, tuple[date, date]]:
    """The first and last day of each part, given the first and last day that there is data for.

    The first day of `train` lies after its last one when too few days are left for it.
    """
    first, last = split.first_day or days[0], split.last_day or days[1]
    test_from = last - timedelta(days=split.test_days - 1)
    validation_from = test_from - timedelta(days=split.validation_days)
    return {
        "train": (first, validation_from - timedelta(days=1)),
        "validation": (max(first, validation_from), test_from - timedelta(days=1)),
        "test": (max(first, test_from), last),
    }


def write_part(part: pl.DataFrame, directory: Path, files: int) -> None:
    """Write the rows of a part to one file, or deal them out to several that are alike: one row to each in turn.

    Each of several machines that train together reads some of the files: with rows of the same days, and about as many.
    Raises JobError when there are fewer rows than files.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if files == 1:
        part.write_parquet(directory / "part.parquet")
        return
    if part.height < files:
        raise JobError(f"{part.height} rows can't be dealt out to the {files} files of --files")
    for index in range(files):
        part.gather_every(files, index).write_parquet(directory / f"part-{index:03d}.parquet")


def main(paths: ContainerPaths, argv: Sequence[str]) -> None:
    """Write `processing/output/{train,validation,test}/*.parquet` from `processing/input/features`.

    The parts have the model's features, its label and `day`. Raises JobError, naming the days, when a part would be
    empty. One part is in memory at a time. `baseline` has what the features of `train` are like, for monitors;
    `analyses` says what else is written.
    """
    split = parse_arguments(argv)
    problem = asked_problem()
    code = load_model_code(paths.processing_input("code"))
    analyses = Analyses.read(paths, code)
    analyses.write()
    columns = [*code.features, code.label]
    files = daily_files(paths.processing_input("features"))
    everything = scan_days(files, columns, split.first_day, split.last_day)
    labelled = everything.filter(is_known(everything, code.label))
    there = day_range(labelled.select(DAY).collect())
    if there is None:
        raise JobError("no row of the days asked for has a label: there is nothing to learn from")
    for name, (first, last) in split_days(there, split).items():
        # Spark leaves rows in any order; the same rows must always train the same model.
        part = labelled.filter(pl.col(DAY).is_between(first, last)).sort(DAY, *columns).collect()
        if part.is_empty():
            cause = f"{first} to {last} has no labelled row" if first <= last else "no day is left for it"
            raise JobError(
                f"the {name} split is empty: {cause}. There are labelled rows from "
                f"{there[0]} to {there[1]}; {split.test_days} test days and {split.validation_days} validation days "
                "are held out of the days asked for"
            )
        unusable = unusable_labels(part[code.label])
        if unusable:
            raise JobError(f"the {name} split has {unusable} rows whose label {code.label!r} is no finite number")
        _check_labels(part[code.label], name, (first, last), problem)
        if name == "train":
            seen = everything.filter(pl.col(DAY).is_between(first, last))
            check_leakage(part, seen, code.features, code.label, problem, split.allowed)
            write_baseline(part, code.features, code.encoders.keys(), paths.processing_output(OUTPUT), DAY)
        write_part(part, paths.processing_output(name), split.files)
        analyses.write_rows(name, part, columns)
        mean = part.select(pl.col(code.label).cast(pl.Float64).mean()).item()
        print(f"{name}: {part.height} rows, {first} to {last}, {problem.mean_label} {mean:.3f}", flush=True)
    rows, kept = (int(each.select(pl.len()).collect().item()) for each in (everything, labelled))
    if rows > kept:
        print(f"left out: {rows - kept} of {rows} rows have no label {code.label}", flush=True)


def _check_labels(labels: pl.Series, name: str, days: tuple[date, date], problem: Problem) -> None:
    values = labels.unique().sort().to_list()
    place = f"the {name} split, {days[0]} to {days[1]},"
    if problem is BINARY_CLASSIFICATION and any(value not in (0, 1) for value in values):
        raise JobError(f"{place} must have 0 or 1 as the label {labels.name!r}, it has {values[:5]}")
    if len(values) < 2:
        what = "has one class only" if problem is BINARY_CLASSIFICATION else "proves nothing"
        raise JobError(f"{place} {what}: the label {labels.name!r} is always {values[0]}; choose other or more days")
