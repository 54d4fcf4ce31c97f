"""Runs that are measured in the same passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.local_aws.quality.conftest import Tables

RULES = (
    "RowCount > 2",
    'Mean "x" > 3',
    'Completeness "x" > 0.9',
    'Uniqueness "x" > 0.4',
    'IsPrimaryKey "x"',
    'ColumnValues "x" between 0 and 9',
    'ColumnValues "day" = "2013-01-02"',
    'RowCount = 1 where "x = 2"',
)
DAYS = (
    "SELECT unnest([1, 2, 3]) AS x",
    "SELECT unnest([2, 2, 9, NULL]) AS x",
    "SELECT unnest([5]) AS x",
    "SELECT 1 AS x WHERE false",
    "SELECT NULL::INT AS x FROM range(3)",
)


def _days(tables: Tables) -> dict[str, Any]:
    parent = tables.folder / str(next(tables.numbers))
    units = [tables.unit(query, values=[f"2013-01-0{n}"], parent=parent) for n, query in enumerate(DAYS, start=1)]
    return {"units": units, "keys": [["day", "date"]]}


def test_runs_measured_together_end_as_they_end_alone(tables: Tables) -> None:
    days = _days(tables)
    together = tables.evaluate_runs(days["units"], {f"r{n}": [n] for n in range(5)}, *RULES, keys=days["keys"])
    for n in range(5):
        alone = tables.evaluate_runs(days["units"], {"run": [n]}, *RULES, keys=days["keys"])["run"]
        assert together[f"r{n}"] == alone
    assert [outcome.passed for outcome in together["r0"]] == [True, False, True, True, True, True, False, True]
    assert [outcome.passed for outcome in together["r1"]] == [True, True, False, False, False, False, True, False]
    assert together["r3"][0].metrics == {"Dataset.*.RowCount": 0.0}


def test_a_run_of_many_partitions_counts_them_all_and_shares_them_with_others(tables: Tables) -> None:
    days = _days(tables)
    found = tables.evaluate_runs(
        days["units"],
        {"all": [0, 1, 2, 3, 4], "two": [0, 1], "one": [1]},
        "RowCount = 11",
        'Sum "x" = 24',
        'DistinctValuesCount "day" = 4',
        'Uniqueness "x" = 4',
        keys=days["keys"],
    )
    assert [outcome.passed for outcome in found["all"]] == [True, True, True, False]
    # 1, 3, 9 and 5 of the seven values occur once
    assert found["all"][3].metrics == {"Column.x.Uniqueness": 4 / 7}
    assert found["two"][0].metrics == {"Dataset.*.RowCount": 7.0}
    assert found["one"][1].metrics == {"Column.x.Sum": 13.0}


def test_file_that_is_broken_fails_the_runs_that_read_it_only(tables: Tables) -> None:
    days = _days(tables)
    broken = Path(days["units"][1]["folder"], "0.parquet")
    broken.write_bytes(b"PAR1" + b"\0" * 100)
    plan, _ = tables.plan(days["units"], {"r0": [0], "r1": [1], "both": [0, 1]}, "Rules = [RowCount > 1]")
    answer = tables.process.measure([plan | {"keys": days["keys"]}], lambda: False)
    assert answer is not None
    assert list(answer["r0"]["values"].values()) == [3.0]
    assert answer["r1"]["failure"] == answer["both"]["failure"]
    assert "0.parquet" in answer["r1"]["failure"]


def test_runs_whose_files_have_other_columns_are_judged_by_their_own(tables: Tables) -> None:
    parent = tables.folder / str(next(tables.numbers))
    units = [
        tables.unit("SELECT 1::FLOAT AS x, 'a' AS old", parent=parent),
        tables.unit("SELECT 2::DOUBLE AS x, 3 AS new", parent=parent),
        tables.unit("SELECT 1 AS x", "SELECT 2 AS x, 4 AS y", parent=parent),
        {"folder": str(parent / "dq_unit=3"), "values": []},
    ]
    (parent / "dq_unit=3").mkdir()
    found = tables.evaluate_runs(
        units,
        {"old": [0], "new": [1], "mixed": [2], "none": [3]},
        'Mean "x" > 0',
        'ColumnExists "new"',
        "ColumnCount = 2",
        "RowCount > 0",
        columns=[["x", "double"], ["new", "int"]],
    )
    assert [outcome.passed for outcome in found["old"]] == [True, False, True, True]
    assert [outcome.passed for outcome in found["new"]] == [True, True, True, True]
    assert found["mixed"][0].metrics == {"Column.x.Mean": 1.5}
    # without files the columns are the catalog's
    assert [outcome.passed for outcome in found["none"]] == [False, True, True, False]
