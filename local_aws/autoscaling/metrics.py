"""What scaling policies look at: a statistic of one metric, minute by minute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from moto.cloudwatch.models import Dimension

from local_aws.cloudwatch.metric_store import MetricIndex
from local_aws.cloudwatch.samples import statistic

MINUTE = timedelta(minutes=1)
_TICK = timedelta(microseconds=1)


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


def by_minute(index: MetricIndex, backend: Any, metric: Metric, end: datetime, minutes: int) -> list[float | None]:
    """Return the statistic for each of the minutes before `end`, the oldest first; None where there is no data.

    `backend` is moto's CloudWatch of one account and region, and `index` what is known of it.
    """
    start = end - minutes * MINUTE
    dimensions = [Dimension(name, value) for name, value in metric.dimensions.items()]
    found = index.samples(backend, metric.namespace, metric.name, dimensions, metric.unit, start - _TICK)
    bounds = [start + number * MINUTE for number in range(minutes)]
    return [
        statistic(metric.statistic, [each for each in found if bound <= each.moment < bound + MINUTE])
        for bound in bounds
    ]
