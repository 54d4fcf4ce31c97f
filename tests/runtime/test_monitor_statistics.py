"""statistics.json and constraints.json in Model Monitor's schemas: written, read back, and read as AWS writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from model_runtime.errors import JobError
from model_runtime.monitor.baseline import sketch_rows, write_baseline
from model_runtime.monitor.constraints import read_constraints, suggested_constraints
from model_runtime.monitor.statistics import FeatureStatistics, Statistics, read_statistics, statistics_json

RANDOM = np.random.default_rng(5)
ROWS = 8_000
TABLE = pl.DataFrame(
    {
        "amount": RANDOM.gamma(2, 10, ROWS).astype(np.float32),
        "weekday": RANDOM.integers(1, 8, ROWS).astype(np.float32),
        "code": RANDOM.integers(13_000, 13_100, ROWS).astype(np.float32),
        "age": [None if missing else 3.5 for missing in RANDOM.random(ROWS) < 0.1],
        "word": RANDOM.choice(["a", "b", "c"], ROWS),
        "nothing": pl.Series([None] * ROWS, dtype=pl.Float64),
    }
)
FEATURES = TABLE.columns


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    write_baseline(TABLE, FEATURES, {"code"}, folder)
    return folder


def said(baseline: Path, file: str) -> dict[str, dict[str, Any]]:
    content = json.loads((baseline / file).read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["version"] == 0.0
    return {each["name"]: each for each in content["features"]}


def test_statistics_are_those_of_the_rows_in_the_schema(baseline: Path) -> None:
    features = said(baseline, "statistics.json")
    assert list(features) == FEATURES
    amount = features["amount"]["numerical_statistics"]
    exact = TABLE["amount"].cast(pl.Float64).to_numpy()
    assert features["amount"]["inferred_type"] == "Fractional"
    assert amount["common"] == {"num_present": ROWS, "num_missing": 0}
    found = [amount[name] for name in ("mean", "sum", "std_dev", "min", "max")]
    assert found == pytest.approx([exact.mean(), exact.sum(), exact.std(), exact.min(), exact.max()])
    kll = amount["distribution"]["kll"]
    counts, _ = np.histogram(exact, bins=np.linspace(exact.min(), exact.max(), 11))
    assert [each["count"] for each in kll["buckets"]] == pytest.approx(counts, abs=0.003 * ROWS)
    assert sum(each["count"] for each in kll["buckets"]) == ROWS
    assert [kll["buckets"][0]["lower_bound"], kll["buckets"][-1]["upper_bound"]] == [exact.min(), exact.max()]
    assert kll["sketch"]["parameters"]["k"] == 2048.0
    assert sum(len(level) << height for height, level in enumerate(kll["sketch"]["data"])) == ROWS


def test_columns_of_categories_have_their_counts_beside_the_sketch(baseline: Path) -> None:
    features = said(baseline, "statistics.json")
    shown = {name: each.get("numerical_statistics", {}).get("distribution", {}) for name, each in features.items()}
    assert "categorical" not in shown["amount"]
    weekday = shown["weekday"]["categorical"]
    counts = {each["value"]: each["count"] for each in weekday["buckets"]}
    assert counts == {str(int(day)): count for day, count in TABLE["weekday"].value_counts().iter_rows()}
    assert "encoded" not in weekday
    assert shown["code"]["categorical"]["encoded"]
    assert len(shown["code"]["categorical"]["buckets"]) == TABLE["code"].n_unique() > 64
    word = features["word"]["string_statistics"]
    assert word["distinct_count"] == 3
    assert sum(each["count"] for each in word["distribution"]["categorical"]["buckets"]) == ROWS
    assert features["nothing"]["inferred_type"] == "Unknown"


def test_numbers_that_are_codes_but_too_many_to_count_are_described_as_numbers() -> None:
    rows = pl.DataFrame({"id": RANDOM.integers(0, 1_000_000, 5_000)})
    feature = statistics_json(sketch_rows(rows, ["id"]), {"id"})["features"][0]
    assert set(feature["numerical_statistics"]["distribution"]) == {"kll"}
    assert "string_constraints" not in suggested_constraints(sketch_rows(rows, ["id"]), {"id"})["features"][0]


def test_what_was_written_is_read_back(baseline: Path) -> None:
    found = read_statistics(json.loads((baseline / "statistics.json").read_text()))
    assert found.rows == ROWS
    assert list(found.features) == FEATURES
    amount, weekday = found.features["amount"], found.features["weekday"]
    assert amount.distribution is not None
    assert weekday.distribution is not None
    assert (amount.distribution.total, amount.distribution.rank_error) == (ROWS, pytest.approx(0.0014, abs=1e-4))
    assert (weekday.distribution.total, weekday.distribution.rank_error) == (ROWS, 0.0)
    assert weekday.distribution.values.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert found.features["age"].missing == TABLE["age"].null_count()
    assert found.features["word"].categories == dict(TABLE["word"].value_counts().iter_rows())
    assert found.features["nothing"] == FeatureStatistics(name="nothing", type="Unknown", present=0, missing=ROWS)


def test_parquet_files_in_batches_give_the_same_baseline(baseline: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for file, part in zip(files, (TABLE[:3_000], TABLE[3_000:]), strict=True):
        part.write_parquet(file)
    write_baseline(files, FEATURES, {"code"}, tmp_path)
    mine, theirs = said(tmp_path, "statistics.json"), said(baseline, "statistics.json")
    for name in ("weekday", "code", "word", "age"):
        assert _without_order(mine[name]) == _without_order(theirs[name])
    assert said(tmp_path, "constraints.json") == said(baseline, "constraints.json")


def _without_order(feature: dict[str, Any]) -> object:
    """Means and deviations differ in their last digits by the order of additions."""
    return json.loads(json.dumps(feature), parse_float=lambda text: round(float(text), 6))


def aws_statistics() -> dict[str, Any]:
    """As Model Monitor writes it: two levels of a sketch, and a text."""
    kll = {
        "buckets": [],
        "sketch": {"parameters": {"c": 0.64, "k": 2048.0}, "data": [[7.5], [1.0, 2.0], [4.0]]},
    }
    common = {"num_present": 9, "num_missing": 1}
    numbers = {"common": common, "mean": 3.2, "sum": 28.5, "std_dev": 1.8, "min": 1.0, "max": 7.5}
    buckets = [{"value": "x", "count": 6.0}, {"value": "y", "count": 2.0}]
    texts = {"common": common, "distinct_count": 3.0, "distribution": {"categorical": {"buckets": buckets}}}
    return {
        "version": 0,
        "dataset": {"item_count": 10},
        "features": [
            {
                "name": "n",
                "inferred_type": "Fractional",
                "numerical_statistics": numbers | {"distribution": {"kll": kll}},
            },
            {"name": "s", "inferred_type": "String", "string_statistics": texts},
        ],
    }


def test_a_file_of_aws_is_read() -> None:
    found = read_statistics(aws_statistics())
    number, text = found.features["n"], found.features["s"]
    assert number.distribution is not None
    assert number.distribution.values.tolist() == [1, 2, 4, 7.5]
    assert number.distribution.weights.tolist() == [2, 2, 4, 1]
    assert number.distribution.rank_error > 0
    assert (number.mean, number.deviation, number.minimum, number.maximum) == (3.2, 1.8, 1.0, 7.5)
    assert text.categories == {"x": 6, "y": 2}
    assert not text.complete  # 9 values, 8 of them listed


def test_a_file_that_is_no_statistics_is_refused_with_the_feature() -> None:
    with pytest.raises(JobError, match=r"must have dataset\.item_count and features"):
        read_statistics({"features": []})
    broken = aws_statistics()
    del broken["features"][1]["string_statistics"]["common"]
    with pytest.raises(JobError, match=r"the feature s can't be read: KeyError\('common'\)"):
        read_statistics(broken)
    with pytest.raises(JobError, match="the feature number 0"):
        read_statistics({"dataset": {"item_count": 1}, "features": ["n"]})


def test_constraints_ask_for_what_the_rows_are(baseline: Path) -> None:
    features = said(baseline, "constraints.json")
    assert features["amount"] == {
        "name": "amount",
        "inferred_type": "Fractional",
        "completeness": 1.0,
        "num_constraints": {"is_non_negative": True},
    }
    assert features["age"]["completeness"] == TABLE["age"].count() / ROWS
    assert features["word"]["string_constraints"] == {"domains": ["a", "b", "c"]}
    assert len(features["code"]["string_constraints"]["domains"]) == 100
    assert features["code"]["monitoringConfigOverrides"] == {"domain_content_threshold": 0.99}
    assert features["nothing"]["completeness"] == 0.0
    read = read_constraints(json.loads((baseline / "constraints.json").read_text()))
    assert read.features["word"].domains == {"a", "b", "c"}
    assert [read.features[name].checking.domains for name in ("word", "code")] == [1.0, 0.99]


@pytest.mark.parametrize(
    ("method", "simple"), [("Robust", False), ("Simple", True), ("linf_robust", False), ("linf_simple", True)]
)
def test_all_documented_spellings_of_a_comparison_are_read(method: str, simple: bool) -> None:
    config = {"distribution_constraints": {"comparison_method": method, "comparison_threshold": 0.2}}
    override = {
        "name": "x",
        "inferred_type": "Integral",
        "monitoringConfigOverrides": {"evaluate_constraints": "Disabled"},
    }
    found = read_constraints({"features": [override], "monitoring_config": config})
    assert (found.checking.simple, found.checking.distance) == (simple, 0.2)
    assert found.features["x"].checking.simple is simple
    assert not found.features["x"].checking.evaluated


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "must have a list of features"),
        ({"features": [{"inferred_type": "String"}]}, "the feature number 0 can't be read"),
        (
            {"features": [{"name": "x", "inferred_type": "String", "completeness": 2}]},
            "the feature x can't be read: .*completeness must be between 0 and 1, got 2",
        ),
        (
            {"features": [], "monitoring_config": {"distribution_constraints": {"comparison_method": "KS"}}},
            "comparison_method must be Simple or Robust, got 'KS'",
        ),
        (
            {"features": [], "monitoring_config": {"distribution_constraints": {"categorical_drift_method": "KS"}}},
            "categorical_drift_method must be LInfinity or ChiSquared, got 'ks'",
        ),
    ],
)
def test_constraints_that_can_not_be_read_are_refused_with_the_reason(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(JobError, match=reason):
        read_constraints(content)


def test_a_table_without_rows_has_no_feature() -> None:
    empty = sketch_rows(pl.DataFrame({"x": []}), ["x"])
    assert read_statistics(statistics_json(empty)).rows == 0
    assert isinstance(read_statistics(statistics_json(empty)), Statistics)
    assert suggested_constraints(empty)["features"] == [{"name": "x", "inferred_type": "Unknown"}]
