"""The dataset of flights as its declaration describes it, for tests that prepare rows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from flights.etl import transform

DECLARATION = yaml.safe_load((Path(__file__).parents[2] / "ml_code/datasets/flights/dataset.yaml").read_text())
TABLES: Mapping[str, Mapping[str, Any]] = DECLARATION["tables"]
COLUMNS = tuple(DECLARATION["prepared"]["columns"])
LABELS = ("late", "block_minutes")

DAY = date(2013, 7, 4)
FLIGHT: dict[str, Any] = {
    "year": 2013, "month": 7, "day": 4, "dep_time": 1003, "sched_dep_time": 959, "dep_delay": 4, "arr_time": 1310,
    "sched_arr_time": 1301, "arr_delay": 9, "carrier": "UA", "flight": 1545, "tailnum": "N14228", "origin": "EWR",
    "dest": "IAH", "air_time": 190, "distance": 1400, "hour": 9, "minute": 59, "time_hour": datetime(2013, 7, 4, 13),
}  # fmt: skip
OBSERVATION: dict[str, Any] = {
    "origin": "EWR", "year": 2013, "month": 7, "day": 4, "hour": 8, "temp": 70.0, "dewp": 60.0, "humid": 70.0,
    "wind_dir": 270.0, "wind_speed": 10.0, "wind_gust": None, "precip": 0.1, "pressure": 1012.0, "visib": 9.0,
    "time_hour": datetime(2013, 7, 4, 12),
}  # fmt: skip
PLANE = {"tailnum": "N14228", "year": 1999, "seats": 149}
AIRPORT = {"faa": "IAH", "name": "Houston", "lat": 29.98, "lon": -95.34, "tzone": "America/Chicago"}


def schema(table: str) -> StructType:
    """The columns of a raw table, typed."""
    columns = TABLES[table]["columns"]
    found = StructType.fromDDL(", ".join(f"{name} {column['type']}" for name, column in columns.items()))
    assert isinstance(found, StructType)
    return found


def frame(spark: SparkSession, table: str, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Rows of a raw table; columns that a row leaves out are missing."""
    columns = schema(table)
    return spark.createDataFrame([tuple(row.get(field.name) for field in columns) for row in rows], columns)


def prepared(
    spark: SparkSession,
    flights: Sequence[Mapping[str, Any]] = (FLIGHT,),
    weather: Sequence[Mapping[str, Any]] = (OBSERVATION,),
    airports: Sequence[Mapping[str, Any]] = (AIRPORT,),
) -> list[dict[str, Any]]:
    """The curated rows of DAY, by flight number."""
    tables = {"flights": flights, "weather": weather, "planes": [PLANE], "airports": airports}
    frames = {name: frame(spark, name, rows) for name, rows in tables.items()}
    return [row.asDict() for row in transform(spark, frames, [DAY]).orderBy("flight_number").collect()]
