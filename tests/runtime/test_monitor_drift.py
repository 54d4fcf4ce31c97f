"""Features that moved are named and calm ones stay calm: by more than a limit, and more than chance."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.spatial import distance

from model_runtime.errors import JobError
from model_runtime.monitor import distances
from model_runtime.monitor.baseline import sketch_rows
from model_runtime.monitor.distributions import Distribution
from model_runtime.monitor.drift import FeatureDrift, find_drift
from model_runtime.monitor.drift_limits import DriftLimits, Limit
from model_runtime.monitor.statistics import Statistics, read_statistics, statistics_json

RANDOM = np.random.default_rng(21)
CODES = np.array([13_000 + 7 * number for number in range(100)], dtype=np.float32)
SHARES = 1 / np.arange(1, 101)


def rows(count: int) -> pl.DataFrame:
    """Rows like a model's: skewed, stepped, mostly zero, coded with a long tail, and with missing values."""
    return pl.DataFrame(
        {
            "amount": RANDOM.gamma(2, 10, count),
            "level": RANDOM.normal(0, 1, count).round(1),
            "rain": np.where(RANDOM.random(count) < 0.93, 0.0, RANDOM.random(count)),
            "weekday": RANDOM.integers(1, 8, count),
            "code": RANDOM.choice(CODES, count, p=SHARES / SHARES.sum()),
            "age": pl.Series(np.where(RANDOM.random(count) < 0.15, np.nan, RANDOM.integers(0, 40, count))).fill_nan(
                None
            ),
            "constant": np.ones(count),
        }
    )


POPULATION = rows(30_000)
COLUMNS = POPULATION.columns


def statistics(table: pl.DataFrame, encoded: tuple[str, ...] = ("code",)) -> Statistics:
    return read_statistics(json.loads(json.dumps(statistics_json(sketch_rows(table, table.columns), encoded))))


BASELINE = statistics(POPULATION)


def drift(now: pl.DataFrame, limits: DriftLimits | None = None) -> dict[str, FeatureDrift]:
    return {each.name: each for each in find_drift(BASELINE, sketch_rows(now, now.columns), limits)}


def moved(now: pl.DataFrame, limits: DriftLimits | None = None) -> set[str]:
    return {name for name, each in drift(now, limits).items() if each.moved}


@pytest.mark.parametrize("size", [50_000, 100_000])
def test_some_new_codes_among_a_thousand_are_no_drift(size: int) -> None:
    random = np.random.default_rng(3)
    codes = pl.DataFrame({"code": 10_000.0 + random.integers(0, 1_000, 2 * size)})
    now = codes.tail(size).to_series().to_numpy().copy()
    now[:60] = 20_000 + np.arange(60)
    table = sketch_rows(pl.DataFrame({"code": now}), ["code"])
    assert not table.columns["code"].numbers.exact
    (found,) = find_drift(statistics(codes.head(size), ("code",)), table)
    assert not found.moved
    assert found.score is not None
    assert found.score < 0.1
    assert found.described["new_values"][0].startswith("20")


def test_flags_of_the_training_are_the_ones_and_zeros_that_clients_send() -> None:
    flags = pl.DataFrame({"flag": np.random.default_rng(4).random(6_000) < 0.3})
    trained = statistics(flags.head(3_000), ())
    for now in (flags.tail(3_000), flags.tail(3_000).cast(pl.Float64)):
        (found,) = find_drift(trained, sketch_rows(now, ["flag"]))
        assert not found.moved
        assert found.score == pytest.approx(0, abs=0.01)
    (found,) = find_drift(trained, sketch_rows(flags.select(flag=~pl.col("flag")), ["flag"]))
    assert found.moved
    assert found.described["histogram"]["categories"] == ["0", "1"]


@pytest.mark.parametrize("size", [250, 2_000])
def test_shuffled_training_rows_alarm_in_at_most_one_of_twenty_windows(size: int) -> None:
    alarms = sum(bool(moved(POPULATION.sample(size, seed=seed))) for seed in range(200))
    assert alarms <= 10


