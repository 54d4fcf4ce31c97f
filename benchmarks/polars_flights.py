"""The preparation of flights in polars: what `flights.etl.transform` does, by an engine for one machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from flights.etl import HOME, IDENTITY, LATE_AFTER_MINUTES, MINUTES_A_DAY, NUMBERS, WEATHER

KINDS = {"int": pl.Int32(), "double": pl.Float64(), "string": pl.String(), "timestamp": pl.String()}


def scan(raw: Path, table: Any, days: Sequence[date]) -> pl.LazyFrame:
    """A raw table, typed as declared."""
    folders = [f"day={day}" for day in days] if table.daily else ["."]
    schema = {column.name: KINDS[column.type] for column in table.columns}
    times = [column.name for column in table.columns if column.type == "timestamp"]
    files = [raw / table.name / folder / f"{table.name}.csv" for folder in folders]
    frame = pl.scan_csv(files, schema=schema, null_values="NA")
    return frame.with_columns(pl.col(times).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC"))


def transform(tables: Mapping[str, pl.LazyFrame], zones: Sequence[str]) -> pl.LazyFrame:
    """The curated columns; `zones` are the time zones of the destinations."""
    weather = tables["weather"].select(
        "origin",
        pl.col("time_hour") + pl.duration(hours=1),
        *(pl.col(column).alias(name) for name, column in WEATHER.items()),
    )
    observed = weather.sort("origin", "time_hour", *WEATHER).unique(["origin", "time_hour"], keep="first")
    airports = tables["airports"].select(
        pl.col("faa").alias("dest"),
        pl.col("lat").alias("destination_latitude"),
        pl.col("lon").alias("destination_longitude"),
        pl.col("tzone").alias("time_zone"),
    )
    planes = tables["planes"].select("tailnum", pl.col("year").alias("built"), "seats")
    departure, arrival = _minute_of_day("sched_dep_time"), _minute_of_day("sched_arr_time")
    flights = tables["flights"].with_columns(
        pl.date("year", "month", "day").alias("date"),
        (pl.col("time_hour") + pl.duration(minutes="minute")).alias("scheduled_departure"),
        departure.alias("departure_minute"),
        arrival.alias("arrival_minute"),
        ((arrival - departure) % MINUTES_A_DAY).alias("scheduled_minutes"),
        pl.len().over("origin", "time_hour").alias("departures_in_hour"),
    )
    joined = (
        flights.join(planes, on="tailnum", how="left")
        .join(airports, on="dest", how="left")
        .join(observed, on=["origin", "time_hour"], how="left")
    )
    apart = pl.coalesce(
        *(pl.when(pl.col("time_zone") == zone).then(_ahead_of_utc(zone) - _ahead_of_utc(HOME)) for zone in zones)
    )
    block = (pl.col("scheduled_minutes") - apart) % MINUTES_A_DAY
    return joined.with_columns(
        pl.concat_str("carrier", pl.lit(" "), "flight").alias("flight_number"),
        pl.concat_str("origin", pl.lit("-"), "dest").alias("route"),
        pl.col("carrier").str.to_integer(base=36),
        pl.col("origin").str.to_integer(base=36),
        pl.col("dest").str.to_integer(base=36).alias("destination"),
        pl.col("date").dt.weekday().alias("weekday"),
        (pl.col("year") - pl.col("built")).alias("plane_age"),
        block.alias("scheduled_block_minutes"),
        (pl.col("arr_delay") > LATE_AFTER_MINUTES).cast(pl.Int32).alias("late"),
        (block + pl.col("arr_delay") - pl.col("dep_delay")).alias("block_minutes"),
    ).select(
        *IDENTITY,
        pl.col(NUMBERS).cast(pl.Float32),
        "late",
        pl.col("block_minutes").cast(pl.Float32),
        pl.col("date").alias("day"),
    )


def _minute_of_day(clock: str) -> pl.Expr:
    return pl.col(clock) // 100 * 60 + pl.col(clock) % 100


def _ahead_of_utc(zone: str) -> pl.Expr:
    local = pl.col("scheduled_departure").dt.convert_time_zone(zone)
    return (local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_minutes()
