"""Sketches: as good as exact ones within their stated error, the same however rows are split, bounded in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_runtime.monitor.baseline import sketch_rows
from model_runtime.monitor.distributions import Distribution
from model_runtime.monitor.number_sketch import MOST_EXACT
from model_runtime.monitor.sketches import ColumnSketch, TableSketch

RANDOM = np.random.default_rng(11)
MANY = RANDOM.normal(50, 12, 60_000)


def sketched(*batches: pl.Series | Sequence[object]) -> ColumnSketch:
    column = ColumnSketch()
    for batch in batches:
        column.update(batch if isinstance(batch, pl.Series) else pl.Series(batch, strict=False))
    return column


def distribution(column: ColumnSketch) -> Distribution:
    found = column.numbers.distribution()
    assert found is not None
    return found


def furthest_rank(column: ColumnSketch, values: np.ndarray) -> float:
    """The largest difference of a rank from the exact one."""
    exact = np.sort(values.astype(np.float32))
    points = exact[:: len(exact) // 500].astype(np.float64)
    return float(
        np.abs(distribution(column).share_up_to(points) - np.searchsorted(exact, points, "right") / len(exact)).max()
    )


def test_many_numbers_are_as_exact_ones_within_the_stated_error() -> None:
    column = sketched(pl.Series(MANY[:30_000]), pl.Series(MANY[30_000:]))
    found = distribution(column)
    assert 0 < found.rank_error < 0.0015
    assert found.total == len(MANY)
    # stated for one rank with 99 % confidence, here of the worst of 500
    assert furthest_rank(column, MANY) < 2 * found.rank_error
    numbers = column.numbers
    assert numbers.mean == pytest.approx(MANY.mean())
    assert numbers.deviation == pytest.approx(MANY.std())
    assert (numbers.minimum, numbers.maximum) == (MANY.min(), MANY.max())


def test_few_distinct_numbers_are_counted_exactly() -> None:
    values = RANDOM.integers(0, 300, 50_000) / 4
    column = sketched(pl.Series(values[:20_000]), pl.Series(values[20_000:]))
    distinct, counts = np.unique(values, return_counts=True)
    found = distribution(column)
    assert found.rank_error == 0
    assert found.values.tolist() == distinct.tolist()
    assert found.weights.tolist() == counts.tolist()
    assert (
        found.quantiles([0.0, 0.1, 0.5, 1.0]).tolist()
        == np.quantile(values, [0, 0.1, 0.5, 1], method="inverted_cdf").tolist()
    )


@pytest.mark.parametrize("values", [MANY, RANDOM.integers(0, 300, 5_000).astype(float)], ids=["many", "few"])
@pytest.mark.parametrize("cuts", [[1], [2_500], [10, 700, 701, 4_000]])
def test_rows_split_over_workers_and_merged_give_what_one_pass_gives(values: np.ndarray, cuts: list[int]) -> None:
    whole = TableSketch()
    for part in np.split(values, cuts):
        shard = TableSketch()
        shard.update(pl.DataFrame({"x": part}))
        whole.merge(TableSketch.from_bytes(shard.to_bytes()))
    once = sketched(pl.Series(values))
    column = whole.columns["x"]
    assert (whole.rows, column.present, column.integral) == (len(values), len(values), once.integral)
    assert column.numbers.mean == pytest.approx(once.numbers.mean)
    assert column.numbers.deviation == pytest.approx(once.numbers.deviation)
    assert distribution(column).total == len(values)
    assert furthest_rank(column, values) <= 2 * distribution(column).rank_error


@pytest.mark.parametrize("rows", [1, 2, MOST_EXACT, MOST_EXACT + 1, 5_000, 60_000])
def test_the_levels_of_a_sketch_stand_for_all_rows(rows: int) -> None:
    column = sketched(pl.Series(MANY[:rows]))
    levels = column.numbers.levels()
    assert sum(len(level) * 2**height for height, level in enumerate(levels)) == rows
    values = np.concatenate([np.repeat(level, 2**height) for height, level in enumerate(levels)])
    assert np.median(values) == pytest.approx(np.median(MANY[:rows]), abs=0.5)


def test_counted_numbers_that_become_too_many_are_sketched_with_their_counts() -> None:
    few = np.repeat(np.arange(MOST_EXACT), 20)
    column = sketched(pl.Series(few, dtype=pl.Float64))
    assert column.numbers.exact
    column.update(pl.Series(MANY))
    assert not column.numbers.exact
    everything = np.concatenate([few, MANY])
    assert distribution(column).total == len(everything)
    assert furthest_rank(column, everything) < 2 * distribution(column).rank_error


def test_codes_are_counted_beside_a_sketch_when_clients_send_others() -> None:
    codes = np.repeat(np.arange(10_000, 10_900), np.arange(1, 901))
    junk = 20_000 + np.arange(12_000)
    everything = RANDOM.permutation(np.concatenate([codes, junk])).astype(float)
    for cuts in ([], [300_000], list(range(20_000, 400_000, 20_000))):
        column = ColumnSketch()
        for part in np.split(everything, cuts):
            shard = sketched(pl.Series(part))
            column.merge(ColumnSketch.from_bytes(shard.to_bytes()))
        assert not column.numbers.exact
        assert column.counts() is None
        counts, others = column.counts_of([str(code) for code in range(10_100, 10_900)])
        assert counts == list(range(101, 901))
        assert others == len(junk) + sum(range(101))
        assert distribution(column).total == len(everything)


def test_single_values_are_not_counted_when_most_are_rare() -> None:
    column = sketched(pl.Series(np.concatenate([np.zeros(50_000), MANY])))
    assert column.numbers.counted() is None
    assert column.numbers.distribution() is not None
    assert column.counts_of(["0"])[0][0] == pytest.approx(50_000, rel=0.05)
    assert len(column.to_bytes()) < 100_000


def test_the_same_number_written_with_32_and_64_bits_is_one_value() -> None:
    column = sketched(pl.Series([39.02], dtype=pl.Float32), pl.Series([39.02]), ["39.02"])
    assert distribution(column).weights.tolist() == [3.0]


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        # integral, fractional, boolean, other texts, missing
        (["1", "-2", "+ 3", "4.0", "5.", "1e3"], (6, 0, 0, 0, 0)),
        (["1.5", ".5", "-1.5e-3"], (0, 3, 0, 0, 0)),
        (["true", "false", "TRUE"], (0, 0, 2, 1, 0)),
        (["", " ", "nan", None, "NAN"], (0, 0, 0, 1, 4)),
        (["\u0661", "2"], (1, 0, 0, 1, 0)),  # an Arabic one
        (["UA", "1_000", "0x1F", "1,5", "inf", "Infinity"], (0, 0, 0, 6, 0)),
        ([1, 2, None], (2, 0, 0, 0, 1)),
        ([1.0, 2.5, math.nan, math.inf, None], (1, 1, 0, 1, 2)),
        ([True, False, None], (2, 0, 0, 0, 1)),
        ([[1, 2], None], (0, 0, 0, 1, 1)),
        ([None, None], (0, 0, 0, 0, 2)),
    ],
)
def test_values_are_typed_one_by_one(values: list[object], counts: tuple[int, ...]) -> None:
    column = sketched(values)
    assert (column.integral, column.fractional, column.boolean, column.strings, column.missing) == counts
    assert column.rows == len(values)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([None], "Unknown"),
        (["1", "2"], "Integral"),
        (["1", "2.5"], "Fractional"),
        (["1", "x"], "String"),
        ([True], "Integral"),
        (["true"], "String"),
        ([1.0, 2.0], "Integral"),
    ],
)
def test_the_type_of_a_column_is_that_of_all_its_values(values: list[object], kind: str) -> None:
    assert sketched(values).type == kind


def test_numbers_beyond_32_bits_count_as_the_largest() -> None:
    column = sketched(pl.Series([1e300, -1e300, 1.0]))
    assert column.numbers.maximum == 1e300
    assert np.isfinite([*distribution(column).values, column.numbers.mean, column.numbers.deviation]).all()


def test_texts_are_counted_and_when_there_are_too_many_the_frequent_ones() -> None:
    rare = [f"id-{number}" for number in range(20_000)]
    column = sketched(["a"] * 3_000 + ["b"] * 1_000, rare)
    other = sketched(["a"] * 500)
    other.merge(column)
    merged = ColumnSketch.from_bytes(other.to_bytes())
    assert column.counts() is None
    assert merged.texts.counts()["a"] == pytest.approx(3_500, rel=0.02)
    assert list(merged.texts.counts())[:2] == ["a", "b"]
    assert merged.texts.distinct == pytest.approx(20_002, rel=0.06)
    assert merged.strings == merged.present == 24_500


def test_a_table_says_for_each_column_what_is_missing_in_batches_without_it() -> None:
    table = TableSketch()
    table.update(pl.DataFrame({"a": [1, 2], "b": ["x", None]}))
    table.update(pl.DataFrame({"a": [3], "c": [1.5]}))
    table.update(pl.DataFrame())
    assert table.rows == 3
    assert {name: (each.rows, each.missing) for name, each in table.columns.items()} == {
        "a": (3, 0), "b": (3, 2), "c": (3, 2),
    }  # fmt: skip


def test_memory_does_not_grow_with_rows_and_files_are_read_in_batches(tmp_path: Path) -> None:
    rows = pl.DataFrame({"x": MANY, "text": [f"id-{number}" for number in range(len(MANY))], "few": [1, 2] * 30_000})
    sizes = []
    for copies in (1, 4):
        files = [tmp_path / f"{copies}-{number}.parquet" for number in range(copies)]
        for file in files:
            rows.write_parquet(file)
        table = sketch_rows(files, rows.columns)
        assert table.rows == copies * rows.height
        sizes.append(len(table.to_bytes()))
    assert sizes[1] < 1.3 * sizes[0] < 1.3 * 200_000
