"""What windows of the training have reached is usual: rows of a day that are alike alarm only beyond that."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.monitor.baseline import sketch_rows, write_baseline
from model_runtime.monitor.drift import FeatureDrift, find_drift
from model_runtime.monitor.drift_limits import DriftLimits, Limit
from model_runtime.monitor.statistics import Statistics, read_statistics

FEATURES = ["temperature", "seats"]
ROWS_A_DAY = 220
DAYS = 280


def days(count: int, seed: int, *, warmer: float = 0.0, gaps: float = 0.0) -> pl.DataFrame:
    """Days with a temperature each, which all of its rows share, and seats, which they don't."""
    random = np.random.default_rng(seed)
    number = np.repeat(np.arange(count), ROWS_A_DAY)
    temperature = np.repeat(random.normal(50 + warmer, 10, count), ROWS_A_DAY) + random.normal(0, 1, len(number))
    temperature[random.random(len(number)) < gaps] = np.nan
    return pl.DataFrame(
        {
            "day": [date(2013, 1, 1) + timedelta(days=int(each)) for each in number],
            "temperature": pl.Series(temperature).fill_nan(None),
            "seats": random.integers(50, 200, len(number)),
        }
    )


def baseline(directory: Path, rows: pl.DataFrame, day: str | None = "day") -> Statistics:
    write_baseline(rows, FEATURES, (), directory, day)
    return read_statistics(json.loads((directory / "statistics.json").read_text()))


def drift(statistics: Statistics, rows: pl.DataFrame, limits: DriftLimits | None = None) -> dict[str, FeatureDrift]:
    return {each.name: each for each in find_drift(statistics, sketch_rows(rows, FEATURES), limits)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Statistics:
    return baseline(tmp_path_factory.mktemp("baseline"), days(DAYS, seed=1))


def test_a_week_like_others_is_calm_and_without_days_it_never_is(trained: Statistics, tmp_path: Path) -> None:
    unaware = baseline(tmp_path, days(DAYS, seed=1), day=None)
    moved = [drift(trained, days(7, seed=seed))["temperature"].moved for seed in range(10, 30)]
    assert sum(moved) < 5
    assert all(drift(unaware, days(7, seed=seed))["temperature"].moved for seed in range(10, 30))


def test_a_week_beyond_all_others_has_moved_and_says_how_far_they_reached(trained: Statistics) -> None:
    found = drift(trained, days(7, seed=3, warmer=40))["temperature"]
    usual = trained.features["temperature"].usual
    assert usual is not None
    assert found.moved
    assert found.threshold == usual.values[7]["psi"] > 1
    assert found.to_json()["usual"] == found.threshold < found.to_json()["score"]
    assert not drift(trained, days(7, seed=3, warmer=40))["seats"].moved


def test_what_misses_values_is_measured_by_its_gaps_alone(trained: Statistics) -> None:
    found = drift(trained, days(7, seed=4, gaps=0.4))["temperature"]
    assert found.moved
    assert found.threshold == 0.2


def test_single_days_may_go_further_than_weeks_and_weeks_than_months(trained: Statistics) -> None:
    usual = trained.features["temperature"].usual
    assert usual is not None
    assert usual.values[1]["psi"] > usual.values[7]["psi"] > usual.values[28]["psi"] > 0
    assert set(trained.features["seats"].usual.values) == {1, 7, 28}  # type: ignore[union-attr]
    week = days(7, seed=3)
    thresholds = [drift(trained, week, DriftLimits(days=each))["temperature"].threshold for each in (1, 6, 7, 27, 90)]
    assert thresholds == [max(usual.values[each]["psi"], 0.2) for each in (1, 1, 7, 7, 28)]


def test_a_limit_of_its_own_and_a_setting_come_first(trained: Statistics) -> None:
    week = days(7, seed=3)
    own = DriftLimits(features={"temperature": Limit(threshold=0.3)})
    assert drift(trained, week, own)["temperature"].threshold == 0.3
    assert drift(trained, week, DriftLimits(usual=False))["temperature"].threshold == 0.2
    assert DriftLimits.read({"window_days": 28, "drift": {"usual": False}}).usual is False


def test_few_days_say_nothing_of_what_is_usual(tmp_path: Path) -> None:
    statistics = baseline(tmp_path, days(20, seed=5))
    usual = statistics.features["temperature"].usual
    assert usual is not None
    assert set(usual.values) == {1}
    sparse = days(20, seed=5).group_by("day", maintain_order=True).head(10)
    assert baseline(tmp_path, sparse).features["temperature"].usual is None


def test_broken_statistics_name_the_feature(trained: Statistics) -> None:
    said = {
        "dataset": {"item_count": 1},
        "features": [
            {
                "name": "temperature",
                "inferred_type": "Unknown",
                "numerical_statistics": {"common": {"num_present": 0, "num_missing": 1}},
                "usual": {"values": {"7": {"psi": "much"}}, "gaps": {}},
            }
        ],
    }
    with pytest.raises(JobError, match="temperature can't be read"):
        read_statistics(said)
