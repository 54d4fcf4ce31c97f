"""Metric math and percentiles: what they come to, and what isn't understood."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from local_aws.cloudwatch.expressions import ExpressionError, parse
from local_aws.cloudwatch.samples import Sample, is_statistic, statistic

NOW = datetime(2030, 5, 1, 6, tzinfo=UTC)
VALUES = {"errors": 3.0, "all": 12.0, "none": None, "zero": 0.0}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("errors", 3),
        ("100 * errors / all", 25),
        ("1 + 2 * 3 - 4 / 2", 5),
        ("(1 + 2) * 3", 9),
        ("-errors + 2^3", 5),
        ("2 ^ -1", 0.5),
        ("1.5e2+.5", 150.5),
        ("10 - 3 - 2", 5),
        ("errors / zero", None),
        ("errors + none", None),
        ("FILL(none, 0) + errors", 3),
        ("FILL(errors, 7)", 3),
        ("IF(all > 10, errors / all, 0)", 0.25),
        ("IF(all > 100, errors / all, 0)", 0),
        ("IF(all > 100, errors)", None),
        ("IF(FILL(none, 0) == 0, 1, 2)", 1),
        ("IF(all >= 12 && errors != 3, 1, 2)", 2),
        ("IF(all < 12 OR errors <= 3, 1, 2)", 1),
        ("MAX([errors, all, none])", 12),
        ("MIN([errors, all, none])", 3),
        ("SUM([errors, all, none])", 15),
        ("AVG([errors, 5])", 4),
        ("SUM([none])", None),
        ("ABS(zero - errors) + CEIL(0.2) + FLOOR(1.8)", 5),
    ],
)
def test_expression_comes_to_its_value(expression: str, value: float | None) -> None:
    assert parse(expression).value(VALUES) == value


def test_expression_tells_which_metrics_it_needs() -> None:
    assert parse("IF(all > 10, 100 * errors / all, FILL(none, 0))").names == {"all", "errors", "none"}


@pytest.mark.parametrize(
    "expression",
    ["", "1 +", "(1", "errors all", "MAX(errors)", "ANOMALY_DETECTION_BAND(errors, 2)", "FILL(errors, REPEAT)",
     "errors ? all", "IF(errors)", "SUM([errors)", "METRICS()"],
)  # fmt: skip
def test_expression_that_is_not_understood_is_refused_with_its_words(expression: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse(expression)
    assert repr(expression) in str(raised.value)


def values(**counts: float) -> Sample:
    found = tuple((float(name[1:]), count) for name, count in counts.items())
    total, number = sum(value * count for value, count in found), sum(count for _, count in found)
    return Sample(NOW, number, total, min(value for value, _ in found), max(value for value, _ in found), found)


@pytest.mark.parametrize(
    ("name", "value"),
    [("p50", 10), ("p98", 10), ("p99", 20), ("p99.5", 30), ("p100", 30), ("p0", 10), ("Average", 10.3),
     ("Maximum", 30), ("Minimum", 10), ("Sum", 1030), ("SampleCount", 100)],
)  # fmt: skip
def test_statistics_of_counted_values(name: str, value: float) -> None:
    assert statistic(name, [values(v20=1, v10=98), values(v30=1)]) == pytest.approx(value)


def test_percentile_of_a_summary_is_not_known() -> None:
    summary = Sample(NOW, 10, 50, 1, 9)
    assert statistic("p99", [summary]) is None
    assert statistic("Average", [summary]) == 5
    assert statistic("p99", []) is None


@pytest.mark.parametrize("name", ["p101", "tm99", "IQM", "average", "", None])
def test_other_statistics_are_not_known(name: str | None) -> None:
    assert not is_statistic(name)
