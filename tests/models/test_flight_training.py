"""How flight_delay learns: from rows with gaps, as many trees as the validation days want, then on all days."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost as xgb

from flight_delay.evaluate import evaluate
from flight_delay.features import FEATURES, LABEL
from flight_delay.train import Hyperparameters, fit, matrix
from model_runtime.encoders import iata_number
from model_runtime.metrics import area_under_curve

SMALL: dict[str, Any] = {"rounds": 40, "early_stopping_rounds": 5, "max_depth": 3, "min_child_weight": 1.0}
ROUNDS = 40


def rows(seed: int, count: int = 3000, signal: float = 1.0) -> pl.DataFrame:
    """Flights that are late by chance, and more often late in the day; one value in twenty is missing."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {name: random.random(count).astype(np.float32) for name in FEATURES}
    columns["origin"] = random.choice([iata_number(code) for code in ("EWR", "JFK", "LGA")], count)
    chance = 0.3 + signal * (columns["departure_minute"] - 0.5) * 0.6
    columns[LABEL] = (random.random(count) < chance).astype(np.int32)
    missing = random.random(count) < 0.05
    return pl.DataFrame(columns).with_columns(temperature=pl.when(pl.lit(pl.Series(~missing))).then("temperature"))


@pytest.fixture(scope="module")
def booster() -> xgb.Booster:
    return fit(rows(1), rows(2), Hyperparameters(**SMALL))


def test_it_ranks_flights_that_it_has_not_seen(booster: xgb.Booster) -> None:
    test = rows(3)
    scores = booster.predict(matrix(test)).astype(np.float64)
    assert area_under_curve(test[LABEL].to_numpy() == 1, scores) > 0.62
    assert abs(float(scores.mean()) - float(test[LABEL].to_numpy().mean())) < 0.05


def test_it_knows_the_features_by_name_and_takes_missing_ones(booster: xgb.Booster) -> None:
    assert booster.feature_names == list(FEATURES)
    nothing = np.full((1, len(FEATURES)), np.nan, dtype=np.float32)
    assert 0 < booster.inplace_predict(nothing).item() < 1


def test_where_there_is_nothing_to_learn_it_stops_early() -> None:
    noise = fit(rows(1, signal=0), rows(2, signal=0), Hyperparameters(**SMALL))
    assert noise.num_boosted_rounds() < ROUNDS / 2


def test_the_validation_days_are_learned_from_too() -> None:
    hidden = rows(2).with_columns(pl.lit(1).cast(pl.Int32).alias(LABEL))
    with_hidden = fit(rows(1), hidden, Hyperparameters(**SMALL)).predict(matrix(rows(3))).mean()
    without = fit(rows(1), rows(2), Hyperparameters(**SMALL)).predict(matrix(rows(3))).mean()
    assert with_hidden > without + 0.1


def test_the_same_rows_make_the_same_model(booster: xgb.Booster) -> None:
    assert fit(rows(1), rows(2), Hyperparameters(**SMALL)).save_raw() == booster.save_raw()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", 0),
        ("early_stopping_rounds", 0),
        ("max_depth", -1),
        ("min_child_weight", -0.1),
        ("min_child_weight", float("nan")),
        ("learning_rate", 0.0),
        ("subsample", 1.1),
        ("colsample_bytree", float("nan")),
    ],
)
def test_a_value_that_can_not_train_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be .* got {value}"):
        Hyperparameters(**{name: value})


def test_each_airport_is_judged_by_itself(booster: xgb.Booster) -> None:
    test = rows(4).with_columns(prediction=pl.col("departure_minute").cast(pl.Float64))
    newark = test.filter(pl.col("origin") == iata_number("EWR"))
    found = evaluate(booster, test)
    assert set(found) == {"auc_ewr", "auc_jfk", "auc_lga"}
    assert found["auc_ewr"] == pytest.approx(
        area_under_curve(newark[LABEL].to_numpy() == 1, newark["prediction"].to_numpy())
    )
    absent = evaluate(booster, test.filter(pl.col("origin") != iata_number("LGA")))
    assert np.isnan(absent["auc_lga"])


def test_training_and_serving_need_no_spark() -> None:
    code = (
        "import json, sys, flight_delay.train, flight_delay.evaluate, flight_delay.features, model_runtime.train;"
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in ('pyspark', 'py4j')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], capture_output=True
    )
    assert json.loads(done.stdout) == []
