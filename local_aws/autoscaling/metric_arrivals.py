"""Being told when moto's CloudWatch takes a metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def tell_of_metrics(told: Callable[[], None]) -> None:
    """Call a function after each metric that is put. The newest function is the only one."""
    from moto.cloudwatch.models import CloudWatchBackend

    beneath = getattr(CloudWatchBackend.put_metric_data, "beneath", CloudWatchBackend.put_metric_data)

    def put_metric_data(backend: Any, namespace: str, metric_data: Any) -> None:
        beneath(backend, namespace, metric_data)
        told()

    put_metric_data.beneath = beneath  # type: ignore[attr-defined]
    CloudWatchBackend.put_metric_data = put_metric_data
