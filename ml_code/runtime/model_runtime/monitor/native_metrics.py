"""Metrics for CloudWatch as the containers of Model Monitor leave them: files of lines that SageMaker publishes.

Source: Amazon SageMaker developer guide, "CloudWatch Metrics for Bring Your Own Containers".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = "cloudwatch_metrics.jsonl"
MOST_NAME = 255


def write_metrics(directory: Path, metrics: Mapping[str, Any], endpoint: str, schedule: str) -> None:
    """Write one line for each metric; its value is a number, or a mapping with the members of StatisticValues."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    dimensions = [{"Name": "Endpoint", "Value": endpoint}, {"Name": "MonitoringSchedule", "Value": schedule}]
    with (directory / FILE).open("w", encoding="utf-8") as lines:
        for name, value in metrics.items():
            shown = {"StatisticValues": dict(value)} if isinstance(value, Mapping) else {"Value": value}
            line = {"MetricName": name[:MOST_NAME], "Timestamp": now, "Dimensions": dimensions, **shown}
            lines.write(json.dumps(line) + "\n")
