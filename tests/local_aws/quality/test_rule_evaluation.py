"""What each type of rule says of small tables whose truth is counted by hand."""

from __future__ import annotations

from typing import Any

import pytest

from local_aws.glue.quality.outcomes import Outcome
from tests.local_aws.quality.conftest import Tables

# x: 1, 2, 2, null; s: 'a', '', '  ', null; v: unlike all the others
FOUR = """
    SELECT * FROM (VALUES
        (1.0::DOUBLE, 'a', 1, DATE '2013-01-01'),
        (2.0, '', 2, DATE '2013-01-02'),
        (2.0, '  ', 3, DATE '2013-01-03'),
        (NULL, NULL, 4, NULL)
    ) AS t(x, s, v, d)
"""
NO_ROWS = f"SELECT * FROM ({FOUR}) WHERE v > 4"
# whether each of FOUR's rules passes
VERDICTS = [
    ("RowCount = 4", True),
    ("RowCount between 4 and 10", False),  # between leaves its ends out
    ("RowCount between 3 and 5", True),
    ("RowCount not between 4 and 10", True),
    ("RowCount in [3, 4]", True),
    ("RowCount != 4", False),
    ('RowCount = 2 where "x = 2"', True),
    ("ColumnCount = 4", True),
    ('ColumnExists "x"', True),
    ('ColumnExists "y"', False),
    ('Completeness "x" >= 0.75', True),
    ('Completeness "x" > 0.75', False),
    ('Completeness "s" > 0.7', True),  # an empty text is a value
    ('IsComplete "x"', False),
    ('IsComplete "v"', True),
    ('IsComplete "x" where "v < 4"', True),
    ('Mean "x" between 1.66 and 1.67', True),
    ('Sum "x" = 5', True),
    ('Sum "x" = 4 where "x > 1"', True),
    ('StandardDeviation "x" between 0.4713 and 0.4715', True),  # of the population: sqrt(2/9)
    ('Uniqueness "x" between 0.33 and 0.34', True),  # 1 of the 3 rows that have a value
    ('Uniqueness "x" "v" = 1.0', True),
    ('UniqueValueRatio "x" = 0.5', True),  # of 1 and 2, only 1 occurs once
    ('DistinctValuesCount "x" = 2', True),
    ('IsUnique "v"', True),
    ('IsUnique "x"', False),
    ('IsUnique "x" where "v != 3"', True),
    ('IsPrimaryKey "v"', True),
    ('IsPrimaryKey "d"', False),  # unique, but not complete
    ('ColumnValues "v" between 0 and 5', True),
    ('ColumnValues "v" between 1 and 5', False),
    ('ColumnValues "v" not between 4 and 9', True),
    ('ColumnValues "x" not between 4 and 9', False),  # a row without a value fails
    ('ColumnValues "x" > 0', False),
    ('ColumnValues "x" > 0 where "v < 4"', True),
    ('ColumnValues "x" > 0 with threshold >= 0.75', True),
    ('ColumnValues "x" > 0 with threshold > 0.75', False),
    ('ColumnValues "v" >= 1', True),
    ('ColumnValues "v" < 4', False),
    ('ColumnValues "v" <= 4', True),
    ('ColumnValues "x" = 2 where "v in (2, 3)"', True),
    ('ColumnValues "x" != 7', True),  # a row without a value passes != and not in
    ('ColumnValues "x" != NULL', False),
    ('ColumnValues "x" not in [7, 8]', True),
    ('ColumnValues "x" not in [7, NULL]', False),
    ('ColumnValues "x" in [1, 2]', False),
    ('ColumnValues "x" in [1, 2, NULL]', True),
    ('ColumnValues "x" = NULL where "v = 4"', True),
    ('(ColumnValues "x" > 0) or (ColumnValues "x" = NULL)', False),  # each is judged on all rows
    ('ColumnValues "s" in ["a", NULL, EMPTY, WHITESPACES_ONLY]', True),
    ('ColumnValues "s" in ["a", NULL, EMPTY]', False),
    ('ColumnValues "s" not in [EMPTY, WHITESPACES_ONLY] where "v in (1, 4)"', True),
    ('ColumnValues "s" != WHITESPACES_ONLY', False),
    ('ColumnValues "s" matches "[a ]*"', False),
    ('ColumnValues "s" matches "[a ]*" where "v < 4"', True),
    ('ColumnValues "s" matches "a|b" with threshold = 0.25', True),  # the whole text has to match
    ('ColumnValues "s" not matches "b" where "v < 4"', True),
    ('ColumnValues "d" > "2012-12-31" where "v < 4"', True),
    ('ColumnValues "d" between "2013-01-01" and "2013-01-04" where "v < 4"', False),
    ('ColumnValues "d" < (now() - 3 days) where "v < 4"', True),
    ('ColumnValues "d" > (now() - 2 hours) where "v < 4"', False),
    ('ColumnValues "d" in ["2013-01-01", "2013-01-02", "2013-01-03", NULL]', True),
    ('DataFreshness "d" > 30 days where "v < 4"', True),
    ('DataFreshness "d" > 30 days', False),
    ('DataFreshness "d" <= 24 hours where "v < 4"', False),
    ('(RowCount = 4) and (IsComplete "v")', True),
    ('(RowCount = 4) and (IsComplete "x")', False),
    ('(RowCount = 5) or (IsComplete "v") and (RowCount = 4)', True),
    ('(RowCount = 4) or ((RowCount = 5) and (IsComplete "v"))', True),
]  # fmt: skip


