"""Nothing that isn't known an hour before departure reaches a model's feature, tried on two days of real flights."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import block_time.features
import flight_delay.features
from flights.etl import WEATHER, _iata_number, transform
from mlops_cli.flights import daily_table, table_text
from model_runtime.encoders import iata_number
from tests.models.flights_dataset import COLUMNS, LABELS, TABLES, schema

DAYS = (date(2013, 7, 3), date(2013, 7, 4))
AFTER_DEPARTURE = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
SCHEDULE = ("sched_dep_time", "sched_arr_time", "hour", "minute", "time_hour")


def raw(table: str) -> pl.DataFrame:
    """A raw table as the job reads it: the flights of DAYS, the weather of one day more, or all of it."""
    text = table_text(table)
    if TABLES[table].get("daily"):
        rows = daily_table(table)
        before = [DAYS[0] - timedelta(days=back + 1) for back in range(TABLES[table].get("days_before", 0))]
        text = "\n".join([rows.header, *(line for day in (*before, *DAYS) for line in rows.days[day])])
    return pl.read_csv(io.StringIO(text), null_values="NA", infer_schema_length=None)


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return {name: raw(name) for name in TABLES}


class Etl:
    """The dataset's `transform`, from frames to rows in a fixed order."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def __call__(self, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        frames = {name: self._frame(name, table) for name, table in tables.items()}
        rows = [row.asDict() for row in transform(self._spark, frames, DAYS).collect()]
        return pl.DataFrame(rows, infer_schema_length=None).sort("scheduled_departure", "flight_number", "route")

    def _frame(self, name: str, table: pl.DataFrame) -> DataFrame:
        typed = schema(name)
        casts: Mapping[str, Any] = {"integer": pl.Int32, "double": pl.Float64, "string": pl.String}
        columns = [
            pl.col(field.name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us")
            if field.dataType.typeName() == "timestamp"
            else pl.col(field.name).cast(casts[field.dataType.typeName()])
            for field in typed
        ]
        return self._spark.createDataFrame(table.select(columns).rows(), typed)


@pytest.fixture(scope="module")
def etl(spark: SparkSession) -> Etl:
    return Etl(spark)


@pytest.fixture(scope="module")
def features(etl: Etl, tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return etl(tables)


def known(rows: pl.DataFrame) -> pl.DataFrame:
    """What is known before departure: everything but the labels."""
    return rows.drop(LABELS)


def departure_hour() -> pl.Expr:
    return pl.col("scheduled_departure").dt.truncate("1h")


def test_there_is_something_to_leak(features: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> None:
    assert features.height == tables["flights"].height > 1500
    assert features.columns == [*COLUMNS, "day"]
    assert features["temperature"].null_count() < features.height / 20


@pytest.mark.parametrize("model", [flight_delay.features, block_time.features])
def test_a_models_features_are_columns_that_are_known_before_departure(model: ModuleType) -> None:
    assert set(model.FEATURES) <= set(COLUMNS) - set(LABELS)
    assert model.LABEL in LABELS


def test_no_feature_changes_with_what_happens_after_departure(
    etl: Etl, tables: dict[str, pl.DataFrame], features: pl.DataFrame
) -> None:
    random = np.random.default_rng(3)
    flights = tables["flights"]
    happened = {name: pl.Series(name, random.integers(-60, 2400, flights.height)) for name in AFTER_DEPARTURE}
    changed = etl(tables | {"flights": flights.with_columns(**happened)})
    assert known(changed).equals(known(features))
    assert all(not changed[label].equals(features[label]) for label in LABELS)
    nothing_happened = etl(tables | {"flights": flights.with_columns(pl.lit(None).alias(n) for n in AFTER_DEPARTURE)})
    assert known(nothing_happened).equals(known(features))
    assert all(nothing_happened[label].null_count() == features.height for label in LABELS)


@pytest.mark.parametrize("hour", [datetime(2013, 7, 3, 12), datetime(2013, 7, 4, 4), datetime(2013, 7, 4, 20)])
def test_no_feature_changes_with_weather_observed_less_than_an_hour_before_departure(
    etl: Etl, tables: dict[str, pl.DataFrame], features: pl.DataFrame, hour: datetime
) -> None:
    later = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ") >= hour
    storm = [
        pl.when(later).then(-999.0).otherwise(pl.col(name).cast(pl.Float64)).alias(name) for name in WEATHER.values()
    ]
    changed = etl(tables | {"weather": tables["weather"].with_columns(storm)})
    # What was observed at the full hour may be seen by who leaves an hour later or more, and by no one before.
    until = departure_hour() < hour + timedelta(hours=1)
    assert known(changed).filter(until).equals(known(features).filter(until))
    after = changed.filter(~until)
    assert after.height > 50
    assert (after["temperature"] == -999.0).mean() > 0.9  # type: ignore[operator]


def test_the_weather_of_a_flight_is_the_observation_of_the_hour_before_its_own(
    tables: dict[str, pl.DataFrame], features: pl.DataFrame
) -> None:
    observed = {
        (origin, hour): temperature
        for origin, hour, temperature in tables["weather"]
        .select("origin", pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ"), "temp")
        .iter_rows()
    }
    flights = features.select(pl.col("route").str.head(3), departure_hour().alias("hour"), "temperature").rows()
    for origin, hour, temperature in flights:
        expected = observed.get((origin, hour - timedelta(hours=1)))
        assert temperature == (None if expected is None else pytest.approx(expected, rel=1e-6))


def test_other_flights_matter_by_the_number_scheduled_for_the_same_hour_alone(
    etl: Etl, tables: dict[str, pl.DataFrame], features: pl.DataFrame
) -> None:
    flights = tables["flights"]
    dropped = pl.int_range(flights.height) % 2 == 0
    half = etl(tables | {"flights": flights.filter(~dropped)})
    everything = known(features).drop("departures_in_hour")
    assert known(half).drop("departures_in_hour").join(everything, on=everything.columns, nulls_equal=True).height == (
        half.height
    )
    counted = features.group_by(pl.col("route").str.head(3), departure_hour()).len().sort("len")["len"].max()
    assert features["departures_in_hour"].max() == counted


def test_the_label_is_an_arrival_more_than_a_quarter_of_an_hour_late(etl: Etl, tables: dict[str, pl.DataFrame]) -> None:
    flights = tables["flights"].head(4).with_columns(arr_delay=pl.Series([15, 16, -16, None]))
    rows = etl(tables | {"flights": flights})
    delays = {
        f"{carrier} {number}": delay
        for carrier, number, delay in flights.select("carrier", "flight", "arr_delay").rows()
    }
    found = {delays[number]: late for number, late in rows.select("flight_number", "late").rows()}
    assert found == {15: 0, 16: 1, -16: 0, None: None}


def test_spark_and_python_read_codes_alike(spark: SparkSession) -> None:
    codes = ["UA", "9E", "ua", " B6 ", "EWR", "LaX", "00", "ZZZ", "U", "EWRX", "U-", "", "E R", "é9", None]

    def by_python(code: str | None) -> float | None:
        try:
            return None if code is None else iata_number(code)
        except ValueError:
            return None

    rows = spark.createDataFrame([(code,) for code in codes], "code string").select(
        "code", _iata_number("code").cast("float").alias("number"), F.lit(1)
    )
    assert {row.code: row.number for row in rows.collect()} == {code: by_python(code) for code in codes}
