"""From raw flights and weather to the curated table: one row per scheduled flight, with nothing from its future."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

LATE_AFTER_MINUTES = 15
HOME = "America/New_York"  # the clock of all three airports of departure
MINUTES_A_DAY = 24 * 60
# of the register's airports; Spark stops at a name that it doesn't know
TIME_ZONES = (
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/Anchorage",
    "Pacific/Honolulu",
)

# curated name -> column of the raw weather table
WEATHER = {
    "temperature": "temp",
    "dew_point": "dewp",
    "humidity": "humid",
    "wind_direction": "wind_dir",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precipitation": "precip",
    "pressure": "pressure",
    "visibility": "visib",
}
IDENTITY = ("flight_number", "route", "scheduled_departure")
NUMBERS = (
    "carrier", "origin", "destination", "weekday", "departure_minute", "arrival_minute", "scheduled_minutes",
    "scheduled_block_minutes", "departures_in_hour", "distance", "destination_latitude", "destination_longitude",
    "plane_age", "seats", *WEATHER,
)  # fmt: skip


def transform(spark: SparkSession, tables: Mapping[str, DataFrame], days: Sequence[date]) -> DataFrame:
    """The curated rows of every flight scheduled on the days (local ones), as dataset.yaml declares them, and `day`.

    `tables` holds the sound rows of the raw tables. No column that is filled in after departure is read, but for the
    two labels, which are null when the flight never arrived.
    """
    del spark
    day = F.make_date("year", "month", "day")
    flights = tables["flights"].withColumn("day", day).where(F.col("day").isin(list(days)))
    planes = tables["planes"].select("tailnum", F.col("year").alias("built"), "seats")
    airports = tables["airports"].select(
        F.col("faa").alias("dest"),
        F.col("lat").alias("destination_latitude"),
        F.col("lon").alias("destination_longitude"),
        F.col("tzone").alias("time_zone"),
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
        _iata_number("carrier").alias("carrier"),
        _iata_number("origin").alias("origin"),
        _iata_number("dest").alias("destination"),
        F.expr("weekday(day) + 1").alias("weekday"),
        _minute_of_day("sched_dep_time").alias("departure_minute"),
        _minute_of_day("sched_arr_time").alias("arrival_minute"),
        F.count("*").over(Window.partitionBy("origin", "time_hour")).alias("departures_in_hour"),
        "distance",
        (F.col("arr_delay") > LATE_AFTER_MINUTES).cast("int").alias("late"),
        (F.col("arr_delay") - F.col("dep_delay")).alias("gained_minutes"),
    )
    clocks = F.pmod(F.col("arrival_minute") - F.col("departure_minute"), F.lit(MINUTES_A_DAY))
    return (
        schedule.withColumn("scheduled_minutes", clocks)
        .join(F.broadcast(planes), "tailnum", "left")
        .withColumn("plane_age", F.year("day") - F.col("built"))
        .join(F.broadcast(airports), "dest", "left")
        .withColumn("scheduled_block_minutes", _block_minutes())
        .join(F.broadcast(_observed_an_hour_before(tables["weather"])), ["airport", "time_hour"], "left")
        .select(
            *IDENTITY,
            *(F.col(name).cast("float").alias(name) for name in NUMBERS),
            "late",
            (F.col("scheduled_block_minutes") + F.col("gained_minutes")).cast("float").alias("block_minutes"),
            "day",
        )
    )


def _block_minutes() -> Column:
    """Minutes from scheduled departure to scheduled arrival with the time zones taken out.

    Missing where the register of airports has no time zone for the destination.
    """
    hours_apart = F.unix_timestamp(F.from_utc_timestamp("scheduled_departure", F.col("time_zone"))) - F.unix_timestamp(
        F.from_utc_timestamp("scheduled_departure", HOME)
    )
    return F.when(
        F.col("time_zone").isin(*TIME_ZONES),
        F.pmod(F.col("scheduled_minutes") - hours_apart / 60, F.lit(MINUTES_A_DAY)),
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
    """An IATA code as a number, its value in base 36, so that no table has to be shipped; missing for what is no code.

    No two codes of the same length collide, and a 32-bit float holds each exactly.
    """
    code = F.upper(F.trim(F.col(column)))
    return F.when(code.rlike("^[0-9A-Z]{2,3}$"), F.conv(code, 36, 10))


def _minute_of_day(clock: str) -> Column:
    """Minutes after midnight of a clock time written as the number HHMM."""
    return F.floor(F.col(clock) / 100) * 60 + F.col(clock) % 100
