"""What windows of the training have reached is usual: rows of a day that are alike alarm only beyond that."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.monitor import baseline as baseline_module
from model_runtime.monitor.baseline import sketch_rows, write_baseline
from model_runtime.monitor.drift import FeatureDrift, find_drift
from model_runtime.monitor.drift_limits import MEASURES, DriftLimits, Limit
from model_runtime.monitor.statistics import FeatureStatistics, Reached, Statistics, Usual, read_statistics
from model_runtime.monitor.usual import margin

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
    assert found.threshold == usual.values[7]["psi"].largest * margin(trained, DriftLimits()) > 1
    assert found.to_json()["usual"] == found.threshold < found.to_json()["score"]
    assert not drift(trained, days(7, seed=3, warmer=40))["seats"].moved


def test_what_misses_values_is_measured_by_its_gaps_alone(trained: Statistics) -> None:
    found = drift(trained, days(7, seed=4, gaps=0.4))["temperature"]
    assert found.moved
    assert found.threshold == 0.2


def test_single_days_may_go_further_than_weeks_and_weeks_than_months(trained: Statistics) -> None:
    usual = trained.features["temperature"].usual
    assert usual is not None
    reached = {days: each["psi"].largest for days, each in usual.values.items()}
    assert reached[1] > reached[7] > reached[28] > 0
    assert usual.windows == {1: DAYS, 7: DAYS // 7, 28: DAYS // 28}
    assert set(trained.features["seats"].usual.values) == {1, 7, 28}  # type: ignore[union-attr]
    week = days(7, seed=3)
    for asked, span in ((1, 1), (6, 1), (7, 7), (27, 7), (90, 28)):
        limits = DriftLimits(days=asked)
        expected = max(reached[span] * margin(trained, limits), 0.2)
        assert drift(trained, week, limits)["temperature"].threshold == expected


def test_a_limit_of_its_own_and_a_setting_come_first(trained: Statistics) -> None:
    week = days(7, seed=3)
    own = DriftLimits(features={"temperature": Limit(threshold=0.3)})
    assert drift(trained, week, own)["temperature"].threshold == 0.3
    assert drift(trained, week, DriftLimits(usual=False))["temperature"].threshold == 0.2
    assert DriftLimits.read({"window_days": 28, "drift": {"usual": False}}).usual is False


def levels(days_: int, seed: int) -> pl.DataFrame:
    """Ten features, each with a level of its own that drifts from day to day as weather does."""
    random = np.random.default_rng(seed)
    day = np.zeros((days_, 10))
    level = random.normal(size=10)
    for number in range(days_):
        level = 0.8 * level + 0.6 * random.normal(size=10)
        day[number] = level
    values = np.repeat(day, 60, axis=0) + 0.5 * random.normal(size=(days_ * 60, 10))
    dates = np.repeat([date(2013, 1, 1) + timedelta(days=number) for number in range(days_)], 60)
    return pl.DataFrame({f"f{number}": values[:, number] for number in range(10)}).with_columns(
        day=pl.Series(dates.tolist())
    )


def test_calm_weeks_of_ten_clustered_features_seldom_alarm(tmp_path: Path) -> None:
    alarms, features = [], [f"f{number}" for number in range(10)]
    for seed in range(3):
        rows = levels(182 + 84, seed)
        write_baseline(rows[: 182 * 60], features, (), tmp_path, "day")
        statistics = read_statistics(json.loads((tmp_path / "statistics.json").read_text()))
        for week in range(12):
            table = sketch_rows(rows[(182 + 7 * week) * 60 :][: 7 * 60], features)
            alarms.append(any(each.moved for each in find_drift(statistics, table)))
    assert np.mean(alarms) < 0.2


def test_features_may_go_as_much_further_as_nine_of_ten_windows_need_to_be_calm() -> None:
    """Of 19 windows the second furthest, of 39 the fourth: ranks of n + 1."""

    def statistics(windows: int, *reached: Reached) -> Statistics:
        features = {}
        for number, each in enumerate(reached):
            usual = Usual({7: dict.fromkeys(MEASURES, each)}, {}, {7: windows})
            features[f"f{number}"] = FeatureStatistics(
                name=f"f{number}", type="Fractional", present=1, missing=0, usual=usual
            )
        return Statistics(rows=1, features=features)

    reached = [Reached(9.0, 3.0, 0), Reached(4.0, 2.0, 1), Reached(1.5, 1.0, 2), Reached(2.2, 2.0, 3)]
    assert margin(statistics(19, *reached), DriftLimits()) == pytest.approx(2.0)
    assert margin(statistics(39, *reached), DriftLimits()) == pytest.approx(1.1)
    assert margin(statistics(400, *reached), DriftLimits()) == 1.0
    assert margin(statistics(19, *reached), DriftLimits(days=1)) == 1.0
    # what is below the threshold alarms nobody, and what has limits of its own is none of this
    assert margin(statistics(6, Reached(0.19, 0.001, 0)), DriftLimits()) == 1.0
    assert margin(statistics(6, *reached), DriftLimits(ignored=frozenset({"f0", "f1"}))) == pytest.approx(1.5)
    assert margin(statistics(19, *reached), DriftLimits(features={"f0": Limit()})) == pytest.approx(1.5)


@pytest.mark.parametrize("rows_at_a_time", [1_000, 1_000_000])
def test_files_in_any_order_say_what_a_table_says(
    tmp_path: Path, trained: Statistics, rows_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline_module, "BATCH_ROWS", rows_at_a_time)
    rows = days(DAYS, seed=1).sample(fraction=1, shuffle=True, seed=2)
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for file, part in zip(files, (rows[:20_000], rows[20_000:]), strict=True):
        part.write_parquet(file)
    write_baseline(iter(files), FEATURES, (), tmp_path, "day")
    found = read_statistics(json.loads((tmp_path / "statistics.json").read_text()))
    for name in FEATURES:
        mine, theirs = found.features[name].usual, trained.features[name].usual
        assert mine is not None
        assert theirs is not None
        assert mine.windows == theirs.windows
        for days_, each in theirs.values.items():
            # the ranges come from sketches, which order changes a little
            assert mine.values[days_]["psi"].largest == pytest.approx(each["psi"].largest, rel=0.05)


def test_texts_flags_and_codes_are_counted_by_day_as_they_are_compared(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    number = np.repeat(np.arange(28), 300)
    summer = number >= 21
    rows = pl.DataFrame(
        {
            "day": [date(2013, 1, 1) + timedelta(days=int(each)) for each in number],
            "text": np.where(summer & (random.random(len(number)) < 0.5), "new", random.choice(["a", " 1.0"], 8_400)),
            "flag": random.random(len(number)) < np.where(summer, 0.9, 0.1),
            "code": random.integers(500, 600, len(number)) + np.where(summer, 50, 0),
            "written": [f" {each:.2f}" for each in random.normal(np.where(summer, 1, 0))],
        }
    ).with_columns(text=pl.when(pl.lit(random.random(8_400)) < 0.1).then(pl.lit("")).otherwise("text"))
    features = ["text", "flag", "code", "written"]
    write_baseline(rows, features, {"code"}, tmp_path, "day")
    found = read_statistics(json.loads((tmp_path / "statistics.json").read_text()))
    others = rows.filter(~pl.Series(summer))
    write_baseline(others, features, {"code"}, tmp_path)
    before = read_statistics(json.loads((tmp_path / "statistics.json").read_text()))
    for each in find_drift(before, sketch_rows(rows.filter(pl.Series(summer)), features)):
        usual = found.features[each.name].usual
        assert usual is not None
        assert usual.values[7]["psi"].window == 0
        assert each.score is not None
        assert usual.values[7]["psi"].largest == pytest.approx(each.score, rel=0.15)
        assert each.score > 0.3


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
