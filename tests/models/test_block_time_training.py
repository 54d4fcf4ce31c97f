"""How block_time learns: from rows with gaps, unmoved by a few long waits, and better than the schedule."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import polars as pl
import pytest
import xgboost as xgb

from block_time.evaluate import evaluate
from block_time.features import FEATURES, LABEL
from block_time.train import Hyperparameters, fit, matrix
from model_runtime.encoders import iata_number

SMALL: dict[str, Any] = {"rounds": 60, "early_stopping_rounds": 5, "max_depth": 3, "min_child_weight": 1.0}


def rows(seed: int, count: int = 3000, waiting: float = 0.0) -> pl.DataFrame:
    """Flights whose airline pads the schedule by 10 minutes, but for those of JetBlue.

    A share of them, `waiting`, waits five hours more; one temperature in twenty is missing.
    """
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {name: random.random(count).astype(np.float32) for name in FEATURES}
    columns["carrier"] = random.choice([iata_number("UA"), iata_number("B6")], count).astype(np.float32)
    columns["scheduled_block_minutes"] = random.uniform(50, 400, count).astype(np.float32)
    columns["distance"] = columns["scheduled_block_minutes"] * 7
    gained = np.where(columns["carrier"] == np.float32(iata_number("UA")), 10, 0)
    wait = 300 * (random.random(count) < waiting)
    truth = columns["scheduled_block_minutes"] - gained + random.normal(0, 3, count) + wait
    columns[LABEL] = truth.astype(np.float32)
    present = pl.Series(random.random(count) >= 0.05)
    return pl.DataFrame(columns).with_columns(temperature=pl.when(present).then("temperature"))


@pytest.fixture(scope="module")
def booster() -> xgb.Booster:
    return fit(rows(1), rows(2), Hyperparameters(**SMALL))


def judged(booster: xgb.Booster, test: pl.DataFrame) -> dict[str, float]:
    return evaluate(booster, test.with_columns(pl.Series("prediction", booster.predict(matrix(test)).astype(float))))


def test_it_knows_flights_that_it_has_not_seen_better_than_the_schedule(booster: xgb.Booster) -> None:
    test = rows(3)
    error = float(np.abs(booster.predict(matrix(test)) - test[LABEL].to_numpy()).mean())
    assert error < judged(booster, test)["mae_of_schedule"]


def test_a_few_flights_that_wait_long_do_not_move_the_others() -> None:
    hyperparameters = Hyperparameters(**SMALL | {"rounds": 100, "early_stopping_rounds": 20})
    plain = rows(3)
    predicted = fit(rows(1, waiting=0.08), rows(2, waiting=0.08), hyperparameters).predict(matrix(plain))
    assert abs(float(np.mean(predicted - plain[LABEL].to_numpy()))) < 10  # the mean would lie 24 minutes off


def test_it_knows_the_features_by_name_and_takes_missing_ones(booster: xgb.Booster) -> None:
    assert booster.feature_names == list(FEATURES)
    nothing = np.full((1, len(FEATURES)), np.nan, dtype=np.float32)
    assert np.isfinite(booster.inplace_predict(nothing)).all()


def test_where_there_is_nothing_to_learn_it_stops_early() -> None:
    def shuffled(seed: int) -> pl.DataFrame:
        flights = rows(seed)
        return flights.with_columns(flights[LABEL].shuffle(seed=seed))

    assert fit(shuffled(1), shuffled(2), Hyperparameters(**SMALL)).num_boosted_rounds() < SMALL["rounds"] / 2


def test_the_validation_days_are_learned_from_too(booster: xgb.Booster) -> None:
    longer = rows(2).with_columns(pl.col(LABEL) + 60)
    with_longer = fit(rows(1), longer, Hyperparameters(**SMALL)).predict(matrix(rows(3))).mean()
    assert with_longer > booster.predict(matrix(rows(3))).mean() + 10


def test_the_same_rows_make_the_same_model(booster: xgb.Booster) -> None:
    assert fit(rows(1), rows(2), Hyperparameters(**SMALL)).save_raw() == booster.save_raw()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rounds", 0),
        ("early_stopping_rounds", 0),
        ("max_depth", -1),
        ("min_child_weight", float("nan")),
        ("learning_rate", 0.0),
        ("subsample", 1.1),
        ("colsample_bytree", float("nan")),
    ],
)
def test_a_value_that_can_not_train_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be .* got {value}"):
        Hyperparameters(**{name: value})


def test_the_model_and_the_schedule_are_judged_alike_near_and_far(booster: xgb.Booster) -> None:
    test = rows(3, 4).with_columns(
        pl.Series("scheduled_block_minutes", [60.0, 110.0, None, 320.0]),
        pl.Series("prediction", [57.0, 103.0, 200.0, 320.0]),
        pl.Series(LABEL, [50.0, 100.0, 204.0, 300.0], dtype=pl.Float32),
        pl.Series("distance", [300.0, 599.0, 900.0, 2500.0]),
    )
    assert evaluate(booster, test) == {
        "mae_of_schedule": pytest.approx((10 + 10 + 20) / 3),
        "within_5_minutes": 0.5,
        "within_15_minutes": 0.75,
        "within_5_minutes_of_schedule": 0.0,
        "within_15_minutes_of_schedule": pytest.approx(2 / 3),
        "mae_short": pytest.approx(5),
        "mae_medium": pytest.approx(4),
        "mae_long": pytest.approx(20),
    }
    assert np.isnan(evaluate(booster, test.filter(pl.col("distance") < 1000))["mae_long"])


def test_training_and_serving_need_no_spark() -> None:
    code = (
        "import json, sys, block_time.train, block_time.evaluate, block_time.features, model_runtime.train;"
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in ('pyspark', 'py4j', 'flights')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}"], capture_output=True, check=True
    )
    assert json.loads(done.stdout) == []
