"""Metrics in log events: the embedded metric format, which CloudWatch Logs turns into metrics by itself.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MOST_DIMENSIONS = 30
MOST_VALUES = 100
MOST_METRICS = 100


@dataclass(frozen=True, kw_only=True)
class Datum:
    """Values of a metric, with how often each of them came; `timestamp` is in UTC."""

    namespace: str
    name: str
    values: Mapping[float, float]
    timestamp: datetime
    dimensions: Mapping[str, str] = field(default_factory=dict)
    unit: str = "None"


def metrics_in(message: str) -> Iterator[Datum]:
    """Yield the metrics of a log event; none when it isn't of the format, as CloudWatch Logs passes such events over.

    A set of dimensions, or a metric, of which the event has no fitting member is left out, and the rest is taken.
    """
    if not message.startswith("{") or '"_aws"' not in message:
        return
    try:
        event = json.loads(message)
        timestamp = datetime.fromtimestamp(event["_aws"]["Timestamp"] / 1000, UTC)
        directives = event["_aws"]["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return
    for directive in directives if isinstance(directives, list) else []:
        if isinstance(directive, Mapping) and isinstance(directive.get("Namespace"), str):
            yield from _directed(event, directive, timestamp)


def _directed(event: Mapping[str, Any], directive: Mapping[str, Any], timestamp: datetime) -> Iterator[Datum]:
    sets = [found for names in directive.get("Dimensions") or [] if (found := _dimensions(event, names)) is not None]
    for metric in (directive.get("Metrics") or [])[:MOST_METRICS]:
        name = metric.get("Name") if isinstance(metric, Mapping) else None
        if not isinstance(name, str):
            continue
        values = _values(event.get(name))
        for dimensions in sets if values else []:
            yield Datum(
                namespace=directive["Namespace"],
                name=name,
                values=values,
                timestamp=timestamp,
                dimensions=dimensions,
                unit=metric.get("Unit") or "None",
            )


def _dimensions(event: Mapping[str, Any], names: Any) -> dict[str, str] | None:
    if not isinstance(names, list) or len(names) > MOST_DIMENSIONS:
        return None
    found = {name: value for name in names if isinstance(value := event.get(name), str) and value}
    return found if len(found) == len(set(names)) else None


def _values(value: Any) -> dict[float, float]:
    if isinstance(value, Mapping):
        return _distribution(value.get("Values"), value.get("Counts"))
    values = value[:MOST_VALUES] if isinstance(value, list) else [value]
    return dict(Counter(float(each) for each in values if _is_number(each)))


def _distribution(values: Any, counts: Any) -> dict[float, float]:
    if not isinstance(values, list) or not isinstance(counts, list) or len(values) != len(counts):
        return {}
    if len(values) > MOST_VALUES or not all(_is_number(each) for each in (*values, *counts)):
        return {}
    found: dict[float, float] = {}
    for value, count in zip(values, counts, strict=True):
        if count > 0:
            found[float(value)] = found.get(float(value), 0.0) + count
    return found


def _is_number(value: Any) -> bool:
    # json reads NaN and Infinity, which aren't of the format
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
