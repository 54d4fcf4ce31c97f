"""constraint_violations.json: every kind of break is named with what was seen, and calm rows break nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from model_runtime.monitor.baseline import sketch_rows
from model_runtime.monitor.constraints import read_constraints, suggested_constraints
from model_runtime.monitor.sketches import TableSketch
from model_runtime.monitor.statistics import read_statistics, statistics_json
from model_runtime.monitor.violations import violations

COLUMNS = ["amount", "count", "code", "word", "age"]


def rows(count: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "amount": random.gamma(2, 10, count),
            "count": random.integers(0, 500, count),
            "code": random.integers(13_000, 13_030, count).astype(np.float32),
            "word": random.choice(["a", "b"], count),
            "age": [None if missing else 3.5 for missing in random.random(count) < 0.2],
        }
    )


TABLE = sketch_rows(rows(20_000, 1), COLUMNS)
SUGGESTED = suggested_constraints(TABLE, {"code"})
BASELINE = read_statistics(statistics_json(TABLE, {"code"}))


def broken(now: pl.DataFrame | TableSketch, constraints: dict[str, Any] | None = None) -> list[tuple[str, str, str]]:
    sketch = now if isinstance(now, TableSketch) else sketch_rows(now, now.columns)
    found = violations(read_constraints(constraints or SUGGESTED), BASELINE, sketch)
    return [(each["feature_name"], each["constraint_check_type"], each["description"]) for each in found]


@pytest.mark.parametrize("count", [1, 200, 5_000])
def test_rows_like_those_of_the_baseline_break_nothing(count: int) -> None:
    assert [each for seed in range(20) for each in broken(rows(count, 100 + seed))] == []


def test_a_table_without_rows_breaks_nothing() -> None:
    assert broken(rows(0, 1)) == []


@pytest.mark.parametrize(
    ("change", "feature", "kind", "text"),
    [
        (
            lambda now: now.with_columns(count=pl.when(pl.col("count") < 5).then(0.5).otherwise("count")),
            "count",
            "data_type_check",
            "Expected data type: Integral, Expected match: 100.0%. Observed: Only 9",
        ),
        (
            lambda now: now.with_columns(amount=pl.concat_str(pl.lit("$"), pl.col("amount").cast(pl.String))),
            "amount",
            "data_type_check",
            "Expected data type: Fractional, Expected match: 100.0%. Observed: Only 0%",
        ),
        (
            lambda now: now.with_columns(age=pl.when(pl.col("amount") > 10).then("age")),
            "age",
            "completeness_check",
            "of values present. Observed: ",
        ),
        (
            lambda now: now.with_columns(word=pl.lit(None, pl.String)),
            "word",
            "completeness_check",
            "Expected: at least 100% of values present. Observed: 0%.",
        ),
        (
            lambda now: now.with_columns(amount=pl.col("amount") * 2),
            "amount",
            "baseline_drift_check",
            "exceeds threshold: 0.1",
        ),
        (
            lambda now: now.with_columns(word=pl.lit("a")),
            "word",
            "baseline_drift_check",
            "exceeds threshold: 0.1",
        ),
        (lambda now: now.drop("code"), "code", "missing_column_check", "There are 4 columns in the current dataset"),
        (lambda now: now.with_columns(more=1), "more", "extra_column_check", "has a column more"),
        (
            lambda now: now.with_columns(code=pl.when(pl.col("count") < 25).then(99.0).otherwise("code")),
            "code",
            "categorical_values_check",
            "Expected match: 99.0%. Observed: Only 9",
        ),
        (
            lambda now: now.with_columns(word=pl.when(pl.col("count") == 0).then(pl.lit("c")).otherwise("word")),
            "word",
            "categorical_values_check",
            "of values are among its 2",
        ),
        (
            lambda now: now.with_columns(count=pl.col("count") - 1),
            "count",
            "non_negative_check",
            "Observed: the least is -1",
        ),
    ],
)
def test_each_break_is_named_with_what_was_seen(
    change: Callable[[pl.DataFrame], pl.DataFrame], feature: str, kind: str, text: str
) -> None:
    found = broken(change(rows(5_000, 3)))
    matching = [each for each in found if each[:2] == (feature, kind)]
    assert len(matching) == 1, found
    assert text in matching[0][2]
    assert {each[0] for each in found} == {feature}


def test_a_renamed_column_is_missing_and_an_extra_one() -> None:
    found = broken(rows(500, 3).rename({"code": "codes"}))
    assert [each[:2] for each in found] == [("code", "missing_column_check"), ("codes", "extra_column_check")]


def test_whole_numbers_are_fractional_ones_too() -> None:
    assert not broken(
        rows(500, 3).with_columns(pl.col("amount").round().cast(pl.Int64), pl.col("count").cast(pl.Float64))
    )


def test_a_check_that_is_off_for_a_feature_or_for_all_is_not_done() -> None:
    now = rows(5_000, 3).with_columns(pl.col("amount") * 2)
    off = {"monitoringConfigOverrides": {"distribution_constraints": {"perform_comparison": "Disabled"}}}
    features = [each | (off if each["name"] == "amount" else {}) for each in SUGGESTED["features"]]
    assert broken(now)
    assert not broken(now, SUGGESTED | {"features": features})
    assert not broken(now, SUGGESTED | {"monitoring_config": {"evaluate_constraints": "Disabled"}})


def test_categories_can_be_compared_by_the_test_of_pearson() -> None:
    config = {"distribution_constraints": {"categorical_drift_method": "ChiSquared"}}
    asked = SUGGESTED | {"monitoring_config": config}
    few_more = rows(5_000, 3).with_columns(word=pl.when(pl.col("count") < 50).then(pl.lit("a")).otherwise("word"))
    assert not broken(few_more)  # too small a difference for the distance
    ((feature, kind, text),) = broken(few_more, asked)
    assert (feature, kind) == ("word", "baseline_drift_check")
    assert "is below the threshold: 0.003" in text