@pytest.fixture(scope="module")
def four(tables: Tables) -> dict[str, Outcome]:
    rules = [rule for rule, _ in VERDICTS]
    return dict(zip(rules, tables.evaluate(FOUR, *rules), strict=True))


@pytest.mark.parametrize(("rule", "passes"), VERDICTS)
def test_rule_passes_as_counted_by_hand(four: dict[str, Outcome], rule: str, passes: bool) -> None:
    outcome = four[rule]
    assert outcome.passed == passes, outcome
    assert passes == (outcome.message is None)


def test_metrics_and_messages_are_those_of_glue(four: dict[str, Outcome]) -> None:
    assert four["RowCount = 4"].metrics == {"Dataset.*.RowCount": 4.0}
    assert four['IsPrimaryKey "d"'].metrics == {"Column.d.Uniqueness": 1.0, "Column.d.Completeness": 0.75}
    assert four['Uniqueness "x" "v" = 1.0'].metrics == {"Multicolumn.x,v.Uniqueness": 1.0}
    extremes = four['ColumnValues "v" between 1 and 5']
    assert extremes.metrics == {"Column.v.Minimum": 1.0, "Column.v.Maximum": 4.0}
    assert extremes.message == "Value: 1.0 does not meet the constraint requirement!"
    assert four['ColumnValues "x" > 0'].message == "Value: NULL does not meet the constraint requirement!"
    assert four['ColumnValues "x" in [1, 2]'].metrics == {"Column.x.ColumnValues.Compliance": 0.75}
    assert four['Completeness "x" > 0.75'].message == "Value: 0.75 does not meet the constraint requirement!"
    assert four['DataFreshness "d" > 30 days'].message == "75.00 % of rows passed the threshold"
    both = four['(RowCount = 4) and (IsComplete "x")']
    assert both.metrics == {"Dataset.*.RowCount": 4.0, "Column.x.Completeness": 0.75}


def test_rules_without_a_value_to_judge_fail_with_the_reason(tables: Tables) -> None:
    rules = ['Mean "x" > 0', 'Completeness "x" > 0', 'ColumnValues "x" > 0', 'Uniqueness "x" > 0', 'IsPrimaryKey "x"']
    nothing = tables.evaluate(NO_ROWS, "RowCount = 0", 'ColumnExists "x"', 'DistinctValuesCount "x" = 0', *rules)
    assert [outcome.passed for outcome in nothing] == [True] * 3 + [False] * len(rules)
    assert nothing[3].message == "Empty state for analyzer Mean(x,None), all input values were NULL."
    nulls = tables.evaluate(f"SELECT * FROM ({FOUR}) WHERE x IS NULL", "RowCount = 1", *rules, 'Completeness "x" = 0')
    assert [outcome.passed for outcome in nulls] == [True] + [False] * len(rules) + [True]
    assert nulls[1].message == "Empty state for analyzer Mean(x,None), all input values were NULL."


def test_rule_about_what_is_not_there_fails_and_leaves_the_others_alone(tables: Tables) -> None:
    ends = tables.evaluate(
        FOUR, 'Mean "y" > 1', 'IsUnique "x" "y"', 'Mean "s" > 1', 'ColumnValues "v" matches "a"',
        'Completeness "x" > 0.5 where "y = 1"', 'IsComplete "v" where "v >"', 'Mean "X" > 1', "RowCount = 4",
    )  # fmt: skip
    reasons = [outcome.message or "" for outcome in ends]
    assert reasons[:2] == ["Input data does not include column y!"] * 2
    assert reasons[2] == "Expected type of column s to be a type of numbers, but found StringType instead!"
    assert reasons[3] == "Expected type of column v to be StringType, but found IntegerType instead!"
    assert all(reason.startswith("The provided where clause is invalid: ") for reason in reasons[4:6])
    assert [outcome.passed for outcome in ends] == [False] * 6 + [True, True]  # names of columns ignore case


