"""The features of flight_delay hold nothing from a flight's future."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from flight_delay.etl import TABLES, transform
from flight_delay.features import FEATURES, LABEL, iata_number
from flight_delay.train import Hyperparameters

DAY = date(2013, 7, 4)
MODEL = Path(__file__).parents[2] / "ml_code" / "models" / "flight_delay"

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
AIRPORT = {"faa": "IAH", "name": "Houston", "lat": 29.98, "lon": -95.34}

Features = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def features(spark: SparkSession) -> Features:
    def frame(name: str, rows: list[Mapping[str, Any]]) -> DataFrame:
        schema = StructType.fromDDL(TABLES[name].schema)
        assert isinstance(schema, StructType)
        return spark.createDataFrame([tuple(row.get(field.name) for field in schema) for row in rows], schema)

    def compute(
        flights: list[Mapping[str, Any]] | None = None, weather: list[Mapping[str, Any]] | None = None
    ) -> list[dict[str, Any]]:
        tables = {
            "flights": frame("flights", [FLIGHT] if flights is None else flights),
            "weather": frame("weather", [OBSERVATION] if weather is None else weather),
            "planes": frame("planes", [PLANE]),
            "airports": frame("airports", [AIRPORT]),
        }
        return [row.asDict() for row in transform(spark, tables, DAY, DAY).orderBy("flight_number").collect()]

    return compute


def test_a_flight_becomes_its_schedule_its_plane_and_the_weather_an_hour_earlier(features: Features) -> None:
    (row,) = features()
    expected = {
        "carrier": iata_number("UA"), "origin": iata_number("EWR"), "destination": iata_number("IAH"), "weekday": 4,
        "departure_minute": 9 * 60 + 59, "arrival_minute": 13 * 60 + 1, "scheduled_minutes": 182,
        "departures_in_hour": 1, "distance": 1400, "destination_latitude": 29.98, "destination_longitude": -95.34,
        "plane_age": 14, "seats": 149, "temperature": 70, "dew_point": 60, "humidity": 70, "wind_direction": 270,
        "wind_speed": 10, "wind_gust": None, "precipitation": 0.1, "pressure": 1012, "visibility": 9,
    }  # fmt: skip
    assert {name: row[name] for name in FEATURES} == {
        name: None if value is None else pytest.approx(value, rel=1e-6) for name, value in expected.items()
    }
    assert row["flight_number"] == "UA 1545"
    assert row["route"] == "EWR-IAH"
    assert row["scheduled_departure"] == datetime(2013, 7, 4, 13, 59)
    assert row[LABEL] == 0


def test_what_is_known_only_after_departure_changes_nothing_but_the_label(features: Features) -> None:
    (before,) = features()
    after_departure = {"dep_time": 1200, "dep_delay": 121, "arr_time": 1500, "arr_delay": 119, "air_time": 300}
    (after,) = features(flights=[FLIGHT | after_departure])
    assert after.pop(LABEL) == 1
    assert before.pop(LABEL) == 0
    assert after == before
    (cancelled,) = features(flights=[FLIGHT | dict.fromkeys(after_departure)])
    assert cancelled.pop(LABEL) is None
    assert cancelled == before


@pytest.mark.parametrize("hour", [13, 14, 15])
def test_weather_less_than_an_hour_before_departure_changes_nothing(features: Features, hour: int) -> None:
    later = OBSERVATION | {"time_hour": datetime(2013, 7, 4, hour), "temp": -40.0, "precip": 9.0, "visib": 0.0}
    assert features(weather=[OBSERVATION, later]) == features()


def test_a_flight_on_the_hour_sees_the_observation_exactly_an_hour_old(features: Features) -> None:
    on_the_hour = FLIGHT | {"sched_dep_time": 900, "minute": 0}
    later = OBSERVATION | {"time_hour": datetime(2013, 7, 4, 13), "temp": -40.0}
    (row,) = features(flights=[on_the_hour], weather=[OBSERVATION, later])
    assert row["temperature"] == 70.0


def test_other_flights_matter_by_their_schedule_alone(features: Features) -> None:
    other = FLIGHT | {"flight": 1600, "minute": 5, "sched_dep_time": 905}
    punctual = features(flights=[FLIGHT, other])[0]
    delayed = features(flights=[FLIGHT, other | {"dep_delay": 300, "arr_delay": 300, "dep_time": None}])[0]
    assert punctual == delayed
    assert punctual["departures_in_hour"] == 2


def test_only_flights_of_the_days_asked_for_come_out(features: Features) -> None:
    assert features(flights=[FLIGHT | {"day": 5, "time_hour": datetime(2013, 7, 5, 13)}]) == []


def test_two_observations_of_an_hour_never_double_a_flight(features: Features) -> None:
    twice = [OBSERVATION, OBSERVATION | {"temp": 71.0}]
    assert features(weather=twice) == features(weather=list(reversed(twice)))
    assert len(features(weather=twice)) == 1


def test_missing_weather_leaves_its_features_missing(features: Features) -> None:
    (row,) = features(weather=[])
    assert row["temperature"] is None
    assert row["carrier"] is not None


@pytest.mark.parametrize(("code", "number"), [("9E", 338), ("ua", 1090), (" EWR ", 19323)])
def test_codes_become_their_base_36_value(code: str, number: int) -> None:
    assert iata_number(code) == number


@pytest.mark.parametrize("code", ["", "U", "EWRX", "U-", "é9"])
def test_what_is_no_code_is_refused_by_name(code: str) -> None:
    with pytest.raises(ValueError, match="no IATA code"):
        iata_number(code)


def test_the_declaration_agrees_with_the_code() -> None:
    declared = yaml.safe_load((MODEL / "model.yaml").read_text())
    assert declared["data"]["features"] == list(FEATURES)
    assert declared["data"]["label"] == LABEL
    assert declared["data"]["tables"] == list(TABLES)
    assert Hyperparameters(**declared["training"]["hyperparameters"]) == Hyperparameters()
