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
FILE = "_metadata.file_path"
NOT_UTF_8 = "\N{REPLACEMENT CHARACTER}"  # what Spark reads bytes as that aren't text
SHOWN_CHARACTERS = 200
SHOWN_DAYS = 5

SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
    # Without this a row with too many or too few values passes where the columns that are read are there.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
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


@dataclass(frozen=True)
class RawFile:
    """A file of a raw table; `day` is the day of the folder it lies in, None in a table that isn't cut by day."""

    uri: str
    size: int
    day: date | None


def raw_files(spark: SparkSession, folder: str, daily: bool) -> list[RawFile]:
    """The files of a raw table; raises EtlError when there is none, or one that isn't in a folder day=YYYY-MM-DD."""
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(folder)
    system = path.getFileSystem(spark._jsc.hadoopConfiguration())
    files = []
    # One flat listing: a listing for each day would take S3 minutes for years of data.
    remaining = system.listFiles(path, True) if system.exists(path) else None
    while remaining is not None and remaining.hasNext():
        status = remaining.next()
        uri = status.getPath().toString()
        if not uri.rpartition("/")[2].startswith(("_", ".")):
            files.append(RawFile(uri, status.getLen(), _folder_day(uri) if daily else None))
    if not files:
        raise EtlError(f"no data has landed under {folder}")
    return files


def _folder_day(uri: str) -> date:
    found = re.search(r"/day=([^/]*)/", uri)
    try:
        return date.fromisoformat(found[1] if found else "")
    except ValueError:
        raise EtlError(f"{uri}: the file must lie in a folder day=YYYY-MM-DD") from None


def choose_days(first_day: date | None, last_day: date | None, landed: set[date], folder: str) -> tuple[date, date]:
    """The first and last day of the run, None being open ends; raises EtlError when a day between hasn't landed."""
    first_day, last_day = first_day or min(landed), last_day or max(landed)
    wanted = [first_day + timedelta(days=offset) for offset in range((last_day - first_day).days + 1)]
    if not wanted:
        asked = f"from {first_day} on" if first_day > max(landed) else f"up to {last_day}"
        raise EtlError(f"no day to prepare: {folder} holds {min(landed)} to {max(landed)}, asked for days {asked}")
    missing = sorted(set(wanted) - landed)
    if missing:
        shown = ", ".join(map(str, missing[:SHOWN_DAYS]))
        rest = f" and {len(missing) - SHOWN_DAYS} more" if len(missing) > SHOWN_DAYS else ""
        raise EtlError(f"{folder}: these days haven't landed: {shown}{rest}")
    return first_day, last_day


def read_table(spark: SparkSession, files: Sequence[RawFile], table: Any) -> DataFrame:
    """A raw table; evaluating it raises for a header or row that doesn't fit, and for rows in another day's folder."""
    for file in files:
        if not file.size:
            raise EtlError(f"{file.uri}: the file is empty, it doesn't even have a header")
    frame = (
        spark.read.schema(f"{table.schema}, {CORRUPT} STRING")
        .option("header", True)
        .option("enforceSchema", False)
        .option("nullValue", "NA")
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", CORRUPT)
        .csv([file.uri for file in files])
    )
    texts = [field.name for field in frame.schema if field.dataType.typeName() == "string" and field.name != CORRUPT]
    # A message names all columns, so that Spark reads those too that no feature uses: a broken row is broken.
    row = F.concat_ws(",", *(F.col(name).cast("string") for name in frame.columns if name != CORRUPT))
    is_sound = F.when(F.col(CORRUPT).isNotNull(), _raised("can't read the row ", F.col(CORRUPT))).when(
        F.concat_ws(" ", *texts).contains(NOT_UTF_8), _raised("isn't UTF-8 in the row ", row)
    )
    if table.daily:
        folder_day = F.regexp_extract(FILE, "/day=([0-9-]+)/", 1)
        row_day = F.concat_ws("-", "year", F.lpad("month", 2, "0"), F.lpad("day", 2, "0"))
        is_sound = is_sound.when(row_day != folder_day, _raised("holds a row of the day ", row_day))
    # Spark moves no later condition ahead of one that isn't deterministic: no row is dropped before it is checked.
    return frame.where((F.spark_partition_id() >= 0) & is_sound.otherwise(F.lit(True))).drop(CORRUPT)


def _raised(problem: str, text: Column) -> Column:
    message = F.concat(F.col(FILE), F.lit(f": {problem}"), F.substring(text, 1, SHOWN_CHARACTERS))
    return F.raise_error(message).cast("boolean")


def run(spark: SparkSession, arguments: Arguments) -> tuple[date, date]:
    """Prepare the features of the days asked for; returns the first and last day written.

    Raises EtlError with the cause when Spark fails; what was written earlier is then as it was.
    """
    try:
        return _run(spark, arguments)
    except (PySparkException, Py4JJavaError) as error:
        print(str(error), file=sys.stderr)
        raise EtlError(reason_of(error)) from None


def _run(spark: SparkSession, arguments: Arguments) -> tuple[date, date]:
    for key, value in SETTINGS.items():
        spark.conf.set(key, value)
    try:
        etl = importlib.import_module(f"{arguments.model}.etl")
    except ModuleNotFoundError as error:
        raise EtlError(f"no code for the model {arguments.model!r}: {error}") from error
    first_day, last_day = arguments.first_day, arguments.last_day
    tables = {}
    for name, table in etl.TABLES.items():
        folder = f"{arguments.raw}/{name}"
        files = raw_files(spark, folder, table.daily)
        if table.daily:
            # The first daily table closes open ends; the others must have landed for the same days.
            first_day, last_day = choose_days(first_day, last_day, {file.day for file in files if file.day}, folder)
            earliest = first_day - timedelta(days=table.days_before)
            files = [file for file in files if file.day and earliest <= file.day <= last_day]
        tables[name] = read_table(spark, files, table)
    if first_day is None or last_day is None:
        raise EtlError(f"{arguments.model}.etl.TABLES must have a daily table")
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
    header = re.search(r"Expected: (.*?) but found: (.*?)\s+CSV file: (\S+)", text)
    if header:
        return f"{header[3]}: the header doesn't fit: expected the column {header[1]}, found {header[2]}"
    columns = re.search(r"Header length: (\d+), schema size: (\d+)\s+CSV file: (\S+)", text)
    if columns:
        return f"{columns[3]}: the header doesn't fit: it has {columns[1]} columns, the table has {columns[2]}"
    return " ".join(text.splitlines()[0].split()) if text else type(error).__name__


def main(argv: Sequence[str]) -> None:
    """Run the job; an error is raised with its cause alone, since Glue shows the last line of the traceback."""
    arguments = parse_arguments(argv)
    spark = SparkSession.builder.appName(f"etl-{arguments.model}").getOrCreate()
    try:
        first_day, last_day = run(spark, arguments)
    finally:
        spark.stop()
    print(f"wrote {arguments.curated} for {first_day} to {last_day}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
