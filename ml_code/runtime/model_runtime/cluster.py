"""Several machines that train one model together: XGBoost's own collective over the hosts that SageMaker names.

`resourceconfig.json` says who is there; the first host by name runs the tracker and is the one that writes. Source:
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from xgboost import collective
from xgboost.tracker import RabitTracker

from model_runtime.datasets import day_range
from model_runtime.errors import JobError

TRACKER_PORT = 9099
DOOR_PORT = 9100
"""Listens as soon as the tracker does, on the same host."""
NAMED_WITHIN_SECONDS = 300.0
"""How long the name of a host may take to be known: SageMaker starts hosts one after the other."""
SILENCE_SECONDS = 1800
"""How long a host waits for another one that neither answers nor hangs up."""
STOPPED = 128 + signal.SIGTERM
FIRST_DAY, LAST_DAY = date.min.toordinal(), date.max.toordinal()

_kept: list[object] = []


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The hosts of a job by name, and the one that this process runs on."""

    hosts: tuple[str, ...]
    current: str
    addresses: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Cluster:
        """Read `resourceconfig.json`; one host when there is no such file. Raises JobError for a broken one."""
        if not file.is_file():
            return cls(hosts=("algo-1",), current="algo-1")
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
            # where hosts have no names that resolve, as on a developer's machine, their addresses stand beside them
            addresses = config.get("host_addresses", {})
            cluster = cls(hosts=tuple(sorted(config["hosts"])), current=config["current_host"], addresses=addresses)
        except (ValueError, KeyError, TypeError) as error:
            raise JobError(f"{file} can't be read: {error!r}") from error
        if cluster.current not in cluster.hosts:
            raise JobError(f"{file}: current_host {cluster.current!r} is none of hosts {', '.join(cluster.hosts)}")
        return cluster

    @property
    def rank(self) -> int:
        """The place of this host among all, from 0; the first one writes the model."""
        return self.hosts.index(self.current)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Let XGBoost work on all hosts together inside of the block.

        A host that fails doesn't wait for the others: they fail as soon as they miss it.
        """
        if len(self.hosts) == 1:
            yield
            return
        address = self._address(self.hosts[0])
        tracker = self._tracker(address) if self.rank == 0 else None
        if tracker is None:
            _wait_for_door(address)
        print(f"{self.current}: one of {len(self.hosts)} hosts, tracker at {address}:{TRACKER_PORT}", flush=True)
        collective.init(
            dmlc_communicator="rabit",
            dmlc_tracker_uri=address,
            dmlc_tracker_port=TRACKER_PORT,
            dmlc_task_id=f"{self.rank:06d}",
            dmlc_retry=10,
            dmlc_timeout=SILENCE_SECONDS,
        )
        try:
            yield
        except BaseException as error:
            # What XGBoost does at the end of a process waits for the other hosts, which may wait for this one.
            atexit.register(os._exit, STOPPED if isinstance(error, KeyboardInterrupt) else 1)
            _kept.append(tracker)
            raise
        collective.finalize()
        if tracker:
            tracker.wait_for()

    def _tracker(self, address: str) -> RabitTracker:
        tracker = RabitTracker(n_workers=len(self.hosts), host_ip=address, port=TRACKER_PORT, sortby="task")
        tracker.start()
        door = socket.create_server((address, DOOR_PORT))
        threading.Thread(target=_open_door, args=(door, len(self.hosts) - 1), daemon=True).start()
        return tracker

    def _address(self, host: str) -> str:
        if host in self.addresses:
            return self.addresses[host]
        deadline = time.monotonic() + NAMED_WITHIN_SECONDS
        while True:
            try:
                return socket.gethostbyname(host)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise JobError(f"the host {host!r} has no address: {error}") from error
                time.sleep(1.0)


def _open_door(door: socket.socket, guests: int) -> None:
    with door:
        for _ in range(guests):
            door.accept()[0].close()


def _wait_for_door(address: str) -> None:
    """Wait until the tracker listens: XGBoost's own tries to reach it come ever more rarely."""
    deadline = time.monotonic() + NAMED_WITHIN_SECONDS
    while True:
        try:
            socket.create_connection((address, DOOR_PORT), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise JobError(f"the first host, {address}, can't be reached: {error}") from error
            time.sleep(0.1)


def rows_of_all(rows: pl.DataFrame) -> int:
    """How many rows all hosts have together."""
    if not collective.is_distributed():
        return rows.height
    return int(collective.allreduce(np.array([rows.height], dtype=np.int64), collective.Op.SUM)[0])


def days_of_all(rows: pl.DataFrame) -> tuple[date, date] | None:
    """The first and the last day of the rows of all hosts; None when no row has one."""
    days = day_range(rows)
    if not collective.is_distributed():
        return days
    first, last = (days[0].toordinal(), days[1].toordinal()) if days else (LAST_DAY, FIRST_DAY)
    first = int(collective.allreduce(np.array([first], dtype=np.int64), collective.Op.MIN)[0])
    last = int(collective.allreduce(np.array([last], dtype=np.int64), collective.Op.MAX)[0])
    return (date.fromordinal(first), date.fromordinal(last)) if first <= last else None
