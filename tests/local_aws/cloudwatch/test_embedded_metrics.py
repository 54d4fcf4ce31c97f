"""Which metrics a log event holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local_aws.cloudwatch.embedded_metrics import Datum, metrics_in

MOMENT = datetime(2030, 5, 1, 6, tzinfo=UTC)


def event(directive: dict[str, Any] | None = None, **members: Any) -> str:
    own = {"Namespace": "shop", "Dimensions": [["Kind"]], "Metrics": [{"Name": "Sold", "Unit": "Count"}]}
    head = {"Timestamp": int(MOMENT.timestamp() * 1000), "CloudWatchMetrics": [own | (directive or {})]}
    return json.dumps({"_aws": head, "Kind": "tea", "Sold": 3, **members})


def test_a_metric_has_its_dimensions_value_unit_and_time() -> None:
    assert list(metrics_in(event())) == [
        Datum(
            namespace="shop", name="Sold", values={3.0: 1}, timestamp=MOMENT, dimensions={"Kind": "tea"}, unit="Count"
        )
    ]


def test_each_set_of_dimensions_is_a_datum_with_all_values() -> None:
    found = list(metrics_in(event({"Dimensions": [[], ["Kind"], ["Kind", "Shop"]]}, Sold=[1, 2, 2], Shop="a")))
    assert [(len(each.dimensions), each.values) for each in found] == [(number, {1: 1, 2: 2}) for number in range(3)]


def test_a_distribution_is_its_values_with_how_often_each_came() -> None:
    sold = {"Values": [1.5, 4, 5, 4], "Counts": [60_000, 1, 0, 2], "Min": 1, "Max": 4, "Sum": 7, "Count": 3}
    assert [each.values for each in metrics_in(event(Sold=sold))] == [{1.5: 60_000, 4: 3}]


@pytest.mark.parametrize(
    "message",
    [
        "a line that says _aws",
        '{"_aws": 3}',
        '{"_aws": {"Timestamp": "today", "CloudWatchMetrics": []}}',
        '{"_aws": {"Timestamp": 1, "CloudWatchMetrics": [3]}}',
        '{"_aws": ',
        event({"Dimensions": [["Missing"]]}),
        event({"Dimensions": "Kind"}),
        event({"Metrics": [{"Name": "Missing"}, {}, 3]}),
        event(Sold="three"),
        event(Sold=True),
        event(Sold=float("nan")),
        event(Sold={"Values": [1], "Counts": [1, 2]}),
        event(Sold={"Values": ["1"], "Counts": [1]}),
        event(Sold={"Values": [1], "Counts": [-1]}),
        event(Sold={"Values": 1}),
        event({"Namespace": None}),
    ],
)
def test_what_is_not_of_the_format_is_a_line_like_any_other(message: str) -> None:
    assert list(metrics_in(message)) == []
