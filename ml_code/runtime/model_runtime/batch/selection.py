"""The entry point `select`: the rows of the days to predict, as the released version of the model takes them.

    rows/day=2013-08-01/2013-08-01-000.csv  the number of a row, then its features, no header
    keys/day=2013-08-01/keys.parquet        the columns that tell the rows of the day apart, in the order of the numbers
    plan/plan.json                          the days, and the version

The features and their order are those that the version was trained on, whatever the code says today. There is no label:
nobody knows it yet. The pipeline asks a transform job about the rows, unless there are none.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from model_runtime.artifact import check_problem
from model_runtime.batch.days import DUE, LATEST, PublishedDay, Wanted, published_days, wanted_days
from model_runtime.batch.plan import Plan, PlannedDay
from model_runtime.batch.store import Store, find_released
from model_runtime.champion import Champion
from model_runtime.datasets import column_types
from model_runtime.errors import JobError
from model_runtime.paths import ContainerPaths
from model_runtime.problems import asked_problem

ROW = "#"  # no column of a table is called so
KEYS_FILE = "keys.parquet"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is asked for: days of a `manifest` for the version `package`, whose predictions lie in `table`.

    `key` are the columns that tell the rows of a day apart; `files` is into how many files a day is split.
    """

    manifest: str
    table: str
    package: str
    key: list[str]
    wanted: Wanted
    files: int


def parse_arguments(argv: Sequence[str]) -> Selection:
    """Read the command line; raises JobError for what is missing or no day or number."""
    parser = argparse.ArgumentParser(prog="select", exit_on_error=False, allow_abbrev=False)
    needed = ("manifest", "predictions", "package", "key")
    for name in needed:
        parser.add_argument(f"--{name}")
    parser.add_argument("--first-day", default=DUE)
    parser.add_argument("--last-day", default=LATEST)
    parser.add_argument("--catch-up-days", default="7")
    parser.add_argument("--files", default="1")
    known, unknown = parser.parse_known_args(list(argv))
    if unknown:
        raise JobError(f"select doesn't know the arguments {' '.join(unknown)}")
    missing = [f"--{name}" for name in needed if not getattr(known, name)]
    if missing:
        raise JobError(f"select needs {', '.join(missing)}")
    if not known.files.isdecimal() or int(known.files) < 1:
        raise JobError(f"--files must be a number, at least 1, got {known.files!r}")
    return Selection(
        manifest=known.manifest,
        table=known.predictions,
        package=known.package,
        key=known.key.split(","),
        wanted=Wanted.parse(known.first_day, known.last_day, known.catch_up_days),
        files=int(known.files),
    )


def main(paths: ContainerPaths, argv: Sequence[str]) -> None:
    """Write the outputs `rows`, `keys` and `plan`. One day is in memory at a time."""
    selection, store = parse_arguments(argv), Store()
    with tempfile.TemporaryDirectory() as scratch:
        version = find_released(selection.package, Path(scratch) / "version")
        check_problem(version.description, asked_problem())
        published = published_days(store.read_json(selection.manifest), selection.manifest)
        days = wanted_days(published, selection.wanted, selection.table, store)
        planned, problems, together = {}, {}, not selection.wanted.is_due
        for day, files in days.items():
            try:
                rows = read_day(day, files, version, selection.key, store, Path(scratch) / f"{day}")
            except JobError as error:
                if together:
                    raise
                problems[str(day)] = str(error)
                print(f"{day} can't be predicted: {error}", flush=True)
                continue
            write_day(rows, day, version.description.features, selection, paths)
            planned[str(day)] = PlannedDay(rows.height, files.load)
            print(f"{day}: {rows.height} rows", flush=True)
    if problems and not sum(day.rows for day in planned.values()):
        raise JobError("; ".join(problems.values()))
    for name in ("rows", "keys"):
        paths.processing_output(name).mkdir(parents=True, exist_ok=True)
    plan = Plan(
        model=version.description.model,
        problem=version.description.problem,
        package=version.arn,
        version=version.version,
        features=len(version.description.features),
        searched=version.container is not None,
        key=selection.key,
        days=planned,
        rows=sum(day.rows for day in planned.values()),
        problems=problems,
        together=together,
    )
    plan.write(paths.processing_output("plan"))
    newest = max(published, default=None)
    said = f"no day is due, the newest published one is {newest}" if not days else _selected(plan)
    print(said, flush=True)
    paths.message.parent.mkdir(parents=True, exist_ok=True)
    paths.message.write_text(said, encoding="utf-8")


def read_day(
    day: date, published: PublishedDay, version: Champion, key: Sequence[str], store: Store, directory: Path
) -> pl.DataFrame:
    """The key and the features of a day's rows, in the order of the key; the features are numbers, or missing.

    Raises JobError, naming version and day, when the published columns aren't what the version was trained on.
    """
    features = list(version.description.features)
    place = f"the published rows of {day}"
    parts = []
    for number, uri in enumerate(published.files):
        file = directory / f"{number}.parquet"
        store.download(uri, file)
        types = column_types(file)
        missing = [name for name in (*key, *features) if name not in types]
        if missing:
            raise JobError(
                f"{place} have no column {', '.join(missing)}, which version {version.version} is asked with: release "
                "a version that was trained on the columns of today"
            )
        for name in features:
            if not (types[name].is_numeric() or types[name] in (pl.Boolean, pl.Null)):
                raise JobError(
                    f"{place}: the column {name}, which version {version.version} is asked with, must hold numbers, it "
                    f"holds {types[name]}"
                )
        columns = [*key, *(name for name in features if name not in key)]
        parts.append(pl.read_parquet(file, columns=columns, hive_partitioning=False))
        file.unlink()
    rows = pl.concat(parts, how="vertical_relaxed").sort(key, nulls_last=True)
    numbers = rows.select(pl.col(features).cast(pl.Float64))
    endless = [name for name in features if bool(numbers[name].is_infinite().any())]
    if endless:
        raise JobError(f"{place} have values without an end in {', '.join(endless)}, for which no model has an answer")
    return rows.with_row_index(ROW)


def write_day(
    rows: pl.DataFrame, day: date, features: Sequence[str], selection: Selection, paths: ContainerPaths
) -> None:
    """Write the rows of a day to files of CSV, of which each machine gets some, and their keys to one of Parquet."""
    keys, target = (paths.processing_output(name) / f"day={day}" for name in ("keys", "rows"))
    keys.mkdir(parents=True, exist_ok=True)
    rows.select(ROW, *selection.key).write_parquet(keys / KEYS_FILE)
    numbers = rows.select(pl.col(ROW), *(pl.col(name).cast(pl.Float64).fill_nan(None) for name in features))
    size = max(-(-rows.height // selection.files), 1)
    for number, part in enumerate(numbers.iter_slices(size)):
        if part.height:
            target.mkdir(parents=True, exist_ok=True)
            part.write_csv(target / f"{day}-{number:03d}.csv", include_header=False)


def _selected(plan: Plan) -> str:
    days = list(plan.days)
    span = days[0] if len(days) == 1 else f"{len(days)} days from {days[0]} to {days[-1]}"
    return f"{plan.rows:,} rows of {span} for version {plan.version}"
