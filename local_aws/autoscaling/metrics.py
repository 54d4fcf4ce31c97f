"""What scaling policies look at: a statistic of one metric, minute by minute, as moto's CloudWatch keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Sample:
    """Values that were put together: their number, sum and extremes."""

    count: float
    sum: float
    minimum: float
    maximum: float


STATISTICS: Mapping[str, Callable[[Sequence[Sample]], float]] = {
    "Average": lambda samples: sum(each.sum for each in samples) / sum(each.count for each in samples),
    "Maximum": lambda samples: max(each.maximum for each in samples),
    "Minimum": lambda samples: min(each.minimum for each in samples),
    "SampleCount": lambda samples: sum(each.count for each in samples),
    "Sum": lambda samples: sum(each.sum for each in samples),
}


@dataclass(frozen=True)
class Metric:
    """One metric and a statistic of it.

    `rests_at_zero` says that a minute without data means zero: SageMaker sends zeros for endpoints that nobody asks.
    """

    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, str] = field(default_factory=dict)
    unit: str | None = None
    rests_at_zero: bool = False


def by_minute(backend: Any, metric: Metric, end: datetime, minutes: int) -> list[float | None]:
    """Return the statistic for each of the full minutes before `end`, the oldest first; None where there is no data.

    `backend` is moto's CloudWatch of one account and region.
    """
    start = end - minutes * MINUTE
    found: list[list[Sample]] = [[] for _ in range(minutes)]
    for moment, sample in _samples(backend, metric):
        if start <= moment < end:
            found[int((moment - start) / MINUTE)].append(sample)
    statistic = STATISTICS[metric.statistic]
    return [statistic(samples) if samples else None for samples in found]


def _samples(backend: Any, metric: Metric) -> Iterable[tuple[datetime, Sample]]:
    wanted = dict(metric.dimensions)
    for datum in list(backend.metric_data):
        if (datum.name, datum.namespace) != (metric.name, metric.namespace):
            continue
        if {each.name: each.value for each in datum.dimensions} != wanted or metric.unit not in (None, datum.unit):
            continue
        moment = datum.timestamp if datum.timestamp.tzinfo else datum.timestamp.replace(tzinfo=UTC)
        if hasattr(datum, "value"):
            value = float(datum.value)
            yield moment, Sample(1.0, value, value, value)
        elif datum.sample_count:
            yield moment, Sample(float(datum.sample_count), float(datum.sum), float(datum.min), float(datum.max))
