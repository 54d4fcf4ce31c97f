"""From raw flights and weather to features: one row per scheduled flight, with nothing from its future."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from pyspark.sql import Window
from pyspark.sql import functions as F

from flight_delay.features import CATEGORICAL, FEATURES, LABEL, LATE_AFTER_MINUTES, WEATHER

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


class Table(NamedTuple):
    """A raw CSV table: its columns as Spark DDL, whether it lands by day, and how many days before are read too."""

    schema: str
    daily: bool = False
    days_before: int = 0


TABLES: Mapping[str, Table] = {
    "flights": Table(
        "year INT, month INT, day INT, dep_time INT, sched_dep_time INT, dep_delay INT, arr_time INT, "
        "sched_arr_time INT, arr_delay INT, carrier STRING, flight INT, tailnum STRING, origin STRING, dest STRING, "
        "air_time INT, distance INT, hour INT, minute INT, time_hour TIMESTAMP",
        daily=True,
    ),
    # One day more: flights just after midnight need the weather of the evening before.
    "weather": Table(
        "origin STRING, year INT, month INT, day INT, hour INT, temp DOUBLE, dewp DOUBLE, humid DOUBLE, "
        "wind_dir DOUBLE, wind_speed DOUBLE, wind_gust DOUBLE, precip DOUBLE, pressure DOUBLE, visib DOUBLE, "
        "time_hour TIMESTAMP",
        daily=True,
        days_before=1,
    ),
    "planes": Table(
        "tailnum STRING, year INT, type STRING, manufacturer STRING, model STRING, engines INT, seats INT, speed INT, "
        "engine STRING"
    ),
    "airports": Table(
        "faa STRING, name STRING, lat DOUBLE, lon DOUBLE, alt DOUBLE, tz DOUBLE, dst STRING, tzone STRING"
    ),
}

IDENTITY = ("flight_number", "route", "scheduled_departure")


def transform(spark: SparkSession, tables: Mapping[str, DataFrame], first_day: date, last_day: date) -> DataFrame:
    """The features of every flight scheduled from the first to the last day (local days, both included).

    `tables` holds the raw tables under the names of `TABLES`. The result has the columns `IDENTITY`, `FEATURES`
    (float), the label (int; null when the flight never arrived) and `day` (a date). No column that is filled in after
    departure is read, but for the label.
    """
    del spark
    flights = (
        tables["flights"]
        .withColumn("day", F.make_date("year", "month", "day"))
        .where(F.col("day").between(first_day, last_day))
    )
    planes = tables["planes"].select("tailnum", F.col("year").alias("built"), "seats")
    airports = tables["airports"].select(
        F.col("faa").alias("dest"),
        F.col("lat").alias("destination_latitude"),
        F.col("lon").alias("destination_longitude"),
    )
    schedule = flights.select(
        "day",
        "tailnum",
        "dest",
        "time_hour",
        F.col("origin").alias("airport"),
        F.concat_ws(" ", "carrier", "flight").alias("flight_number"),
        F.concat_ws("-", "origin", "dest").alias("route"),
        (F.col("time_hour") + F.make_dt_interval(mins=F.col("minute"))).alias("scheduled_departure"),
        *(_iata_number(raw).alias(name) for name, raw in zip(CATEGORICAL, ("carrier", "origin", "dest"), strict=True)),
        F.expr("weekday(day) + 1").alias("weekday"),
        _minute_of_day("sched_dep_time").alias("departure_minute"),
        _minute_of_day("sched_arr_time").alias("arrival_minute"),
        F.count("*").over(Window.partitionBy("origin", "time_hour")).alias("departures_in_hour"),
        "distance",
        (F.col("arr_delay") > LATE_AFTER_MINUTES).cast("int").alias(LABEL),
    )
    return (
        schedule.withColumn(
            "scheduled_minutes", F.pmod(F.col("arrival_minute") - F.col("departure_minute"), F.lit(24 * 60))
        )
        .join(F.broadcast(planes), "tailnum", "left")
        .withColumn("plane_age", F.year("day") - F.col("built"))
        .join(F.broadcast(airports), "dest", "left")
        .join(F.broadcast(_observed_an_hour_before(tables["weather"])), ["airport", "time_hour"], "left")
        .select(*IDENTITY, *(F.col(name).cast("float").alias(name) for name in FEATURES), LABEL, "day")
    )


def _observed_an_hour_before(weather: DataFrame) -> DataFrame:
    """Each observation keyed by the departure hour that may see it: the hour after it was made.

    A flight that leaves within the hour that starts at t sees the observation of t - 1 h, so never one that is less
    than an hour old. Should an hour have two observations, one is chosen by value, the same in every run.
    """
    values = F.struct(*(F.col(raw).alias(name) for name, raw in WEATHER.items()))
    return (
        weather.select(
            F.col("origin").alias("airport"),
            (F.col("time_hour") + F.expr("INTERVAL 1 HOUR")).alias("time_hour"),
            values.alias("observed"),
        )
        .groupBy("airport", "time_hour")
        .agg(F.min("observed").alias("observed"))
        .select("airport", "time_hour", "observed.*")
    )


def _iata_number(column: str) -> Column:
    """`features.iata_number` in Spark; missing for what is no code."""
    code = F.upper(F.trim(F.col(column)))
    return F.when(code.rlike("^[0-9A-Z]{2,3}$"), F.conv(code, 36, 10))


def _minute_of_day(clock: str) -> Column:
    """Minutes after midnight of a clock time written as the number HHMM."""
    return F.floor(F.col(clock) / 100) * 60 + F.col(clock) % 100
