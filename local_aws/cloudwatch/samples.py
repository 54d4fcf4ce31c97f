"""Samples of a metric, and the statistics of them.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")


@dataclass(frozen=True, slots=True)
class Sample:
    """What was put at one moment, in UTC: one value, several with how often each came, or only their summary.

    `values` is empty for a summary, of which only `count`, `total`, `low` and `high` are known.
    """

    moment: datetime
    count: float
    total: float
    low: float
    high: float
    values: tuple[tuple[float, float], ...] = ()


_STATISTICS: Mapping[str, Callable[[list[Sample]], float]] = {
    "Average": lambda samples: sum(each.total for each in samples) / sum(each.count for each in samples),
    "Maximum": lambda samples: max(each.high for each in samples),
    "Minimum": lambda samples: min(each.low for each in samples),
    "SampleCount": lambda samples: sum(each.count for each in samples),
    "Sum": lambda samples: sum(each.total for each in samples),
}


def is_statistic(name: str | None) -> bool:
    """Say whether a statistic is known: Average, Maximum, Minimum, SampleCount, Sum, or a percentile such as p99.9."""
    return name is not None and (name in _STATISTICS or _PERCENTILE.fullmatch(name) is not None)


def statistic(name: str, samples: Iterable[Sample]) -> float | None:
    """Return a statistic of samples; None when there are none, or of summaries where a percentile is asked for."""
    found = [each for each in samples if each.count > 0]
    if not found:
        return None
    percentile = _PERCENTILE.fullmatch(name)
    if percentile is None:
        return _STATISTICS[name](found)
    return _percentile(float(percentile[1]), found)


def _percentile(percent: float, samples: list[Sample]) -> float | None:
    """Return the smallest value that so many percent of the values don't exceed."""
    values: list[tuple[float, float]] = []
    for each in samples:
        if each.values:
            values += each.values
        elif each.low == each.high:
            values.append((each.low, each.count))
    values.sort()
    rank = percent / 100 * sum(count for _, count in values)
    reached = 0.0
    for value, count in values:
        reached += count
        if reached >= rank and count > 0:
            return value
    return None
