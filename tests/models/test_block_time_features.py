"""The features of block_time are those that its declaration names, and its label is the time from gate to gate."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pyspark.sql import SparkSession

from block_time.features import ENCODERS, FEATURES, LABEL
from block_time.train import Hyperparameters
from tests.models.flights_dataset import AIRPORT, COLUMNS, FLIGHT, LABELS, prepared

MODEL = Path(__file__).parents[2] / "ml_code" / "models" / "block_time"


def test_the_declaration_agrees_with_the_code_and_the_dataset() -> None:
    declared = yaml.safe_load((MODEL / "model.yaml").read_text())
    assert declared["problem"] == "regression"
    assert declared["data"]["features"] == list(FEATURES)
    assert declared["data"]["label"] == LABEL
    assert set(FEATURES) <= set(COLUMNS) - set(LABELS)
    assert LABEL in LABELS
    assert set(ENCODERS) <= set(FEATURES)
    assert Hyperparameters(**declared["training"]["hyperparameters"]) == Hyperparameters()


def test_the_label_is_the_schedule_and_what_was_lost_on_the_way(spark: SparkSession) -> None:
    (row,) = prepared(spark)
    # 9:59 in Newark to 13:01 in Houston, an hour behind: 242 minutes; it left 4 minutes late and arrived 9 late.
    assert row["scheduled_block_minutes"] == 242
    assert row[LABEL] == 247


@pytest.mark.parametrize("missing", ["arr_delay", "dep_delay"])
def test_a_flight_that_never_arrived_has_no_label_but_features(spark: SparkSession, missing: str) -> None:
    (row,) = prepared(spark, flights=[FLIGHT | {missing: None}])
    assert row[LABEL] is None
    assert row["scheduled_block_minutes"] == 242


def test_without_the_destinations_time_zone_there_is_neither_schedule_nor_label(spark: SparkSession) -> None:
    (row,) = prepared(spark, airports=[AIRPORT | {"tzone": None}])
    assert row["scheduled_block_minutes"] is None
    assert row[LABEL] is None
