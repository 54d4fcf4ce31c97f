"""The Glue job that prepares a model's features: reads raw CSV, calls the model's `etl.transform`, writes Parquet.

Arguments: --model NAME --raw URI --curated URI, and either --day YYYY-MM-DD or --first_day and --last_day (a day,
or `earliest` and `latest`, which are also the defaults). Glue's own arguments are ignored. The model's package comes
with --extra-py-files; its `etl.TABLES` says which tables to read.

A file that doesn't fit its table ends the run before anything is written, with the file and the reason: features made
from half a day look healthy and train a wrong model. Days that are written again replace what was there.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

CORRUPT = "_corrupt_record"
SHOWN_CHARACTERS = 200
SHOWN_DAYS = 5

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
    # Every column of a row is looked at, also those that no feature uses: a broken row is broken.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    # Days are small; the engine merges what is smaller still.
    "spark.sql.shuffle.partitions": "16",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
}


class EtlError(Exception):
    """What a person has to know to mend the run; its text becomes the job run's error message."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of one run; None leaves a side of the day range open."""

    model: str
    raw: str
    curated: str
    first_day: date | None
    last_day: date | None


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Read the job's arguments; raises EtlError for days that aren't days."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("--model", "--raw", "--curated"):
        parser.add_argument(name, required=True)
    parser.add_argument("--day", default="")
    parser.add_argument("--first_day", default="earliest")
    parser.add_argument("--last_day", default="latest")
    known, _ = parser.parse_known_args(list(argv))
    first_day = _parse_day("first_day", known.day or known.first_day, "earliest")
    last_day = _parse_day("last_day", known.day or known.last_day, "latest")
    if first_day and last_day and first_day > last_day:
        raise EtlError(f"--first_day {first_day} is after --last_day {last_day}")
    return Arguments(known.model, known.raw.rstrip("/"), known.curated.rstrip("/"), first_day, last_day)


def _parse_day(name: str, text: str, open_end: str) -> date | None:
    if text == open_end:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise EtlError(f"--{name} must be YYYY-MM-DD or {open_end!r}, got {text!r}") from None


def landed_days(spark: SparkSession, folder: str) -> list[date]:
    """The days that a daily table has a folder `day=YYYY-MM-DD` for, oldest first."""
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(f"{folder}/day=*")
    found = path.getFileSystem(spark._jsc.hadoopConfiguration()).globStatus(path) or []
    names = [status.getPath().getName().removeprefix("day=") for status in found]
    try:
        return sorted(date.fromisoformat(name) for name in names)
    except ValueError as error:
        raise EtlError(f"{folder}: a folder day=... isn't named after a day: {error}") from None


def choose_days(arguments: Arguments, landed: Sequence[date], folder: str) -> tuple[date, date]:
    """The first and last day of the run; raises EtlError when a day of the range hasn't landed."""
    if not landed:
        raise EtlError(f"no data has landed under {folder}")
    first_day, last_day = arguments.first_day or landed[0], arguments.last_day or landed[-1]
    wanted = [first_day + timedelta(days=offset) for offset in range((last_day - first_day).days + 1)]
    if not wanted:
        raise EtlError(f"no day to prepare: {folder} holds {landed[0]} to {landed[-1]}, asked for {first_day} on")
    missing = sorted(set(wanted) - set(landed))
    if missing:
        shown = ", ".join(map(str, missing[:SHOWN_DAYS]))
        rest = f" and {len(missing) - SHOWN_DAYS} more" if len(missing) > SHOWN_DAYS else ""
        raise EtlError(f"{folder}: these days haven't landed: {shown}{rest}")
    return first_day, last_day


def read_table(spark: SparkSession, paths: Sequence[str], table: Any) -> DataFrame:
    """A raw table; evaluating it raises for a header or row that doesn't fit, and for rows in another day's folder."""
    frame = (
        spark.read.schema(f"{table.schema}, {CORRUPT} STRING")
        .option("header", True)
        .option("enforceSchema", False)
        .option("nullValue", "NA")
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", CORRUPT)
        .csv(list(paths))
    )
    file = F.col("_metadata.file_path")
    raw_row = F.substring(F.col(CORRUPT), 1, SHOWN_CHARACTERS)
    problem = F.when(F.col(CORRUPT).isNotNull(), F.concat(F.lit("can't read the row "), raw_row))
    if table.daily:
        folder_day = F.regexp_extract(file, r"/day=([0-9-]+)/", 1)
        row_day = F.make_date("year", "month", "day").cast("string")
        problem = problem.when(
            ~row_day.eqNullSafe(folder_day),
            F.concat(F.lit("holds a row of "), F.coalesce(row_day, F.lit("no day"))),
        )
    return frame.where(_is_sound(problem, file)).drop(CORRUPT)


def _is_sound(problem: Column, file: Column) -> Column:
    raised = F.raise_error(F.concat(file, F.lit(": "), problem)).cast("boolean")
    return F.when(problem.isNotNull(), raised).otherwise(F.lit(True))


def run(spark: SparkSession, arguments: Arguments) -> tuple[date, date]:
    """Prepare the features of the days asked for; returns the first and last day written."""
    for key, value in SETTINGS.items():
        spark.conf.set(key, value)
    try:
        etl = importlib.import_module(f"{arguments.model}.etl")
    except ModuleNotFoundError as error:
        raise EtlError(f"no code for the model {arguments.model!r}: {error}") from error
    daily = {name: landed_days(spark, f"{arguments.raw}/{name}") for name, table in etl.TABLES.items() if table.daily}
    main = next(iter(daily))
    first_day, last_day = choose_days(arguments, daily[main], f"{arguments.raw}/{main}")
    tables = {}
    for name, table in etl.TABLES.items():
        folder = f"{arguments.raw}/{name}"
        paths = [folder]
        if table.daily:
            choose_days(Arguments(arguments.model, "", "", first_day, last_day), daily[name], folder)
            earliest = first_day - timedelta(days=table.days_before)
            paths = [f"{folder}/day={day}" for day in daily[name] if earliest <= day <= last_day]
        tables[name] = read_table(spark, paths, table)
    print(f"preparing {arguments.model} from {first_day} to {last_day}", flush=True)
    features = etl.transform(spark, tables, first_day, last_day)
    features.repartition("day").write.mode("overwrite").partitionBy("day").parquet(arguments.curated)
    return first_day, last_day


def reason_of(error: PySparkException | Py4JJavaError) -> str:
    """The cause of a failed Spark job in one line, without the engine's own words around it."""
    text = str(error)
    raised = re.search(r"\[USER_RAISED_EXCEPTION\] (.*?) SQLSTATE", text, re.DOTALL)
    if raised:
        return " ".join(raised[1].split())
    header = re.search(r"(CSV header does not conform|Number of column in CSV header).*?CSV file: \S+", text, re.DOTALL)
    if header:
        return " ".join(header[0].split())
    return " ".join(text.splitlines()[0].split()) if text else type(error).__name__


def main(argv: Sequence[str]) -> None:
    """Run the job; a failure is raised with its cause alone, since Glue shows the last line of the traceback."""
    arguments = parse_arguments(argv)
    spark = SparkSession.builder.appName(f"etl-{arguments.model}").getOrCreate()
    try:
        first_day, last_day = run(spark, arguments)
    except (PySparkException, Py4JJavaError) as error:
        print(str(error), file=sys.stderr)
        raise EtlError(reason_of(error)) from None
    finally:
        spark.stop()
    print(f"wrote {arguments.curated} for {first_day} to {last_day}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
