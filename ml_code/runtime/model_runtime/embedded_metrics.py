"""Metrics as lines of a log, in the embedded metric format.

CloudWatch Logs makes metrics of such lines by itself, so that neither a job nor a server needs a call, a permission or
a network for them. Source:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

MOST_VALUES = 100
"""More values of one metric in one line make CloudWatch refuse the line."""


def metric_line(
    namespace: str,
    dimensions: Sequence[Mapping[str, str]],
    metrics: Mapping[str, tuple[str, int | float | Mapping[str, Any]]],
) -> str:
    """One line.

    Parameters
    ----------
    dimensions
        The sets of dimensions; each metric counts once for every set.
    metrics
        Unit and value by the metric's name. A distribution is a mapping with Values, Counts, Min, Max, Sum and Count,
        as OpenTelemetry's exporter for CloudWatch writes it.
    """
    directive = {
        "Namespace": namespace,
        "Dimensions": [list(each) for each in dimensions],
        "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in metrics.items()],
    }
    members: dict[str, Any] = {name: value for each in dimensions for name, value in each.items()}
    members |= {name: value for name, (_, value) in metrics.items()}
    head = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": head, **members}, separators=(",", ":"))
