"""GetMetricData on the index of metrics: moto looks at all of them for every period, and knows no metric math."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.cloudwatch import models
from moto.cloudwatch.exceptions import ValidationError

from local_aws.cloudwatch.expressions import ExpressionError, parse
from local_aws.cloudwatch.metric_store import index_of
from local_aws.cloudwatch.samples import Sample, is_statistic, statistic

Series = Mapping[datetime, float]


def answer_queries() -> None:
    """Have moto's CloudWatch answer GetMetricData from here."""
    models.CloudWatchBackend.get_metric_data = get_metric_data


def get_metric_data(
    backend: Any, queries: list[dict[str, Any]], start_time: datetime, end_time: datetime, scan_by: str = ""
) -> list[dict[str, Any]]:
    """Answer queries: statistics of metrics, and metric math over them.

    Periods are counted from `start_time`, which belongs to them, as `end_time` doesn't. A metrics insights query
    (SELECT) is refused, as is an expression that isn't understood: a ValidationError names it.
    """
    start, end = (each.replace(microsecond=0, tzinfo=each.tzinfo or UTC) for each in (start_time, end_time))
    if start >= end:
        raise ValidationError(f"The parameter EndTime must be greater than StartTime: {start} to {end}")
    found: dict[str, Series] = {}
    for query in queries:
        if "MetricStat" in query:
            found[query["Id"]] = dict(_measured(backend, query["MetricStat"], start, end))
    waiting = {query["Id"]: _understood(query["Expression"]) for query in queries if "MetricStat" not in query}
    while waiting:
        ready = [name for name, expression in waiting.items() if expression.names <= found.keys()]
        if not ready:
            unknown = {name for expression in waiting.values() for name in expression.names} - found.keys()
            raise ValidationError(f"the expressions name {', '.join(sorted(unknown))}, which no query has as its Id")
        for name in ready:
            found[name] = _computed(waiting.pop(name).value, found)
    newest_first = scan_by != "TimestampAscending"
    return [_result(query, found[query["Id"]], newest_first) for query in queries if query.get("ReturnData", True)]


def _measured(
    backend: Any, wanted: Mapping[str, Any], start: datetime, end: datetime
) -> Iterator[tuple[datetime, float]]:
    metric, name, period = wanted["Metric"], wanted["Stat"], timedelta(seconds=int(wanted["Period"]))
    if not is_statistic(name):
        raise ValidationError(f"the local AWS doesn't know the statistic {name}")
    dimensions = [models.Dimension(each["Name"], each["Value"]) for each in metric.get("Dimensions", [])]
    before = start - timedelta(microseconds=1)
    samples = index_of(backend).samples(
        backend, metric["Namespace"], metric["MetricName"], dimensions, wanted.get("Unit"), before
    )
    periods: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.moment < end:
            periods[(sample.moment - start) // period].append(sample)
    for number in sorted(periods):
        value = statistic(name, periods[number])
        if value is not None:
            yield start + number * period, value


def _understood(text: str) -> Any:
    try:
        return parse(text)
    except ExpressionError as error:
        raise ValidationError(f"the local AWS doesn't understand the expression {error}") from error


def _computed(value: Any, known: Mapping[str, Series]) -> Series:
    moments = sorted({moment for series in known.values() for moment in series})
    values = {moment: value({name: series.get(moment) for name, series in known.items()}) for moment in moments}
    return {moment: each for moment, each in values.items() if each is not None}


def _result(query: Mapping[str, Any], series: Series, newest_first: bool) -> dict[str, Any]:
    moments = sorted(series, reverse=newest_first)
    stat = query.get("MetricStat")
    label = query.get("Label") or (f"{stat['Metric']['MetricName']} {stat['Stat']}" if stat else query["Id"])
    return {
        "id": query["Id"],
        "label": label,
        "timestamps": moments,
        "values": [series[moment] for moment in moments],
        "status_code": "Complete",
    }
