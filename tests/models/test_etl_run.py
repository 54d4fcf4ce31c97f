"""The Glue job's script on files: bad days end the run and leave no trace, good days are prepared one by one."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from pyspark.sql import SparkSession

from flight_delay.features import FEATURES, LABEL
from mlops_cli.flights import daily_table, table_text

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "ml_code" / "glue" / "run_etl.py"
DAYS = [date(2013, 7, day) for day in (3, 4, 5)]
FLIGHTS_A_DAY = 60
BAD_DAY = "flights/day=2013-07-04/flights.csv"


def load_script() -> ModuleType:
    """The job's script as a module, under a name that can't hide another."""
    spec = importlib.util.spec_from_file_location("run_etl_under_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


run_etl = load_script()


class Lake:
    """Raw and curated data in a directory; `run` prepares it."""

    def __init__(self, base: Path, spark: SparkSession) -> None:
        self.base, self.raw, self.curated, self._spark = base, base / "raw", base / "curated", spark

    def land(self) -> None:
        """Three days of real flights, every third of a day or so, with their weather and the reference tables."""
        for table in ("planes", "airports"):
            self.write(f"{table}/{table}.csv", table_text(table))
        for table, step in (("flights", 900 // FLIGHTS_A_DAY), ("weather", 1)):
            rows = daily_table(table)
            for day in DAYS:
                self.write(f"{table}/day={day}/{table}.csv", "\n".join([rows.header, *rows.days[day][::step]]) + "\n")

    def write(self, path: str, content: str | bytes) -> None:
        file = self.raw / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> str:
        return (self.raw / path).read_text()

    def run(self, first_day: date | None = None, last_day: date | None = None) -> Any:
        arguments = run_etl.Arguments("flight_delay", self.raw.as_uri(), self.curated.as_uri(), first_day, last_day)
        return run_etl.run(self._spark, arguments)

    def written(self) -> dict[str, bytes]:
        """Every file below the curated directory, hidden ones too."""
        files = [path for path in self.curated.rglob("*") if path.is_file()]
        return {path.relative_to(self.curated).as_posix(): path.read_bytes() for path in files}

    def features(self) -> pl.DataFrame:
        return pl.read_parquet(self.curated / "**/*.parquet", hive_partitioning=True).sort(
            "day", "scheduled_departure", "flight_number"
        )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Lake:
    """Three days, landed and prepared; tests that change something work on a copy."""
    lake = Lake(tmp_path_factory.mktemp("lake"), spark)
    lake.land()
    assert lake.run() == (DAYS[0], DAYS[-1])
    return lake


@pytest.fixture
def lake(prepared: Lake, spark: SparkSession, tmp_path: Path) -> Lake:
    shutil.copytree(prepared.base, tmp_path / "lake")
    return Lake(tmp_path / "lake", spark)


def test_every_flight_comes_out_once_with_its_features(prepared: Lake) -> None:
    features = prepared.features()
    landed = [prepared.read(f"flights/day={day}/flights.csv").count("\n") - 1 for day in DAYS]
    assert features.group_by("day").len().sort("day")["len"].to_list() == landed
    assert set(features.columns) == {
        *FEATURES, LABEL, "day", "flight_number", "route", "scheduled_departure",
    }  # fmt: skip
    assert features["temperature"].null_count() < 10
    assert 0 < features[LABEL].mean() < 1  # type: ignore[operator]


Change = Callable[[str], str | bytes]


def in_row(old: str, new: str) -> Change:
    """Change the file's tenth line."""

    def change(text: str) -> str:
        lines = text.splitlines()
        assert old in lines[9]
        lines[9] = lines[9].replace(old, new, 1)
        return "\n".join(lines) + "\n"

    return change


