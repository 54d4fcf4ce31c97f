"""The features of flight_delay hold nothing from a flight's future."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession

from flight_delay.features import ENCODERS, FEATURES, LABEL
from flight_delay.train import Hyperparameters
from model_runtime.encoders import iata_number
from tests.models.flights_dataset import COLUMNS, FLIGHT, LABELS, OBSERVATION, prepared

MODEL = Path(__file__).parents[2] / "ml_code" / "models" / "flight_delay"

Features = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def features(spark: SparkSession) -> Features:
    """Curated rows with what the model reads of them, and what tells a flight apart."""

    def compute(**tables: Any) -> list[dict[str, Any]]:
        wanted = ("flight_number", "route", "scheduled_departure", *FEATURES, LABEL)
        return [{name: row[name] for name in wanted} for row in prepared(spark, **tables)]

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


def test_the_declaration_agrees_with_the_code_and_the_dataset() -> None:
    declared = yaml.safe_load((MODEL / "model.yaml").read_text())
    assert declared["data"]["features"] == list(FEATURES)
    assert declared["data"]["label"] == LABEL
    assert set(FEATURES) <= set(COLUMNS) - set(LABELS)
    assert LABEL in LABELS
    assert set(ENCODERS) <= set(FEATURES)
    assert Hyperparameters(**declared["training"]["hyperparameters"]) == Hyperparameters()
