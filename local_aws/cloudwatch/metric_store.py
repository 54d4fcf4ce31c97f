"""Metrics as moto keeps them, with what it lacks: values with counts, percentiles, metric math, and a quick look-up."""

from __future__ import annotations

import bisect
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.cloudwatch import models
from moto.cloudwatch.responses import CloudWatchResponse

from local_aws.cloudwatch.samples import Sample, is_statistic, statistic

Key = tuple[str, str, frozenset[tuple[str, str]]]
# as long CloudWatch keeps what was put for single seconds, and then by the minute
FINE_FOR = timedelta(hours=3)
# so much comes before it is looked whether something can be put together
MOST_FINE = 20_000
_putting = threading.Lock()


class Distribution(models.MetricAggregatedDatum):  # type: ignore[misc]  # moto has no types
    """Values with how often each of them came, of which moto would keep every single one."""

    def __init__(self, namespace: str, member: Mapping[str, Any]) -> None:
        counts = member.get("Counts") or [1] * len(member["Values"])
        self.values = tuple(zip(map(float, member["Values"]), map(float, counts), strict=True))
        super().__init__(
            namespace=namespace,
            name=member["MetricName"],
            min_stat=min(value for value, _ in self.values),
            max_stat=max(value for value, _ in self.values),
            sample_count=sum(count for _, count in self.values),
            sum_stat=sum(value * count for value, count in self.values),
            dimensions=member.get("Dimensions", []),
            timestamp=member.get("Timestamp"),
            unit=member.get("Unit"),
        )


def keep_distributions() -> None:
    """Have moto keep values with counts as they come, tell percentiles of them, and do metric math."""
    backend, statistics = models.CloudWatchBackend, models.Statistics
    if hasattr(backend, "put_singles"):
        return
    backend.room = MOST_FINE
    backend.put_singles = backend.put_metric_data
    statistics.tell_by_moto = statistics.get_statistics_for_type
    CloudWatchResponse.answer_by_moto = CloudWatchResponse.get_metric_statistics

    def put_metric_data(self: Any, namespace: str, metric_data: list[dict[str, Any]]) -> None:
        for number, member in enumerate(metric_data, 1):
            self._validate_parameters_put_metric_data(member, number)
        with _putting:
            self.put_singles(namespace, [member for member in metric_data if not member.get("Values")])
            self.metric_data += [Distribution(namespace, member) for member in metric_data if member.get("Values")]
            if len(self.metric_data) > self.room:
                self.metric_data = by_minute(self.metric_data)
                self.room = len(self.metric_data) + MOST_FINE

    def get_statistics_for_type(self: Any, stat: str) -> Any:
        if stat.startswith("p") and is_statistic(stat):
            return statistic(stat, map(sample_of, self.metric_data))
        return self.tell_by_moto(stat)

    def get_metric_statistics(self: Any) -> Any:
        wanted = self._get_param("ExtendedStatistics") or []
        answer = self.answer_by_moto()
        for point in answer.result["Datapoints"] if wanted else []:
            point.extended_statistics = {name: get_statistics_for_type(point, name) for name in wanted}
        return answer

    backend.put_metric_data = put_metric_data
    statistics.get_statistics_for_type = get_statistics_for_type
    CloudWatchResponse.get_metric_statistics = get_metric_statistics


def by_minute(data: list[Any]) -> list[Any]:
    """Return moto's data with what is older than three hours before the newest put together by the minute."""
    oldest = max(_moment(datum) for datum in data) - FINE_FOR
    together: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    kept = []
    for datum in data:
        moment = _moment(datum)
        if moment < oldest and (isinstance(datum, Distribution) or hasattr(datum, "value")):
            minute = moment.replace(second=0, microsecond=0, tzinfo=None)
            together[datum.namespace, datum.name, _dimensions(datum.dimensions), datum.unit, minute].append(datum)
        else:
            kept.append(datum)
    return [_together(group, minute) for (*_, minute), group in together.items()] + kept


def _together(group: list[Any], minute: datetime) -> Distribution:
    counts: Counter[float] = Counter()
    for datum in group:
        for value, count in sample_of(datum).values:
            counts[value] += count  # type: ignore[assignment]  # counts may be fractions
    member = {
        "MetricName": group[0].name,
        "Values": list(counts),
        "Counts": list(counts.values()),
        "Dimensions": [{"Name": each.name, "Value": each.value} for each in group[0].dimensions],
        "Timestamp": minute,
        "Unit": group[0].unit,
    }
    return Distribution(group[0].namespace, member)


def sample_of(datum: Any) -> Sample:
    """Return what moto keeps of a metric at one moment; its times are in UTC without saying so."""
    moment = _moment(datum)
    if isinstance(datum, models.MetricAggregatedDatum):
        values = getattr(datum, "values", ())
        return Sample(moment, float(datum.sample_count), float(datum.sum), float(datum.min), float(datum.max), values)
    value = float(datum.value)
    return Sample(moment, 1.0, value, value, value, ((value, 1.0),))


class MetricIndex:
    """The samples of one of moto's CloudWatch backends by metric, and in the order of time.

    It reads what has come since it was asked last, so that asking is cheap however many there are.
    """

    def __init__(self) -> None:
        self._source: list[Any] = []
        self._read = 0
        self._found: dict[Key, list[tuple[Sample, str | None]]] = defaultdict(list)
        self._lock = threading.Lock()

    def samples(
        self, backend: Any, namespace: str, name: str, dimensions: Iterable[Any], unit: str | None, since: datetime
    ) -> list[Sample]:
        """Return the samples of a metric after a moment; `dimensions` are moto's."""
        with self._lock:
            self._catch_up(backend)
            found = self._found.get((namespace, name, _dimensions(dimensions)), [])
            start = bisect.bisect_right(found, since, key=lambda entry: entry[0].moment)
            return [sample for sample, its_unit in found[start:] if unit in (None, its_unit)]

    def _catch_up(self, backend: Any) -> None:
        source = backend.metric_data
        if source is not self._source or len(source) < self._read:
            self._source, self._read = source, 0
            self._found.clear()
        end = len(source)
        for datum in source[self._read : end]:
            entries = self._found[datum.namespace, datum.name, _dimensions(datum.dimensions)]
            entry = (sample_of(datum), datum.unit)
            if entries and entry[0].moment < entries[-1][0].moment:
                bisect.insort(entries, entry, key=lambda each: each[0].moment)
            else:
                entries.append(entry)
        self._read = end


def index_of(backend: Any) -> MetricIndex:
    """Return the index that all who ask share of one of moto's backends."""
    index: MetricIndex = backend.__dict__.setdefault("metric_index", MetricIndex())
    return index


def _moment(datum: Any) -> datetime:
    moment: datetime = datum.timestamp
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _dimensions(dimensions: Iterable[Any]) -> frozenset[tuple[str, str]]:
    return frozenset((each.name, each.value) for each in dimensions)
