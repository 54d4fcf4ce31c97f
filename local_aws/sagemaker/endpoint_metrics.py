"""The metrics of endpoints: what CloudWatch is told of each request, and of the instances.

A request costs a few additions: values are counted in buckets of one percent's width, and told once a second.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from local_aws.sagemaker.workspace import Workspace

NAMESPACE = "AWS/SageMaker"
INSTANCES_NAMESPACE = "/aws/sagemaker/Endpoints"
FLUSH_SECONDS = 1.0
USAGE_SECONDS = 60.0
_BUCKET = math.log(1.01)
_MICROSECONDS = 1_000_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VariantKey:
    """Whose metrics they are: names of the endpoint, its configuration, and the variant."""

    endpoint: str
    config: str
    variant: str

    def dimensions(self) -> list[dict[str, str]]:
        """Return the dimensions that SageMaker's own metrics have."""
        return [{"Name": "EndpointName", "Value": self.endpoint}, {"Name": "VariantName", "Value": self.variant}]

    def dimensions_of_fleet(self) -> list[dict[str, str]]:
        """Return the dimensions that tell the old fleet of a release from the new one."""
        return [*self.dimensions(), {"Name": "EndpointConfigName", "Value": self.config}]

    def sets(self) -> list[list[dict[str, str]]]:
        """Return the sets of dimensions that requests are told under."""
        return [self.dimensions(), self.dimensions_of_fleet()]

    @property
    def share(self) -> str:
        """The name of the metric that tells an instance's share of the requests."""
        return "InvocationsPerInstance"


@dataclass(frozen=True)
class ComponentKey(VariantKey):
    """Whose metrics they are: an inference component on a variant."""

    component: str

    def sets(self) -> list[list[dict[str, str]]]:
        """Return the only set of dimensions that those of components have."""
        return [[{"Name": "InferenceComponentName", "Value": self.component}]]

    @property
    def share(self) -> str:
        """The name of the metric that tells a copy's share of the requests."""
        return "InvocationsPerCopy"


@dataclass
class _Window:
    """The requests of a variant since the last flush."""

    opened: datetime
    invocations: int = 0
    client_errors: int = 0
    server_errors: int = 0
    model_errors: int = 0
    per_instance: float = 0.0
    model_latency: Counter[int] = field(default_factory=Counter)
    overhead: Counter[int] = field(default_factory=Counter)


class EndpointMetrics:
    """Counts the requests of an account's endpoints in one region, and tells CloudWatch each second.

    `instances` yields whose processes run, by their ids; their use of this machine is told each minute.
    """

    def __init__(self, workspace: Workspace, instances: Callable[[], Iterable[tuple[VariantKey, int]]]) -> None:
        self._workspace = workspace
        self._instances = instances
        self._windows: dict[VariantKey, _Window] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._flushing = threading.Lock()
        self._used: dict[int, tuple[float, float]] = {}
        workspace.context.clock.before_look(self.flush)

    def count(self, key: VariantKey, *, status: int | None, model: float, overhead: float, instances: int) -> None:
        """Take a request: what the model answered (None: nothing), and the seconds in the model and around it."""
        with self._lock:
            window = self._windows.get(key)
            if window is None:
                window = self._windows[key] = _Window(self._workspace.now())
                self._start()
            window.invocations += 1
            window.per_instance += 1 / max(instances, 1)
            if status is None or status >= 500:
                window.server_errors += 1
                window.model_errors += 1
            elif status >= 400:
                window.client_errors += 1
                window.model_errors += 1
            window.model_latency[_bucket(model)] += 1
            window.overhead[_bucket(overhead)] += 1

    def flush(self) -> None:
        """Tell CloudWatch what was counted, at the time of the clock at which the counting began."""
        with self._flushing:
            with self._lock:
                windows, self._windows = self._windows, {}
            for key, window in windows.items():
                self._put(NAMESPACE, list(_members(key, window)))

    def close(self) -> None:
        """Tell what is left."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self.flush()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="endpoint-metrics", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        last = time.monotonic()
        self._tell_usage()
        while not self._closed.wait(FLUSH_SECONDS):
            try:
                self.flush()
                if time.monotonic() - last >= USAGE_SECONDS:
                    last = time.monotonic()
                    self._tell_usage()
            except Exception:
                # the next second has metrics of its own
                _log.exception("metrics of endpoints were lost")

    def _tell_usage(self) -> None:
        """Tell how much of a core, and of this machine's memory, the processes of the instances use."""
        found = {pid: (key, usage) for key, pid in self._instances() if (usage := _usage(pid)) is not None}
        known, self._used = self._used, {}
        members: list[dict[str, Any]] = []
        now = self._workspace.now()
        for pid, (key, (seconds, share)) in found.items():
            moment = time.monotonic()
            self._used[pid] = (moment, seconds)
            members.append(_member("MemoryUtilization", {100 * share: 1}, "Percent", key.dimensions(), now))
            if pid in known:
                before, used = known[pid]
                percent = 100 * max(seconds - used, 0.0) / (moment - before)
                members.append(_member("CPUUtilization", {percent: 1}, "Percent", key.dimensions(), now))
        if members:
            self._put(INSTANCES_NAMESPACE, members)

    def _put(self, namespace: str, members: list[dict[str, Any]]) -> None:
        # in the process: a request of its own would cost more than all that it tells
        from moto.cloudwatch.models import cloudwatch_backends

        cloudwatch_backends[self._workspace.account][self._workspace.region].put_metric_data(namespace, members)


def _members(key: VariantKey, window: _Window) -> Iterator[dict[str, Any]]:
    total = window.invocations
    metrics: tuple[tuple[str, Mapping[float, int], str], ...] = (
        ("Invocations", {1: total}, "None"),
        (key.share, {window.per_instance / total: total}, "None"),
        ("Invocation4XXErrors", _flags(window.client_errors, total), "None"),
        ("Invocation5XXErrors", _flags(window.server_errors, total), "None"),
        ("InvocationModelErrors", _flags(window.model_errors, total), "None"),
        ("ModelLatency", _latencies(window.model_latency), "Microseconds"),
        ("OverheadLatency", _latencies(window.overhead), "Microseconds"),
    )
    for dimensions in key.sets():
        for name, values, unit in metrics:
            yield _member(name, values, unit, dimensions, window.opened)


def _member(
    name: str, values: Mapping[float, int], unit: str, dimensions: list[dict[str, str]], moment: datetime
) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Values": list(values),
        "Counts": list(values.values()),
        "Unit": unit,
        "Dimensions": dimensions,
        # as moto keeps times: in UTC without saying so
        "Timestamp": moment.replace(tzinfo=None),
    }


def _flags(errors: int, total: int) -> dict[float, int]:
    """One for each error and zero for each other request: the average is the rate."""
    return {value: count for value, count in ((0, total - errors), (1, errors)) if count}


def _latencies(buckets: Mapping[int, int]) -> dict[float, int]:
    """Return microseconds, the middle of each bucket, with counts."""
    return {round(math.exp((number + 0.5) * _BUCKET)): count for number, count in sorted(buckets.items())}


def _bucket(seconds: float) -> int:
    return int(math.log(max(seconds * _MICROSECONDS, 1.0)) / _BUCKET)


def _usage(pid: int) -> tuple[float, float] | None:
    """Return the seconds of processor time of a process and the share of memory that it holds; None where unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks, pages = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
    # of the fields after the name: 11 and 12 are its own time, 13 and 14 that of children that ended, 21 its pages
    return sum(map(int, fields[11:15])) / ticks, int(fields[21]) / pages
