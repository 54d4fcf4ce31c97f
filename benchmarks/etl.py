"""The preparation of flights against the same transformation in bare pyspark and in polars, on the same files.

    python benchmarks/etl.py [--scales 1,10,50] [--days 365] [--runs 3] [--json]

A scale of 10 has ten times the flights of each day, with flight numbers of their own. Each measurement is a process of
its own; of Spark the time counts from the started session on. The job does what bare pyspark does and more: it looks at
each file's ends, checks every value, counts what it wrote, and finds keys that come twice.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / "ml_code" / each) for each in ("datasets", "glue"))]

from local_aws.jobs.java import java_home  # noqa: E402
from mlops_cli.flights import REFERENCE_TABLES, daily_table, table_text  # noqa: E402

FIRST_DAY = date(2013, 1, 1)
ENGINES = ("job", "bare pyspark", "polars")
MEMORY = "3g"
OFFSET = 10_000  # between the flight numbers of two copies


def days_of(count: int) -> list[date]:
    """The first days of the sample data."""
    return [FIRST_DAY + timedelta(days=offset) for offset in range(count)]


def write_lake(raw: Path, scale: int, days: list[date]) -> tuple[int, int]:
    """Land the days with `scale` times their flights; returns rows and bytes of the flights."""
    for table in REFERENCE_TABLES:
        _write(raw / table / f"{table}.csv", table_text(table))
    flights, weather = daily_table("flights"), daily_table("weather")
    number = flights.header.split(",").index("flight")
    rows = size = 0
    for day in days:
        _write(raw / "weather" / f"day={day}" / "weather.csv", weather.csv(day))
        lines = flights.days[day]
        text = io.StringIO()
        text.write(flights.header + "\n")
        for copy in range(scale):
            for line in lines:
                values = line.split(",")
                values[number] = str(int(values[number]) + copy * OFFSET)
                text.write(",".join(values) + "\n")
        size += _write(raw / "flights" / f"day={day}" / "flights.csv", text.getvalue())
        rows += scale * len(lines)
    return rows, size


def _write(file: Path, text: str) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.write_text(text)


def spark_session() -> Any:
    """A session as the local AWS starts it for a Glue job."""
    from pyspark.sql import SparkSession

    cores = os.cpu_count() or 1
    return (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.memory", MEMORY)
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", str(cores * 4))
        .config("spark.sql.sources.parallelPartitionDiscovery.threshold", "1000")
        .getOrCreate()
    )


def declaration() -> Any:
    """The dataset of flights."""
    from dataset_job.declaration import parse

    return parse(json.dumps(yaml.safe_load((ROOT / "ml_code/datasets/flights/dataset.yaml").read_text())))


Measured = tuple[float, float]
"""Seconds, and the peak memory in MB."""


def run_job(raw: Path, target: Path, days: list[date]) -> Measured:
    """What a run of the Glue job does between its claims."""
    from dataset_job.landing import look
    from dataset_job.preparation import Preparation
    from dataset_job.storage import FileStorage
    from flights.etl import transform

    spark, storage = spark_session(), FileStorage()
    began = time.perf_counter()
    landing = look(storage, declaration(), raw.as_uri())
    curated, quarantine = (target / "curated").as_uri(), (target / "quarantine").as_uri()
    outcomes = Preparation(spark, declaration(), transform, storage, curated, quarantine, "x").run(landing, days)
    took = time.perf_counter() - began
    assert not any(outcome.held or outcome.quarantined for outcome in outcomes)
    return took, stop(spark)


def run_bare(raw: Path, target: Path, days: list[date]) -> Measured:
    """The transformation on files that are taken for good."""
    from flights.etl import transform

    spark = spark_session()
    began = time.perf_counter()
    tables = {}
    for table in declaration().tables.values():
        schema = ", ".join(f"`{column.name}` {column.type}" for column in table.columns)
        reader = spark.read.schema(schema).option("header", True).option("nullValue", "NA")
        if table.daily:
            files = [f"file://{raw}/{table.name}/day={day}/{table.name}.csv" for day in days]
        else:
            files = [f"file://{raw}/{table.name}/{table.name}.csv"]
        tables[table.name] = reader.csv(files)
    transform(spark, tables, days).repartition("day").write.partitionBy("day").parquet((target / "curated").as_uri())
    took = time.perf_counter() - began
    return took, stop(spark)


def run_polars(raw: Path, target: Path, days: list[date]) -> Measured:
    """The same columns by an engine for one machine, streamed into one file for each day."""
    import polars as pl

    from benchmarks.polars_flights import scan, transform

    began = time.perf_counter()
    tables = {name: scan(raw, table, days) for name, table in declaration().tables.items()}
    zones = tables["airports"].select(pl.col("tzone").filter(pl.col("tzone").str.contains("/")).unique()).collect()
    rows = transform(tables, sorted(zones["tzone"].to_list()))
    rows.sink_parquet(pl.PartitionBy(target / "curated", key="day", include_key=False), mkdir=True)
    return time.perf_counter() - began, peak_megabytes()


RUNS: dict[str, Callable[[Path, Path, list[date]], Measured]] = {
    "job": run_job,
    "bare pyspark": run_bare,
    "polars": run_polars,
}


def measure_one(engine: str, raw: Path, days: int) -> dict[str, float]:
    """Seconds, the peak memory in MB (of Spark, the JVM's), rows, and the mean of a column to compare."""
    import polars as pl

    with tempfile.TemporaryDirectory(dir=raw.parent) as folder:
        words = [sys.executable, __file__, "--engine", engine, "--raw", str(raw), "--target", folder]
        environment = {**os.environ, "JAVA_HOME": str(java_home(raw.parent)), "SPARK_LOCAL_DIRS": folder}
        done = subprocess.run(
            [*words, "--days", str(days)], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{engine} failed:\n{done.stderr[-3000:]}")
        told: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
        written = pl.scan_parquet(f"{folder}/curated/**/*.parquet", hive_partitioning=False)
        total = written.select(pl.len().alias("rows"), pl.col("block_minutes").mean(), pl.col("temperature").mean())
        return told | total.collect().to_dicts()[0]


def measure(scales: list[int], days: int, runs: int) -> list[dict[str, Any]]:
    """Every engine at every scale, the engines of a round after each other; the medians of the rounds."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for scale in scales:
            raw = Path(folder) / f"x{scale}" / "raw"
            rows, size = write_lake(raw, scale, days_of(days))
            rounds = [{engine: measure_one(engine, raw, days) for engine in ENGINES} for _ in range(runs)]
            for engine in ENGINES:
                same = [each[engine] for each in rounds]
                for key in ("rows", "block_minutes", "temperature"):
                    expected = rounds[0]["bare pyspark"][key]
                    if abs(same[0][key] - expected) > 1e-4 * abs(expected):
                        raise SystemExit(f"{engine} computed another {key} than Spark: {same[0][key]}, {expected}")
                ratios = [each[engine]["seconds"] / each["bare pyspark"]["seconds"] for each in rounds]
                seconds = statistics.median(each["seconds"] for each in same)
                found.append(
                    {
                        "scale": scale,
                        "engine": engine,
                        "rows": rows,
                        "megabytes": round(size / 1e6),
                        "seconds": round(seconds, 1),
                        "rows_per_second": round(rows / seconds),
                        "to_bare_pyspark": round(statistics.median(ratios), 3),
                        "peak_megabytes": round(max(each["peak_megabytes"] for each in same)),
                        "runs": [round(each["seconds"], 1) for each in same],
                    }
                )
            shutil.rmtree(raw.parent)
    return found


def show(results: list[dict[str, Any]]) -> None:
    """Print a table."""
    table = Table(title="Preparing flights: landing to staged Parquet, one file a day")
    for name in ("flights", "engine", "rows/s", "seconds", "to bare pyspark", "peak memory", "runs"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for each in results:
        table.add_row(
            f"{each['scale']}x  {each['rows']:,}",
            each["engine"],
            f"{each['rows_per_second']:,}",
            f"{each['seconds']}",
            f"{each['to_bare_pyspark']:.2f}",
            f"{each['peak_megabytes']:,} MB",
            " ".join(map(str, each["runs"])),
            end_section=each["engine"] == ENGINES[-1],
        )
    Console().print(table)


def peak_megabytes(process: int | str = "self") -> float:
    """The peak resident memory of a running process."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def stop(spark: Any) -> float:
    """Stop Spark; returns the peak memory of its JVM."""
    peak = peak_megabytes(spark._jvm.java.lang.ProcessHandle.current().pid())
    spark.stop()
    return peak


def main() -> int:
    """Measure everything, or one engine in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", default="1,10", help="multiples of the flights (default: 1,10; 50 takes long)")
    parser.add_argument("--days", type=int, default=365, help="days of 2013 (default: 365)")
    parser.add_argument("--runs", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--raw", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        seconds, megabytes = RUNS[options.engine](options.raw, options.target, days_of(options.days))
        print(json.dumps({"seconds": seconds, "peak_megabytes": megabytes}))
        return 0
    results = measure([int(scale) for scale in options.scales.split(",")], options.days, options.runs)
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