def test_by_chance_alone_any_test_of_any_feature_is_significant_as_seldom_as_was_asked_for() -> None:
    # the limit out of the way, only the tests decide: at most 1 % of the windows
    limits = DriftLimits(overall=Limit(threshold=1e-9), alpha=0.01)
    assert sum(bool(moved(POPULATION.sample(500, seed=seed), limits)) for seed in range(100)) <= 5


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        (lambda now: now.with_columns(pl.col("amount") + 9), "amount"),
        (lambda now: now.with_columns(pl.col("level") * 2), "level"),
        (lambda now: now.with_columns(rain=pl.col("amount") / 100), "rain"),
        (lambda now: now.with_columns(weekday=pl.col("weekday").clip(upper_bound=5)), "weekday"),
        (lambda now: now.with_columns(code=pl.when(pl.col("amount") < 12).then(99.0).otherwise("code")), "code"),
        (lambda now: now.with_columns(age=pl.when(pl.col("amount") < 20).then("age")), "age"),
        (lambda now: now.with_columns(age=pl.lit(None, pl.Float64)), "age"),
        (lambda now: now.with_columns(constant=pl.lit(2.0)), "constant"),
        (lambda now: now.with_columns(constant=pl.lit(0.0)), "constant"),
        (lambda now: now.drop("level"), "level"),
        (lambda now: now.with_columns(weekday=pl.lit("monday")), "weekday"),
    ],
    ids=[
        "mean",
        "variance",
        "zeros",
        "categories",
        "new code",
        "missing",
        "all missing",
        "higher",
        "lower",
        "gone",
        "text",
    ],
)
def test_the_feature_that_moved_is_named_and_no_other(
    change: Callable[[pl.DataFrame], pl.DataFrame], feature: str
) -> None:
    assert moved(change(rows(3_000))) == {feature}


def test_a_small_difference_is_significant_in_many_rows_and_still_no_drift() -> None:
    found = drift(rows(30_000).with_columns(pl.col("level") + 0.1))["level"]
    assert found.effect is not None
    assert found.effect.adjusted < 1e-6
    assert not found.moved
    assert found.score is not None
    assert found.score < 0.05


def test_a_large_difference_in_few_rows_is_no_drift_before_chance_is_ruled_out() -> None:
    limits = DriftLimits(least_rows=5)
    found = drift(rows(12).with_columns(pl.col("amount") + 5), limits)["amount"]
    assert found.score is not None
    assert found.score > 0.2
    assert not found.moved


@pytest.mark.parametrize("count", [0, 1, 199])
def test_too_few_rows_are_not_judged(count: int) -> None:
    found = drift(rows(count).with_columns(pl.col("amount") + 1_000))
    assert not any(each.judged or each.moved for each in found.values())
    assert {each.to_json()["score"] for each in found.values()} == {None}
    json.dumps([each.to_json() for each in found.values()], allow_nan=False)


def test_limits_of_single_features_and_ignored_ones() -> None:
    now = rows(3_000).with_columns(pl.col("amount") + 9, pl.col("level") * 2)
    limits = DriftLimits(features={"amount": Limit(threshold=5.0)}, ignored=frozenset({"level"}))
    found = drift(now, limits)
    assert moved(now) == {"amount", "level"}
    assert moved(now, limits) == set()
    assert found["amount"].to_json()["threshold"] == 5.0
    assert found["level"].judged


@pytest.mark.parametrize("measure", ["robust_distance", "jensen_shannon"])
def test_other_measures_decide_when_they_are_asked_for(measure: Any) -> None:
    limits = DriftLimits(overall=Limit(measure=measure, threshold=0.1))
    now = rows(3_000).with_columns(pl.col("amount") + 9)
    assert moved(now, limits) == {"amount"}
    entry = drift(now, limits)["amount"].to_json()
    assert entry["measure"] == measure
    assert entry["score"] == entry["tests"]["robust" if measure == "robust_distance" else measure]


def test_limits_are_read_from_settings_and_refused_with_their_place() -> None:
    settings = {
        "least_rows": 50,
        "alpha": 0.05,
        "drift": {"psi": 0.3, "features": {"x": {"robust_distance": 0.2}, "y": {}}, "ignore": ["z"]},
    }
    assert DriftLimits.read(settings) == DriftLimits(
        overall=Limit(threshold=0.3),
        features={"x": Limit(measure="robust_distance", threshold=0.2), "y": Limit(threshold=0.3)},
        ignored=frozenset({"z"}),
        alpha=0.05,
        least_rows=50,
    )
    assert DriftLimits.read({}) == DriftLimits()
    for drift_settings, reason in (
        ({"psi": 0}, "drift: the limit of psi must be a number above 0, got 0"),
        (
            {"features": {"x": {"psi": "high"}}},
            "drift.features.x: the limit of psi must be a number above 0, got 'high'",
        ),
        (
            {"psi": 0.1, "jensen_shannon": 0.1},
            "drift must have one of psi, robust_distance, jensen_shannon, got psi, jensen",
        ),
    ):
        with pytest.raises(JobError, match=reason):
            DriftLimits.read({"drift": drift_settings})
    with pytest.raises(JobError, match="alpha must be between 0 and 1, got 1"):
        DriftLimits(alpha=1)
    with pytest.raises(JobError, match="least_rows must be at least 1, got 0"):
        DriftLimits(least_rows=0)