def test_texts_are_of_a_type_when_spark_can_cast_them(tables: Tables) -> None:
    query = "SELECT unnest(['1', '22', 'x', NULL]) AS s, unnest(['true', '2013-02-30', '2013-02-03', '1.5']) AS t"
    ends = tables.evaluate(
        query,
        'ColumnDataType "s" = "INTEGER" with threshold >= 0.5',
        'ColumnDataType "s" = "INTEGER"',
        'ColumnDataType "s" = "Long" where "s != \'x\'"',
        'ColumnDataType "s" != "DOUBLE" with threshold = 0.5',
        'ColumnDataType "t" = "DATE" with threshold = 0.25',
        'ColumnDataType "t" = "BOOLEAN" with threshold = 0.25',
        'ColumnDataType "t" = "DOUBLE" where "t = \'none\'"',
    )
    assert [outcome.passed for outcome in ends] == [True, False, True, True, True, True, True]
    assert ends[0].metrics == {"Column.s.ColumnDataType.Compliance": 0.5}


def test_age_of_values_is_counted_to_now(tables: Tables) -> None:
    query = "SELECT (now() AT TIME ZONE 'UTC')::TIMESTAMP - INTERVAL 36 HOURS AS t"
    ends = tables.evaluate(
        query,
        'DataFreshness "t" < 24 hours', 'DataFreshness "t" < 2 days', 'DataFreshness "t" between 35 hours and 2 days',
        'ColumnValues "t" >= (now() - 2 days)', 'ColumnValues "t" < now()',
    )  # fmt: skip
    assert [outcome.passed for outcome in ends] == [False, True, True, True, True]


def test_values_without_a_partner_in_the_other_data_set_count_as_missing(tables: Tables) -> None:
    planes = {
        "format": "parquet",
        "columns": [],
        "keys": [],
        "csv": {},
        "units": [tables.unit("SELECT unnest([1, 2, 2, NULL]) AS id, unnest(['a', 'b', 'b', 'c']) AS name")],
    }

    def evaluate(*rules: str) -> list[Outcome]:
        return tables.evaluate(FOUR, *rules, references={"planes": planes})

    found = evaluate(
        'ReferentialIntegrity "v" "planes.id" = 0.5',
        'ReferentialIntegrity "x" "planes.{id}" = 0.75',
        'ReferentialIntegrity "v,s" "planes.{id,name}" = 0.25',
        'ReferentialIntegrity "v" "planes.{id}" = 1.0',
        'ReferentialIntegrity "v" "airports.{id}" = 1.0',
        'ReferentialIntegrity "v" "planes.{other}" = 1.0',
    )
    assert [outcome.passed for outcome in found] == [True, True, True, False, False, False]
    assert found[3].message == "Value: 0.5 does not meet the constraint requirement!"
    assert found[3].metrics == {"Column.planes.ReferentialIntegrity": 0.5}
    assert found[4].message == "airports not found in additional sources"
    assert found[5].message == "Input data does not include column planes.other!"


def test_csv_is_read_by_the_types_of_the_catalog(tables: Tables) -> None:
    content = "id,name,n,day\n1,a,1.5,2013-01-01\n2,,,2013-01-02\n3,NA,x,NA\n"
    csv = {"options": {"header": "true", "sep": ",", "quote": '"', "escape": "\\"}, "null": "NA"}
    columns = [["id", "int"], ["name", "string"], ["n", "double"], ["day", "date"]]
    more: dict[str, Any] = {"format": "csv", "columns": columns, "csv": csv}
    ends = tables.evaluate_runs(
        [tables.csv_unit(content)],
        {"run": [0]},
        "RowCount = 3",
        'Sum "id" = 6',
        'Completeness "name" between 0.66 and 0.67',  # a blank text is a value, the marked null is none
        'ColumnValues "name" in ["a", EMPTY, NULL]',
        'Completeness "n" between 0.33 and 0.34',  # a blank number is none, nor is what isn't a number
        'ColumnValues "day" < "2013-01-03" with threshold > 0.6',
        **more,
    )["run"]
    assert [outcome.passed for outcome in ends] == [True] * 6, ends