BAD_FILES: Mapping[str, tuple[Change, str]] = {
    "half a row": (lambda text: text[:-60], "can't read the row 2013,7,4,"),
    "a value too many": (in_row("2013,7,4,", "2013,7,4,4,"), "can't read the row 2013,7,4,4,"),
    "a word for a number": (in_row("2013,7,4,", "2013,7,4,soon"), "can't read the row 2013,7,4,soon"),
    "no date": (in_row("T", "?"), "can't read the row 2013,7,4,"),
    "a row of another day": (in_row("2013,7,4,", "2013,7,5,"), "holds a row of the day 2013-07-05"),
    "a row of no day": (in_row("2013,7,4,", "2013,13,NA,"), "holds a row of the day 2013-13"),
    "bytes that are no text": (
        lambda text: text.encode().replace(b",EWR,", b",E\xff\xfe,", 1),
        "isn't UTF-8 in the row ",
    ),
    "a renamed column": (
        lambda text: text.replace("dep_delay", "delay", 1),
        "the header doesn't fit: expected the column dep_delay, found delay",
    ),
    "swapped columns": (
        lambda text: text.replace("dep_time,sched_dep_time", "sched_dep_time,dep_time", 1),
        "the header doesn't fit: expected the column dep_time, found sched_dep_time",
    ),
    "no header": (lambda text: text.partition("\n")[2], "the header doesn't fit: expected the column year, found 2013"),
    "a column left out": (
        lambda text: "\n".join(line.rpartition(",")[0] for line in text.splitlines()),
        "the header doesn't fit: it has 18 columns, the table has 19",
    ),
    "another kind of file": (lambda _: "<html>\n503\n</html>\n", "the header doesn't fit: it has 1 columns"),
    "binary junk": (lambda _: random.Random(4).randbytes(4000), "the header doesn't fit: "),
    "nothing": (lambda _: "", "the file is empty, it doesn't even have a header"),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_a_day_that_is(bad: str, lake: Lake) -> None:
    """... fails the run with the file and the reason, and what was prepared before stays as it was."""
    change, reason = BAD_FILES[bad]
    before = lake.written()
    lake.write(BAD_DAY, change(lake.read(BAD_DAY)))
    with pytest.raises(run_etl.EtlError) as failed:
        lake.run()
    assert f"{lake.raw}/{BAD_DAY}: {reason}" in str(failed.value)
    assert "\n" not in str(failed.value)
    assert lake.written() == before


@pytest.mark.parametrize("table", ["weather/day=2013-07-04/weather.csv", "planes/planes.csv", "airports/airports.csv"])
def test_every_table_is_checked(lake: Lake, table: str) -> None:
    before = lake.written()
    lake.write(table, lake.read(table) + "half,a,row\n")
    with pytest.raises(run_etl.EtlError, match=f"{table}: can't read the row half,a,row"):
        lake.run()
    assert lake.written() == before


def test_a_table_or_a_day_that_has_not_landed_is_named(lake: Lake) -> None:
    shutil.rmtree(lake.raw / "weather" / "day=2013-07-04")
    with pytest.raises(run_etl.EtlError, match="weather: these days haven't landed: 2013-07-04"):
        lake.run()
    shutil.rmtree(lake.raw / "planes")
    with pytest.raises(run_etl.EtlError, match=r"no data has landed under .*planes"):
        lake.run(DAYS[0], DAYS[0])
    with pytest.raises(run_etl.EtlError, match="flights: these days haven't landed: 2013-07-06, 2013-07-07"):
        lake.run(DAYS[0], date(2013, 7, 7))
    with pytest.raises(run_etl.EtlError, match="holds 2013-07-03 to 2013-07-05, asked for days from 2014-01-01 on"):
        lake.run(date(2014, 1, 1))
    lake.write("flights/today/flights.csv", "year\n")
    with pytest.raises(run_etl.EtlError, match=r"today/flights.csv: the file must lie in a folder day=YYYY-MM-DD"):
        lake.run()


def test_a_day_prepared_by_itself_is_what_it_is_among_others(prepared: Lake, lake: Lake) -> None:
    shutil.rmtree(lake.curated)
    for day in DAYS:
        assert lake.run(day, day) == (day, day)
    assert lake.features().equals(prepared.features())


def test_a_day_prepared_again_replaces_that_day_alone(lake: Lake) -> None:
    before = lake.written()
    lines = lake.read(BAD_DAY).splitlines()
    lake.write(BAD_DAY, "\n".join(lines[:21]) + "\n")
    lake.run(DAYS[1], DAYS[1])
    counts = dict(lake.features().group_by("day").len().iter_rows())
    assert counts[DAYS[1]] == 20
    after = lake.written()
    others = [name for name in before if "day=2013-07-04" not in name and name.startswith("day=")]
    assert others
    assert {name: after[name] for name in others} == {name: before[name] for name in others}


def test_a_flight_just_after_midnight_sees_the_weather_of_the_evening_before(lake: Lake) -> None:
    header, flight = lake.read(BAD_DAY).splitlines()[:2]
    columns = header.split(",")
    values = dict(zip(columns, flight.split(","), strict=True))
    at_night = values | {"sched_dep_time": "20", "hour": "0", "minute": "20", "time_hour": "2013-07-04T04:00:00Z"}
    lake.write(BAD_DAY, f"{header}\n{','.join(at_night[name] for name in columns)}\n")
    evening = pl.read_csv(lake.raw / "weather/day=2013-07-03/weather.csv", null_values="NA").filter(
        pl.col("origin") == values["origin"], pl.col("hour") == 23
    )
    lake.run(DAYS[1], DAYS[1])
    (row,) = lake.features().filter(pl.col("day") == DAYS[1]).iter_rows(named=True)
    assert row["departure_minute"] == 20
    assert row["temperature"] == pytest.approx(evening["temp"].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--day", "tomorrow"], "--first_day must be YYYY-MM-DD or 'earliest', got 'tomorrow'"),
        (["--last_day", "2013-02-30"], "--last_day must be YYYY-MM-DD or 'latest', got '2013-02-30'"),
        (["--first_day", "2013-07-05", "--last_day", "2013-07-04"], "--first_day 2013-07-05 is after"),
    ],
)
def test_arguments_that_are_no_days_are_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(run_etl.EtlError) as refused:
        run_etl.parse_arguments(["--model", "m", "--raw", "r", "--curated", "c", *arguments])
    assert reason in str(refused.value)