def test_the_report_of_numbers_says_what_they_were_and_are() -> None:
    now = rows(3_000).with_columns(pl.col("amount") * 2)
    entry = drift(now)["amount"].to_json()
    json.dumps(entry, allow_nan=False)
    assert (entry["kind"], entry["moved"], entry["judged"]) == ("numeric", True, True)
    assert entry["mean"] == {
        "baseline": pytest.approx(POPULATION["amount"].mean()),
        "now": pytest.approx(now["amount"].mean()),
    }
    assert entry["quantiles"]["probabilities"] == [0.05, 0.25, 0.5, 0.75, 0.95]
    assert entry["quantiles"]["now"] == pytest.approx(
        np.quantile(now["amount"], entry["quantiles"]["probabilities"]), rel=0.03
    )
    histogram = entry["histogram"]
    assert len(histogram["edges"]) == len(histogram["now"]) + 1 == len(histogram["baseline"]) + 1 == 21
    assert sum(histogram["baseline"]) == pytest.approx(1)
    assert sum(histogram["now"]) == pytest.approx(1)
    assert histogram["baseline"][0] > histogram["now"][0]
    assert entry["tests"]["ks"] == pytest.approx(
        stats.ks_2samp(POPULATION["amount"], now["amount"]).statistic, abs=0.003
    )


def test_the_report_of_categories_names_the_new_ones_the_most_frequent_first() -> None:
    changed = pl.when(pl.col("amount") < 15).then(99.0).when(pl.col("amount") > 40).then(98.0).otherwise("code")
    entry = drift(rows(3_000).with_columns(code=changed))["code"].to_json()
    assert entry["new_values"] == ["99", "98"]
    assert entry["mean"] is None  # of codes says nothing
    assert entry["quantiles"] is None
    histogram = entry["histogram"]
    assert histogram["edges"] is None
    assert histogram["categories"][0] == "13000"
    assert histogram["categories"][-1] == "(others)"
    assert len(histogram["categories"]) == len(histogram["now"]) == len(histogram["baseline"]) == 21
    assert [sum(histogram[name]) for name in ("baseline", "now")] == pytest.approx([1, 1])


def test_a_column_that_is_gone_misses_all_its_values() -> None:
    entry = drift(rows(500).drop("level"))["level"].to_json()
    assert entry["missing"] == {"baseline": 0.0, "now": 1.0}
    assert entry["tests"] == dict.fromkeys(("ks", "robust", "jensen_shannon", "chi_squared"))
    assert entry["mean"] is entry["quantiles"] is None
    assert sum(entry["histogram"]["now"]) == 0


def test_distances_and_probabilities_are_those_of_scipy() -> None:
    one, two = RANDOM.normal(size=700), RANDOM.normal(0.2, 1, size=900)
    then, now = (Distribution.of(each, np.ones(len(each))) for each in (one, two))
    reference = stats.ks_2samp(one, two, method="asymp")
    assert distances.linf_simple(then, now) == pytest.approx(reference.statistic)
    probability = distances.kolmogorov_smirnov(reference.statistic, 700, 900)
    assert probability == pytest.approx(reference.pvalue, rel=0.15)
    counts_then, counts_now = np.array([30.0, 50, 0, 20]), np.array([60.0, 40, 0, 70])
    table = np.array([counts_then, counts_now])[:, [0, 1, 3]]
    assert distances.chi_squared(counts_then, counts_now) == pytest.approx(stats.chi2_contingency(table).pvalue)
    expected = distance.jensenshannon(counts_then, counts_now, base=2)
    assert distances.jensen_shannon(counts_then, counts_now) == pytest.approx(expected)
    assert distances.holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])


def test_deequs_test_merges_rare_categories_and_says_when_it_can_not_tell() -> None:
    expected, sample = {"a": 90.0, "b": 6.0, "c": 4.0}, {"a": 80.0, "b": 10.0, "c": 10.0, "d": 7.0}
    # of 100 known ones 90, 6 and 4 are expected: one of three below 5 is more than a fifth, two are left
    assert distances.deequ_chi_squared(expected, sample) == pytest.approx(stats.chisquare([80, 20], [90, 10]).pvalue)
    assert np.isnan(distances.deequ_chi_squared({"a": 90.0, "b": 5.0}, {"a": 90.0, "b": 5.0}))
    assert np.isnan(distances.deequ_chi_squared({"a": 1.0}, {"b": 1.0}))
