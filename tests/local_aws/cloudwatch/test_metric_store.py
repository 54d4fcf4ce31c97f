"""Metrics are found again whatever their number, and what is old is kept by the minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from moto.cloudwatch.exceptions import ValidationError
from moto.cloudwatch.models import CloudWatchBackend, Dimension, MetricDatum

from local_aws.cloudwatch.metric_queries import get_metric_data
from local_aws.cloudwatch.metric_store import Distribution, MetricIndex, by_minute, sample_of

START = datetime(2030, 5, 1, 6, tzinfo=UTC)
KIND = [{"Name": "Kind", "Value": "tea"}]


def single(seconds: float, value: float, name: str = "Lost") -> MetricDatum:
    moment = (START + timedelta(seconds=seconds)).replace(tzinfo=None)
    return MetricDatum("shop", name, value, KIND, moment, "Count")


def counted(seconds: float, name: str = "Lost", **counts: float) -> Distribution:
    moment = (START + timedelta(seconds=seconds)).replace(tzinfo=None)
    values = {float(value[1:]): count for value, count in counts.items()}
    member = {"MetricName": name, "Values": list(values), "Counts": list(values.values()), "Timestamp": moment}
    return Distribution("shop", {**member, "Dimensions": KIND, "Unit": "Count"})


def test_old_data_is_put_together_by_the_minute_and_new_data_stays() -> None:
    newest = single(4 * 3600, 9)
    data = [single(1, 5), counted(30, v5=2, v7=1), single(59, 7, "Sold"), single(61, 8), newest]
    kept = by_minute(data)
    assert kept[-1] is newest
    found = {(each.name, each.timestamp.minute): sample_of(each) for each in kept[:-1]}
    assert dict(found["Lost", 0].values) == {5.0: 3, 7.0: 1}
    assert (found["Lost", 0].count, found["Lost", 0].total, found["Lost", 0].high) == (4, 22, 7)
    assert (found["Sold", 0].total, found["Lost", 1].total) == (7, 8)
    assert kept[0].unit == "Count"


def test_index_finds_what_came_since_in_the_order_of_time() -> None:
    backend = CloudWatchBackend("us-east-1", "123456789012")
    index = MetricIndex()
    backend.metric_data += [single(10, 1), single(5, 2), single(20, 3, "Sold")]

    def found(since: float, unit: str | None = None) -> list[float]:
        dimensions = [Dimension("Kind", "tea")]
        moment = START + timedelta(seconds=since)
        return [each.total for each in index.samples(backend, "shop", "Lost", dimensions, unit, moment)]

    assert found(0) == [2, 1]
    backend.metric_data += [single(7, 4), single(11, 5)]
    assert found(5) == [4, 1, 5]
    assert found(5, "Count") == [4, 1, 5]
    assert found(5, "Seconds") == []
    backend.metric_data = [single(1, 6)]
    assert found(0) == [6]


def query(name: str, **members: Any) -> dict[str, Any]:
    metric = {"Namespace": "shop", "MetricName": name, "Dimensions": KIND}
    return {"Id": name.lower(), "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, **members}


def test_queries_are_answered_by_period_in_the_order_that_is_asked_for() -> None:
    backend = CloudWatchBackend("us-east-1", "123456789012")
    backend.metric_data += [single(0, 1), single(59, 2), single(60, 4), single(120, 8), single(70, 2, "Sold")]
    queries = [
        {"Id": "twice", "Expression": "share * 2", "Label": "shown"},
        {"Id": "share", "Expression": "lost / sold", "ReturnData": False},
        query("Lost"),
        query("Sold", ReturnData=False),
    ]
    end = START + timedelta(seconds=120)
    newest_first = get_metric_data(backend, queries, START, end)
    assert [(each["id"], each["label"], each["values"]) for each in newest_first] == [
        ("twice", "shown", [4.0]),
        ("lost", "Lost Sum", [4.0, 3.0]),
    ]
    oldest_first = get_metric_data(backend, queries, START, end, "TimestampAscending")
    assert oldest_first[1]["values"] == [3.0, 4.0]
    assert oldest_first[1]["timestamps"] == [START, START + timedelta(seconds=60)]


@pytest.mark.parametrize(
    ("expression", "problem"),
    [("SELECT AVG(x) FROM y", "doesn't understand"), ("lost / gained", "gained"), ("lost +", "ends too early")],
)
def test_query_that_is_not_understood_is_refused(expression: str, problem: str) -> None:
    backend = CloudWatchBackend("us-east-1", "123456789012")
    queries = [query("Lost"), {"Id": "share", "Expression": expression}]
    with pytest.raises(ValidationError, match=problem):
        get_metric_data(backend, queries, START, START + timedelta(minutes=1))