def test_glues_own_arguments_are_ignored_and_a_day_is_a_range_of_one() -> None:
    given = ["--JOB_NAME", "etl", "--model", "m", "--raw", "s3://r/", "--curated", "s3://c", "--day", "2013-07-04"]
    found = run_etl.parse_arguments([*given, "--TempDir", "s3://t"])
    assert found == run_etl.Arguments("m", "s3://r", "s3://c", DAYS[1], DAYS[1])


def test_a_model_without_code_is_named(lake: Lake, spark: SparkSession) -> None:
    arguments = run_etl.Arguments("absent", lake.raw.as_uri(), lake.curated.as_uri(), None, None)
    with pytest.raises(run_etl.EtlError, match="no code for the model 'absent'"):
        run_etl.run(spark, arguments)


def test_the_jobs_process_ends_with_the_reason_in_its_last_line(lake: Lake) -> None:
    lake.write(BAD_DAY, "")
    arguments = ["--model", "flight_delay", "--raw", lake.raw.as_uri(), "--curated", lake.curated.as_uri()]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--JOB_NAME", "etl", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "JAVA_HOME": os.environ["JAVA_HOME"],
            "PYTHONPATH": str(ROOT / "ml_code" / "models"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_SUBMIT_ARGS": "--master local[1] --conf spark.ui.enabled=false pyspark-shell",
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(("EtlError: ", "__main__.EtlError: "))
    assert last.endswith(f"{lake.raw}/{BAD_DAY}: the file is empty, it doesn't even have a header")
